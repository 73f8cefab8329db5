package assist

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/patchbay/patchbay/core/event"
	"github.com/patchbay/patchbay/core/media"
)

// Why a stream got no more audio; the words are those of event.Stream.Cause.
type cause string

const (
	causePlanned   cause = "planned"   // after a final, or in a pause
	causeForced    cause = "forced"    // at the hard mark
	causeServer    cause = "server"    // Agent Assist ended it, without an error
	causeParked    cause = "parked"    // nobody writes for now
	causeFormat    cause = "format"    // the audio goes on in another format
	causeEnd       cause = "end"       // the tape has ended
	causeAbandoned cause = "abandoned" // the session was cancelled
)

func (c cause) Error() string { return "assist: stream: " + string(c) }

// ending says how a stream ended.
type ending struct {
	none       bool  // there was no stream: no audio after all
	halfClosed bool  // by us, before it ended
	err        error // nil for a clean end
	to         int64 // tape position after the last sample that was sent
	progress   bool  // it brought a final
}

// stream is one stream of a track. The track's goroutine feeds it; another one
// receives.
type stream struct {
	t      *track
	wire   wire
	marks  Marks
	opened time.Time
	stop   context.CancelCauseFunc // ends the feeding

	mu  sync.Mutex
	pos positions
}

// sendTimeout bounds one send: the connection or the server is stuck.
const sendTimeout = 10 * time.Second

// starveAfter is how long a stream may go without audio; the API ends it after
// about 10 s. It is longer than tapes take to notice, so that it seldom counts.
const starveAfter = 7 * time.Second

// stream serves one stream: open, feed, half-close, wait for the end. The caller
// has the participant's turn. ctx ends the feeding, not the stream.
func (t *track) stream(ctx context.Context) (end ending) {
	first, err := t.first(ctx)
	if err != nil {
		return ending{none: true}
	}
	t.format = first.Format
	l, done, err := t.s.clients.lane(ctx)
	if err != nil {
		return ending{err: err}
	}
	defer done()
	callCtx, hangUp := context.WithCancel(context.WithoutCancel(ctx))
	defer hangUp()
	w, err := t.open(callCtx, l, first.Format)
	if err != nil {
		return ending{err: err}
	}
	feedCtx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	st := &stream{t: t, wire: w, stop: stop, opened: time.Now(), pos: positions{format: first.Format},
		marks: t.s.pool.opts.marks(t.s.conv.transport(), t.model())}
	number := t.openedStream(first.Pos)
	stalled := time.AfterFunc(sendTimeout, hangUp)
	stalled.Stop()
	defer stalled.Stop()
	// The receiver never waits for the feeder; it ends with the stream.
	received := make(chan error, 1)
	go func() {
		err := st.receive()
		stop(causeServer)
		received <- err
	}()
	why := st.feed(feedCtx, first, stalled)
	end = st.finish(ctx, why, received, hangUp)
	t.closedStream(number, st, why, end)
	return end
}

// first returns the chunk that a stream begins with.
func (t *track) first(ctx context.Context) (media.Chunk, error) {
	if t.held != nil {
		c := *t.held
		t.held = nil
		return c, nil
	}
	return t.audio.Next(ctx, t.buf, chunk)
}

func (t *track) open(ctx context.Context, l *lane, f media.Format) (wire, error) {
	return openWire(ctx, l, wireConfig{
		transport:   t.s.conv.transport(),
		participant: t.participant.name,
		format:      wireFormat(f),
		language:    t.language,
		model:       t.s.conv.Model,
		wordTimes:   t.s.conv.WordTimes,
	})
}

// model is the speech model, as far as it is known.
func (t *track) model() string {
	if t.s.conv.Model != "" {
		return t.s.conv.Model
	}
	return t.s.model
}

// feed sends audio, c first, until there is a reason to stop. A chunk that was read
// and not sent is held for the next stream.
func (st *stream) feed(ctx context.Context, c media.Chunk, stalled *time.Timer) cause {
	t, o := st.t, st.t.s.pool.opts
	hard := time.AfterFunc(o.wall(st.marks.Hard), func() { st.stop(causeForced) })
	defer hard.Stop()
	starved := time.AfterFunc(o.wall(starveAfter), func() { st.stop(causeParked) })
	defer starved.Stop()
	pace := newPace(o)
	for settled := time.Duration(0); ; {
		stalled.Reset(sendTimeout)
		err := st.wire.send(t.encode(c))
		stalled.Stop()
		if err != nil {
			return causeServer // the receiver learns why
		}
		sent := st.sent(c)
		starved.Reset(o.wall(starveAfter))
		if sent-settled >= time.Second && !t.results.open.Load() {
			t.audio.SettleQuiet(quietAge)
			settled = sent
		}
		switch {
		case sent+chunk > st.marks.Hard:
			return causeForced
		case st.age() >= st.marks.pauseMark() && st.pausing():
			return causePlanned
		case pace.wait(ctx, c.Format.Duration(c.End()-c.Pos), sent) != nil:
			return stopCause(ctx)
		}
		c, err = t.audio.Next(ctx, t.buf, chunk)
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

// sent notes a chunk that was sent and returns how much the stream has got.
func (st *stream) sent(c media.Chunk) time.Duration {
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

// age is the stream's life so far, in audio or on the scaled clock.
func (st *stream) age() time.Duration {
	st.mu.Lock()
	defer st.mu.Unlock()
	return max(st.pos.duration(), time.Duration(float64(time.Since(st.opened))*st.t.s.pool.opts.TimeScale))
}

// receive hands results on until the stream ends. It returns nil for a clean end.
func (st *stream) receive() error {
	for {
		resp, err := st.wire.recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		st.t.results.handle(st, resp)
	}
}

// finish half-closes the stream, unless it has ended, and waits for its results.
func (st *stream) finish(ctx context.Context, why cause, received <-chan error, hangUp func()) (end ending) {
	defer func() {
		st.mu.Lock()
		defer st.mu.Unlock()
		end.to = st.pos.end()
		end.progress = st.pos.final > 0
	}()
	select {
	case end.err = <-received: // the server ended it first
		return end
	default:
	}
	if why != causeServer {
		end.halfClosed = st.wire.closeSend() == nil
	}
	limit := time.NewTimer(st.t.s.pool.opts.EndTimeout)
	defer limit.Stop()
	abandoned := context.AfterFunc(ctx, func() { limit.Reset(abandonTimeout) })
	defer abandoned()
	select {
	case end.err = <-received:
	case <-limit.C:
		hangUp()
		if <-received != nil { // else it ended just now
			end.err = status.Error(codes.DeadlineExceeded, fmt.Sprintf("no end of the stream within %s of the half-close", st.t.s.pool.opts.EndTimeout))
		}
	}
	return end
}

// openedStream publishes the begin of a stream and returns its number.
func (t *track) openedStream(from int64) int {
	t.results.open.Store(false)
	t.s.pool.stats.StreamsOpened.Add(1)
	t.s.pool.stats.StreamsOpen.Add(1)
	t.s.mu.Lock()
	t.info.streams++
	t.info.state = StateStreaming
	number := t.info.streams
	t.s.mu.Unlock()
	t.s.publish(event.Event{Kind: event.StreamOpened, Track: t.trackRef(),
		Stream: &event.Stream{Number: number, FromPos: from, Replay: t.replay}})
	t.replay = 0
	return number
}

// closedStream publishes the end of a stream.
func (t *track) closedStream(number int, st *stream, why cause, end ending) {
	word := string(why)
	switch {
	case end.err != nil:
		word = codeName(end.err)
	case !end.halfClosed:
		word = string(causeServer)
	}
	t.s.pool.stats.StreamsOpen.Add(-1)
	t.s.pool.stats.streamEnded(word)
	t.setState(StateWaiting)
	st.mu.Lock()
	from, age := st.pos.start(), st.pos.duration()
	st.mu.Unlock()
	t.log.Debug("assist: a stream ended", "stream", number, "cause", word, "audio", age)
	t.s.publish(event.Event{Kind: event.StreamEnded, Track: t.trackRef(),
		Stream: &event.Stream{Number: number, FromPos: from, ToPos: end.to, Cause: word}})
}
