package assist

import (
	"fmt"
	"strings"
	"time"
)

// Quotas are the limits of a Google project that streams count against.
type Quotas struct {
	StreamStarts int // StreamingAnalyzeContent and AnalyzeContent a minute, shared with Dialogflow
	ChirpStarts  int // new streams of a Chirp model a minute and region
	BidiSessions int // at a time, a region
}

// DefaultQuotas are what a project has without asking for more (Google's page
// "Agent Assist quotas", March 2026).
var DefaultQuotas = Quotas{StreamStarts: 300, ChirpStarts: 20, BidiSessions: 50}

// StreamsPerCall is what a call of an agent and a customer needs.
const StreamsPerCall = 2

// CapacityReport says what a choice of transport and model carries.
type CapacityReport struct {
	Calls int    // simultaneous calls of two speakers
	Bound string // the quota that bounds it, for people
	// SuggestionDelay is the longest time from the end of an utterance to the moment
	// at which Agent Assist may answer it: the answer itself takes its time beyond.
	SuggestionDelay time.Duration
}

// Capacity derives what the quotas carry. A stream starts again at its soft mark,
// as finals after it come soon; a call's other starts (parking, faults) come on
// top, so it is a bound and not a promise.
func Capacity(t Transport, model string, q Quotas) CapacityReport {
	if t == "" {
		t = DefaultTransport
	}
	marks := DefaultMarks(t, model)
	// A handover waits for the last stream's results before the next utterance is sent.
	r := CapacityReport{SuggestionDelay: DefaultEndTimeout}
	if t == Streaming {
		r.SuggestionDelay += marks.Hard
	}
	perMinute := func(starts int) int {
		return int(float64(starts) * marks.Soft.Minutes() / StreamsPerCall)
	}
	if t == Bidi {
		r.Calls, r.Bound = q.BidiSessions/StreamsPerCall, fmt.Sprintf("%d concurrent bidi sessions a region", q.BidiSessions)
		return r
	}
	r.Calls, r.Bound = perMinute(q.StreamStarts), fmt.Sprintf("%d stream starts a minute and project", q.StreamStarts)
	if strings.HasPrefix(model, "chirp") {
		if n := perMinute(q.ChirpStarts); n < r.Calls {
			r.Calls, r.Bound = n, fmt.Sprintf("%d Chirp stream starts a minute and region", q.ChirpStarts)
		}
	}
	return r
}

// String is one line for people.
func (r CapacityReport) String() string {
	return fmt.Sprintf("%d simultaneous calls of two speakers (%s); a suggestion may wait up to %v after its utterance", r.Calls, r.Bound, r.SuggestionDelay)
}
