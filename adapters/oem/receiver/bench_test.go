package receiver

import (
	"bytes"
	"testing"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
	"github.com/pion/srtp/v3"
)

// deaf is an Output that only counts, so that a benchmark sees the receiver alone.
type deaf struct{ frames int }

func (*deaf) Join(media.Format, time.Time) error { return nil }
func (d *deaf) Write(media.Frame) error          { d.frames++; return nil }
func (*deaf) Note(adapter.Note) error            { return nil }

// wire is a second of packets, sealed when suite is not empty.
func wire(tb testing.TB, pt uint8, suite Suite, key MasterKey) [][]byte {
	r := newRig(tb)
	var seal *srtp.Context
	if suite != "" {
		var err error
		if seal, err = srtp.CreateContext(key.Key, key.Salt, profiles[suite]); err != nil {
			tb.Fatal(err)
		}
	}
	out := make([][]byte, 1000)
	for i := range out {
		out[i] = r.packet(pt, uint16(i), uint32(i*160), bytes.Repeat([]byte{byte(i)}, 160))
		if seal != nil {
			var err error
			if out[i], err = seal.EncryptRTP(nil, out[i], nil); err != nil {
				tb.Fatal(err)
			}
		}
	}
	return out
}

// pace is a machine on its way through a second of packets, again and again.
type pace struct {
	r    *rig
	out  deaf
	wire [][]byte
	i    int
	keys func()
}

func newPace(tb testing.TB, pt uint8, suite Suite) *pace {
	p := &pace{r: newRig(tb)}
	p.r.m.init(&p.out, DefaultHold, -1, "cname", func(string) {})
	media := agreed()
	if suite != "" {
		key, err := suite.NewKey()
		if err != nil {
			tb.Fatal(err)
		}
		media.Keys = &Keys{Suite: suite, Sender: []MasterKey{key}, Own: key}
		p.wire = wire(tb, pt, suite, key)
		p.keys = func() { // as if the packets were new
			c, err := contextFor(media.Keys.Sender, profiles[suite])
			if err != nil {
				tb.Fatal(err)
			}
			p.r.m.crypt.peer = c
		}
	} else {
		p.wire = wire(tb, pt, "", MasterKey{})
		p.keys = func() {}
	}
	p.r.accept(media)
	for range 10 {
		p.next()
	}
	return p
}

// next gives the machine one packet.
func (p *pace) next() {
	if p.i == len(p.wire) {
		p.i = 0
		p.r.m.listening = false
		p.keys()
		p.next()
		p.r.now = p.r.now.Add(DefaultHold)
		p.r.m.expire(p.r.now)
	}
	p.r.m.datagram(p.wire[p.i], p.r.from, p.r.now)
	p.r.now = p.r.now.Add(frame20)
	p.i++
}

var kinds = []struct {
	name  string
	pt    uint8
	suite Suite
}{{"PCMU", 0, ""}, {"PCMA", 8, ""}, {"G722", 9, ""}, {"SRTP-CM-128-80", 0, AES128CMSHA1_80}, {"SRTP-GCM-256", 0, AEADAES256GCM}}

// BenchmarkPacket is a packet's way through the machine.
func BenchmarkPacket(b *testing.B) {
	for _, k := range kinds {
		b.Run(k.name, func(b *testing.B) {
			p := newPace(b, k.pt, k.suite)
			b.ReportAllocs()
			for b.Loop() {
				p.next()
			}
		})
	}
}

// TestPacketAllocatesNothing keeps the packet's way as the benchmark found it.
func TestPacketAllocatesNothing(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			p := newPace(t, k.pt, k.suite)
			before := p.out.frames
			if got := testing.AllocsPerRun(500, p.next); got != 0 {
				t.Errorf("%v allocations a packet; want 0", got)
			}
			if p.out.frames-before != 501 {
				t.Errorf("%d of 501 packets were heard", p.out.frames-before)
			}
		})
	}
}

// TestDisorderAllocatesNothing swaps every two packets.
func TestDisorderAllocatesNothing(t *testing.T) {
	p := newPace(t, 0, "")
	for i := 10; i+1 < len(p.wire); i += 2 {
		p.wire[i], p.wire[i+1] = p.wire[i+1], p.wire[i]
	}
	p.next()
	p.next()
	if got := testing.AllocsPerRun(500, p.next); got > 0.1 { // the pool may lose some to the collector
		t.Errorf("%v allocations a packet; want none", got)
	}
	if p.r.m.stats.Reordered < 200 {
		t.Errorf("%d packets were out of order", p.r.m.stats.Reordered)
	}
}
