package assist

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"time"

	"cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"github.com/cenkalti/backoff/v5"
	"google.golang.org/grpc/codes"

	"github.com/patchbay/patchbay/core/event"
	"github.com/patchbay/patchbay/core/media"
)

// chunk is how much audio a message holds: 100 ms, as Google asks for, or up to twice as
// much where the rest would lie about. That is less than 19,200 bytes (linear16 at
// media.MaxRate), under the 25 KB that Speech-to-Text v2 takes.
const chunk = 100 * time.Millisecond

// track sends one tape, stream after stream. Everything without a lock belongs to
// the goroutine of run.
type track struct {
	s           *Session
	audio       Audio
	language    string           // at first
	changes     []languageChange // since; guarded by the session's lock
	spoken      string           // the last stream's
	allFields   bool             // of the last stream's configuration, see bidiForm
	reformed    bool             // the other form was tried
	log         *slog.Logger
	ref         event.TrackRef // guarded by the session's lock; Participant comes later
	participant *participant
	results     results

	held   *media.Chunk // read, not sent: for the next stream, as it has another format or came after the cut
	format media.Format // of the last stream
	buf    []byte
	linear []int16 // for decoding A-law
	coded  []byte

	need     []Quota // what a stream counts against
	claim    *claim  // on them
	promised bool    // the governor lets the next stream of a rotation ahead
	last     bool    // the call has ended: no try after this one

	parked   bool          // the next stream waits for somebody to speak
	still    time.Duration // since somebody did, when the last stream ended
	waited   time.Duration // for the quota or Google, until the stream opened
	replay   int64         // samples that the next stream sends again
	failures int           // streams since the last one that brought a result
	retries  *backoff.ExponentialBackOff
	quota    *backoff.ExponentialBackOff

	client  Client                                       // nil in conversations of our own
	request *dialogflowpb.StreamingAnalyzeContentRequest // the client's, for the stream that is open
	ends    []end                                        // of what a client sends; guarded by the session's lock
	resting resting                                      // guarded by the session's lock

	handed int64 // tape position up to which everything was sent once
	info   trackInfo
}

func newTrack(s *Session, t Track, p *participant) *track {
	language := t.Language
	if language == "" {
		language = s.conv.Language
	}
	tr := &track{
		s: s, audio: t.Audio, language: language, changes: t.changes, ref: t.Ref, participant: p, client: t.Client, ends: t.ends,
		log:     s.log.With("track", t.Ref.Track, "leg", t.Ref.Leg),
		retries: newBackoff(&s.pool.opts, retry), quota: newBackoff(&s.pool.opts, wait),
	}
	tr.info.state = StateWaiting
	tr.results = newResults(tr, t.Ref.Number, t.Finals+1)
	return tr
}

// run serves the track until its tape ends or ctx does. Without a conversation it
// gives the audio up as it comes.
func (t *track) run(ctx context.Context, conversation bool) {
	defer t.finishAll()
	defer t.setState(StateEnded)
	if !conversation {
		t.discardAll(ctx, DiscardNoConversation)
		return
	}
	if _, ok := googleRoles[t.ref.Role]; !ok && t.client == nil {
		t.refuseRole(ctx)
		return
	}
	t.need = t.s.pool.opts.quotas(t.s.conv, t.model())
	t.claim = t.s.pool.governor.claim(t.need, 1, time.Time{})
	defer t.s.pool.governor.drop(t.claim)
	defer t.unpromise()
	for t.step(ctx) {
	}
}

func (t *track) refuseRole(ctx context.Context) {
	t.tellRefused(event.Problem{Code: codeRoleNotAllowed, Text: fmt.Sprintf("Agent Assist streams end_user and human_agent only; a speaker of role %q is not sent: set the track's role in routes[]", t.ref.Role)})
	t.discardAll(ctx, DiscardNoParticipant)
}

// step does the next thing: get a participant, or serve a stream. It returns false
// when the track has come to its end.
func (t *track) step(ctx context.Context) bool {
	if t.trackRef().Participant != "" {
		return t.streamOnce(ctx)
	}
	err := t.join(ctx)
	if err == nil {
		return true
	}
	f, ok := errors.AsType[*failure](err)
	if !ok || ctx.Err() != nil {
		t.abandon()
		return false
	}
	if react(f.err) == look && t.s.lookUp(ctx) {
		t.discardAll(ctx, DiscardStreamRefused)
		return false
	}
	t.refuseClient(f.err)
	return t.refused(ctx, f.problem, DiscardNoParticipant)
}

// join makes sure that the speaker has a participant.
func (t *track) join(ctx context.Context) error {
	if err := t.participant.acquire(ctx); err != nil {
		return err
	}
	defer t.participant.release()
	var err error
	aside(func() {
		if t.client != nil {
			err = t.meet(ctx)
		} else {
			err = t.s.ensure(ctx, t.participant)
		}
	})
	if err != nil {
		return err
	}
	t.s.mu.Lock()
	t.ref.Participant = t.participant.name
	t.s.mu.Unlock()
	t.s.ready(t.trackRef())
	return nil
}

// rejoin forgets a participant that Google does not know any more.
func (t *track) rejoin(ctx context.Context) {
	if t.participant.acquire(ctx) != nil {
		return
	}
	defer t.participant.release()
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	if t.client == nil && t.participant.name == t.ref.Participant { // else another track did it
		t.participant.name, t.participant.look = "", true
	}
	t.ref.Participant = ""
}

// streamOnce waits for audio and serves one stream. It returns false when the
// track has come to its end.
func (t *track) streamOnce(ctx context.Context) bool {
	if t.s.isOver() != nil {
		t.discardAll(ctx, DiscardStreamRefused)
		return false
	}
	t.between()
	if t.held == nil {
		if t.promised && (t.parked || t.audio.Pending() == 0) {
			t.unpromise() // it may take long
		}
		t.s.pool.governor.update(t.claim, 0, time.Time{})
		if err := t.listen(ctx); err != nil {
			if !errors.Is(err, io.EOF) {
				t.abandon()
			}
			return false
		}
	}
	if t.participant.acquire(ctx) != nil {
		t.abandon()
		return false
	}
	end := t.stream(ctx)
	t.participant.release()
	switch {
	case end.over:
		return true
	case end.refused:
		t.discardAll(ctx, DiscardStreamRefused)
		return false
	}
	return t.settle(ctx, end)
}

// settle tells the tape what became of a stream's audio, and decides how to go on.
func (t *track) settle(ctx context.Context, end ending) bool {
	switch {
	case end.none:
	case end.clean():
		t.audio.Settle(end.to)
		t.succeeded()
	default:
		t.rewind()
		if end.progress {
			t.succeeded()
		}
	}
	if ctx.Err() != nil {
		t.abandon()
		return false
	}
	if end.err != nil {
		return t.recover(ctx, end.err)
	}
	if !end.halfClosed && !end.none {
		return t.again(ctx, rotate)
	}
	return true
}

func (t *track) succeeded() {
	t.failures = 0
	t.last = false
	t.answered()
	t.retries.Reset()
	t.quota.Reset()
}

// quietTail is how much quiet audio before an end is sent again: a word may begin there.
const quietTail = time.Second

// rewind goes back to the last settled position. Audio after the last final's end
// must be sent again (Agent Assist, "Bidirectional API", March 2026), unless it is quiet.
func (t *track) rewind() {
	t.held = nil
	if !t.results.open.Load() {
		t.audio.SettleQuiet(quietTail)
	}
	pos, n := t.audio.Rewind()
	format := t.format
	if limit := format.SamplesIn(t.s.pool.opts.ReplayLimit); n > limit {
		t.log.Warn("assist: too much audio without a result; the oldest is not sent again", "discarded", format.Duration(n-limit))
		t.decide(decision{what: didGiveUp, text: "too much audio without a result: the oldest is not sent again", pos: pos, took: format.Duration(n - limit)})
		t.audio.Discard(pos+n-limit, DiscardReplayLimit)
		n = limit
	}
	t.replay = n
	if n > 0 {
		t.decide(decision{what: didReplay, text: fmt.Sprintf("%v of audio without a result is sent again, unless it is silence", rounded(format.Duration(n))), pos: pos})
	}
}

// recover decides what to do after an unclean end.
func (t *track) recover(ctx context.Context, err error) bool {
	t.setError(googleWords(err))
	how := react(err)
	switch how {
	case wait:
		t.s.pool.governor.exhausted(t.need)
	case look:
		if t.s.lookUp(ctx) {
			return true // the next step sees it
		}
		if codeOf(err) == codes.NotFound {
			t.decide(decision{what: didRejoin, text: "the participant does not exist any more; it is made again", err: err})
			t.rejoin(ctx)
		}
	}
	if codeOf(err) == codes.InvalidArgument && (t.dropLanguage() || t.otherForm()) {
		return t.again(ctx, rotate)
	}
	if how == refuse || (how == doubt || how == look) && t.failures >= maxDoubts {
		t.refuseClient(err)
		return t.refused(ctx, t.s.conv.explain(stepStream, err), DiscardStreamRefused)
	}
	t.log.Info("assist: a stream broke; its audio is sent again", "err", googleWords(err))
	return t.again(ctx, how)
}

// again pauses before the next stream: not at all at the first limit that is
// reached, longer with each stream that brings nothing. Where the circuit or the
// governor decides for all, that is pause enough.
func (t *track) again(ctx context.Context, how reaction) bool {
	t.failures++
	var pause time.Duration
	switch {
	case how == wait && len(t.need) == 0:
		pause = t.quota.NextBackOff()
	case how == wait, t.s.clients.circuit.holds():
	case how != rotate || t.failures > 1:
		pause = t.retries.NextBackOff()
	}
	defer t.s.hinder()()
	t.setState(StateRetrying)
	if pause > 0 {
		t.decide(decision{what: didBackOff, text: fmt.Sprintf("%d streams in a row brought nothing", t.failures), took: pause})
	}
	t.s.pool.governor.update(t.claim, 1, time.Time{})
	if sleep(ctx, pause) != nil {
		t.abandon()
		return false
	}
	return true
}

// maxDoubts is how often in a row an error of reaction doubt is believed to pass.
const maxDoubts = 3

// refused says why the track gets no help, and waits until it is time to look
// whether somebody mended it: each minute, and once after the call's end. The audio
// stays on the tape as long as that has room.
func (t *track) refused(ctx context.Context, p event.Problem, reason string) bool {
	t.tellRefused(p)
	t.s.pool.governor.update(t.claim, 0, time.Time{})
	if t.last {
		t.discardAll(ctx, reason)
		return false
	}
	t.last = t.s.mend(ctx)
	if ctx.Err() != nil {
		t.abandon()
		return false
	}
	return true
}

// tellRefused publishes why the track gets no help, once.
func (t *track) tellRefused(p event.Problem) {
	t.setState(StateRefused)
	t.setError(p.Text)
	t.s.mu.Lock()
	known := t.info.refused
	t.info.refused = true
	t.s.mu.Unlock()
	if !known {
		t.s.fail(t.trackRef(), p)
	}
}

// answered says that Agent Assist serves the track.
func (t *track) answered() {
	t.s.clients.circuit.succeeded()
	t.s.mu.Lock()
	again := t.info.refused
	t.info.refused = false
	if again {
		t.info.err = ""
	}
	t.s.mu.Unlock()
	if again {
		t.s.warnTrack(t.trackRef(), event.Problem{Code: codeServedAgain, Text: "Agent Assist serves this track again; what was said meanwhile is sent now"})
	}
}

// next reads a chunk into the track's buffer, which grows to what the format needs.
func (t *track) next(ctx context.Context) (media.Chunk, error) {
	c, err := t.audio.Next(ctx, t.buf, chunk)
	if cap(c.Payload) > cap(t.buf) {
		t.buf = c.Payload[:0]
	}
	return c, err
}

// discardAll gives audio up as it comes, until the tape ends.
func (t *track) discardAll(ctx context.Context, reason string) {
	t.finishAll()
	t.audio.Discard(math.MaxInt64, reason)
	for {
		c, err := t.next(ctx)
		switch {
		case err == nil:
			t.audio.Discard(c.End(), reason)
		case !errors.Is(err, media.ErrParked):
			if !errors.Is(err, io.EOF) {
				t.abandon()
			}
			return
		case t.audio.Wait(ctx) != nil:
			return
		}
	}
}

// abandon gives up what is left.
func (t *track) abandon() {
	t.s.mu.Lock()
	refused := t.info.refused
	t.s.mu.Unlock()
	reason := DiscardAbandoned
	if refused {
		reason = DiscardStreamRefused
	}
	t.audio.Discard(math.MaxInt64, reason)
}

// trackRef returns a copy for events.
func (t *track) trackRef() *event.TrackRef {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	ref := t.ref
	return &ref
}
