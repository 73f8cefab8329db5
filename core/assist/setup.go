package assist

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"github.com/cenkalti/backoff/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/patchbay/patchbay/core/event"
)

// The steps of a conversation, as errors name them.
const (
	stepConnect     = "finding credentials"
	stepProfile     = "reading the conversation profile"
	stepForeign     = "reading the client's conversation"
	stepCreate      = "creating the conversation"
	stepParticipant = "creating a participant"
	stepStream      = "streaming audio"
	stepComplete    = "completing the conversation"
)

// attemptTimeout bounds one attempt of a unary call.
const attemptTimeout = 10 * time.Second

// maxSuffix is the last suffix that is tried for a conversation id which is taken.
const maxSuffix = 9

// failure is a step that failed for good, with its text for people.
type failure struct {
	problem event.Problem
	err     error
}

func (f *failure) Error() string { return "assist: " + f.problem.Text }
func (f *failure) Unwrap() error { return f.err }

// mended reports whether an operator may mend what failed while the call runs: what
// Google refused, or what there is to authenticate with.
func (f *failure) mended() bool {
	if f.err == nil || f.problem.Code == codeNotServed || f.problem.Code == codeGone || errors.Is(f.err, errPoolClosed) {
		return false
	}
	_, google := status.FromError(f.err)
	return google || errors.Is(f.err, errCredentials)
}

// setUp makes the conversation ready. It retries what may pass until ctx ends. What
// an operator must mend is published and looked at again each minute, and once more
// after Finish: the audio waits on its tapes.
func (s *Session) setUp(ctx context.Context) error {
	for last := false; ; {
		err := s.prepare(ctx)
		f, ok := errors.AsType[*failure](err)
		if !ok {
			s.served(err)
			return err
		}
		s.mu.Lock()
		known := s.problem != nil && s.problem.Code == f.problem.Code
		s.problem = &f.problem
		s.mu.Unlock()
		if !known {
			s.fail(nil, f.problem)
		}
		s.refuseClients(f.err)
		if last || !f.mended() || ctx.Err() != nil {
			return err
		}
		last = s.mend(ctx)
	}
}

// served forgets the problem that the set-up had.
func (s *Session) served(err error) {
	s.mu.Lock()
	had := s.problem
	if err == nil {
		s.problem = nil
	}
	s.mu.Unlock()
	if err == nil && had != nil {
		s.warn(event.Problem{Code: codeServedAgain, Text: "Agent Assist serves this call from now on; what was said so far is sent now"})
	}
}

func (s *Session) prepare(ctx context.Context) error {
	if err := s.conv.Validate(); err != nil {
		return &failure{event.Problem{Code: codeInvalid, Text: err.Error()}, err}
	}
	clients, err := s.pool.client(ctx, s.conv.Google)
	if err != nil {
		return &failure{s.conv.explain(stepConnect, err), err}
	}
	s.mu.Lock()
	s.clients = clients
	s.mu.Unlock()
	if s.conv.Foreign != "" {
		return s.visit(ctx)
	}
	var profile *dialogflowpb.ConversationProfile
	err = s.retry(ctx, stepProfile, func(ctx context.Context) (err error) {
		profile, err = clients.profile(ctx, s.conv.profileName())
		return err
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.model = profile.GetSttConfig().GetModel()
	s.features = profileFeatures(profile)
	s.mu.Unlock()
	if len(s.features[0])+len(s.features[1]) == 0 && len(profileGenerators(profile)) == 0 {
		s.warn(event.Problem{Code: codeNoFeatures, Text: fmt.Sprintf("profile %q has no inline suggestion feature: there will be transcripts and no suggestions; add features to it", s.conv.Profile)})
	}
	if s.conv.Resume != nil {
		s.resume(ctx)
		return nil
	}
	if err := s.createConversation(ctx); err != nil {
		return err
	}
	s.pool.stats.Conversations.Add(1)
	s.publish(event.Event{Kind: event.ConversationReady, State: &event.State{Conversation: s.name}})
	return nil
}

// resume goes on with the conversation of an earlier process, unless it is over.
func (s *Session) resume(ctx context.Context) {
	s.mu.Lock()
	s.name = s.conv.Resume.Conversation
	s.mu.Unlock()
	if !s.lookUp(ctx) {
		s.publish(event.Event{Kind: event.ConversationReady, State: &event.State{Conversation: s.name, Text: "resumed"}})
	}
}

// createConversation creates the conversation. One that exists is joined when it
// runs with the same profile and is ours: named by a trusted peer, or made by an
// attempt whose answer was lost. Otherwise the id gets a suffix.
func (s *Session) createConversation(ctx context.Context) error {
	id := s.conv.ID
	for n := 2; ; n++ {
		var conversation *dialogflowpb.Conversation
		attempts, foreign := 0, false
		err := s.retry(ctx, stepCreate, func(ctx context.Context) (err error) {
			attempts++
			conversation, err = s.clients.conversations.CreateConversation(ctx, &dialogflowpb.CreateConversationRequest{
				Parent:         s.conv.Google.parent(),
				ConversationId: id,
				Conversation: &dialogflowpb.Conversation{
					ConversationProfile: s.conv.profileName(),
					ConversationStage:   dialogflowpb.Conversation_HUMAN_ASSIST_STAGE,
				},
			}, once)
			if codeOf(err) == codes.AlreadyExists {
				foreign = attempts == 1 && !s.conv.Join
				attempts++ // participants may exist too
				conversation, err = s.clients.conversations.GetConversation(ctx, &dialogflowpb.GetConversationRequest{
					Name: s.conv.Google.parent() + "/conversations/" + id,
				}, once)
			}
			return err
		})
		if err != nil {
			return err
		}
		if !foreign && s.usable(conversation) {
			s.mu.Lock()
			s.name, s.fresh = conversation.GetName(), attempts == 1
			s.mu.Unlock()
			s.heedProfile(ctx, conversation.GetConversationProfile())
			if id != s.conv.ID {
				s.warn(event.Problem{Code: codeRenamed, Text: fmt.Sprintf("conversation %q exists already, and is not of this call, completed or of another profile; this call continues as %q", s.conv.ID, id)})
			}
			return nil
		}
		if n > maxSuffix {
			return &failure{problem: event.Problem{Code: codeTaken, Text: fmt.Sprintf("conversation %q and its successors to -%d are taken; the adapter must propose another id", s.conv.ID, maxSuffix)}}
		}
		suffix := "-" + strconv.Itoa(n)
		id = s.conv.ID[:min(len(s.conv.ID), maxIDLength-len(suffix))] + suffix
	}
}

func (s *Session) usable(c *dialogflowpb.Conversation) bool {
	return c.GetLifecycleState() != dialogflowpb.Conversation_COMPLETED &&
		(s.conv.Named || base(c.GetConversationProfile()) == base(s.conv.profileName()))
}

// heedProfile goes by the profile of a conversation that somebody else made, if it is
// another than the route's.
func (s *Session) heedProfile(ctx context.Context, name string) {
	if base(name) == base(s.conv.profileName()) {
		return
	}
	s.warn(event.Problem{Code: codeOtherProfile, Text: fmt.Sprintf("conversation %q was made with profile %q; its suggestions and its model hold, not those of the route's profile %q", s.conv.ID, base(name), base(s.conv.profileName()))})
	profile, err := s.clients.profile(ctx, name)
	if err != nil {
		s.log.Warn("assist: the profile of the conversation cannot be read", "profile", name, "err", googleWords(err))
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.model, s.features = profile.GetSttConfig().GetModel(), profileFeatures(profile)
}

// retry calls f until it succeeds, fails for good, or ctx ends. The first error that
// may pass is a warning; the error it returns is a *failure.
func (s *Session) retry(ctx context.Context, step string, f func(context.Context) error) error {
	var last error
	warned := false
	hindered := func(err error) {
		if last = err; !warned {
			warned = true
			p := s.conv.explain(step, err)
			p.Text += "; trying again"
			s.warn(p)
		}
	}
	pauses, quota, circuit := newBackoff(&s.pool.opts, retry), newBackoff(&s.pool.opts, wait), s.clients.circuit
	defer s.hinder()()
	for {
		if _, err := circuit.pass(ctx, s.calling, false, s.probe, hindered); err != nil {
			return s.notServed(step, last, err)
		}
		attempt, cancel := context.WithTimeout(ctx, attemptTimeout)
		err := f(attempt)
		cancel()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return s.notServed(step, last, err)
		}
		circuit.failed(err, false)
		if permanent(err) {
			return &failure{s.conv.explain(step, err), err}
		}
		hindered(err)
		pause := pauses
		if react(err) == wait {
			pause = quota
		}
		if err := sleep(ctx, pause.NextBackOff()); err != nil {
			return s.notServed(step, last, err)
		}
	}
}

// notServed is the failure of a step that the call did not wait for.
func (s *Session) notServed(step string, last, err error) error {
	if last == nil || codeOf(last) == codes.Canceled {
		return &failure{event.Problem{Code: codeNotServed, Text: "Agent Assist: the call ended during " + step}, err}
	}
	return &failure{s.conv.explain(step, last), last}
}

// probe asks Google something small, to see whether it answers.
func (s *Session) probe(ctx context.Context) error {
	_, err := s.clients.profileClient.GetConversationProfile(ctx, &dialogflowpb.GetConversationProfileRequest{Name: s.conv.profileName()}, once)
	return err
}

// Pauses between attempts. A quota is counted by the minute, so its pauses are
// longer: 1 s doubling to 32 s, as Google's service level agreement asks for.
const (
	retryFirst, retryMost = 250 * time.Millisecond, 16 * time.Second
	quotaFirst, quotaMost = time.Second, 32 * time.Second
)

func newBackoff(o *Options, r reaction) *backoff.ExponentialBackOff {
	b := &backoff.ExponentialBackOff{InitialInterval: retryFirst, MaxInterval: retryMost, Multiplier: 2, RandomizationFactor: 0.2}
	if r == wait {
		b.InitialInterval, b.MaxInterval = quotaFirst, quotaMost
	}
	b.InitialInterval, b.MaxInterval = o.wall(b.InitialInterval), o.wall(b.MaxInterval)
	b.Reset()
	return b
}

// completeTimeout bounds the completion of a conversation with its retries;
// abandonTimeout is for one that is given up: an attempt, no more.
const (
	completeTimeout = 30 * time.Second
	abandonTimeout  = 2 * time.Second
)

// complete ends the conversation at Google's, also one that somebody else made: Google's
// own SIP ingest does so when the telephone call ends, unless the profile says otherwise
// (SipConfig.keep_conversation_running). It goes on when ctx is cancelled.
func (s *Session) complete(ctx context.Context) error {
	if s.isOver() != nil || s.conv.Foreign != "" { // done, or to be done, by somebody else
		return nil
	}
	limit := completeTimeout
	if ctx.Err() != nil {
		limit = abandonTimeout
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	s.storeMissing(ctx)
	if s.conv.Others != nil && s.conv.Others.Stay() {
		s.log.Info("assist: the conversation stays open; others go on with it")
		return nil
	}
	var last error
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		_, err := s.clients.conversations.CompleteConversation(ctx, &dialogflowpb.CompleteConversationRequest{Name: s.name}, once)
		if err != nil {
			last = err
			if permanent(err) {
				err = backoff.Permanent(err)
			}
		}
		return struct{}{}, err
	}, backoff.WithBackOff(newBackoff(&s.pool.opts, retry)), backoff.WithMaxElapsedTime(0))
	if err != nil {
		p := s.conv.explain(stepComplete, last)
		p.Code = codeNotCompleted
		p.Text += "; Google completes it by itself after 24 hours"
		s.warn(p)
		return nil // the call was served
	}
	s.publish(event.Event{Kind: event.ConversationDone, State: &event.State{Conversation: s.name}})
	return nil
}
