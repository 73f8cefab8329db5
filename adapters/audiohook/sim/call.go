package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
)

// call is one simulated conversation.
type call struct {
	*engine
	number       int
	conversation string
	lines        []*line

	mu   sync.Mutex
	errs []error
}

// line is a participant's audio: a session, or several after each other.
type line struct {
	*call
	participant string
	chain       []string // sessions so far
	block       int      // next block of audio
	counts      map[media.TrackID]*adapter.SimTrack
}

func (e *engine) newCall(i int) *call {
	c := &call{engine: e, number: e.First + i, conversation: UUID()}
	if i == 0 {
		c.conversation = cmp.Or(e.Conversation, c.conversation)
	}
	for range e.Sessions {
		c.lines = append(c.lines, &line{call: c, participant: UUID(), counts: map[media.TrackID]*adapter.SimTrack{}})
	}
	return c
}

func (c *call) report() adapter.SimCall {
	r := adapter.SimCall{Call: c.conversation}
	for _, l := range c.lines {
		for _, id := range []media.TrackID{External, Internal} {
			if t := l.counts[id]; t != nil {
				r.Tracks = append(r.Tracks, *t)
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := errors.Join(c.errs...); err != nil {
		r.Error = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	return r
}

func (c *call) fail(err error) {
	c.mu.Lock()
	c.errs = append(c.errs, err)
	c.mu.Unlock()
	c.observe(c.conversation, StepError, err.Error())
}

// run lives the call to the end of its last session.
func (c *call) run(ctx context.Context) {
	if c.Probe {
		if err := c.probe(ctx); err != nil {
			c.fail(fmt.Errorf("probe: %w", err))
			return
		}
		c.observe(c.conversation, StepProbe, "the server answers")
	}
	var lines sync.WaitGroup
	for _, l := range c.lines {
		lines.Go(func() { l.run(ctx) })
	}
	lines.Wait()
	c.observe(c.conversation, StepEnd, "")
}

// probe tries the connection as Genesys does when an integration is set up.
func (c *call) probe(ctx context.Context) error {
	o := c.options()
	o.Conversation, o.Participant, o.From, o.To = NullUUID, NullUUID, "", ""
	s, err := Open(ctx, o)
	if err != nil {
		return err
	}
	return s.Close(context.WithoutCancel(ctx), "end")
}

func (c *call) options() SessionOptions {
	return SessionOptions{
		URL: c.URL, Connect: c.Connect, TLS: c.TLS, Organization: c.Organization, APIKey: c.APIKey, ClientSecret: c.ClientSecret,
		Conversation: c.conversation, From: c.From, To: c.To, Language: c.Language, Custom: c.Custom,
		Media: c.offer(), BigEndian: true, MessagesPerSecond: c.MessagesPerSecond,
		OpenTimeout: c.Patience, CloseTimeout: c.Patience, PingInterval: c.Patience,
	}
}

// A line that comes back does so again and again, with growing pauses.
const (
	maxReturns  = 20
	returnPause = 100 * time.Millisecond
	longReturn  = 2 * time.Second
)

// run streams the line, again and again if it comes back.
func (l *line) run(ctx context.Context) {
	for returns := 0; ; returns++ {
		again, err := l.stream(ctx)
		if err != nil && (!again || !l.Continue || returns == maxReturns) {
			l.fail(err)
			return
		}
		if !again || !l.Continue || returns == maxReturns || !wait(ctx, min(time.Duration(returns)*returnPause, longReturn)) {
			return
		}
	}
}

// stream runs one session from where the audio is. again says that the line may come
// back: it was dropped, or the server is leaving.
func (l *line) stream(ctx context.Context) (again bool, err error) {
	o := l.options()
	o.Participant, o.Continued, o.From0 = l.participant, l.chain, int64(l.block)*blockSamples
	s, err := Open(ctx, o)
	if err != nil {
		e, ok := errors.AsType[*Error](err)
		return !ok || e.HTTP == 503 || e.Reason == "error", err
	}
	defer s.Vanish()
	first := len(l.chain) == 0
	l.chain = append(l.chain, s.ID())
	l.observe(l.conversation, StepSession, s.ID())
	defer l.count(s)
	player := l.pacer.Add(l.play(s, first))
	defer player.Halt()
	select {
	case <-player.Done():
	case <-s.Ended():
	case <-ctx.Done():
	}
	player.Halt() // and wait for its turn to end
	switch dropped := first && l.reached(l.DropAfter); {
	case isEnded(s):
		err := cmp.Or(s.Err(), error(&Error{Text: "the connection broke"}))
		e, _ := errors.AsType[*Error](err)
		return e == nil || e.Reason != "completed" || s.Reconnect(), err
	case dropped:
		l.observe(l.conversation, StepDrop, s.ID())
		return true, nil
	case l.Abrupt:
		return false, nil
	case l.Continue && s.Reconnect():
		l.observe(l.conversation, StepReconnect, s.ID())
		return true, s.Close(context.WithoutCancel(ctx), "reconnect")
	}
	// A cancelled simulator still says goodbye.
	err = s.Close(context.WithoutCancel(ctx), "end")
	return false, errors.Join(err, s.Err())
}

func isEnded(s *Session) bool {
	select {
	case <-s.Ended():
		return true
	default:
		return false
	}
}

// reached reports whether so much audio has passed.
func (l *line) reached(d time.Duration) bool {
	return d > 0 && time.Duration(l.block)*blockDuration >= d
}

// play returns what sends frame after frame.
func (l *line) play(s *Session, first bool) func(int) bool {
	channels := s.Channels()
	frames := make([][]byte, len(channels))
	paused, pause := false, first && l.PauseFor > 0
	return func(int) bool {
		for i := range frames {
			frames[i] = frames[i][:0]
		}
		more := true
		for range l.Chunk / blockDuration {
			if l.reached(l.Duration) || first && l.reached(l.DropAfter) {
				more = false
				break
			}
			if more = l.append(frames, channels); !more {
				break
			}
			l.block++
		}
		if len(frames) > 0 && len(frames[0]) > 0 && s.Send(frames...) != nil { // the session knows why
			return false
		}
		if pause && !paused && l.reached(l.PauseAfter) {
			paused = true
			l.observe(l.conversation, StepPause, l.PauseFor.String())
			if s.Pause() != nil {
				return false
			}
		}
		if paused && pause && l.reached(l.PauseAfter+l.PauseFor) {
			pause = false
			if s.Resume() != nil {
				return false
			}
		}
		return more && !(l.Continue && s.Reconnect())
	}
}

// append adds a block of each channel; false at the end of the audio.
func (l *line) append(frames [][]byte, channels []media.TrackID) bool {
	for i, id := range channels {
		var more bool
		if frames[i], more = l.Audio(frames[i], l.number, id, l.block); !more {
			return false
		}
	}
	return true
}

// count adds what a session has sent, and passes on what it was told.
func (l *line) count(s *Session) {
	frames, samples := s.Sent()
	for _, id := range s.Channels() {
		t := l.counts[id]
		if t == nil {
			t = &adapter.SimTrack{Track: id}
			l.counts[id] = t
		}
		t.Frames += frames
		t.Samples += samples
	}
	if entities := s.Entities(); len(entities) > 0 {
		l.observe(l.conversation, StepEvents, fmt.Sprintf("%d entities", len(entities)))
		if l.Told != nil {
			l.Told(l.conversation, entities)
		}
	}
	if limited, unheeded := s.Limited(); limited > 0 {
		l.observe(l.conversation, StepEvents, fmt.Sprintf("%d messages were too many, %d events came in spite of that", limited, unheeded))
	}
}
