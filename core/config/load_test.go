package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"github.com/patchbay/patchbay/core/adapter"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var ignoreSource = cmpopts.IgnoreUnexported(Config{})

// env looks names up in a map.
func env(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := vars[name]
		return v, ok
	}
}

// write puts files into a new folder and returns it.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const example = `
api: {listen: ":8080", token: "env:PATCHBAY_TOKEN", tls: {cert: c.pem, key: k.pem}}
google: {project: p, location: global, credentials: key.json, quotas: {stream_starts: 600, bidi_sessions: -1}}
plugin_dir: plugins
adapters:
  - name: twilio-eu
    plugin: twilio
    sha256: 0000000000000000000000000000000000000000000000000000000000000001
    listen: {http: ":8443"}
    tls: {cert: c.pem, key: k.pem}
    settings:
      public_url: "https://voice.example.com/twilio"
      accounts: [{sid: AC1, auth_token: "env:TWILIO_TOKEN"}]
      from: +15550100
      limit: 5
      rate: 0.5
      on: true
      empty:
  - {name: other, plugin: ./bin/own}
tenants:
  - {name: acme, accounts: [{adapter: twilio-eu, account: AC1}]}
  - {name: rest, accounts: [{adapter: twilio-eu}, {adapter: other}]}
routes:
  - match: {adapter: twilio-eu, tenant: acme, account: AC1, to: +15550100, from: "+15550101", claims: {queue: sales}}
    profile: demo
    project: q
    location: europe-west1
    credentials: key.json
    quota_project: payer
    language: en-US
    model: telephony
    transport: streaming
    roles: {inbound: customer, outbound: agent}
    third_voice: participant
    start: paused
    word_times: true
    store_missing: true
    reattach: true
    profile_claim: aa_profile
    profiles: [sales, projects/q/locations/europe-west1/conversationProfiles/support]
    conversation_claim: conversation_id
    conversation_elsewhere: ignore
    keep_conversation: true
    limits: {calls: 10}
  - {match: {adapter: other}, profile: demo}
number_pools:
  - {name: hand-over, numbers: [+15550160, "+1 555 0161"], ttl: 2m, adapter: other, tenant: rest}
spool: {dir: spool, key: env:SPOOL_KEY, max_size: 1GiB, max_per_track: 8MiB, fsync_interval: 500ms}
limits: {calls: 9, legs_per_call: 3, tracks_per_call: 4, memory_per_track: 512KiB, grace: 1m30s, lost_grace: 20s, reattach_grace: 40s, recover_age: 2h}
log: {level: debug, format: json}
telemetry: {traces: {endpoint: "http://localhost:4318", ratio: 0.25}}
`

func TestLoad(t *testing.T) {
	dir := write(t, map[string]string{"patchbay.yaml": example, "c.pem": "c", "k.pem": "k", "key.json": "{}"})
	got, err := Load(filepath.Join(dir, "patchbay.yaml"), env(map[string]string{"PATCHBAY_TOKEN": "s3cret", "SPOOL_KEY": "5ea1"}))
	if err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	want := &Config{
		API: API{
			Listen: ":8080",
			Token:  Secret{Ref: "env:PATCHBAY_TOKEN", Value: "s3cret"},
			TLS:    &TLS{Cert: in("c.pem"), Key: in("k.pem")},
		},
		Google:    Google{Project: "p", Location: "global", Credentials: in("key.json"), Quotas: Quotas{StreamStarts: 600, BidiSessions: -1}},
		PluginDir: in("plugins"),
		Adapters: []Adapter{
			{
				Name:   "twilio-eu",
				Plugin: "twilio",
				SHA256: "0000000000000000000000000000000000000000000000000000000000000001",
				Listen: map[string]string{"http": ":8443"},
				TLS:    &TLS{Cert: in("c.pem"), Key: in("k.pem")},
				Settings: Settings{
					"public_url": "https://voice.example.com/twilio",
					"accounts":   []any{map[string]any{"sid": "AC1", "auth_token": "env:TWILIO_TOKEN"}},
					"from":       "+15550100",
					"limit":      jsonNumber("5"),
					"rate":       jsonNumber("0.5"),
					"on":         true,
					"empty":      nil,
				},
			},
			{Name: "other", Plugin: in("bin/own")},
		},
		Tenants: []Tenant{
			{Name: "acme", Accounts: []Account{{Adapter: "twilio-eu", Account: "AC1"}}},
			{Name: "rest", Accounts: []Account{{Adapter: "twilio-eu"}, {Adapter: "other"}}},
		},
		Routes: []Route{
			{
				Match: Match{
					Adapter: "twilio-eu", Tenant: "acme", Account: "AC1", To: "+15550100", From: "+15550101",
					Claims: map[string]string{"queue": "sales"},
				},
				Profile: "demo", Project: "q", Location: "europe-west1", Credentials: in("key.json"), QuotaProject: "payer",
				Language: "en-US", Model: "telephony", Transport: TransportStreaming,
				Roles:                 map[string]Speaker{"inbound": SpeakerCustomer, "outbound": SpeakerAgent},
				ThirdVoice:            ThirdVoiceParticipant,
				Start:                 StartPaused,
				WordTimes:             true,
				StoreMissing:          true,
				Reattach:              true,
				ProfileClaim:          "aa_profile",
				Profiles:              []string{"sales", "projects/q/locations/europe-west1/conversationProfiles/support"},
				ConversationClaim:     "conversation_id",
				ConversationElsewhere: ElsewhereIgnore, KeepConversation: true,
				Limits: RouteLimits{Calls: 10},
			},
			{Match: Match{Adapter: "other"}, Profile: "demo", Transport: TransportExtended, ThirdVoice: ThirdVoiceIgnore, Start: StartHeard, ConversationElsewhere: ElsewhereRefuse},
		},
		NumberPools: []NumberPool{{Name: "hand-over", Numbers: []string{"+15550160", "+1 555 0161"}, TTL: 2 * time.Minute, Adapter: "other", Tenant: "rest"}},
		Spool: Spool{
			Dir: in("spool"), Key: Secret{Ref: "env:SPOOL_KEY", Value: "5ea1"},
			MaxBytes: 1 << 30, MaxTrackBytes: 8 << 20, SyncInterval: 500 * time.Millisecond,
		},
		Limits:    Limits{Calls: 9, LegsPerCall: 3, TracksPerCall: 4, MemoryPerTrack: 512 << 10, Grace: 90 * time.Second, LostGrace: 20 * time.Second, ReattachGrace: 40 * time.Second, RecoverAge: 2 * time.Hour},
		Log:       Log{Level: "debug", Format: "json"},
		Telemetry: Telemetry{Traces: Traces{Endpoint: "http://localhost:4318", Ratio: 0.25}},
	}
	if diff := cmp.Diff(want, got, ignoreSource, cmp.Comparer(func(a, b adapter.Secret) bool { return a == b })); diff != "" {
		t.Errorf("Load (-want +got):\n%s", diff)
	}
}

// TestDefaults checks that a file which says the least gets every default.
func TestDefaults(t *testing.T) {
	c, err := parse("google: {project: p}\nadapters: [{name: a, plugin: b}]\nroutes: [{profile: demo}]")
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Google.Project = "p"
	want.Adapters = []Adapter{{Name: "a", Plugin: "b"}}
	want.Routes = []Route{{Profile: "demo", Transport: TransportExtended, ThirdVoice: ThirdVoiceIgnore, Start: StartHeard, ConversationElsewhere: ElsewhereRefuse}}
	if diff := cmp.Diff(&want, c, ignoreSource); diff != "" {
		t.Errorf("Parse (-want +got):\n%s", diff)
	}
	if err := c.Validate(); err != nil {
		t.Errorf("Validate() = %v; want nil", err)
	}
}

func TestLoadSecretFile(t *testing.T) {
	file := "google: {project: p}\nadapters: [{name: a, plugin: b}]\nroutes: [{profile: demo}]\napi: {token: 'file:token'}"
	dir := write(t, map[string]string{"patchbay.yaml": file, "token": "s3cret\r\n"})
	c, err := Load(filepath.Join(dir, "patchbay.yaml"), env(nil))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(c.API.Token.Value); got != "s3cret" {
		t.Errorf("token = %q; want %q, without the line end", got, "s3cret")
	}
}

func TestLoadWithoutFile(t *testing.T) {
	if _, err := Load(filepath.Join(t.TempDir(), "none.yaml"), env(nil)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load of a missing file = %v; want an error that is fs.ErrNotExist", err)
	}
}

// TestEveryFieldHasAName keeps a field from being left out of the file by accident.
func TestEveryFieldHasAName(t *testing.T) {
	var check func(reflect.Type)
	check = func(typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			check(typ.Elem())
		case reflect.Struct:
			if typ == reflect.TypeFor[Secret]() {
				return // one word in the file
			}
			for i := range typ.NumField() {
				f := typ.Field(i)
				if !f.IsExported() {
					continue
				}
				name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
				if name == "" || name != strings.ToLower(name) {
					t.Errorf("%v.%s has the yaml name %q; want one in small letters", typ, f.Name, name)
				}
				check(f.Type)
			}
		}
	}
	check(reflect.TypeFor[Config]())
}
