package assist

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/patchbay/patchbay/core/media"
)

// sendTimeout bounds one send: the connection or the server is stuck.
const sendTimeout = 10 * time.Second

// starveAfter is how long a stream may go without audio; the API ends it after
// about 10 s. It is longer than tapes take to notice, so that it seldom counts.
const starveAfter = 7 * time.Second

// feed sends audio, c first, until there is a reason to stop. A chunk that was read
// and not sent is held for the next stream.
func (st *stream) feed(ctx context.Context, c media.Chunk, stalled *time.Timer) cause {
	t, o := st.t, &st.t.s.pool.opts
	hard := time.AfterFunc(o.wall(st.marks.Hard), func() { st.stop(causeForced) })
	defer hard.Stop()
	starved := time.AfterFunc(o.wall(starveAfter), func() { st.stop(causeParked) })
	defer starved.Stop()
	pace := newPace(o)
	for settled := time.Duration(0); ; {
		sent := st.sending(c) // before its result can come
		stalled.Reset(sendTimeout)
		err := st.wire.send(t.encode(c))
		stalled.Stop()
		if err != nil {
			return causeServer // the receiver learns why
		}
		t.handedOver(c.End())
		starved.Reset(o.wall(starveAfter))
		if sent-settled >= time.Second && !t.results.open.Load() {
			t.audio.SettleQuiet(quietAge)
			settled = sent
		}
		switch {
		case sent+2*chunk > st.marks.Hard: // which the next may have
			return causeForced
		case st.age() >= st.marks.pauseMark() && st.pausing() && st.mayRotate():
			return causePlanned
		case st.silent():
			return causeParked
		case pace.wait(ctx, c.Format.Duration(c.End()-c.Pos), sent) != nil:
			return stopCause(ctx)
		}
		c, err = t.next(ctx)
		switch {
		case errors.Is(err, media.ErrParked):
			return causeParked
		case errors.Is(err, io.EOF):
			return causeEnd
		case err != nil:
			return stopCause(ctx)
		case ctx.Err() != nil:
			t.held = &c
			return stopCause(ctx)
		case c.Format != st.pos.format:
			t.held = &c
			return causeFormat
		case t.languageOf(c) != t.spoken:
			t.held = &c
			return causeLanguage
		case t.cut(st.pos.start(), c.Pos):
			t.held = &c
			return causeClient
		}
	}
}

// quietAge is how old quiet audio must be to count as silent while no interim is
// open: a recogniser may still make words of what is younger.
const quietAge = 10 * time.Second

// stopCause says why the feeding context ended.
func stopCause(ctx context.Context) cause {
	if why, ok := errors.AsType[cause](context.Cause(ctx)); ok {
		return why
	}
	return causeAbandoned
}

// encode returns the chunk's audio in the stream's format.
func (t *track) encode(c media.Chunk) []byte {
	if c.Format.Encoding != media.ALaw {
		return c.Payload
	}
	t.linear = media.AppendLinear(t.linear[:0], c.Format.Encoding, c.Payload)
	t.coded = media.AppendEncoded(t.coded[:0], media.Linear16, t.linear)
	return t.coded
}

// sending notes a chunk that is being sent and returns how much the stream has got.
func (st *stream) sending(c media.Chunk) time.Duration {
	st.t.s.pool.stats.SamplesSent.Add(c.End() - c.Pos)
	st.mu.Lock()
	defer st.mu.Unlock()
	st.pos.add(c)
	return st.pos.duration()
}

func (st *stream) pausing() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.pos.pausing(cutPause)
}

// mayRotate reports whether the stream may make way for the next: the soft mark is
// past and the governor has a start. When starts are short it moves towards the hard
// mark.
func (st *stream) mayRotate() bool {
	age := st.age()
	if age < st.marks.Soft {
		return false
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.promised {
		return true
	}
	far := float64(age-st.marks.Soft) / float64(max(1, st.marks.Hard-st.marks.Soft))
	st.promised = st.t.s.pool.governor.promise(st.t.need, far)
	if !st.promised && !st.waits {
		st.waits = true
		st.t.s.pool.stats.RotationsMoved.Add(1)
	}
	return st.promised
}

// age is the stream's life so far, in audio or on the scaled clock.
func (st *stream) age() time.Duration {
	st.mu.Lock()
	defer st.mu.Unlock()
	return max(st.pos.duration(), time.Duration(float64(time.Since(st.opened))*st.t.s.pool.opts.TimeScale))
}
