package assist

import (
	"time"

	"github.com/patchbay/patchbay/core/media"
)

// positions maps the offsets of one stream's audio to positions on the tape. The
// map is piecewise: the tape jumps where audio was withheld or discarded, the
// stream does not. It also remembers where the speaker began to talk.
type positions struct {
	format  media.Format
	pieces  []piece
	sent    int64 // samples of the stream
	final   int64 // stream samples that finals cover
	onsets  []int64
	quiet   int64   // samples since the last loud chunk
	spoke   bool    // there was a loud chunk
	speech  float64 // loudness above which audio may be speech
	still   int64   // samples since such audio; those of earlier streams count too
	clamped int
}

// piece is a run of consecutive tape positions.
type piece struct {
	stream, tape int64 // of its first sample
}

// loudness above which a chunk counts as speech; idle lines lie below it.
const loudness = -45.0

// onsetPause is how long a speaker is quiet before a new onset counts.
const onsetPause = 300 * time.Millisecond

// add notes a chunk that was sent.
func (p *positions) add(c media.Chunk) {
	n := c.Format.Samples(len(c.Payload))
	if len(p.pieces) == 0 || p.tape(p.sent) != c.Pos {
		p.pieces = append(p.pieces, piece{stream: p.sent, tape: c.Pos})
	}
	level := media.Level(c.Format.Encoding, c.Payload)
	if sounds(c, level, p.speech) {
		p.still = 0
	} else {
		p.still += n
	}
	if level > loudness {
		if !p.spoke || p.quiet >= p.format.SamplesIn(onsetPause) {
			p.onsets = append(p.onsets, c.Pos)
		}
		p.quiet, p.spoke = 0, true
	} else {
		p.quiet += n
	}
	p.sent += n
}

// tape returns the tape position after offset samples of the stream.
func (p *positions) tape(offset int64) int64 {
	for i := len(p.pieces) - 1; i >= 0; i-- {
		if q := p.pieces[i]; q.stream < offset || i == 0 {
			return q.tape + offset - q.stream
		}
	}
	return 0
}

// start returns the tape position of the stream's first sample, end the position
// after its last.
func (p *positions) start() int64 { return p.tape(0) }
func (p *positions) end() int64   { return p.tape(p.sent) }

// at maps the end offset of a result. An offset beyond what was sent or before the
// last final is not believed.
func (p *positions) at(offset time.Duration) int64 {
	return p.tape(p.believe(offset))
}

func (p *positions) believe(offset time.Duration) int64 {
	// Rounded: Google gives offsets in steps of 10 ms or finer, samples are coarser than a nanosecond.
	n := p.format.SamplesIn(offset + time.Second/time.Duration(2*p.format.Rate))
	if got := min(max(n, p.final), p.sent); got != n {
		p.clamped++
		return got
	}
	return n
}

// overshoot is how far beyond what was sent an offset may lie and still be rounding.
const overshoot = 200 * time.Millisecond

// finalAt is at for a final: what it covers is done. A final that claims to cover
// much more than was sent covers nothing: its audio is settled by the end of the
// stream, or sent again.
func (p *positions) finalAt(offset time.Duration) int64 {
	if offset > p.duration()+overshoot {
		p.clamped++
	} else {
		p.final = p.believe(offset)
	}
	pos := p.tape(p.final)
	for len(p.onsets) > 0 && p.onsets[0] < pos {
		p.onsets = p.onsets[1:]
	}
	return pos
}

// utterance returns where the utterance that follows the last final began.
func (p *positions) utterance() int64 {
	covered := p.tape(p.final)
	if len(p.onsets) > 0 {
		return max(covered, p.onsets[0])
	}
	return covered
}

// pausing reports whether the speaker has been quiet for d.
func (p *positions) pausing(d time.Duration) bool { return p.quiet >= p.format.SamplesIn(d) }

// duration is how long the stream's audio is.
func (p *positions) duration() time.Duration { return p.format.Duration(p.sent) }
