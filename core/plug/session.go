package plug

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/plug/internal/wire"
	plugv1 "github.com/patchbay/patchbay/core/plug/proto/patchbay/plug/v1"
)

var errQueueFull = errors.New("the host does not keep up: too many events wait")

func tooLargeError(n int) error {
	return fmt.Errorf("an event of %d bytes; at most %d", n, wire.MaxItemBytes)
}

// session is the host as the adapter sees it: it implements adapter.Sink on the
// stream of Session.
type session struct {
	queue *queue

	mu       sync.Mutex
	legs     map[uint64]*leg // asked for or admitted
	lastLeg  uint64
	lastTr   uint64
	draining bool
	gone     bool          // the stream ended
	idle     chan struct{} // closed when draining and no leg is left

	relay  *relay
	relays bool // the program states the ability
}

func newSession(relays bool) *session {
	return &session{queue: newQueue(), legs: map[uint64]*leg{}, idle: make(chan struct{}), relay: newRelay(), relays: relays}
}

// Open implements adapter.Sink. ctx bounds the wait for the host's answer.
func (s *session) Open(ctx context.Context, info adapter.LegInfo) (adapter.Leg, error) {
	l, err := s.newLeg(info)
	if err != nil {
		return nil, err
	}
	if err := s.queue.event(&plugv1.Item{Item: &plugv1.Item_Open{Open: wire.FromLegInfo(l.number, info)}}); err != nil {
		s.forget(l)
		return nil, &adapter.Refusal{Reason: notAsked(err), Text: err.Error()}
	}
	select {
	case err := <-l.answer:
		if err != nil {
			s.forget(l)
			return nil, err
		}
		return l, nil
	case <-ctx.Done():
		// The answer may be under way: with Close the host lets go of the leg.
		_ = l.Close(adapter.EndReason{Kind: adapter.EndLost, Text: "the vendor's connection did not wait for admission"})
		return nil, fmt.Errorf("plug: open: %w", ctx.Err())
	}
}

// notAsked returns the reason for a refusal that the host never heard of.
func notAsked(err error) adapter.RefusalReason {
	switch {
	case errors.Is(err, adapter.ErrClosed):
		return adapter.RefusedGone
	case adapter.KindOf(err) == adapter.KindUnavailable:
		return adapter.RefusedFull
	default:
		return adapter.RefusedInvalid
	}
}

func (s *session) newLeg(info adapter.LegInfo) (*leg, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return nil, &adapter.Refusal{Reason: adapter.RefusedGone, Text: "the host went away"}
	}
	if s.draining {
		return nil, &adapter.Refusal{Reason: adapter.RefusedDraining, Text: "this plugin is about to stop"}
	}
	s.lastLeg++
	l := &leg{
		session: s,
		number:  s.lastLeg,
		call:    info.CallKey,
		answer:  make(chan error, 1),
		control: make(chan adapter.Control, controlRoom(info.Results)),
		tracks:  map[media.TrackID]*track{},
	}
	s.legs[l.number] = l
	return l, nil
}

// forget lets go of a leg.
func (s *session) forget(l *leg) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.legs, l.number)
	s.checkIdle()
}

// checkIdle tells drain when nothing is left. The caller holds mu.
func (s *session) checkIdle() {
	if s.draining && len(s.legs) == 0 {
		select {
		case <-s.idle:
		default:
			close(s.idle)
		}
	}
}

func (s *session) nextTrack() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastTr++
	return s.lastTr
}

func (s *session) leg(number uint64) *leg {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.legs[number]
}

func (s *session) live() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.legs)
}

// drain refuses new legs from now on and waits for the last one to end.
func (s *session) drain(ctx context.Context) error {
	s.mu.Lock()
	s.draining = true
	s.checkIdle()
	s.mu.Unlock()
	select {
	case <-s.idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// down acts on a message of the host. Messages about unknown legs are late ones.
func (s *session) down(m *plugv1.Down) {
	switch m := m.GetItem().(type) {
	case *plugv1.Down_Admitted:
		if l := s.leg(m.Admitted.GetLeg()); l != nil {
			l.conversation = m.Admitted.GetConversation() // before the answer, which Open waits for
			l.answered(nil)
		}
	case *plugv1.Down_Refused:
		if l := s.leg(m.Refused.GetLeg()); l != nil {
			l.answered(wire.ToRefusal(m.Refused))
		}
	case *plugv1.Down_Control:
		if l := s.leg(m.Control.GetLeg()); l != nil {
			l.order(wire.ToControl(m.Control))
		}
	case *plugv1.Down_Failed:
		if l := s.leg(m.Failed.GetLeg()); l != nil {
			l.fail(m.Failed.GetTrack(), wire.ToError("host", m.Failed.GetError()))
		}
	}
}

// lost tells every leg that the host is gone.
func (s *session) lost() {
	s.mu.Lock()
	s.gone = true
	legs := make([]*leg, 0, len(s.legs))
	for _, l := range s.legs {
		legs = append(legs, l)
	}
	s.mu.Unlock()
	s.queue.close()
	s.relay.close()
	for _, l := range legs {
		l.answered(&adapter.Refusal{Reason: adapter.RefusedGone, Text: "the host went away"})
		l.fail(0, adapter.ErrClosed)
	}
}
