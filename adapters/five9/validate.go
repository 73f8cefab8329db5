package five9

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/patchbay/patchbay/adapters/internal/networks"
	"github.com/patchbay/patchbay/core/adapter"
)

var (
	nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)
	pathForm = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`)
	idForm   = regexp.MustCompile(`^[!-~]{1,128}$`) // printable ASCII; what follows from ids must stay below the host's limits
	textForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]*$`)
)

// minTokenLength keeps trust tokens out of reach of guessing: whoever asks gets to see
// a token's hash, since that is how Five9 validates a subscription.
const minTokenLength = 24

// Validate returns adapter.Problems with every mistake, or nil. It reads the file that
// client_ca names.
func (c Config) Validate() error {
	var ps adapter.Problems
	c.validateSubscriptions(&ps)
	c.validateConversationID(&ps)
	if !pathForm.MatchString(c.Path) {
		ps.Add("path", c.Path, "it is no path of an URL", "write it like /five9, without a slash at the end")
	}
	switch {
	case c.EventKey != KeyRequired && c.EventKey != KeyIfPresent:
		ps.Add("event_key", c.EventKey, "there is no such choice", "write "+KeyRequired+" or "+KeyIfPresent)
	case c.EventKey == KeyIfPresent && len(c.EventAddresses) == 0:
		ps.Add("event_key", c.EventKey, "events without a key would be taken from anybody", "list the networks that they come from in event_addresses")
	}
	networks.Check(&ps, "addresses", c.Addresses)
	networks.Check(&ps, "event_addresses", c.EventAddresses)
	if c.ClientCA != "" {
		if _, err := readCAs(c.ClientCA); err != nil {
			ps.Add("client_ca", c.ClientCA, err.Error(), "point it at a file with certificates in PEM")
		}
	}
	c.Limits.validate(&ps)
	return ps.Err()
}

func (c Config) validateSubscriptions(ps *adapter.Problems) {
	if len(c.Subscriptions) == 0 && !c.Insecure {
		ps.Add("subscriptions", "", "none is listed, so no stream could prove that it is yours", "list name, domain and trust_tokens of your VoiceStream subscription")
	}
	names, owners := map[string]int{}, map[adapter.Secret]int{}
	for i, s := range c.Subscriptions {
		key := fmt.Sprintf("subscriptions[%d]", i)
		if first, taken := names[s.Name]; taken {
			ps.Add(key+".name", s.Name, fmt.Sprintf("subscriptions[%d] has the same", first), "give each a name of its own")
		}
		names[s.Name] = i
		s.validate(ps, key)
		for j, token := range s.TrustTokens {
			first, seen := owners[token]
			if seen && c.Subscriptions[first].Domain != s.Domain {
				ps.Add(fmt.Sprintf("%s.trust_tokens[%d]", key, j), "", fmt.Sprintf("subscriptions[%d] of another domain has the same, so it proves neither", first), "make one for each domain: openssl rand -hex 32")
			}
			owners[token] = i
		}
	}
}

func (s Subscription) validate(ps *adapter.Problems, key string) {
	if !nameForm.MatchString(s.Name) {
		ps.Add(key+".name", s.Name, "a name is 1 to 40 lower-case letters, digits and -", "call it main, if there is only one")
	}
	if !idForm.MatchString(s.Domain) {
		ps.Add(key+".domain", s.Domain, "it is no Five9 domain id", "write domain_id of its streams; your Five9 administrator knows it")
	}
	if s.ID != "" && !idForm.MatchString(s.ID) {
		ps.Add(key+".id", s.ID, "it is no subscription id", "copy it from Five9, or leave it out")
	}
	if len(s.TrustTokens) == 0 {
		ps.Add(key+".trust_tokens", "", "none is listed, so no stream could prove that it is yours", `refer to the subscription's trust token: ["env:FIVE9_TRUST_TOKEN"]`)
	}
	validateSecrets(ps, key+".trust_tokens", s.TrustTokens, minTokenLength, "make one with: openssl rand -hex 32")
	validateSecrets(ps, key+".api_keys", s.APIKeys, 8, "copy the key that Five9 showed when the subscription was made")
}

func validateSecrets(ps *adapter.Problems, key string, secrets []adapter.Secret, least int, do string) {
	if len(secrets) > 2 {
		ps.Add(key, fmt.Sprint(len(secrets)), "at most two are valid at a time: the old and the new", "remove the oldest")
	}
	for i, s := range secrets {
		at := fmt.Sprintf("%s[%d]", key, i)
		switch {
		case len(s) < least:
			ps.Add(at, "", fmt.Sprintf("it has fewer than %d characters", least), do)
		case strings.TrimSpace(string(s)) != string(s) || strings.ContainsFunc(string(s), func(r rune) bool { return r < ' ' || r > '~' }):
			ps.Add(at, "", "it holds characters that no header carries", "copy it again, without line breaks")
		}
	}
}

// validateConversationID checks that the ids obey Google's rule, and that two domains
// never name the same conversation.
func (c Config) validateConversationID(ps *adapter.Problems) {
	const key = "conversation_id"
	rest := strings.ReplaceAll(strings.Replace(c.ConversationID, placeCall, "", 1), placeDomain, "")
	var domains []string
	for _, s := range c.Subscriptions {
		if !slices.Contains(domains, s.Domain) {
			domains = append(domains, s.Domain)
		}
	}
	switch {
	case !strings.Contains(c.ConversationID, placeCall):
		ps.Add(key, c.ConversationID, "it lacks {call}, so all calls would have one conversation", "leave it out for "+DefaultConversationID)
	case !textForm.MatchString(rest) || !textForm.MatchString(c.ConversationID[:1]):
		ps.Add(key, c.ConversationID, "a conversation id begins with a letter and has letters, digits, _ and - only", "write it like five9-{domain}-{call}")
	case len(rest) > maxPrefix:
		ps.Add(key, c.ConversationID, fmt.Sprintf("it leaves too little room: an id has at most %d characters", maxConversationID), fmt.Sprintf("use at most %d characters beside {domain} and {call}", maxPrefix))
	case len(domains) > 1 && !strings.Contains(c.ConversationID, placeDomain):
		ps.Add(key, c.ConversationID, fmt.Sprintf("subscriptions names %d domains, whose call ids may be the same, and the conversation id does not tell them apart", len(domains)),
			"write five9-{domain}-{call}, or give each domain an instance of the adapter with a Google project of its own")
	}
}

func readCAs(path string) (*x509.CertPool, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("it cannot be read: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, errors.New("it holds no certificate")
	}
	return pool, nil
}

func (l Limits) validate(ps *adapter.Problems) {
	for _, n := range []struct {
		key                    string
		n, least, most, normal int
	}{
		{"limits.max_streams", l.MaxStreams, 1, 1_000_000, DefaultMaxStreams},
		{"limits.max_connections", l.MaxConnections, 1, 1_000_000, DefaultMaxConnections},
		{"limits.max_message_bytes", l.MaxMessageBytes, 16 << 10, 16 << 20, DefaultMaxMessageBytes},
	} {
		if n.n < n.least || n.n > n.most {
			ps.Add(n.key, fmt.Sprint(n.n), fmt.Sprintf("it must lie between %d and %d", n.least, n.most), fmt.Sprintf("leave it out for %d", n.normal))
		}
	}
	for _, d := range []struct {
		key       string
		d, normal adapter.Duration
	}{
		{"limits.handshake_timeout", l.HandshakeTimeout, DefaultHandshakeTimeout},
		{"limits.config_timeout", l.ConfigTimeout, DefaultConfigTimeout},
		{"limits.idle_timeout", l.IdleTimeout, DefaultIdleTimeout},
	} {
		if time.Duration(d.d) < 100*time.Millisecond || time.Duration(d.d) > 24*time.Hour {
			ps.Add(d.key, d.d.String(), "it must lie between 100ms and 24h", fmt.Sprintf("leave it out for %v", d.normal))
		}
	}
}
