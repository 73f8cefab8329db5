package tape

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/tape/spool"
)

// coldPiece is a part of a chunk that lies in the file.
type coldPiece struct {
	pos, n int64
	at     int64 // where it goes in the payload
}

// What a reader does about a disk that does not give audio back.
const (
	readAttempts = 3
	readPause    = 100 * time.Millisecond
)

// fetch fills in the pieces of c that lie in the file. It returns false when c must
// be read again, because the tape has changed or a piece is lost.
func (r *Reader) fetch(ctx context.Context, c media.Chunk) (bool, error) {
	for _, p := range r.cold {
		for p.n > 0 {
			rec, err := r.record(ctx, p.pos)
			if err != nil {
				if ctx.Err() == nil {
					r.t.unreadable(p.pos, r.changes)
				}
				return false, ctx.Err()
			}
			n := min(p.n, rec.End()-p.pos)
			from := c.Format.Bytes(p.pos - rec.Pos)
			copy(c.Payload[p.at:], rec.Payload[from:from+c.Format.Bytes(n)])
			p = coldPiece{p.pos + n, p.n - n, p.at + c.Format.Bytes(n)}
		}
	}
	return true, nil
}

// record returns the file's record at pos; the newest one is remembered.
func (r *Reader) record(ctx context.Context, pos int64) (spool.Record, error) {
	if r.rec.Pos <= pos && pos < r.rec.End() {
		return r.rec, nil
	}
	r.rec = spool.Record{}
	for attempt := 1; ; attempt++ {
		if r.buf == nil {
			r.buf = make([]byte, 0, spool.MaxSealed)
		}
		rec, err := r.t.file.Read(pos, r.buf)
		if err == nil {
			r.rec = rec
			return rec, nil
		}
		if attempt == readAttempts || errors.Is(err, spool.ErrNotStored) || errors.Is(err, spool.ErrDamaged) {
			return spool.Record{}, err
		}
		select {
		case <-time.After(readPause):
		case <-ctx.Done():
			return spool.Record{}, ctx.Err()
		}
	}
}

// commit makes a chunk that was read without the lock the reader's, unless the tape
// has changed since.
func (t *Tape) commit(c media.Chunk, changes int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.changes != changes || t.sent != c.Pos {
		return false
	}
	t.take(c.Format.Samples(len(c.Payload)), c.End())
	return true
}

// unreadable discards the record at pos, unless the tape has changed since.
func (t *Tape) unreadable(pos, changes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := t.spanAt(pos)
	if t.changes != changes || i == len(t.spans) || t.spans[i].kind != spanCold {
		return
	}
	s := &t.spans[i]
	if settled := t.settled - s.pos; settled > 0 { // it has no memory, so its start can move
		s.pos, s.n = t.settled, s.n-settled
	}
	from, to := t.file.Extent(pos)
	t.cut(i, to)
	if t.cut(i, from) {
		i++
	}
	t.lose(i, DiscardSpoolFailed)
}

// cut makes two spans of a cold one, if pos lies within it.
func (t *Tape) cut(i int, pos int64) bool {
	s := &t.spans[i]
	if pos <= s.pos || pos >= s.end() {
		return false
	}
	rest := span{kind: s.kind, pos: pos, n: s.end() - pos, seg: s.seg}
	s.n = pos - s.pos
	t.spans = slices.Insert(t.spans, i+1, rest)
	return true
}
