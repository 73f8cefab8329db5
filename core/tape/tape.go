// Package tape keeps the audio of one track: appended by sample position, read by
// whoever needs it, with a ledger that says of every sample where it is. It owns
// audio in memory and its account; it knows no network and no clock but the
// arrival times that frames bring. With a spool, audio that waits long lies in files,
// whose format and disk are the business of package spool.
//
// Positions count samples from the tape's first; they go on through gaps (filled
// with silence), pauses (withheld) and changes of format.
package tape

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/tape/spool"
)

// MaxBytes is how much unsettled audio a tape keeps: four minutes of telephony.
// Past it the oldest audio is discarded, which the ledger tells.
const MaxBytes = 2 << 20

// MaxGap is the longest silence that is put in the place of audio that did not
// come. The positions of a longer gap are discarded with reason DiscardLongGap, or
// silent if the vendor announced all of it.
const MaxGap = time.Minute

// maxJump is the longest gap that is believed at all.
const maxJump = 24 * time.Hour

// The tape's own reasons to discard.
const (
	DiscardBufferFull = "buffer_full"
	DiscardLongGap    = "long_gap"
)

// Errors of Write.
var (
	ErrPosition = errors.New("tape: position is impossible")
	ErrReplaced = errors.New("tape: another segment has begun")
	ErrEnded    = errors.New("tape: has ended")
)

// Tape is the audio of one track. It is safe for concurrent use.
type Tape struct {
	mu       sync.Mutex
	maxBytes int64
	segments []segment  // by start
	came     [8]arrival // the newest frames, not smoothed: frame n at n%8
	frames   int        // written
	spans    []span     // contiguous, from settled (in spans[head]) to end
	head     int
	settled  int64 // everything before is in a final state
	sent     int64 // everything before was read
	rewound  int64 // the furthest that was ever read before a Rewind
	end      int64
	bytes    int64 // kept in blocks
	announce int64 // samples of the next gap that the vendor announced
	omitted  int64 // of them, those that it announced in a pause
	withhold bool
	held     hold
	refuse   string // not empty: everything written is discarded for this reason
	joins    int64  // counts segments; only the newest one's Writer writes
	writing  bool   // somebody may still write
	ended    bool
	left     bool // to a successor of this process: the reader discards nothing any more
	led      Ledger

	file       *spool.Tape         // nil without a spool
	window     int64               // what stays in memory of audio that is in the file
	stored     int64               // everything before is in the file, or needs no place there
	cold       int                 // no span before this one has memory
	collecting bool                // the spool looks at blocks
	limbo      []*[blockBytes]byte // freed since it does
	changes    int64               // counts what makes a chunk that is being read from the file invalid

	listening bool          // the reader waits for loud audio: what waits to be read is quiet
	need      int64         // the reader waits for this position; 0 when it does not wait
	wake      chan struct{} // holds a token when a waiting reader should look again
}

// New returns an empty tape that keeps at most maxBytes of unsettled audio
// (MaxBytes when 0).
func New(maxBytes int64) *Tape {
	if maxBytes == 0 {
		maxBytes = MaxBytes
	}
	return &Tape{maxBytes: maxBytes, window: Window, wake: make(chan struct{}, 1)}
}

// segment is a stretch in one format.
type segment struct {
	start    int64
	format   media.Format
	arrivals []arrival // by pos, the newest last; empty until known
}

// arrival says when the audio from pos on arrived.
type arrival struct {
	pos int64
	at  time.Time
}

// An arrival speaks for arrivalWindow of audio; a segment remembers the newest
// maxArrivals of them, and what is older is reckoned back from there.
const (
	arrivalWindow = 500 * time.Millisecond
	maxArrivals   = 64
)

// Writer appends the audio of one segment, until the next one begins.
type Writer struct {
	t     *Tape
	join  int64
	start int64
}

// Join begins a segment in format f and returns its writer, which counts positions
// from zero. arrived is when the first sample arrived, or zero to take the first
// frame's. The writer of the segment before is replaced.
func (t *Tape) Join(f media.Format, arrived time.Time) (*Writer, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return nil, ErrEnded
	}
	s := segment{start: t.end, format: f, arrivals: make([]arrival, 0, maxArrivals)}
	if !arrived.IsZero() {
		s.arrivals = append(s.arrivals, arrival{t.end, arrived})
	}
	t.segments = append(t.segments, s)
	t.forgetSegments()
	t.writing, t.announce, t.omitted = true, 0, 0
	t.joins++
	t.signal()
	return &Writer{t: t, join: t.joins, start: t.end}, nil
}

// Start returns the position of the segment's first sample on the tape.
func (w *Writer) Start() int64 { return w.start }

// Next returns the position, in the segment, of the sample that follows the last.
func (w *Writer) Next() int64 {
	w.t.mu.Lock()
	defer w.t.mu.Unlock()
	return w.t.end - w.start
}

// forgetSegments keeps the table short on a leg that joins again and again.
func (t *Tape) forgetSegments() {
	const keep = 64
	if n := len(t.segments) - keep; n > 0 && t.segments[n].start < t.settled {
		t.segments = append([]segment(nil), t.segments[n:]...)
	}
}

// segmentAt returns the segment that pos belongs to, by value; the zero segment
// when there is none.
func (t *Tape) segmentAt(pos int64) segment {
	for i := len(t.segments) - 1; i >= 0; i-- {
		if t.segments[i].start <= pos {
			return t.segments[i]
		}
	}
	return segment{format: media.Telephony}
}

// Write appends a frame. Audio that is there already counts as duplicate, audio
// that comes too late as late, and a jump forward is filled with silence. It never
// waits for a reader. After the next Join it fails with ErrReplaced, and the audio
// counts as duplicate.
func (w *Writer) Write(f media.Frame) error {
	t := w.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return ErrEnded
	}
	seg := &t.segments[len(t.segments)-1]
	format := seg.format
	n := format.Samples(len(f.Payload))
	pos := seg.start + f.Pos
	if w.join == t.joins && (f.Pos < 0 || pos-t.end > format.SamplesIn(maxJump)) {
		return fmt.Errorf("%w: sample %d of a segment, %d after the last", ErrPosition, f.Pos, pos-t.end)
	}
	t.led.Arrived += n
	if w.join != t.joins {
		t.led.Duplicate += n
		return ErrReplaced
	}
	if pos > t.end {
		t.gap(pos-t.end, format)
	}
	var known int64 // samples at the frame's start that have their place already
	if pos < t.end {
		known = min(n, t.end-pos)
		if t.filledAt(pos) {
			t.led.Late += known
		} else {
			t.led.Duplicate += known
		}
		if known == n {
			return nil
		}
	}
	fresh := n - known
	t.led.Received += fresh
	switch {
	case t.withhold:
		t.led.Withheld += fresh
		t.append(spanSkip, fresh, nil)
	case t.refuse != "":
		t.discarded(fresh, t.refuse)
		t.append(spanSkip, fresh, nil)
	default:
		t.led.Pending += fresh
		t.append(spanAudio, fresh, f.Payload[format.Bytes(known):format.Bytes(n)])
		t.bound()
	}
	if t.held == holdOver {
		t.held = holdNone
	}
	seg.arrive(f.Arrived, fresh, t.end)
	t.came[t.frames%len(t.came)] = arrival{t.end - fresh, f.Arrived}
	t.frames++
	if t.need > 0 && t.end >= t.need {
		t.signal()
	}
	return nil
}

// gap fills n samples that did not come.
func (t *Tape) gap(n int64, f media.Format) {
	t.led.Filled += n
	if omitted := min(n, t.omitted); omitted > 0 {
		t.omitted -= omitted
		t.announce -= omitted
		t.led.Withheld += omitted
		t.append(spanSkip, omitted, nil)
		if n -= omitted; n == 0 {
			return
		}
	}
	announced := min(n, t.announce)
	t.announce -= announced
	if t.held != holdNone {
		announced = n
	}
	if lost := n - announced; lost > 0 && !t.withhold {
		t.led.Lost += lost
		t.led.Gaps++
	}
	switch {
	case t.withhold:
		t.led.Withheld += n
		t.append(spanSkip, n, nil)
	case t.refuse != "":
		t.discarded(n, t.refuse)
		t.append(spanSkip, n, nil)
	case f.Duration(n) > MaxGap && announced == n:
		t.led.Silent += n
		t.append(spanSkip, n, nil)
	case f.Duration(n) > MaxGap:
		t.discarded(n, DiscardLongGap)
		t.append(spanSkip, n, nil)
	default:
		t.led.Pending += n
		t.append(spanFilled, n, nil)
	}
}

// bound discards the oldest audio while the tape holds too much in memory. What is
// in the file stays, though it is older.
func (t *Tape) bound() {
	if t.bytes > t.maxBytes && t.file != nil {
		t.evict(t.maxBytes)
	}
	for t.bytes > t.maxBytes && t.head < len(t.spans) {
		if i := t.warm(); i > t.head && t.file != nil {
			t.lose(i, t.full())
		} else {
			t.discard(t.spans[t.head].end(), t.full())
		}
	}
}

// Announce says that the next gap of n samples is the vendor's doing (DTX), not loss. Said
// in a pause, it is what the vendor did not send because of it: it counts as withheld,
// though the gap shows only when audio comes again.
func (t *Tape) Announce(n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n = max(0, n)
	t.announce += n
	if t.withhold {
		t.omitted += n
	}
}

// hold says whether the vendor said that audio may stop.
type hold uint8

const (
	holdNone hold = iota
	holdOn
	holdOver // the gap before the next frame belongs to it still
)

// Hold says that the vendor put the leg on hold, or that this is over: gaps meanwhile
// are its doing, not loss.
func (t *Tape) Hold(on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case on:
		t.held = holdOn
	case t.held == holdOn:
		t.held = holdOver
	}
}

// Dropped reports samples that the adapter threw away: as duplicate, late, or for
// another reason.
func (t *Tape) Dropped(n int64, reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch n = max(0, n); reason {
	case "duplicate":
		t.led.Arrived += n
		t.led.Duplicate += n
	case "late":
		t.led.Arrived += n
		t.led.Late += n
	default:
		t.led.AdapterDropped += n
	}
}

// Withhold starts or ends a pause: audio that is written meanwhile is neither kept
// nor read, and its positions count as withheld.
func (t *Tape) Withhold(on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.withhold = on
	t.signal()
}

// Refuse discards what is not settled and everything that is written from now on,
// for reason: a voice that nobody wants to hear. An empty reason ends that.
func (t *Tape) Refuse(reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.refuse = reason; reason != "" {
		t.discard(t.end, reason)
	}
	t.signal()
}

// Park says that nobody writes for now, so that a reader need not wait for more;
// the next Join undoes it.
func (t *Tape) Park() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.writing = false
	t.signal()
}

// End says that nothing will be written any more.
func (t *Tape) End() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.writing, t.ended = false, true
	t.signal()
}

// Leave says that a successor of this process goes on with the tape: what the reader
// gives up from now on stays, and without Close in the files, too.
func (t *Tape) Leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.left = true
}

// Close ends the tape and discards what nobody settled, for reason. It frees all
// memory, and has the files deleted.
func (t *Tape) Close(reason string) {
	t.End()
	t.mu.Lock()
	t.discard(t.end, reason)
	file := t.file
	t.mu.Unlock()
	if file != nil {
		file.Remove()
	}
}

// signal makes a waiting reader look again.
func (t *Tape) signal() {
	t.need = 0
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// arrive notes that the audio up to end had arrived at at. Audio cannot be older
// than its arrival, so the least delay within a window counts: that absorbs jitter
// and follows the drift of the vendor's clock.
func (s *segment) arrive(at time.Time, n, end int64) {
	if len(s.arrivals) == 0 || end-s.newest().pos > s.format.SamplesIn(arrivalWindow) {
		if len(s.arrivals) == maxArrivals {
			s.arrivals = append(s.arrivals[:0], s.arrivals[maxArrivals/2:]...)
		}
		s.arrivals = append(s.arrivals, arrival{end - n, at.Add(-s.format.Duration(n))})
		return
	}
	newest := s.newest()
	if least := at.Add(-s.format.Duration(end - newest.pos)); least.Before(newest.at) {
		newest.at = least
	}
}

func (s *segment) newest() *arrival { return &s.arrivals[len(s.arrivals)-1] }

// At returns when the audio at pos arrived, on the local clock, smoothed. It is
// zero before the first frame.
func (t *Tape) At(pos int64) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.at(pos)
}

// LastArrival returns when the newest audio arrived; zero before the first frame.
func (t *Tape) LastArrival() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.at(t.end)
}

// Format returns the format of the newest segment, media.Telephony before the first.
func (t *Tape) Format() media.Format {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.segmentAt(t.end).format
}

func (t *Tape) at(pos int64) time.Time {
	s := t.segmentAt(pos)
	next := len(s.arrivals)
	for next > 1 && s.arrivals[next-1].pos > pos {
		next--
	}
	if next == 0 {
		return time.Time{}
	}
	a := s.arrivals[next-1]
	at := a.at.Add(s.format.Duration(pos - a.pos))
	if next < len(s.arrivals) && at.After(s.arrivals[next].at) {
		return s.arrivals[next].at // never later than what follows
	}
	return at
}
