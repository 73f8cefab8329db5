package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc/test/bufconn"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/api/sse"
	"github.com/patchbay/patchbay/core/assist"
	"github.com/patchbay/patchbay/core/call"
	"github.com/patchbay/patchbay/core/emulator"
	"github.com/patchbay/patchbay/core/emulator/hear"
	"github.com/patchbay/patchbay/core/emulator/knowledge"
	"github.com/patchbay/patchbay/core/event"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/media/probe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// speed is how many times faster than real time calls run in these tests.
const speed = 100

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// host is a patchbay without adapters: calls come from the test itself, go to an
// emulator, and are seen over real HTTP.
type host struct {
	t        *testing.T
	calls    *call.Manager
	pool     *assist.Pool
	adapters *fakeAdapters
	server   *Server
	url      string
	token    adapter.Secret
	stop     func() // ends the server and waits for it
	tune     func(*Server)
}

type option func(*host, *Config, *Deps)

func withToken(token adapter.Secret) option {
	return func(h *host, c *Config, _ *Deps) { h.token, c.Token = token, token }
}

func withMetrics(m http.Handler) option {
	return func(_ *host, _ *Config, d *Deps) { d.Metrics = m }
}

func tuned(tune func(*Server)) option {
	return func(h *host, _ *Config, _ *Deps) { h.tune = tune }
}

func newHost(t *testing.T, opts ...option) *host {
	t.Helper()
	h := &host{t: t, adapters: &fakeAdapters{}}
	log := slog.New(slog.DiscardHandler)
	h.pool = assist.NewPool(assist.Options{TimeScale: speed, Dial: startEmulator(t)})
	limits := call.DefaultLimits()
	limits.Grace, limits.LostGrace = time.Millisecond, time.Millisecond
	h.calls = call.NewManager(call.Config{
		Routes: []call.Route{{Google: assist.Google{Project: emulator.DefaultProject, Endpoint: "emulator:443", Insecure: true}, Profile: emulator.DefaultProfile}},
		Limits: limits,
		Pools:  []call.NumberPool{{Name: "desk", Numbers: []adapter.E164{"+15550160"}}},
	}, h.pool, log)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		h.calls.Shutdown(ctx)
		if err := h.pool.Close(); err != nil {
			t.Error(err)
		}
	})

	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.url = "http://" + ln.Addr().String()
	cfg, deps := Config{Listen: ln.Addr().String(), Version: "test"}, Deps{Calls: h.calls, Adapters: h.adapters, Log: log}
	for _, o := range opts {
		o(h, &cfg, &deps)
	}
	if h.server, err = New(cfg, deps); err != nil {
		t.Fatal(err)
	}
	if h.tune != nil {
		h.tune(h.server)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- h.server.Serve(ctx, ln) }()
	h.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve = %v; want nil", err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	t.Cleanup(h.stop)
	return h
}

// startEmulator returns how to reach an emulator that hears tone words and has one
// question among its knowledge.
func startEmulator(t *testing.T) func(context.Context, string) (net.Conn, error) {
	t.Helper()
	base, err := knowledge.Load(fstest.MapFS{"base.yaml": {Data: []byte(
		"language: en\nfaqs: [{question: \"amber basil cedar\", answer: \"An answer\", source: \"https://example.com/faq\"}]\n")}})
	if err != nil {
		t.Fatal(err)
	}
	cfg := emulator.DefaultConfig()
	cfg.Speed, cfg.Knowledge, cfg.Recognizer = speed, base, hear.Tones{}
	em, err := emulator.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ln := bufconn.Listen(1 << 20)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- em.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return func(ctx context.Context, _ string) (net.Conn, error) { return ln.DialContext(ctx) }
}

// phone is a call with one leg and a track for each of customer and agent.
type phone struct {
	t    *testing.T
	leg  adapter.Leg
	call *call.Call
	pos  map[media.TrackID]int64
}

func (h *host) dial(key string) *phone {
	h.t.Helper()
	leg, err := h.calls.Sink("line").Open(h.t.Context(), adapter.LegInfo{CallKey: key, LegKey: "leg", Conversation: key, From: "+15550001", To: "+15550100",
		Principal: adapter.Principal{Account: "AC1", Method: adapter.MethodToken}})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = leg.Close(adapter.EndReason{Kind: adapter.EndHangup}) }) // for tests that fail early
	c, ok := h.calls.Find(key)
	if !ok {
		h.t.Fatalf("Find(%q) = nothing; want the call", key)
	}
	p := &phone{t: h.t, leg: leg, call: c, pos: map[media.TrackID]int64{}}
	p.join("inbound", "customer", adapter.RoleEndUser)
	p.join("outbound", "agent", adapter.RoleHumanAgent)
	return p
}

func (p *phone) join(id media.TrackID, speaker string, role adapter.Role) {
	p.t.Helper()
	if err := p.leg.Join(id, adapter.Track{Format: media.Telephony, Speaker: adapter.Speaker{ID: speaker, Role: role, Evidence: "test"}}); err != nil {
		p.t.Fatal(err)
	}
}

// say speaks tone words and a pause on a track, in packets of 20 ms.
func (p *phone) say(id media.TrackID, words ...string) {
	p.t.Helper()
	samples := probe.AppendTones(nil, media.Telephony.Rate, words...)
	audio := media.AppendEncoded(nil, media.MuLaw, append(samples, make([]int16, 2*media.Telephony.Rate)...))
	for len(audio) > 0 {
		n := min(160, len(audio))
		if err := p.leg.Write(media.Frame{Track: id, Pos: p.pos[id], Arrived: time.Now(), Payload: audio[:n]}); err != nil {
			p.t.Fatal(err)
		}
		p.pos[id] += int64(n)
		audio = audio[n:]
	}
}

func (p *phone) hangUp() {
	p.t.Helper()
	if err := p.leg.Close(adapter.EndReason{Kind: adapter.EndHangup}); err != nil {
		p.t.Fatal(err)
	}
}

// wait returns the first event that fits.
func (p *phone) wait(what string, fits func(event.Event) bool) event.Event {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	for seq := uint64(0); ; {
		events, err := p.call.Events().Next(ctx, seq, 0)
		if err != nil {
			p.t.Fatalf("waiting for %s: %v; log: %v", what, err, kinds(p.call.Events().Since(0, 0)))
		}
		for _, e := range events {
			if seq = e.Seq; fits(e) {
				return e
			}
		}
	}
}

func (p *phone) waitKind(kind event.Kind) event.Event {
	p.t.Helper()
	return p.wait(string(kind), func(e event.Event) bool { return e.Kind == kind })
}

// waitOver returns when the log is closed.
func (p *phone) waitOver() {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	for seq := uint64(0); ; {
		events, err := p.call.Events().Next(ctx, seq, 0)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			p.t.Fatalf("waiting for the end of the log: %v; log: %v", err, kinds(p.call.Events().Since(0, 0)))
		}
		seq = events[len(events)-1].Seq
	}
}

func kinds(events []event.Event) string {
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, " %d:%s", e.Seq, e.Kind)
		if e.Problem != nil {
			fmt.Fprintf(&b, "(%s)", e.Problem.Text)
		}
	}
	return b.String()
}

// request builds a request with the host's token.
func (h *host) request(method, path, body string) *http.Request {
	h.t.Helper()
	r, err := http.NewRequestWithContext(h.t.Context(), method, h.url+path, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if h.token != "" {
		r.Header.Set("Authorization", "Bearer "+string(h.token))
	}
	return r
}

// do sends a request and returns the answer with its body read.
func (h *host) do(r *http.Request) (*http.Response, []byte) {
	h.t.Helper()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return resp, body
}

// get decodes the answer to a GET that must succeed.
func (h *host) get(path string, into any) {
	h.t.Helper()
	resp, body := h.do(h.request(http.MethodGet, path, ""))
	if resp.StatusCode != http.StatusOK {
		h.t.Fatalf("GET %s = %s %s; want 200", path, resp.Status, body)
	}
	if err := json.Unmarshal(body, into); err != nil {
		h.t.Fatalf("GET %s: %v in %s", path, err, body)
	}
}

// reachable reports whether the server still takes connections.
func (h *host) reachable() bool {
	conn, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
	if err == nil {
		_ = conn.Close()
	}
	return err == nil
}

// problemOf returns the detail of a problem answer, and fails unless it is one.
func problemOf(t *testing.T, resp *http.Response, body []byte) string {
	t.Helper()
	var p struct {
		Status int    `json:"status"`
		Title  string `json:"title"`
		Detail string `json:"detail"`
	}
	if ct := resp.Header.Get("Content-Type"); ct != problemType {
		t.Errorf("Content-Type = %q; want %q", ct, problemType)
	}
	if err := json.Unmarshal(body, &p); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	if p.Status != resp.StatusCode || p.Title != http.StatusText(resp.StatusCode) {
		t.Errorf("problem says %d %q; the answer is %s", p.Status, p.Title, resp.Status)
	}
	if p.Detail == "" || strings.Contains(p.Detail, "\n") {
		t.Errorf("detail = %q; want one line", p.Detail)
	}
	return p.Detail
}

// follow opens an event stream.
func (h *host) follow(path, lastEventID string) (*sse.Reader, *http.Response) {
	h.t.Helper()
	r := h.request(http.MethodGet, path, "")
	if lastEventID != "" {
		r.Header.Set("Last-Event-ID", lastEventID)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		body, _ := io.ReadAll(resp.Body)
		h.t.Fatalf("GET %s = %s %s %s; want an event stream", path, resp.Status, resp.Header.Get("Content-Type"), body)
	}
	return sse.NewReader(resp.Body), resp
}

// fakeAdapters behave as the host's adapters would.
type fakeAdapters struct {
	mu       sync.Mutex
	list     []AdapterStatus
	err      error
	attached []adapter.AttachRequest
	detached []adapter.DetachRequest
	arrived  chan struct{} // closed when Attach is called
	release  chan struct{} // Attach waits for it
}

// hold makes the next Attach wait.
func (f *fakeAdapters) hold(arrived, release chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.arrived, f.release = arrived, release
}

func (f *fakeAdapters) set(list ...AdapterStatus) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = list
}

func (f *fakeAdapters) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *fakeAdapters) List() []AdapterStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.list
}

func (f *fakeAdapters) Attach(_ context.Context, _ string, r adapter.AttachRequest) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return "", f.err
	}
	if f.release != nil {
		close(f.arrived)
		<-f.release
	}
	f.attached = append(f.attached, r)
	return "MZ1", nil
}

func (f *fakeAdapters) Detach(_ context.Context, _ string, r adapter.DetachRequest) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.detached = append(f.detached, r)
	}
	return f.err
}

func pretty(v any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", " ")
	_ = enc.Encode(v)
	return b.String()
}
