package twilio

import (
	"time"

	"github.com/patchbay/patchbay/core/media"
)

// samplesPerMs turns Twilio's timestamps into positions.
const samplesPerMs = 8

const (
	minJump     = 20 * samplesPerMs      // less than a packet between clock and audio is rounding
	maxJump     = 600_000 * samplesPerMs // ten minutes without audio are a clock that began anew
	maxBack     = 10_000 * samplesPerMs  // so are ten seconds backwards
	maxLead     = 50                     // chunks before the first that came which still count as lost
	restartBack = 500                    // chunks backwards that mean a new count, not a late message
	maxCounter  = 1 << 40                // no chunk and no millisecond of a stream is beyond
)

// verdict is what becomes of a chunk of audio.
type verdict uint8

const (
	accepted  verdict = iota
	begins            // it is the first of a segment
	restarts          // it is too, because counters or clock began anew
	duplicate         // it came before
	late              // its place was passed
)

// timeline gives the chunks of one track their positions. Twilio numbers them
// from 1 (chunk) and stamps them with the milliseconds since the stream's start
// (timestamp). Where the two disagree the time decides, since it says where the
// audio belongs; look-alikes may leave out either. A place that stays empty is a
// jump of the position, which the host counts as lost.
type timeline struct {
	begun  bool
	next   int64  // position after the last sample
	step   int64  // samples of the last chunk
	chunk  number // last chunk
	seen   uint64 // bit i: chunk number chunk-i came
	time   number // last timestamp
	origin int64  // timestamp of position 0
}

// place returns the position of a chunk with n samples.
func (t *timeline) place(chunk, at number, n int64) (pos int64, v verdict) {
	chunk.ok = chunk.ok && chunk.v < maxCounter
	at.ok = at.ok && at.v < maxCounter
	if !t.begun {
		return t.begin(chunk, at, leadOf(chunk, n), n), begins
	}
	chunks, times := chunk.ok && t.chunk.ok, at.ok && t.time.ok
	if chunks && chunk.v <= t.chunk.v {
		if v := t.old(t.chunk.v - chunk.v); v != restarts {
			return 0, v
		}
		return t.begin(chunk, at, leadOf(chunk, n), n), restarts
	}
	var missing, ahead int64 // samples that number and clock say did not come
	if chunks {
		missing = (chunk.v - t.chunk.v - 1) * t.step
	}
	if times {
		ahead = (at.v-t.origin)*samplesPerMs - t.next
	}
	switch {
	case ahead > maxJump, ahead < -maxBack, !times && missing > maxJump:
		return t.begin(chunk, at, 0, n), restarts
	case !chunks && times && at.v == t.time.v:
		return 0, duplicate
	case !chunks && times && at.v < t.time.v:
		return 0, late
	}
	jump := int64(0)
	switch {
	case times && ahead >= minJump:
		jump = ahead
	case missing > 0 && (!times || ahead*2 >= missing):
		jump = missing
	}
	pos = t.next + jump
	t.advance(chunk, at, pos, n)
	return pos, accepted
}

// leadOf returns the samples that are missing before a first chunk. A few are
// lost; a stream that is joined in the middle begins where it is.
func leadOf(chunk number, n int64) int64 {
	if chunk.ok && chunk.v > 1 && chunk.v <= maxLead {
		return (chunk.v - 1) * n
	}
	return 0
}

// begin starts a segment, pos samples before its first chunk.
func (t *timeline) begin(chunk, at number, pos, n int64) int64 {
	*t = timeline{begun: true}
	if at.ok {
		pos = min(pos, at.v*samplesPerMs)
		t.origin = at.v - pos/samplesPerMs
	}
	t.advance(chunk, at, pos, n)
	return pos
}

func (t *timeline) advance(chunk, at number, pos, n int64) {
	if chunk.ok && t.chunk.ok {
		t.seen = t.seen<<min(chunk.v-t.chunk.v, 64) | 1
	} else {
		t.seen = 1
	}
	t.chunk, t.time = chunk, at
	t.next, t.step = pos+n, n
}

// old judges a chunk that is back chunks before the last.
func (t *timeline) old(back int64) verdict {
	switch {
	case back >= restartBack:
		return restarts
	case back >= 64:
		return late
	case t.seen>>back&1 == 1:
		return duplicate
	}
	t.seen |= 1 << back
	return late
}

// mediaTime is Twilio's clock at the segment's position 0.
func (t *timeline) mediaTime() (since time.Duration, known bool) {
	return time.Duration(t.origin) * time.Millisecond, t.time.ok
}

// lead is how long position pos is after the segment's start.
func lead(pos int64) time.Duration { return media.Telephony.Duration(pos) }
