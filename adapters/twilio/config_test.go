package twilio

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/invopop/jsonschema"

	"github.com/patchbay/patchbay/core/adapter"
)

func TestValidateNamesEveryMistake(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, tc := range []struct {
		name   string
		change func(*Config)
		want   string // key of the one problem; empty for none
	}{
		{"good", func(*Config) {}, ""},
		{"no public URL", func(c *Config) { c.PublicURL = "" }, "public_url"},
		{"public URL over http", func(c *Config) { c.PublicURL = "http://voice.example.com/t" }, "public_url"},
		{"public URL over http on loopback", func(c *Config) { c.PublicURL = "http://127.0.0.1:8080/t" }, ""},
		{"public URL with IPv6 host", func(c *Config) { c.PublicURL = "https://[2001:db8::1]/t" }, "public_url"},
		{"public URL with a query", func(c *Config) { c.PublicURL = "https://voice.example.com/t?x=1" }, "public_url"},
		{"public URL with a user", func(c *Config) { c.PublicURL = "https://u:p@voice.example.com/t" }, "public_url"},
		{"public URL that is only a host", func(c *Config) { c.PublicURL = "voice.example.com" }, "public_url"},
		{"public URL with dots", func(c *Config) { c.PublicURL = "https://voice.example.com/a/../b" }, "public_url"},
		{"public URL with a slash at its end", func(c *Config) { c.PublicURL = "https://voice.example.com/t/" }, ""},
		{"public URL with a port", func(c *Config) { c.PublicURL = "https://voice.example.com:8443/t" }, ""},
		{"no accounts", func(c *Config) { c.Accounts = nil }, "accounts"},
		{"no accounts, insecure", func(c *Config) { c.Accounts, c.Insecure = nil, true }, ""},
		{"account SID", func(c *Config) { c.Accounts[0].SID = "AC123" }, "accounts[0].sid"},
		{"account twice", func(c *Config) { c.Accounts[1].SID = testAccount }, "accounts[1].sid"},
		{"no auth token", func(c *Config) { c.Accounts[1].AuthToken = "" }, "accounts[1].auth_token"},
		{"quoted auth token", func(c *Config) { c.Accounts[0].AuthToken = `"abc"` }, "accounts[0].auth_token"},
		{"three secrets", func(c *Config) {
			c.Accounts[0].StreamSecrets = []adapter.Secret{testSecret, newSecret, newSecret}
		}, "accounts[0].stream_secrets"},
		{"short secret", func(c *Config) { c.Accounts[0].StreamSecrets = []adapter.Secret{testSecret, "short"} }, "accounts[0].stream_secrets[1]"},
		{"endless secret", func(c *Config) {
			c.Accounts[0].StreamSecrets = []adapter.Secret{adapter.Secret(strings.Repeat("x", 490))}
		}, "accounts[0].stream_secrets[0]"},
		{"key without secret", func(c *Config) { c.Accounts[0].APIKey = "SK00000000000000000000000000000001" }, "accounts[0].api_key"},
		{"upgrade_signature", func(c *Config) { c.UpgradeSignature = "never" }, "upgrade_signature"},
		{"inbound", func(c *Config) { c.Inbound = "caller" }, "inbound"},
		{"track", func(c *Config) { c.Track = "inbound" }, "track"},
		{"api_url over http", func(c *Config) { c.APIURL = "http://api.example.com" }, "api_url"},
		{"dial", func(c *Config) { c.Voice.Dial = []string{"5550100"} }, "voice.dial[0]"},
		{"sip", func(c *Config) { c.Voice.SIP = []string{"agent@example.com"} }, "voice.sip[0]"},
		{"two ways", func(c *Config) { c.Voice.Queue, c.Voice.Redirect = "q", "https://example.com/x" }, "voice"},
		{"redirect", func(c *Config) { c.Voice.Redirect = "/x" }, "voice.redirect"},
		{"no such file", func(c *Config) { c.Voice.File = filepath.Join(dir, "none.xml") }, "voice.twiml_file"},
		{"empty response", func(c *Config) { c.Voice.File = write("a.xml", "<Response/>") }, "voice.twiml_file"},
		{"file is no TwiML", func(c *Config) { c.Voice.File = write("b.xml", "<html><p/></html>") }, "voice.twiml_file"},
		{"file", func(c *Config) { c.Voice.File = write("c.xml", "<Response><Dial>+15550100</Dial></Response>") }, ""},
		{"max_streams", func(c *Config) { c.Limits.MaxStreams = 0 }, "limits.max_streams"},
		{"max_message_bytes", func(c *Config) { c.Limits.MaxMessageBytes = 10 }, "limits.max_message_bytes"},
		{"start_timeout", func(c *Config) { c.Limits.StartTimeout = 0 }, "limits.start_timeout"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := testConfig()
			tc.change(&cfg)
			err := cfg.Validate()
			ps, _ := errors.AsType[adapter.Problems](err)
			var keys []string
			for _, p := range ps {
				keys = append(keys, p.Key)
				if p.Why == "" || p.Do == "" || strings.Contains(p.Error(), "\n") {
					t.Errorf("problem %q does not say why and what to do in one line", p)
				}
			}
			if got := strings.Join(keys, " "); got != tc.want {
				t.Errorf("Validate() = %v; want a problem with %q", err, tc.want)
			}
			if _, newErr := New(cfg); (newErr == nil) != (tc.want == "") {
				t.Errorf("New() = %v", newErr)
			}
		})
	}
}

func TestValidateJoinsProblems(t *testing.T) {
	err := Config{}.Validate()
	for _, key := range []string{"public_url", "accounts", "upgrade_signature", "track", "api_url", "limits.idle_timeout"} {
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("Validate of nothing = %v; want a line about %s", err, key)
		}
	}
}

func TestSecretsStayOut(t *testing.T) {
	cfg := testConfig()
	cfg.Accounts[0].StreamSecrets = []adapter.Secret{"short"}
	cfg.Accounts[0].AuthToken = "white space"
	if err := cfg.Validate(); err == nil || strings.Contains(err.Error(), "short\"") || strings.Contains(err.Error(), "white space") {
		t.Errorf("Validate() = %v; want problems without the secrets", err)
	}
}

// TestSettingsHaveSchema checks that a file's settings block fits: the defaults
// satisfy the schema's names, and durations are written as text.
func TestSettingsHaveSchema(t *testing.T) {
	b, err := json.Marshal(DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), `"start_timeout":"10s"`) || strings.Contains(string(b), `"voice"`) {
		t.Errorf("defaults are %s", b)
	}
	var back Config
	if err := json.Unmarshal(b, &back); err != nil || back.Limits != DefaultConfig().Limits {
		t.Errorf("defaults do not survive JSON: %v, %+v", err, back)
	}
	schema, err := json.Marshal((&jsonschema.Reflector{DoNotReference: true}).Reflect(Config{}))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"public_url"`, `"if-present"`, `"stream_secrets"`, `"twiml_file"`} {
		if !strings.Contains(string(schema), want) {
			t.Errorf("the schema lacks %s: %s", want, schema)
		}
	}
}
