package telemetry

import (
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/patchbay/patchbay/core/event"
)

// latencyBuckets reach from what a person calls at once to what is of no use any more.
var latencyBuckets = []float64{0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 7.5, 10, 15, 20, 30}

// gapBuckets reach from a rotation that nobody notices to a long outage.
var gapBuckets = []float64{0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300}

// maxWords bounds the values of a label whose words come from other packages. They
// are constants there; a mistake shall not fill Prometheus.
const maxWords = 64

// latencies are the metrics that follow from events.
type latencies struct {
	interim, final prometheus.Histogram
	suggestion     *prometheus.HistogramVec
	gap            *prometheus.HistogramVec
	replayed       *prometheus.CounterVec
	problems       *prometheus.CounterVec
	causes, codes  vocabulary
}

// The values of the label after of the gaps between streams.
const (
	afterRotation = "rotation"
	afterParked   = "parked"
	afterBroken   = "broken"
)

var features = []event.Feature{event.FeatureArticle, event.FeatureFAQ, event.FeatureSmartReply, event.FeatureKnowledgeAssist, event.FeatureGenerator,
	event.FeatureCompanion, event.FeatureDialogflow, event.FeatureEntities, event.FeatureUnknown}

func newLatencies(reg *prometheus.Registry) (*latencies, error) {
	histogram := func(name, help string, buckets []float64) prometheus.HistogramOpts {
		return prometheus.HistogramOpts{Name: "patchbay_" + name, Help: help, Buckets: buckets}
	}
	counter := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Name: "patchbay_" + name, Help: help}
	}
	l := &latencies{
		interim: prometheus.NewHistogram(histogram("interim_latency_seconds",
			"From the arrival of the last audio that an interim transcript covers to the interim.", latencyBuckets)),
		final: prometheus.NewHistogram(histogram("final_latency_seconds",
			"From the arrival of the last audio of an utterance to its final transcript.", latencyBuckets)),
		suggestion: prometheus.NewHistogramVec(histogram("suggestion_latency_seconds",
			"From the arrival of the last audio of an utterance to a suggestion that answers it.", latencyBuckets), []string{"feature"}),
		gap: prometheus.NewHistogramVec(histogram("stream_gap_seconds",
			"From the end of a track's stream to the begin of its next, by what was before: a rotation, a pause of the speaker, or a broken stream.", gapBuckets), []string{"after"}),
		replayed: prometheus.NewCounterVec(counter("replayed_samples_total",
			"Samples that were sent again, by the cause of the end of the stream before."), []string{"cause"}),
		problems: prometheus.NewCounterVec(counter("problems_total",
			"Warnings and failures in the logs of calls, by code."), []string{"level", "code"}),
		causes: vocabulary{most: maxWords},
		codes:  vocabulary{most: maxWords},
	}
	for _, feature := range features { // a series does not come with its first value
		l.suggestion.WithLabelValues(string(feature))
	}
	for _, after := range []string{afterRotation, afterParked, afterBroken} {
		l.gap.WithLabelValues(after)
	}
	var errs []error
	for _, c := range []prometheus.Collector{l.interim, l.final, l.suggestion, l.gap, l.replayed, l.problems} {
		errs = append(errs, reg.Register(c))
	}
	return l, errors.Join(errs...)
}

// callLatencies follow one call. Its owner serialises the calls.
type callLatencies struct {
	*latencies
	ended map[track]streamEnd // the streams that ended last
}

type streamEnd struct {
	at    time.Time
	cause string
}

func (c *callLatencies) event(e event.Event) {
	switch e.Kind {
	case event.TranscriptInterim:
		since(c.interim, e.Time, e.Transcript.End)
	case event.TranscriptFinal:
		since(c.final, e.Time, e.Transcript.End)
	case event.SuggestionOffered:
		since(c.suggestion.WithLabelValues(string(e.Suggestion.Feature)), e.Time, e.Suggestion.HeardAt)
	case event.StreamEnded:
		if t, ok := trackOf(e); ok {
			c.ended[t] = streamEnd{e.Time, e.Stream.Cause}
		}
	case event.StreamOpened:
		c.opened(e)
	case event.Warning, event.Failure:
		c.problems.WithLabelValues(string(e.Kind), c.codes.word(e.Problem.Code)).Inc()
	}
}

func (c *callLatencies) opened(e event.Event) {
	t, ok := trackOf(e)
	if !ok {
		return
	}
	before, ok := c.ended[t]
	if !ok {
		before.cause = "unknown" // a call that an earlier process began
	} else {
		since(c.gap.WithLabelValues(after(before.cause)), e.Time, before.at)
	}
	delete(c.ended, t)
	if e.Stream.Replay > 0 {
		c.replayed.WithLabelValues(c.causes.word(before.cause)).Add(float64(e.Stream.Replay))
	}
}

func after(cause string) string {
	switch {
	case isBroken(cause):
		return afterBroken
	case isRotation(cause):
		return afterRotation
	default:
		return afterParked
	}
}

// since observes the time between two moments. Clocks that differ by a little, and
// tests on faster time, do not make it negative; an unknown moment is left out.
func since(h prometheus.Observer, now, then time.Time) {
	if !then.IsZero() {
		h.Observe(max(0, now.Sub(then).Seconds()))
	}
}

// vocabulary bounds the values of a label: what comes after most others is "other".
type vocabulary struct {
	most  int
	mu    sync.Mutex
	known map[string]bool
}

func (v *vocabulary) word(w string) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.known[w] {
		if len(v.known) >= v.most {
			return "other"
		}
		if v.known == nil {
			v.known = make(map[string]bool)
		}
		v.known[w] = true
	}
	return w
}
