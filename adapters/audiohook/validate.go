package audiohook

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/patchbay/patchbay/adapters/internal/networks"
	"github.com/patchbay/patchbay/core/adapter"
)

var (
	pathForm = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`)
	idForm   = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]*$`)
)

const (
	maxConversationID = 64 // characters, as Google has it
	maxKeys           = 4  // of an organization
	minKey            = 8  // characters of an API key that goes with a signature
	minLoneKey        = 24 // and of one that goes alone
)

// Validate returns adapter.Problems with every mistake, or nil.
func (c Config) Validate() error {
	var ps adapter.Problems
	c.validateAccounts(&ps)
	if !pathForm.MatchString(c.Path) {
		ps.Add("path", c.Path, "it is no path of an URL", "write it like "+DefaultPath+", without a slash at the end")
	}
	if u, err := parsePublic(c.PublicURL); err != nil {
		ps.Add("public_url", c.PublicURL, err.Error(), "copy the connection URI from Genesys: wss://voice.example.com"+DefaultPath)
	} else if u != nil && u.Scheme == "ws" && !loopback(u.Hostname()) {
		ps.Add("public_url", c.PublicURL, "Genesys connects with wss only", "write wss; ws is for a simulator on this machine")
	}
	example := strings.Replace(c.ConversationID, placeConversation, nullUUID, 1)
	switch {
	case !strings.Contains(c.ConversationID, placeConversation):
		ps.Add("conversation_id", c.ConversationID, "it lacks {conversation}, so all calls would have one conversation", "leave it out for "+DefaultConversationID)
	case !idForm.MatchString(example):
		ps.Add("conversation_id", c.ConversationID, "a conversation id begins with a letter and has letters, digits, _ and - only", "write it like "+DefaultConversationID)
	case len(example) > maxConversationID:
		ps.Add("conversation_id", c.ConversationID, fmt.Sprintf("it makes ids of %d characters; Google takes %d", len(example), maxConversationID), "use fewer characters beside {conversation}")
	}
	for _, choice := range []struct {
		key, value string
		among      []string
	}{
		{"unauthorized", c.Unauthorized, []string{UnauthorizedStatus, UnauthorizedDisconnect}},
		{"speakers", c.Speakers, []string{SpeakersParticipant, SpeakersConversation}},
		{"l16", c.L16, []string{L16Off, L16Little, L16Big}},
		{"transcripts", c.Transcripts, []string{TranscriptsOff, TranscriptsFinal, TranscriptsAll}},
	} {
		if !slices.Contains(choice.among, choice.value) {
			ps.Add(choice.key, choice.value, "there is no such choice", "write one of "+strings.Join(choice.among, ", "))
		}
	}
	for i, language := range c.Languages {
		if !languageForm.MatchString(language) {
			ps.Add(fmt.Sprintf("languages[%d]", i), language, "it is no language", "write it like en-US")
		}
	}
	networks.Check(&ps, "addresses", c.Addresses)
	c.Limits.validate(&ps)
	return ps.Err()
}

func (c Config) validateAccounts(ps *adapter.Problems) {
	if len(c.Accounts) == 0 {
		ps.Add("accounts", "", "none is listed, so no session could prove that it is yours", "list organization and keys")
	}
	organizations, keys := map[string]int{}, map[adapter.Secret]string{}
	for i, a := range c.Accounts {
		key := fmt.Sprintf("accounts[%d]", i)
		id := strings.ToLower(a.Organization)
		if !isUUID(a.Organization) || a.Organization == nullUUID {
			ps.Add(key+".organization", a.Organization, "it is no organization id", "copy it from Genesys: Admin, Account Settings, Organization Details, Advanced")
		} else if first, again := organizations[id]; again {
			ps.Add(key+".organization", a.Organization, fmt.Sprintf("accounts[%d] is the same organization", first), "put the keys of both into one")
		}
		organizations[id] = i
		if len(a.Keys) == 0 {
			ps.Add(key+".keys", "", "none is listed, so no session could prove that it is yours", "list api_key and client_secret as the integration has them under Credentials")
		}
		if len(a.Keys) > maxKeys {
			ps.Add(key+".keys", fmt.Sprint(len(a.Keys)), fmt.Sprintf("at most %d are valid at a time", maxKeys), "remove the oldest")
		}
		for j, k := range a.Keys {
			at := fmt.Sprintf("%s.keys[%d]", key, j)
			k.validate(ps, at)
			if first, again := keys[k.APIKey]; again && k.APIKey != "" {
				ps.Add(at+".api_key", "", first+" is the same, so it says not who comes", "give each integration a key of its own")
			}
			keys[k.APIKey] = at
		}
	}
}

func (k Key) validate(ps *adapter.Problems, key string) {
	least := minKey
	if k.Unsigned {
		least = minLoneKey
	}
	switch s := string(k.APIKey); {
	case len(s) < least:
		ps.Add(key+".api_key", "", fmt.Sprintf("it has fewer than %d characters", least), "make one with: openssl rand -hex 16")
	case strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }):
		ps.Add(key+".api_key", "", "it holds characters that no header carries", "copy it again, without line breaks")
	}
	secret, err := decodeSecret(k.ClientSecret)
	switch {
	case k.Unsigned && k.ClientSecret != "":
		ps.Add(key+".unsigned", "true", "the key has a client_secret, so its sessions are signed", "leave one of the two out")
	case k.Unsigned:
	case k.ClientSecret == "":
		ps.Add(key+".client_secret", "", "it is missing, so sessions would prove no more than the API key", "make one with: openssl rand -base64 32, enter it at Genesys, too, and refer to it here")
	case err != nil || len(secret) < minSecret:
		ps.Add(key+".client_secret", "", fmt.Sprintf("it is not the base64 of %d bytes at least", minSecret), "make one with: openssl rand -base64 32, and enter it at Genesys, too")
	}
}

func (l Limits) validate(ps *adapter.Problems) {
	for _, n := range []struct {
		key                    string
		n, least, most, normal int64
	}{
		{"limits.max_sessions", int64(l.MaxSessions), 1, 1_000_000, DefaultMaxSessions},
		{"limits.max_connections", int64(l.MaxConnections), 1, 1_000_000, DefaultMaxConnections},
		{"limits.max_audio_bytes", l.MaxAudioBytes, 16 << 10, 16 << 20, DefaultMaxAudioBytes},
	} {
		if n.n < n.least || n.n > n.most {
			ps.Add(n.key, fmt.Sprint(n.n), fmt.Sprintf("it must lie between %d and %d", n.least, n.most), fmt.Sprintf("leave it out for %d", n.normal))
		}
	}
	for _, d := range []struct {
		key         string
		d           adapter.Duration
		least, most time.Duration
		normal      adapter.Duration
	}{
		{"limits.handshake_timeout", l.HandshakeTimeout, 100 * time.Millisecond, time.Hour, DefaultHandshakeTimeout},
		{"limits.refusal_delay", l.RefusalDelay, 0, 10 * time.Second, DefaultRefusalDelay},
		{"limits.signature_age", l.SignatureAge, time.Second, 10 * time.Minute, DefaultSignatureAge},
		{"limits.clock_skew", l.ClockSkew, 0, time.Minute, DefaultClockSkew},
		{"limits.open_timeout", l.OpenTimeout, 100 * time.Millisecond, time.Hour, DefaultOpenTimeout},
		{"limits.idle_timeout", l.IdleTimeout, 100 * time.Millisecond, 24 * time.Hour, DefaultIdleTimeout},
		{"limits.close_timeout", l.CloseTimeout, 100 * time.Millisecond, 9 * time.Second, DefaultCloseTimeout},
		{"limits.event_interval", l.EventInterval, 10 * time.Millisecond, time.Minute, DefaultEventInterval},
	} {
		if time.Duration(d.d) < d.least || time.Duration(d.d) > d.most {
			ps.Add(d.key, d.d.String(), fmt.Sprintf("it must lie between %v and %v", d.least, d.most), fmt.Sprintf("leave it out for %v", d.normal))
		}
	}
}
