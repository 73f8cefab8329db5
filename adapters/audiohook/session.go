package audiohook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
)

const (
	openTimeout  = 3 * time.Second  // for Sink.Open, which decides from local knowledge; Genesys waits 5 s
	closeGrace   = 5 * time.Second  // for Genesys to answer disconnect with close
	leaveGrace   = 5 * time.Second  // the same where audio is wanted until then
	socketGrace  = 10 * time.Second // for Genesys to close the connection after closed
	maxJump      = 24 * time.Hour   // of positions
	maxDrift     = time.Second      // by which Genesys' positions may differ from ours
	defaultQuiet = 5 * time.Second  // of events after a 429 that names no time
	maxQuiet     = 5 * time.Minute
)

// phase is how far a session has come.
type phase int32

const (
	waiting phase = iota // for open
	running              // opened was said
	closing              // close came; results may follow
	over                 // closed was said; Genesys closes the connection
)

// session is the state machine of one session: it takes Genesys' messages in order and
// speaks to the leg. It knows no socket. One goroutine feeds it; another may order an
// end.
type session struct {
	a      *Adapter
	env    *environment
	caller caller
	out    *outbox
	// hurry says that the connection must be gone after a time. It may only be shortened.
	hurry func(time.Duration)
	// opened and closes tell the goroutine that listens to the host.
	opened chan opening
	closes chan struct{}

	seq      int64 // of the last message that came
	guest    guest
	splitter splitter
	base     int64 // position of the segment's first sample in the session
	pos      int64 // of the next sample in the session
	paused   bool  // Genesys says that it sends no audio
	warned   map[string]bool

	stage    atomic.Int32 // a phase
	deaf     atomic.Bool  // nothing is heard any more but close
	told     atomic.Bool  // that it is to close
	quiet    atomic.Int64 // Genesys wants no events before; Unix time in nanoseconds
	farewell adapter.EndReason

	mu     sync.Mutex // guards what follows
	leg    adapter.Leg
	call   string
	chain  chainKey
	ended  *adapter.EndReason // the first reason that was given
	closed bool
}

// opening is a leg, with an order that came before anybody listened.
type opening struct {
	leg   adapter.Leg
	first *adapter.Control
}

func newSession(a *Adapter, env *environment, c caller, hurry func(time.Duration)) *session {
	return &session{a: a, env: env, caller: c, out: newOutbox(c.session), hurry: hurry,
		opened: make(chan opening, 1), closes: make(chan struct{}, 1), warned: map[string]bool{}}
}

func (s *session) phase() phase { return phase(s.stage.Load()) }

// advance enters a later phase; it reports false when the session is there already.
func (s *session) advance(to phase) bool {
	for {
		at := s.stage.Load()
		if at >= int32(to) {
			return false
		}
		if s.stage.CompareAndSwap(at, int32(to)) {
			return true
		}
	}
}

// take handles one text message that arrived at a time. ctx bounds the session.
func (s *session) take(ctx context.Context, b []byte, at time.Time) {
	if len(b) > maxText {
		s.violate(countOversize, "a text message is longer than 64 KiB")
		return
	}
	m, err := decode(b)
	if s.deaf.Load() {
		if err == nil && m.Type == typeClose {
			s.out.heard(m.Seq)
			s.sayClosed()
		}
		return
	}
	switch {
	case err != nil:
		s.violate(countProtocol, "a message cannot be read: "+err.Error())
		return
	case m.Seq != s.seq+1:
		s.violate(countProtocol, fmt.Sprintf("seq is %d after %d", m.Seq, s.seq))
		return
	case m.ServerSeq > s.out.sent():
		s.violate(countProtocol, fmt.Sprintf("serverseq is %d, but %d messages were sent", m.ServerSeq, s.out.sent()))
		return
	case !strings.EqualFold(m.ID, s.caller.session):
		s.violate(countProtocol, "id is another session's than the upgrade's")
		return
	}
	s.seq = m.Seq
	s.out.heard(m.Seq)
	s.obey(ctx, &m, at)
}

// obey does what a message of good form wants.
func (s *session) obey(ctx context.Context, m *clientMessage, at time.Time) {
	switch m.Type {
	case typePing:
		s.say(typePong, nothing{})
	case typeClose:
		s.takeClose(m)
	case typeOpen:
		s.takeOpen(ctx, m, at)
	case typeError:
		s.takeError(m, at)
	case typePaused, typeResumed, typeDiscarded, typeUpdate:
		if s.phase() != running {
			s.env.report.Count(countState)
			return
		}
		s.takeNews(m, at)
	default:
		s.env.report.Count(countUnknown)
		s.warnOnce(countUnknown, "Genesys sends messages of an unknown type")
	}
	s.checkPosition(m)
}

// takeOpen answers at once: Sink.Open waits for nobody.
func (s *session) takeOpen(ctx context.Context, m *clientMessage, at time.Time) {
	if s.phase() != waiting {
		s.env.report.Count(countState)
		return
	}
	var p openParameters
	if err := json.Unmarshal(m.Parameters, &p); err != nil {
		s.violate(countOpen, "the open message cannot be read")
		return
	}
	g, no := s.a.read(s.caller, &p)
	switch {
	case no != nil && no.count == countKey:
		s.env.report.Warn(countKey, "a session is refused: "+no.detail, "session", s.caller.session, "remote", s.caller.remote)
		s.disconnect(reasonUnauthorized, "", adapter.EndReason{})
		return
	case no != nil:
		s.violate(no.count, no.detail)
		return
	}
	s.guest = g
	s.base = s.samples(m.Position, 0)
	s.pos = s.base
	answer := openedParameters{Media: []mediaEntry{g.media}}
	if p.SupportedLanguages {
		languages := append([]string{}, s.a.cfg.Languages...)
		answer.Languages = &languages
	}
	var o opening
	if g.probe {
		s.env.report.Count(countProbe)
		s.env.log.Info("Genesys tried the connection", "account", s.caller.principal.Account, "session", s.caller.session)
	} else if o.leg = s.admit(ctx, &p, at); o.leg == nil {
		return
	} else {
		answer.StartPaused = o.peek()
	}
	s.advance(running)
	s.say(typeOpened, answer)
	if o.leg != nil {
		s.opened <- o // orders go out after opened
	}
}

// peek takes an order that is there already, and reports whether it is a pause.
func (o *opening) peek() (paused bool) {
	select {
	case c, ok := <-o.leg.Control():
		if paused = ok && c.Kind == adapter.ControlPause; ok && !paused {
			o.first = &c
		}
	default:
	}
	return paused
}

// admit opens the leg and its tracks, before Genesys is told that the session is open.
// It returns nil when the session has ended instead.
func (s *session) admit(ctx context.Context, p *openParameters, at time.Time) adapter.Leg {
	g := &s.guest
	g.info.LegKey, g.continued = s.a.legKey(s.caller, g, p)
	openCtx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	leg, err := s.env.sink.Open(openCtx, g.info)
	if err != nil {
		s.decline(err)
		return nil
	}
	key := chainKey{s.caller.principal.Account, g.conversation, strings.ToLower(s.caller.session)}
	s.a.chains.begin(key, g.info.LegKey)
	s.mu.Lock()
	s.leg, s.call, s.chain = leg, g.info.CallKey, key
	orphan := s.ended != nil // Run ended while the host decided
	s.mu.Unlock()
	if orphan {
		s.finish(adapter.EndReason{})
		return nil
	}
	s.env.log.Info("session opened", "call", g.info.CallKey, "session", s.caller.session, "leg", g.info.LegKey, "correlation", s.caller.correlation,
		"account", g.info.Principal.Account, "method", g.info.Principal.Method, "audio", g.describe(), "continued", g.continued, "from", g.info.From, "to", g.info.To)
	s.splitter = newSplitter(g.media, s.a.cfg.L16)
	for i, channel := range g.media.Channels {
		t := adapter.Track{Format: g.format, Speaker: g.speakers[i], MediaTime: g.format.Duration(s.base), MediaTimeKnown: true, Language: g.language}
		if !s.heard(leg.Join(media.TrackID(channel), t)) {
			return nil
		}
	}
	if g.continued { // the other session may have ended in a pause
		s.env.report.Count(countContinued)
		s.note(adapter.Note{Kind: adapter.NoteResume, At: at})
	}
	if s.deaf.Load() {
		return nil
	}
	return leg
}

// decline tells Genesys that the host does not take the leg.
func (s *session) decline(err error) {
	reason, info := reasonError, "no room for another session"
	if r, ok := errors.AsType[*adapter.Refusal](err); ok {
		switch r.Reason {
		case adapter.RefusedFull:
		case adapter.RefusedDraining, adapter.RefusedGone:
			info = "this instance is leaving"
		default:
			reason, info = reasonCompleted, "this call is not wanted here"
		}
	}
	s.env.report.Warn(countHost, "a session is turned away: "+err.Error(), "call", s.guest.info.CallKey)
	s.disconnect(reason, info, adapter.EndReason{})
}

// takeNews handles what Genesys says of its audio.
func (s *session) takeNews(m *clientMessage, at time.Time) {
	if s.guest.probe {
		return
	}
	var p struct {
		span
		Language string `json:"language"`
	}
	if err := json.Unmarshal(m.Parameters, &p); err != nil {
		s.violate(countProtocol, "the parameters of "+m.Type+" cannot be read")
		return
	}
	switch m.Type {
	case typePaused:
		if !s.paused { // it is said again in answer to pause, and to resume where Genesys pauses itself
			s.paused = true
			s.note(adapter.Note{Kind: adapter.NotePause, At: at})
		}
	case typeResumed:
		s.skip(m, p.span, true, at)
		if s.paused {
			s.paused = false
			s.note(adapter.Note{Kind: adapter.NoteResume, At: at})
		}
	case typeDiscarded:
		s.env.report.Count(countDiscarded)
		s.skip(m, p.span, false, at)
		s.warnOnce(countDiscarded, "Genesys left out some of the audio")
	case typeUpdate:
		if tag, ok := languageTag(p.Language); ok {
			s.note(adapter.Note{Kind: adapter.NoteLanguage, At: at, Text: tag})
		} else {
			s.env.report.Count(countState)
		}
		s.say(typeUpdated, nothing{})
	}
}

// skip moves the position over a stretch without audio. What a pause left out is
// announced, so that it does not count as lost.
func (s *session) skip(m *clientMessage, without span, announced bool, at time.Time) {
	start := s.samples(without.Start, -1)
	length := s.samples(without.Discarded, -1)
	if start < 0 || length < 0 { // the message's own position is as good
		s.env.report.Count(countState)
		start, length = s.pos, s.samples(m.Position, s.pos)-s.pos
	}
	to := start + length
	if to <= s.pos {
		return
	}
	if s.guest.format.Duration(to-s.pos) > maxJump {
		s.env.report.Count(countPosition)
		return
	}
	if s.splitter.n > 0 { // half a sample before the gap is none
		s.splitter.n = 0
		s.env.report.Count(countHalfSample)
	}
	if announced {
		s.note(adapter.Note{Kind: adapter.NoteGap, At: at, Samples: to - max(start, s.pos)})
	}
	s.pos = to
}

// samples turns a time of the protocol into a position, or returns otherwise.
func (s *session) samples(text string, otherwise int64) int64 {
	d, err := parseDuration(text)
	if err != nil {
		return otherwise
	}
	rate := time.Duration(s.guest.format.Rate)
	whole, part := d/time.Second, d%time.Second
	return int64(whole*rate + (part*rate+time.Second/2)/time.Second)
}

// checkPosition compares Genesys' count of samples with ours. TCP loses nothing, so
// they agree, unless it counts otherwise than its reference implementation.
func (s *session) checkPosition(m *clientMessage) {
	if s.phase() != running || s.guest.probe || s.paused || s.deaf.Load() {
		return
	}
	at := s.samples(m.Position, s.pos)
	if d := s.guest.format.Duration(at - s.pos); d > maxDrift || d < -maxDrift {
		s.env.report.Count(countPosition)
		s.warnOnce(countPosition, "Genesys counts other positions than its audio has")
	}
}

// takeAudio is the frame path.
func (s *session) takeAudio(b []byte, at time.Time) {
	switch p := s.phase(); {
	case s.deaf.Load(), p > running:
		return // on its way when we said goodbye
	case p == waiting:
		s.violate(countEarly, "audio came before opened")
		return
	case s.guest.probe:
		return
	case s.paused:
		s.env.report.Count(countPausedAudio) // the host withholds it
		s.warnOnce(countPausedAudio, "audio comes though Genesys says that it is paused")
	}
	parts := s.splitter.split(b)
	n := s.guest.format.Samples(len(parts[0]))
	if n == 0 {
		return
	}
	for i, channel := range s.guest.media.Channels {
		if !s.heard(s.leg.Write(media.Frame{Track: media.TrackID(channel), Pos: s.pos - s.base, Arrived: at, Payload: parts[i]})) {
			return
		}
	}
	s.pos += n
}

func (s *session) takeError(m *clientMessage, at time.Time) {
	var p errorParameters
	if err := json.Unmarshal(m.Parameters, &p); err != nil {
		s.violate(countProtocol, "the parameters of error cannot be read")
		return
	}
	if p.Code == 429 {
		wait, err := parseDuration(p.RetryAfter)
		if err != nil || wait == 0 {
			wait = defaultQuiet
		}
		s.quiet.Store(at.Add(min(wait, maxQuiet)).UnixNano())
		s.env.report.Warn(countLimited, "Genesys wants fewer messages; raise limits.event_interval", "call", s.guest.info.CallKey, "wait", wait)
		return
	}
	s.env.report.Warn(countError, "Genesys reports an error", "call", s.guest.info.CallKey, "session", s.caller.session, "code", p.Code, "text", clip(p.Message, 200))
	s.warnOnce(fmt.Sprint(countError, p.Code), fmt.Sprintf("Genesys reports error %d", p.Code))
}

// takeClose ends the session in good order: audio, then results, then closed.
func (s *session) takeClose(m *clientMessage) {
	var p goodbyeParameters
	_ = json.Unmarshal(m.Parameters, &p) // any goodbye will do
	if !s.advance(closing) {
		return
	}
	s.farewell = endOf(p.Reason)
	if s.splitter.n > 0 {
		s.env.report.Count(countHalfSample)
	}
	if s.guest.info.Results == adapter.ResultsNone || s.leg == nil || s.leg.Note(adapter.Note{Kind: adapter.NoteFinish, At: time.Now()}) != nil {
		s.settle()
		return
	}
	s.closes <- struct{}{}
}

// endOf says what a reason of close means for the leg.
func endOf(reason string) adapter.EndReason {
	switch reason {
	case "error":
		return adapter.EndReason{Kind: adapter.EndProtocol, Text: "Genesys closed the session because of an error"}
	case "disconnect":
		return adapter.EndReason{Kind: adapter.EndOrdered, Text: "Genesys closed the session as it was asked to"}
	case "reconnect":
		return adapter.EndReason{Kind: adapter.EndLost, Text: "Genesys closed the session in order to connect again"}
	}
	return adapter.EndReason{Kind: adapter.EndHangup, Text: "Genesys closed the session"}
}

// settle ends a session that is closing: no result follows.
func (s *session) settle() {
	s.finish(s.farewell)
	s.sayClosed()
}

func (s *session) sayClosed() {
	if s.advance(over) {
		s.deaf.Store(true)
		s.say(typeClosed, nothing{})
		s.hurry(socketGrace)
	}
}

// violate ends a session that breaks the protocol.
func (s *session) violate(count, detail string) {
	if s.deaf.Load() {
		return
	}
	s.env.report.Warn(count, "a session is ended: "+detail, "call", s.guest.info.CallKey, "session", s.caller.session, "account", s.caller.principal.Account, "remote", s.caller.remote)
	s.disconnect(reasonError, detail, adapter.EndReason{Kind: adapter.EndProtocol, Text: detail})
}

// disconnect ends the session from our side: the leg now, the connection when Genesys
// has closed it, or soon. Any goroutine may call it.
func (s *session) disconnect(reason, info string, end adapter.EndReason) {
	s.finish(end)
	if s.deaf.Swap(true) {
		return
	}
	if s.phase() >= closing {
		s.sayClosed()
		return
	}
	s.sayDisconnect(reason, info)
	s.hurry(closeGrace)
}

// sayDisconnect asks Genesys to close the session, once.
func (s *session) sayDisconnect(reason, info string) {
	if !s.told.Swap(true) {
		s.say(typeDisconnect, goodbyeParameters{Reason: reason, Info: clip(info, 200)})
	}
}

// say queues a message for Genesys. It is sent so few that too many wait only when it
// asks for them without reading any, and then the session ends.
func (s *session) say(kind string, parameters any) {
	if err := s.out.say(kind, parameters); err != nil {
		s.env.report.Warn(countStuck, "a session is ended: a message cannot be sent", "session", s.caller.session, "remote", s.caller.remote, "err", err)
		s.finish(adapter.EndReason{Kind: adapter.EndProtocol, Text: err.Error()})
		s.deaf.Store(true)
		s.hurry(0)
	}
}

// sayRunning says something that only a session with audio understands.
func (s *session) sayRunning(kind string) {
	if s.phase() == running && !s.deaf.Load() {
		s.say(kind, nothing{})
	}
}

func (s *session) warnOnce(kind, words string) {
	if s.leg == nil || s.warned[kind] || len(s.warned) > maxConfig || s.phase() > running {
		return
	}
	s.warned[kind] = true
	s.note(adapter.Note{Kind: adapter.NoteWarning, At: time.Now(), Text: words})
}

func (s *session) note(n adapter.Note) bool { return s.heard(s.leg.Note(n)) }

// heard judges what the leg answered: a leg that the host closed ends the session,
// anything else is the host's trouble and no reason to stop listening.
func (s *session) heard(err error) bool {
	switch {
	case err == nil:
		return true
	case errors.Is(err, adapter.ErrClosed):
		s.disconnect(reasonCompleted, "ended", adapter.EndReason{Kind: adapter.EndOrdered, Text: "the host closed the leg"})
		return false
	}
	s.env.report.Warn(countWrite, "the host did not take audio or a note", "call", s.guest.info.CallKey, "err", err)
	return true
}

// finish ends the leg with the first reason that is given, once. A leg that comes later
// ends with that reason too. Any goroutine may call it.
func (s *session) finish(reason adapter.EndReason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended == nil {
		s.ended = &reason
	}
	if s.leg == nil || s.closed {
		return
	}
	s.closed = true
	s.env.log.Info("session ended", "call", s.call, "session", s.caller.session, "reason", s.ended.Kind, "text", s.ended.Text)
	if err := s.leg.Close(*s.ended); err != nil {
		s.env.report.Warn(countWrite, "the host did not take the leg's end", "call", s.call, "err", err)
	}
}

// gone is called once the connection is no more.
func (s *session) gone() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.chain != (chainKey{}) {
		s.a.chains.end(s.chain)
	}
}
