package tape

import (
	"fmt"
	"maps"
	"time"

	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/tape/spool"
)

// Ledger is the account of every sample of a tape, in samples. Each position of
// the tape is in exactly one state; see Balanced.
type Ledger struct {
	// What came in.
	Arrived   int64 `json:"arrived" doc:"Samples that the adapter delivered or reported as thrown away."`
	Received  int64 `json:"received" doc:"Samples that got a place on the tape."`
	Duplicate int64 `json:"duplicate" doc:"Samples that were there already."`
	Late      int64 `json:"late" doc:"Samples whose place had been filled with silence."`

	// Filled is silence in the place of audio that did not come; Lost is the part of
	// it that nothing announced, in Gaps pieces.
	Filled int64 `json:"filled"`
	Lost   int64 `json:"lost"`
	Gaps   int64 `json:"gaps"`

	// Where it is.
	Pending      int64            `json:"pending" doc:"Not sent yet."`
	InFlight     int64            `json:"in_flight" doc:"Sent, not settled."`
	Recognised   int64            `json:"recognised" doc:"Covered by a final transcript."`
	Silent       int64            `json:"silent" doc:"Settled without words, and quiet."`
	Unrecognised int64            `json:"unrecognised" doc:"Settled without words, though not quiet."`
	Withheld     int64            `json:"withheld" doc:"A pause was ordered: neither kept nor sent."`
	Discarded    map[string]int64 `json:"discarded,omitempty" doc:"Given up, by reason."`

	// What was sent, replays included.
	Sent     int64 `json:"sent"`
	Replayed int64 `json:"replayed"`

	// AdapterDropped is what the adapter or the seam says it threw away for other
	// reasons than duplicate or late; on the tape it shows as Lost.
	AdapterDropped int64 `json:"adapter_dropped,omitempty"`
}

// Balanced returns nil when the account adds up: received + filled is the sum of
// all states, and arrived = received + duplicate + late.
func (l Ledger) Balanced() error {
	states := l.Pending + l.InFlight + l.Recognised + l.Silent + l.Unrecognised + l.Withheld
	for _, n := range l.Discarded {
		states += n
	}
	if got := l.Received + l.Filled; got != states {
		return fmt.Errorf("tape: ledger out of balance: received %d + filled %d = %d; states add up to %d", l.Received, l.Filled, got, states)
	}
	if sum := l.Received + l.Duplicate + l.Late; l.Arrived != sum {
		return fmt.Errorf("tape: ledger out of balance: arrived %d; received, duplicate and late add up to %d", l.Arrived, sum)
	}
	return nil
}

// Settled reports whether no position is pending or in flight.
func (l Ledger) Settled() bool { return l.Pending == 0 && l.InFlight == 0 }

// Ledger returns the account as it stands.
func (t *Tape) Ledger() Ledger {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.led
	l.Discarded = maps.Clone(l.Discarded)
	return l
}

// QuietLevel is the loudness (media.Level) above which audio counts as more than
// silence. Idle telephone lines lie below -50 dBFS, speech above -35.
const QuietLevel = -45.0

// levelBlock is the stretch over which loudness is judged.
const levelBlock = spool.LevelBlock

// Recognised settles everything before pos as covered by a final.
func (r *Reader) Recognised(pos int64) {
	t := r.t
	t.mu.Lock()
	defer t.mu.Unlock()
	t.release(min(pos, t.sent), 0, func(_ *span, n int64) bool {
		t.led.InFlight -= n
		t.led.Recognised += n
		return true
	})
}

// Settle settles everything before pos after a clean end without a final for it:
// as silent or unrecognised, by its loudness.
func (r *Reader) Settle(pos int64) {
	t := r.t
	t.mu.Lock()
	defer t.mu.Unlock()
	t.release(min(pos, t.sent), levelBlock, func(s *span, n int64) bool {
		t.led.InFlight -= n
		if t.loud(s, t.settled, n, QuietLevel) {
			t.led.Unrecognised += n
		} else {
			t.led.Silent += n
		}
		return true
	})
}

// SettleQuiet settles quiet audio that was sent and is older than age, up to the
// first audio that is not quiet. It is called while no interim is open.
func (r *Reader) SettleQuiet(age time.Duration) {
	t := r.t
	t.mu.Lock()
	defer t.mu.Unlock()
	limit := min(t.sent, t.end-t.segmentAt(t.end).format.SamplesIn(age))
	t.release(limit, levelBlock, func(s *span, n int64) bool {
		if t.loud(s, t.settled, n, QuietLevel) {
			return false
		}
		t.led.InFlight -= n
		t.led.Silent += n
		return true
	})
}

// Discard gives up everything before pos that is not settled, sent or not; after
// Tape.Leave nothing.
func (r *Reader) Discard(pos int64, reason string) {
	t := r.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.left {
		t.discard(min(pos, t.end), reason)
	}
}

// Rewind goes back to the oldest audio that is not settled, after an unclean end.
// It returns that position and how many samples had been sent already.
func (r *Reader) Rewind() (pos, replayed int64) {
	t := r.t
	t.mu.Lock()
	defer t.mu.Unlock()
	replayed = t.led.InFlight
	t.rewound = max(t.rewound, t.sent)
	t.led.Pending += replayed
	t.led.InFlight = 0
	t.led.Replayed += replayed
	t.sent = t.settled
	t.changes++
	return t.settled, replayed
}

// discard moves everything before pos to Discarded.
func (t *Tape) discard(pos int64, reason string) {
	t.release(pos, 0, func(_ *span, n int64) bool {
		inFlight := max(0, min(n, t.sent-t.settled))
		t.led.InFlight -= inFlight
		t.led.Pending -= n - inFlight
		t.discarded(n, reason)
		return true
	})
	t.sent = max(t.sent, t.settled)
	t.changes++
}

func (t *Tape) discarded(n int64, reason string) {
	if t.led.Discarded == nil {
		t.led.Discarded = make(map[string]int64)
	}
	t.led.Discarded[reason] += n
}

// release moves the settled position towards pos, in steps (whole spans when 0).
// For each step of audio or filled silence it asks take, which accounts for the n
// samples of s from t.settled, or refuses and thereby ends the walk. Memory before
// the settled position is freed.
func (t *Tape) release(pos int64, step time.Duration, take func(s *span, n int64) bool) {
	for t.settled < pos && t.head < len(t.spans) {
		s := &t.spans[t.head]
		n := min(pos, s.end()) - t.settled
		if s.kind != spanSkip {
			if step > 0 {
				n = min(n, s.seg.format.SamplesIn(step))
			}
			if !take(s, n) {
				return
			}
		}
		t.settled += n
		if t.settled == s.end() {
			t.dropHead()
		}
	}
	if t.file != nil {
		t.file.Settle(t.settled)
	}
}

// loud judges the n samples of s from pos. Of cold audio only QuietLevel is known:
// with a lower level it counts as loud.
func (t *Tape) loud(s *span, pos, n int64, level float64) bool {
	switch s.kind {
	case spanAudio:
		return media.Level(s.seg.format.Encoding, s.bytes(pos, n)) > level
	case spanCold:
		return level < QuietLevel || t.file.Loud(s.seg.format, pos, n)
	default:
		return false
	}
}
