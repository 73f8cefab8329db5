package twilio

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
)

const (
	openTimeout    = 5 * time.Second // for Sink.Open, which decides from local knowledge
	maxBadMessages = 100             // a stream that says more nonsense is closed
	maxDigits      = 32              // of one DTMF message
)

// phase is how far a stream has come.
type phase uint8

const (
	waiting phase = iota // for start
	running
	stopped
)

// stream is the state machine of one stream: it takes Twilio's messages in order
// and speaks to the leg. It knows no socket; one goroutine feeds it.
type stream struct {
	a     *Adapter
	env   *environment
	proof proof

	phase    phase
	sid      string
	guest    guest
	leg      adapter.Leg
	tracks   [2]track // inbound, outbound
	fresh    [2]int64 // samples that they brought since somebody set them to zero
	sequence number
	bad      int
	warned   map[string]bool

	msg message

	mu     sync.Mutex         // guards leg and guest for finish, which another goroutine may call
	ended  *adapter.EndReason // the first reason that was given
	closed bool
}

// track is a track, with the audio of it that was not handed on yet.
type track struct {
	id       media.TrackID
	timeline timeline

	pos   int64 // of audio's first sample
	audio []byte
}

// maxGathered is how much audio of a track is handed on as one frame at most.
const maxGathered = round

func newStream(a *Adapter, env *environment, p proof) *stream {
	s := &stream{a: a, env: env, proof: p, warned: map[string]bool{}}
	s.tracks[0].id, s.tracks[1].id = trackInbound, trackOutbound
	return s
}

// take handles one text message that arrived at a time. An error is a *hangUp:
// the connection must be closed as it says. ctx bounds the stream.
func (s *stream) take(ctx context.Context, b []byte, at time.Time) error {
	m := &s.msg
	if err := decode(b, m); err != nil {
		return s.oddity(countJSON, "a message is no JSON of Twilio's shape")
	}
	switch m.Event {
	case eventMedia:
		return s.takeMedia(&m.raw, at)
	case eventConnected:
		if m.Protocol != "Call" || !strings.HasPrefix(string(m.Version), "1.") {
			s.env.report.Count(countVersion) // the messages still decide
		}
		return nil
	case eventStart:
		return s.takeStart(ctx, m)
	case eventStop, eventDTMF, eventMark:
	default:
		s.env.report.Count(countUnknown)
		return nil
	}
	if ok, err := s.accept([]byte(m.StreamSID), m.Sequence); !ok {
		return err
	}
	if err := s.handOn(at); err != nil {
		return err
	}
	switch m.Event {
	case eventStop:
		s.phase = stopped
		s.finish(adapter.EndReason{Kind: adapter.EndHangup, Text: "Twilio sent stop"})
	case eventDTMF:
		return s.takeDTMF(string(m.DTMF.Track), string(m.DTMF.Digit), at)
	}
	return nil // a mark answers a bidirectional stream's, which this is not
}

// takeBinary handles a binary message, which Twilio never sends.
func (s *stream) takeBinary() error {
	return s.oddity(countBinary, "a message is binary; Twilio sends text")
}

// accept checks that a message belongs to the running stream.
func (s *stream) accept(sid []byte, seq number) (ok bool, err error) {
	switch {
	case s.phase == waiting:
		return false, s.oddity(countEarly, "a message came before start")
	case s.phase == stopped:
		return false, nil
	case len(sid) > 0 && string(sid) != s.sid: // some look-alikes leave it out
		return false, s.oddity(countForeign, "a message carries another streamSid")
	}
	if seq.ok {
		if s.sequence.ok && seq.v > s.sequence.v+1 {
			s.env.report.Count(countSequence)
			s.warnOnce(countSequence, "messages are missing between sequence numbers")
		}
		if !s.sequence.ok || seq.v > s.sequence.v {
			s.sequence = seq
		}
	}
	return true, nil
}

func (s *stream) takeStart(ctx context.Context, m *message) error {
	if s.phase != waiting {
		return s.oddity(countSecondStart, "start came twice; the first one holds")
	}
	sid := string(m.StreamSID)
	if sid == "" {
		sid = string(m.Start.StreamSID)
	}
	g, err := s.a.admit(s.proof, sid, &m.Start)
	if err != nil {
		return err
	}
	openCtx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	leg, err := s.env.sink.Open(openCtx, g.info)
	if err != nil {
		s.a.tokens.release(g.token)
		h := &hangUp{kind: countHost, code: websocket.CloseTryAgainLater, text: "try again later", detail: err.Error()}
		if r, ok := errors.AsType[*adapter.Refusal](err); ok && r.Reason != adapter.RefusedFull && r.Reason != adapter.RefusedDraining && r.Reason != adapter.RefusedGone {
			h.code, h.text = websocket.ClosePolicyViolation, "refused"
		}
		return h
	}
	s.phase, s.sid, s.sequence = running, sid, m.Sequence
	s.mu.Lock()
	s.guest, s.leg = g, leg
	orphan := s.ended != nil // Run ended while the host decided
	s.mu.Unlock()
	if orphan {
		s.finish(adapter.EndReason{})
		return nil
	}
	s.env.log.Info("stream opened", "call", g.info.CallKey, "stream", sid, "account", g.info.Principal.Account,
		"method", g.info.Principal.Method, "tracks", g.tracks, "from", g.info.From, "to", g.info.To)
	for _, w := range g.warnings {
		if err := s.note(adapter.Note{Kind: adapter.NoteWarning, At: time.Now(), Text: w}); err != nil {
			return err
		}
	}
	return nil
}

// takeMedia is the frame path: it allocates nothing. The audio waits for handOn.
func (s *stream) takeMedia(m *rawMedia, at time.Time) error {
	if ok, err := s.accept(m.streamSID, m.sequence); !ok {
		return err
	}
	t, fresh := s.track(m.track)
	if t == nil {
		return s.oddity(countTrack, "audio came for a track that is neither inbound nor outbound")
	}
	used := len(t.audio)
	t.audio = slices.Grow(t.audio, base64.StdEncoding.DecodedLen(len(m.payload)))
	n, err := base64.StdEncoding.Decode(t.audio[used:cap(t.audio)], m.payload)
	if err != nil || n == 0 {
		return s.oddity(countPayload, "audio is empty or no base64") // its place stays empty, so it counts as lost
	}
	pos, v := t.timeline.place(m.chunk, m.timestamp, int64(n))
	if v != accepted || pos != t.pos+int64(used) || used+n > maxGathered {
		if err := s.write(t, at); err != nil {
			return err
		}
	}
	switch v {
	case duplicate, late:
		return s.drop(t.id, v, int64(n), at)
	case begins, restarts:
		if err := s.join(t, v, pos, at); err != nil {
			return err
		}
	}
	if len(t.audio) == 0 {
		t.pos = pos
		copy(t.audio[:n], t.audio[used:used+n])
	}
	t.audio = t.audio[:len(t.audio)+n]
	*fresh += int64(n)
	return nil
}

// handOn gives the host the audio that was gathered, the last of which came at came.
// Whoever reads a stream calls it before waiting for more.
func (s *stream) handOn(came time.Time) error {
	for i := range s.tracks {
		if err := s.write(&s.tracks[i], came); err != nil {
			return err
		}
	}
	return nil
}

func (s *stream) write(t *track, came time.Time) error {
	if len(t.audio) == 0 {
		return nil
	}
	f := media.Frame{Track: t.id, Pos: t.pos, Arrived: came, Payload: t.audio}
	t.audio = t.audio[:0]
	return s.heard(s.leg.Write(f))
}

// track finds a track by name, with the count of what is fresh on it. A stream of one
// track may leave the name out.
func (s *stream) track(name []byte) (t *track, fresh *int64) {
	switch string(name) {
	case string(trackInbound):
		return &s.tracks[0], &s.fresh[0]
	case string(trackOutbound):
		return &s.tracks[1], &s.fresh[1]
	case "":
		if len(s.guest.tracks) == 1 {
			return s.track([]byte(s.guest.tracks[0]))
		}
	}
	return nil, nil
}

// join begins a segment at the first chunk, because only that has the clock's
// zero and the count's beginning.
func (s *stream) join(t *track, v verdict, pos int64, at time.Time) error {
	if v == restarts {
		s.env.report.Count(countRestart)
		s.warnOnce(countRestart, "the counters or the clock of a track began anew")
	}
	since, known := t.timeline.mediaTime()
	return s.heard(s.leg.Join(t.id, adapter.Track{
		Format:    media.Telephony,
		Speaker:   s.guest.speakers[t.id],
		Arrived:   at.Add(-lead(pos)),
		MediaTime: since, MediaTimeKnown: known,
	}))
}

func (s *stream) drop(id media.TrackID, v verdict, n int64, at time.Time) error {
	word, kind := "late", countLate
	if v == duplicate {
		word, kind = "duplicate", countDuplicate
	}
	s.env.report.Count(kind)
	return s.note(adapter.Note{Kind: adapter.NoteDropped, Track: id, At: at, Text: word, Samples: n})
}

func (s *stream) takeDTMF(name, digits string, at time.Time) error {
	if digits == "" || len(digits) > maxDigits || strings.Trim(digits, "0123456789*#ABCDabcdw") != "" {
		return s.oddity(countJSON, "a dtmf message has no digits")
	}
	n := adapter.Note{Kind: adapter.NoteDTMF, At: at, Text: digits}
	if t, _ := s.track([]byte(strings.TrimSuffix(name, "_track"))); t != nil {
		n.Track = t.id
	}
	return s.note(n)
}

// oddity counts input that Twilio would not send and tells the host once a kind.
// A stream that sends little else is ended.
func (s *stream) oddity(kind, words string) error {
	s.env.report.Count(kind)
	s.warnOnce(kind, words)
	if s.bad++; s.bad <= maxBadMessages {
		return nil
	}
	return &hangUp{kind: countTooBad, code: websocket.ClosePolicyViolation, text: "too many bad messages", detail: "too many bad messages; last: " + words,
		reason: adapter.EndReason{Kind: adapter.EndProtocol, Text: "too many bad messages; last: " + words}}
}

func (s *stream) warnOnce(kind, words string) {
	if s.leg == nil || s.phase != running || s.warned[kind] {
		return
	}
	s.warned[kind] = true
	if err := s.leg.Note(adapter.Note{Kind: adapter.NoteWarning, At: time.Now(), Text: words}); err != nil {
		s.env.report.Count(countWrite) // the next frame learns whether the leg is closed
	}
}

func (s *stream) note(n adapter.Note) error { return s.heard(s.leg.Note(n)) }

// heard judges what the leg answered: a leg that the host closed ends the
// stream, anything else is the host's trouble and no reason to stop listening.
func (s *stream) heard(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, adapter.ErrClosed):
		return &hangUp{code: websocket.CloseGoingAway, text: "ended", detail: "the host closed the leg",
			reason: adapter.EndReason{Kind: adapter.EndOrdered, Text: "the host closed the leg"}}
	}
	s.env.report.Warn(countWrite, "the host did not take audio or a note", "call", s.guest.info.CallKey, "err", err)
	return nil
}

// finish ends the leg with the first reason that is given, once. A leg that
// comes later ends with that reason too. Any goroutine may call it.
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
	s.env.log.Info("stream ended", "call", s.guest.info.CallKey, "stream", s.guest.stream, "reason", s.ended.Kind, "text", s.ended.Text)
	if err := s.leg.Close(*s.ended); err != nil {
		s.env.report.Warn(countWrite, "the host did not take the leg's end", "call", s.guest.info.CallKey, "err", err)
	}
}

// finishedLeg reports whether finish was called.
func (s *stream) finishedLeg() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended != nil
}
