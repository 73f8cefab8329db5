package assist

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// StreamsPerCall is what a call of an agent and a customer needs.
const StreamsPerCall = 2

// CapacityReport says what a choice of transport and model carries.
type CapacityReport struct {
	Calls int    // simultaneous calls of two speakers; math.MaxInt where no quota bounds them
	Bound string // the quota that bounds it, for people
	// SuggestionDelay is the longest time from the end of an utterance to the moment
	// at which Agent Assist may answer it: the answer itself takes its time beyond.
	SuggestionDelay time.Duration
}

// Capacity derives what the quotas carry: what the governor hands out in the long
// run, with rotations moved to the hard mark, as it does when starts are short. A
// call's other starts (parking, faults) come on top, so it is a bound and not a
// promise.
func Capacity(t Transport, model string, q Quotas) CapacityReport {
	if t == "" {
		t = DefaultTransport
	}
	q = q.or(DefaultQuotas)
	marks := DefaultMarks(t, model)
	// A handover waits for the last stream's results before the next utterance is sent.
	r := CapacityReport{SuggestionDelay: DefaultEndTimeout}
	if t == Streaming {
		r.SuggestionDelay += marks.Hard
	}
	bound := func(quota int, carries float64, words string) {
		if n := int(carries / StreamsPerCall); quota >= 0 && n < r.Calls {
			r.Calls, r.Bound = n, fmt.Sprintf(words, quota)
		}
	}
	r.Calls, r.Bound = math.MaxInt, "no quota is set"
	if t == Bidi {
		bound(q.BidiSessions, usedShare*float64(q.BidiSessions), "%d concurrent bidi sessions a region")
		return r
	}
	perStart := refillShare * marks.Hard.Minutes()
	bound(q.StreamStarts, perStart*float64(q.StreamStarts), "%d stream starts a minute and project")
	if strings.HasPrefix(model, "chirp") {
		bound(q.ChirpStarts, perStart*float64(q.ChirpStarts), "%d Chirp stream starts a minute and region")
	}
	return r
}

// String is one line for people.
func (r CapacityReport) String() string {
	calls := "any number of"
	if r.Calls < math.MaxInt {
		calls = strconv.Itoa(r.Calls)
	}
	return fmt.Sprintf("%s simultaneous calls of two speakers (%s); a suggestion may wait up to %v after its utterance", calls, r.Bound, r.SuggestionDelay)
}
