package adaptertest

import (
	"testing"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
)

// Patience is how long the Wait functions wait before they fail the test. It is
// far longer than anything here takes, so that a busy machine fails no test.
const Patience = 20 * time.Second

// Wait waits until cond holds. cond is asked again after every change at the
// sink and may call any method of the Sink and its legs. After Patience the test
// fails with what.
func (s *Sink) Wait(tb testing.TB, what string, cond func() bool) {
	tb.Helper()
	timeout := time.NewTimer(Patience)
	defer timeout.Stop()
	for {
		s.mu.Lock()
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		s.mu.Unlock()
		if cond() {
			return
		}
		select {
		case <-changed:
		case <-timeout.C:
			tb.Fatalf("waited %v for %s; so far: %v", Patience, what, s.Events())
		}
	}
}

// WaitLeg waits for the leg with index n, counted from 0 in the order of
// admission.
func (s *Sink) WaitLeg(tb testing.TB, n int) *Leg {
	tb.Helper()
	s.Wait(tb, "a leg", func() bool { return len(s.Legs()) > n })
	return s.Legs()[n]
}

// WaitRefused waits until n legs were refused.
func (s *Sink) WaitRefused(tb testing.TB, n int) {
	tb.Helper()
	s.Wait(tb, "a refusal", func() bool { return s.Refused() >= n })
}

// WaitClosed waits until the adapter closed the leg and returns its reason.
func (l *Leg) WaitClosed(tb testing.TB) adapter.EndReason {
	tb.Helper()
	l.sink.Wait(tb, "the leg's end", func() bool { _, ok := l.Closed(); return ok })
	reason, _ := l.Closed()
	return reason
}

// WaitFrames waits until n frames were written, all tracks together.
func (l *Leg) WaitFrames(tb testing.TB, n int) {
	tb.Helper()
	l.sink.Wait(tb, "frames", func() bool { return l.Frames() >= n })
}

// WaitSamples waits until n samples were written on a track.
func (l *Leg) WaitSamples(tb testing.TB, id media.TrackID, n int64) {
	tb.Helper()
	l.sink.Wait(tb, "samples", func() bool { return l.Samples(id) >= n })
}

// WaitNote waits for a note of a kind and returns the first.
func (l *Leg) WaitNote(tb testing.TB, kind adapter.NoteKind) adapter.Note {
	tb.Helper()
	var found adapter.Note
	l.sink.Wait(tb, "a note "+string(kind), func() bool {
		for _, n := range l.Notes() {
			if n.Kind == kind {
				found = n
				return true
			}
		}
		return false
	})
	return found
}

// Check fails the test for every breach of contract that the Sink saw.
func (s *Sink) Check(tb testing.TB) {
	tb.Helper()
	for _, v := range s.Violations() {
		tb.Errorf("contract: %s", v)
	}
}
