package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/patchbay/patchbay/core/adapter"
)

func (v *validator) routes(c *Config) {
	if len(c.Routes) == 0 {
		v.Add("routes", "", "none, so every call would be refused", "write at least one: - {match: {}, profile: …}")
	}
	tenants := tenantNames(c)
	for i, r := range c.Routes {
		key := at("routes", i)
		v.reference(key+".match.adapter", r.Match.Adapter, instanceNames(c.Adapters), false)
		v.reference(key+".match.tenant", r.Match.Tenant, tenants, false)
		v.number(key+".match.to", r.Match.To)
		v.number(key+".match.from", r.Match.From)
		if j := slices.IndexFunc(c.Routes[:i], func(earlier Route) bool { return earlier.Match.covers(r.Match) }); j >= 0 {
			v.Add(key+".match", "", fmt.Sprintf("never reached, because routes[%d] takes all of these calls", j), "move it up, or delete it")
		}
		v.profiles(key, r, c.GoogleFor(r).Location)
		v.project(key+".project", r.Project)
		v.project(key+".quota_project", r.QuotaProject)
		v.location(key+".location", r.Location)
		if r.Language != "" && !languageShape.MatchString(r.Language) {
			v.Add(key+".language", shorten(r.Language), "not a language tag", "write it like en-US or es-ES")
		}
		if r.Transport != "" {
			v.word(key+".transport", string(r.Transport), string(TransportExtended), string(TransportStreaming), string(TransportBidi))
		}
		if r.ThirdVoice != "" {
			v.word(key+".third_voice", string(r.ThirdVoice), string(ThirdVoiceIgnore), string(ThirdVoiceParticipant))
		}
		if r.Start != "" {
			v.word(key+".start", string(r.Start), string(StartHeard), string(StartPaused))
		}
		if r.ConversationElsewhere != "" {
			v.word(key+".conversation_elsewhere", string(r.ConversationElsewhere), string(ElsewhereRefuse), string(ElsewhereIgnore))
		}
		for _, track := range slices.Sorted(maps.Keys(r.Roles)) {
			v.word(under(key+".roles", track), string(r.Roles[track]), string(SpeakerCustomer), string(SpeakerAgent), string(SpeakerOther))
		}
		for j, word := range r.Relay {
			if !relayShape.MatchString(word) {
				v.Add(at(key+".relay", j), shorten(word), "neither a service nor a method of Agent Assist", "write calls, all, Participants, CreateParticipant or Participants/CreateParticipant")
			}
		}
		v.atLeast(key+".limits.calls", int64(r.Limits.Calls), 0)
	}
}

func tenantNames(c *Config) []string {
	if len(c.Tenants) == 0 {
		return []string{DefaultTenant}
	}
	names := make([]string, 0, len(c.Tenants))
	for _, t := range c.Tenants {
		names = append(names, t.Name)
	}
	return names
}

// profiles checks the profile of a route and those that a claim may choose.
func (v *validator) profiles(key string, r Route, location string) {
	if r.Profile == "" {
		v.Add(key+".profile", "", "missing", "write the id of a conversation profile")
	} else {
		v.profile(key+".profile", r.Profile, location)
	}
	for i, p := range r.Profiles {
		v.profile(at(key+".profiles", i), p, location)
	}
	switch {
	case r.ProfileClaim != "" && len(r.Profiles) == 0:
		v.Add(key+".profiles", "", "missing, so profile_claim could choose none", "list the profiles that the field may name")
	case r.ProfileClaim == "" && len(r.Profiles) > 0 && len(r.Relay) == 0:
		v.Add(key+".profile_claim", "", "missing, so nothing chooses among profiles", "name the vendor's field, or delete profiles")
	}
}

func (v *validator) profile(key, profile, location string) {
	m := profileShape.FindStringSubmatch(profile)
	switch {
	case m == nil:
		v.Add(key, shorten(profile), "neither the id of a conversation profile nor its full name",
			"write the id alone, or projects/P/locations/L/conversationProfiles/ID")
	case m[3] != "" && location != "" && m[3] != location:
		v.Add(key, shorten(profile), fmt.Sprintf("the profile lies in %s, the route in %s", m[3], location),
			"set the route's location: "+m[3])
	}
}

// number checks a telephone number, or what the vendor gives in its place.
func (v *validator) number(key, number string) {
	if strings.ContainsAny(number, "*?") {
		v.Add(key, number, "there are no patterns here", "write a whole number, such as +15550100, and a route for each")
	}
}

// covers says whether every call that fits other fits m too.
func (m Match) covers(other Match) bool {
	for _, pair := range [][2]string{
		{m.Adapter, other.Adapter},
		{m.Tenant, other.Tenant},
		{m.Account, other.Account},
		{adapter.E164(m.To).Digits(), adapter.E164(other.To).Digits()},
		{adapter.E164(m.From).Digits(), adapter.E164(other.From).Digits()},
	} {
		if pair[0] != "" && pair[0] != pair[1] {
			return false
		}
	}
	for name, value := range m.Claims {
		if got, ok := other.Claims[name]; !ok || got != value {
			return false
		}
	}
	return true
}
