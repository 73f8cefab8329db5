package twilio

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
)

var (
	accountSID = regexp.MustCompile(`^AC[0-9a-fA-F]{32}$`)
	callSID    = regexp.MustCompile(`^CA[0-9a-fA-F]{32}$`)
	streamSID  = regexp.MustCompile(`^MZ[0-9a-fA-F]{32}$`)
	apiKeySID  = regexp.MustCompile(`^SK[0-9a-fA-F]{32}$`)
	phone      = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)
	tokenText  = regexp.MustCompile(`^[0-9A-Za-z]+$`) // twilio-go sends nothing else as a password
)

// minSecretLength keeps stream secrets out of reach of guessing.
const minSecretLength = 16

// Validate returns adapter.Problems with every mistake, or nil. It reads the
// TwiML file that voice.twiml_file names.
func (c Config) Validate() error {
	var ps adapter.Problems
	if _, err := parsePublicURL(c.PublicURL); err != nil {
		ps.Add("public_url", c.PublicURL, err.Error(), "write the URL that Twilio reaches, with a path: https://voice.example.com/twilio")
	}
	c.validateAccounts(&ps)
	oneOf(&ps, "upgrade_signature", c.UpgradeSignature, SignatureRequired, SignatureIfPresent)
	if c.Inbound != "" {
		oneOf(&ps, "inbound", c.Inbound, InboundCustomer, InboundAgent)
	}
	oneOf(&ps, "track", c.Track, TrackBoth, TrackInbound, TrackOutbound)
	c.Voice.validate(&ps)
	if u, err := url.Parse(c.APIURL); err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || !encrypted(u) {
		ps.Add("api_url", c.APIURL, "it is no https URL of an API", "leave it out for "+DefaultAPIURL)
	}
	c.Limits.validate(&ps)
	return ps.Err()
}

func (c Config) validateAccounts(ps *adapter.Problems) {
	if len(c.Accounts) == 0 && !c.Insecure {
		ps.Add("accounts", "", "no account is listed, so no call could prove that it is yours", "list sid and auth_token from the Twilio console's start page")
	}
	seen := map[string]int{}
	for i, a := range c.Accounts {
		key := fmt.Sprintf("accounts[%d]", i)
		if !accountSID.MatchString(a.SID) {
			ps.Add(key+".sid", a.SID, "an Account SID is AC and 32 hexadecimal digits", "copy it from the Twilio console's start page")
		} else if first, ok := seen[a.SID]; ok {
			ps.Add(key+".sid", a.SID, fmt.Sprintf("accounts[%d] has the same", first), "list each account once")
		} else {
			seen[a.SID] = i
		}
		a.validate(ps, key)
	}
}

func (a Account) validate(ps *adapter.Problems, key string) {
	if a.AuthToken == "" {
		ps.Add(key+".auth_token", "", "it is empty, so no signature can be checked", "refer to the primary auth token: env:TWILIO_TOKEN")
	} else if !tokenText.MatchString(string(a.AuthToken)) {
		ps.Add(key+".auth_token", "", "it holds characters that no auth token has", "copy it again, without spaces and quotes")
	}
	if len(a.StreamSecrets) > 2 {
		ps.Add(key+".stream_secrets", fmt.Sprint(len(a.StreamSecrets)), "at most two are valid at a time: the old and the new", "remove the oldest")
	}
	for i, s := range a.StreamSecrets {
		if len(s) < minSecretLength {
			ps.Add(fmt.Sprintf("%s.stream_secrets[%d]", key, i), "", fmt.Sprintf("it has fewer than %d characters", minSecretLength), "make one with: openssl rand -hex 24")
		}
		if len(s)+len(paramSecret) >= maxParameterLength {
			ps.Add(fmt.Sprintf("%s.stream_secrets[%d]", key, i), "", "Twilio carries parameters below 500 characters only", "make one with: openssl rand -hex 24")
		}
	}
	if (a.APIKey == "") != (a.APISecret == "") {
		ps.Add(key+".api_key", a.APIKey, "api_key and api_secret only work together", "set both, or neither to use the auth token")
	}
	if a.APIKey != "" && !apiKeySID.MatchString(a.APIKey) {
		ps.Add(key+".api_key", a.APIKey, "an API key SID is SK and 32 hexadecimal digits", "copy it from the console's page API keys & tokens")
	}
}

// maxParameterLength bounds name and value of a <Parameter> together ("TwiML
// Voice: Stream", 2026).
const maxParameterLength = 500

func (v Voice) validate(ps *adapter.Problems) {
	if v.ways() > 1 {
		ps.Add("voice", "", "more than one of dial/sip, queue, redirect and twiml_file is set, but a call goes one way", "keep one")
	}
	for i, n := range v.Dial {
		if !phone.MatchString(n) {
			ps.Add(fmt.Sprintf("voice.dial[%d]", i), n, "it is no number with country code", "write it like +15550100200")
		}
	}
	for i, s := range v.SIP {
		if !strings.HasPrefix(s, "sip:") && !strings.HasPrefix(s, "sips:") {
			ps.Add(fmt.Sprintf("voice.sip[%d]", i), s, "it is no SIP address", "write it like sip:agent@example.sip.twilio.com")
		}
	}
	if u, err := url.Parse(v.Redirect); v.Redirect != "" && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http") {
		ps.Add("voice.redirect", v.Redirect, "it is no absolute http or https URL", "give the URL of the TwiML that takes the call on")
	}
	if v.File != "" {
		if _, err := readTwiML(v.File); err != nil {
			ps.Add("voice.twiml_file", v.File, err.Error(), "point it at a file with <Response> and the verbs that take the call on")
		}
	}
}

// readTwiML reads and splits a TwiML file.
func readTwiML(path string) (template, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return template{}, fmt.Errorf("it cannot be read: %w", err)
	}
	return splitTwiML(b)
}

func (l Limits) validate(ps *adapter.Problems) {
	if l.MaxStreams < 1 {
		ps.Add("limits.max_streams", fmt.Sprint(l.MaxStreams), "no stream could be served", fmt.Sprintf("leave it out for %d", DefaultMaxStreams))
	}
	if l.MaxMessageBytes < 4<<10 || l.MaxMessageBytes > 16<<20 {
		ps.Add("limits.max_message_bytes", fmt.Sprint(l.MaxMessageBytes), "it must lie between 4096 and 16777216", fmt.Sprintf("leave it out for %d", DefaultMaxMessageBytes))
	}
	for _, d := range []struct {
		key       string
		d, normal adapter.Duration
	}{
		{"limits.handshake_timeout", l.HandshakeTimeout, DefaultHandshakeTimeout},
		{"limits.start_timeout", l.StartTimeout, DefaultStartTimeout},
		{"limits.idle_timeout", l.IdleTimeout, DefaultIdleTimeout},
	} {
		if time.Duration(d.d) < 100*time.Millisecond || time.Duration(d.d) > 24*time.Hour {
			ps.Add(d.key, d.d.String(), "it must lie between 100ms and 24h", fmt.Sprintf("leave it out for %v", d.normal))
		}
	}
}

func oneOf(ps *adapter.Problems, key, value string, allowed ...string) {
	for _, a := range allowed {
		if value == a {
			return
		}
	}
	ps.Add(key, value, "there is no such choice", "write "+strings.Join(allowed, " or "))
}

// encrypted reports whether u is https, or http to this machine, where nobody listens.
func encrypted(u *url.URL) bool {
	return u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname())
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
