package signal

import (
	"slices"
	"time"
)

// take serves a request of the dialog, or holds it until those that it overtook are here.
func (d *Dialog) take(in *inbound) {
	if in.flow.alive() {
		d.flow = in.flow
	}
	if in.m.method == "ACK" {
		d.acknowledged(in)
		return
	}
	if !d.ready(in) && len(d.held) < maxHeld {
		d.s.report.Count(CountReordered)
		at, _ := slices.BinarySearchFunc(d.held, in, func(a, b *inbound) int { return int(int64(a.m.cseq) - int64(b.m.cseq)) })
		d.held = slices.Insert(d.held, at, in)
		return
	}
	d.serve(in)
	d.release()
}

// ready tells whether a request is next. One that changes the session waits for the ACK
// of our last answer as well.
func (d *Dialog) ready(in *inbound) bool {
	if in.m.cseq > d.theirs+1 {
		return false
	}
	switch in.m.method {
	case "INVITE", "UPDATE":
		return d.pending == nil || d.pending.implied
	}
	return true
}

// release serves those that were held and now are next.
func (d *Dialog) release() {
	for len(d.held) > 0 && !d.ended && d.ready(d.held[0]) {
		in := d.held[0]
		d.held = d.held[1:]
		d.serve(in)
	}
}

// serve answers a request. Whatever is still missing before it is not waited for.
func (d *Dialog) serve(in *inbound) {
	m := in.m
	if m.method == "BYE" { // however it is counted
		d.theirs = max(d.theirs, m.cseq)
		d.respond(in, 200)
		d.end(EndBye)
		return
	}
	if m.cseq <= d.theirs { // RFC 3261 §12.2.2
		d.respond(in, 500)
		return
	}
	d.theirs = m.cseq
	if d.pending != nil {
		d.pending.implied = true
	}
	if bad := d.s.unsupported(m); bad != "" {
		d.respond(in, 420, func(r *draft) { r.add("Unsupported", bad) })
		return
	}
	switch m.method {
	case "INVITE", "UPDATE":
		d.change(in)
	case "INFO":
		d.inform(in)
	case "OPTIONS":
		d.respond(in, 200, func(r *draft) {
			r.add("Contact", contactOf(in.flow, m.uri)).add("Allow", allow).add("Accept", accept).add("Supported", supported)
		})
	case "PRACK": // of a provisional answer that we never gave
		d.respond(in, 481)
	default:
		d.respond(in, notServed(m.method))
	}
}

// change serves a re-INVITE or UPDATE.
func (d *Dialog) change(in *inbound) {
	m := in.m
	ours := d.own != nil && d.retryAt.IsZero() || d.pending != nil && d.pending.offer
	if ours && (m.method == "INVITE" || m.sdp()) {
		d.s.report.Count(CountGlare)
		d.respond(in, 491)
		return
	}
	if encoded(m) {
		d.respond(in, 415, func(r *draft) { r.add("Accept-Encoding", "identity") })
		return
	}
	timer, bad := d.s.negotiate(m, d.timer)
	if bad != nil {
		d.respond(in, 422, bad)
		return
	}
	if !in.tx.begin() { // cancelled while it waited
		return
	}
	d.answer(in, d.session.Change(d.request(in)), timer)
}

func (d *Dialog) inform(in *inbound) {
	a := d.session.Inform(d.request(in))
	if a.Status == 0 {
		a.Status = 200
	}
	d.respond(in, a.Status, func(r *draft) {
		r.retryAfter(a.RetryAfter)
		for _, h := range a.Headers {
			r.add(h[0], h[1])
		}
	})
}

// timed does what session timers ask for.
func (d *Dialog) timed(t time.Time) {
	switch {
	case !d.timer.expiry.IsZero() && !t.Before(d.timer.expiry):
		d.s.report.Warn(CountExpired, "a dialog ends: its session interval ran out without a refresh", "remote", d.flow.remote, "dialog", d.id)
		d.bye(EndExpired, "session expired")
	case !d.timer.refresh.IsZero() && !t.Before(d.timer.refresh):
		d.timer.refresh = time.Time{}
		d.refresh()
	}
}
