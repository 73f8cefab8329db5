package sim

import (
	"bytes"
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// page fills in the templates. d.mu is held.
func (d *dialog) page(method, via string) page {
	local := d.line.local()
	customer, agent := d.Customer, d.Agent
	caller, called := customer, agent
	if d.Outbound {
		caller, called = agent, customer
	}
	user := cmp.Or(d.destination.user, "recorder")
	uri := fmt.Sprintf("sip:%s@%s", user, d.destination.host)
	p := page{
		Method: method, Target: cmp.Or(d.target, uri+";transport="+d.destination.transport), Via: via, To: uri, FromTag: d.ownTag, CallID: d.callID, CSeq: d.cseq,
		Host: local.String(), IP: d.mediaIP.String(), Transport: d.destination.transport, Same: d.same,
		Customer: customer, Agent: agent, Caller: caller, Called: called, Outbound: d.Outbound, Now: time.Now(), Conversation: d.Conversation, Expires: d.expires(),
		Phase: d.phase, Seed: d.seed, Version: d.version, Session: d.session, Zero: d.held && d.dialect.zeroHold,
	}
	if d.toTag != "" {
		p.ToTag = ";tag=" + d.toTag
	}
	direction := cmp.Or(d.dialect.direction, "sendonly")
	switch {
	case direction == "-" && (!d.held || d.dialect.zeroHold):
		direction = ""
	case d.held:
		direction = "inactive"
	}
	for i, s := range d.streams {
		profile := "RTP/AVP"
		if d.SRTP != "" {
			profile = "RTP/SAVP"
		}
		formats := d.formats()
		p.Tracks = append(p.Tracks, section{
			Index: i, Label: s.label, Port: strconv.Itoa(s.port()), Profile: profile, Formats: strings.Trim(fmt.Sprint(formats), "[]"),
			Attributes: d.attributes(s, formats), Direction: direction, Speaker: s.who.String(),
		})
	}
	return p
}

// expires is the session interval that is asked for, 0 for none.
func (d *dialog) expires() int {
	if d.dialect.noTimer {
		return 0
	}
	return max(0, d.Expires)
}

// formats are the payload numbers to offer.
func (d *dialog) formats() []int {
	pts := d.dialect.payloads
	switch {
	case d.wide:
		return []int{9, 101}
	case d.held && d.dialect.heldPayloads != nil:
		return d.dialect.heldPayloads
	case d.Codec == "":
		return pts
	}
	var chosen []int
	for _, pt := range pts {
		if t := payloadTypes[pt]; t.Name == "telephone-event" && t.Clock == payloadTypes[codecs[d.Codec]].Clock || t.Name == "CN" {
			chosen = append(chosen, pt)
		}
	}
	return append([]int{codecs[d.Codec]}, chosen...)
}

func (d *dialog) attributes(s *stream, formats []int) string {
	var b strings.Builder
	for _, pt := range formats {
		t := payloadTypes[pt]
		_, _ = fmt.Fprintf(&b, "a=rtpmap:%d %s\n", pt, t.rtpmap())
		if t.Format != "" {
			_, _ = fmt.Fprintf(&b, "a=fmtp:%d %s\n", pt, t.Format)
		}
	}
	_, _ = fmt.Fprintf(&b, "a=ptime:%d\n", d.Ptime/time.Millisecond)
	if d.SRTP != "" {
		b.WriteString(cryptoAttribute(d.SRTP, s.key))
	}
	return b.String()
}

// compose renders a request with the next number.
func (d *dialog) compose(method, form string, extra ...string) (offer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cseq++
	o := offer{branch: newBranch(), cseq: d.cseq}
	via := fmt.Sprintf("SIP/2.0/%s %s;rport;branch=%s", strings.ToUpper(d.line.transport), d.line.local(), o.branch)
	p := d.page(method, via)
	b, err := render(d.templates, form, p)
	if err != nil {
		return o, err
	}
	for _, r := range d.routes {
		extra = append(extra, "Route: "+r)
	}
	o.bytes = insert(b, extra...)
	if sdp, err := renderBody(d.templates, "sdp", p); err != nil {
		return o, err
	} else if bytes.Contains(o.bytes, bytes.TrimSpace(sdp)) {
		o.hasSDP = true
		if o.body, err = readDescription(sdp); err != nil {
			return o, err
		}
	}
	if d.same == "" {
		d.same = repeated(o.bytes)
	}
	return o, nil
}

// insert adds header lines after the start line.
func insert(b []byte, lines ...string) []byte {
	start, rest, _ := bytes.Cut(b, []byte("\r\n"))
	out := append(bytes.Clone(start), "\r\n"...)
	for _, line := range lines {
		out = append(out, line+"\r\n"...)
	}
	return append(out, rest...)
}

// repeated are the lines of an INVITE that requests within its dialog repeat.
func repeated(invite []byte) string {
	head, _, _ := bytes.Cut(invite, []byte("\r\n\r\n"))
	var same strings.Builder
	for line := range strings.SplitSeq(string(head), "\r\n") {
		if name, _, _ := strings.Cut(line, ":"); name == "From" || name == "Contact" {
			same.WriteString(line + "\n")
		}
	}
	return same.String()
}
