package assist

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

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
	news     chan struct{} // holds a token when added or finished changed

	clients      *clients // set before the first track starts
	name         string   // full name of the conversation, once it exists
	fresh        bool     // nobody can have made participants in it
	model        string   // the profile's speech model
	features     [2][]event.Feature
	participants map[speaker]*participant
	tracks       []*track
	problem      *event.Problem // why the conversation failed

	answers answers
}

func newSession(p *Pool, c Conversation, publish func(event.Event), log *slog.Logger) *Session {
	return &Session{
		pool:         p,
		conv:         c,
		log:          log,
		publisher:    publish,
		news:         make(chan struct{}, 1),
		participants: make(map[speaker]*participant),
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
	serve, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var wrapUp *time.Timer // from Finish on

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
			wrapUp = time.AfterFunc(s.wrapUpTime(), func() { stop(errWrapUp) })
			defer wrapUp.Stop()
		}
		if ready {
			for _, t := range s.take() {
				tracks.Go(func() { t.run(serve, err == nil) })
			}
			running = !finished && serve.Err() == nil
		}
	}
	tracks.Wait()
	if err != nil {
		return err
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
	s.tell()
}

// Finish says that no track follows. The session ends when all tapes have ended.
func (s *Session) Finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finished = true
	s.tell()
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
		who := speaker{t.Ref.Speaker, t.Ref.Role}
		p := s.participants[who]
		if p == nil {
			p = newParticipant(t.Ref.Role, t.UserID)
			s.participants[who] = p
		}
		s.tracks = append(s.tracks, newTrack(s, t, len(s.tracks)+1, p))
	}
	s.added = nil
	return s.tracks[first:len(s.tracks):len(s.tracks)]
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
	o := s.pool.opts
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

func (s *Session) warn(p event.Problem) {
	s.log.Warn("assist: "+p.Text, "code", p.Code)
	s.publish(event.Event{Kind: event.Warning, Problem: &p})
}
