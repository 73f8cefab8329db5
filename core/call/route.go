package call

import (
	"fmt"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/assist"
	"github.com/patchbay/patchbay/core/media"
)

// DefaultTenant owns every call while Config.TenantOf is nil.
const DefaultTenant = "default"

// Match says which legs a route takes. Empty fields match everything.
type Match struct {
	Adapter string
	Tenant  string
	Account string
	To      adapter.E164
	From    adapter.E164
	Claims  map[string]string // vendor fields that must have exactly these values
}

func (m Match) matches(adapterName, tenant string, info adapter.LegInfo) bool {
	for _, f := range [][2]string{
		{m.Adapter, adapterName}, {m.Tenant, tenant}, {m.Account, info.Principal.Account},
	} {
		if f[0] != "" && f[0] != f[1] {
			return false
		}
	}
	if m.To != "" && !sameNumber(m.To, info.To) || m.From != "" && !sameNumber(m.From, info.From) {
		return false
	}
	for name, want := range m.Claims {
		if got, ok := info.Claims[name]; !ok || got != want {
			return false
		}
	}
	return true
}

// ThirdVoice says what becomes of a speaker who is neither the customer nor an agent.
type ThirdVoice string

// The policies for a third voice.
const (
	ThirdVoiceIgnore      ThirdVoice = "ignore"      // its audio is discarded, which the ledger tells
	ThirdVoiceParticipant ThirdVoice = "participant" // it is heard as one more human agent
)

// Route says how the calls that it matches are served.
type Route struct {
	Match        Match
	Google       assist.Google
	Profile      string
	Language     string
	Model        string
	Transport    assist.Transport
	WordTimes    bool // see assist.Conversation
	StoreMissing bool
	ThirdVoice   ThirdVoice
	Roles        map[media.TrackID]adapter.Role // over what the adapter says
	// ProfileClaim and ConversationClaim name vendor fields that choose the profile
	// (one of Profiles) or name an existing conversation to join.
	ProfileClaim      string
	Profiles          []string
	ConversationClaim string
	Elsewhere         Elsewhere // of conversations that are named and do not lie in Google's project and location
	KeepConversation  bool      // leave a conversation that a trusted peer named open after the call
	StartPaused       bool      // withhold a call's audio until somebody resumes it
	Reattach          bool      // ask the vendor for the audio of a call whose legs were lost, and leave calls to a successor of the host
	MaxCalls          int       // live calls on this route; 0 means no limit of its own
	// Relay lists what clients of Agent Assist may use through the host, as assist.Allows
	// reads it: with the route's project and location, Profile and Profiles. Empty: nothing.
	Relay []string
}

// tenantOf returns whose leg it is. It follows from the adapter and what it
// verified, never from what a message says.
func (c Config) tenantOf(adapterName string, p adapter.Principal) (string, error) {
	if c.TenantOf == nil {
		return DefaultTenant, nil
	}
	if tenant, ok := c.TenantOf(adapterName, p.Account); ok {
		return tenant, nil
	}
	return "", &adapter.Refusal{Reason: adapter.RefusedNoRoute,
		Text: fmt.Sprintf("no tenant owns account %q of adapter %s; add it under tenants[].accounts", p.Account, adapterName)}
}

// routeOf returns the index of the first route that matches.
func routeOf(routes []Route, adapterName, tenant string, info adapter.LegInfo) (int, error) {
	for i, r := range routes {
		if r.Match.matches(adapterName, tenant, info) {
			return i, nil
		}
	}
	return 0, &adapter.Refusal{Reason: adapter.RefusedNoRoute,
		Text: fmt.Sprintf("no route matches a call of tenant %s on adapter %s to a number ending in %s; add one under routes", tenant, adapterName, tail(info.To))}
}

func tail(n adapter.E164) string { return n.LogValue().String() }

// profileOf returns the profile of a call: the route's, or the one that the
// vendor's field names if the route allows it.
func (r Route) profileOf(claims map[string]string) (string, error) {
	want := claims[r.ProfileClaim]
	if r.ProfileClaim == "" || want == "" {
		return r.Profile, nil
	}
	for _, p := range r.Profiles {
		if p == want {
			return p, nil
		}
	}
	return "", &adapter.Refusal{Reason: adapter.RefusedNoRoute,
		Text: fmt.Sprintf("field %q names a profile that the route does not list; add it under routes[].profiles", r.ProfileClaim)}
}
