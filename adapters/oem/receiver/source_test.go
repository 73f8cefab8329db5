package receiver

import (
	"net/netip"
	"testing"
	"time"

	"github.com/pion/rtcp"
)

// TestSources lets others speak into a stream. Each case ends with the source that should
// be listened to, and says how many samples of it are heard after the old one's 10 packets.
func TestSources(t *testing.T) {
	const n = 160
	tests := map[string]struct {
		send    func(r *rig)
		source  netip.Addr
		ssrc    uint32
		samples int64 // where the segment ends
		foreign int64
	}{
		"a stranger's address": {func(r *rig) {
			r.talk(10)
			r.from = evil
			r.talk(50)
		}, sender.Addr(), 0x1234, 10 * n, 50},
		"a stranger before the source": {func(r *rig) {
			r.from = evil
			r.talk(50)
			r.from = sender
			r.talk(10)
		}, sender.Addr(), 0x1234, 10 * n, 50},
		"another port of the source": {func(r *rig) {
			r.talk(10)
			r.from = netip.AddrPortFrom(sender.Addr(), 6002)
			r.talk(10)
		}, sender.Addr(), 0x1234, 20 * n, 0},
		"another SSRC while the source speaks": {func(r *rig) {
			r.talk(10)
			for range 40 {
				r.talk(1)
				r.m.datagram((&rig{t: r.t, ssrc: 9}).packet(0, r.seq, r.ts, block(1)), sender, r.now)
			}
			r.talk(1)
		}, sender.Addr(), 0x1234, 51 * n, 40},
		"another SSRC, once the source is silent": {func(r *rig) {
			r.talk(10)
			r.ssrc, r.seq, r.ts = 9, 700, 900_000
			r.talk(30)
		}, sender.Addr(), 9, 40 * n, 0},
		"two packets of another SSRC in the source's silence": {func(r *rig) {
			r.talk(10)
			r.sleep(time.Second)
			ssrc, seq, ts := r.ssrc, r.seq, r.ts
			r.ssrc, r.seq, r.ts = 9, 700, 900_000
			r.talk(2)
			r.ssrc, r.seq, r.ts = ssrc, seq, ts+8000
			r.sleep(time.Second)
			r.talk(5)
		}, sender.Addr(), 0x1234, 65 * n, 2},
		"another address, just after signalling": {func(r *rig) {
			r.sleep(10 * time.Second)
			r.talk(10)
			r.accept(agreed())
			r.from, r.ssrc, r.seq, r.ts = other, 9, 700, 900_000
			r.talk(5)
			if got := len(r.out.segments[0].frames); got != 15 {
				r.t.Errorf("%d frames 100 ms after the change; want 15", got)
			}
			r.talk(5)
		}, other.Addr(), 9, 20 * n, 0},
		"another address, just after signalling, while the old one goes on for a while": {func(r *rig) {
			r.sleep(10 * time.Second)
			r.talk(10)
			r.accept(agreed())
			b := newRig(r.t)
			b.ssrc, b.seq, b.ts = 9, 700, 900_000
			for range 20 {
				r.talk(1)
				r.m.datagram(b.packet(0, b.seq, b.ts, block(2)), other, r.now)
				b.skip(1)
			}
			r.sleep(frame20)
		}, other.Addr(), 9, 31 * n, 19},
		"the source says BYE": {func(r *rig) {
			r.sleep(10 * time.Second)
			r.talk(10)
			bye, _ := rtcp.Marshal([]rtcp.Packet{&rtcp.Goodbye{Sources: []uint32{r.ssrc}}})
			r.m.control(bye, sender, r.now)
			r.ssrc, r.seq, r.ts = 9, 700, 900_000
			r.talk(4)
			if got := len(r.out.segments[0].frames); got != 14 {
				r.t.Errorf("%d frames 80 ms after the goodbye; want 14", got)
			}
		}, sender.Addr(), 9, 14 * n, 0},
		"the same SSRC counts anew": {func(r *rig) {
			r.talk(10)
			r.seq += 20_000
			r.talk(30)
		}, sender.Addr(), 0x1234, 40 * n, 0},
		"one stray packet before the call": {func(r *rig) {
			b := newRig(r.t)
			b.ssrc = 9
			r.give(b.packet(0, 1, 1, block(1)))
			r.sleep(frame20)
			r.talk(10)
		}, sender.Addr(), 0x1234, 10 * n, 1},
		"one packet, then silence": {func(r *rig) {
			r.talk(1)
			r.sleep(silence)
			if len(r.out.segments) != 1 {
				r.t.Error("a lone packet is not heard in time")
			}
		}, sender.Addr(), 0x1234, n, 0},
		"a call of two packets": {func(r *rig) { r.talk(2) }, sender.Addr(), 0x1234, 2 * n, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := running(t)
			test.send(r)
			r.end()
			s := r.out.only(t)
			if got := s.length(); got != test.samples {
				t.Errorf("the segment ends at %.1f packets; want %.1f", float64(got)/n, float64(test.samples)/n)
			}
			if want := (source{test.source, test.ssrc}); r.m.source != want {
				t.Errorf("it listens to %v; want %v", r.m.source, want)
			}
			if got := r.m.account(); got.Foreign != test.foreign {
				t.Errorf("%d foreign packets; want %d", got.Foreign, test.foreign)
			}
		})
	}
}

// TestUnaskedChangeIsLoss: audio between two sources is lost unless somebody announced it.
func TestUnaskedChangeIsLoss(t *testing.T) {
	for name, test := range map[string]struct {
		accept bool
		want   gap
	}{
		"unasked":   {false, gap{1600, 8000, 0}},
		"announced": {true, gap{1600, 8000, 8000}},
	} {
		t.Run(name, func(t *testing.T) {
			r := running(t)
			r.sleep(10 * time.Second)
			r.talk(10)
			r.sleep(time.Second)
			if test.accept {
				r.accept(agreed())
			}
			r.ssrc, r.seq, r.ts = 9, 700, 900_000
			r.talk(10)
			r.end()
			s := r.out.only(t)
			if len(s.gaps) != 1 || s.gaps[0] != test.want {
				t.Errorf("gaps %v; want %v", s.gaps, test.want)
			}
		})
	}
}

func TestBeforeAccept(t *testing.T) {
	r := newRig(t)
	r.talk(5)
	r.m.control([]byte{0x80, 201, 0, 1, 0, 0, 0, 1}, sender, r.now)
	r.accept(agreed())
	r.talk(5)
	r.end()
	if got := r.m.account(); got.Early != 6 || r.out.only(t).length() != 5*160 {
		t.Errorf("stats %+v", got)
	}
}

// TestSpeakersTogether compares what two streams of a call say of the same moment: one
// loses and delays its packets, one does not.
func TestSpeakersTogether(t *testing.T) {
	good, bad := running(t), running(t)
	bad.ts, bad.seq = 77, 65500
	for i := range 500 {
		good.talk(1)
		if i%7 == 3 || i > 100 && i < 120 {
			bad.skip(1)
			bad.sleep(frame20)
			continue
		}
		packet := bad.packet(0, bad.seq, bad.ts, block(i))
		bad.skip(1)
		late := time.Duration(i*13%30) * time.Millisecond
		bad.sleep(late)
		bad.give(packet)
		bad.sleep(frame20 - late%frame20)
		bad.now = good.now
	}
	good.end()
	bad.end()
	a, b := good.out.only(t), bad.out.only(t)
	when := func(s segment, i int) time.Time { return s.arrived.Add(s.format.Duration(s.frames[i].Pos)) }
	last := when(a, len(a.frames)-1).Sub(when(b, len(b.frames)-1))
	if last < -40*time.Millisecond || last > 40*time.Millisecond {
		t.Errorf("the tracks are %v apart at the end; want at most 40 ms", last)
	}
}
