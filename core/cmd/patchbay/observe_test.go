package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"go.yaml.in/yaml/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/config"
	"github.com/patchbay/patchbay/core/emulator"
)

// spanReceiver is an OTLP receiver that counts spans and their events by name.
type spanReceiver struct {
	mu    sync.Mutex
	names map[string]int
	raw   []byte
}

func (r *spanReceiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	var m coltracepb.ExportTraceServiceRequest
	plain, err := gzip.NewReader(req.Body)
	if err == nil {
		var body []byte
		if body, err = io.ReadAll(plain); err == nil {
			err = proto.Unmarshal(body, &m)
		}
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.raw = append(r.raw, fmt.Sprint(&m)...)
	for _, rs := range m.GetResourceSpans() {
		for _, ss := range rs.GetScopeSpans() {
			for _, s := range ss.GetSpans() {
				r.names[s.GetName()]++
				for _, e := range s.GetEvents() {
					r.names[s.GetName()+"/"+e.GetName()]++
				}
			}
		}
	}
}

// metricLabels are all the labels that metrics of patchbay may have.
var metricLabels = []string{"adapter", "after", "cause", "code", "feature", "kind", "le", "level", "model", "project", "reason", "region", "result", "state", "version"}

// TestObserved: a real call over both plugins' host shows in every metric that the
// board and the alerts of examples/grafana read, and as spans; nothing says who called.
func TestObserved(t *testing.T) {
	spans := &spanReceiver{names: map[string]int{}}
	otlp := httptest.NewServer(spans)
	t.Cleanup(otlp.Close)
	var secrets []string
	t.Cleanup(func() { // after the host has ended
		for _, name := range []string{"call", "leg", "stream", "stream/final", "call/warning", "call/conversation.ready"} {
			if spans.names[name] == 0 {
				t.Errorf("no %q among the spans %v", name, spans.names)
			}
		}
		for _, s := range secrets[1:] { // the first is the conversation's id
			if strings.Contains(string(spans.raw), s) {
				t.Errorf("a span says %q", s)
			}
		}
	})
	r := newRig(t, 1, func(c *config.Config) {
		c.Google.Quotas = config.Quotas{}
		c.Telemetry.Traces.Endpoint = otlp.URL
	})
	if _, err := r.emulator.Inject(emulator.Plan{Faults: []emulator.Fault{{Kind: emulator.FaultStreamEnd, Code: codes.Unavailable, Stream: 1, At: emulator.Moment{From: time.Second}}}}); err != nil {
		t.Fatal(err)
	}
	sent := r.simulate(t, "twilio", "--duration", "4s").report(true).Calls[0]
	c, ok := r.calls.Find(sent.Call)
	if !ok {
		t.Fatal("the call is unknown")
	}
	ended(t, c)
	secrets = append(secrets, sent.Call, localAccount, "+1555", twilioSecret)
	renamed, err := r.calls.Sink("twilio").Open(t.Context(), adapter.LegInfo{CallKey: "other", LegKey: "leg", Conversation: sent.Call, From: "+15550001"})
	if err != nil {
		t.Fatal(err)
	}
	_ = renamed.Close(adapter.EndReason{Kind: adapter.EndHangup})
	r.get(t, "http://"+r.plugins[0].Status().Addresses["http"]+"/twilio/stream") // refused, which adapters count

	var scraped string
	var series map[string]bool
	within(t, 20*time.Second, "the adapter's count does not come", func(ctx context.Context) error {
		for ctx.Err() == nil {
			scraped = r.get(t, "http://"+r.ln.Addr().String()+"/metrics")
			series = checkScrape(t, scraped)
			if series["patchbay_adapter_events_total"] {
				return nil
			}
		}
		return ctx.Err()
	})
	for _, s := range secrets {
		if strings.Contains(scraped, s) {
			t.Errorf("/metrics says %q", s)
		}
	}
	folder := filepath.Join("..", "..", "..", "examples", "grafana")
	for _, file := range []string{"patchbay.json", "rules.yml"} {
		for _, expr := range expressions(t, filepath.Join(folder, file)) {
			names := metricInExpr.FindAllString(strings.ReplaceAll(expr, "$__rate_interval", "5m"), -1)
			if len(names) == 0 {
				t.Errorf("%s: %s reads no metric", file, expr)
			}
			for _, name := range names {
				if !series[name] && !strings.HasPrefix(name, "up{") {
					t.Errorf("%s: %s reads %s, which the host does not have", file, expr, name)
				}
			}
		}
	}
}

// get returns the body of an answer, whatever its status.
func (r *rig) get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

var (
	sampleLine   = regexp.MustCompile(`^([a-z0-9_]+)(?:\{(.*)\})? \S+$`)
	labelInLine  = regexp.MustCompile(`([a-z_]+)="`)
	metricInExpr = regexp.MustCompile(`\b(patchbay_[a-z0-9_]+|process_[a-z_]+|go_[a-z_]+|up\{)`)
)

// checkScrape checks the form of all metrics of patchbay and returns the names of all
// series.
func checkScrape(t *testing.T, scraped string) map[string]bool {
	t.Helper()
	helped, series := map[string]bool{}, map[string]bool{}
	for lines := bufio.NewScanner(strings.NewReader(scraped)); lines.Scan(); {
		if name, ok := strings.CutPrefix(lines.Text(), "# HELP "); ok {
			name, text, _ := strings.Cut(name, " ")
			helped[name] = text != ""
			continue
		}
		m := sampleLine.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		series[m[1]] = true
		if strings.HasPrefix(m[1], "go_") || strings.HasPrefix(m[1], "process_") || strings.HasPrefix(m[1], "promhttp_") {
			continue
		}
		base := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(m[1], "_bucket"), "_sum"), "_count")
		if !strings.HasPrefix(m[1], "patchbay_") || !helped[m[1]] && !helped[base] {
			t.Errorf("metric %s has another prefix or no help", m[1])
		}
		for _, l := range labelInLine.FindAllStringSubmatch(m[2], -1) {
			if !slices.Contains(metricLabels, l[1]) {
				t.Errorf("metric %s has the label %s, which is not among %v", m[1], l[1], metricLabels)
			}
		}
	}
	return series
}

// expressions returns the queries of a dashboard or of a file of rules.
func expressions(t *testing.T, path string) (out []string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Ext(path) == ".json" {
		var board struct {
			UID           string
			SchemaVersion int
			Templating    struct{ List []struct{ Name, Type string } }
			Panels        []struct {
				ID         int
				Type       string
				Datasource struct{ UID string }
				Targets    []struct{ Expr string }
			}
		}
		if err := json.Unmarshal(data, &board); err != nil {
			t.Fatal(err)
		}
		if v := board.Templating.List; board.SchemaVersion < 39 || len(v) != 1 || v[0].Type != "datasource" {
			t.Errorf("%s: schema %d, variables %v; want at least 39 and the data source alone", path, board.SchemaVersion, v)
		}
		ids := map[int]bool{}
		for _, p := range board.Panels {
			if ids[p.ID] || p.Type != "row" && p.Datasource.UID != "${datasource}" {
				t.Errorf("%s: panel %d appears twice, or reads %q", path, p.ID, p.Datasource.UID)
			}
			ids[p.ID] = true
			for _, target := range p.Targets {
				out = append(out, target.Expr)
			}
		}
		return out
	}
	var rules struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For string
				Labels           struct{ Severity string }
				Annotations      struct{ Summary, Description string }
			}
		}
	}
	d := yaml.NewDecoder(strings.NewReader(string(data)))
	d.KnownFields(true)
	if err := d.Decode(&rules); err != nil {
		t.Fatal(err)
	}
	for _, g := range rules.Groups {
		for _, rule := range g.Rules {
			if rule.Alert == "" || rule.Labels.Severity == "" || rule.Annotations.Summary == "" || rule.Annotations.Description == "" {
				t.Errorf("%s: rule %+v lacks a name, a severity or words", path, rule)
			}
			out = append(out, rule.Expr)
		}
	}
	return out
}
