package tape

import (
	"fmt"

	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/tape/spool"
)

// Window is how much audio stays in memory of a tape whose audio is in a spool, beside
// what the spool has not taken yet: a second of telephony. A reader at the end of the tape
// never needs the file.
const Window = blockBytes

// The reasons to discard of a tape with a spool.
const (
	DiscardSpoolFull   = "spool_full"   // memory was full, and the spool too
	DiscardSpoolFailed = "spool_failed" // memory was full and the disk failed, or it did not give back what was written
)

// NewSpooled returns an empty tape whose audio goes to files of s, so that memory
// holds little more than Window of it. While s cannot write, the tape keeps up to
// maxBytes in memory (MaxBytes when 0) and then discards the oldest of that. meta
// describes the tape to whoever recovers it. Close deletes the files.
func NewSpooled(s *spool.Spool, meta []byte, maxBytes int64) (*Tape, error) {
	t := New(maxBytes)
	file, err := s.Add(meta, spooled{t})
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.file = file
	return t, nil
}

// FromSpool returns the tape that an earlier process left behind, as if nobody wrote
// to it: what lies before settled, or was settled when it was written to the file,
// is left out, the rest is pending. Its positions are those of the earlier tape, and
// Join goes on after them. The account begins anew with what is pending; audio that
// the files lost counts as received and discarded with DiscardSpoolFailed.
func FromSpool(r *spool.Recovered, settled, maxBytes int64) (*Tape, error) {
	if settled < 0 {
		return nil, fmt.Errorf("%w: settled to %d", ErrPosition, settled)
	}
	t := New(maxBytes)
	file, err := r.Attach(spooled{t})
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.file = file
	settled = max(settled, r.Settled)
	if len(r.Records) > 0 {
		settled = max(settled, r.Records[0].Pos)
	}
	t.settled, t.sent, t.end = settled, settled, settled
	for _, rec := range r.Records {
		t.restore(rec)
	}
	t.stored = t.end
	file.Settle(t.settled)
	return t, nil
}

// restore appends what a file holds.
func (t *Tape) restore(rec spool.Record) {
	if len(t.segments) == 0 || t.segments[len(t.segments)-1].start < rec.Segment {
		t.segments = append(t.segments, segment{start: rec.Segment, format: rec.Format, arrivals: make([]arrival, 0, maxArrivals)})
	}
	if rec.End() <= t.end {
		return
	}
	if lost := rec.Pos - t.end; lost > 0 {
		t.led.Arrived += lost
		t.led.Received += lost
		t.discarded(lost, DiscardSpoolFailed)
		t.append(spanSkip, lost, nil)
	}
	seg := &t.segments[len(t.segments)-1]
	from, n := t.end, rec.End()-t.end
	switch rec.Kind {
	case spool.Audio:
		t.led.Arrived += n
		t.led.Received += n
		t.led.Pending += n
		t.append(spanCold, n, nil)
	case spool.Filled:
		t.led.Filled += n
		t.led.Pending += n
		t.append(spanFilled, n, nil)
	default:
		t.append(spanSkip, n, nil) // accounted for by the process that made it so
	}
	if !rec.Arrived.IsZero() {
		at := rec.Arrived.Add(rec.Format.Duration(from - rec.Pos))
		seg.arrive(at.Add(rec.Format.Duration(n)), n, t.end)
	}
}

// spooled is a tape as its spool sees it.
type spooled struct{ t *Tape }

// Collect hands over what is not stored; see spool.Source.
func (s spooled) Collect(dst []spool.Record, limit int) []spool.Record {
	first := len(dst)
	dst = s.t.collect(dst, limit)
	for i := first; i < len(dst); i++ { // without the lock: it takes some microseconds
		dst[i].Loud = loudness(dst[i].Format, dst[i].Payload)
	}
	return dst
}

// Stored notes what the file has; see spool.Source.
func (s spooled) Stored(pos int64) {
	t := s.t
	t.mu.Lock()
	defer t.mu.Unlock()
	t.collecting = false
	for i, b := range t.limbo {
		blocks.Put(b)
		t.limbo[i] = nil
	}
	t.limbo = t.limbo[:0]
	t.stored = max(t.stored, pos)
	t.evict(t.window)
}

func (t *Tape) collect(dst []spool.Record, limit int) []spool.Record {
	t.mu.Lock()
	defer t.mu.Unlock()
	from := max(t.stored, t.settled)
	for i := t.spanAt(from); i < len(t.spans); i++ {
		s := &t.spans[i]
		if from = max(from, s.pos); from == s.end() {
			continue
		}
		r := spool.Record{
			Pos: from, N: s.end() - from, Segment: s.seg.start, Format: s.seg.format,
			Arrived: t.at(from), Settled: t.settled,
		}
		switch s.kind {
		case spanAudio:
			r.Payload = s.bytes(from, r.N)
		case spanFilled:
			r.Kind = spool.Filled
		default:
			r.Kind = spool.Skipped
		}
		if limit -= len(r.Payload) + spool.RecordBytes; limit < 0 {
			break
		}
		dst = append(dst, r)
	}
	t.collecting = len(dst) > 0
	return dst
}

// loudness returns a bit for each levelBlock of a payload.
func loudness(f media.Format, payload []byte) (bits uint64) {
	step := int(f.Bytes(f.SamplesIn(levelBlock)))
	for i := 0; len(payload) > 0; i++ {
		k := min(step, len(payload))
		if media.Level(f.Encoding, payload[:k]) > QuietLevel {
			bits |= 1 << i
		}
		payload = payload[k:]
	}
	return bits
}

// evict frees the memory of the oldest audio that is in the file, until the tape
// holds no more than limit. The block that is being filled stays.
func (t *Tape) evict(limit int64) {
	for i := t.warm(); t.bytes > limit && i < len(t.spans)-1; i++ {
		s := &t.spans[i]
		if s.end() > t.stored {
			return
		}
		if s.block == nil {
			continue
		}
		t.free(s)
		s.kind = spanCold
		if i > t.head {
			if before := &t.spans[i-1]; before.kind == spanCold && before.seg == s.seg {
				before.n += s.n
				t.spans = append(t.spans[:i], t.spans[i+1:]...)
				i--
			}
		}
	}
}

// warm returns the index of the oldest span that has memory, len(t.spans) when none has.
func (t *Tape) warm() int {
	for i := max(t.head, t.cold); i < len(t.spans); i++ {
		if t.spans[i].block != nil {
			t.cold = i
			return i
		}
	}
	return len(t.spans)
}

// free gives back the memory of a span, once the spool does not look at it.
func (t *Tape) free(s *span) {
	if s.block == nil {
		return
	}
	if t.collecting {
		t.limbo = append(t.limbo, s.block)
	} else {
		blocks.Put(s.block)
	}
	s.block = nil
	t.bytes -= blockBytes
}

// full returns the reason to discard audio for want of memory.
func (t *Tape) full() string {
	if t.file != nil {
		switch t.file.State() {
		case spool.Full:
			return DiscardSpoolFull
		case spool.Failed:
			return DiscardSpoolFailed
		}
	}
	return DiscardBufferFull
}

// lose discards what is not settled of one span, wherever it is, so that no reader
// gets it.
func (t *Tape) lose(i int, reason string) {
	s := &t.spans[i]
	from := max(s.pos, t.settled)
	n := s.end() - from
	inFlight := max(0, min(n, t.sent-from))
	t.led.InFlight -= inFlight
	t.led.Pending -= n - inFlight
	t.discarded(n, reason)
	t.free(s)
	s.kind, s.pos, s.n = spanSkip, from, n
	t.changes++
}
