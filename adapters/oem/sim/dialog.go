package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// dialog is one recording dialog of a call, from the client's side.
type dialog struct {
	*call
	plan    dialogPlan
	key     string // of the call, as the server should see it
	line    *line
	callID  string
	ownTag  string
	session uint64
	streams []*stream

	changing sync.Mutex // held through an offer and its answer

	mu      sync.Mutex // guards what follows
	cseq    int
	target  string // where requests within the dialog go
	toTag   string
	routes  []string
	same    string // lines of the INVITE that others repeat
	phase   string
	version int
	held    bool
	wide    bool
	acks    map[int][]byte
	answer  description
	ended   chan struct{} // the server said BYE
	over    bool
}

// offer is a request on its way.
type offer struct {
	bytes  []byte
	branch string
	cseq   int
	body   description
	hasSDP bool
}

var errRefused = errors.New("sim: the server refused")

// request sends a request and waits for its final answer; it answers challenges, and comes
// back when the server was busy with an offer of its own.
func (d *dialog) request(ctx context.Context, method, form string) (o offer, m *message, err error) {
	var extra []string
	extra = append(extra, d.Headers...)
	for range 4 {
		if o, err = d.compose(method, form, extra...); err != nil {
			return o, nil, err
		}
		if m, err = d.phone.exchange(ctx, d.line, o.branch, method, o.bytes); err != nil {
			return o, nil, fmt.Errorf("%s: %w", method, err)
		}
		if method == "INVITE" && m.status() >= 300 {
			d.refuseAck(o, m)
		}
		switch {
		case (m.status() == 401 || m.status() == 407) && d.User != "" && len(extra) == len(d.Headers):
			line, err := authorize(m, d.User, d.Password, method, requestURI(o.bytes))
			if err != nil {
				return o, m, err
			}
			extra = append(extra, line)
		case m.status() == 491: // the owner of the Call-ID waits longer (RFC 3261 §14.1)
			if !wait(ctx, 2100*time.Millisecond+rand.N(1900*time.Millisecond)) {
				return o, m, ctx.Err()
			}
		default:
			return o, m, nil
		}
	}
	return o, m, nil
}

func requestURI(b []byte) string {
	f := strings.SplitN(string(b), " ", 3)
	return f[1]
}

// refuseAck acknowledges a refusal, within the INVITE's transaction.
func (d *dialog) refuseAck(o offer, m *message) {
	ack := d.acknowledgement(requestURI(o.bytes), o.branch, o.cseq, m.value("To"), "")
	d.phone.refuseAck(o.branch, ack)
	if err := d.line.send(ack); err != nil {
		d.phone.note("ACK: " + err.Error())
	}
}

func (d *dialog) acknowledgement(uri, branch string, cseq int, to, body string) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	var b strings.Builder
	_, _ = fmt.Fprintf(&b, "ACK %s SIP/2.0\r\nVia: SIP/2.0/%s %s;rport;branch=%s\r\nMax-Forwards: 70\r\n", uri, strings.ToUpper(d.line.transport), d.line.local(), branch)
	for _, r := range d.routes {
		b.WriteString("Route: " + r + "\r\n")
	}
	b.WriteString(strings.ReplaceAll(d.same, "\n", "\r\n"))
	_, _ = fmt.Fprintf(&b, "To: %s\r\nCall-ID: %s\r\nCSeq: %d ACK\r\n", to, d.callID, cseq)
	if body != "" {
		b.WriteString("Content-Type: application/sdp\r\n")
	}
	_, _ = fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(body), body)
	return []byte(b.String())
}

// acknowledge sends the ACK of a 2xx, and remembers it for when the 2xx comes again.
func (d *dialog) acknowledge(o offer, m *message, body string) {
	if d.NoAck {
		return
	}
	d.mu.Lock()
	target := d.target
	d.mu.Unlock()
	ack := d.acknowledgement(target, newBranch(), o.cseq, m.value("To"), body)
	d.mu.Lock()
	d.acks[o.cseq] = ack
	d.mu.Unlock()
	if err := d.line.send(ack); err != nil {
		d.fail(fmt.Errorf("ACK: %w", err))
	}
}

// acknowledgeAgain answers a 2xx that came again.
func (d *dialog) acknowledgeAgain(m *message) {
	n, _ := m.cseq()
	d.mu.Lock()
	ack := d.acks[n]
	d.mu.Unlock()
	if ack != nil {
		_ = d.line.send(ack) // as often as the 2xx comes
	}
}

// established takes target and routes of the first 2xx.
func (d *dialog) established(m *message) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if uri, _ := splitAddress(m.value("Contact")); uri != "" {
		d.target = uri
	}
	d.toTag = tag(m.value("To"))
	d.routes = m.values("Record-Route")
	slices.Reverse(d.routes)
}

// renegotiate sends an INVITE or UPDATE, checks its answer and does what was agreed.
func (d *dialog) renegotiate(ctx context.Context, method, form string) error {
	d.changing.Lock()
	defer d.changing.Unlock()
	o, m, err := d.request(ctx, method, form)
	if err != nil {
		return err
	}
	if m.status() >= 300 {
		return fmt.Errorf("%w %s: %s", errRefused, method, m.start)
	}
	first := d.toTag == ""
	if first {
		d.established(m)
	}
	if odd := checkAccepted(m, d.expires()); method == "INVITE" {
		d.odd(odd)
	}
	var answer description
	if len(m.body) > 0 {
		if t := m.value("Content-Type"); !strings.EqualFold(strings.TrimSpace(strings.SplitN(t, ";", 2)[0]), "application/sdp") {
			d.odd([]string{fmt.Sprintf("the answer to %s has a body of %q", method, t)})
		}
		if answer, err = readAnswer(m.body); err != nil {
			d.odd([]string{err.Error()})
			return err
		}
	}
	switch {
	case o.hasSDP && len(m.body) == 0:
		err = fmt.Errorf("the answer to the offer in %s has no description", method)
	case o.hasSDP:
		d.odd(checkAnswer(o.body, answer))
		d.odd(d.checkOrigin(answer))
		err = d.take(answer)
	case len(m.body) > 0 && method == "UPDATE":
		d.odd([]string{"the answer to an UPDATE without offer has a description"})
	}
	if method != "INVITE" {
		return err
	}
	body := ""
	if !o.hasSDP && len(m.body) > 0 { // the server's offer: our answer goes into the ACK
		d.odd(d.checkOrigin(answer))
		if first {
			d.odd(checkOffer(answer))
		}
		if body, err = d.reply(answer); err == nil {
			err = d.take(answer)
		}
	}
	d.acknowledge(o, m, body)
	return err
}

// checkOrigin is RFC 3264 §8: one id, and a version that rises by one where it changes.
func (d *dialog) checkOrigin(answer description) (odd []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.answer.id != "" {
		if d.answer.id != answer.id {
			odd = append(odd, "the answer's o= line names another session than before")
		}
		if v := answer.version; v != d.answer.version && v != d.answer.version+1 {
			odd = append(odd, fmt.Sprintf("the answer's version went from %d to %d", d.answer.version, v))
		}
	}
	d.answer = answer
	return odd
}

// take aims the streams at what the server wants them to send, and where.
func (d *dialog) take(theirs description) error {
	for i, s := range d.streams {
		if i >= len(theirs.media) {
			continue
		}
		m := theirs.media[i]
		if m.port == 0 {
			s.setSending(false)
			continue
		}
		if m.direction == "inactive" {
			s.setSending(false)
			if !m.addr.IsValid() || m.addr.IsUnspecified() {
				continue
			}
		}
		t, err := aimAt(m)
		if err == nil {
			err = s.aim(t)
		}
		if err != nil {
			return fmt.Errorf("label %s: %w", s.label, err)
		}
		s.setSending(m.direction == "recvonly" || m.direction == "sendrecv")
	}
	return nil
}

// reply is our description as an answer to an offer of the server.
func (d *dialog) reply(theirs description) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.version++
	p := d.page("", "")
	for i := range p.Tracks {
		if i >= len(theirs.media) {
			break
		}
		m := theirs.media[i]
		var formats []int
		for _, pt := range m.formats {
			if n, err := strconv.Atoi(pt); err == nil {
				if t, ok := m.codec(pt); ok && (t.Rate > 0 || t.Name == "telephone-event") && (d.Codec == "" || t.Rate == 0 || codecs[d.Codec] == n) {
					formats = append(formats, n)
				}
			}
		}
		p.Tracks[i].Formats = strings.Trim(fmt.Sprint(formats), "[]")
		p.Tracks[i].Attributes = d.attributes(d.streams[i], formats)
		p.Tracks[i].Direction = "sendonly"
		if m.direction == "inactive" {
			p.Tracks[i].Direction = "inactive"
		}
	}
	b, err := renderBody(d.templates, "sdp", p)
	return string(b), err
}

// asked answers a request of the server within the dialog.
func (d *dialog) asked(l *line, m *message) {
	switch m.method() {
	case "ACK":
	case "BYE":
		d.phone.reply(l, m, 200, "OK", nil)
		d.mu.Lock()
		defer d.mu.Unlock()
		if !d.over {
			d.over = true
			d.observe(d.key, StepServer, "BYE "+m.value("Reason"))
			close(d.ended)
		}
	case "INVITE", "UPDATE":
		d.reoffered(l, m)
	case "OPTIONS", "INFO":
		d.phone.reply(l, m, 200, "OK", nil)
	default:
		d.phone.reply(l, m, 405, "Method Not Allowed", nil, "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, INFO")
	}
}

// reoffered answers an offer of the server: it pauses or resumes the recording.
func (d *dialog) reoffered(l *line, m *message) {
	if !d.changing.TryLock() {
		d.phone.reply(l, m, 491, "Request Pending", nil)
		return
	}
	defer d.changing.Unlock()
	contact := d.contact()
	if len(m.body) == 0 {
		d.phone.reply(l, m, 200, "OK", nil, contact)
		return
	}
	offer, err := readAnswer(m.body)
	if err != nil {
		d.odd([]string{err.Error()})
		d.phone.reply(l, m, 400, "Bad Request", nil)
		return
	}
	d.odd(d.checkOrigin(offer))
	body, err := d.reply(offer)
	if err == nil {
		err = d.take(offer)
	}
	if err != nil {
		d.fail(err)
		d.phone.reply(l, m, 488, "Not Acceptable Here", nil)
		return
	}
	d.observe(d.key, StepServer, m.method()+" with an offer")
	d.phone.reply(l, m, 200, "OK", []byte(body), contact)
}

// contact is the header line by which the server reaches us.
func (d *dialog) contact() string {
	return fmt.Sprintf("Contact: <sip:%s;transport=%s>;+sip.src", d.line.local(), d.line.transport)
}

// bye ends the dialog.
func (d *dialog) bye(ctx context.Context) error {
	_, m, err := d.request(ctx, "BYE", "empty")
	if err != nil {
		return err
	}
	if m.status() >= 300 {
		return fmt.Errorf("%w BYE: %s", errRefused, m.start)
	}
	return nil
}
