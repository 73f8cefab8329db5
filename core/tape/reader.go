package tape

import (
	"context"
	"io"
	"slices"
	"time"

	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/tape/spool"
)

// ParkAfter is how long a reader waits for audio on a track that is written to
// before it takes the track as silent (hold, a dead vendor) and returns
// media.ErrParked. Recognisers end streams that starve after about 10 s.
const ParkAfter = 5 * time.Second

// Reader reads a tape for the consumer that settles it. There is one a tape, used
// by one goroutine, except that the settling methods may come from another.
type Reader struct {
	t     *Tape
	timer *time.Timer

	// What Next reads from the file: the pieces of the chunk, and the newest record.
	cold    []coldPiece
	changes int64 // the tape's, when the pieces were listed
	rec     spool.Record
	buf     []byte // rec's
}

// Reader returns the tape's reader.
func (t *Tape) Reader() *Reader { return &Reader{t: t} }

// At returns when the audio at pos arrived; see Tape.At.
func (r *Reader) At(pos int64) time.Time { return r.t.At(pos) }

// Came returns when the frame that ends at pos arrived: exactly for the newest frames,
// smoothed like At for what is older.
func (r *Reader) Came(pos int64) time.Time {
	t := r.t
	t.mu.Lock()
	defer t.mu.Unlock()
	for n := t.frames - 1; n >= max(0, t.frames-len(t.came)) && pos <= t.end; n-- {
		if came := t.came[n%len(t.came)]; pos > came.pos && !came.at.IsZero() {
			return came.at
		}
	}
	return t.at(pos)
}

// Pos returns the position that is read next.
func (r *Reader) Pos() int64 {
	r.t.mu.Lock()
	defer r.t.mu.Unlock()
	return r.t.sent
}

// Quiet reports whether nothing that waits to be read is louder than level (media.Level of
// 20 ms).
func (r *Reader) Quiet(level float64) bool {
	t := r.t
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, pos := t.spanAt(t.sent), t.sent; i < len(t.spans); i++ {
		s := &t.spans[i]
		for pos = max(pos, s.pos); pos < s.end(); {
			n := min(s.end()-pos, max(1, s.seg.format.SamplesIn(levelBlock)))
			if s.kind != spanSkip && t.loud(s, pos, n, level) {
				return false
			}
			pos += n
		}
	}
	return true
}

// End returns the position after the newest audio.
func (r *Reader) End() int64 { return r.t.endPos() }

// Pending returns how much audio waits to be read.
func (r *Reader) Pending() time.Duration {
	r.t.mu.Lock()
	defer r.t.mu.Unlock()
	return r.t.segmentAt(r.t.end).format.Duration(r.t.led.Pending)
}

// Next returns the next d of audio, in buf's memory if that is large enough. It
// waits until so much is there, and returns less where a segment, a pause or the
// audio ends. Less than twice as much is returned whole: a piece that stays behind would
// wait for the next d, and be followed by another. It fails with media.ErrParked when
// everything was read and nobody writes, or nothing came for ParkAfter; with io.EOF after
// the last sample of an ended tape; with ctx's error.
func (r *Reader) Next(ctx context.Context, buf []byte, d time.Duration) (media.Chunk, error) {
	for idle := false; ; {
		c, end, err := r.next(buf, d, idle)
		if len(r.cold) > 0 {
			if whole, err := r.fetch(ctx, c); err != nil {
				return media.Chunk{}, err
			} else if !whole || !r.t.commit(c, r.changes) {
				continue
			}
			return c, nil
		}
		if c.Payload != nil || err != nil {
			if r.buf != nil { // back in memory
				r.rec, r.buf = spool.Record{}, nil
			}
			return c, err
		}
		timedOut, err := r.wait(ctx, ParkAfter)
		if err != nil {
			return media.Chunk{}, err
		}
		idle = timedOut && r.t.endPos() == end
	}
}

// next is one look at the tape: a chunk, or an error, or neither when the reader
// must wait. idle says that nothing was written for ParkAfter. It also returns
// where the tape ends. Where r.cold is not empty, these pieces of the chunk must be
// fetched, and the chunk committed.
func (r *Reader) next(buf []byte, d time.Duration, idle bool) (c media.Chunk, end int64, err error) {
	t := r.t
	t.mu.Lock()
	defer t.mu.Unlock()
	c, ok := r.read(buf, d, idle)
	switch {
	case ok:
	case t.ended:
		err = io.EOF
	case !t.writing || idle:
		err = media.ErrParked
	}
	return c, t.end, err
}

func (t *Tape) endPos() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.end
}

// Wait returns nil as soon as Next would give audio, io.EOF when none will come,
// or ctx's error.
func (r *Reader) Wait(ctx context.Context) error {
	for {
		r.t.mu.Lock()
		audible, ended := r.t.audible() > 0, r.t.ended
		if !audible {
			r.t.need = r.t.end + 1
		}
		r.t.mu.Unlock()
		switch {
		case audible:
			return nil
		case ended:
			return io.EOF
		}
		if _, err := r.wait(ctx, 0); err != nil {
			return err
		}
	}
}

// wait returns when the tape has news, or after limit (never when 0).
func (r *Reader) wait(ctx context.Context, limit time.Duration) (timedOut bool, err error) {
	var timeout <-chan time.Time
	if limit > 0 {
		if r.timer == nil {
			r.timer = time.NewTimer(limit)
		} else {
			r.timer.Reset(limit)
		}
		defer r.timer.Stop()
		timeout = r.timer.C
	}
	select {
	case <-r.t.wake:
		return false, nil
	case <-timeout:
		return true, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// audible skips positions that no reader gets and returns how many samples of one
// segment can be read from there.
func (t *Tape) audible() int64 {
	var n int64
	var seg segmentRef
	for i := t.spanAt(t.sent); i < len(t.spans); i++ {
		s := &t.spans[i]
		switch {
		case s.kind == spanSkip && n == 0:
			t.sent = s.end()
			if t.settled == s.pos { // nothing before it waits to be settled
				t.release(s.end(), 0, nil) // skipped positions ask nobody
				i = t.spanAt(t.sent) - 1
			}
			continue
		case s.kind == spanSkip || n > 0 && s.seg != seg:
			return n
		}
		seg = s.seg
		n += s.end() - max(s.pos, t.sent)
	}
	return n
}

// spanAt returns the index of the span that holds pos, len(t.spans) when pos is the end.
func (t *Tape) spanAt(pos int64) int {
	lo, hi := t.head, len(t.spans)
	for lo < hi {
		if mid := (lo + hi) / 2; t.spans[mid].end() <= pos {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// read takes d of audio into buf. It takes less when there cannot be more in one
// piece, or when partial says not to wait; it returns false when it took nothing.
func (r *Reader) read(buf []byte, d time.Duration, partial bool) (media.Chunk, bool) {
	t := r.t
	r.cold = r.cold[:0]
	n := t.audible()
	if n == 0 {
		t.need = t.end + 1 // told when anything comes
		if t.writing && !t.ended {
			t.need = t.end + t.segmentAt(t.end).format.SamplesIn(d)
		}
		return media.Chunk{}, false
	}
	i := t.spanAt(t.sent)
	format := t.spans[i].seg.format
	want := max(1, format.SamplesIn(d))
	whole := t.sent+n < t.end || !t.writing // more cannot join this piece
	if n < want && !whole && !partial {
		t.need = t.sent + want
		return media.Chunk{}, false
	}
	if n >= 2*want {
		n = want
	}
	c := media.Chunk{Pos: t.sent, Format: format, Payload: buf[:0]}
	at, end := t.sent, t.sent+n
	for ; at < end; i++ {
		s := &t.spans[i]
		k := min(end, s.end()) - at
		switch s.kind {
		case spanAudio:
			c.Payload = append(c.Payload, s.bytes(at, k)...)
		case spanCold:
			used := len(c.Payload)
			r.cold = append(r.cold, coldPiece{at, k, int64(used)})
			size := int(format.Bytes(k))
			c.Payload = slices.Grow(c.Payload, size)[:used+size]
		default:
			c.Payload = appendSilence(c.Payload, format, k)
		}
		at += k
	}
	if len(r.cold) > 0 {
		r.changes = t.changes
		return c, true
	}
	t.take(n, end)
	return c, true
}

// take makes n samples up to end the reader's.
func (t *Tape) take(n, end int64) {
	t.sent = end
	t.led.Pending -= n
	t.led.InFlight += n
	t.led.Sent += n
}

func appendSilence(dst []byte, f media.Format, n int64) []byte {
	b := f.Silence()
	for range f.Bytes(n) {
		dst = append(dst, b)
	}
	return dst
}
