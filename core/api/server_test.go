package api

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.yaml.in/yaml/v3"

	"github.com/patchbay/patchbay/core/event"
)

func TestDescription(t *testing.T) {
	h := newHost(t)
	var spec struct {
		OpenAPI    string                            `json:"openapi" yaml:"openapi"`
		Info       struct{ Title, Version string }   `json:"info" yaml:"info"`
		Paths      map[string]map[string]interface{} `json:"paths" yaml:"paths"`
		Components struct {
			Schemas map[string]any `json:"schemas" yaml:"schemas"`
		} `json:"components" yaml:"components"`
	}
	h.get("/openapi.json", &spec)
	if !strings.HasPrefix(spec.OpenAPI, "3.1") || spec.Info.Version != "test" {
		t.Errorf("description is of OpenAPI %s, version %s", spec.OpenAPI, spec.Info.Version)
	}
	for _, want := range []string{
		"get /v1/calls", "get /v1/calls/{id}", "get /v1/calls/{id}/transcript", "get /v1/calls/{id}/suggestions",
		"post /v1/calls/{id}/suggestions/{suggestion}/feedback", "get /v1/calls/{id}/events", "get /v1/calls/{id}/events.json",
		"get /v1/calls/{id}/explain", "post /v1/calls/{id}/pause", "post /v1/calls/{id}/resume", "post /v1/calls/{id}/tracks/{track}/role", "get /v1/leases", "post /v1/leases", "delete /v1/leases/{lease}", "get /v1/adapters", "post /v1/adapters/{name}/attach", "post /v1/adapters/{name}/detach", "get /healthz", "get /readyz",
	} {
		method, path, _ := strings.Cut(want, " ")
		if spec.Paths[path][method] == nil {
			t.Errorf("the description lacks %s", want)
		}
	}
	for _, want := range []string{"CallInfo", "AssistInfo", "Event", "TapeLedger", "Suggestion", "EventSuggestion"} {
		if spec.Components.Schemas[want] == nil {
			t.Errorf("the description lacks schema %s", want)
		}
	}
	_, body := h.do(h.request(http.MethodGet, "/openapi.yaml", ""))
	inYAML := spec
	inYAML.Paths = nil
	if err := yaml.Unmarshal(body, &inYAML); err != nil || len(inYAML.Paths) != len(spec.Paths) {
		t.Errorf("YAML has %d paths (%v); JSON has %d", len(inYAML.Paths), err, len(spec.Paths))
	}
}

func TestProbes(t *testing.T) {
	h := newHost(t)
	check := func(path string, status int, want ...string) {
		t.Helper()
		resp, body := h.do(h.request(http.MethodGet, path, ""))
		var got Health
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatalf("%v in %s", err, body)
		}
		if resp.StatusCode != status || got.Ready != (status == 200) || strings.Join(got.NotReady, "|") != strings.Join(want, "|") {
			t.Errorf("GET %s = %s %s; want %d %q", path, resp.Status, body, status, want)
		}
	}
	check("/readyz", 200)
	h.adapters.set(AdapterStatus{Name: "eu", State: AdapterReady}, AdapterStatus{Name: "us", State: AdapterRestarting, Problem: "token of account AC1 is wrong"})
	check("/readyz", 503, "adapter us is restarting")
	check("/healthz", 200)
	h.adapters.set()
	h.calls.Shutdown(t.Context())
	check("/readyz", 503, "the host is shutting down")
}

func TestCollector(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	h := newHost(t, withMetrics(promhttp.HandlerFor(registry, promhttp.HandlerOpts{})))
	registry.MustRegister(NewCollector(h.calls, h.pool.Stats()))
	if _, body := h.do(h.request(http.MethodGet, "/metrics", "")); !strings.Contains(string(body), "patchbay_live_audio_seconds{state=\"withheld\"} 0\n") {
		t.Errorf("metrics without calls lack series:\n%s", body)
	}
	p := h.dial("CA-secret")
	p.say("inbound", "amber", "basil", "cedar")
	p.waitKind(event.SuggestionOffered)
	_, body := h.do(h.request(http.MethodGet, "/metrics", ""))
	for _, want := range []string{
		"patchbay_calls_live 1\n", "patchbay_calls_started_total 1\n", "patchbay_assist_suggestions_total 1\n", "patchbay_assist_finals_total 1\n",
		"patchbay_live_audio_seconds{state=\"recognised\"} ", "patchbay_live_audio_lost_seconds 0\n",
	} {
		if !strings.Contains(string(body), want) {
			t.Errorf("metrics lack %q in\n%s", want, body)
		}
	}
	for _, secret := range []string{"CA-secret", "+1555", "amber", "AC1"} {
		if strings.Contains(string(body), secret) {
			t.Errorf("metrics say %q", secret)
		}
	}
	p.hangUp()
	p.waitKind(event.CallEnded)
}

// Stopping the server does not take the answer from a request that is under way.
func TestStopWaitsForRequests(t *testing.T) {
	h := newHost(t)
	arrived, release := make(chan struct{}), make(chan struct{})
	h.adapters.set(AdapterStatus{Name: "eu", State: AdapterReady, Abilities: []string{AbilityAttach}})
	h.adapters.hold(arrived, release)
	type result struct {
		status int
		err    error
	}
	answered := make(chan result, 1)
	request := h.request(http.MethodPost, "/v1/adapters/eu/attach", `{"call":"CA1"}`)
	go func() {
		resp, err := http.DefaultClient.Do(request)
		if err != nil {
			answered <- result{err: err}
			return
		}
		answered <- result{status: resp.StatusCode, err: resp.Body.Close()}
	}()
	<-arrived
	stopped := make(chan struct{})
	go func() { h.stop(); close(stopped) }()
	for h.reachable() { // until the listener is closed
	}
	close(release)
	if r := <-answered; r.err != nil || r.status != http.StatusOK {
		t.Errorf("the request under way = %d, %v; want 200", r.status, r.err)
	}
	<-stopped
}

// A bug in a handler costs its request, is told, and costs no more.
func TestPanicIsOneRequest(t *testing.T) {
	var log bytes.Buffer
	s := &Server{log: slog.New(slog.NewTextHandler(&log, nil))}
	server := httptest.NewServer(s.recovered(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("bug") })))
	defer server.Close()
	if resp, err := server.Client().Get(server.URL); err == nil {
		resp.Body.Close()
		t.Errorf("the request = %s; want a cut connection", resp.Status)
	}
	server.Close()
	if !strings.Contains(log.String(), "bug") {
		t.Errorf("log = %q; want the panic", log.String())
	}
}
