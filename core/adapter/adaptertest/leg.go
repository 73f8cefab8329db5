package adaptertest

import (
	"bytes"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
)

// controlBuffer is how many unread orders a leg holds; more are lost and recorded
// as a violation, because an adapter must read them.
const controlBuffer = 16

// Leg is an admitted leg as the Sink saw it.
type Leg struct {
	sink    *Sink
	index   int
	info    adapter.LegInfo
	control chan adapter.Control

	// Guarded by sink.mu.
	tracks  map[media.TrackID]*track
	order   []media.TrackID // tracks by first Join
	notes   []adapter.Note
	ended   bool // by the host: take-over
	closed  bool // by the adapter
	reason  adapter.EndReason
	written int
}

type track struct {
	segments []Segment
	samples  int64
	writing  bool
}

// Segment is a stretch of a track from one Join to the next.
type Segment struct {
	Track  adapter.Track
	Frames []media.Frame // payloads are copies
}

func (l *Leg) id() legID { return legID{call: l.CallID(), leg: l.info.LegKey} }

// CallID returns the call to which the leg belongs.
func (l *Leg) CallID() CallID { return CallID{Account: l.info.Principal.Account, Key: l.info.CallKey} }

// Info returns what the adapter said at Open.
func (l *Leg) Info() adapter.LegInfo { return l.info }

// end is what the host does to a leg: order the end, take nothing more. The
// caller holds sink.mu.
func (l *Leg) end(reason string) {
	if l.closed || l.ended {
		return
	}
	l.send(adapter.Control{Kind: adapter.ControlEnd, Reason: reason})
	l.ended = true
	l.sink.record(Event{Leg: l.index, Op: "ended by host", Text: reason})
}

// send delivers a control. The caller holds sink.mu.
func (l *Leg) send(c adapter.Control) {
	select {
	case l.control <- c:
	default:
		l.sink.violate("leg %d: %d orders were not read", l.index, controlBuffer)
	}
}

// Order delivers c to the adapter. It does nothing once the leg is closed.
func (l *Leg) Order(c adapter.Control) {
	l.sink.mu.Lock()
	defer l.sink.mu.Unlock()
	if !l.closed {
		l.send(c)
		l.sink.record(Event{Leg: l.index, Op: "order " + string(c.Kind), Text: c.Reason})
	}
}

// Conversation is for adapter.ConversationOf: what was proposed, in a project of the
// test's.
func (l *Leg) Conversation() string {
	id := l.info.Conversation
	return "projects/test/locations/global/conversations/" + id[strings.LastIndex(id, "/")+1:]
}

// Join implements adapter.Leg.
func (l *Leg) Join(id media.TrackID, t adapter.Track) error {
	l.sink.mu.Lock()
	defer l.sink.mu.Unlock()
	if l.closed || l.ended {
		return adapter.ErrClosed
	}
	if err := t.Format.Validate(); err != nil {
		l.sink.violate("leg %d: Join(%q): %v", l.index, id, err)
		return &adapter.Error{Op: "adaptertest.Join", Call: l.info.CallKey, Kind: adapter.KindInternal, Err: err}
	}
	if t.Speaker.ID == "" || t.Speaker.Role == "" {
		l.sink.violate("leg %d: Join(%q) without speaker id or role", l.index, id)
	}
	tr := l.tracks[id]
	if tr == nil {
		tr = &track{}
		l.tracks[id] = tr
		l.order = append(l.order, id)
	}
	tr.segments = append(tr.segments, Segment{Track: t})
	l.sink.record(Event{Leg: l.index, Op: "join", Track: id, Joined: &t})
	return nil
}

// Write implements adapter.Leg. It copies the payload and, because the caller
// may not touch it before Write returns, compares it once more at the end.
func (l *Leg) Write(f media.Frame) error {
	s := l.sink
	s.mu.Lock()
	if l.closed || l.ended {
		s.mu.Unlock()
		return adapter.ErrClosed
	}
	tr := l.tracks[f.Track]
	if tr == nil {
		s.violate("leg %d: Write(%q) before Join", l.index, f.Track)
		s.mu.Unlock()
		return &adapter.Error{Op: "adaptertest.Write", Call: l.info.CallKey, Kind: adapter.KindInternal, Err: errNotJoined}
	}
	if tr.writing {
		s.violate("leg %d: track %q is written by two goroutines at once", l.index, f.Track)
	}
	tr.writing = true
	l.check(tr, f)
	shared := f.Payload
	f.Payload = bytes.Clone(shared)
	segment := &tr.segments[len(tr.segments)-1]
	segment.Frames = append(segment.Frames, f)
	tr.samples += segment.Track.Format.Samples(len(f.Payload))
	l.written++
	s.wake()
	s.mu.Unlock()

	s.between()

	s.mu.Lock()
	defer s.mu.Unlock()
	if !bytes.Equal(shared, f.Payload) {
		s.violate("leg %d: track %q: the payload changed before Write returned", l.index, f.Track)
	}
	tr.writing = false
	return nil
}

// check looks for breaches of contract in a frame. The caller holds sink.mu.
func (l *Leg) check(tr *track, f media.Frame) {
	segment := tr.segments[len(tr.segments)-1]
	format := segment.Track.Format
	if len(f.Payload) == 0 || len(f.Payload)%format.SampleBytes() != 0 {
		l.sink.violate("leg %d: track %q: payload of %d bytes is not whole samples of %v", l.index, f.Track, len(f.Payload), format)
	}
	next := int64(0)
	if n := len(segment.Frames); n > 0 {
		last := segment.Frames[n-1]
		next = last.Pos + format.Samples(len(last.Payload))
	}
	if f.Pos < next {
		l.sink.violate("leg %d: track %q: Pos %d falls back before %d", l.index, f.Track, f.Pos, next)
	}
	if f.Arrived.IsZero() {
		l.sink.violate("leg %d: track %q: frame at %d has no arrival time", l.index, f.Track, f.Pos)
	}
}

// Note implements adapter.Leg.
func (l *Leg) Note(n adapter.Note) error {
	l.sink.mu.Lock()
	defer l.sink.mu.Unlock()
	if l.closed || l.ended {
		return adapter.ErrClosed
	}
	if n.Kind == "" {
		l.sink.violate("leg %d: Note without kind", l.index)
	}
	l.notes = append(l.notes, n)
	l.sink.record(Event{Leg: l.index, Op: "note", Track: n.Track, Note: &n})
	if n.Kind == adapter.NoteFinish {
		if l.info.Results == adapter.ResultsNone {
			l.sink.violate("leg %d: NoteFinish without LegInfo.Results", l.index)
		}
		if l.sink.live[l.id()] == l {
			delete(l.sink.live, l.id()) // another leg with the key takes nothing over
		}
		l.send(adapter.Control{Kind: adapter.ControlDone})
	}
	return nil
}

// Control implements adapter.Leg.
func (l *Leg) Control() <-chan adapter.Control { return l.control }

// Close implements adapter.Leg.
func (l *Leg) Close(reason adapter.EndReason) error {
	l.sink.mu.Lock()
	defer l.sink.mu.Unlock()
	if l.closed {
		return nil
	}
	if reason.Kind == "" {
		l.sink.violate("leg %d: Close without a kind of reason", l.index)
	}
	l.closed, l.reason = true, reason
	close(l.control)
	if l.sink.live[l.id()] == l {
		delete(l.sink.live, l.id())
	}
	l.sink.record(Event{Leg: l.index, Op: "close", End: &reason})
	return nil
}

// Tracks returns the track ids in the order of their first Join.
func (l *Leg) Tracks() []media.TrackID {
	l.sink.mu.Lock()
	defer l.sink.mu.Unlock()
	return slices.Clone(l.order)
}

// Segments returns the segments of a track, none for an unknown one.
func (l *Leg) Segments(id media.TrackID) []Segment {
	l.sink.mu.Lock()
	defer l.sink.mu.Unlock()
	tr := l.tracks[id]
	if tr == nil {
		return nil
	}
	out := slices.Clone(tr.segments)
	for i := range out {
		out[i].Frames = slices.Clone(out[i].Frames)
	}
	return out
}

// MuLaw returns a track's audio as one piece of mu-law: all frames in order of
// arrival, gaps left out, other encodings converted.
func (l *Leg) MuLaw(id media.TrackID) []byte {
	var out []byte
	for _, s := range l.Segments(id) {
		for _, f := range s.Frames {
			if e := s.Track.Format.Encoding; e == media.MuLaw {
				out = append(out, f.Payload...)
			} else {
				out = media.AppendEncoded(out, media.MuLaw, media.AppendLinear(nil, e, f.Payload))
			}
		}
	}
	return out
}

// Samples returns how many samples a track has brought.
func (l *Leg) Samples(id media.TrackID) int64 {
	l.sink.mu.Lock()
	defer l.sink.mu.Unlock()
	if tr := l.tracks[id]; tr != nil {
		return tr.samples
	}
	return 0
}

// Notes returns the leg's notes in order.
func (l *Leg) Notes() []adapter.Note {
	l.sink.mu.Lock()
	defer l.sink.mu.Unlock()
	return slices.Clone(l.notes)
}

// Frames returns how many frames were written, all tracks together.
func (l *Leg) Frames() int {
	l.sink.mu.Lock()
	defer l.sink.mu.Unlock()
	return l.written
}

// Closed returns the reason of the adapter's Close; ok is false while it has not
// closed the leg.
func (l *Leg) Closed() (reason adapter.EndReason, ok bool) {
	l.sink.mu.Lock()
	defer l.sink.mu.Unlock()
	return l.reason, l.closed
}

// OrderWait is Order for many orders at once: it waits until the adapter has read enough
// of those before.
func (l *Leg) OrderWait(tb testing.TB, c adapter.Control) {
	tb.Helper()
	for deadline := time.Now().Add(Patience); len(l.control) == cap(l.control); runtime.Gosched() {
		if time.Now().After(deadline) {
			tb.Fatalf("adaptertest: the adapter does not read its orders")
		}
	}
	l.Order(c)
}
