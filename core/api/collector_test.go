package api

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/patchbay/patchbay/core/event"
	"github.com/patchbay/patchbay/core/tape/spool"
)

// metrics returns how to scrape a host's collector.
func metrics(t *testing.T, spooled func() spool.Stats) (*host, func() string) {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	h := newHost(t, withMetrics(promhttp.HandlerFor(registry, promhttp.HandlerOpts{})))
	c := NewCollector(h.calls, h.pool.Stats())
	c.Spool = spooled
	registry.MustRegister(c)
	return h, func() string {
		_, body := h.do(h.request("GET", "/metrics", ""))
		return string(body)
	}
}

func wantSeries(t *testing.T, scraped string, series ...string) {
	t.Helper()
	for _, want := range series {
		if !strings.Contains(scraped, "\npatchbay_"+want) {
			t.Errorf("metrics lack %q in\n%s", want, scraped)
		}
	}
}

// What was counted stays counted when the call has ended.
func TestCollectorCountsEndedCalls(t *testing.T) {
	h, scrape := metrics(t, nil)
	before := scrape()
	wantSeries(t, before,
		`audio_discarded_seconds_total{reason="buffer_full"} 0`, `audio_discarded_seconds_total{reason="other"} 0`,
		`audio_settled_seconds_total{state="recognised"} 0`, `assist_streams_ended_total{cause="planned"} 0`,
		`legs_refused_total{reason="full"} 0`, "assist_lag_max_seconds 0\n", "assist_rotations_moved_total 0\n")
	if strings.Contains(before, "patchbay_spool") {
		t.Error("a host without spool has metrics of it")
	}
	p := h.dial("CA1")
	p.say("inbound", "amber", "basil", "cedar")
	p.waitKind(event.SuggestionOffered)
	p.hangUp()
	p.waitKind(event.CallEnded)
	arrived := regexp.MustCompile(`\npatchbay_audio_arrived_seconds_total ([0-9.]+)\n`)
	got := arrived.FindStringSubmatch(scrape())
	if len(got) != 2 || got[1] == "0" {
		t.Fatalf("audio that arrived: %v; want what the call brought", got)
	}
	wantSeries(t, scrape(), "calls_started_total 1\n", `assist_quota_left{kind="`, `assist_quota_burst{kind="`, `assist_circuit_open{project="local",region="global"} 0`)
	h.calls.Shutdown(t.Context())
	if again := arrived.FindStringSubmatch(scrape()); again[1] != got[1] || !strings.Contains(scrape(), "patchbay_calls_live 0\n") {
		t.Errorf("audio that arrived: %s s after the end of all calls; want %s s still", again[1], got[1])
	}
}

func TestCollectorOfSpool(t *testing.T) {
	_, scrape := metrics(t, func() spool.Stats {
		return spool.Stats{Tapes: 2, Journals: 1, Bytes: 4096, Errors: 3, State: spool.Full}
	})
	wantSeries(t, scrape(), "spool_tapes 2\n", "spool_journals 1\n", "spool_bytes 4096\n", "spool_errors_total 3\n",
		`spool_state{state="writing"} 0`, `spool_state{state="full"} 1`, `spool_state{state="failed"} 0`)
}

// The words that labels may have are those that the other packages use.
func TestCollectorKnowsTheWords(t *testing.T) {
	tests := []struct {
		name, define string
		folders      []string
		known        []string
	}{
		{"reasons to discard", `\bDiscard[A-Za-z]+ += "([a-z_]+)"`, []string{"assist", "call", "tape"}, discardReasons},
		{"causes of a stream's end", `\bcause = "([a-z_]+)"`, []string{"assist"}, streamCauses},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			found := 0
			for _, folder := range tt.folders {
				files, err := filepath.Glob(filepath.Join("..", folder, "*.go"))
				if err != nil {
					t.Fatal(err)
				}
				for _, file := range files {
					source, err := os.ReadFile(file)
					if err != nil {
						t.Fatal(err)
					}
					for _, m := range regexp.MustCompile(tt.define).FindAllStringSubmatch(string(source), -1) {
						if found++; !slices.Contains(tt.known, m[1]) {
							t.Errorf("%s defines %q, which the collector does not know", file, m[1])
						}
					}
				}
			}
			if found < len(tt.known) {
				t.Errorf("%d words found; the collector knows %d", found, len(tt.known))
			}
		})
	}
}
