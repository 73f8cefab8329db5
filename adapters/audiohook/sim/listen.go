package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"
)

// listen obeys the server until the connection ends.
func (s *Session) listen() {
	defer close(s.ended)
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.patience != nil {
			s.patience.Stop()
		}
	}()
	for {
		kind, b, err := s.conn.ReadMessage()
		if err != nil {
			s.mu.Lock()
			switch {
			case s.err != nil, s.gone:
			case s.closing && errors.Is(err, net.ErrClosed):
				s.err = &Error{Code: 408, Text: "closed did not come in time"}
			default:
				s.err = &Error{Text: "the server closed the connection first: " + err.Error()}
			}
			s.mu.Unlock()
			_ = s.conn.Close() // it is gone
			return
		}
		if !s.take(kind, b) {
			_ = s.conn.Close() // the client closes
			return
		}
	}
}

const textMessage = 1 // RFC 6455

// take handles a message; false means that the session is over.
func (s *Session) take(kind int, b []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() {
		close(s.changed)
		s.changed = make(chan struct{})
	}()
	if kind != textMessage {
		s.fail(415, "the server sent a binary message")
		return true
	}
	var m message
	if json.Unmarshal(b, &m) != nil || m.Version != "2" || len(m.Parameters) == 0 || m.Parameters[0] != '{' {
		s.fail(400, "the server's message is not well-formed")
		return true
	}
	switch {
	case m.Seq != s.serverSeq+1:
		s.fail(400, fmt.Sprintf("the server's seq is %d after %d", m.Seq, s.serverSeq))
		return true
	case m.ClientSeq > s.seq:
		s.fail(400, fmt.Sprintf("the server's clientseq is %d, but %d messages were sent", m.ClientSeq, s.seq))
		return true
	case m.ID != s.o.Session:
		s.fail(400, "the server's message is of another session")
		return true
	}
	s.serverSeq = m.Seq
	s.limit(m.Type)
	return s.obey(&m)
}

// limit answers a server that says too much. mu is held.
func (s *Session) limit(kind string) {
	if s.o.MessagesPerSecond == 0 {
		return
	}
	now := time.Now()
	if kind == "event" && now.Before(s.quietUntil) {
		s.unheeded++
	}
	if now.Sub(s.window) >= time.Second {
		s.window, s.inWindow = now, 0
	}
	if s.inWindow++; s.inWindow > s.o.MessagesPerSecond && !now.Before(s.quietUntil) {
		s.limited++
		s.quietUntil = now.Add(time.Second)
		_ = s.say("error", map[string]any{"code": 429, "message": "rate limit exceeded", "retryAfter": "PT1S"}) // the next write fails, too
	}
}

// obey does what a message wants. mu is held.
func (s *Session) obey(m *message) bool {
	switch m.Type {
	case "opened":
		s.takeOpened(m)
	case "pong":
		s.takePong(m)
	case "pause":
		if s.selected != nil && !s.closing {
			s.pauses++
			if !s.own && !s.theirs {
				s.pausedAt = s.pos
			}
			s.theirs = true
			_ = s.say("paused", nil) // the next write fails, too
		}
	case "resume":
		s.takeResume()
	case "event":
		s.takeEvent(m)
	case "updated":
	case "reconnect":
		s.reconnect = true
	case "disconnect":
		var p struct{ Reason, Info string }
		if json.Unmarshal(m.Parameters, &p) != nil || !slices.Contains([]string{"completed", "unauthorized", "error"}, p.Reason) {
			s.fail(400, "the server's disconnect has no known reason")
			return true
		}
		if s.err == nil && !s.closing {
			s.err = &Error{Reason: p.Reason, Text: p.Info}
		}
		_ = s.beginClose("disconnect") // the next read fails, too
	case "closed":
		if !s.closing {
			s.fail(409, "the server said closed before close")
			return true
		}
		s.gone = true
		close(s.closed)
		return false
	default:
		s.fail(400, "the server sent a message of unknown type "+m.Type)
	}
	return true
}

func (s *Session) takeOpened(m *message) {
	var p struct {
		Media              []Media
		StartPaused        bool
		SupportedLanguages []string
	}
	switch {
	case s.selected != nil:
		s.fail(409, "the server said opened twice")
	case json.Unmarshal(m.Parameters, &p) != nil || len(p.Media) > 1:
		s.fail(400, "opened has not one medium at most")
	case len(p.Media) == 1 && !slices.ContainsFunc(s.o.Media, p.Media[0].equal):
		s.fail(400, "opened has a medium that was not offered")
	case s.closing:
	default:
		s.selected = &Media{}
		if len(p.Media) == 1 {
			s.selected = &p.Media[0]
		}
		s.languages = p.SupportedLanguages
		if p.StartPaused {
			s.theirs, s.pausedAt = true, s.pos
			s.pauses++
			_ = s.say("paused", nil) // the next write fails, too
		}
		close(s.opened)
	}
}

func (s *Session) takeResume() {
	if s.selected == nil || s.closing {
		return
	}
	was := s.theirs
	s.theirs = false
	switch {
	case s.own: // it stays paused
		_ = s.say("paused", nil)
	case was:
		_ = s.resumed()
	default:
		s.pausedAt = s.pos
		_ = s.resumed()
	}
}

func (s *Session) takeEvent(m *message) {
	var p struct{ Entities []Entity }
	if json.Unmarshal(m.Parameters, &p) != nil || len(p.Entities) == 0 {
		s.fail(400, "the server's event has no entities")
		return
	}
	for _, e := range p.Entities {
		if e.Type == "" || len(e.Data) == 0 || e.Data[0] != '{' {
			s.fail(400, "an entity of the server's event has no type or no data")
			return
		}
	}
	s.entities = append(s.entities, p.Entities...)
}

func (s *Session) takePong(m *message) {
	switch {
	case s.ping == 0:
		_ = s.say("error", map[string]any{"code": 409, "message": "unexpected pong"})
		s.fail(409, "a pong came without a ping")
	case m.ClientSeq != s.ping:
		s.fail(400, fmt.Sprintf("the pong's clientseq is %d, the ping's seq %d", m.ClientSeq, s.ping))
	default:
		s.ping = 0
		s.rtt = time.Since(s.pingAt)
		if !s.firstPong { // at once another, so that the server knows the time it took
			s.firstPong = true
			s.sayPing()
		}
	}
}

// sayPing asks for a pong. mu is held.
func (s *Session) sayPing() {
	if s.closing || s.selected == nil {
		return
	}
	if s.ping != 0 {
		s.fail(408, "a pong did not come within the interval of pings")
		return
	}
	var parameters any
	if s.rtt > 0 {
		parameters = map[string]string{"rtt": fmt.Sprintf("PT%.6fS", s.rtt.Seconds())}
	}
	if s.say("ping", parameters) == nil {
		s.ping, s.pingAt = s.seq, time.Now()
	}
}

func (s *Session) keepPinging() {
	timer := time.NewTimer(s.o.FirstPing)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			s.mu.Lock()
			s.sayPing()
			s.mu.Unlock()
			timer.Reset(s.o.PingInterval)
		case <-s.ended:
			return
		}
	}
}
