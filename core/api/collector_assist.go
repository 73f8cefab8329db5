package api

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/patchbay/patchbay/core/assist"
)

// What needs more than one look at assist.Stats.
var (
	streamsEnded = counter("assist_streams_ended", "Agent Assist streams that ended, by cause: a word of the host, or the code that Agent Assist gave.", "cause")
	startDelay   = counter("assist_start_delay_seconds", "How long streams waited for a quota, all together.")
	quotaLeft    = gauge("assist_quota_left", "Stream starts, or sessions, that a quota allows now.", "kind", "project", "region", "model")
	quotaBurst   = gauge("assist_quota_burst", "The most that may be left of a quota.", "kind", "project", "region", "model")
	circuitOpen  = gauge("assist_circuit_open", "1 while Agent Assist does not answer or refuses the host, so that one probe asks for all calls, else 0.", "project", "region")
)

// streamCauses are the host's own words for the end of a stream.
var streamCauses = []string{"planned", "forced", "server", "parked", "format", "language", "end", "client", "abandoned"}

// assistCounts are the plain counters and gauges of assist.Stats.
var assistCounts = []struct {
	number
	read func(*assist.Stats) int64
}{
	{gauge("assist_sessions_live", "Agent Assist sessions that run."), func(s *assist.Stats) int64 { return s.Sessions.Load() }},
	{counter("assist_conversations", "Conversations that were set up."), func(s *assist.Stats) int64 { return s.Conversations.Load() }},
	{gauge("assist_streams_live", "Agent Assist streams that are open."), func(s *assist.Stats) int64 { return s.StreamsOpen.Load() }},
	{counter("assist_streams_opened", "Agent Assist streams that were opened."), func(s *assist.Stats) int64 { return s.StreamsOpened.Load() }},
	{counter("assist_samples_sent", "Samples sent to Agent Assist, replays included."), func(s *assist.Stats) int64 { return s.SamplesSent.Load() }},
	{counter("assist_samples_replayed", "Samples sent again after a stream broke."), func(s *assist.Stats) int64 { return s.SamplesReplayed.Load() }},
	{counter("assist_rotations_moved", "Rotations of streams that gave way to others, as starts were short."), func(s *assist.Stats) int64 { return s.RotationsMoved.Load() }},
	{counter("assist_interims", "Interim transcripts."), func(s *assist.Stats) int64 { return s.Interims.Load() }},
	{counter("assist_finals", "Final transcripts: utterances that are settled."), func(s *assist.Stats) int64 { return s.Finals.Load() }},
	{counter("assist_messages", "Messages that Agent Assist stored."), func(s *assist.Stats) int64 { return s.Messages.Load() }},
	{counter("assist_messages_missing", "Finals whose stored message never came."), func(s *assist.Stats) int64 { return s.Unstored.Load() }},
	{counter("assist_messages_written", "Missing messages that the host wrote itself."), func(s *assist.Stats) int64 { return s.Written.Load() }},
	{counter("assist_responses_unheard", "Responses to streams of clients that had gone."), func(s *assist.Stats) int64 { return s.Unheard.Load() }},
	{counter("assist_suggestions", "Suggestions."), func(s *assist.Stats) int64 { return s.Suggestions.Load() }},
	{counter("assist_suggestion_errors", "Answers that a feature could not give."), func(s *assist.Stats) int64 { return s.SuggestionErrors.Load() }},
	{counter("assist_failures", "Conversations and tracks that get no more help."), func(s *assist.Stats) int64 { return s.Failures.Load() }},
	{gauge("assist_starts_waiting", "Streams that wait for their turn under a quota."), func(s *assist.Stats) int64 { return s.StartsWaiting.Load() }},
	{counter("assist_starts_delayed", "Streams that had to wait for a quota."), func(s *assist.Stats) int64 { return s.StartsDelayed.Load() }},
	{counter("assist_quota_refusals", "Streams that Google refused for a quota."), func(s *assist.Stats) int64 { return s.QuotaRefusals.Load() }},
	{counter("assist_contradictions", "Results that cannot be right and were not believed."), func(s *assist.Stats) int64 { return s.Contradictions.Load() }},
	{counter("assist_offsets_clamped", "Stream offsets that could not be right and were corrected."), func(s *assist.Stats) int64 { return s.Clamped.Load() }},
}

func assistNumbers() []number {
	numbers := []number{streamsEnded, startDelay, quotaLeft, quotaBurst, circuitOpen}
	for _, c := range assistCounts {
		numbers = append(numbers, c.number)
	}
	return numbers
}

func (c *Collector) collectAssist(ch chan<- prometheus.Metric) {
	for _, n := range assistCounts {
		n.emit(ch, float64(n.read(c.stats)))
	}
	startDelay.emit(ch, time.Duration(c.stats.StartDelay.Load()).Seconds())
	ended := c.stats.Ended()
	for _, cause := range streamCauses {
		ended[cause] += 0 // a series does not come with its first value
	}
	for cause, n := range ended {
		streamsEnded.emit(ch, float64(n), cause)
	}
	c.collectQuotas(ch)
	c.collectCircuits(ch)
}

// collectQuotas emits the tightest of each quota, where credentials or endpoints differ.
func (c *Collector) collectQuotas(ch chan<- prometheus.Metric) {
	tightest := make(map[[4]string]assist.QuotaLevel)
	for _, q := range c.stats.Quotas() {
		key := [4]string{string(q.Kind), q.Project, q.Region, q.Model}
		if known, ok := tightest[key]; !ok || q.Left/q.Burst < known.Left/known.Burst {
			tightest[key] = q
		}
	}
	for key, q := range tightest {
		quotaLeft.emit(ch, q.Left, key[:]...)
		quotaBurst.emit(ch, q.Burst, key[:]...)
	}
}

func (c *Collector) collectCircuits(ch chan<- prometheus.Metric) {
	open := make(map[[2]string]float64)
	for _, circuit := range c.stats.Circuits() {
		key := [2]string{circuit.Project, circuit.Location}
		open[key] += 0
		if circuit.State != assist.CircuitClosed {
			open[key] = 1
		}
	}
	for key, is := range open {
		circuitOpen.emit(ch, is, key[:]...)
	}
}
