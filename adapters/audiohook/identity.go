package audiohook

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
)

// The names of claims. What the integration's customConfig says stands below claimConfig,
// with dots between the names of nested values.
const (
	claimParticipant = "participant_id"
	claimSession     = "session_id"
	claimCorrelation = "correlation_id"
	claimLanguage    = "language"
	claimConfig      = "config."
)

const (
	maxNumber  = 128 // bytes of ani and dnis
	maxConfig  = 32  // values of customConfig that become claims
	maxValue   = 200 // bytes of each, and of their names
	maxDepth   = 4   // of customConfig
	maxChained = 64  // of continuedSessions
)

// caller is what the upgrade proved.
type caller struct {
	principal    adapter.Principal
	organization string // lower case
	session      string // as Genesys writes it
	correlation  string
	remote       string
}

// guest is a session that may come in, as its open message describes it.
type guest struct {
	info         adapter.LegInfo
	media        mediaEntry
	format       media.Format
	speakers     [2]adapter.Speaker // in the order of media.Channels
	language     string
	conversation string
	continued    bool // it takes up another session's leg
	probe        bool
}

// read makes a guest of an open message, or says why the session is refused.
func (a *Adapter) read(c caller, p *openParameters) (g guest, no *refusal) {
	switch {
	case !strings.EqualFold(p.Organization, c.organization):
		return g, refused(countKey, "organizationId of the open message is not the one that the upgrade proved")
	case !isUUID(p.Conversation) || !isUUID(p.Participant.ID):
		return g, refused(countOpen, "conversationId or participant.id is no UUID")
	case len(p.Participant.ANI) > maxNumber || len(p.Participant.DNIS) > maxNumber:
		return g, refused(countOpen, "ani or dnis is too long")
	}
	var ok bool
	if g.media, ok = a.cfg.choose(p.Media); !ok {
		return g, refused(countMedia, "no audio is offered that can be heard; want PCMU of external and internal")
	}
	g.format = formatOf(g.media)
	g.conversation = strings.ToLower(p.Conversation)
	if g.conversation == nullUUID {
		g.probe = true
		return g, nil
	}
	g.language, _ = languageTag(p.Language)
	participant := strings.ToLower(p.Participant.ID)
	g.whoSpeaks(a.cfg.Speakers, participant)
	g.info = adapter.LegInfo{
		CallKey:      g.conversation,
		Principal:    c.principal,
		Conversation: strings.Replace(a.cfg.ConversationID, placeConversation, g.conversation, 1),
		From:         number(p.Participant.ANI), To: number(p.Participant.DNIS),
		Aliases: []string{c.session},
		Claims:  map[string]string{claimParticipant: participant, claimSession: c.session, claimCorrelation: c.correlation},
	}
	if g.language != "" {
		g.info.Claims[claimLanguage] = g.language
	}
	left := maxConfig
	flatten(g.info.Claims, claimConfig, p.Custom, maxDepth, &left)
	if a.cfg.wantsResults() {
		g.info.Results = adapter.ResultsEvents
	}
	return g, nil
}

// whoSpeaks says whose voice a channel is. Genesys states both.
func (g *guest) whoSpeaks(by, participant string) {
	for i, channel := range g.media.Channels {
		s := adapter.Speaker{ID: "customer", Role: adapter.RoleEndUser, Evidence: "channel " + channel}
		if channel == channelAgent {
			s.ID, s.Role = "agent", adapter.RoleHumanAgent
		}
		if by == SpeakersParticipant {
			s.ID += " " + participant
		}
		g.speakers[i] = s
	}
}

// number takes a telephone number out of what Genesys writes, which may be a URI.
func number(s string) adapter.E164 {
	s = strings.TrimSpace(s)
	if rest, ok := strings.CutPrefix(s, "tel:"); ok {
		s, _, _ = strings.Cut(rest, ";")
	}
	return adapter.E164(s)
}

// flatten adds the scalars of an object to claims, below a prefix.
func flatten(claims map[string]string, prefix string, object map[string]any, depth int, left *int) {
	for _, name := range slices.Sorted(maps.Keys(object)) {
		key := prefix + name
		if name == "" || len(key) > maxValue {
			continue
		}
		value := ""
		switch v := object[name].(type) {
		case string:
			value = v
		case bool:
			value = strconv.FormatBool(v)
		case float64:
			b, _ := json.Marshal(v) // it came as JSON
			value = string(b)
		case map[string]any:
			if depth > 1 {
				flatten(claims, key+".", v, depth-1, left)
			}
		}
		if value == "" || len(value) > maxValue || *left == 0 {
			continue
		}
		*left--
		claims[key] = value
	}
}

var languageForm = regexp.MustCompile(`^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$`)

// languageTag writes a language as BCP 47 likes it: en-US.
func languageTag(s string) (tag string, ok bool) {
	if !languageForm.MatchString(s) {
		return "", false
	}
	parts := strings.Split(strings.ToLower(s), "-")
	for i := range parts[1:] {
		part := &parts[i+1]
		switch len(*part) {
		case 2:
			*part = strings.ToUpper(*part)
		case 4:
			*part = strings.ToUpper((*part)[:1]) + (*part)[1:]
		}
	}
	return strings.Join(parts, "-"), true
}

// legKey names the leg of a session: that of the session which it continues, else the
// session's own id. Of a chain whose sessions this process has not seen, the first id
// that is named will do.
func (a *Adapter) legKey(c caller, g *guest, p *openParameters) (key string, chained bool) {
	own := strings.ToLower(c.session)
	if key, ok := a.chains.find(c.principal.Account, g.conversation, own); ok {
		return key, true
	}
	first := ""
	for _, s := range p.Continued[:min(len(p.Continued), maxChained)] {
		if !isUUID(s.ID) {
			continue
		}
		id := strings.ToLower(s.ID)
		if key, ok := a.chains.find(c.principal.Account, g.conversation, id); ok {
			return key, true
		}
		first = cmp.Or(first, id)
	}
	return cmp.Or(first, own), first != ""
}

// describe is the line of the log about a guest.
func (g *guest) describe() string {
	return fmt.Sprintf("%s of %s", g.format, strings.Join(g.media.Channels, " and "))
}
