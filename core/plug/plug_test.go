package plug

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/patchbay/patchbay/core/adapter"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type testConfig struct {
	Names  []string         `json:"names"`
	Every  adapter.Duration `json:"every"`
	Nested struct {
		Token adapter.Secret `json:"token"`
		Count int            `json:"count" jsonschema:"minimum=1"`
	} `json:"nested"`
}

func (testConfig) Validate() error               { return nil }
func (testConfig) Listeners() []adapter.Listener { return nil }

type testAdapter struct{}

func (*testAdapter) Run(context.Context, adapter.Env, adapter.Sink) error { return nil }

func (*testAdapter) Detach(context.Context, adapter.DetachRequest) error { return nil }

func newTestProgram(t *testing.T, opts ...Option) *program {
	t.Helper()
	c := testConfig{Names: []string{"default"}, Every: adapter.Duration(20 * time.Millisecond)}
	p, err := newProgram("test", c, func(testConfig) (*testAdapter, error) { return &testAdapter{}, nil }, opts)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestMainSpeaksToPeople(t *testing.T) {
	simulator := func(_ context.Context, args []string, stdout, _ io.Writer) int {
		_, _ = io.WriteString(stdout, "simulated "+strings.Join(args, " "))
		return 7
	}
	for _, c := range []struct {
		name           string
		args           []string
		opts           []Option
		code           int
		stdout, stderr string // a part of it
	}{
		{"by hand", nil, nil, exitUsage, "", "is an adapter plugin of patchbay"},
		{"unknown word", []string{"run"}, nil, exitUsage, "", "plugin: test"},
		{"help", []string{"--help"}, nil, 0, "plugin: test", ""},
		{"version", []string{"--version"}, []Option{WithVersion("1.2")}, 0, "test 1.2\n", ""},
		{"no simulator", []string{"simulate"}, nil, exitUsage, "", "no simulator"},
		{"simulator", []string{"simulate", "--calls", "2"}, []Option{WithSimulator(simulator)}, 7, "simulated --calls 2", ""},
		{"help with simulator", []string{"-h"}, []Option{WithSimulator(simulator)}, 0, "simulate --help", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if code := newTestProgram(t, c.opts...).main(c.args, &stdout, &stderr); code != c.code {
				t.Errorf("code %d; want %d", code, c.code)
			}
			if !strings.Contains(stdout.String(), c.stdout) || (c.stdout == "") != (stdout.Len() == 0) {
				t.Errorf("stdout %q; want %q in it", stdout.String(), c.stdout)
			}
			if !strings.Contains(stderr.String(), c.stderr) || (c.stderr == "") != (stderr.Len() == 0) {
				t.Errorf("stderr %q; want %q in it", stderr.String(), c.stderr)
			}
		})
	}
}

func TestAbilitiesAreFound(t *testing.T) {
	p := newTestProgram(t, WithSimulator(func(context.Context, []string, io.Writer, io.Writer) int { return 0 }))
	if want := []string{"detach", "simulate"}; !slices.Equal(p.abilities, want) {
		t.Errorf("abilities %q; want %q", p.abilities, want)
	}
}

func TestSchema(t *testing.T) {
	var s struct {
		Schema               string `json:"$schema"`
		AdditionalProperties any
		Required             []string
		Properties           map[string]struct {
			Type, Format, Pattern string
			Properties            map[string]map[string]any
		}
	}
	p := newTestProgram(t)
	if err := json.Unmarshal(p.schema, &s); err != nil {
		t.Fatal(err)
	}
	if s.Schema != "https://json-schema.org/draft/2020-12/schema" || s.AdditionalProperties != false || len(s.Required) > 0 {
		t.Errorf("schema %s", p.schema)
	}
	if got := slices.Sorted(maps.Keys(s.Properties)); !slices.Equal(got, []string{"every", "names", "nested"}) {
		t.Errorf("keys %q", got)
	}
	nested := s.Properties["nested"].Properties
	if nested["token"]["format"] != "secret" || nested["count"]["minimum"] != 1.0 {
		t.Errorf("nested %v", nested)
	}
	if e := s.Properties["every"]; e.Type != "string" || e.Pattern == "" {
		t.Errorf("a duration is %+v; want a string with a pattern", e)
	}
}

func TestDecode(t *testing.T) {
	p := newTestProgram(t)
	for _, c := range []struct {
		name, settings string
		want           string // the configuration as JSON, or the problem
	}{
		{"nothing", ``, `{"names":["default"],"every":"20ms","nested":{"token":"","count":0}}`},
		{"empty", `{}`, `{"names":["default"],"every":"20ms","nested":{"token":"","count":0}}`},
		{"some", `{"every":"1s","nested":{"count":2}}`, `{"names":["default"],"every":"1s","nested":{"token":"","count":2}}`},
		{"slices are replaced", `{"names":["a","b"]}`, `{"names":["a","b"],"every":"20ms","nested":{"token":"","count":0}}`},
		{"unknown", `{"nmes":1}`, `nmes: is no setting of this adapter; correct the name or remove it`},
		{"wrong type", `{"nested":{"count":"x"}}`, `nested.count: is a string; want int; correct it`},
		{"two values", `{} {}`, `: settings are more than one JSON value; send one object`},
		{"broken", `{"names":`, `: settings cannot be read: unexpected EOF; correct them`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := decode[testConfig](p.defaults, []byte(c.settings))
			if err != nil {
				if err.Error() != c.want {
					t.Errorf("problem %q; want %q", err, c.want)
				}
				return
			}
			if b, _ := json.Marshal(got); string(b) != c.want {
				t.Errorf("decoded %s; want %s", b, c.want)
			}
		})
	}
}

// FuzzDecode checks that what is accepted is accepted again, and means the same,
// once it was written out.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"names":["a"],"every":"5m","nested":{"token":"t","count":3}}`))
	f.Add([]byte(`{"every":"20"}`))
	f.Add([]byte(`{"nested":null,"names":null}`))
	defaults := []byte(`{"names":["default"],"every":"20ms"}`)
	f.Fuzz(func(t *testing.T, settings []byte) {
		first, err := decode[testConfig](defaults, settings)
		if err != nil {
			if _, ok := err.(adapter.Problems); !ok { //nolint:errorlint // exactly this type
				t.Errorf("%q fails with %T; want Problems", settings, err)
			}
			return
		}
		text, err := json.Marshal(first)
		if err != nil {
			t.Fatal(err)
		}
		second, err := decode[testConfig](defaults, text)
		if again, _ := json.Marshal(second); err != nil || !bytes.Equal(text, again) {
			t.Errorf("%s came back as %s, %v", text, again, err)
		}
	})
}

func TestLogUsesGoPluginsKeys(t *testing.T) {
	var b bytes.Buffer
	log := newLogger(&b, slog.LevelDebug)
	log.With("call", "c").WithGroup("g").Warn("words", "msg", 1)
	log.Log(t.Context(), slog.LevelInfo+2, "between")
	var lines []map[string]any
	for d := json.NewDecoder(&b); d.More(); {
		var line map[string]any
		if err := d.Decode(&line); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	if len(lines) != 2 {
		t.Fatalf("%d lines; want 2", len(lines))
	}
	stamp, _ := lines[0]["@timestamp"].(string)
	if _, err := time.Parse(logTime, stamp); err != nil {
		t.Errorf("timestamp %q: %v", stamp, err)
	}
	if l := lines[0]; l["@message"] != "words" || l["@level"] != "warn" || l["call"] != "c" {
		t.Errorf("line %v", l)
	}
	if lines[1]["@level"] != "info" {
		t.Errorf("level between the words is %v; want info", lines[1]["@level"])
	}
}
