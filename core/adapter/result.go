package adapter

import (
	"time"

	"github.com/patchbay/patchbay/core/media"
)

// ResultForm says which results a leg wants back.
type ResultForm string

// The forms of results.
const (
	ResultsNone ResultForm = ""
	// ResultsEvents are what was recognised and suggested in the whole call, masked as
	// for everybody else.
	ResultsEvents ResultForm = "events"
	// ResultsRaw are Agent Assist's own responses to the leg's audio, in its order, for a
	// client that would have got them from there. Offsets count from the leg's first
	// sample; what a replay repeats is left out.
	ResultsRaw ResultForm = "raw"
)

// ResultBuffer is how many results wait for an adapter that does not read them. Of
// more, those that come last are lost, and ControlLost says so. Audio never waits for
// results.
const ResultBuffer = 256

// Result is something that Agent Assist made of a call's audio.
type Result struct {
	Kind  ResultKind
	Leg   string        // LegKey of the leg that it is about; empty when it is about the call
	Track media.TrackID // empty when it is about the call
	// Raw is with ResultRaw a StreamingAnalyzeContentResponse of v2beta1, encoded.
	Raw []byte

	Speaker   Speaker
	Utterance string // interims and final of one utterance share it
	Text      string // what was said, or the suggestion
	Start     time.Time
	End       time.Time // of the last audio that Text covers
	Offset    time.Duration
	Language  string
	// Confidence is 0 to 1; 0 is unknown.
	Confidence float32
	Name       string // of a stored message, or the answer record of a suggestion

	// The rest is about suggestions.

	ID       string // for feedback
	Feature  string // article, faq, smart_reply…
	Title    string
	URI      string
	Metadata map[string]string
}

// ResultKind is the kind of a Result.
type ResultKind string

// The kinds of results.
const (
	ResultRaw        ResultKind = "raw"
	ResultInterim    ResultKind = "interim"    // of a transcript: it may change
	ResultFinal      ResultKind = "final"      // of a transcript
	ResultMessage    ResultKind = "message"    // Agent Assist's record of an utterance
	ResultSuggestion ResultKind = "suggestion" // for the agent
	ResultWarning    ResultKind = "warning"    // Text is for people
	ResultFailure    ResultKind = "failure"    // this call or track gets no more help; Text is for people
)
