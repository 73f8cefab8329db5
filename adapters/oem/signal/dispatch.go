package signal

import (
	"strings"
)

// datagram takes a packet.
func (s *Server) datagram(f *flow, b []byte) {
	m, err := parseDatagram(b)
	if err != nil {
		if len(strings.Trim(string(b), "\r\n\x00 ")) > 0 { // else a keep-alive
			s.report.Count(CountUnreadable)
		}
		return
	}
	s.receive(f, m)
}

// receive takes a message. The sockets' readers call it, so it never waits for long.
func (s *Server) receive(f *flow, m *message) {
	if m.status > 0 {
		if m.flaw.status == 0 {
			s.txs.response(m)
		}
		return
	}
	key := serverKey(m, f.remote.Addr())
	if tx := s.txs.find(key); tx != nil && m.flaw.status == 0 {
		switch {
		case m.method == "CANCEL":
			s.cancel(f, m, tx)
			return
		case m.method == tx.method, m.method == "ACK" && tx.refused():
			tx.again(m, f)
			return
		}
	}
	if d := s.dialogs.find(m); d != nil && m.flaw.status == 0 {
		s.inDialog(d, f, m, key)
		return
	}
	s.outside(f, m, key)
}

// reply answers without keeping anything. An ACK gets no answer.
func (s *Server) reply(f *flow, m *message, key string, status int, more ...func(*draft)) {
	if m.method == "ACK" {
		return
	}
	d := answerTo(m, f.remote, status, "", tagFor(key))
	s.identify(d)
	for _, add := range more {
		add(d)
	}
	if err := f.answering(m.via.back()).send(d.bytes()); err != nil {
		s.report.Count(CountUnsent)
	}
}

func (s *Server) identify(d *draft) {
	if s.cfg.UserAgent != "" {
		d.add("Server", s.cfg.UserAgent)
	}
}

func (s *Server) later(d *draft) { d.retryAfter(s.cfg.RetryAfter) }

// cancel answers a CANCEL, with the tag of its INVITE (RFC 3261 §9.2), and then the
// INVITE if it is not too late.
func (s *Server) cancel(f *flow, m *message, tx *serverTx) {
	d := answerTo(m, f.remote, 200, "", tx.tag)
	s.identify(d)
	if err := f.answering(m.via.back()).send(d.bytes()); err != nil {
		s.report.Count(CountUnsent)
	}
	tx.cancelled()
}

// outside serves a request that belongs to no dialog.
func (s *Server) outside(f *flow, m *message, key string) {
	peer, v := s.gate.check(f, m)
	if v == stranger {
		s.stranger(f, m, key)
		return
	}
	if m.method == "ACK" {
		return
	}
	rate := s.rate
	if m.method == "OPTIONS" { // so that a flood of calls does not make us look dead
		rate = s.pings
	}
	if !rate.take(f.remote.Addr()) {
		s.report.Warn(CountRate, "a peer sends more requests than limits allow: they get 503", "remote", f.remote)
		s.reply(f, m, key, 503, s.later)
		return
	}
	if m.flaw.status > 0 {
		s.report.Warn(CountMalformed, "a malformed request is refused", "remote", f.remote, "status", m.flaw.status, "flaw", m.flaw.text)
		s.reply(f, m, key, m.flaw.status, func(d *draft) {
			if m.flaw.text != "" {
				d.first += " (" + m.flaw.text + ")"
			}
		})
		return
	}
	if v == challenge {
		if m.method == "CANCEL" {
			s.reply(f, m, key, 481)
			return
		}
		stale := false
		if len(s.gate.digest.answers(m)) > 0 {
			stale = s.gate.stale(m)
			if !stale && !s.refusals.take(f.remote.Addr()) {
				s.report.Warn(CountDigest, "a peer's digest is wrong, again", "remote", f.remote)
				return
			}
		}
		s.reply(f, m, key, 401, func(d *draft) { s.gate.digest.challenge(d, stale) })
		return
	}
	f.prove()
	if bad := s.unsupported(m); bad != "" {
		s.reply(f, m, key, 420, func(d *draft) { d.add("Unsupported", bad) })
		return
	}
	switch m.method {
	case "INVITE":
		s.invite(f, m, key, peer)
	case "OPTIONS":
		s.options(f, m, key)
	case "BYE", "UPDATE", "INFO", "PRACK", "CANCEL":
		s.reply(f, m, key, 481)
	default:
		s.reply(f, m, key, notServed(m.method))
	}
}

// notServed is the answer to methods that we have no use for.
func notServed(method string) int {
	if methods[method] {
		return 405
	}
	return 501
}

// stranger gives a peer that proves nothing one answer, and then silence for a while.
func (s *Server) stranger(f *flow, m *message, key string) {
	if m.method != "ACK" && s.refusals.take(f.remote.Addr()) {
		s.report.Warn(CountStranger, "a peer that belongs to no trunk is refused", "remote", f.remote, "transport", f.transport, "method", m.method)
		s.reply(f, m, key, 403)
	} else {
		s.report.Count(CountStranger)
	}
	if f.conn != nil {
		f.conn.close()
	}
}

// unsupported lists the options that m requires and we do not know.
func (s *Server) unsupported(m *message) string {
	if m.method == "CANCEL" || m.method == "ACK" {
		return ""
	}
	var bad []string
next:
	for _, o := range m.headers.Tokens("Require") {
		if required[o] {
			continue
		}
		for _, more := range s.cfg.Options {
			if strings.EqualFold(more, o) {
				continue next
			}
		}
		bad = append(bad, o)
	}
	return strings.Join(bad, ", ")
}

// options tells the truth to those who ask whether we live.
func (s *Server) options(f *flow, m *message, key string) {
	status := 200
	if s.draining.Load() {
		status = 503
	}
	s.reply(f, m, key, status, func(d *draft) {
		d.add("Contact", contactOf(f, m.uri)).add("Allow", allow).add("Accept", accept).add("Accept-Encoding", "identity").add("Supported", supported)
		if status == 503 {
			s.later(d)
		}
	})
}

// contactOf is our Contact: where we are reached by the way that a peer came, and that we
// are a recording server (RFC 7866 §6.1.2).
func contactOf(f *flow, uri string) string {
	scheme := "sip"
	if len(uri) > 5 && strings.EqualFold(uri[:5], "sips:") {
		scheme = "sips"
	}
	return "<" + scheme + ":" + f.contact + ";transport=" + strings.ToLower(f.transport) + ">;+sip.srs"
}

// invite starts a dialog, or says why not.
func (s *Server) invite(f *flow, m *message, key string, peer Peer) {
	switch {
	case s.draining.Load():
		s.reply(f, m, key, 503, s.later)
		return
	case m.to.Tag() != "": // of a dialog that we do not know, or no more
		s.reply(f, m, key, 481)
		return
	case encoded(m):
		s.reply(f, m, key, 415, func(d *draft) { d.add("Accept-Encoding", "identity") })
		return
	}
	d := newDialog(s, f, m, peer)
	switch s.dialogs.add(d) {
	case isThere: // the same INVITE by another way (RFC 3261 §8.2.2.2)
		s.reply(f, m, key, 482)
		return
	case isFull:
		s.report.Warn(CountFull, "an INVITE is refused: limits.dialogs is reached", "remote", f.remote)
		s.reply(f, m, key, 486, s.later)
		return
	}
	tx := s.txs.begin(key, m, f, d.id)
	if tx == nil {
		s.dialogs.remove(d)
		s.report.Warn(CountFull, "an INVITE is refused: limits.transactions is reached", "remote", f.remote)
		s.reply(f, m, key, 503, s.later)
		return
	}
	d.start(tx, m)
}

func encoded(m *message) bool {
	for _, e := range m.headers.Tokens("Content-Encoding") {
		if e != "identity" {
			return true
		}
	}
	return false
}

// inDialog hands a request to its dialog, if it may belong to it.
func (s *Server) inDialog(d *Dialog, f *flow, m *message, key string) {
	switch s.gate.same(d.peer, f, m) {
	case stranger:
		s.report.Warn(CountToOtherTrunk, "a request for the dialog of another peer is refused", "remote", f.remote)
		if _, v := s.gate.check(f, nil); v == stranger {
			s.stranger(f, m, key)
		} else {
			s.reply(f, m, key, 481)
		}
		return
	case challenge:
		s.reply(f, m, key, 401, func(d *draft) { s.gate.digest.challenge(d, false) })
		return
	}
	if m.method == "CANCEL" {
		s.reply(f, m, key, 481)
		return
	}
	if m.method == "INVITE" && m.to.Tag() == "" && m.cseq <= d.firstSeq { // the first INVITE by another way
		s.reply(f, m, key, 482)
		return
	}
	in := &inbound{m: m, flow: f, at: now()}
	if m.method != "ACK" {
		if m.method != "BYE" && !d.allows() {
			s.report.Warn(CountRate, "a dialog's requests come too fast: they get 500", "remote", f.remote, "dialog", d.id)
			s.reply(f, m, key, 500, s.later)
			return
		}
		if in.tx = s.txs.begin(key, m, f, d.id); in.tx == nil {
			s.report.Count(CountFull)
			s.reply(f, m, key, 500, s.later)
			return
		}
	}
	d.put(in)
}
