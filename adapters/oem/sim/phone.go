package sim

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Timers of RFC 3261 §17.
const (
	timerT1     = 500 * time.Millisecond
	timerT2     = 4 * time.Second
	patience    = 64 * timerT1 // for a final answer to a request
	ringTimeout = 3 * time.Minute
)

// phone is the SIP end of all calls: it matches answers to requests and requests to
// dialogs.
type phone struct {
	lines []*line

	mu      sync.Mutex
	waiting map[string]chan *message // answers, by branch
	dialogs map[string]*dialog       // by Call-ID and own tag
	refused map[string][]byte        // ACKs of refused INVITEs, by branch
	strange []string                 // what belonged to no dialog
}

func newPhone() *phone {
	return &phone{waiting: map[string]chan *message{}, dialogs: map[string]*dialog{}, refused: map[string][]byte{}}
}

func (p *phone) close() {
	for _, l := range p.lines {
		l.close()
	}
}

// newBranch is a branch that no other request has.
func newBranch() string { return "z9hG4bK" + rand.Text()[:16] }

// exchange sends a request and returns its final answer. An INVITE waits longer once it
// was answered provisionally.
func (p *phone) exchange(ctx context.Context, l *line, branch, method string, b []byte) (*message, error) {
	answers := make(chan *message, 8)
	p.mu.Lock()
	p.waiting[branch] = answers
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.waiting, branch)
		p.mu.Unlock()
	}()
	if err := l.send(b); err != nil {
		return nil, err
	}
	again := timerT1
	resend, limit := time.NewTimer(again), time.NewTimer(patience)
	defer resend.Stop()
	defer limit.Stop()
	if l.reliable() {
		resend.Stop()
	}
	for {
		select {
		case m := <-answers:
			if m.status() >= 200 {
				return m, nil
			}
			if method == "INVITE" {
				resend.Stop()
				limit.Reset(ringTimeout)
			} else {
				again = timerT2
			}
		case <-resend.C:
			if err := l.send(b); err != nil {
				return nil, err
			}
			if again *= 2; again > timerT2 && method != "INVITE" {
				again = timerT2
			}
			resend.Reset(again)
		case <-limit.C:
			return nil, fmt.Errorf("no answer to %s within %v", method, patience)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// receive takes what comes on a line.
func (p *phone) receive(l *line, m *message) {
	if m.status() > 0 {
		p.answer(l, m)
		return
	}
	if d := p.dialogOf(m.value("Call-ID"), tag(m.value("To"))); d != nil {
		d.asked(l, m)
		return
	}
	switch m.method() {
	case "ACK":
	case "OPTIONS":
		p.reply(l, m, 200, "OK", nil)
	default:
		p.note(m.method() + " outside of any dialog")
		p.reply(l, m, 481, "Call/Transaction Does Not Exist", nil)
	}
}

func (p *phone) answer(l *line, m *message) {
	p.mu.Lock()
	answers, ack := p.waiting[m.branch()], p.refused[m.branch()]
	p.mu.Unlock()
	switch _, method := m.cseq(); {
	case answers != nil:
		select {
		case answers <- m:
		default: // a flood of answers: the first are enough
		}
	case ack != nil:
		_ = l.send(ack) // as often as the answer comes
	case method == "INVITE" && m.status() >= 200 && m.status() < 300:
		if d := p.dialogOf(m.value("Call-ID"), tag(m.value("From"))); d != nil {
			d.acknowledgeAgain(m)
		}
	}
}

func (p *phone) dialogOf(callID, ownTag string) *dialog {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dialogs[callID+" "+ownTag]
}

func (p *phone) add(d *dialog) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dialogs[d.callID+" "+d.ownTag] = d
}

func (p *phone) remove(d *dialog) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.dialogs, d.callID+" "+d.ownTag)
}

// refuseAck remembers how a refusal is acknowledged, for when it comes again.
func (p *phone) refuseAck(branch string, ack []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused[branch] = ack
}

const maxStrange = 20

func (p *phone) note(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.strange) < maxStrange {
		p.strange = append(p.strange, what)
	}
}

// reply answers a request of the server.
func (p *phone) reply(l *line, m *message, status int, reason string, body []byte, extra ...string) {
	var b strings.Builder
	fmt.Fprintf(&b, "SIP/2.0 %d %s\r\n", status, reason)
	for _, h := range m.headers {
		switch strings.ToLower(h[0]) {
		case "via", "v", "from", "f", "to", "t", "call-id", "i", "cseq", "record-route":
			fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
		}
	}
	for _, line := range extra {
		b.WriteString(line + "\r\n")
	}
	if body != nil {
		b.WriteString("Content-Type: application/sdp\r\n")
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(body), body)
	if err := l.send([]byte(b.String())); err != nil {
		p.note("answer to " + m.method() + ": " + err.Error())
	}
}
