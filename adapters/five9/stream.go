package five9

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	voicepb "github.com/patchbay/patchbay/adapters/five9/proto/five9/voicestream"
	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
)

const (
	openTimeout    = 5 * time.Second // for Sink.Open, which decides from local knowledge
	maxBadMessages = 100             // a stream that says more nonsense is ended
	frameTime      = 500 * time.Millisecond
	clockJump      = 2 * time.Second // the vendor's clock against its audio: it sent nothing for so long
)

// stream is the state machine of one RPC: it takes Five9's messages in order and
// speaks to the leg. It knows no connection; one goroutine feeds it.
type stream struct {
	a      *Adapter
	env    *environment
	caller caller

	guest  guest
	leg    adapter.Leg // set once the config was taken
	known  *known      // what events say of the call
	noted  adapter.Leg // leg, for those who bring events; guarded by calls.mu
	odd    []byte      // the first half of a sample, when a message ended within it
	joined bool        // a segment has begun
	pos    int64       // samples since the segment began
	begun  time.Time   // when the segment's audio began, by send_time or else by arrival
	bySend bool        // begun is send_time
	bad    int
	warned map[string]bool

	mu     sync.Mutex         // guards leg and guest for finish, which another goroutine may call
	ended  *adapter.EndReason // the first reason that was given
	closed bool
}

func newStream(a *Adapter, env *environment, c caller) *stream {
	return &stream{a: a, env: env, caller: c, warned: map[string]bool{}}
}

// take handles one message that arrived at a time. A goodbye ends the stream. ctx
// bounds the stream.
func (s *stream) take(ctx context.Context, m *voicepb.StreamingVoiceRequest, at time.Time) *goodbye {
	if s.leg == nil {
		if m.GetStreamingConfig() == nil {
			return broken(countConfig, "the first message is no streaming_config")
		}
		return s.takeConfig(ctx, m.GetStreamingConfig(), at)
	}
	switch r := m.GetStreamingRequest().(type) {
	case *voicepb.StreamingVoiceRequest_AudioContent:
		return s.takeAudio(r.AudioContent, m, at)
	case *voicepb.StreamingVoiceRequest_StreamingStatus:
		return s.takeStatus(r.StreamingStatus, at)
	case *voicepb.StreamingVoiceRequest_StreamingConfig:
		return s.oddity(countSecond, "a second streaming_config came; the first one holds")
	}
	s.env.report.Count(countEmpty) // a heartbeat, perhaps
	return nil
}

func (s *stream) takeConfig(ctx context.Context, m *voicepb.StreamingConfig, at time.Time) *goodbye {
	g, bye := s.a.read(s.caller, m)
	if bye != nil {
		return bye
	}
	s.known = s.a.calls.join(g.call, s)
	seen := s.known.describe(&g.info)
	openCtx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	leg, err := s.env.sink.Open(openCtx, g.info)
	if err != nil {
		return declined(err)
	}
	s.mu.Lock()
	s.guest, s.leg = g, leg
	orphan := s.ended != nil // Run ended while the host decided
	s.mu.Unlock()
	if orphan {
		s.finish(adapter.EndReason{})
		return leaving()
	}
	s.env.log.Info("stream opened", "call", g.info.CallKey, "leg", g.info.LegKey, "account", g.info.Principal.Account,
		"method", g.info.Principal.Method, "format", g.format.String(), "from", g.info.From, "to", g.info.To)
	for _, w := range g.warnings {
		if bye := s.note(adapter.Note{Kind: adapter.NoteWarning, At: at, Text: w}); bye != nil {
			return bye
		}
	}
	if n, news := s.known.opened(s, leg, seen, at); news {
		return s.note(n)
	}
	return nil
}

// takeAudio is the frame path. Messages may have any length and end within a sample.
func (s *stream) takeAudio(b []byte, m *voicepb.StreamingVoiceRequest, at time.Time) *goodbye {
	format := s.guest.format
	if len(s.odd) > 0 && len(b) > 0 {
		b = append(s.odd, b...)
		s.odd = nil
	}
	if whole := len(b) - len(b)%format.SampleBytes(); whole < len(b) {
		s.odd = []byte{b[whole]}
		b = b[:whole]
	}
	if len(b) == 0 {
		return nil
	}
	n := format.Samples(len(b))
	sent, bySend := at, false
	if t := m.GetSendTime(); t.IsValid() && t.GetSeconds() > 0 {
		sent, bySend = t.AsTime(), true
	}
	if bye := s.anchor(sent, bySend, at, n); bye != nil {
		return bye
	}
	for most := int(format.Bytes(format.SamplesIn(frameTime))); len(b) > 0; {
		part := b[:min(most, len(b))]
		b = b[len(part):]
		if bye := s.heard(s.leg.Write(media.Frame{Track: s.guest.track, Pos: s.pos, Arrived: at, Payload: part})); bye != nil {
			return bye
		}
		s.pos += format.Samples(len(part))
	}
	return nil
}

// anchor begins a segment with the first audio, and another one when the vendor's
// clock says that it sent nothing for a while: TCP loses nothing, so that is a pause
// of the vendor's, not loss, and the positions go on without a jump.
func (s *stream) anchor(sent time.Time, bySend bool, at time.Time, n int64) *goodbye {
	length := s.guest.format.Duration(n)
	expected := s.begun.Add(s.guest.format.Duration(s.pos)) // of this message's first sample
	if s.joined && (bySend != s.bySend || sent.Add(-length).Sub(expected) < clockJump) {
		return nil
	}
	s.joined, s.bySend, s.pos = true, bySend, 0
	s.begun = sent.Add(-length)
	return s.heard(s.leg.Join(s.guest.track, adapter.Track{Format: s.guest.format, Speaker: s.guest.speaker, Arrived: at.Add(-min(length, clockJump))}))
}

func (s *stream) takeStatus(m *voicepb.StreamingStatus, at time.Time) *goodbye {
	code := m.GetCode()
	switch {
	case code == success:
		return nil
	case code == callEnded:
		return &goodbye{say: hangUpPlease, text: "goodbye", reason: adapter.EndReason{Kind: adapter.EndHangup, Text: "Five9 ended the call"}}
	case code == disconnect, code == disconnect2001:
		return &goodbye{say: hangUpPlease, text: "goodbye", reason: adapter.EndReason{Kind: adapter.EndHangup, Text: "Five9 ended the stream"}}
	case code == callHold:
		return s.note(adapter.Note{Kind: adapter.NoteHold, At: at})
	case code == callResume:
		return s.note(adapter.Note{Kind: adapter.NoteResume, At: at})
	case code >= clientErrors && code < start:
		s.env.report.Warn(countClientError, "Five9 reports trouble of its own", "call", s.guest.info.CallKey, "code", code.String())
		return s.note(adapter.Note{Kind: adapter.NoteWarning, At: at, Text: fmt.Sprintf("Five9 reports trouble of its own: %v", code)})
	}
	s.env.report.Count(countUnknown)
	return s.warnOnce(fmt.Sprint(countUnknown, code), fmt.Sprintf("Five9 sent status %d, which is unknown", code), at)
}

// oddity counts input that Five9 would not send and tells the host once a kind. A
// stream that sends little else is ended.
func (s *stream) oddity(kind, words string) *goodbye {
	s.env.report.Count(kind)
	if s.bad++; s.bad > maxBadMessages {
		return broken(countTooBad, "too many bad messages; last: "+words)
	}
	return s.warnOnce(kind, words, time.Now())
}

func (s *stream) warnOnce(kind, words string, at time.Time) *goodbye {
	if s.warned[kind] || len(s.warned) > maxBadMessages {
		return nil
	}
	s.warned[kind] = true
	return s.note(adapter.Note{Kind: adapter.NoteWarning, At: at, Text: words})
}

func (s *stream) note(n adapter.Note) *goodbye { return s.heard(s.leg.Note(n)) }

// heard judges what the leg answered: a leg that the host closed ends the stream,
// anything else is the host's trouble and no reason to stop listening.
func (s *stream) heard(err error) *goodbye {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, adapter.ErrClosed):
		return closedByHost()
	}
	s.env.report.Warn(countWrite, "the host did not take audio or a note", "call", s.guest.info.CallKey, "err", err)
	return nil
}

// over is called once no message will follow.
func (s *stream) over() {
	if len(s.odd) > 0 {
		s.env.report.Count(countHalfSample)
	}
	if s.known != nil {
		s.a.calls.leave(s.known, s)
	}
}

// finish ends the leg with the first reason that is given, once. A leg that comes
// later ends with that reason too. Any goroutine may call it.
func (s *stream) finish(reason adapter.EndReason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended == nil {
		s.ended = &reason
	}
	if s.leg == nil || s.closed {
		return
	}
	s.closed = true
	s.env.log.Info("stream ended", "call", s.guest.info.CallKey, "leg", s.guest.info.LegKey, "reason", s.ended.Kind, "text", s.ended.Text)
	if err := s.leg.Close(*s.ended); err != nil {
		s.env.report.Warn(countWrite, "the host did not take the leg's end", "call", s.guest.info.CallKey, "err", err)
	}
}

// call returns the call's key for the log, empty before there is a leg.
func (s *stream) call() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.guest.info.CallKey
}
