package assist

import (
	"context"
	"time"

	"github.com/patchbay/patchbay/core/media"
)

// DefaultParkAfter is how long nobody speaks until a stream is closed. One that hears
// nothing is charged like any other, and the service may end it; to close it costs one
// start when speech returns: one a minute at the very most, of a speaker who says a word
// after each minute of silence. Who listens for a shorter time keeps the stream.
const DefaultParkAfter = time.Minute

// DefaultSpeechLevel is the loudness above which 20 ms of audio may be speech. Active
// speech on telephone lines is nominally at -26 dBFS (ITU-T P.56 and G.111), a soft
// talker 15 dB below; comfort noise is below -50. Whoever is softer is not recognised
// either. A noisy line is never parked: that costs money, and no words.
const DefaultSpeechLevel = -50.0

// preRoll is how much audio before the speech that opens a stream is sent with it.
const preRoll = 500 * time.Millisecond

// silentFor is how long a speaker must have been quiet when a stream ends, so that the
// next one opens with speech and not at once.
const silentFor = quietAge

// soundBlock is the stretch over which speech is told from silence: that of the tape.
const soundBlock = 20 * time.Millisecond

// sounds reports whether somebody may speak in a chunk whose loudness is known.
func sounds(c media.Chunk, loudness, level float64) bool {
	if loudness > level {
		return true
	}
	block := max(1, int(c.Format.Bytes(c.Format.SamplesIn(soundBlock))))
	for rest := c.Payload; len(rest) > 0; {
		n := min(block, len(rest))
		if media.Level(c.Format.Encoding, rest[:n]) > level {
			return true
		}
		rest = rest[n:]
	}
	return false
}

// still is how long nobody has spoken on the stream's audio.
func (st *stream) still() time.Duration {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.pos.format.Duration(st.pos.still)
}

// silent reports whether the stream is to be closed until somebody speaks.
func (st *stream) silent() bool {
	after := st.t.s.pool.opts.ParkAfter
	return after > 0 && st.still() >= after
}

// parks reports whether the next stream waits for speech: nobody spoke when this one
// ended, or the service ended it on its own.
func (st *stream) parks(why cause, end ending) bool {
	if st.t.s.pool.opts.ParkAfter <= 0 {
		return false
	}
	byServer := end.err == nil && !end.halfClosed
	return why == causeParked || byServer || st.still() >= silentFor
}

// listen waits for audio to send; on a parked track for speech. What is quiet before
// that is settled and never sent. It fails with io.EOF when none will come.
func (t *track) listen(ctx context.Context) error {
	defer t.rest()()
	if !t.parked {
		return t.audio.Wait(ctx)
	}
	t.setState(StateParked)
	begin := time.Now()
	spared, err := t.audio.WaitLoud(ctx, t.s.pool.opts.SpeechLevel, preRoll)
	t.replay = max(0, t.replay-spared)
	if err != nil {
		return err
	}
	t.parked, t.still = false, 0
	t.setState(StateWaiting)
	if waited := time.Since(begin); waited > chunk {
		t.decide(decision{what: didResume, text: "somebody speaks again", took: waited})
	}
	return nil
}
