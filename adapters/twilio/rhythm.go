package twilio

import "time"

const (
	beat      = 5 * time.Millisecond
	roundTime = 100 * time.Millisecond
	round     = 100 * samplesPerMs // samples of a track
	overtime  = 20 * samplesPerMs  // that a round waits for its other track

	// roundBeats is how long a round takes in real time.
	roundBeats = int64(roundTime / beat)

	// Whoever finds a round complete cannot tell since when. Every so many rounds it is
	// looked for a beat earlier.
	probeRounds = 16

	// maxTries is how often a round is looked for, a beat apart, before the stream counts
	// as stalled.
	maxTries = 12
)

// rhythm finds out on which beat a stream's rounds are complete.
type rhythm struct {
	last     int64 // beat of the last round
	tries    int   // to find the next
	straight int   // rounds that were complete when they were looked for first
}

// look says what becomes of a stream after a look at it.
type look uint8

const (
	lookAgain look = iota // on the due beat: the round is not complete
	lookNext              // the round is complete; the next is on the due beat
	lookAway              // the stream has stalled
)

// seen is told at beat n how much the tracks have brought since the last round; it sets
// that to zero when they have brought a round.
func (r *rhythm) seen(n int64, fresh []int64) (what look, due int64) {
	least, most := int64(-1), int64(0)
	for _, f := range fresh {
		most = max(most, f)
		if f > 0 && (least < 0 || f < least) {
			least = f
		}
	}
	if least < round && most < round+overtime {
		if r.tries++; r.tries >= maxTries {
			return lookAway, 0
		}
		return lookAgain, n + 1
	}
	clear(fresh)
	length := min(max(1, (n-r.last)*round/most), roundBeats) // audio may be faster than real time
	due = n + length
	if r.straight++; r.tries > 0 {
		r.straight = 0
	} else if r.straight%probeRounds == 0 && length > 1 {
		due--
	}
	r.last, r.tries = n, 0
	return lookNext, due
}
