package config

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.yaml.in/yaml/v3"
)

// always finds every variable and says nothing secret.
func always(string) (string, bool) { return "value", true }

// FuzzParse checks that a file without mistakes means the same after it was written
// out again, and that every mistake is one line with a place and an explanation.
func FuzzParse(f *testing.F) {
	// The example without its files, which are not there.
	f.Add([]byte(strings.NewReplacer(", tls: {cert: c.pem, key: k.pem}", "", "tls: {cert: c.pem, key: k.pem}", "", "key.json", "''").Replace(example)))
	f.Add([]byte(least))
	f.Add([]byte(settingsFile("a: 1e3\nb: [0x10, -0.5, 1_000, .inf, 2026-01-01, ~, 'true', true]\n? c\n: d")))
	f.Add([]byte(least + "limits: {grace: 1h, memory_per_track: 3MiB}\nlog: {level: warn, format: text}\n"))
	f.Add([]byte("api: {token: 'env:X'}\nroutes: [1, {}, []]\n"))
	f.Add([]byte(least + "api: {token: \"file:/a\\nb\"}\n"))
	f.Add([]byte("a: &a [*a]\n---\n"))
	f.Add([]byte("adapters: [{name: 'a\n\n  b', plugin: \"\\u00e9\"}]\n"))
	secrets := Secrets{LookupEnv: always}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse(data, "f", secrets)
		if err != nil {
			found, ok := errors.AsType[*Error](err)
			if !ok || len(found.Problems) == 0 {
				t.Fatalf("%v is not an *Error with problems", err)
			}
			for _, p := range found.Problems {
				if p.Why == "" || p.Do == "" {
					t.Errorf("%v says too little", p)
				}
			}
			if got := strings.Count(err.Error(), "\n") + 1; got != len(found.Problems) {
				t.Errorf("%d problems take %d lines:\n%v", len(found.Problems), got, err)
			}
			return
		}
		again, err := yaml.Marshal(c)
		if err != nil {
			t.Fatalf("Marshal: %v", err)
		}
		c2, err := Parse(again, "f", secrets)
		if err != nil {
			t.Fatalf("not valid any more: %v\n%s", err, again)
		}
		if diff := cmp.Diff(c, c2, ignoreSource, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("another meaning (-before +after):\n%s\n%s", diff, again)
		}
	})
}

// FuzzResolveSettings checks that settings which a schema takes are JSON that the
// schema takes, and that no value of a secret is in a problem.
func FuzzResolveSettings(f *testing.F) {
	f.Add(`{"public_url": "https://v.example", "accounts": [{"sid": "AC1", "auth_token": "env:X"}]}`)
	f.Add(`{"public_url": 1, "accounts": {"sid": []}, "calls": 1e99, "labels": {"": null}}`)
	f.Add(`{"accounts": [{"auth_token": "~hidden~", "stream_secrets": ["~hidden~", 5, null]}]}`)
	f.Add(`{"timeout": "1x", "upgrade_signature": null, "a.b[0]": {"\n": 1}}`)
	schema := vendorSchema(f)
	secrets := Secrets{LookupEnv: always}
	f.Fuzz(func(t *testing.T, text string) {
		var settings map[string]any
		if json.Unmarshal([]byte(text), &settings) != nil {
			return
		}
		out, problems := ResolveSettings("s", settings, schema, secrets)
		if len(problems) == 0 {
			if !json.Valid(out) {
				t.Fatalf("%q is not JSON", out)
			}
			return
		}
		if out != nil {
			t.Errorf("settings %s beside problems %v", out, problems)
		}
		for _, p := range problems {
			if strings.HasSuffix(p.Key, "auth_token") && strings.Contains(p.Error(), "~hidden~") && !strings.Contains(p.Key, "~hidden~") {
				t.Errorf("a secret shows: %v", p)
			}
			if !strings.HasPrefix(p.Key, "s") || strings.Contains(p.Error(), "\n") {
				t.Errorf("%q is not one line about a setting", p.Error())
			}
		}
	})
}
