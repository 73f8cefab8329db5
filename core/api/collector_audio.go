package api

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/patchbay/patchbay/core/assist"
	"github.com/patchbay/patchbay/core/call"
	"github.com/patchbay/patchbay/core/tape"
)

// The account of all calls, live or ended, and how far readers are behind.
var (
	audioArrived   = counter("audio_arrived_seconds", "Audio that adapters delivered.")
	audioUnneeded  = counter("audio_unneeded_seconds", "Audio that arrived and has no place: it was there already, or came too late.", "kind")
	audioLost      = counter("audio_lost_seconds", "Audio that never came from the vendor; silence is in its place.")
	audioSent      = counter("audio_sent_seconds", "Audio sent to Agent Assist, replays included.")
	audioReplayed  = counter("audio_replayed_seconds", "Audio that had to be sent again after a stream broke.")
	audioSettled   = counter("audio_settled_seconds", "Audio that was settled, by what became of it.", "state")
	audioDiscarded = counter("audio_discarded_seconds", "Audio that was given up, by reason.", "reason")

	lagTracks = gauge("assist_lagging_tracks", "Tracks of live calls with more audio waiting to be sent than a message takes to fill.")
	lagMost   = gauge("assist_lag_max_seconds", "Audio that waits to be sent, on the track where most does.")
	lagSum    = gauge("assist_lag_sum_seconds", "Audio that waits to be sent, of all tracks together.")
	lagAge    = gauge("assist_lag_age_seconds", "Time since the oldest audio that waits to be sent arrived.")
)

// discardReasons are the reasons to give audio up.
var discardReasons = []string{
	tape.DiscardBufferFull, tape.DiscardLongGap, tape.DiscardSpoolFull, tape.DiscardSpoolFailed,
	call.DiscardThirdVoice, call.DiscardMixed, call.DiscardStandby, call.DiscardCallEnded, call.DiscardTooOld,
	assist.DiscardNoConversation, assist.DiscardNoParticipant, assist.DiscardStreamRefused, assist.DiscardReplayLimit, assist.DiscardAbandoned,
}

func audioNumbers() []number {
	return []number{audioArrived, audioUnneeded, audioLost, audioSent, audioReplayed, audioSettled, audioDiscarded, lagTracks, lagMost, lagSum, lagAge}
}

func (c *Collector) collectAudio(ch chan<- prometheus.Metric) {
	a := c.calls.Audio()
	audioArrived.emit(ch, a.Arrived)
	audioUnneeded.emit(ch, a.Duplicate, "duplicate")
	audioUnneeded.emit(ch, a.Late, "late")
	audioLost.emit(ch, a.Lost)
	audioSent.emit(ch, a.Sent)
	audioReplayed.emit(ch, a.Replayed)
	audioSettled.emit(ch, a.Recognised, "recognised")
	audioSettled.emit(ch, a.Silent, "silent")
	audioSettled.emit(ch, a.Unrecognised, "unrecognised")
	audioSettled.emit(ch, a.Withheld, "withheld")
	emitWords(ch, audioDiscarded, discardReasons, a.Discarded)

	lag := c.calls.Lag()
	lagTracks.emit(ch, float64(lag.Tracks))
	lagMost.emit(ch, lag.Most.Seconds())
	lagSum.emit(ch, lag.Sum.Seconds())
	lagAge.emit(ch, lag.Age.Seconds())
}
