package api

import (
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/patchbay/patchbay/core/assist"
	"github.com/patchbay/patchbay/core/call"
	"github.com/patchbay/patchbay/core/tape"
)

// Collector gives Prometheus what calls and their Agent Assist sessions count. Its
// labels have few and constant values; nothing in it is about a single caller.
type Collector struct {
	calls *call.Manager
	stats *assist.Stats
}

// NewCollector returns a collector to register.
func NewCollector(calls *call.Manager, stats *assist.Stats) *Collector {
	return &Collector{calls: calls, stats: stats}
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("patchbay_"+name, help, labels, nil)
}

var (
	descLive    = desc("calls_live", "Calls that have not ended.")
	descStarted = desc("calls_started_total", "Calls that were admitted.")
	descRefused = desc("legs_refused_total", "Legs that were refused.", "reason")
	descAudio   = desc("live_audio_seconds", "Audio of the calls that have not ended, by what became of it.", "state")
	descLost    = desc("live_audio_lost_seconds", "Audio of the calls that have not ended that never came; silence is in its place.")
	descQuota   = desc("assist_quota_left", "Stream starts, or sessions, that a quota allows now.", "kind", "project", "region", "model")
	descEnded   = desc("assist_streams_ended_total", "Agent Assist streams that ended, by cause.", "cause")
)

// assistMetrics are the plain counters and gauges of assist.Stats.
var assistMetrics = []struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(*assist.Stats) int64
}{
	{desc("assist_sessions_live", "Agent Assist sessions that run."), prometheus.GaugeValue, func(s *assist.Stats) int64 { return s.Sessions.Load() }},
	{desc("assist_conversations_total", "Conversations that were set up."), prometheus.CounterValue, func(s *assist.Stats) int64 { return s.Conversations.Load() }},
	{desc("assist_streams_live", "Agent Assist streams that are open."), prometheus.GaugeValue, func(s *assist.Stats) int64 { return s.StreamsOpen.Load() }},
	{desc("assist_streams_opened_total", "Agent Assist streams that were opened."), prometheus.CounterValue, func(s *assist.Stats) int64 { return s.StreamsOpened.Load() }},
	{desc("assist_samples_sent_total", "Samples sent to Agent Assist, replays included."), prometheus.CounterValue, func(s *assist.Stats) int64 { return s.SamplesSent.Load() }},
	{desc("assist_samples_replayed_total", "Samples sent again after a stream broke."), prometheus.CounterValue, func(s *assist.Stats) int64 { return s.SamplesReplayed.Load() }},
	{desc("assist_interims_total", "Interim transcripts."), prometheus.CounterValue, func(s *assist.Stats) int64 { return s.Interims.Load() }},
	{desc("assist_finals_total", "Final transcripts."), prometheus.CounterValue, func(s *assist.Stats) int64 { return s.Finals.Load() }},
	{desc("assist_messages_total", "Messages that Agent Assist stored."), prometheus.CounterValue, func(s *assist.Stats) int64 { return s.Messages.Load() }},
	{desc("assist_suggestions_total", "Suggestions."), prometheus.CounterValue, func(s *assist.Stats) int64 { return s.Suggestions.Load() }},
	{desc("assist_suggestion_errors_total", "Answers that a feature could not give."), prometheus.CounterValue, func(s *assist.Stats) int64 { return s.SuggestionErrors.Load() }},
	{desc("assist_failures_total", "Conversations and tracks that get no more help."), prometheus.CounterValue, func(s *assist.Stats) int64 { return s.Failures.Load() }},
	{desc("assist_starts_waiting", "Streams that wait for their turn under a quota."), prometheus.GaugeValue, func(s *assist.Stats) int64 { return s.StartsWaiting.Load() }},
	{desc("assist_starts_delayed_total", "Streams that had to wait for a quota."), prometheus.CounterValue, func(s *assist.Stats) int64 { return s.StartsDelayed.Load() }},
	{desc("assist_quota_refusals_total", "Streams that Google refused for a quota."), prometheus.CounterValue, func(s *assist.Stats) int64 { return s.QuotaRefusals.Load() }},
	{desc("assist_messages_missing_total", "Finals whose stored message never came."), prometheus.CounterValue, func(s *assist.Stats) int64 { return s.Unstored.Load() }},
	{desc("assist_contradictions_total", "Results that cannot be right and were not believed."), prometheus.CounterValue, func(s *assist.Stats) int64 { return s.Contradictions.Load() }},
	{desc("assist_offsets_clamped_total", "Stream offsets that could not be right and were corrected."), prometheus.CounterValue, func(s *assist.Stats) int64 { return s.Clamped.Load() }},
}

// Describe names the metrics.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descLive, descStarted, descRefused, descAudio, descLost, descQuota, descEnded} {
		ch <- d
	}
	for _, m := range assistMetrics {
		ch <- m.desc
	}
}

// Collect reads the counters as they stand.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	stats := c.calls.Stats()
	ch <- prometheus.MustNewConstMetric(descLive, prometheus.GaugeValue, float64(stats.Live))
	ch <- prometheus.MustNewConstMetric(descStarted, prometheus.CounterValue, float64(stats.Started))
	for reason, n := range stats.Refused {
		ch <- prometheus.MustNewConstMetric(descRefused, prometheus.CounterValue, float64(n), string(reason))
	}
	audio, lost := c.audio()
	for _, state := range slices.Sorted(maps.Keys(audio)) {
		ch <- prometheus.MustNewConstMetric(descAudio, prometheus.GaugeValue, audio[state], state)
	}
	ch <- prometheus.MustNewConstMetric(descLost, prometheus.GaugeValue, lost)
	for _, m := range assistMetrics {
		ch <- prometheus.MustNewConstMetric(m.desc, m.kind, float64(m.read(c.stats)))
	}
	left := make(map[[4]string]float64) // the tightest, where credentials or endpoints differ
	for _, q := range c.stats.Quotas() {
		key := [4]string{string(q.Kind), q.Project, q.Region, q.Model}
		if n, known := left[key]; !known || q.Left < n {
			left[key] = q.Left
		}
	}
	for key, n := range left {
		ch <- prometheus.MustNewConstMetric(descQuota, prometheus.GaugeValue, n, key[:]...)
	}
	for cause, n := range c.stats.Ended() {
		ch <- prometheus.MustNewConstMetric(descEnded, prometheus.CounterValue, float64(n), cause)
	}
}

// audio adds up the ledgers of the live calls, in seconds: by state, and what of it
// is silence in the place of lost audio.
func (c *Collector) audio() (byState map[string]float64, lost float64) {
	byState = make(map[string]float64)
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
	return byState, lost
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
