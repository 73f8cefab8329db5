package signal

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
)

// message is a request or a response as it came, and what of it could be read.
type message struct {
	method  string // empty for a response
	uri     string
	status  int // 0 for a request
	reason  string
	headers Headers
	body    []byte

	via    hop // the topmost
	from   Address
	to     Address
	callID string
	cseq   uint32
	about  string // the method in CSeq

	flaw flaw
}

// flaw is why a request that can be told apart is not served.
type flaw struct {
	status int
	text   string // the reason phrase
}

var errNotSIP = errors.New("not a SIP message")

// maxCSeq: RFC 3261 §8.1.1.5.
const maxCSeq = 1<<31 - 1

// parseHead reads a message up to its body. It fails only if nobody could say what the
// message is; everything else that is wrong becomes its flaw, and is answered.
func parseHead(head []byte) (*message, error) {
	first, lines := splitLines(head)
	m := &message{headers: lines}
	if err := m.startLine(first); err != nil {
		return nil, err
	}
	m.read()
	return m, nil
}

// parseDatagram reads a message that has a packet of its own: its body ends where
// Content-Length says, or with the packet.
func parseDatagram(b []byte) (*message, error) {
	b = bytes.TrimLeft(b, "\r\n \t\x00")
	head, body := cutHead(b)
	m, err := parseHead(head)
	if err != nil {
		return nil, err
	}
	n, stated, ok := m.contentLength()
	switch {
	case !ok:
		m.spoil(400, "Bad Content-Length")
	case stated && n > len(body):
		m.spoil(400, "Content-Length Beyond The Datagram")
	case stated:
		body = body[:n]
	}
	m.body = bytes.Clone(body)
	return m, nil
}

// cutHead splits at the first empty line, whatever its line ends are.
func cutHead(b []byte) (head, body []byte) {
	for i := 0; i < len(b); {
		n := bytes.IndexByte(b[i:], '\n')
		if n < 0 {
			break
		}
		if len(bytes.TrimRight(b[i:i+n], "\r")) == 0 {
			return b[:i], b[i+n+1:]
		}
		i += n + 1
	}
	return b, nil
}

// splitLines returns the start line and the header lines, unfolded. Lines without a
// colon are kept under an empty name.
func splitLines(head []byte) (string, Headers) {
	var first string
	var hs Headers
	for i, raw := range strings.Split(string(head), "\n") {
		line := strings.TrimRight(raw, "\r")
		switch {
		case i == 0:
			first = strings.ReplaceAll(line, "\r", " ")
		case line == "":
		case (line[0] == ' ' || line[0] == '\t') && len(hs) > 0:
			last := &hs[len(hs)-1]
			last.Value = strings.TrimSpace(last.Value + " " + clean(line))
		default:
			name, value, ok := strings.Cut(line, ":")
			if !ok {
				name, value = "", line
			}
			hs = append(hs, Header{Name: clean(name), Value: clean(value)})
		}
	}
	return first, hs
}

// clean makes a value fit to be sent back: no line breaks, no blanks around.
func clean(v string) string {
	if strings.ContainsAny(v, "\r\n\x00") {
		v = strings.Map(func(r rune) rune {
			if r == '\r' || r == '\n' || r == 0 {
				return ' '
			}
			return r
		}, v)
	}
	return strings.TrimSpace(v)
}

// methods that we know, for upper case and for 405 instead of 501.
var methods = map[string]bool{
	"INVITE": true, "ACK": true, "BYE": true, "CANCEL": true, "OPTIONS": true, "UPDATE": true, "INFO": true, "PRACK": true,
	"NOTIFY": true, "REFER": true, "MESSAGE": true, "SUBSCRIBE": true, "PUBLISH": true, "REGISTER": true,
}

func (m *message) startLine(line string) error {
	words := strings.Fields(line)
	if len(words) < 2 {
		return errNotSIP
	}
	if version := words[0]; isVersion(version) {
		status, err := strconv.Atoi(words[1])
		if err != nil || status < 100 || status > 699 {
			return errNotSIP
		}
		m.status, m.reason = status, strings.Join(words[2:], " ")
		return nil
	}
	m.method = words[0]
	if up := strings.ToUpper(m.method); methods[up] {
		m.method = up
	}
	version := words[len(words)-1]
	switch {
	case len(words) < 3 || !isVersion(version):
		if !m.headers.Has("Via") || !m.headers.Has("CSeq") {
			return errNotSIP
		}
		m.uri = words[1]
		m.spoil(400, "Bad Request Line")
		return nil
	case !strings.EqualFold(version, "SIP/2.0"):
		m.spoil(505, "")
	}
	m.uri = strings.Join(words[1:len(words)-1], " ")
	if len(words) > 3 || strings.ContainsAny(m.uri, "<>") {
		m.spoil(400, "Bad Request-URI")
	}
	return nil
}

func isVersion(s string) bool { return len(s) > 4 && strings.EqualFold(s[:4], "SIP/") }

// spoil notes a flaw; the first one counts.
func (m *message) spoil(status int, text string) {
	if m.flaw.status == 0 {
		m.flaw = flaw{status, text}
	}
}

// read takes what everybody needs out of the headers.
func (m *message) read() {
	m.callID = m.single("Call-ID")
	m.from = ParseAddress(m.single("From"))
	m.to = ParseAddress(m.single("To"))
	number, method, _ := strings.Cut(m.single("CSeq"), " ")
	n, err := strconv.ParseUint(number, 10, 64)
	m.about = strings.TrimSpace(method)
	if err != nil || n > maxCSeq || m.about == "" {
		m.spoil(400, "Bad CSeq")
	}
	m.cseq = uint32(min(n, maxCSeq))
	if m.status == 0 && !strings.EqualFold(m.about, m.method) {
		m.spoil(400, "CSeq Names Another Method")
	}
	if up := strings.ToUpper(m.about); methods[up] {
		m.about = up
	}
	var ok bool
	if m.via, ok = parseHop(m.headers); !ok {
		m.spoil(400, "Bad Via")
	}
	if m.status == 0 && m.flaw.status == 0 {
		switch scheme, _, _ := strings.Cut(m.uri, ":"); strings.ToLower(scheme) {
		case "sip", "sips", "tel":
		default:
			m.spoil(416, "")
		}
	}
}

// single returns the value of a header that must be there once. Twice the same is
// forgiven.
func (m *message) single(name string) string {
	vs := m.headers.Values(name)
	if len(vs) == 0 || vs[0] == "" {
		m.spoil(400, "Missing "+name)
		return ""
	}
	for _, v := range vs[1:] {
		if v != vs[0] {
			m.spoil(400, "Several "+name)
		}
	}
	return strings.ReplaceAll(vs[0], "\t", " ")
}

// contentLength returns the length of the body, if one is stated and readable.
func (m *message) contentLength() (n int, stated, ok bool) {
	for i, v := range m.headers.Values("Content-Length") {
		v = strings.TrimSpace(v)
		if v == "" {
			continue // an empty header says nothing
		}
		x, err := strconv.ParseUint(v, 10, 31)
		if err != nil || i > 0 && stated && int(x) != n {
			return 0, true, false
		}
		n, stated = int(x), true
	}
	return n, stated, true
}

// sdp tells whether the body has a session description: an offer, in an INVITE or UPDATE.
func (m *message) sdp() bool {
	if len(m.body) == 0 {
		return false
	}
	kind := strings.ToLower(m.headers.Get("Content-Type"))
	switch {
	case strings.HasPrefix(kind, "application/sdp"):
		return true
	case strings.HasPrefix(kind, "multipart/"):
		return bytes.Contains(bytes.ToLower(m.body), []byte("application/sdp"))
	}
	return kind == "" && bytes.HasPrefix(bytes.TrimSpace(m.body), []byte("v="))
}

// hop is one Via value.
type hop struct {
	raw       string
	transport string
	host      string
	port      int // 0: none given
	params    Params
}

// branchCookie begins a branch that names its transaction (RFC 3261 §8.1.1.7).
const branchCookie = "z9hG4bK"

// parseHop reads the topmost Via. It is not ok if that has no sent-by, or if the list
// has empty elements.
func parseHop(hs Headers) (hop, bool) {
	v := hs.Get("Via")
	all := Split(v)
	h := hop{raw: all[0], params: ParseParams(all[0])}
	proto := strings.TrimSpace(strings.ReplaceAll(beforeAny(all[0], ";"), "\t", " "))
	parts := strings.SplitN(proto, "/", 3)
	if len(parts) < 3 {
		return h, false
	}
	transport, sentBy, ok := strings.Cut(strings.TrimSpace(parts[2]), " ")
	if !ok || !strings.EqualFold(strings.TrimSpace(parts[0]), "SIP") {
		return h, false
	}
	h.transport = strings.ToUpper(transport)
	sentBy = strings.ReplaceAll(sentBy, " ", "")
	h.host = sentBy
	if i := strings.LastIndexByte(sentBy, ':'); i >= 0 && !strings.HasSuffix(sentBy, "]") {
		h.host = sentBy[:i]
		port, err := strconv.Atoi(sentBy[i+1:])
		if err != nil || port < 0 || port > 65535 {
			return h, false
		}
		h.port = port
	}
	h.host = strings.Trim(h.host, "[]")
	for _, other := range all[1:] {
		if other == "" {
			return h, false
		}
	}
	return h, h.host != ""
}

func (h hop) branch() string {
	b, _ := h.params.Get("branch")
	return b
}

// request is what a handler sees of m.
func (m *message) request(p Peer) *Request {
	return &Request{
		Method: m.method, URI: m.uri, From: m.headers.Get("From"), To: m.headers.Get("To"), CallID: m.callID, CSeq: m.cseq,
		Headers: m.headers, ContentType: m.headers.Get("Content-Type"), Body: m.body, Peer: p,
	}
}
