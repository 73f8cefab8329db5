package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	voicepb "github.com/patchbay/patchbay/adapters/five9/proto/five9/voicestream"
	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
)

// call is one simulated call.
type call struct {
	*engine
	number  int
	id      string // vcc_call_id
	session string
	legs    []*leg

	mu   sync.Mutex
	errs []error
}

// leg is one leg of a call for one subscription: a stream, or several after each other.
type leg struct {
	*call
	who          Leg
	subscription string
	lane         int // picks a connection
	block        int // next block of audio

	frames, samples int64
	rest            []byte // of a message that was cut within a sample
	broken          bool   // sending failed
}

func (e *engine) newCall(i int) *call {
	c := &call{engine: e, number: e.First + i, id: strconv.FormatInt(e.FirstCall+int64(i), 10)}
	c.session = "S" + c.id
	for n, who := range e.Legs {
		for m, subscription := range e.Copies {
			c.legs = append(c.legs, &leg{call: c, who: who, subscription: subscription, lane: i*len(e.Legs) + n + m})
		}
	}
	return c
}

// key is what the adapter calls the call.
func (c *call) key() string { return c.Domain + ":" + c.id }

func (c *call) report() adapter.SimCall {
	r := adapter.SimCall{Call: c.key()}
	for _, l := range c.legs {
		r.Tracks = append(r.Tracks, adapter.SimTrack{Track: trackOf(l.who), Frames: l.frames, Samples: l.samples})
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
	c.observe(c.key(), StepError, err.Error())
}

// run lives the call from its first event to the end of its last leg.
func (c *call) run(ctx context.Context) {
	if !c.LateEvents {
		c.tell(ctx)
	}
	var legs sync.WaitGroup
	for i, l := range c.legs {
		legs.Go(func() {
			if c.wait(ctx, time.Duration(i/len(c.Copies))*c.Late, c.Speed) {
				l.run(ctx)
			}
		})
	}
	if c.LateEvents && c.wait(ctx, c.Duration/2, c.Speed) {
		c.tell(ctx)
	}
	legs.Wait()
	c.observe(c.key(), StepEnd, "")
}

// tell sends the call's event.
func (c *call) tell(ctx context.Context) {
	if c.EventsURL == "" {
		return
	}
	variables := map[string]string{"Call.call_id": c.id, "Call.session_id": c.session, "Call.ANI": c.From, "Call.DNIS": c.To}
	for name, value := range c.Variables {
		variables[name] = value
	}
	if err := c.events.Call(ctx, variables); err != nil {
		c.fail(fmt.Errorf("call event: %w", err))
		return
	}
	c.observe(c.key(), StepEvent, "session "+c.session)
}

// A leg that comes back does so again and again, with growing pauses, for half a minute.
const (
	maxReturns  = 20
	returnPause = 100 * time.Millisecond
	longReturn  = 2 * time.Second
)

// run streams the leg, again and again if it comes back.
func (l *leg) run(ctx context.Context) {
	for returns := 0; ; returns++ {
		again, err := l.stream(ctx, returns == 0)
		if err != nil {
			l.streamEvent(ctx, "ERROR", "STREAM_FAILURE")
			if !again || !l.Reconnect || returns == maxReturns {
				l.fail(err)
				return
			}
		}
		if !again || !l.Reconnect || returns == maxReturns || !l.wait(ctx, min(time.Duration(returns)*returnPause, longReturn), 1) {
			return
		}
	}
}

func (l *leg) streamEvent(ctx context.Context, status, failure string) {
	if l.EventsURL == "" {
		return
	}
	err := l.events.Stream(context.WithoutCancel(ctx), cmp.Or(l.subscription, "-"), l.Domain, l.id, l.who.String(), status, failure)
	if err != nil {
		l.fail(fmt.Errorf("stream event: %w", err))
	}
}

func (l *leg) options() StreamOptions {
	config := &voicepb.StreamingConfig{
		VoiceConfig: &voicepb.VoiceConfig{Encoding: l.format, SampleRateHertz: int32(l.Rate)},
		VccCallId:   l.id, DomainId: l.Domain, CampaignId: l.Campaign, AgentId: l.Agent, SkillId: l.Skill,
		CallLeg: l.who, SubscriptionId: l.subscription,
	}
	o := StreamOptions{Config: config, Hasty: l.Hasty, Untimed: l.Untimed}
	if l.TokenIn == TokenInMetadata {
		o.Metadata = map[string]string{"x-five9-trust-token": l.TrustToken}
	} else {
		config.TrustToken = l.TrustToken
	}
	return o
}

// stream streams from where the audio is to its end. again says that the leg may come
// back: it was dropped, or the server asked for it.
func (l *leg) stream(ctx context.Context, first bool) (again bool, err error) {
	s, err := OpenStream(ctx, l.conns[l.lane%len(l.conns)], l.options())
	if err != nil {
		return wantsReturn(err), fmt.Errorf("%v: %w", l.who, err)
	}
	defer s.Vanish()
	l.observe(l.key(), StepStream, l.who.String())
	l.streamEvent(ctx, "STREAMING", "")
	dropped := first && l.DropAfter > 0
	limit := l.Duration
	if dropped && (limit == 0 || l.DropAfter < limit) {
		limit = l.DropAfter
	} else {
		dropped = false
	}
	if hold := l.HoldAfter; hold > 0 && (limit == 0 || hold < limit) && first {
		l.play(ctx, s, hold)
		err := errors.Join(s.Status(voicepb.StreamingStatus_CLT_CALL_HOLD))
		l.observe(l.key(), StepHold, l.who.String())
		l.wait(ctx, l.HoldFor, l.Speed)
		if err = errors.Join(err, s.Status(voicepb.StreamingStatus_CLT_CALL_RESUME)); err != nil && !isEnded(s) {
			return false, err
		}
	}
	l.play(ctx, s, limit)
	if isEnded(s) {
		err := cmp.Or(s.Err(), error(&StreamError{Text: "the stream broke"}))
		l.observe(l.key(), StepServer, err.Error())
		return wantsReturn(err), fmt.Errorf("%v: %w", l.who, err)
	}
	if dropped {
		l.observe(l.key(), StepDrop, l.who.String())
		s.Vanish()
		return true, nil
	}
	if l.Abrupt {
		s.Vanish()
		return false, nil
	}
	// A cancelled simulator still says goodbye.
	if err := s.Hangup(context.WithoutCancel(ctx), voicepb.StreamingStatus_CLT_CALL_ENDED); err != nil {
		return false, err
	}
	l.streamEvent(ctx, "ENDED_NORMALLY", "")
	return false, nil
}

func isEnded(s *Stream) bool {
	select {
	case <-s.Ended():
		return true
	default:
		return false
	}
}

// wantsReturn reports whether the server asked for another stream, or there was no
// server.
func wantsReturn(err error) bool {
	e, ok := errors.AsType[*StreamError](err)
	return status.Code(err) == codes.Unavailable || ok && (e.Status == voicepb.StreamingStatus_SRV_REQ_RECONNECT || e.Status == 0)
}

// play sends audio until the leg has sent so much in all, the audio ends, or the stream
// does.
func (l *leg) play(ctx context.Context, s *Stream, until time.Duration) {
	player := l.pacer.Add(func(int) bool { return l.message(s, until) })
	select {
	case <-player.Done():
	case <-s.Ended():
	case <-ctx.Done():
	}
	player.Halt() // and wait for its turn to end
	if l.broken { // sending fails a moment before the stream says why
		select {
		case <-s.Ended():
		case <-ctx.Done():
		}
		l.broken = false
	}
}

// message sends the next message and reports whether more follows.
func (l *leg) message(s *Stream, until time.Duration) bool {
	var samples []int16
	first, more := l.block, true
	for range l.Chunk / blockTime {
		if until > 0 && time.Duration(l.block)*blockTime >= until {
			more = false
			break
		}
		if samples, more = l.Audio(samples, l.number, l.who, l.block); !more {
			break
		}
		l.block++
	}
	if len(samples) == 0 {
		if len(l.rest) > 0 { // the stream knows why it fails
			_, _ = s.Send(l.rest)
			l.rest = nil
		}
		return false
	}
	encoding := media.Linear16
	if l.MuLaw {
		encoding = media.MuLaw
	}
	payload := media.AppendEncoded(l.rest, encoding, samples)
	l.rest = nil
	if l.Odd && more && len(payload) > 1 {
		cut := len(payload) - 1
		payload, l.rest = payload[:cut], []byte{payload[cut]}
	}
	sent, err := s.Send(payload)
	if err != nil { // the audio is for the next stream, if the leg comes back
		l.block, l.broken = first, true
		return false
	}
	if sent {
		l.frames++
		l.samples += int64(len(samples))
	}
	return more
}
