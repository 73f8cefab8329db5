package receiver

import (
	"net/netip"
	"testing"
	"time"

	"github.com/pion/rtcp"
)

// due lets time pass until the next report, and returns it.
func (r *rig) due() (*rtcp.ReceiverReport, *rtcp.SourceDescription, netip.AddrPort) {
	r.t.Helper()
	for range 100 {
		r.now = later(r.now, r.m.deadline())
		r.m.expire(r.now)
		b, to := r.m.report(r.now)
		if b == nil {
			continue
		}
		got, err := rtcp.Unmarshal(b)
		if err != nil || len(got) != 2 {
			r.t.Fatalf("report %v: %v", got, err)
		}
		return got[0].(*rtcp.ReceiverReport), got[1].(*rtcp.SourceDescription), to
	}
	r.t.Fatal("no report is due")
	return nil, nil, netip.AddrPort{}
}

func TestReports(t *testing.T) {
	r := running(t)
	began := r.now
	rr, sdes, to := r.due()
	if len(rr.Reports) != 0 || sdes.Chunks[0].Items[0].Text != "cname" || sdes.Chunks[0].Source != rr.SSRC {
		t.Errorf("the first report says %v, %v", rr, sdes)
	}
	if to != agreed().RTCP {
		t.Errorf("it goes to %v", to)
	}
	if wait := r.now.Sub(began); wait != DefaultReport/2 {
		t.Errorf("it goes after %v", wait)
	}
	began = r.now
	_, _, _ = r.due()
	if wait := r.now.Sub(began); wait < DefaultReport/2 || wait > 3*DefaultReport/2 {
		t.Errorf("the second one goes after %v", wait)
	}

	r.talk(30)
	r.skip(10)
	r.sleep(frame20)
	r.talk(10)
	sr, _ := rtcp.Marshal([]rtcp.Packet{&rtcp.SenderReport{SSRC: r.ssrc, NTPTime: 0xAABBCCDD_11223344}})
	r.m.control(sr, sender, r.now)
	heard := r.now
	rr, _, _ = r.due()
	if len(rr.Reports) != 1 {
		t.Fatalf("report %v", rr)
	}
	got := rr.Reports[0]
	want := rtcp.ReceptionReport{
		SSRC: r.ssrc, FractionLost: 51 /* 10 of 50 */, TotalLost: 10, LastSequenceNumber: uint32(r.seq - 1),
		LastSenderReport: 0xCCDD1122, Delay: uint32(r.now.Sub(heard) * 65536 / time.Second), Jitter: got.Jitter,
	}
	if got != want {
		t.Errorf("report %+v; want %+v", got, want)
	}
	if stats := r.m.account(); !stats.LastRTCP.Equal(heard) || stats.Reports != 1 || stats.Sent != 3 {
		t.Errorf("stats %+v", stats)
	}
}

func TestReportAddress(t *testing.T) {
	learned := netip.MustParseAddrPort("192.0.2.11:9999")
	for name, test := range map[string]struct {
		agreed netip.AddrPort
		from   netip.AddrPort
		want   netip.AddrPort
	}{
		"as agreed":            {netip.MustParseAddrPort("192.0.2.10:6001"), learned, netip.MustParseAddrPort("192.0.2.10:6001")},
		"where theirs is from": {netip.AddrPort{}, learned, learned},
		"held by 0.0.0.0":      {netip.MustParseAddrPort("0.0.0.0:6001"), learned, learned},
		"not to strangers":     {netip.AddrPort{}, evil, netip.AddrPort{}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			m := agreed()
			m.RTCP = test.agreed
			r.accept(m)
			sr, _ := rtcp.Marshal([]rtcp.Packet{&rtcp.SenderReport{SSRC: 9}})
			r.m.control(sr, test.from, r.now)
			r.now = r.m.deadline()
			if _, to := r.m.report(r.now); to != test.want {
				t.Errorf("the report goes to %v; want %v", to, test.want)
			}
		})
	}
}

// TestMux sends RTCP to the RTP port.
func TestMux(t *testing.T) {
	r := running(t)
	r.talk(5)
	sr, _ := rtcp.Marshal([]rtcp.Packet{&rtcp.SenderReport{SSRC: r.ssrc, NTPTime: 1 << 32}})
	r.give(sr)
	r.talk(5)
	r.end()
	if got := r.m.account(); got.Reports != 1 || got.Payload != 0 || got.Malformed != 0 || got.Delivered != 10 {
		t.Errorf("stats %+v", got)
	}
}

func TestJitter(t *testing.T) {
	steady, shaken := running(t), running(t)
	for i := range 400 {
		steady.talk(1)
		late := time.Duration(i%2) * 10 * time.Millisecond
		shaken.sleep(late)
		shaken.give(shaken.packet(0, shaken.seq, shaken.ts, block(1)))
		shaken.skip(1)
		shaken.sleep(frame20 - late)
	}
	if got := steady.m.account().Jitter; got != 0 {
		t.Errorf("a steady source has a jitter of %v", got)
	}
	if got := shaken.m.account().Jitter; got < 9*time.Millisecond || got > 11*time.Millisecond {
		t.Errorf("jitter %v; want 10 ms", got)
	}
}

func FuzzControl(f *testing.F) {
	sr, _ := rtcp.Marshal([]rtcp.Packet{&rtcp.SenderReport{SSRC: 0x1234, NTPTime: 1 << 40}, rtcp.NewCNAMESourceDescription(0x1234, "x")})
	bye, _ := rtcp.Marshal([]rtcp.Packet{&rtcp.Goodbye{Sources: []uint32{0x1234}, Reason: "over"}})
	f.Add(sr)
	f.Add(bye)
	f.Add([]byte{0x80, 200, 0xFF, 0xFF})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := running(t)
		r.talk(5)
		r.m.control(b, sender, r.now)
		r.m.control(b, evil, r.now)
		r.due()
		r.talk(5)
		r.end()
		if s := r.out.only(t); len(s.frames) != 10 {
			t.Errorf("the audio suffers: %d frames", len(s.frames))
		}
	})
}
