package signal

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Errors of Dialog.Reoffer.
var (
	ErrDialogOver = errors.New("signal: the dialog is over")
	ErrGlare      = errors.New("signal: the peer's own offers were always in the way (491)")
	ErrRefused    = errors.New("signal: the peer refused the offer")
	ErrNoAnswer   = errors.New("signal: the peer did not answer the offer")
)

// offer is a re-INVITE or a refreshing UPDATE of ours.
type offer struct {
	ctx    context.Context // of the one who asked; nil for a refresh
	method string
	sdp    []byte
	tries  int
	reply  chan reply // takes one without being waited for
}

type reply struct {
	sdp []byte
	err error
}

// result is how a request of ours went.
type result struct {
	o  *offer
	q  *query
	tx *clientTx
	m  *message // nil: no answer
}

// maxTries bounds a glare that never ends.
const maxTries = 10

// Reoffer sends a re-INVITE with sdp and returns the body of the peer's answer. On glare
// (491) it waits as RFC 3261 §14.1 says and tries again while ctx lasts. One runs at a
// time, and it waits for the ACK of our last answer. It must not be called from a method
// of the dialog's Session.
func (d *Dialog) Reoffer(ctx context.Context, sdp []byte) ([]byte, error) {
	o := &offer{ctx: ctx, method: "INVITE", sdp: sdp, reply: make(chan reply, 1)}
	select {
	case d.offers <- o:
	case <-d.over:
		return nil, ErrDialogOver
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case r := <-o.reply:
		return r.sdp, r.err
	case <-d.over:
		return nil, ErrDialogOver
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// begin takes an offer on.
func (d *Dialog) begin(o *offer) {
	d.own = o
	d.send()
}

// refresh keeps the session alive (RFC 4028 §7): by an UPDATE without a body, or where
// that is not known by a re-INVITE with what we described last.
func (d *Dialog) refresh() {
	if d.own != nil {
		return // an offer on its way refreshes as well
	}
	o := &offer{method: "UPDATE", reply: make(chan reply, 1)}
	if len(d.abilities) > 0 && !slices.Contains(d.abilities, "update") && len(d.sdp) > 0 {
		o.method, o.sdp = "INVITE", d.sdp
	}
	d.begin(o)
}

// send sends what is our own, in a goroutine that brings back how it went.
func (d *Dialog) send() {
	o := d.own
	if o.ctx != nil && o.ctx.Err() != nil {
		d.own = nil
		return
	}
	if d.pending != nil && o.method == "INVITE" { // their offer came first
		d.retryAt = now().Add(d.s.cfg.T1)
		return
	}
	o.tries++
	d.ours++
	q := d.compose(o.method, d.ours)
	d.timer.propose(q.draft)
	if len(o.sdp) > 0 {
		q.draft.add("Content-Type", "application/sdp")
		q.draft.body = o.sdp
	}
	d.s.workers.Go(func() {
		tx, m := d.s.request(q, 64*d.s.cfg.T1)
		d.results <- result{o: o, q: q, tx: tx, m: m} // there is room: one runs at a time
	})
}

// answered takes the answer to our request.
func (d *Dialog) answered(r result) {
	o, m := r.o, r.m
	if m != nil && m.status < 300 && o.method == "INVITE" {
		d.heed(m)
		ack := d.compose("ACK", r.q.seq)
		ack.over(r.tx.flow)
		r.tx.acknowledge(ack.draft)
	}
	switch {
	case m == nil || m.status == 408 || m.status == 481:
		d.own = nil
		o.reply <- reply{err: ErrNoAnswer}
		d.s.report.Warn(CountLost, "a dialog ends: the peer does not know it or does not answer", "remote", d.flow.remote, "dialog", d.id)
		d.bye(EndLost, "no answer")
	case m.status < 300:
		d.own = nil
		d.agreed(o, m)
	case m.status == 491 && o.tries < maxTries:
		d.s.report.Count(CountGlare)
		d.retryAt = now().Add(time.Duration(1+rand.IntN(199)) * 10 * time.Millisecond) // the Call-ID is the peer's
	case m.status == 491:
		d.own = nil
		d.refreshLater(o)
		o.reply <- reply{err: ErrGlare}
	case o.ctx == nil && o.method == "UPDATE" && len(d.sdp) > 0: // a refresh, which it does not take this way
		o.method, o.sdp = "INVITE", d.sdp
		d.send()
	default:
		d.own = nil
		d.refreshLater(o)
		o.reply <- reply{err: fmt.Errorf("%w: %d %s", ErrRefused, m.status, clean(m.reason))}
	}
}

// refreshLater tries a refresh again that the peer refused for now.
func (d *Dialog) refreshLater(o *offer) {
	if left := d.timer.expiry.Sub(now()); o.ctx == nil && left > 10*time.Second {
		d.timer.refresh = now().Add(left / 2)
	}
}

// agreed ends an offer well.
func (d *Dialog) agreed(o *offer, m *message) {
	if v := m.headers.Get("Session-Expires"); v != "" {
		t, bad := d.s.negotiate(m, d.timer)
		if bad == nil {
			who, _ := ParseParams(v).Get("refresher")
			t.weAre = strings.EqualFold(who, "uac") // now we are
			d.timer = t
		}
	}
	d.timer = d.timer.start(now())
	if len(o.sdp) > 0 {
		d.sdp = o.sdp
	}
	if to, ok := d.session.(Refreshed); ok && o.method == "INVITE" && (o.ctx == nil || o.ctx.Err() != nil) {
		to.Refreshed(m.body)
	}
	o.reply <- reply{sdp: m.body}
}

// farewell says BYE and waits for its answer, for a while.
func (d *Dialog) farewell(cause EndCause, reason string) {
	d.ours++
	q := d.compose("BYE", d.ours)
	q.draft.add("Reason", `SIP;cause=200;text="`+strings.NewReplacer(`"`, "'", `\`, "/").Replace(reason)+`"`)
	within := 64 * d.s.cfg.T1
	if cause == EndShutdown {
		within = min(within, d.s.cfg.StopGrace)
	}
	if _, m := d.s.request(q, within); m == nil {
		d.s.report.Count(CountLost)
	}
}
