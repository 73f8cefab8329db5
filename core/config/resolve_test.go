package config

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/invopop/jsonschema"

	"github.com/patchbay/patchbay/core/adapter"
)

// vendorSettings is what an adapter's settings look like; its schema is made as the
// plugin seam makes it, from the struct's tags.
type vendorSettings struct {
	PublicURL string            `json:"public_url" jsonschema:"required,format=uri" jsonschema_description:"where the vendor reaches us"`
	Accounts  []vendorAccount   `json:"accounts" jsonschema:"required,minItems=1"`
	Signature string            `json:"upgrade_signature,omitempty" jsonschema:"enum=require,enum=if-present"`
	Timeout   string            `json:"timeout,omitempty" jsonschema:"format=duration"`
	Calls     int               `json:"calls,omitempty" jsonschema:"minimum=1,maximum=500"`
	Insecure  bool              `json:"insecure,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
}

type vendorAccount struct {
	SID     string   `json:"sid" jsonschema:"required,pattern=^AC[0-9]+$"`
	Token   string   `json:"auth_token,omitempty" jsonschema:"format=secret,minLength=4"`
	Secrets []string `json:"stream_secrets,omitempty" jsonschema:"maxItems=2,format=secret"`
}

func vendorSchema(t testing.TB) json.RawMessage {
	t.Helper()
	r := jsonschema.Reflector{RequiredFromJSONSchemaTags: true}
	s := r.Reflect(vendorSettings{})
	// invopop puts a list's format on the list; a secret's type puts it on the items.
	def := s.Definitions["vendorAccount"]
	list, _ := def.Properties.Get("stream_secrets")
	list.Format, list.Items.Format = "", "secret"
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// settingsFile returns a file with settings, which begin in line 7.
func settingsFile(settings string) string {
	return "google: {project: p}\nroutes: [{profile: demo}]\nadapters:\n  - name: a\n    plugin: b\n    settings:\n" +
		"      " + strings.ReplaceAll(strings.TrimSpace(settings), "\n", "\n      ") + "\n"
}

func TestAdapterSettings(t *testing.T) {
	dir := write(t, map[string]string{"secret": "from file\n", "empty": ""})
	vars := map[string]string{"TOKEN": "from env", "SHORT": "abc", "EMPTY": ""}
	tests := []struct {
		name, settings, want string
		mistakes             []string // without "patchbay.yaml:" in front
	}{
		{"secrets are resolved", `
public_url: https://v.example
accounts: [{sid: AC1, auth_token: "env:TOKEN", stream_secrets: ["file:secret", "env:TOKEN"]}]`,
			`{"public_url":"https://v.example","accounts":[{"sid":"AC1","auth_token":"from env","stream_secrets":["from file","from env"]}]}`, nil},
		{"values keep their types", `
public_url: https://v.example
accounts: [{sid: AC1}]
upgrade_signature: if-present
timeout: 20ms
calls: 5
insecure: true
labels: {number: +15550100, long: 007}`,
			`{"public_url":"https://v.example","accounts":[{"sid":"AC1"}],"upgrade_signature":"if-present","timeout":"20ms","calls":5,"insecure":true,"labels":{"number":"+15550100","long":"007"}}`, nil},
		{"nothing written leaves the default", "public_url: https://v.example\naccounts: [{sid: AC1, auth_token: }]\ncalls:",
			`{"public_url":"https://v.example","accounts":[{"sid":"AC1"}]}`, nil},
		{"a reference that is no secret stays", "public_url: env:TOKEN\naccounts: [{sid: AC1}]",
			`{"public_url":"env:TOKEN","accounts":[{"sid":"AC1"}]}`, nil},
		{"missing", "calls: 1", "", []string{
			"6: adapters[0].settings.accounts: missing; write it",
			"6: adapters[0].settings.public_url: missing; write it: where the vendor reaches us",
		}},
		{"unknown keys", "public-url: x\npublic_url: https://v.example\naccounts: [{sid: AC1, auth_tokn: 'env:TOKEN'}]\nport: 5", "", []string{
			`7: adapters[0].settings.public-url: unknown key; did you mean "public_url"?`,
			`9: adapters[0].settings.accounts[0].auth_tokn: unknown key; did you mean "auth_token"?`,
			`10: adapters[0].settings.port: unknown key; known here: accounts, calls, insecure, labels, public_url, timeout, upgrade_signature`,
		}},
		{"wrong values", `
public_url: ":no url"
accounts:
  - sid: AX1
  - sid: 5
upgrade_signature: requires
timeout: 5 seconds
calls: "5"
insecure: "yes"
labels:
  "a b": 5`, "", []string{
			`7: adapters[0].settings.public_url = ":no url": not a valid uri; correct it`,
			`9: adapters[0].settings.accounts[0].sid = "AX1": does not have the form ^AC[0-9]+$; correct it`,
			`10: adapters[0].settings.accounts[1].sid = "5": this is a number, not text; write it in quotes`,
			`11: adapters[0].settings.upgrade_signature = "requires": unknown; did you mean "require"?`,
			`12: adapters[0].settings.timeout = "5 seconds": not a length of time; write it like 20ms or 5m`,
			`13: adapters[0].settings.calls = "5": this is text, not a whole number; write digits without quotes`,
			`14: adapters[0].settings.insecure = "yes": this is text, not true or false; write true or false without quotes`,
			`16: adapters[0].settings.labels["a b"] = "5": this is a number, not text; write it in quotes`,
		}},
		{"wrong kinds and sizes", "public_url: [a]\naccounts: {sid: AC1}\ncalls: 0\nlabels: x", "", []string{
			"7: adapters[0].settings.public_url: this is a list, not text; write one value",
			"8: adapters[0].settings.accounts: this is keys with values, not a list; begin each item with - or write [a, b]",
			`9: adapters[0].settings.calls = "0": too small; write at least 1`,
			`10: adapters[0].settings.labels = "x": this is text, not keys with values; write key: value pairs, indented, or {key: value}`,
		}},
		{"secrets", `
public_url: https://v.example
accounts:
  - {sid: AC1, auth_token: hunter2}
  - {sid: AC1, auth_token: "env:UNSET"}
  - {sid: AC1, auth_token: "env:EMPTY"}
  - {sid: AC1, auth_token: "env:SHORT"}
  - {sid: AC1, auth_token: 12345}
  - {sid: AC1, stream_secrets: ["file:gone", "file:empty", hunter2]}`, "", []string{
			"9: adapters[0].settings.accounts[0].auth_token: a secret must not stand in the file; put it into the environment or a file and write env:NAME or file:PATH here",
			`10: adapters[0].settings.accounts[1].auth_token = "env:UNSET": the environment variable "UNSET" is not set; set it before the start`,
			`11: adapters[0].settings.accounts[2].auth_token = "env:EMPTY": the environment variable "EMPTY" is empty; set it before the start`,
			"12: adapters[0].settings.accounts[3].auth_token: too short; write at least 4 characters",
			"13: adapters[0].settings.accounts[4].auth_token: a secret must not stand in the file; put it into the environment or a file and write env:NAME or file:PATH here",
			`14: adapters[0].settings.accounts[5].stream_secrets[0] = "file:gone": there is no file ` + dir + `/gone; create it, or correct the path`,
			`14: adapters[0].settings.accounts[5].stream_secrets[1] = "file:empty": the file ` + dir + `/empty is empty; write the secret into it`,
			"14: adapters[0].settings.accounts[5].stream_secrets[2]: a secret must not stand in the file; put it into the environment or a file and write env:NAME or file:PATH here",
			"14: adapters[0].settings.accounts[5].stream_secrets: too many items; write at most 2",
		}},
	}
	schema := vendorSchema(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Parse([]byte(settingsFile(tt.settings)), "patchbay.yaml", Secrets{LookupEnv: env(vars), Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.AdapterSettings(0, schema)
			if len(tt.mistakes) == 0 {
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(decode(t, []byte(tt.want)), decode(t, got)); diff != "" {
					t.Errorf("AdapterSettings (-want +got):\n%s", diff)
				}
				return
			}
			found, ok := errors.AsType[*Error](err)
			if !ok {
				t.Fatalf("AdapterSettings = %s, %v; want an *Error", got, err)
			}
			if text := found.Error(); strings.Contains(text, "hunter2") || strings.Contains(text, "12345") || strings.Contains(text, "abc") {
				t.Errorf("a secret shows in %s", text)
			}
			want := make([]string, len(tt.mistakes))
			for i, m := range tt.mistakes {
				want[i] = "patchbay.yaml:" + m
			}
			compareLines(t, strings.Split(found.Error(), "\n"), want)
		})
	}
}

func decode(t *testing.T, b []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	return v
}

func TestResolveSettings(t *testing.T) {
	secrets := Secrets{LookupEnv: env(map[string]string{"TOKEN": "value"})}
	tests := []struct {
		name, schema string
		settings     map[string]any
		want         string // the JSON, or the problems
	}{
		{"no schema", "", map[string]any{"a": 1, "b": []string{"x"}}, `{"a":1,"b":["x"]}`},
		{"nothing written", `{"type": "object"}`, nil, `{}`},
		{"not JSON", `{"type": "object"}`, map[string]any{"a": func() {}}, "s: cannot be written as JSON; write words, numbers, lists and keys alone"},
		{"schema that is none", `{"type": "nothing"}`, nil, "s: the plugin states a schema that cannot be used: "},
		{"schema that reads files", `{"$ref": "file:///etc/passwd"}`, nil, "s: the plugin states a schema that cannot be used: "},
		{"a form for each kind",
			`{"properties": {"auth": {"oneOf": [{"type": "string"}, {"type": "object", "properties": {"token": {"type": "string", "format": "secret"}}, "additionalProperties": false}]}}}`,
			map[string]any{"auth": map[string]any{"token": "env:TOKEN"}}, `{"auth":{"token":"value"}}`},
		{"no form fits",
			`{"properties": {"auth": {"oneOf": [{"type": "string"}, {"type": "object", "required": ["token"], "properties": {"token": {"type": "object", "required": ["x"]}}}]}}}`,
			map[string]any{"auth": map[string]any{"token": map[string]any{}}}, "s.auth.token.x: missing; write it"},
		{"secrets behind patterns and any key",
			`{"patternProperties": {"^t": {"format": "secret"}}, "additionalProperties": {"items": {"format": "secret"}}}`,
			map[string]any{"token": "env:TOKEN", "more": []any{"env:TOKEN"}}, `{"token":"value","more":["value"]}`},
		{"items by place",
			`{"properties": {"pair": {"prefixItems": [{"type": "string"}, {"format": "secret"}]}}}`,
			map[string]any{"pair": []any{"env:TOKEN", "env:TOKEN"}}, `{"pair":["env:TOKEN","value"]}`},
		{"an optional secret", `{"properties": {"t": {"type": "string", "format": "secret"}}}`, map[string]any{"t": ""}, `{"t":""}`},
		{"a form with examples", `{"properties": {"d": {"type": "string", "pattern": "^[0-9]+ms$", "examples": ["20ms", "5ms"]}}}`,
			map[string]any{"d": "20"}, `s.d = "20": not written as it must be; write it like 20ms or 5ms`},
		{"other keywords", `{"properties": {"n": {"multipleOf": 5}, "c": {"const": 1}, "u": {"uniqueItems": true}, "l": {"maxLength": 1}, "x": {"maximum": 2}, "m": {"minItems": 1}}}`,
			map[string]any{"n": 3, "c": 2, "u": []any{1, 1}, "l": "ab", "x": 3, "m": []any{}},
			`s.n = "3": multipleOf: got 3, want 5; see the adapter's README` + "\n" +
				`s.c = "2": not the one value that is possible; write 1` + "\n" +
				`s.u: items 0 and 1 are the same; delete one of them` + "\n" +
				`s.l = "ab": too long; write at most 1 characters` + "\n" +
				`s.x = "3": too large; write at most 2` + "\n" +
				`s.m: too few items; write at least 1`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, problems := ResolveSettings("s", tt.settings, json.RawMessage(tt.schema), secrets)
			switch {
			case strings.HasSuffix(tt.want, ": "):
				if len(problems) != 1 || !strings.HasPrefix(problems[0].Error(), tt.want) {
					t.Errorf("problems = %v; want one that begins with %q", problems, tt.want)
				}
			case strings.HasPrefix(tt.want, "{"):
				if problems != nil || !cmp.Equal(decode(t, got), decode(t, []byte(tt.want))) {
					t.Errorf("ResolveSettings = %s, %v; want %s", got, problems, tt.want)
				}
			default:
				compareLines(t, strings.Split(problems.Error(), "\n"), strings.Split(tt.want, "\n"))
			}
		})
	}
}

// TestLocatePlugin checks the way of a plugin's own problems back to the file.
func TestLocatePlugin(t *testing.T) {
	c, err := parse(settingsFile("public_url: x\naccounts:\n  - sid: AC1\n  - sid: AC1"))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Locate(nil); err != nil {
		t.Errorf("Locate(nil) = %v; want nil", err)
	}
	var own adapter.Problems
	own.Add("accounts[1].sid", "AC1", "named twice", "delete one")
	own.Add("accounts[1].auth_token", "", "missing", "write one")
	own.Add("timeout", "", "missing", "write one")
	err = c.Locate(own.Under(SettingsKey(0)))
	want := `patchbay.yaml:6: adapters[0].settings.timeout: missing; write one
patchbay.yaml:10: adapters[0].settings.accounts[1].sid = "AC1": named twice; delete one
patchbay.yaml:10: adapters[0].settings.accounts[1].auth_token: missing; write one`
	if err == nil || err.Error() != want {
		t.Errorf("Locate =\n%v\nwant\n%s", err, want)
	}
}
