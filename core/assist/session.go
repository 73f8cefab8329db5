package assist

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/patchbay/patchbay/core/event"
)

// Session is one conversation: its set-up, the streams of its tracks, its end.
type Session struct {
	pool *Pool
	conv Conversation
	log  *slog.Logger

	publishing sync.Mutex // events go out one at a time
	publisher  func(event.Event)

	mu       sync.Mutex
	added    []Track // not yet started
	finished bool
	left     bool          // to a successor of this process, which completes the conversation
	news     chan struct{} // holds a token when added or finished changed
	calling  chan struct{} // closed by Finish
	hindered int           // tracks and steps that wait for no fault of the session's
	freed    time.Time     // when one of them last went on
	over     *event.Problem

	clients      *clients // set before the first track starts
	name         string   // full name of the conversation, once it exists
	fresh        bool     // nobody can have made participants in it
	model        string   // the profile's speech model
	features     [2][]event.Feature
	participants map[Speaker]*participant
	tracks       []*track
	problem      *event.Problem // why the conversation failed
	refusal      error          // what clients are told

	answers answers
	missing []missing // finals without a stored message
}

func newSession(p *Pool, c Conversation, publish func(event.Event), log *slog.Logger) *Session {
	return &Session{
		calling:      make(chan struct{}),
		pool:         p,
		conv:         c,
		log:          log,
		publisher:    publish,
		news:         make(chan struct{}, 1),
		participants: make(map[Speaker]*participant),
		answers:      newAnswers(),
	}
}

// errWrapUp ends a session that does not come to its end after Finish.
var errWrapUp = errors.New("assist: the results did not come in time")

// Run sets the conversation up, serves its tracks until Finish was called and
// every tape has ended, completes the conversation and returns. A conversation
// that cannot be set up is an event.Failure: the audio of its tracks is discarded
// until the same end, and Run returns the error. Cancelling ctx abandons the
// session within seconds: streams are half-closed, what has no result is discarded.
func (s *Session) Run(ctx context.Context) error {
	s.pool.stats.Sessions.Add(1)
	defer s.pool.stats.Sessions.Add(-1)
	defer s.pool.owners.leave(s)
	serve, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var wrapUp *time.Timer // from Finish on
	expected := s.pool.governor.claim(s.pool.opts.quotas(s.conv, s.conv.Model), StreamsPerCall, time.Now().Add(time.Minute))
	defer s.pool.governor.drop(expected)

	setUp := make(chan error, 1)
	go func() { setUp <- s.setUp(serve) }()
	var (
		err    error
		ready  bool // set-up has ended
		tracks sync.WaitGroup
	)
	for running := true; running; {
		select {
		case err = <-setUp:
			ready = true
		case <-s.news:
		case <-serve.Done():
			if !ready {
				err, ready = <-setUp, true
			}
		}
		finished := s.isFinished() // before take, so that no track is missed
		if finished && wrapUp == nil {
			wrapUp = s.limit(func() { stop(errWrapUp) })
			defer wrapUp.Stop()
		}
		if ready {
			for _, t := range s.take() {
				s.pool.governor.less(expected)
				tracks.Go(func() { t.run(serve, err == nil) })
			}
			running = !finished && serve.Err() == nil
		}
	}
	tracks.Wait()
	switch {
	case err != nil:
		return err
	case s.isLeft():
		return context.Cause(serve)
	}
	return errors.Join(s.complete(ctx), context.Cause(serve))
}

// Add gives the session a track. It waits for nothing. After Finish it does nothing.
func (s *Session) Add(t Track) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.finished {
		s.log.Warn("assist: a track came after the end", "track", t.Ref.Track)
		return
	}
	s.added = append(s.added, t)
	if t.Client != nil && s.refusal != nil {
		defer t.Client.Refused(s.refusal)
	}
	s.tell()
}

// Finish says that no track follows. The session ends when all tapes have ended.
func (s *Session) Finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.finished {
		s.finished = true
		close(s.calling)
	}
	s.tell()
}

// Leave is Finish for a session that a successor of this process goes on with: the
// conversation stays open.
func (s *Session) Leave() {
	s.mu.Lock()
	s.left = true
	s.mu.Unlock()
	s.Finish()
}

func (s *Session) isLeft() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.left
}

func (s *Session) tell() {
	select {
	case s.news <- struct{}{}:
	default:
	}
}

func (s *Session) isFinished() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.finished
}

// take returns the tracks that were added since the last call, ready to run.
func (s *Session) take() []*track {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := len(s.tracks)
	for _, t := range s.added {
		who := Speaker{t.Ref.Speaker, t.Ref.Role}
		p := s.participants[who]
		if p == nil {
			p = newParticipant(t.Ref.Role, t.UserID)
			if s.conv.Resume != nil {
				if name := s.conv.Resume.Participants[who]; name != "" && s.pool.owners.take(name, s) {
					p.name = name
				}
			}
			if t.Client != nil {
				p.name = t.Client.Participant()
			}
			s.participants[who] = p
		}
		if t.Ref.Number == 0 {
			t.Ref.Number = len(s.tracks) + 1
		}
		s.tracks = append(s.tracks, newTrack(s, t, p))
	}
	s.added = nil
	return s.tracks[first:len(s.tracks):len(s.tracks)]
}

// limit calls stop when the session has taken too long since Finish. The time that
// it was hindered does not count, within Options.Patience.
func (s *Session) limit(stop func()) *time.Timer {
	begin := time.Now()
	armed, left := begin, s.wrapUpTime()
	o := &s.pool.opts
	var timer *time.Timer
	ready := make(chan struct{})
	defer close(ready)
	timer = time.AfterFunc(left, func() {
		<-ready
		patience := o.wall(o.Patience) - time.Since(begin)
		if patience <= 0 || !s.wasHindered(armed) {
			stop()
			return
		}
		armed = time.Now()
		timer.Reset(min(s.wrapUpTime(), patience))
	})
	return timer
}

// hinder says that a part of the session waits for no fault of its own; the function
// it returns that it goes on.
func (s *Session) hinder() (goesOn func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hindered++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.hindered--
		s.freed = time.Now()
	}
}

// wasHindered reports whether the session was hindered since a time, and is not
// simply refused.
func (s *Session) wasHindered(since time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return (s.hindered > 0 || s.freed.After(since)) && s.clients != nil && !s.clients.circuit.refused()
}

// mend waits until it is time to look whether somebody mended what was refused. It
// returns true when this is the last time, as the call has ended.
func (s *Session) mend(ctx context.Context) (last bool) {
	t := time.NewTimer(jittered(s.pool.opts.wall(mendPause)))
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.calling:
		return true
	case <-ctx.Done():
	}
	return s.isFinished()
}

// isOver returns why the conversation takes no more audio, or nil.
func (s *Session) isOver() *event.Problem {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over
}

// setOver ends the conversation's help; it publishes why, once.
func (s *Session) setOver(p event.Problem) {
	s.mu.Lock()
	first := s.over == nil
	if first {
		s.over = &p
	}
	s.mu.Unlock()
	if first {
		s.fail(nil, p)
		s.refuseClients(status.Error(codes.FailedPrecondition, p.Text))
	}
}

// wrapUpTime is how long the session may take from Finish on. The audio that waits
// is sent in real time at worst.
func (s *Session) wrapUpTime() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	var pending time.Duration
	for _, t := range s.added {
		pending = max(pending, t.Audio.Pending())
	}
	for _, t := range s.tracks {
		pending = max(pending, t.audio.Pending())
	}
	o := &s.pool.opts
	return o.WrapUp + o.wall(pending)
}

func (s *Session) publish(e event.Event) {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	s.publisher(e)
}

// fail publishes why the conversation or, with a ref, a track gets no more help.
func (s *Session) fail(ref *event.TrackRef, p event.Problem) {
	s.pool.stats.Failures.Add(1)
	s.log.Error("assist: "+p.Text, "code", p.Code)
	s.publish(event.Event{Kind: event.Failure, Track: ref, Problem: &p})
}

func (s *Session) warn(p event.Problem) { s.warnTrack(nil, p) }

func (s *Session) warnTrack(ref *event.TrackRef, p event.Problem) {
	s.log.Warn("assist: "+p.Text, "code", p.Code)
	s.publish(event.Event{Kind: event.Warning, Track: ref, Problem: &p})
}
