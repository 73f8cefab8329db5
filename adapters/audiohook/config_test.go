package audiohook

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
)

func TestValidate(t *testing.T) {
	if err := testConfig().Validate(); err != nil {
		t.Fatalf("the tests' own settings: %v", err)
	}
	for name, tc := range map[string]struct {
		change func(*Config)
		key    string // of the one problem
	}{
		"no account":               {func(c *Config) { c.Accounts = nil }, "accounts"},
		"no organization id":       {func(c *Config) { c.Accounts[0].Organization = "acme" }, "accounts[0].organization"},
		"the null organization":    {func(c *Config) { c.Accounts[0].Organization = nullUUID }, "accounts[0].organization"},
		"one organization twice":   {func(c *Config) { c.Accounts[1].Organization = strings.ToUpper(testOrganization) }, "accounts[1].organization"},
		"no keys":                  {func(c *Config) { c.Accounts[0].Keys = nil }, "accounts[0].keys"},
		"too many keys":            {func(c *Config) { c.Accounts[0].Keys = keys(5) }, "accounts[0].keys"},
		"a key of two":             {func(c *Config) { c.Accounts[1].Keys[0].APIKey = testKey }, "accounts[1].keys[0].api_key"},
		"a short key":              {func(c *Config) { c.Accounts[0].Keys[0].APIKey = "short" }, "accounts[0].keys[0].api_key"},
		"a key of two lines":       {func(c *Config) { c.Accounts[0].Keys[0].APIKey = "a-key-of\ntwo-lines" }, "accounts[0].keys[0].api_key"},
		"no secret":                {func(c *Config) { c.Accounts[0].Keys[0].ClientSecret = "" }, "accounts[0].keys[0].client_secret"},
		"a secret in another form": {func(c *Config) { c.Accounts[0].Keys[0].ClientSecret = "not base64 at all!" }, "accounts[0].keys[0].client_secret"},
		"a short secret":           {func(c *Config) { c.Accounts[0].Keys[0].ClientSecret = "c2hvcnQ=" }, "accounts[0].keys[0].client_secret"},
		"signed and unsigned":      {func(c *Config) { c.Accounts[0].Keys[0].Unsigned = true }, "accounts[0].keys[0].unsigned"},
		"a short key alone": {func(c *Config) {
			c.Accounts[0].Keys[0] = Key{APIKey: "sixteen-letters-", Unsigned: true}
		}, "accounts[0].keys[0].api_key"},
		"no path":                 {func(c *Config) { c.Path = "audiohook" }, "path"},
		"a path with a slash":     {func(c *Config) { c.Path = "/audiohook/" }, "path"},
		"https":                   {func(c *Config) { c.PublicURL = "https://voice.example.com/audiohook" }, "public_url"},
		"ws":                      {func(c *Config) { c.PublicURL = "ws://voice.example.com/audiohook" }, "public_url"},
		"a query":                 {func(c *Config) { c.PublicURL = "wss://voice.example.com/audiohook?x=1" }, "public_url"},
		"all in one conversation": {func(c *Config) { c.ConversationID = "a" }, "conversation_id"},
		"a digit first":           {func(c *Config) { c.ConversationID = "{conversation}" }, "conversation_id"},
		"too long a conversation": {func(c *Config) { c.ConversationID = strings.Repeat("a", 29) + "{conversation}" }, "conversation_id"},
		"another refusal":         {func(c *Config) { c.Unauthorized = "silence" }, "unauthorized"},
		"other speakers":          {func(c *Config) { c.Speakers = "all" }, "speakers"},
		"another byte order":      {func(c *Config) { c.L16 = "pdp" }, "l16"},
		"other transcripts":       {func(c *Config) { c.Transcripts = "some" }, "transcripts"},
		"a language":              {func(c *Config) { c.Languages = []string{"en-US", "english"} }, "languages[1]"},
		"an address":              {func(c *Config) { c.Addresses = []string{"here"} }, "addresses[0]"},
		"a limit":                 {func(c *Config) { c.Limits.MaxSessions = 0 }, "limits.max_sessions"},
		"longer than Genesys waits": {func(c *Config) {
			c.Limits.CloseTimeout = adapter.Duration(10 * time.Second)
		}, "limits.close_timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig()
			tc.change(&cfg)
			ps, ok := errors.AsType[adapter.Problems](cfg.Validate())
			if !ok || len(ps) != 1 || ps[0].Key != tc.key {
				t.Fatalf("Validate = %v; want one problem with %s", cfg.Validate(), tc.key)
			}
			if ps[0].Do == "" || strings.Contains(ps[0].Error(), testSecret) {
				t.Errorf("the problem says not what to do, or shows a secret: %v", ps[0])
			}
			if _, err := New(cfg); adapter.KindOf(err) != adapter.KindConfig {
				t.Errorf("New = %v; want a problem of the configuration", err)
			}
		})
	}
}

func keys(n int) (out []Key) {
	for i := range n {
		out = append(out, Key{APIKey: adapter.Secret("an-api-key-" + strings.Repeat("x", i)), ClientSecret: testSecret})
	}
	return out
}

// TestDefaultsSurviveJSON: a settings block changes what it names, and nothing else.
func TestDefaultsSurviveJSON(t *testing.T) {
	cfg := DefaultConfig()
	if err := json.Unmarshal([]byte(`{"limits": {"max_sessions": 5}, "transcripts": "all"}`), &cfg); err != nil {
		t.Fatal(err)
	}
	if cfg.Limits.MaxSessions != 5 || cfg.Transcripts != TranscriptsAll || !cfg.Reconnect || cfg.Limits.OpenTimeout != DefaultOpenTimeout || cfg.Path != DefaultPath {
		t.Errorf("settings = %+v", cfg)
	}
}

func TestLanguageTag(t *testing.T) {
	for in, want := range map[string]string{"en-us": "en-US", "EN-US": "en-US", "es": "es", "zh-hant-tw": "zh-Hant-TW", "": "", "x": "", "en_US": "", "en-": "", "en-us; drop": ""} {
		if got, ok := languageTag(in); got != want || ok != (want != "") {
			t.Errorf("languageTag(%q) = %q, %v; want %q", in, got, ok, want)
		}
	}
}

func TestNumber(t *testing.T) {
	for in, want := range map[string]adapter.E164{"tel:+15550100;ext=7": "+15550100", " +15550100": "+15550100", "sip:a@b.example": "sip:a@b.example", "": ""} {
		if got := number(in); got != want {
			t.Errorf("number(%q) = %q; want %q", in, string(got), string(want))
		}
	}
}
