package receiver

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtp"
	"go.uber.org/goleak"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
)

func TestMain(m *testing.M) {
	if ports := os.Getenv(senderPorts); ports != "" {
		send(strings.Split(ports, ","))
		return
	}
	goleak.VerifyTestMain(m)
}

// recorder is an Output that remembers, and that knows the rules.
type recorder struct {
	segments []segment
	notes    []adapter.Note
	kinds    map[string]int // counted
	fail     error
}

type segment struct {
	format  media.Format
	arrived time.Time
	frames  []media.Frame
	gaps    []gap
}

// gap is a jump of the position, and how much of it was announced.
type gap struct{ at, length, quiet int64 }

func (r *recorder) Join(f media.Format, arrived time.Time) error {
	r.segments = append(r.segments, segment{format: f, arrived: arrived})
	return r.fail
}

func (r *recorder) Write(f media.Frame) error {
	if len(r.segments) == 0 {
		return errors.New("a frame before the first segment")
	}
	s := &r.segments[len(r.segments)-1]
	end := int64(0)
	if len(s.frames) > 0 {
		end = s.length()
	}
	if f.Pos < end {
		return fmt.Errorf("position %d after %d", f.Pos, end)
	}
	if len(f.Payload) == 0 {
		return errors.New("an empty frame")
	}
	quiet := int64(0)
	for _, n := range r.notes {
		if n.Kind == adapter.NoteGap {
			quiet += n.Samples
		}
	}
	r.notes = slices.DeleteFunc(r.notes, func(n adapter.Note) bool { return n.Kind == adapter.NoteGap })
	if f.Pos > end {
		s.gaps = append(s.gaps, gap{end, f.Pos - end, quiet})
	} else if quiet > 0 {
		return fmt.Errorf("a gap of %d samples was announced that is none", quiet)
	}
	f.Payload = bytes.Clone(f.Payload)
	s.frames = append(s.frames, f)
	return r.fail
}

func (r *recorder) Note(n adapter.Note) error {
	r.notes = append(r.notes, n)
	return r.fail
}

// dropped adds up the samples that were dropped for a reason.
func (r *recorder) dropped(why string) (n int64) {
	for _, note := range r.notes {
		if note.Kind == adapter.NoteDropped && note.Text == why {
			n += note.Samples
		}
	}
	return n
}

func (r *recorder) dtmf() (digits string) {
	for _, note := range r.notes {
		if note.Kind == adapter.NoteDTMF {
			digits += note.Text
		}
	}
	return digits
}

// only returns the one segment.
func (r *recorder) only(t *testing.T) segment {
	t.Helper()
	if len(r.segments) != 1 {
		t.Fatalf("%d segments; want 1", len(r.segments))
	}
	return r.segments[0]
}

// rig is a machine in a time of its own.
type rig struct {
	t   testing.TB
	m   machine
	out recorder
	now time.Time

	from netip.AddrPort
	ssrc uint32
	seq  uint16
	ts   uint32
}

var (
	start  = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	sender = netip.MustParseAddrPort("192.0.2.10:6000")
	other  = netip.MustParseAddrPort("192.0.2.11:7000")
	evil   = netip.MustParseAddrPort("198.51.100.66:6000")
)

const frame20 = 20 * time.Millisecond

func newRig(t testing.TB) *rig {
	r := &rig{t: t, now: start, from: sender, ssrc: 0x1234, seq: 100, ts: 5000, out: recorder{kinds: map[string]int{}}}
	r.m.init(&r.out, DefaultHold, DefaultReport, "cname", func(kind string) { r.out.kinds[kind]++ })
	return r
}

// agreed is what most tests agree on.
func agreed() Media {
	return Media{
		Receive: true,
		Payloads: map[uint8]Payload{
			0: {PCMU, 8000}, 8: {PCMA, 8000}, 9: {G722, 8000}, 13: {ComfortNoise, 8000}, 19: {ComfortNoise, 8000},
			101: {Event, 8000}, 102: {Event, 48000}, 111: {Opus, 48000},
		},
		Sources: []netip.Prefix{Host(sender.Addr()), Host(other.Addr())},
		RTCP:    netip.MustParseAddrPort("192.0.2.10:6001"),
	}
}

func running(t testing.TB) *rig {
	r := newRig(t)
	r.accept(agreed())
	return r
}

func (r *rig) accept(m Media) {
	r.t.Helper()
	if err := m.validate(); err != nil {
		r.t.Fatal(err)
	}
	if err := r.m.accept(m, r.now); err != nil {
		r.t.Fatal(err)
	}
}

// sleep lets d pass, with all that falls due.
func (r *rig) sleep(d time.Duration) {
	end := r.now.Add(d)
	for range 1000 {
		at := r.m.deadline()
		if at.IsZero() || at.After(end) {
			r.now = end
			return
		}
		r.now = later(r.now, at)
		r.m.expire(r.now)
		r.m.report(r.now)
	}
	r.t.Fatal("deadlines never end")
}

// packet is the wire form of an RTP packet.
func (r *rig) packet(pt uint8, seq uint16, ts uint32, payload []byte) []byte {
	p := rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: pt, SequenceNumber: seq, Timestamp: ts, SSRC: r.ssrc}, Payload: payload}
	b, err := p.Marshal()
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

func (r *rig) give(b []byte) { r.m.datagram(b, r.from, r.now) }

// block is 20 ms of audio that says its number.
func block(n int) []byte {
	b := bytes.Repeat([]byte{byte(n)}, 160)
	b[0] = byte(n >> 8)
	return b
}

// talk sends n packets of 20 ms of mu-law at their pace.
func (r *rig) talk(n int) {
	for range n {
		r.give(r.packet(0, r.seq, r.ts, block(int(r.seq))))
		r.skip(1)
		r.sleep(frame20)
	}
}

// skip passes over n packets of 20 ms.
func (r *rig) skip(n int) {
	r.seq += uint16(n)
	r.ts += uint32(160 * n)
}

// end finishes, and checks that the output is content.
func (r *rig) end() {
	r.t.Helper()
	r.m.finish()
	if r.m.stats.Err != nil {
		r.t.Errorf("the output fails with %v", r.m.stats.Err)
	}
}

// length is where a segment ends.
func (s segment) length() int64 {
	last := s.frames[len(s.frames)-1]
	return last.Pos + s.format.Samples(len(last.Payload))
}
