package assist

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"

	"github.com/patchbay/patchbay/core/event"
)

// Step is one step of CheckLive.
type Step struct {
	Name   string
	OK     bool
	Detail string // what was found, or what went wrong in Google's words
	Fix    string // what to do; set when not OK, and for a warning
}

// ErrCheck is returned by CheckLive when a step failed; the steps say more.
var ErrCheck = errors.New("assist: the live check failed")

// check is one run of CheckLive.
type check struct {
	conv    Conversation
	clients *clients
	opts    Options
	report  func(Step)
	name    string // of the conversation
	failed  bool
}

// CheckLive tries a conversation against the real service: it reads the profile,
// creates a conversation under c.ID, streams speech per role in real time and
// completes it. speech returns mu-law at 8 kHz, about three seconds, for the roles
// "end_user" and "human_agent". It reports each step, goes on where that makes
// sense, and costs two short streams.
func (p *Pool) CheckLive(ctx context.Context, c Conversation, speech func(role string) []byte, report func(Step)) error {
	k := &check{conv: c, opts: p.opts, report: report}
	if err := c.Validate(); err != nil {
		k.step(Step{Name: "configuration", Detail: err.Error(), Fix: "mend the keys named"})
		return ErrCheck
	}
	var err error
	if k.clients, err = p.client(ctx, c.Google); err != nil {
		k.explained("credentials", stepConnect, err)
		return ErrCheck
	}
	if !k.profile(ctx) || !k.create(ctx) {
		return ErrCheck
	}
	for _, role := range []string{forUser, forAgent} {
		k.stream(ctx, role, speech(role))
	}
	k.complete(ctx)
	if k.failed {
		return ErrCheck
	}
	return nil
}

func (k *check) step(s Step) {
	k.failed = k.failed || !s.OK
	k.report(s)
}

// explained reports a failure with its fix.
func (k *check) explained(name, step string, err error) {
	_, fix := k.conv.fix(step, err)
	k.step(Step{Name: name, Detail: googleWords(err), Fix: fix})
}

func (k *check) attempt(ctx context.Context, name, step string, f func(context.Context) error) bool {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	if err := f(ctx); err != nil {
		k.explained(name, step, err)
		return false
	}
	return true
}

func (k *check) profile(ctx context.Context) bool {
	var profile *dialogflowpb.ConversationProfile
	ok := k.attempt(ctx, "profile", stepProfile, func(ctx context.Context) (err error) {
		profile, err = k.clients.profile(ctx, k.conv.profileName())
		return err
	})
	if !ok {
		return false
	}
	k.step(Step{Name: "profile", OK: true, Detail: fmt.Sprintf("%s (%s)", profile.GetDisplayName(), profile.GetName())})
	features := profileFeatures(profile)
	words := featureWords(features, profileGenerators(profile))
	if len(words) == 0 {
		k.step(Step{Name: "features", Detail: "the profile has none", Fix: "add suggestion features to the profile; without them there are transcripts and no suggestions"})
	} else {
		k.step(Step{Name: "features", OK: true, Detail: strings.Join(words, ", ")})
	}
	k.speech(profile)
	return true
}

func featureWords(features [2][]event.Feature, generators []string) (words []string) {
	for i, list := range features {
		for _, f := range list {
			word := string(f)
			if i == 1 {
				word += " (for the end user)"
			}
			words = append(words, word)
		}
	}
	for _, g := range generators {
		words = append(words, "generator "+base(g))
	}
	return words
}

// speech reports language and model, and what the quota carries with them.
func (k *check) speech(profile *dialogflowpb.ConversationProfile) {
	language, model := k.conv.Language, k.conv.Model
	from := func(ours string) string {
		if ours != "" {
			return "of the route"
		}
		return "of the profile"
	}
	detail := "language " + nonEmpty(language, profile.GetSttConfig().GetLanguageCode(), profile.GetLanguageCode(), "en-US (the API's default)") + " " + from(language)
	model = nonEmpty(model, profile.GetSttConfig().GetModel())
	detail += ", speech model " + nonEmpty(model, "chosen by Google") + " " + from(k.conv.Model)
	k.step(Step{Name: "speech", OK: true, Detail: detail})
	k.step(Step{Name: "capacity", OK: true, Detail: fmt.Sprintf("transport %s: %s, with default quotas", k.conv.transport(), Capacity(k.conv.transport(), model, DefaultQuotas))})
}

func nonEmpty(list ...string) string {
	if i := slices.IndexFunc(list, func(s string) bool { return s != "" }); i >= 0 {
		return list[i]
	}
	return ""
}

func (k *check) create(ctx context.Context) bool {
	ok := k.attempt(ctx, "conversation", stepCreate, func(ctx context.Context) error {
		c, err := k.clients.conversations.CreateConversation(ctx, &dialogflowpb.CreateConversationRequest{
			Parent:         k.conv.Google.parent(),
			ConversationId: k.conv.ID,
			Conversation: &dialogflowpb.Conversation{
				ConversationProfile: k.conv.profileName(),
				ConversationStage:   dialogflowpb.Conversation_HUMAN_ASSIST_STAGE,
			},
		}, once)
		k.name = c.GetName()
		return err
	})
	if ok {
		k.step(Step{Name: "conversation", OK: true, Detail: k.name})
	}
	return ok
}

func (k *check) complete(ctx context.Context) {
	ctx = context.WithoutCancel(ctx) // leave nothing open at Google's
	ok := k.attempt(ctx, "completion", stepComplete, func(ctx context.Context) error {
		_, err := k.clients.conversations.CompleteConversation(ctx, &dialogflowpb.CompleteConversationRequest{Name: k.name}, once)
		return err
	})
	if ok {
		k.step(Step{Name: "completion", OK: true, Detail: "the conversation is completed"})
	}
}
