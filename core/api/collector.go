package api

import (
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/assist"
	"github.com/patchbay/patchbay/core/call"
	"github.com/patchbay/patchbay/core/tape"
	"github.com/patchbay/patchbay/core/tape/spool"
)

// Collector gives Prometheus what calls, their Agent Assist sessions and the spool
// count. Its labels have few and constant values; nothing in it is about a single
// caller. What follows from events is counted in core/telemetry.
type Collector struct {
	calls *call.Manager
	stats *assist.Stats
	// Spool returns the numbers of the spool. Nil, or set before the collector is
	// registered.
	Spool func() spool.Stats
}

// NewCollector returns a collector to register.
func NewCollector(calls *call.Manager, stats *assist.Stats) *Collector {
	return &Collector{calls: calls, stats: stats}
}

// number is a metric of the collector.
type number struct {
	*prometheus.Desc
	kind prometheus.ValueType
}

func gauge(name, help string, labels ...string) number {
	return number{prometheus.NewDesc("patchbay_"+name, help, labels, nil), prometheus.GaugeValue}
}

func counter(name, help string, labels ...string) number {
	return number{prometheus.NewDesc("patchbay_"+name+"_total", help, labels, nil), prometheus.CounterValue}
}

// emit hands a value over.
func (n number) emit(ch chan<- prometheus.Metric, value float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(n.Desc, n.kind, value, labels...)
}

var (
	live    = gauge("calls_live", "Calls that have not ended.")
	started = counter("calls_started", "Calls that were admitted.")
	refused = counter("legs_refused", "Legs that were refused.", "reason")
	relayed = counter("relayed_calls", "Unary calls of Agent Assist that clients made through the host, by whether a route allowed them: relayed or refused.", "result")
	unread  = counter("results_lost", "Results that no adapter took, since its client did not read them.")

	liveAudio = gauge("live_audio_seconds", "Audio of the calls that have not ended, by what became of it.", "state")
	liveLost  = gauge("live_audio_lost_seconds", "Audio of the calls that have not ended that never came; silence is in its place.")

	spoolTapes    = gauge("spool_tapes", "Tapes that the spool keeps.")
	spoolJournals = gauge("spool_journals", "Journals of calls that the spool keeps.")
	spoolBytes    = gauge("spool_bytes", "What the spool holds on disk.")
	spoolErrors   = counter("spool_errors", "Errors of the spool's disk.")
	spoolState    = gauge("spool_state", "1 for the state that the spool is in: writing, full or failed.", "state")
)

// refusals are the reasons to refuse a leg.
var refusals = []adapter.RefusalReason{adapter.RefusedFull, adapter.RefusedDraining, adapter.RefusedNoRoute, adapter.RefusedInvalid,
	adapter.RefusedGone, adapter.RefusedNotYours}

// spoolStates are the words for the states of a spool.
var spoolStates = map[spool.State]string{spool.Writing: "writing", spool.Full: "full", spool.Failed: "failed"}

// Describe names the metrics.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	numbers := []number{live, started, refused, relayed, unread, liveAudio, liveLost}
	numbers = append(numbers, audioNumbers()...)
	numbers = append(numbers, assistNumbers()...)
	if c.Spool != nil {
		numbers = append(numbers, spoolTapes, spoolJournals, spoolBytes, spoolErrors, spoolState)
	}
	for _, n := range numbers {
		ch <- n.Desc
	}
	ch <- handover
}

// Collect reads the counters as they stand.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	stats := c.calls.Stats()
	live.emit(ch, float64(stats.Live))
	started.emit(ch, float64(stats.Started))
	counts := make(map[string]float64)
	relayed.emit(ch, float64(stats.Relayed), "relayed")
	relayed.emit(ch, float64(stats.RelaysRefused), "refused")
	unread.emit(ch, float64(stats.ResultsLost))
	for reason, n := range stats.Refused {
		counts[string(reason)] = float64(n)
	}
	emitWords(ch, refused, refusals, counts)
	c.collectLive(ch)
	c.collectAudio(ch)
	c.collectAssist(ch)
	c.collectHandover(ch)
	if c.Spool != nil {
		collectSpool(ch, c.Spool())
	}
}

// emitWords emits a value for each of the words that a label may have, 0 where counts
// has none: a series does not come with its first value. Other words are "other".
func emitWords[W ~string](ch chan<- prometheus.Metric, n number, words []W, counts map[string]float64) {
	other := 0.0
	for word, value := range counts {
		if !slices.Contains(words, W(word)) {
			other += value
		}
	}
	for _, word := range words {
		n.emit(ch, counts[string(word)], string(word))
	}
	n.emit(ch, other, "other")
}

func collectSpool(ch chan<- prometheus.Metric, s spool.Stats) {
	spoolTapes.emit(ch, float64(s.Tapes))
	spoolJournals.emit(ch, float64(s.Journals))
	spoolBytes.emit(ch, float64(s.Bytes))
	spoolErrors.emit(ch, float64(s.Errors))
	for state, word := range spoolStates {
		is := 0.0
		if s.State == state {
			is = 1
		}
		spoolState.emit(ch, is, word)
	}
}

// collectLive adds up the ledgers of the live calls, in seconds: by state, and what
// of it is silence in the place of lost audio.
func (c *Collector) collectLive(ch chan<- prometheus.Metric) {
	byState, lost := make(map[string]float64), 0.0
	for state := range statesOf(tape.Ledger{}) {
		byState[state] = 0 // a series does not come and go with the calls
	}
	for _, live := range c.calls.Calls() {
		if live.Summary().State == call.Ended {
			continue
		}
		for _, t := range live.Info().Tracks {
			rate := float64(max(t.Rate, 1))
			for state, samples := range statesOf(t.Ledger) {
				byState[state] += float64(samples) / rate
			}
			lost += float64(t.Ledger.Lost) / rate
		}
	}
	for _, state := range slices.Sorted(maps.Keys(byState)) {
		liveAudio.emit(ch, byState[state], state)
	}
	liveLost.emit(ch, lost)
}

// statesOf returns the states of a track's positions; they add up to all there are.
func statesOf(l tape.Ledger) map[string]int64 {
	states := map[string]int64{
		"pending": l.Pending, "in_flight": l.InFlight, "recognised": l.Recognised, "silent": l.Silent,
		"unrecognised": l.Unrecognised, "withheld": l.Withheld, "discarded": 0,
	}
	for _, n := range l.Discarded {
		states["discarded"] += n
	}
	return states
}
