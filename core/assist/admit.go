package assist

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"google.golang.org/grpc/codes"

	"github.com/patchbay/patchbay/core/event"
)

// errOver means that the conversation takes no more audio.
var errOver = errors.New("assist: the conversation is over")

// admit waits until the track may open a stream: Google answers, and the quota has a
// start. trial means that the stream decides for those who wait.
func (t *track) admit(ctx context.Context) (trial bool, err error) {
	defer t.s.hinder()()
	circuit, governor := t.s.clients.circuit, t.s.pool.governor
	defer t.waiting()()
	governor.update(t.claim, 1, time.Time{})
	for {
		trial, err = circuit.pass(ctx, t.s.calling, true, t.s.probe, t.hindered)
		if err != nil {
			return false, err
		}
		rank := t.rank()
		t.promised = false
		err = governor.start(ctx, t.need, rank)
		over := err == nil && t.s.isOver() != nil
		if err == nil && !over && (trial || !circuit.holds()) {
			return trial, nil
		}
		if trial {
			circuit.withdraw()
		}
		switch {
		case err != nil:
			return false, err
		case over:
			governor.unused(t.need)
			return false, errOver
		}
		governor.unused(t.need) // meanwhile Google has gone away
	}
}

// waiting notes how long the track waits for a start: in the flight recorder once that
// takes longer than a chunk. The function that it returns ends it.
func (t *track) waiting() (ended func()) {
	begin := time.Now()
	told := make(chan struct{})
	late := time.AfterFunc(chunk, func() {
		defer close(told)
		if !t.s.clients.circuit.holds() { // else hindered told
			t.decide(decision{what: didWait, text: t.shortOf()})
		}
	})
	return func() {
		t.waited = time.Since(begin)
		if !late.Stop() {
			<-told
			t.decide(decision{what: didGoOn, text: "a stream may start", took: t.waited})
		}
	}
}

// shortOf says which quota the track waits for.
func (t *track) shortOf() string {
	for _, q := range t.need {
		if l := t.s.pool.opts.Budget.Level(q); l.Left < 1 || l.Blocked > 0 {
			return fmt.Sprintf("for the quota %s of project %s: %.1f of %d are left", q.Kind, q.Project, l.Left, q.Limit)
		}
	}
	return "for others who wait for the same quota"
}

// hindered notes why the track waits for Google.
func (t *track) hindered(err error) {
	t.setError(googleWords(err))
	t.decide(decision{what: didWait, text: "Agent Assist does not serve us; one asks for all", err: err})
	if mendable(err) {
		t.tellRefused(t.s.conv.explain(stepStream, err))
		return
	}
	t.setState(StateRetrying)
}

// rank is the track's place among those who wait.
func (t *track) rank() rank {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	r := rankCustomer
	switch {
	case t.info.refused:
		return rankDoubtful
	case t.promised:
		return rankPromised
	case t.info.streams == 0:
		r = rankNewCustomer
	}
	if t.ref.Role == forAgent {
		r++
	}
	return r
}

// unpromise gives up what the governor promised.
func (t *track) unpromise() {
	if t.promised {
		t.promised = false
		t.s.pool.governor.abandon(t.need)
	}
}

// lookUp asks whether the conversation is over, and notes why. When Google does not
// answer it is not.
func (s *Session) lookUp(ctx context.Context) (over bool) {
	if s.isOver() != nil {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	c, err := s.clients.conversations.GetConversation(ctx, &dialogflowpb.GetConversationRequest{Name: s.name}, once)
	switch {
	case codeOf(err) == codes.NotFound:
		s.setOver(event.Problem{Code: codeGone, Text: fmt.Sprintf("Agent Assist: the conversation does not exist any more, or google.location = %q is not where it lives; this call gets no more help", s.conv.Google.location())})
	case err == nil && c.GetLifecycleState() == dialogflowpb.Conversation_COMPLETED:
		s.setOver(event.Problem{Code: codeCompleted, Text: "Agent Assist: the conversation was completed by somebody else; this call gets no more help"})
	default:
		return false
	}
	return true
}
