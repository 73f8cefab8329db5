package plug

import (
	"fmt"
	"sync"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/plug/internal/wire"
	plugv1 "github.com/patchbay/patchbay/core/plug/proto/patchbay/plug/v1"
)

const (
	// controlBuffer is how many orders wait for an adapter that does not read them. Of
	// more, the oldest are lost, never the last.
	controlBuffer = 16
	// maxFrameBytes is the longest payload sent as one frame; longer ones are cut into
	// several.
	maxFrameBytes = 64 << 10
)

// leg implements adapter.Leg on the session's stream.
type leg struct {
	session *session
	number  uint64
	call    string
	answer  chan error // the host's answer to Open; nil admits

	conversation string // set before the answer

	mu      sync.Mutex
	tracks  map[media.TrackID]*track
	control chan adapter.Control
	failed  error // why the host takes nothing more
	closed  bool
	lost    bool // results; the adapter was told
}

// controlRoom is how many orders and results wait for an adapter.
func controlRoom(f adapter.ResultForm) int {
	if f == adapter.ResultsNone {
		return controlBuffer
	}
	return controlBuffer + adapter.ResultBuffer
}

// track is a track of a leg that was joined.
type track struct {
	leg     uint64
	number  uint64
	id      media.TrackID
	format  media.Format
	failed  error
	dropped int64 // samples that the queue had no room for; guarded by queue.mu
}

// answered delivers the answer to Open, of which only the first counts.
func (l *leg) answered(err error) {
	select {
	case l.answer <- err:
	default:
	}
}

// order delivers what the host wants.
func (l *leg) order(c adapter.Control) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	if c.Kind == adapter.ControlResult && len(l.control) >= adapter.ResultBuffer {
		l.session.queue.count(countDroppedResults)
		if l.lost {
			return
		}
		l.lost = true
		c = adapter.Control{Kind: adapter.ControlLost, Reason: "results are not read"}
	}
	select {
	case l.control <- c:
		return
	default:
	}
	select {
	case <-l.control: // the oldest
	default:
	}
	l.control <- c // there is room: only we send
}

// fail marks the leg, or one track of it, as no longer taken by the host.
func (l *leg) fail(track uint64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if track == 0 {
		l.failed = err
		return
	}
	for _, t := range l.tracks {
		if t.number == track {
			t.failed = err
		}
	}
}

// usable returns why the leg takes nothing, if so. The caller holds mu.
func (l *leg) usable() error {
	if l.closed {
		return adapter.ErrClosed
	}
	return l.failed
}

// Join implements adapter.Leg.
func (l *leg) Join(id media.TrackID, t adapter.Track) error {
	if err := t.Format.Validate(); err != nil {
		return l.misuse("Join", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	tr := l.tracks[id]
	if tr == nil {
		tr = &track{leg: l.number, number: l.session.nextTrack(), id: id}
	}
	join := wire.FromTrack(l.number, tr.number, id, t)
	if err := l.session.queue.join(tr, &plugv1.Item{Item: &plugv1.Item_Join{Join: join}}); err != nil {
		return err
	}
	tr.format, tr.failed = t.Format, nil
	l.tracks[id] = tr
	return nil
}

// Write implements adapter.Leg. It copies the payload and never waits.
func (l *leg) Write(f media.Frame) error {
	tr, format, err := l.writable(f.Track)
	if err != nil {
		return err
	}
	if len(f.Payload) == 0 || len(f.Payload)%format.SampleBytes() != 0 {
		return l.misuse("Write", fmt.Errorf("track %q: %d bytes are not whole samples of %v", f.Track, len(f.Payload), format))
	}
	for len(f.Payload) > maxFrameBytes {
		head, n := f, format.Samples(maxFrameBytes)
		head.Payload = f.Payload[:maxFrameBytes]
		if err := l.session.queue.frame(tr, head, n); err != nil {
			return err
		}
		f.Pos += n
		f.Payload = f.Payload[maxFrameBytes:]
	}
	return l.session.queue.frame(tr, f, format.Samples(len(f.Payload)))
}

// writable returns a track that takes frames, and their format.
func (l *leg) writable(id media.TrackID) (*track, media.Format, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return nil, media.Format{}, err
	}
	tr := l.tracks[id]
	if tr == nil {
		return nil, media.Format{}, l.misuse("Write", fmt.Errorf("track %q was not joined", id))
	}
	return tr, tr.format, tr.failed
}

// Note implements adapter.Leg.
func (l *leg) Note(n adapter.Note) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	return l.session.queue.event(&plugv1.Item{Item: &plugv1.Item_Note{Note: wire.FromNote(l.number, n)}})
}

// Conversation is for adapter.ConversationOf.
func (l *leg) Conversation() string { return l.conversation }

// Control implements adapter.Leg.
func (l *leg) Control() <-chan adapter.Control { return l.control }

// Close implements adapter.Leg.
func (l *leg) Close(reason adapter.EndReason) error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	close(l.control)
	l.session.queue.last(l.tracks, &plugv1.Item{Item: &plugv1.Item_Close{Close: wire.FromEnd(l.number, reason)}})
	l.mu.Unlock()
	l.session.forget(l)
	return nil
}

func (l *leg) misuse(op string, err error) error {
	return &adapter.Error{Op: "plug." + op, Call: l.call, Kind: adapter.KindInternal, Err: err}
}
