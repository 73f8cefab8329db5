package assist

import (
	"fmt"
	"time"

	"github.com/patchbay/patchbay/core/event"
)

// Words of event.Decision.What: what a track did that an outsider would ask about.
const (
	didOpen    = "opened"
	didHear    = "first_result"
	didRotate  = "rotated"
	didPark    = "parked"
	didResume  = "resumed"
	didReplay  = "replays"
	didGiveUp  = "discards"
	didBackOff = "backs_off"
	didWait    = "waits"
	didGoOn    = "waited"
	didRejoin  = "rejoins"
	didReform  = "other_form"
)

// decision is an event.Decision in the making.
type decision struct {
	what   string
	text   string
	err    error // that it answers
	stream int
	pos    int64
	took   time.Duration
}

// decide tells the flight recorder.
func (t *track) decide(d decision) {
	e := &event.Decision{What: d.what, Text: d.text, Stream: d.stream, Pos: d.pos, Seconds: d.took.Seconds()}
	if d.err != nil {
		e.Code = codeName(d.err)
	}
	t.log.Debug("assist: "+d.what, "text", d.text, "code", e.Code, "stream", d.stream, "pos", d.pos, "took", d.took)
	t.s.publish(event.Event{Kind: event.Decided, Track: t.trackRef(), Decision: e})
}

// rounded is a length of time for people.
func rounded(d time.Duration) time.Duration {
	if d < time.Second {
		return d.Round(time.Millisecond)
	}
	return d.Round(100 * time.Millisecond)
}

// whyEnded says why a stream ended.
func whyEnded(why cause, end ending, st *stream, audio time.Duration) string {
	words := map[cause]string{
		causePlanned:   "a planned rotation, after a final or in a pause",
		causeForced:    "a rotation at the hard mark",
		causeParked:    "no audio came, or nobody spoke",
		causeFormat:    "the audio's format changed",
		causeLanguage:  "the language changed",
		causeClient:    "the client's stream ended, or its next one began",
		causeEnd:       "the track's end",
		causeAbandoned: "the call was cut off",
	}[why]
	switch {
	case end.err != nil:
		words = googleWords(end.err)
	case !end.halfClosed:
		words = "Agent Assist ended it"
	}
	return fmt.Sprintf("%s; it was %v old and had got %v of audio", words, rounded(st.age()), rounded(audio))
}

// decideOpened tells how a stream began.
func (t *track) decideOpened(number int, from int64) {
	text := "a stream opened"
	if t.spoken != "" {
		text += " in " + t.spoken
	}
	if at := t.audio.At(from); !at.IsZero() {
		text += fmt.Sprintf("; its first audio is %v old", rounded(time.Since(at)))
	}
	if t.replay > 0 {
		text += fmt.Sprintf(", %v of it is sent again", rounded(t.format.Duration(t.replay)))
	}
	if t.waited <= chunk { // that is no waiting
		t.waited = 0
	}
	t.decide(decision{what: didOpen, text: text, stream: number, pos: from, took: t.waited})
	t.waited = 0
}

// answered notes the first result of a stream.
func (st *stream) answered() {
	t := st.t
	t.answered()
	t.proveLanguage(t.spoken)
	if t.transport() == Bidi {
		t.s.clients.bidi.proven.Store(true)
	}
	t.decide(decision{what: didHear, text: "the stream's first result", stream: st.number, took: time.Since(st.opened)})
}
