package five9

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/netip"
	"strings"

	"google.golang.org/grpc/codes"

	voicepb "github.com/patchbay/patchbay/adapters/five9/proto/five9/voicestream"
	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
)

// tokenHeader is the request metadata that some clients put the trust token into,
// instead of the config or beside it.
const tokenHeader = "x-five9-trust-token"

// The names of a leg's claims: the fields of its config.
const (
	claimDomain       = "domain_id"
	claimCampaign     = "campaign_id"
	claimAgent        = "agent_id"
	claimSkill        = "skill_id"
	claimSubscription = "subscription_id"
)

// caller is what is known of the other end of an RPC before its first message.
type caller struct {
	address netip.Addr
	tokens  []string // of the metadata
}

// guest is a stream that may come in, as its config describes it.
type guest struct {
	info     adapter.LegInfo
	call     callKey
	track    media.TrackID
	format   media.Format
	speaker  adapter.Speaker
	warnings []string
}

// callKey identifies a call among all domains.
type callKey struct{ domain, call string }

// String is LegInfo.CallKey.
func (k callKey) String() string { return k.domain + ":" + k.call }

// read makes a guest of a config, or says why it stays outside.
func (a *Adapter) read(c caller, m *voicepb.StreamingConfig) (guest, *goodbye) {
	var g guest
	for _, f := range []struct {
		name, value string
		required    bool
	}{
		{"vcc_call_id", m.GetVccCallId(), true}, {claimDomain, m.GetDomainId(), false}, {claimAgent, m.GetAgentId(), false},
		{claimSubscription, m.GetSubscriptionId(), false}, {claimCampaign, m.GetCampaignId(), false}, {claimSkill, m.GetSkillId(), false},
	} {
		if (f.value != "" || f.required) && !idForm.MatchString(f.value) {
			return g, broken(countConfig, fmt.Sprintf("%s of the config is not 1 to 128 printable characters", f.name))
		}
	}
	domain, principal, bye := a.prove(c, m)
	if bye != nil {
		return g, bye
	}
	if m.GetDomainId() == "" {
		g.warn("the config names no domain_id; the subscription's is taken")
	}
	if bye := g.hear(m.GetVoiceConfig()); bye != nil {
		return g, bye
	}
	g.call = callKey{domain, m.GetVccCallId()}
	g.whoSpeaks(m)
	g.info = adapter.LegInfo{
		CallKey:   g.call.String(),
		LegKey:    fmt.Sprintf("%s/%s/%s", g.track, orDash(m.GetAgentId()), orDash(m.GetSubscriptionId())),
		Principal: principal,
		Aliases:   []string{m.GetVccCallId()},
		Claims:    map[string]string{},
	}
	id, whole := conversationID(a.cfg.ConversationID, domain, m.GetVccCallId())
	if g.info.Conversation = id; !whole {
		g.warn("the ids of domain and call are too long for a conversation id; %s has a hash in their place", id)
	}
	for name, value := range map[string]string{
		claimDomain: domain, claimCampaign: m.GetCampaignId(), claimAgent: m.GetAgentId(),
		claimSkill: m.GetSkillId(), claimSubscription: m.GetSubscriptionId(),
	} {
		if value != "" {
			g.info.Claims[name] = value
		}
	}
	return g, nil
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return strings.ReplaceAll(s, "/", "_")
}

func (g *guest) warn(format string, args ...any) {
	g.warnings = append(g.warnings, fmt.Sprintf(format, args...))
}

// prove finds the domain whose token the stream carries. Whatever token is there must
// be right.
func (a *Adapter) prove(c caller, m *voicepb.StreamingConfig) (domain string, p adapter.Principal, bye *goodbye) {
	given := c.tokens
	if t := m.GetTrustToken(); t != "" {
		given = append(given, t)
	}
	if len(given) == 0 && a.cfg.Insecure {
		return orDash(m.GetDomainId()), adapter.Principal{Method: adapter.MethodNone}, nil
	}
	if len(given) == 0 {
		return "", p, refuse(countToken, "the stream carries no trust token, neither in its config nor as "+tokenHeader)
	}
	known := a.holders(given[0])
	for _, other := range given[1:] {
		if subtle.ConstantTimeCompare([]byte(other), []byte(given[0])) != 1 {
			return "", p, refuse(countToken, "the stream carries two trust tokens that differ")
		}
	}
	if len(known) == 0 {
		return "", p, refuse(countToken, "the stream's trust token is none of the subscriptions'")
	}
	domain = known[0].Domain // all of one domain, as Validate has seen to
	if id := m.GetDomainId(); id != "" && id != domain {
		return "", p, refuse(countToken, "the stream's trust token belongs to another domain than the config names")
	}
	for _, s := range known {
		if s.ID == "" || s.ID == m.GetSubscriptionId() {
			return domain, adapter.Principal{Account: domain, Method: adapter.MethodToken}, nil
		}
	}
	return "", p, &goodbye{count: countSubscribed, code: codes.PermissionDenied, text: "refused",
		detail: "the stream's trust token is right, but its subscription_id is not the id in subscriptions"}
}

// holders returns the subscriptions that have a trust token. How long it takes tells
// nothing about the token.
func (a *Adapter) holders(token string) []*Subscription {
	var found []*Subscription
	for i := range a.cfg.Subscriptions {
		if s := &a.cfg.Subscriptions[i]; oneOf(s.TrustTokens, token) {
			found = append(found, s)
		}
	}
	return found
}

// oneOf compares with every secret, in constant time.
func oneOf(secrets []adapter.Secret, given string) bool {
	sum, ok := sha256.Sum256([]byte(given)), 0
	for _, s := range secrets {
		want := sha256.Sum256([]byte(s))
		ok |= subtle.ConstantTimeCompare(want[:], sum[:])
	}
	return ok == 1
}

// hear finds out the format of the audio.
func (g *guest) hear(v *voicepb.VoiceConfig) *goodbye {
	rate := int(v.GetSampleRateHertz())
	if rate == 0 {
		rate = media.Telephony.Rate
		g.warn("the config names no sample rate; 8000 Hz is assumed")
	}
	switch e := v.GetEncoding(); e {
	case voicepb.VoiceConfig_LINEAR16:
		g.format = media.Format{Encoding: media.Linear16, Rate: rate}
	case voicepb.VoiceConfig_MULAW:
		g.format = media.Format{Encoding: media.MuLaw, Rate: rate}
	case voicepb.VoiceConfig_ENCODING_UNSPECIFIED:
		g.format = media.Format{Encoding: media.Linear16, Rate: rate}
		g.warn("the config names no encoding; LINEAR16 is assumed")
	default:
		return broken(countFormat, fmt.Sprintf("encoding %v is not served; send LINEAR16 or MULAW", e))
	}
	if g.format.Validate() != nil {
		return broken(countFormat, fmt.Sprintf("a sample rate of %d is not served; send %d to %d", rate, media.MinRate, media.MaxRate))
	}
	return nil
}

// whoSpeaks says whose audio a leg is. Agents are told apart by their ids, so that
// each has a place of its own in the conversation; there is one customer.
func (g *guest) whoSpeaks(m *voicepb.StreamingConfig) {
	agent := "agent"
	if m.GetAgentId() != "" {
		agent += " " + m.GetAgentId()
	}
	switch leg := m.GetCallLeg(); leg {
	case voicepb.StreamingConfig_AGENT:
		g.track = "agent"
		g.speaker = adapter.Speaker{ID: agent, Role: adapter.RoleHumanAgent, Evidence: "call_leg AGENT"}
	case voicepb.StreamingConfig_CUSTOMER:
		g.track = "customer"
		g.speaker = adapter.Speaker{ID: "customer", Role: adapter.RoleEndUser, Evidence: "call_leg CUSTOMER"}
	case voicepb.StreamingConfig_SUPERVISOR:
		g.track = "supervisor"
		g.speaker = adapter.Speaker{ID: "supervisor", Role: adapter.RoleOther, Evidence: "call_leg SUPERVISOR"}
	default:
		g.track = media.TrackID(fmt.Sprintf("leg-%d", leg))
		g.speaker = adapter.Speaker{ID: string(g.track), Role: adapter.RoleOther, Evidence: fmt.Sprintf("call_leg %d, which is unknown", leg)}
		g.warn("call_leg %d is unknown; its voice counts as a third", leg)
	}
}
