package call

import (
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/tape"
)

// leg is the host's end of one media connection. It implements adapter.Leg.
type leg struct {
	call    *Call
	key     string
	control chan adapter.Control
	started time.Time
	held    bool // on hold, as the vendor said; guarded by call.mu

	// writers is replaced whole at each Join, so that Write takes no lock of the call.
	writers atomic.Pointer[map[media.TrackID]*feed]

	mu     sync.Mutex // guards what follows; taken after call.mu, never before
	closed bool
	end    adapter.EndReason
	ended  time.Time
	lost   bool          // results; the adapter was told
	begins map[int]begin // where the audio of this leg begins on its tracks, by their numbers
}

// controlBuffer holds what a leg is told before its adapter looks: a pause, a
// resume and an end never wait for it.
const controlBuffer = 8

func newLeg(c *Call, key string, results adapter.ResultForm) *leg {
	room := controlBuffer
	if results != adapter.ResultsNone {
		room += adapter.ResultBuffer
	}
	l := &leg{call: c, key: key, control: make(chan adapter.Control, room), started: time.Now(), begins: make(map[int]begin)}
	l.writers.Store(&noWriters)
	return l
}

// Join begins a segment of a track; see adapter.Leg.
func (l *leg) Join(id media.TrackID, t adapter.Track) error {
	if id == "" || len(id) > maxKey || len(t.Speaker.ID) > maxKey {
		return vendorError("Join", l, errors.New("track and speaker need names of 1 to 512 characters"))
	}
	return l.call.join(l, id, t)
}

// feed makes w the way of a track's audio. before is the track that had it on this leg,
// if it was another. call.mu is held.
func (l *leg) feed(tr, before *track, w *tape.Writer) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return adapter.ErrClosed
	}
	next := maps.Clone(*l.writers.Load())
	next[media.TrackID(tr.ref.Track)] = &feed{tape: tr.tape, format: tr.format, writer: w}
	l.writers.Store(&next)
	l.begin(tr, before, w.Start())
	return nil
}

// divert lets the audio that follows go to another tape, of which w is the writer: the
// adapter goes on with its segment and notices nothing. call.mu is held.
func (l *leg) divert(tr, before *track, w *tape.Writer) {
	f := (*l.writers.Load())[media.TrackID(tr.ref.Track)]
	if f == nil { // the leg ends just now
		before.tape.End()
		return
	}
	f.divert(before.tape, tr.tape, w)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.begin(tr, before, w.Start())
}

// begin remembers where the leg's audio begins on a track; what it brought on the track
// before counts. l.mu is held.
func (l *leg) begin(tr, before *track, start int64) {
	if _, again := l.begins[tr.ref.Number]; again {
		return
	}
	if before != nil {
		if b, ok := l.begins[before.ref.Number]; ok {
			start -= before.session.Audio.End() - b.pos
		}
	}
	l.begins[tr.ref.Number] = begin{start, tr.format.Rate}
}

// Write appends a frame to its track's tape; see adapter.Leg.
func (l *leg) Write(f media.Frame) error {
	to, ok := (*l.writers.Load())[f.Track]
	if !ok {
		if l.isClosed() {
			return adapter.ErrClosed
		}
		return vendorError("Write", l, fmt.Errorf("audio on track %q, which was not joined", f.Track))
	}
	err := to.write(f)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, tape.ErrEnded), errors.Is(err, tape.ErrReplaced):
		return adapter.ErrClosed
	default:
		return vendorError("Write", l, err)
	}
}

// Note takes what the vendor said beside the audio; see adapter.Leg.
func (l *leg) Note(n adapter.Note) error {
	if l.isClosed() {
		return adapter.ErrClosed
	}
	l.call.note(l, n)
	if n.Kind == adapter.NoteFinish {
		l.call.finish(l)
	}
	return nil
}

// Control returns what the host wants of the leg; see adapter.Leg.
func (l *leg) Control() <-chan adapter.Control { return l.control }

// Conversation is for adapter.ConversationOf.
func (l *leg) Conversation() string {
	c := l.call.conversation
	if c.Foreign != "" {
		return c.Foreign
	}
	return c.Google.ConversationName(c.ID)
}

// Close ends the leg; see adapter.Leg.
func (l *leg) Close(reason adapter.EndReason) error {
	if l.finish(reason) {
		l.call.legClosed(l, reason)
	}
	return nil
}

// finish marks the leg as closed; it reports false when it was already.
func (l *leg) finish(reason adapter.EndReason) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.closed, l.end, l.ended = true, reason, time.Now()
	l.writers.Store(&noWriters)
	close(l.control)
	return true
}

func (l *leg) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// tell hands the adapter a control. One that never looks, with its buffer full, is
// left behind, which the log says.
func (l *leg) tell(c adapter.Control) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	if c.Kind == adapter.ControlResult && len(l.control) >= adapter.ResultBuffer {
		l.call.lostResults.Add(1)
		if l.lost {
			return
		}
		l.lost = true
		c = adapter.Control{Kind: adapter.ControlLost, Reason: "results are not read"}
	}
	select {
	case l.control <- c:
	default:
		l.call.log.Warn("the adapter does not look at its orders; one is lost", "order", c.Kind)
	}
}

func vendorError(op string, l *leg, err error) error {
	return &adapter.Error{Op: "call." + op, Call: l.call.key.key, Kind: adapter.KindVendor, Err: err}
}

func refusalOf(err error) (*adapter.Refusal, bool) { return errors.AsType[*adapter.Refusal](err) }
