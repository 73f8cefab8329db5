package hear

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/patchbay/patchbay/core/emulator/recordings"
	"github.com/patchbay/patchbay/core/media"
)

// The numbers of Script. A lock needs lockPoints levels, one every lockStride
// ticks, that follow a recording's shape: 1.3 s of audio, mostly speech. A search
// costs about 65 multiplications for each 10 ms of recordings.
const (
	lockPoints      = 65
	lockStride      = 2
	lockSpan        = (lockPoints - 1) * lockStride
	lockSpeech      = 42   // of the points must be louder than speechLevel
	lockCorrelation = 0.94 // of 1, the least that is taken for a match
	minDeviation    = 4    // dB; flatter audio has no shape to compare
	speechLevel     = -48  // dBFS

	searchEvery  = 10  // ticks between two searches
	searchSlowly = 100 // ticks between two, when nothing was found for long
	searchLong   = 500 // ticks of searching that count as long

	wordTolerance = 7    // dB of mean difference up to which a word was heard
	wordClip      = 20   // dB that one level counts at most
	wordTicks     = 8    // least ticks that are compared
	lostWords     = 2    // missed in a row, the position is lost
	endpointTicks = 40   // after its last word an utterance is final
	historyTicks  = 4096 // of levels are kept, a power of two: 40 s
)

// Script recognises recordings that it knows, from any position in them, in any
// format, and says nothing about other audio. Which words it reports is decided
// by what it hears: a word whose sound is missing is not reported.
type Script struct{ tracks []*track }

// track is one channel of a recording.
type track struct {
	language string
	levels   []float32
	sum, sq  []float64 // running sums of levels and squares, every lockStride
	words    []timedWord
}

type timedWord struct {
	text       string
	utterance  int
	start, end int64 // ticks
}

// NewScript prepares recordings for recognition.
func NewScript(list []recordings.Recording) (*Script, error) {
	s := &Script{}
	var problems []error
	for _, r := range list {
		audio, err := r.Audio()
		if err != nil {
			problems = append(problems, err)
			continue
		}
		for c, samples := range audio.Channels {
			t := &track{language: r.Language}
			m := meter{format: media.Format{Encoding: media.Linear16, Rate: audio.Rate}}
			m.add(samples, func(l float32) { t.levels = append(t.levels, l) })
			t.sum, t.sq = running(t.levels)
			for i, u := range r.Utterances {
				if u.Channel != c {
					continue
				}
				for _, w := range u.Words {
					t.words = append(t.words, timedWord{w.Text, i, ticks(w.Start), ticks(w.End)})
				}
			}
			if n := len(t.words); n > 0 && t.words[n-1].end > int64(len(t.levels)) {
				problems = append(problems, fmt.Errorf("hear: %s: channel %d ends before its last word", r.Name, c))
			}
			s.tracks = append(s.tracks, t)
		}
	}
	return s, errors.Join(problems...)
}

func ticks(d time.Duration) int64 { return int64(d / (time.Second / ticksPerSecond)) }

func running(levels []float32) (sum, sq []float64) {
	sum, sq = make([]float64, len(levels)), make([]float64, len(levels))
	for i, l := range levels {
		v := float64(l)
		sum[i], sq[i] = v, v*v
		if i >= lockStride {
			sum[i] += sum[i-lockStride]
			sq[i] += sq[i-lockStride]
		}
	}
	return sum, sq
}

// Listen implements Recognizer. Only recordings in the stream's language are
// known to it; an empty language means all.
func (s *Script) Listen(f media.Format, language string) Listener {
	l := &scriptListener{meter: meter{format: f}}
	for _, t := range s.tracks {
		if language == "" || sameLanguage(t.language, language) {
			l.tracks = append(l.tracks, t)
		}
	}
	return l
}

func sameLanguage(a, b string) bool {
	a, _, _ = strings.Cut(a, "-")
	b, _, _ = strings.Cut(b, "-")
	return strings.EqualFold(a, b)
}

type scriptListener struct {
	tracks []*track
	meter  meter
	emit   func(Event)

	history [historyTicks]float32 // levels by tick, a ring
	heard   int64                 // ticks so far
	search  int64                 // tick of the next search
	speech  int64                 // ticks searched since the last lock

	track  *track // found; nil while searching
	offset int64  // tick heard minus tick of the track
	gain   float32
	next   int // word of the track that comes next
	missed int

	utterance utterance
	which     int   // utterance of the track that is open
	free      int64 // first tick heard that no reported word covers
}

func (l *scriptListener) Write(payload []byte, emit func(Event)) {
	if len(l.tracks) == 0 {
		return
	}
	l.emit = emit
	const piece = 16 << 10 // keeps the history long enough for any payload
	for len(payload) > piece {
		l.meter.write(payload[:piece], l.level)
		payload = payload[piece:]
	}
	l.meter.write(payload, l.level)
}

func (l *scriptListener) Close(emit func(Event)) {
	l.emit = emit
	l.utterance.close(emit)
}

// level takes the next tick.
func (l *scriptListener) level(v float32) {
	l.history[l.heard%historyTicks] = v
	l.heard++
	if l.track == nil && l.heard >= l.search {
		l.find()
	}
	if l.track != nil {
		l.follow()
	}
}

// at returns the level heard at a tick; ok is false when it is forgotten.
func (l *scriptListener) at(tick int64) (v float32, ok bool) {
	if tick < 0 || tick >= l.heard || tick < l.heard-historyTicks {
		return 0, false
	}
	return l.history[tick%historyTicks], true
}

// find looks for the newest levels in all tracks.
func (l *scriptListener) find() {
	var shape [lockPoints]float32
	mean, ok := l.shape(&shape)
	if !ok {
		l.search = l.heard + 1
		return
	}
	wait := int64(searchEvery)
	if l.speech += wait; l.speech > searchLong {
		wait = searchSlowly
	}
	l.search = l.heard + wait
	var best float64
	var found *track
	var at int
	for _, t := range l.tracks {
		for r := 0; r+lockSpan < len(t.levels); r++ {
			if c := t.correlate(&shape, r); c > best {
				best, found, at = c, t, r
			}
		}
	}
	if best < lockCorrelation {
		return
	}
	l.track, l.offset, l.missed, l.speech = found, l.heard-1-lockSpan-int64(at), 0, 0
	l.gain = mean - float32(found.mean(at))
	for l.next = 0; l.next < len(found.words) && found.words[l.next].start+l.offset < l.free; l.next++ {
		continue
	}
}

// shape fills in the newest levels, centred and of length one. ok is false when
// they are no speech or too flat.
func (l *scriptListener) shape(out *[lockPoints]float32) (mean float32, ok bool) {
	if l.heard <= lockSpan {
		return 0, false
	}
	loud := 0
	for i := range out {
		v := l.history[(l.heard-1-lockSpan+int64(i*lockStride))%historyTicks]
		out[i] = v
		mean += v
		if v > speechLevel {
			loud++
		}
	}
	if loud < lockSpeech {
		return 0, false
	}
	mean /= lockPoints
	var sq float32
	for i := range out {
		out[i] -= mean
		sq += out[i] * out[i]
	}
	if sq < lockPoints*minDeviation*minDeviation {
		return 0, false
	}
	norm := 1 / float32(math.Sqrt(float64(sq)))
	for i := range out {
		out[i] *= norm
	}
	return mean, true
}

// window returns sum and sum of squares of the lockPoints levels from r.
func (t *track) window(r int) (sum, sq float64) {
	sum, sq = t.sum[r+lockSpan], t.sq[r+lockSpan]
	if r >= lockStride {
		sum -= t.sum[r-lockStride]
		sq -= t.sq[r-lockStride]
	}
	return sum, sq
}

func (t *track) mean(r int) float64 {
	sum, _ := t.window(r)
	return sum / lockPoints
}

// correlate compares a centred shape of length one with the levels from r: 1 is
// the same shape.
func (t *track) correlate(shape *[lockPoints]float32, r int) float64 {
	sum, sq := t.window(r)
	deviation := sq - sum*sum/lockPoints
	if deviation < lockPoints*minDeviation*minDeviation/2 {
		return 0
	}
	levels := t.levels[r : r+lockSpan+1]
	var dot float32
	for i, v := range shape {
		dot += v * levels[i*lockStride]
	}
	return float64(dot) / math.Sqrt(deviation)
}

// follow reports the words of the track that have passed.
func (l *scriptListener) follow() {
	now := l.heard - l.offset // tick of the track
	added := false
	for l.next < len(l.track.words) && l.track.words[l.next].end < now {
		w := l.track.words[l.next]
		l.next++
		if l.utterance.open && w.utterance != l.which {
			l.utterance.close(l.emit)
			added = false
		}
		if !l.sounds(w) {
			if w.end+l.offset >= l.heard-endpointTicks { // not while catching up after a lock
				l.missed++
			}
			continue
		}
		l.missed, added = 0, true
		l.which, l.free = w.utterance, w.end+l.offset
		l.utterance.language = l.track.language
		l.utterance.add(Word{w.text, l.meter.boundary(max(0, w.start+l.offset)), l.meter.boundary(w.end + l.offset)}, l.emit)
	}
	lost := l.missed >= lostWords
	if l.utterance.open && (lost || l.ended(now)) {
		l.utterance.close(l.emit)
		added = false
	}
	if added {
		l.utterance.interim(l.emit)
	}
	if lost || l.next == len(l.track.words) && !l.utterance.open {
		l.track, l.search = nil, l.heard
	}
}

// ended reports whether the open utterance has no more words and is over.
func (l *scriptListener) ended(now int64) bool {
	if l.next < len(l.track.words) && l.track.words[l.next].utterance == l.which {
		return false
	}
	return now >= l.free-l.offset+endpointTicks
}

// sounds compares what was heard with what a word sounds like.
func (l *scriptListener) sounds(w timedWord) bool {
	var sum float32
	n := 0
	for tick := w.start; tick < max(w.end, w.start+wordTicks) && tick < int64(len(l.track.levels)); tick++ {
		v, ok := l.at(tick + l.offset)
		if !ok {
			continue
		}
		d := v - max(quietLevel, l.track.levels[tick]+l.gain)
		sum += min(wordClip, max(d, -d))
		n++
	}
	return n >= wordTicks/2 && sum <= wordTolerance*float32(n)
}
