package telemetry

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/patchbay/patchbay/core/event"
)

func TestLatencies(t *testing.T) {
	reg := NewRegistry("1")
	observer, err := NewObserver(reg, nil)
	if err != nil {
		t.Fatal(err)
	}
	before := scrape(Handler(reg))
	for _, want := range []string{"patchbay_final_latency_seconds_count 0\n", `patchbay_suggestion_latency_seconds_count{feature="faq"} 0`, `patchbay_stream_gap_seconds_count{after="broken"} 0`} {
		if !strings.Contains(before, want) {
			t.Errorf("without calls /metrics lacks %q", want)
		}
	}
	tell := observer.Call(CallInfo{ID: "c1", Adapter: "eu", Conversation: "CA1"})
	for _, e := range recordedCall() {
		tell(e)
	}
	got := scrape(Handler(reg))
	for _, want := range []string{
		"patchbay_interim_latency_seconds_sum 0.25\n", "patchbay_interim_latency_seconds_count 1\n",
		"patchbay_final_latency_seconds_sum 1\n", "patchbay_final_latency_seconds_count 1\n",
		"patchbay_final_latency_seconds_bucket{le=\"0.75\"} 0\n", "patchbay_final_latency_seconds_bucket{le=\"1.0\"} 1\n",
		"patchbay_suggestion_latency_seconds_sum{feature=\"faq\"} 2\n",
		"patchbay_stream_gap_seconds_count{after=\"rotation\"} 1\n",
		"patchbay_stream_gap_seconds_sum{after=\"broken\"} 5\n",
		"patchbay_stream_gap_seconds_sum{after=\"parked\"} 35\n",
		"patchbay_replayed_samples_total{cause=\"UNAVAILABLE\"} 16000\n",
		"patchbay_problems_total{code=\"no_audio\",level=\"warning\"} 1\n",
		"patchbay_problems_total{code=\"permission_denied\",level=\"failure\"} 1\n",
	} {
		if !strings.Contains(strings.ReplaceAll(got, "le=\"1\"", "le=\"1.0\""), want) {
			t.Errorf("/metrics lacks %q", want)
		}
	}
	for _, secret := range append(secrets, "CA1", "c1", "inbound") {
		if strings.Contains(got, secret) {
			t.Errorf("/metrics says %q", secret)
		}
	}
	if _, err := NewObserver(reg, nil); err == nil {
		t.Error("a second observer in one registry: no error")
	}
}

// Words of other packages cannot fill a label.
func TestVocabularyIsBounded(t *testing.T) {
	reg := NewRegistry("1")
	observer, err := NewObserver(reg, nil)
	if err != nil {
		t.Fatal(err)
	}
	tell := observer.Call(CallInfo{})
	for i := range 10 * maxWords {
		tell(event.Event{Kind: event.Warning, Problem: &event.Problem{Code: fmt.Sprint("code_", i)}})
	}
	got := scrape(Handler(reg))
	if n := strings.Count(got, "patchbay_problems_total{"); n != maxWords+1 {
		t.Errorf("%d series of problems; want %d and one for the rest", n, maxWords)
	}
	if want := fmt.Sprintf("patchbay_problems_total{code=\"other\",level=\"warning\"} %d\n", 9*maxWords); !strings.Contains(got, want) {
		t.Errorf("/metrics lacks %q", want)
	}
}

func TestCauses(t *testing.T) {
	for cause, want := range map[string]string{
		"planned": afterRotation, "forced": afterRotation, "server": afterRotation, "format": afterRotation, "language": afterRotation,
		"parked": afterParked, "end": afterParked, "abandoned": afterParked,
		"UNAVAILABLE": afterBroken, "RESOURCE_EXHAUSTED": afterBroken,
	} {
		if got := after(cause); got != want {
			t.Errorf("after(%q) = %q; want %q", cause, got, want)
		}
	}
}

// The cost of an event is paid in every call, some ten times a second when both talk.
func BenchmarkObserver(b *testing.B) {
	for _, traced := range []bool{false, true} {
		b.Run(fmt.Sprintf("traced=%v", traced), func(b *testing.B) {
			var traces *Traces
			if traced {
				traces = newTestTraces(b, "http://127.0.0.1:1", 1, io.Discard)
				defer closeTraces(b, traces, time.Millisecond)
			}
			observer, err := NewObserver(NewRegistry("1"), traces)
			if err != nil {
				b.Fatal(err)
			}
			tell := observer.Call(CallInfo{ID: "c1"})
			e := recordedCall()[3]
			b.ReportAllocs()
			for b.Loop() {
				tell(e)
			}
		})
	}
}
