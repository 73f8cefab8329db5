package signal

import (
	"context"
	"strings"
	"time"
)

// unacked is a 2xx of ours whose ACK has not come.
type unacked struct {
	seq     uint32
	bytes   []byte
	tx      *serverTx
	offer   bool          // it held an offer: the ACK has the answer
	implied bool          // a later request showed that the 2xx arrived
	next    time.Time     // when it is sent again
	pause   time.Duration // and after that
	until   time.Time     // when the peer is given up
}

// open answers the first INVITE. It is false if there is no dialog to serve.
func (d *Dialog) open(ctx context.Context, in *inbound) bool {
	timer, bad := d.s.negotiate(in.m, sessionTimer{})
	if bad != nil {
		d.respond(in, 422, bad)
		return false
	}
	session, a := d.s.handler.Invite(ctx, d, d.request(in))
	if session == nil && a.Status < 300 {
		a = Answer{Status: 500}
	}
	select {
	case <-d.byes:
		if session == nil || a.Status < 300 {
			a = Answer{Status: 480}
		}
	case <-d.halt:
		if a.Status < 300 {
			a = Answer{Status: 503, RetryAfter: d.s.cfg.RetryAfter}
		}
	default:
	}
	sent := d.answer(in, a, timer)
	if sent && a.Status < 300 {
		d.session = session
		d.replace(in.m)
		return true
	}
	if session != nil {
		d.session = session
		switch {
		case !sent:
			d.end(EndCancelled)
		case a.Status == 503:
			d.end(EndShutdown)
		default:
			d.end(EndOurs)
		}
	}
	return false
}

// answer sends what a session said to an INVITE or UPDATE. It is false if CANCEL was
// first.
func (d *Dialog) answer(in *inbound, a Answer, timer sessionTimer) bool {
	if a.Status == 0 {
		a.Status = 200
	}
	r := answerTo(in.m, in.flow.remote, a.Status, a.Reason, d.id)
	d.s.identify(r)
	if a.Status < 300 {
		r.add("Contact", contactOf(in.flow, in.m.uri)).add("Allow", allow).add("Supported", supported)
		timer.describe(r)
	}
	r.retryAfter(a.RetryAfter)
	for _, h := range a.Headers {
		r.add(h[0], h[1])
	}
	if len(a.Body) > 0 {
		r.add("Content-Type", "application/sdp")
		r.body = a.Body
	}
	if !in.tx.respond(a.Status, r) {
		return false
	}
	if a.Status >= 300 {
		return true
	}
	d.heed(in.m)
	d.timer = timer.start(now())
	if len(a.Body) > 0 {
		d.sdp = a.Body
	}
	if in.m.method == "INVITE" {
		t1 := d.s.cfg.T1
		d.pending = &unacked{
			seq: in.m.cseq, bytes: r.bytes(), tx: in.tx, offer: len(a.Body) > 0 && !in.m.sdp(),
			next: now().Add(t1), pause: min(2*t1, T2), until: now().Add(64 * t1),
		}
	}
	return true
}

// repeat sends a 2xx again until its ACK comes (RFC 3261 §13.3.1.4), on streams too.
func (d *Dialog) repeat(p *unacked, t time.Time) {
	if !t.Before(p.until) {
		d.pending = nil
		switch {
		case d.leaving != "":
			d.bye(EndOurs, d.leaving)
		case !p.implied:
			d.s.report.Warn(CountNoAck, "a dialog ends: the peer never acknowledged our answer", "remote", d.flow.remote, "dialog", d.id)
			d.bye(EndNoAck, "no ACK")
		}
		return
	}
	if t.Before(p.next) {
		return
	}
	p.next, p.pause = t.Add(p.pause), min(2*p.pause, T2)
	p.tx.follow(d.flow)
	if err := p.tx.send(p.bytes); err != nil { // perhaps the peer comes back by another connection
		d.s.report.Count(CountUnsent)
	}
}

// acknowledged takes an ACK. Its CSeq should be that of the INVITE, but some peers count
// on; only a repeated ACK of an earlier INVITE is told apart.
func (d *Dialog) acknowledged(in *inbound) {
	p := d.pending
	if p == nil || in.m.cseq != p.seq && in.m.cseq == d.acked {
		return
	}
	d.pending, d.acked = nil, p.seq
	d.session.Acknowledge(d.request(in))
	if d.leaving != "" {
		d.bye(EndOurs, d.leaving)
		return
	}
	d.release()
}

// replace ends the dialog that the INVITE of this one names (RFC 3891). One that is not
// there, or another peer's, is no reason to refuse a recording.
func (d *Dialog) replace(m *message) {
	v := m.headers.Get("Replaces")
	if v == "" {
		return
	}
	callID, rest, _ := strings.Cut(v, ";")
	params := parseParams(rest)
	toTag, _ := params.Get("to-tag")
	fromTag, _ := params.Get("from-tag")
	old := d.s.dialogs.named(strings.TrimSpace(callID), toTag, fromTag)
	if old == nil || old == d || old.peer.Trunk != d.peer.Trunk {
		return
	}
	select {
	case old.gone <- struct{}{}:
	default:
	}
}
