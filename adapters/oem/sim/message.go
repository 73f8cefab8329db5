package sim

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// message is a SIP message that came, with its headers as they were.
type message struct {
	start   string
	headers [][2]string
	body    []byte
}

// maxMessage bounds what is read of one message on a stream.
const maxMessage = 64 << 10

var errMessage = errors.New("sim: unreadable SIP message")

// shortForms are the compact header names of RFC 3261.
var shortForms = map[string]string{
	"i": "call-id", "m": "contact", "e": "content-encoding", "l": "content-length", "c": "content-type",
	"f": "from", "s": "subject", "k": "supported", "t": "to", "v": "via", "x": "session-expires",
}

// parseHead reads start line and headers, without the blank line.
func parseHead(head []byte) (*message, error) {
	lines := strings.Split(strings.TrimRight(string(head), "\r\n"), "\r\n")
	m := &message{start: lines[0]}
	for _, line := range lines[1:] {
		if line != "" && (line[0] == ' ' || line[0] == '\t') && len(m.headers) > 0 {
			m.headers[len(m.headers)-1][1] += " " + strings.TrimSpace(line)
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		name = strings.TrimRight(name, " \t")
		if !ok || name == "" || strings.ContainsFunc(name, noToken) {
			return nil, fmt.Errorf("%w: header line %q", errMessage, line)
		}
		m.headers = append(m.headers, [2]string{name, strings.TrimSpace(value)})
	}
	if m.status() == 0 && m.method() == "" {
		return nil, fmt.Errorf("%w: start line %q", errMessage, m.start)
	}
	return m, nil
}

// noToken reports whether a character cannot stand in a header's name.
func noToken(c rune) bool {
	return c <= ' ' || c > '~' || strings.ContainsRune("()<>@,;:\\\"/[]?={}", c)
}

// parseDatagram reads a whole message.
func parseDatagram(b []byte) (*message, error) {
	head, body, ok := bytes.Cut(b, []byte("\r\n\r\n"))
	if !ok {
		return nil, fmt.Errorf("%w: no blank line", errMessage)
	}
	m, err := parseHead(head)
	if err != nil {
		return nil, err
	}
	if length := m.value("Content-Length"); length != "" {
		n, err := strconv.Atoi(length)
		if err != nil || n < 0 || n > len(body) {
			return nil, fmt.Errorf("%w: Content-Length %q with %d bytes", errMessage, length, len(body))
		}
		body = body[:n]
	}
	m.body = bytes.Clone(body)
	return m, nil
}

// readMessage reads the next message of a stream; keep-alives between them are skipped.
func readMessage(r *bufio.Reader) (*message, error) {
	var head []byte
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		if len(bytes.TrimRight(line, "\r\n")) == 0 {
			if len(head) == 0 {
				continue
			}
			break
		}
		if head = append(head, line...); len(head) > maxMessage {
			return nil, fmt.Errorf("%w: more than %d bytes of headers", errMessage, maxMessage)
		}
	}
	m, err := parseHead(head)
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(m.value("Content-Length"))
	if err != nil || n < 0 || n > maxMessage {
		return nil, fmt.Errorf("%w: Content-Length %q on a stream", errMessage, m.value("Content-Length"))
	}
	m.body = make([]byte, n)
	_, err = io.ReadFull(r, m.body)
	return m, err
}

// status is the code of a response, 0 for a request.
func (m *message) status() int {
	rest, ok := strings.CutPrefix(m.start, "SIP/2.0 ")
	if !ok || len(rest) < 3 {
		return 0
	}
	code, err := strconv.Atoi(rest[:3])
	if err != nil || code < 100 || code > 699 {
		return 0
	}
	return code
}

// method is that of a request, empty for a response.
func (m *message) method() string {
	method, rest, ok := strings.Cut(m.start, " ")
	if !ok || !strings.HasSuffix(rest, " SIP/2.0") {
		return ""
	}
	return method
}

// values are the values of all headers of a name, in their order.
func (m *message) values(name string) (all []string) {
	name = strings.ToLower(name)
	for _, h := range m.headers {
		n := strings.ToLower(h[0])
		if long, ok := shortForms[n]; ok {
			n = long
		}
		if n == name {
			all = append(all, h[1])
		}
	}
	return all
}

// value is the first of values, or empty.
func (m *message) value(name string) string {
	if all := m.values(name); len(all) > 0 {
		return all[0]
	}
	return ""
}

// tokens are the comma-separated words of all headers of a name, in lower case.
func (m *message) tokens(name string) (all []string) {
	for _, v := range m.values(name) {
		for word := range strings.SplitSeq(v, ",") {
			all = append(all, strings.ToLower(strings.TrimSpace(word)))
		}
	}
	return all
}

// cseq is the number and method of the CSeq header.
func (m *message) cseq() (n int, method string) {
	number, method, _ := strings.Cut(m.value("CSeq"), " ")
	n, err := strconv.Atoi(number)
	if err != nil {
		return -1, ""
	}
	return n, strings.TrimSpace(method)
}

// splitAddress cuts "name <uri>;params" into the URI and the header's parameters. Without
// angle brackets every parameter is the header's.
func splitAddress(value string) (uri, params string) {
	open := strings.IndexByte(value, '<')
	if open < 0 {
		uri, params, _ = strings.Cut(value, ";")
		return strings.TrimSpace(uri), params
	}
	shut := strings.IndexByte(value[open:], '>')
	if shut < 0 {
		return "", ""
	}
	return value[open+1 : open+shut], strings.TrimPrefix(strings.TrimSpace(value[open+shut+1:]), ";")
}

// param finds one of ;-separated parameters, compared without case.
func param(params, name string) (value string, ok bool) {
	for p := range strings.SplitSeq(params, ";") {
		n, v, _ := strings.Cut(strings.TrimSpace(p), "=")
		if strings.EqualFold(strings.TrimSpace(n), name) {
			return strings.Trim(strings.TrimSpace(v), `"`), true
		}
	}
	return "", false
}

// tag is the tag of an address header.
func tag(value string) string {
	_, params := splitAddress(value)
	t, _ := param(params, "tag")
	return t
}

// branch is the branch of the topmost Via.
func (m *message) branch() string {
	via, _, _ := strings.Cut(m.value("Via"), ",")
	b, _ := param(via, "branch")
	return b
}
