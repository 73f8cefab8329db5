package signal

import (
	"context"
	"crypto/rand"
	"strings"
	"sync"
	"time"
)

// Dialog is one SIP dialog, from its INVITE on. It is safe for concurrent use.
//
// One goroutine serves it, so that its requests, timers and own wishes come one after
// another; the readers of the sockets only put things into its queue.
type Dialog struct {
	s         *Server
	id        string // our tag
	callID    string
	remoteTag string
	firstSeq  uint32
	local     string // our address, as the peer's To said, with our tag: From of our requests
	remote    string // the peer's From: To of our requests
	peer      Peer

	queue  chan *inbound
	byes   chan string
	offers chan *offer
	halt   chan struct{} // the server stops
	gone   chan struct{} // another dialog takes its place
	over   chan struct{} // closed when nothing is taken any more

	mu     sync.Mutex
	closed bool
	rate   bucket
	halted bool
	cancel context.CancelFunc // ends Handler.Invite

	// What follows belongs to the goroutine.
	session   Session
	flow      *flow    // the latest way to the peer
	target    string   // the peer's Contact
	routes    []string // the route set
	abilities []string // the peer's Allow
	theirs    uint32   // the highest CSeq of the peer
	ours      uint32   // the latest CSeq of ours
	acked     uint32   // CSeq of the latest INVITE whose ACK came
	sdp       []byte   // what we described last
	pending   *unacked
	held      []*inbound // overtook others
	timer     sessionTimer
	own       *offer // our offer that is not answered yet
	results   chan result
	retryAt   time.Time // of own, after glare
	leaving   string    // Bye was called, and waits for an ACK
	ended     bool
}

// inbound is a request on its way through the queue.
type inbound struct {
	m    *message
	flow *flow
	tx   *serverTx // nil for ACK
	at   time.Time // when it came
}

const (
	queueLength = 32
	maxHeld     = 8
)

// now is the time; in tests it is a bubble's.
func now() time.Time { return time.Now() }

func newDialog(s *Server, f *flow, m *message, peer Peer) *Dialog {
	d := &Dialog{
		s: s, id: strings.ToLower(rand.Text()[:16]), callID: m.callID, remoteTag: m.from.Tag(), firstSeq: m.cseq, peer: peer,
		remote: m.headers.Get("From"), flow: f, theirs: m.cseq, ours: 1,
		queue: make(chan *inbound, queueLength), byes: make(chan string, 1), offers: make(chan *offer),
		halt: make(chan struct{}), gone: make(chan struct{}, 1), over: make(chan struct{}), results: make(chan result, 1),
	}
	to := m.headers.Get("To")
	if openBracket(to) {
		to += ">"
	}
	d.local = to + ";tag=" + d.id
	for _, v := range m.headers.Values("Record-Route") {
		for _, r := range Split(v) {
			if r != "" {
				d.routes = append(d.routes, r)
			}
		}
	}
	d.heed(m)
	return d
}

// heed takes the peer's target and abilities out of a request.
func (d *Dialog) heed(m *message) {
	if v := m.headers.Get("Contact"); v != "" {
		if uri := ParseAddress(Split(v)[0]).URI; uri != "" && uri != "*" {
			d.target = uri
		}
	}
	if m.headers.Has("Allow") {
		d.abilities = m.headers.Tokens("Allow")
	}
}

// ID names the dialog within the server: our tag.
func (d *Dialog) ID() string { return d.id }

// CallID is the SIP Call-ID, which two dialogs may share.
func (d *Dialog) CallID() string { return d.callID }

// Bye ends the dialog: BYE with that text as its Reason, then Session.End(EndOurs). It
// returns at once; before the INVITE is answered it refuses it with 480. Later calls do
// nothing.
func (d *Dialog) Bye(reason string) {
	select {
	case d.byes <- reason:
	default:
	}
}

// request is what the session sees of a request of the dialog.
func (d *Dialog) request(in *inbound) *Request {
	p := d.peer
	p.Addr, p.Transport = in.flow.remote, in.flow.transport // they may have changed on the way
	return in.m.request(p)
}

// start serves the dialog from its INVITE on.
func (d *Dialog) start(tx *serverTx, m *message) {
	ctx, cancel := context.WithCancel(context.Background()) // ended by CANCEL, by the server, by run
	d.mu.Lock()
	d.cancel = cancel
	if d.halted {
		cancel()
	}
	d.mu.Unlock()
	tx.onCancel(cancel)
	d.s.workers.Go(func() {
		defer d.s.dialogs.remove(d)
		defer cancel()
		d.run(ctx, tx, m)
	})
}

// stop tells the dialog that the server stops.
func (d *Dialog) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.halted {
		return
	}
	d.halted = true
	close(d.halt)
	if d.cancel != nil {
		d.cancel()
	}
}

// allows takes a token of the dialog's own rate.
func (d *Dialog) allows() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.s.cfg.Limits.DialogRate
	return d.rate.take(now(), r, max(2*r, 1))
}

// put queues a request. If the dialog is over, or its queue full, the request is
// answered here.
func (d *Dialog) put(in *inbound) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		select {
		case d.queue <- in:
			return
		default:
			if in.tx != nil {
				d.s.report.Count(CountRate)
				d.respond(in, 500, d.s.later)
			}
			return
		}
	}
	d.late(in)
}

// late answers a request for a dialog that is over.
func (d *Dialog) late(in *inbound) {
	switch {
	case in.tx == nil:
	case in.m.method == "BYE": // ours crossed it
		d.respond(in, 200)
	default:
		d.respond(in, 481)
	}
}

// respond answers a request without a body.
func (d *Dialog) respond(in *inbound, status int, more ...func(*draft)) {
	a := answerTo(in.m, in.flow.remote, status, "", d.id)
	d.s.identify(a)
	for _, add := range more {
		add(a)
	}
	in.tx.respond(status, a)
}

// run is the life of the dialog.
func (d *Dialog) run(ctx context.Context, tx *serverTx, m *message) {
	defer d.close()
	first := &inbound{m: m, flow: d.flow, tx: tx, at: now()}
	if !d.open(ctx, first) {
		return
	}
	clock := time.NewTimer(time.Hour)
	defer clock.Stop()
	for !d.ended {
		clock.Reset(d.due().Sub(now()))
		offers := d.offers
		if d.own != nil || d.pending != nil {
			offers = nil
		}
		select {
		case in := <-d.queue:
			d.take(in)
		case <-clock.C:
			d.tick(now())
		case reason := <-d.byes:
			d.leave(reason)
		case o := <-offers:
			d.begin(o)
		case r := <-d.results:
			d.answered(r)
		case <-d.gone:
			d.bye(EndReplaced, "replaced")
		case <-d.halt:
			d.bye(EndShutdown, "the recording server stops")
		}
	}
}

// close takes nothing more, and answers what waits.
func (d *Dialog) close() {
	d.s.dialogs.hide(d)
	d.mu.Lock()
	d.closed = true
	close(d.over)
	d.mu.Unlock()
	for {
		select {
		case in := <-d.queue:
			d.late(in)
			continue
		default:
		}
		break
	}
	for _, in := range d.held {
		d.late(in)
	}
	d.held = nil
}

// due is when something must be done next.
func (d *Dialog) due() time.Time {
	next := now().Add(time.Hour)
	sooner := func(t time.Time) {
		if !t.IsZero() && t.Before(next) {
			next = t
		}
	}
	if d.pending != nil {
		sooner(d.pending.next)
		sooner(d.pending.until)
	}
	if len(d.held) > 0 {
		sooner(d.held[0].at.Add(d.s.cfg.Limits.ReorderWait))
	}
	sooner(d.timer.refresh)
	sooner(d.timer.expiry)
	sooner(d.retryAt)
	return next
}

// tick does what is due.
func (d *Dialog) tick(t time.Time) {
	if p := d.pending; p != nil {
		d.repeat(p, t)
	}
	for len(d.held) > 0 && !d.ended && !t.Before(d.held[0].at.Add(d.s.cfg.Limits.ReorderWait)) {
		in := d.held[0]
		d.held = d.held[1:]
		d.serve(in)
		d.release()
	}
	if !d.retryAt.IsZero() && !t.Before(d.retryAt) && !d.ended {
		d.retryAt = time.Time{}
		d.send()
	}
	if !d.ended {
		d.timed(t)
	}
}

// end tells the session. A BYE, if any, follows.
func (d *Dialog) end(cause EndCause) {
	if d.ended {
		return
	}
	d.ended = true
	d.s.dialogs.hide(d)
	d.session.End(cause)
}

// bye ends the dialog from our side.
func (d *Dialog) bye(cause EndCause, reason string) {
	if d.ended {
		return
	}
	d.end(cause)
	d.farewell(cause, reason)
}

// leave is Bye, in the dialog's own time. A BYE must not overtake the ACK of our 2xx
// (RFC 3261 §15).
func (d *Dialog) leave(reason string) {
	if d.pending != nil && !d.pending.implied {
		d.leaving = reason
		if d.leaving == "" {
			d.leaving = "bye"
		}
		return
	}
	d.bye(EndOurs, reason)
}
