package receiver

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/patchbay/patchbay/core/media"
)

func TestInOrder(t *testing.T) {
	r := running(t)
	r.talk(2)
	if len(r.out.segments) != 0 {
		t.Fatal("audio goes out while the source is still watched")
	}
	r.talk(8)
	s := r.out.only(t)
	if got := len(s.frames); got != 10 {
		t.Errorf("%d frames while all are in order; want 10", got)
	}
	if want := start.Add(-frame20); !s.arrived.Equal(want) {
		t.Errorf("the first sample arrived at %v; want %v, a packet before its packet", s.arrived, want)
	}
	for i, f := range s.frames {
		if f.Pos != int64(160*i) || !f.Arrived.Equal(start.Add(time.Duration(i)*frame20)) || !bytes.Equal(f.Payload, block(100+i)) {
			t.Errorf("frame %d: position %d, arrived %v", i, f.Pos, f.Arrived.Sub(start))
		}
	}
	if s.format != media.Telephony {
		t.Errorf("format %v", s.format)
	}
	r.end()
}

// TestGaps sends what is described by packets, and looks for the gaps of the positions.
func TestGaps(t *testing.T) {
	const n = 160
	tests := map[string]struct {
		send func(r *rig)
		want []gap
	}{
		"no packet is missing": {func(r *rig) { r.talk(5) }, nil},
		"one is lost":          {func(r *rig) { r.talk(5); r.skip(1); r.sleep(frame20); r.talk(5) }, []gap{{5 * n, n, 0}}},
		"a second of packets is lost": {func(r *rig) {
			r.talk(5)
			r.skip(50)
			r.sleep(time.Second)
			r.talk(5)
		}, []gap{{5 * n, 50 * n, 0}}},
		"three in a row come backwards": {func(r *rig) {
			r.talk(5)
			for _, i := range []int{2, 1, 0} {
				r.give(r.packet(0, r.seq+uint16(i), r.ts+uint32(i*n), block(i)))
			}
			r.skip(3)
			r.talk(5)
		}, nil},
		"the sender is silent (DTX)": {func(r *rig) {
			r.talk(5)
			r.ts += 3 * n
			r.sleep(3 * frame20)
			r.talk(5)
		}, []gap{{5 * n, 3 * n, 3 * n}}},
		"comfort noise, static and dynamic": {func(r *rig) {
			r.talk(5)
			for _, pt := range []uint8{13, 19} {
				r.give(r.packet(pt, r.seq, r.ts, []byte{40}))
				r.seq++
				r.ts += 10 * n
				r.sleep(10 * frame20)
			}
			r.talk(5)
		}, []gap{{5 * n, 20 * n, 20 * n}}},
		"comfort noise, and a packet is lost after it": {func(r *rig) {
			r.talk(5)
			r.give(r.packet(13, r.seq, r.ts, []byte{40}))
			r.seq++
			r.ts += 10 * n
			r.sleep(10 * frame20)
			r.skip(1)
			r.talk(5)
		}, []gap{{5 * n, 11 * n, 10 * n}}},
		"a type that was not agreed": {func(r *rig) {
			r.talk(5)
			r.give(r.packet(18, r.seq, r.ts, make([]byte, 20)))
			r.skip(1)
			r.sleep(frame20)
			r.talk(5)
		}, []gap{{5 * n, n, 0}}},
		"hold": {func(r *rig) {
			r.talk(5)
			held := agreed()
			held.Receive = false
			r.accept(held)
			r.talk(5)
			r.accept(agreed())
			r.talk(5)
		}, []gap{{5 * n, 5 * n, 5 * n}}},
		"hold, and the sender's timestamps stand still": {func(r *rig) {
			r.talk(5)
			held := agreed()
			held.Receive = false
			r.accept(held)
			r.sleep(10 * time.Second)
			r.accept(agreed())
			r.talk(5)
		}, []gap{{5 * n, 500 * n, 500 * n}}},
		"hold, and the sender begins anew": {func(r *rig) {
			r.talk(5)
			held := agreed()
			held.Receive = false
			r.accept(held)
			r.sleep(2 * time.Second)
			r.accept(agreed())
			r.ssrc, r.seq, r.ts = 99, 60000, 1<<31
			r.talk(5)
		}, []gap{{5 * n, 100 * n, 100 * n}}},
		"timestamps leap by an hour": {func(r *rig) {
			r.talk(5)
			r.ts += 3600 * 8000
			r.sleep(2 * frame20)
			r.talk(5)
		}, []gap{{5 * n, 2 * n, 2 * n}}},
		"timestamps leap back": {func(r *rig) {
			r.talk(5)
			r.ts -= 100_000
			r.talk(5)
		}, nil},
		"the network stalls for two seconds": {func(r *rig) {
			r.talk(5)
			r.sleep(2 * time.Second)
			for range 100 {
				r.give(r.packet(0, r.seq, r.ts, block(1)))
				r.skip(1)
			}
			r.talk(5)
		}, nil},
		"numbers and timestamps roll over": {func(r *rig) {
			r.seq, r.ts = 65533, 0xFFFFFFFF-3*n
			r.talk(5)
			r.skip(1)
			r.sleep(frame20)
			r.talk(5)
		}, []gap{{5 * n, n, 0}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := running(t)
			test.send(r)
			r.end()
			s := r.out.only(t)
			if !reflect.DeepEqual(s.gaps, test.want) {
				t.Errorf("gaps %v; want %v", s.gaps, test.want)
			}
		})
	}
}

func TestHoldTime(t *testing.T) {
	r := running(t)
	r.talk(5)
	r.skip(1)
	r.sleep(frame20)
	at := r.now
	r.give(r.packet(0, r.seq, r.ts, block(9)))
	if got := len(r.out.segments[0].frames); got != 5 {
		t.Fatalf("%d frames; want 5: the next has to wait", got)
	}
	if got := r.m.deadline(); !got.Equal(at.Add(DefaultHold)) {
		t.Errorf("it waits for %v; want %v", got.Sub(at), DefaultHold)
	}
	r.sleep(DefaultHold)
	s := r.out.only(t)
	if got := len(s.frames); got != 6 {
		t.Fatalf("%d frames; want 6", got)
	}
	if got := s.frames[5].Arrived; !got.Equal(at) {
		t.Errorf("the frame arrived %v after it did: the time in the buffer does not count", got.Sub(at))
	}
	r.give(r.packet(0, r.seq-1, r.ts-160, block(8)))
	r.give(r.packet(0, r.seq, r.ts, block(9)))
	r.give(r.packet(0, r.seq-3, r.ts-3*160, block(7)))
	r.end()
	if got := r.m.account(); got.Late != 1 || got.Duplicates != 2 || got.Lost != 0 || got.Reordered != 1 {
		t.Errorf("stats %+v", got)
	}
	if late, twice := r.out.dropped(DroppedLate), r.out.dropped(DroppedDuplicate); late != 160 || twice != 320 {
		t.Errorf("%d samples late, %d duplicate; want 160, 320", late, twice)
	}
}

// TestPacketLengths changes the length of packets all the time.
func TestPacketLengths(t *testing.T) {
	r := running(t)
	total := 0
	for i, ms := range []int{20, 10, 30, 60, 20, 40, 5, 20} {
		n := 8 * ms
		r.give(r.packet(0, r.seq, r.ts, bytes.Repeat([]byte{byte(i)}, n)))
		r.seq++
		r.ts += uint32(n)
		r.sleep(time.Duration(ms) * time.Millisecond)
		total += n
	}
	r.give(r.packet(0, r.seq, r.ts, nil)) // keep-alive
	r.seq++
	r.give(r.packet(0, r.seq, r.ts, make([]byte, 1601)))
	r.end()
	s := r.out.only(t)
	if s.length() != int64(total) || s.gaps != nil {
		t.Errorf("%d samples, gaps %v; want %d and none", s.length(), s.gaps, total)
	}
	if got := r.m.account(); got.Malformed != 1 || got.Noise != 1 {
		t.Errorf("stats %+v", got)
	}
}

func TestOverlap(t *testing.T) {
	r := running(t)
	r.talk(5)
	r.ts -= 40
	r.talk(5)
	r.end()
	s := r.out.only(t)
	if s.length() != 10*160-40 || s.gaps != nil || r.out.dropped(DroppedDuplicate) != 40 {
		t.Errorf("%d samples, gaps %v, %d duplicate", s.length(), s.gaps, r.out.dropped(DroppedDuplicate))
	}
}

func TestCodecChange(t *testing.T) {
	r := running(t)
	r.talk(5)
	r.skip(2) // lost at the change
	r.sleep(2 * frame20)
	at := r.now
	for range 3 {
		r.give(r.packet(8, r.seq, r.ts, block(1)))
		r.skip(1)
		r.sleep(frame20)
	}
	r.sleep(time.Second)
	for range 3 { // silent for a second, then wideband
		r.ts += 8000
		r.give(r.packet(9, r.seq, r.ts, block(1)))
		r.skip(1)
		r.sleep(frame20)
		r.ts -= 8000
	}
	r.end()
	if len(r.out.segments) != 3 {
		t.Fatalf("%d segments; want 3", len(r.out.segments))
	}
	a, wide := r.out.segments[1], r.out.segments[2]
	if a.format != (media.Format{Encoding: media.ALaw, Rate: 8000}) || wide.format != (media.Format{Encoding: media.Linear16, Rate: 16000}) {
		t.Errorf("formats %v, %v", a.format, wide.format)
	}
	if want := []gap{{0, 320, 0}}; !reflect.DeepEqual(a.gaps, want) {
		t.Errorf("the second segment's gaps %v; want %v: what was lost at the change", a.gaps, want)
	}
	if want := at.Add(-3 * frame20); !a.arrived.Equal(want) {
		t.Errorf("the second segment began %v; want %v", a.arrived.Sub(start), want.Sub(start))
	}
	if want := []gap{{0, 16000, 16000}}; !reflect.DeepEqual(wide.gaps, want) {
		t.Errorf("the third segment's gaps %v; want %v", wide.gaps, want)
	}
	if got := wide.length(); got != 16000+3*320 {
		t.Errorf("the third segment ends at %d", got)
	}
}

func TestOutputFails(t *testing.T) {
	r := running(t)
	r.out.fail = errors.New("the leg is closed")
	r.talk(20)
	if got := r.m.account(); !errors.Is(got.Err, r.out.fail) || len(r.out.segments) != 1 {
		t.Errorf("error %v, %d segments; want the output's error and no more calls", got.Err, len(r.out.segments))
	}
	if at := r.m.deadline(); !at.IsZero() {
		t.Error("a stream that is over has something due")
	}
	r.m.finish()
}

// TestAnyOrder sends a call through a bad network: 5 % of the packets are lost, some come
// twice, and each may be overtaken by three others.
func TestAnyOrder(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 5))
		r := running(t)
		r.seq, r.ts = uint16(rnd.Uint32()), rnd.Uint32()
		type sent struct {
			at   time.Duration
			wire []byte
		}
		const n = 400
		var wire []sent
		want := make([][]byte, n)
		for i := range n {
			block := make([]byte, 160)
			for j := range block {
				block[j] = byte(rnd.Uint32())
			}
			packet := r.packet(0, r.seq, r.ts, block)
			r.skip(1)
			if i > 0 && i < n-1 && rnd.IntN(100) < 5 { // the ends of a call are not missed by anybody
				continue
			}
			want[i] = block
			// Overtaken by at most three means less than three packets' time of delay, within the hold.
			at := time.Duration(i)*frame20 + time.Duration(rnd.Int64N(int64(59*time.Millisecond)))
			wire = append(wire, sent{at, packet})
			if rnd.IntN(100) < 3 {
				wire = append(wire, sent{at + time.Duration(rnd.Int64N(int64(100*time.Millisecond))), packet})
			}
		}
		slices.SortStableFunc(wire, func(a, b sent) int { return int(a.at - b.at) })
		for _, p := range wire {
			r.sleep(start.Add(p.at).Sub(r.now))
			r.give(p.wire)
		}
		r.sleep(time.Second)
		r.end()

		first := slices.IndexFunc(want, func(b []byte) bool { return b != nil })
		var lost int64
		for _, b := range want[first:] {
			if b == nil {
				lost++
			}
		}
		s := r.out.only(t)
		pos := int64(0)
		got := map[int64][]byte{}
		for _, f := range s.frames {
			got[f.Pos] = f.Payload
		}
		for i, b := range want[first:] {
			if !bytes.Equal(got[pos], b) {
				t.Fatalf("seed %d: packet %d at position %d: %d bytes came, %d were sent", seed, i, pos, len(got[pos]), len(b))
			}
			pos += 160
		}
		var filled, announced int64
		for _, g := range s.gaps {
			filled, announced = filled+g.length, announced+g.quiet
		}
		stats := r.m.account()
		if filled != lost*160 || announced != 0 || stats.Lost != lost || stats.Late != 0 {
			t.Fatalf("seed %d: %d samples are missing, %d of them announced; want %d and 0; stats %+v", seed, filled, announced, lost*160, stats)
		}
		if d := r.out.dropped(DroppedDuplicate); d != stats.Duplicates*160 || stats.Duplicates != int64(len(wire))-n+lost {
			t.Fatalf("seed %d: %d samples twice, %d packets of %d", seed, d, stats.Duplicates, len(wire))
		}
	}
}
