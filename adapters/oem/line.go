package oem

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/patchbay/patchbay/adapters/oem/receiver"
	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
)

// line is one audio stream of a call on its way to a track of the leg. It is the
// receiver's Output; whose voice it is, and which leg it belongs to, may change while
// audio comes.
type line struct {
	call   *session
	id     media.TrackID
	index  int // among the m= lines
	stream *receiver.Stream
	whose  atomic.Pointer[whose] // set before the stream accepts anything
	warned bool                  // that it is mixed; guarded by call.mu

	// What follows belongs to the stream's reader.
	now    *whose // as joined; nil before the first segment
	format media.Format
	base   int64 // position of the receiver's segment at which ours began
}

// whose says for whom audio is heard.
type whose struct {
	call    string // its key, for the log
	leg     adapter.Leg
	speaker adapter.Speaker
}

// Join begins a segment.
func (l *line) Join(f media.Format, arrived time.Time) error {
	l.format, l.base = f, 0
	return l.join(l.whose.Load(), arrived)
}

func (l *line) join(w *whose, arrived time.Time) error {
	l.now = w
	return l.heard(w.leg.Join(l.id, adapter.Track{Format: l.format, Speaker: w.speaker, Arrived: arrived}))
}

// Write hands a frame on, in a new segment if the speaker or the leg is another by now.
func (l *line) Write(f media.Frame) error {
	if w := l.whose.Load(); w != l.now {
		l.base = f.Pos
		if err := l.join(w, f.Arrived.Add(-l.format.Duration(l.format.Samples(len(f.Payload))))); err != nil {
			return err
		}
	}
	f.Track, f.Pos = l.id, f.Pos-l.base
	return l.heard(l.now.leg.Write(f))
}

// Note hands on what the stream says beside audio.
func (l *line) Note(n adapter.Note) error {
	n.Track = l.id
	if l.now == nil {
		return l.heard(l.whose.Load().leg.Note(n))
	}
	return l.heard(l.now.leg.Note(n))
}

// heard judges what the leg answered. A leg that the host closed ends the call; anything
// else is the host's trouble and no reason to stop listening.
func (l *line) heard(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, adapter.ErrClosed):
		if l.now != nil && l.now.leg != l.whose.Load().leg {
			return nil // the leg of before; the next frame goes to the new one
		}
		l.call.hangUp(adapter.EndReason{Kind: adapter.EndOrdered, Text: "the host closed the leg"})
		return err
	}
	l.call.server.report.Warn(countWrite, "the host did not take audio or a note", "call", l.whose.Load().call, "err", err)
	return nil
}
