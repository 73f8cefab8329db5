package assist

import (
	"context"
	"errors"
	"maps"
	"sync"

	"cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"github.com/googleapis/gax-go/v2"
	"google.golang.org/api/iterator"

	"github.com/patchbay/patchbay/core/event"
)

// participant is a speaker at Google's. Only one stream at a time speaks for it.
type participant struct {
	role   string // event.TrackRef.Role
	userID string
	turn   chan struct{} // holds the one token while nobody speaks
	look   bool          // Google may know more than we do; guarded by turn
	name   string        // full name once it exists; guarded by turn, written under the session's mu too
}

func newParticipant(role, userID string) *participant {
	p := &participant{role: role, userID: userID, turn: make(chan struct{}, 1)}
	p.turn <- struct{}{}
	return p
}

// acquire waits for the participant's turn; release gives it back.
func (p *participant) acquire(ctx context.Context) error {
	select {
	case <-p.turn:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *participant) release() { p.turn <- struct{}{} }

// The roles of event.TrackRef that Agent Assist lets stream.
var googleRoles = map[string]dialogflowpb.Participant_Role{
	"end_user":    dialogflowpb.Participant_END_USER,
	"human_agent": dialogflowpb.Participant_HUMAN_AGENT,
}

// once switches the generated client's own retries off: the session has its own,
// and creating twice would make two participants.
var once = gax.WithRetry(func() gax.Retryer { return nil })

// ensure makes sure that p exists at Google's. The caller has its turn. The API has
// no request id for this call, so a participant may exist although the answer got
// lost: after a failure, and in a conversation that was there before, look first.
// A failure for good is a *failure.
func (s *Session) ensure(ctx context.Context, p *participant) error {
	if p.name != "" {
		return nil
	}
	look := !s.fresh || p.look
	return s.retry(ctx, stepParticipant, func(ctx context.Context) error {
		l, done, err := s.clients.lane(ctx)
		if err != nil {
			return err
		}
		defer done()
		if look {
			if err := s.adopt(ctx, l, p); err != nil || p.name != "" {
				return err
			}
		}
		look = true
		made, err := l.CreateParticipant(ctx, &dialogflowpb.CreateParticipantRequest{
			Parent:      s.name,
			Participant: &dialogflowpb.Participant{Role: googleRoles[p.role], ObfuscatedExternalUserId: p.userID},
		}, once)
		if err != nil {
			return err
		}
		s.pool.owners.take(made.GetName(), s)
		s.mu.Lock()
		defer s.mu.Unlock()
		p.name = made.GetName()
		return nil
	})
}

// adopt gives p the first participant with its role and user that no other speaker
// of this process has, if there is one.
func (s *Session) adopt(ctx context.Context, l *lane, p *participant) error {
	var names []string
	for it := l.ListParticipants(ctx, &dialogflowpb.ListParticipantsRequest{Parent: s.name}, once); ; {
		found, err := it.Next()
		if errors.Is(err, iterator.Done) {
			break
		}
		if err != nil {
			return err
		}
		if found.GetRole() == googleRoles[p.role] && found.GetObfuscatedExternalUserId() == p.userID {
			names = append(names, found.GetName())
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := make(map[string]bool)
	for _, other := range s.participants {
		taken[other.name] = true
	}
	for _, name := range names {
		if !taken[name] && s.pool.owners.take(name, s) {
			p.name = name
			break
		}
	}
	return nil
}

// owners are the sessions whose speakers have participants. Two calls may be in one
// conversation, and a participant has one stream at a time.
type owners struct {
	mu sync.Mutex
	of map[string]*Session
}

// take makes a participant the session's, unless it is another's.
func (o *owners) take(name string, s *Session) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.of == nil {
		o.of = make(map[string]*Session)
	}
	if owner := o.of[name]; owner != nil && owner != s {
		return false
	}
	o.of[name] = s
	return true
}

// leave gives up what a session has.
func (o *owners) leave(s *Session) {
	o.mu.Lock()
	defer o.mu.Unlock()
	maps.DeleteFunc(o.of, func(_ string, owner *Session) bool { return owner == s })
}

// ready publishes that a track's speaker has a participant.
func (s *Session) ready(ref *event.TrackRef) {
	s.publish(event.Event{Kind: event.ParticipantReady, Track: ref,
		State: &event.State{Conversation: s.name, Participant: ref.Participant}})
}
