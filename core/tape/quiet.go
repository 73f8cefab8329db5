package tape

import (
	"context"
	"io"
	"time"
)

// A reader that waits for speech looks at what came each lookEvery, and at no more
// than lookAtMost at a time, as the writer waits meanwhile.
const (
	lookEvery  = 100 * time.Millisecond
	lookAtMost = 10 * time.Second
)

// WaitLoud returns nil as soon as audio above level (media.Level of 20 ms) waits to be
// read. Quieter audio before it is settled as silent without being read, except the
// last keep of it: a word may begin softly. It fails with io.EOF when the tape has ended
// and all of it is quiet, or with ctx's error. spared says how many of the settled
// samples had been read before the last Rewind: they are not replayed after all.
//
// What is read must be settled. Audio that is in the file alone counts as loud below
// QuietLevel, which is all that the file knows.
func (r *Reader) WaitLoud(ctx context.Context, level float64, keep time.Duration) (spared int64, err error) {
	for q := (quiet{level: level, keep: keep}); ; {
		q.partial, err = r.waitLook(ctx, &q)
		spared += q.spared
		if err != nil || q.loud {
			return spared, err
		}
	}
}

// quiet is how far a wait for loud audio has come.
type quiet struct {
	level   float64
	keep    time.Duration
	pos     int64 // nothing loud lies between the reader and this
	partial bool  // the end may be less than a block: nothing came for a while
	loud    bool
	spared  int64 // by the last look
}

// waitLook looks, and waits for more unless that was enough.
func (r *Reader) waitLook(ctx context.Context, q *quiet) (timedOut bool, err error) {
	t := r.t
	t.mu.Lock()
	more := t.skipQuiet(q)
	done, unseen := t.ended && !more, q.pos < t.end
	t.listening = !q.loud && !done
	if !q.loud && !done && !more {
		t.need = t.end + t.segmentAt(t.end).format.SamplesIn(lookEvery)
	}
	t.mu.Unlock()
	switch {
	case q.loud:
		return false, nil
	case done:
		return false, io.EOF
	case more:
		return q.partial, ctx.Err()
	}
	limit := time.Duration(0)
	if unseen {
		limit = ParkAfter
	}
	return r.wait(ctx, limit)
}

// skipQuiet looks for loud audio from q.pos on, and settles what is quiet and not to
// be kept. It returns true when it has not looked at everything.
func (t *Tape) skipQuiet(q *quiet) (more bool) {
	q.spared = 0
	t.audible() // leaves skipped positions behind
	q.pos = max(q.pos, t.sent)
	format := t.segmentAt(q.pos).format
	limit := q.pos + format.SamplesIn(lookAtMost)
	for i := t.spanAt(q.pos); i < len(t.spans) && !q.loud; i = t.spanAt(q.pos) {
		s := &t.spans[i]
		if more = q.pos >= limit; more {
			break
		}
		if s.kind == spanSkip {
			q.pos = s.end()
			continue
		}
		format = s.seg.format
		block := format.SamplesIn(levelBlock)
		n := min(block, s.end()-q.pos)
		if n < block && q.pos+n == t.end && t.writing && !t.ended && !q.partial {
			break
		}
		if q.loud = t.loud(s, q.pos, n, q.level); !q.loud {
			q.pos += n
		}
	}
	until := q.pos - format.SamplesIn(q.keep)
	if t.ended && !q.loud && !more {
		until = q.pos
	}
	if t.led.InFlight > 0 {
		return more
	}
	t.release(until, 0, func(_ *span, n int64) bool {
		t.led.Pending -= n
		t.led.Silent += n
		q.spared += max(0, min(n, t.rewound-t.settled))
		return true
	})
	t.led.Replayed -= q.spared
	t.sent = max(t.sent, t.settled)
	return more
}
