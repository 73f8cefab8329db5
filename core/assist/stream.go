package assist

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
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
	causeParked    cause = "parked"    // nobody writes for now, or nobody speaks
	causeFormat    cause = "format"    // the audio goes on in another format
	causeLanguage  cause = "language"  // and in another language
	causeClient    cause = "client"    // a client's stream ended, or another began
	causeEnd       cause = "end"       // the tape has ended
	causeAbandoned cause = "abandoned" // the session was cancelled
)

func (c cause) Error() string { return "assist: stream: " + string(c) }

// ending says how a stream ended.
type ending struct {
	none       bool  // there was no stream: no audio after all
	over       bool  // and none follows: the conversation takes no more
	refused    bool  // and none follows: the credentials are refused
	halfClosed bool  // by us, before it ended
	err        error // nil for a clean end
	to         int64 // tape position after the last sample that was sent
	progress   bool  // it brought a final
}

// clean reports whether everything that was sent is settled.
func (e ending) clean() bool { return e.err == nil && e.halfClosed }

// stream is one stream of a track. The track's goroutine feeds it; another one
// receives.
type stream struct {
	t      *track
	wire   wire
	marks  Marks
	opened time.Time
	number int                     // of the track's
	stop   context.CancelCauseFunc // ends the feeding
	heard  atomic.Bool             // something came back

	mu       sync.Mutex
	pos      positions
	promised bool // the governor lets the next stream follow
	waits    bool // it did not, at least once
}

// stream serves one stream: open, feed, half-close, wait for the end. The caller
// has the participant's turn. ctx ends the feeding, not the stream.
func (t *track) stream(ctx context.Context) (end ending) {
	first, err := t.first(ctx)
	switch {
	case errors.Is(err, media.ErrParked), errors.Is(err, io.EOF), err != nil && ctx.Err() != nil:
		return ending{none: true}
	case err != nil:
		return ending{err: err}
	}
	trial, err := t.admit(ctx)
	if err != nil {
		t.held = &first
		return ending{none: true, over: errors.Is(err, errOver), refused: errors.Is(err, errCallEnded)}
	}
	end = t.serve(ctx, first, trial)
	t.s.pool.governor.end(t.need)
	return end
}

// serve opens a stream that the governor has admitted, and serves it.
func (t *track) serve(ctx context.Context, first media.Chunk, trial bool) (end ending) {
	circuit, heard := t.s.clients.circuit, false
	defer func() {
		switch {
		case heard || end.err == nil:
			circuit.succeeded()
		case ctx.Err() != nil:
			if trial {
				circuit.withdraw()
			}
		default:
			circuit.failed(end.err, trial)
		}
	}()
	t.format, t.spoken = first.Format, t.languageOf(first)
	t.request = t.clientRequest(first.Pos)
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
	st := t.newStream(w, first.Format, stop)
	t.s.pool.governor.update(t.claim, 0, st.opened.Add(t.s.pool.opts.wall(st.marks.Hard)))
	defer t.s.pool.governor.update(t.claim, 0, time.Time{})
	if trial {
		alive := time.AfterFunc(t.s.pool.opts.wall(trialAge), circuit.succeeded)
		defer alive.Stop()
	}
	number := t.openedStream(first.Pos)
	st.number = number
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
	heard, t.promised = st.heard.Load(), st.promised // the receiver has ended
	t.still, t.parked = st.still(), st.parks(why, end)
	t.closedStream(number, st, why, end)
	if t.parked {
		t.decideParked(end.to)
	}
	return end
}

func (t *track) newStream(w wire, f media.Format, stop context.CancelCauseFunc) *stream {
	opts := &t.s.pool.opts
	return &stream{t: t, wire: w, stop: stop, opened: time.Now(), pos: positions{format: f, speech: opts.SpeechLevel, still: f.SamplesIn(t.still)},
		marks: opts.marks(t.transport(), t.model()).jitter(opts.Jitter, t.s.pool.dice)}
}

func (t *track) decideParked(pos int64) {
	t.decide(decision{what: didPark, text: fmt.Sprintf("nobody has spoken for %v; the next stream opens with the next word", rounded(t.still)), pos: pos})
}

// first returns the chunk that a stream begins with.
func (t *track) first(ctx context.Context) (media.Chunk, error) {
	if t.held != nil {
		c := *t.held
		t.held = nil
		return c, nil
	}
	return t.next(ctx)
}

func (t *track) open(ctx context.Context, l *lane, f media.Format) (w wire, err error) {
	t.allFields = t.s.clients.bidi.all.Load()
	aside(func() {
		w, err = openWire(ctx, l, wireConfig{
			transport:   t.transport(),
			request:     t.request,
			participant: t.participant.name,
			format:      wireFormat(f),
			language:    t.spoken,
			model:       t.s.conv.Model,
			wordTimes:   t.s.conv.WordTimes,
			allFields:   t.allFields,
		})
	})
	return w, err
}

// aside does what needs a large stack on one that goes with it. A track's goroutine lives as
// long as its call, and would keep it.
func aside(do func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	<-done
}

// model is the speech model, as far as it is known.
func (t *track) model() string {
	if m := t.request.GetAudioConfig().GetModel(); m != "" {
		return m
	}
	if t.s.conv.Model != "" {
		return t.s.conv.Model
	}
	return t.s.model
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
		if st.heard.CompareAndSwap(false, true) {
			st.answered()
		}
		st.t.results.handle(st, resp)
		st.t.results.respond(st, resp)
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
	t.results.newest = finalKey{}
	t.results.stale, t.results.interim = t.results.shown, 0
	t.s.pool.stats.StreamsOpened.Add(1)
	t.s.pool.stats.SamplesReplayed.Add(t.replay)
	t.s.pool.stats.StreamsOpen.Add(1)
	t.s.mu.Lock()
	t.info.streams++
	t.info.state = StateStreaming
	number := t.info.streams
	t.s.mu.Unlock()
	t.s.publish(event.Event{Kind: event.StreamOpened, Track: t.trackRef(),
		Stream: &event.Stream{Number: number, FromPos: from, Replay: t.replay}})
	t.decideOpened(number, from)
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
	t.results.ended()
	t.s.pool.stats.StreamsOpen.Add(-1)
	t.s.pool.stats.streamEnded(word)
	t.setState(StateWaiting)
	st.mu.Lock()
	from, age := st.pos.start(), st.pos.duration()
	st.mu.Unlock()
	t.decide(decision{what: didRotate, text: whyEnded(why, end, st, age), err: end.err, stream: number, pos: end.to})
	t.s.publish(event.Event{Kind: event.StreamEnded, Track: t.trackRef(),
		Stream: &event.Stream{Number: number, FromPos: from, ToPos: end.to, Cause: word, Clean: end.clean()}})
}
