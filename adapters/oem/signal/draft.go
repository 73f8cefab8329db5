package signal

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// draft is a message to be sent.
type draft struct {
	first string
	lines Headers
	body  []byte
}

func (d *draft) add(name, value string) *draft {
	d.lines = append(d.lines, Header{clean(name), clean(value)})
	return d
}

// bytes renders d, with its Content-Length.
func (d *draft) bytes() []byte {
	var b bytes.Buffer
	b.WriteString(d.first)
	b.WriteString("\r\n")
	for _, l := range d.lines {
		b.WriteString(l.Name)
		b.WriteString(": ")
		b.WriteString(l.Value)
		b.WriteString("\r\n")
	}
	b.WriteString("Content-Length: ")
	b.WriteString(strconv.Itoa(len(d.body)))
	b.WriteString("\r\n\r\n")
	b.Write(d.body)
	return b.Bytes()
}

// phrases of the status codes that we send.
var phrases = map[int]string{
	100: "Trying", 200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
	405: "Method Not Allowed", 406: "Not Acceptable", 408: "Request Timeout", 413: "Request Entity Too Large",
	415: "Unsupported Media Type", 416: "Unsupported URI Scheme", 420: "Bad Extension", 422: "Session Interval Too Small",
	480: "Temporarily Unavailable", 481: "Call/Transaction Does Not Exist", 482: "Loop Detected", 486: "Busy Here",
	487: "Request Terminated", 488: "Not Acceptable Here", 491: "Request Pending", 500: "Server Internal Error",
	501: "Not Implemented", 503: "Service Unavailable", 505: "Version Not Supported", 600: "Busy Everywhere", 603: "Decline",
}

// What OPTIONS says that we do, and what 405, 415 and 420 lean on.
const (
	allow     = "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO"
	accept    = "multipart/mixed, application/sdp, application/rs-metadata, application/rs-metadata+xml"
	supported = "siprec, timer, replaces"
)

// required are the option tags that Require may hold.
var required = map[string]bool{"siprec": true, "timer": true, "replaces": true, "100rel": true, "record-aware": true}

// answerTo begins an answer to m, which came from remote. tag goes to the To header if
// that has none.
func answerTo(m *message, remote netip.AddrPort, status int, reason, tag string) *draft {
	if reason == "" {
		reason = phrases[status]
	}
	d := &draft{first: "SIP/2.0 " + strconv.Itoa(status) + " " + clean(reason)}
	for i, v := range m.headers.Values("Via") {
		if i == 0 {
			v = strings.Replace(v, m.via.raw, m.via.received(remote), 1)
		}
		d.add("Via", v)
	}
	copyLine := func(name, more string) {
		if v := m.headers.Get(name); v != "" {
			d.add(name, v+more)
		}
	}
	copyLine("From", "")
	more := ""
	if status > 100 && m.to.Tag() == "" && tag != "" {
		if more = ";tag=" + tag; openBracket(m.headers.Get("To")) {
			more = ">" + more
		}
	}
	copyLine("To", more)
	copyLine("Call-ID", "")
	copyLine("CSeq", "")
	if status == 100 {
		copyLine("Timestamp", "")
	}
	if status > 100 && status < 300 && m.method == "INVITE" {
		for _, v := range m.headers.Values("Record-Route") {
			d.add("Record-Route", v)
		}
	}
	switch status {
	case 405, 501:
		d.add("Allow", allow)
	case 415:
		d.add("Accept", accept)
	}
	return d
}

func openBracket(v string) bool {
	i := indexOutsideQuotes(v, '<')
	return i >= 0 && !strings.Contains(v[i:], ">")
}

// received says in the Via where the request came from (RFC 3261 §18.2.1, RFC 3581 §4).
func (h hop) received(remote netip.AddrPort) string {
	if h.raw == "" || !remote.IsValid() {
		return h.raw
	}
	v := h.raw
	rport, asks := h.params.Get("rport")
	if asks && rport == "" {
		v = withParam(v, "rport", strconv.Itoa(int(remote.Port())))
	}
	if sent, err := netip.ParseAddr(h.host); asks || err != nil || sent.Unmap() != remote.Addr() {
		if _, said := h.params.Get("received"); !said {
			v += ";received=" + remote.Addr().String()
		}
	}
	return v
}

// withParam gives the first parameter of that name a value.
func withParam(v, name, value string) string {
	at := indexOutsideQuotes(v, ';')
	for at >= 0 {
		begin := at + 1
		end := len(v)
		if at = indexOutsideQuotes(v[begin:], ';'); at >= 0 {
			at += begin
			end = at
		}
		if has, _, _ := strings.Cut(v[begin:end], "="); strings.EqualFold(strings.TrimSpace(has), name) {
			return v[:begin] + name + "=" + value + v[end:]
		}
	}
	return v
}

// retryAfter adds the header, in whole seconds.
func (d *draft) retryAfter(t time.Duration) *draft {
	if t > 0 {
		d.add("Retry-After", strconv.Itoa(int((t+time.Second-1)/time.Second)))
	}
	return d
}
