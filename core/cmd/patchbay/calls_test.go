package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/api"
	"github.com/patchbay/patchbay/core/api/sse"
	"github.com/patchbay/patchbay/core/assist"
	"github.com/patchbay/patchbay/core/call"
	"github.com/patchbay/patchbay/core/event"
	"github.com/patchbay/patchbay/core/media"
)

// noLeaks fails a test that leaves goroutines behind. It comes first in a test.
func noLeaks(t *testing.T) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
}

// callsResult is what a command line came to.
type callsResult struct {
	code           int
	stdout, stderr string
}

func runCalls(t *testing.T, env map[string]string, args ...string) callsResult {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := execute(t.Context(), environment{
		args: append([]string{"calls"}, args...), stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr,
		lookup: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
	})
	return callsResult{code, stdout.String(), stderr.String()}
}

// one says that a result is one line on stderr that contains want.
func (r callsResult) one(t *testing.T, code int, want string) {
	t.Helper()
	if r.code != code || !strings.Contains(r.stderr, want) || strings.Count(r.stderr, "\n") != 1 || r.stdout != "" {
		t.Errorf("exit code %d, stdout %q, stderr %q; want %d and one line that says %q", r.code, r.stdout, r.stderr, code, want)
	}
}

// realAPI serves the API of a host that has calls and no Agent Assist.
func realAPI(t *testing.T, token adapter.Secret) (*call.Manager, string) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	pool := assist.NewPool(assist.Options{TimeScale: 1000, Dial: func(context.Context, string) (net.Conn, error) { return nil, errors.New("nobody there") }})
	limits := call.DefaultLimits()
	limits.Grace, limits.WrapUp = time.Millisecond, 10*time.Millisecond
	calls := call.NewManager(call.Config{Routes: []call.Route{{Google: assist.Google{Project: "local", Endpoint: "nowhere:1", Insecure: true}, Profile: "demo"}}, Limits: limits}, pool, log)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, err := api.New(api.Config{Listen: ln.Addr().String(), Token: token}, api.Deps{Calls: calls, Adapters: attachable{}, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(ctx, ln); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		calls.Shutdown(context.Background())
		cancel()
		serving.Wait()
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	})
	return calls, "http://" + ln.Addr().String()
}

// attachable is an adapter that takes everything.
type attachable struct{}

func (attachable) List() []api.AdapterStatus {
	return []api.AdapterStatus{{Name: "eu/1", State: api.AdapterReady, Abilities: []string{api.AbilityAttach, api.AbilityDetach}}}
}

func (attachable) Attach(_ context.Context, _ string, r adapter.AttachRequest) (string, error) {
	return fmt.Sprintf("%s/%s/%s", r.Account, r.Call, r.Claims["queue"]), nil
}

func (attachable) Detach(_ context.Context, _ string, r adapter.DetachRequest) error {
	if r.Stream != "MZ1" {
		return &adapter.Error{Op: "detach", Kind: adapter.KindConfig, Err: errors.New("no such stream")}
	}
	return nil
}

func TestCallsAgainstARealAPI(t *testing.T) {
	noLeaks(t)
	calls, address := realAPI(t, "s3cret")
	env := map[string]string{envAPI: address, envToken: "s3cret"}

	if r := runCalls(t, env, "list"); r.code != 0 || r.stdout != "" || r.stderr != "no calls\n" {
		t.Errorf("list without calls = %+v", r)
	}
	runCalls(t, env, "watch").one(t, exitFailure, "no call is live")
	leg, err := calls.Sink("line").Open(t.Context(), adapter.LegInfo{CallKey: "CA/1", LegKey: "leg", From: "+15550001", To: "+15550100"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = leg.Close(adapter.EndReason{Kind: adapter.EndHangup}) }() // for a test that fails early
	speaker := adapter.Speaker{ID: "caller", Role: adapter.RoleEndUser, Evidence: "default", Assumed: true}
	if err := leg.Join("inbound", adapter.Track{Format: media.Telephony, Speaker: speaker}); err != nil {
		t.Fatal(err)
	}
	if err := leg.Write(media.Frame{Track: "inbound", Payload: bytes.Repeat([]byte{0xFF}, 8000)}); err != nil {
		t.Fatal(err)
	}

	for _, args := range [][]string{{"list"}, {"list", "--state", "active"}} {
		if r := runCalls(t, env, args...); r.code != 0 || !strings.Contains(r.stdout, "CA/1") || strings.Contains(r.stdout, "\x1b") {
			t.Errorf("%v = %+v; want the call, without colours", args, r)
		}
	}
	var list api.CallList
	if r := runCalls(t, env, "list", "--json"); json.Unmarshal([]byte(r.stdout), &list) != nil || len(list.Calls) != 1 {
		t.Errorf("list --json = %+v; want JSON with one call", r)
	}
	show := runCalls(t, env, "show", "CA/1")
	for _, want := range []string{list.Calls[0].ID, "active", "CA/1 on line", "+15550001 → +15550100", "customer", "mulaw 8000 Hz", "1.0 s", "(assumed)"} {
		if show.code != 0 || !strings.Contains(show.stdout, want) {
			t.Errorf("show = %+v; want %q in it", show, want)
		}
	}
	if r := runCalls(t, env, "explain", "CA/1"); r.code != 0 || !strings.HasPrefix(r.stdout, "No transcript") || !strings.Contains(r.stdout, "→") {
		t.Errorf("explain = %+v; want why there is no transcript, and what to do", r)
	}
	runCalls(t, env, "explain", "nobody").one(t, exitFailure, `there is no call "nobody"`)
	runCalls(t, env, "show", "nobody").one(t, exitFailure, `there is no call "nobody"`)
	runCalls(t, env, "watch", "nobody").one(t, exitFailure, `there is no call "nobody"`)
	runCalls(t, env, "list", "--state", "dead").one(t, exitFailure, "query.state")

	if r := runCalls(t, env, "attach", "eu/1", "CA9", "--account", "AC1", "--claim", "queue=sales"); r.code != 0 || r.stdout != "attached: stream AC1/CA9/sales\n" {
		t.Errorf("attach = %+v", r)
	}
	if r := runCalls(t, env, "detach", "eu/1", "CA9", "--stream", "MZ1"); r.code != 0 || r.stdout != "detached\n" {
		t.Errorf("detach = %+v", r)
	}
	runCalls(t, env, "detach", "eu/1", "CA9").one(t, exitFailure, "no such stream")

	for _, step := range []struct{ verb, done, want string }{{"pause", "paused\n", "card data"}, {"resume", "resumed\n", ""}} {
		if r := runCalls(t, env, step.verb, "CA/1", "--reason", "card data"); r.code != 0 || r.stdout != step.done {
			t.Errorf("%s = %+v", step.verb, r)
		}
		if c, _ := calls.Find("CA/1"); c.Summary().Paused != step.want {
			t.Errorf("after %s the call is paused by %q; want %q", step.verb, c.Summary().Paused, step.want)
		}
	}
	if r := runCalls(t, env, "role", "CA/1", "inbound", "agent", "--reason", "I hear it"); r.code != 0 || r.stdout != "track inbound is the agent; what Agent Assist has of it so far stays as it is\n" {
		t.Errorf("role = %+v", r)
	}
	if r := runCalls(t, env, "show", "CA/1"); !strings.Contains(r.stdout, "corrected by a person: I hear it; at Agent Assist it stays customer") {
		t.Errorf("show = %+v; want the correction in it", r)
	}
	runCalls(t, env, "role", "CA/1", "inbound", "boss").one(t, exitUsage, `"boss" is no role`)
	runCalls(t, env, "role", "CA/1", "9", "agent").one(t, exitFailure, "no such track")
	runCalls(t, env, "attach", "us", "CA9").one(t, exitFailure, `no adapter "us"`)

	if err := leg.Close(adapter.EndReason{Kind: adapter.EndHangup, Text: "goodbye"}); err != nil {
		t.Fatal(err)
	}
	watch := runCalls(t, env, "watch", list.Calls[0].ID)
	for _, want := range []string{"call started on line", "track inbound is the customer", "leg leg ended (hangup): goodbye", "call ended"} {
		if watch.code != 0 || !strings.Contains(watch.stdout, want) {
			t.Errorf("watch = %+v; want %q in it", watch, want)
		}
	}
	last := ""
	for line := range strings.Lines(runCalls(t, env, "watch", "CA/1", "--json").stdout) {
		var e event.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		last = string(e.Kind)
	}
	if last != string(event.CallEnded) {
		t.Errorf("the last event of watch --json = %q; want %q", last, event.CallEnded)
	}
}

func TestCallsToken(t *testing.T) {
	noLeaks(t)
	_, address := realAPI(t, "s3cret")
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"RIGHT": "s3cret", "WRONG": "w0rd"}
	for _, ref := range []string{"env:RIGHT", "file:" + file} {
		if r := runCalls(t, env, "list", "--api", address, "--token", ref); r.code != 0 {
			t.Errorf("list with %s = %+v; want success", ref, r)
		}
	}
	runCalls(t, env, "list", "--api", address).one(t, exitFailure, "wants a token; set PATCHBAY_TOKEN")
	wrong := runCalls(t, env, "list", "--api", address, "--token", "env:WRONG")
	wrong.one(t, exitFailure, "does not take this token")
	if strings.Contains(wrong.stderr, "w0rd") {
		t.Errorf("the error %q says the token", wrong.stderr)
	}
	runCalls(t, env, "list", "--token", "s3cret").one(t, exitUsage, "env:NAME or file:PATH")
	runCalls(t, env, "list", "--token", "env:NONE").one(t, exitFailure, `"NONE" is not set`)
}

func TestCallsUsage(t *testing.T) {
	noLeaks(t)
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"list", "x"}, "patchbay calls list"},
		{[]string{"show"}, "accepts 1 arg"},
		{[]string{"watch", "a", "b"}, "at most 1"},
		{[]string{"attach", "eu"}, "accepts 2 arg"},
		{[]string{"detach", "eu", "CA1", "x"}, "accepts 2 arg"},
		{[]string{"list", "--color"}, "unknown flag"},
		{[]string{"hang"}, "hang"},
		{[]string{"list", "--api", "127.0.0.1:8080"}, "http://127.0.0.1:8080"},
		{[]string{"list", "--api", "ftp://host"}, "http://127.0.0.1:8080"},
	} {
		runCalls(t, nil, tc.args...).one(t, exitUsage, tc.want)
	}
}

func TestCallsStrangers(t *testing.T) {
	noLeaks(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := ln.Close(); err != nil { // now nobody is there
		t.Fatal(err)
	}
	runCalls(t, nil, "list", "--api", "http://"+ln.Addr().String()).one(t, exitFailure, "no patchbay at http://"+ln.Addr().String()+"; start it with patchbay run")

	for name, answer := range map[string]http.HandlerFunc{
		"a web site": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
		"not found":  http.NotFound,
		"elsewhere": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		},
		"other JSON error": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500); fmt.Fprint(w, `{"detail":"x"}`) },
	} {
		server := httptest.NewServer(answer)
		for _, args := range [][]string{{"list"}, {"show", "CA1"}, {"watch", "CA1"}, {"attach", "eu", "CA1"}} {
			r := runCalls(t, nil, append(args, "--api", server.URL)...)
			if r.code != exitFailure || !strings.Contains(r.stderr, "is not patchbay's API") || strings.Count(r.stderr, "\n") != 1 {
				t.Errorf("%s, %v = %+v; want one line that it is not patchbay", name, args, r)
			}
		}
		server.Close()
	}
}

// scripted answers one event stream after the other.
type scripted struct {
	mu      sync.Mutex
	resumed []string // the Last-Event-ID of each request
	streams []func(http.ResponseWriter)
}

func (s *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	n := len(s.resumed)
	s.resumed = append(s.resumed, r.Header.Get("Last-Event-ID"))
	s.mu.Unlock()
	w.Header().Set("Content-Type", "text/event-stream")
	s.streams[min(n, len(s.streams)-1)](w)
}

func sendFinal(seq int, text string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		fmt.Fprintf(w, ": hello\n\nid: %d\nevent: transcript.final\ndata: {\"seq\":%d,\"kind\":\"transcript.final\",\"transcript\":{\"text\":%q}}\n\n", seq, seq, text)
	}
}

func TestWatchGoesOnWhereItWas(t *testing.T) {
	noLeaks(t)
	cut := func(w http.ResponseWriter) {
		_ = http.NewResponseController(w).Flush() // what was sent arrives before the cut
		panic(http.ErrAbortHandler)
	}
	for _, tc := range []struct {
		name    string
		streams []func(http.ResponseWriter)
		resumed string
		words   string
		err     string // empty: none
		lost    int
	}{
		{"over at once", []func(http.ResponseWriter){
			func(w http.ResponseWriter) { sendFinal(1, "one")(w); fmt.Fprint(w, "event: end\ndata: {}\n\n") },
		}, "", "one", "", 0},
		{"cut and over", []func(http.ResponseWriter){
			func(w http.ResponseWriter) { sendFinal(1, "one")(w); sendFinal(4, "two")(w); cut(w) },
			func(w http.ResponseWriter) { sendFinal(5, "three")(w); fmt.Fprint(w, "event: end\ndata: {}\n\n") },
		}, ",4", "one two three", "", 1},
		{"cut in the middle of an event", []func(http.ResponseWriter){
			func(w http.ResponseWriter) { sendFinal(1, "one")(w); fmt.Fprint(w, "id: 2\ndata: {\"se"); cut(w) },
			func(w http.ResponseWriter) { sendFinal(2, "two")(w); fmt.Fprint(w, "event: end\ndata: {}\n\n") },
		}, ",1", "one two", "", 1},
		{"ended while away", []func(http.ResponseWriter){
			func(w http.ResponseWriter) { sendFinal(1, "one")(w) },
			func(w http.ResponseWriter) { w.WriteHeader(http.StatusNoContent) },
		}, ",1", "one", "", 1},
		{"busy for a while", []func(http.ResponseWriter){
			sendFinal(1, "one"),
			func(w http.ResponseWriter) { refuse(w, 503, "too many") },
			func(w http.ResponseWriter) { fmt.Fprint(w, "event: end\ndata: {}\n\n") },
		}, ",1,1", "one", "", 2},
		{"forgotten", []func(http.ResponseWriter){
			sendFinal(1, "one"),
			func(w http.ResponseWriter) { refuse(w, 404, "there is no call") },
		}, ",1", "one", "there is no call", 1},
		{"refused at first", []func(http.ResponseWriter){
			func(w http.ResponseWriter) { refuse(w, 503, "too many") },
		}, "", "", "too many", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			script := &scripted{streams: tc.streams}
			server := httptest.NewServer(script)
			defer server.Close()
			client, err := newAPIClient(server.URL, "")
			if err != nil {
				t.Fatal(err)
			}
			defer client.close()
			client.pause = time.Microsecond
			var words []string
			lost := 0
			err = client.watch(t.Context(), "CA1", func(m sse.Message) error {
				e, err := decodeEvent(m)
				if err == nil {
					words = append(words, e.Transcript.Text)
				}
				return err
			}, func(error) { lost++ })
			if (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
				t.Errorf("watch = %v; want %q", err, tc.err)
			}
			if got := strings.Join(words, " "); got != tc.words {
				t.Errorf("words = %q; want %q", got, tc.words)
			}
			if got := strings.Join(script.resumed, ","); got != tc.resumed || lost != tc.lost {
				t.Errorf("resumed from %q, lost %d times; want %q, %d", got, lost, tc.resumed, tc.lost)
			}
		})
	}
}

func refuse(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", problemsMedia)
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"detail":%q}`, detail)
}

// The one who watches may stop at any time, also while the host is away.
func TestWatchStops(t *testing.T) {
	noLeaks(t)
	server := httptest.NewServer(&scripted{streams: []func(http.ResponseWriter){sendFinal(1, "one"), func(w http.ResponseWriter) { refuse(w, 503, "away") }}})
	defer server.Close()
	client, err := newAPIClient(server.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	defer client.close()
	client.pause = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	if err := client.watch(ctx, "CA1", func(sse.Message) error { return nil }, func(error) { cancel() }); err != nil {
		t.Errorf("watch = %v after the user stopped it; want nil", err)
	}
}

func TestWatchReportsWhatCannotBeShown(t *testing.T) {
	noLeaks(t)
	server := httptest.NewServer(&scripted{streams: []func(http.ResponseWriter){sendFinal(1, "one")}})
	defer server.Close()
	client, err := newAPIClient(server.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	defer client.close()
	full := errors.New("disk full")
	err = client.watch(t.Context(), "CA1", func(sse.Message) error { return full }, func(error) { t.Error("the stream counts as lost") })
	if err == nil || err.Error() != full.Error() {
		t.Errorf("watch = %v; want %v", err, full)
	}
}

// What the host decided lately is shown below the findings.
func TestExplanationSteps(t *testing.T) {
	x := call.Explanation{Verdict: "All is well", Steps: []call.Step{
		{About: "inbound", Decision: event.Decision{What: "first_result", Text: "the stream's first result", Stream: 2, Seconds: 0.42}},
		{About: "inbound", Decision: event.Decision{What: "backs_off", Text: "it broke", Code: "UNAVAILABLE"}},
	}}
	var b strings.Builder
	if err := printExplanation(&b, false, 0, x); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"LATELY", "inbound first result (stream 2): the stream's first result, 0.4 s\n", "inbound backs off: it broke (UNAVAILABLE)\n"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("explanation\n%s\nwant %q in it", b.String(), want)
		}
	}
}
