package signal

import (
	"strconv"
	"strings"
)

// Address is a name-addr or addr-spec, read tolerantly.
type Address struct {
	Display string
	URI     string // without the angle brackets
	Params  Params // those after the URI, and for a bare URI all of them
}

// ParseAddress reads one value of From, To, Contact, Route or their like. It reads
// everything: a missing ">" is taken to stand at the end, and parameters that stand
// inside the brackets stay in the URI, where URIParams finds them.
func ParseAddress(v string) Address {
	v = strings.TrimSpace(v)
	open := indexOutsideQuotes(v, '<')
	if open < 0 {
		uri, rest := v, ""
		if i := strings.IndexByte(v, ';'); i >= 0 {
			uri, rest = v[:i], v[i+1:]
		}
		return Address{URI: strings.TrimSpace(uri), Params: parseParams(rest)}
	}
	a := Address{Display: unquote(strings.TrimSpace(v[:open]))}
	uri, rest, closed := strings.Cut(v[open+1:], ">")
	a.URI = strings.TrimSpace(uri)
	if closed {
		_, rest, _ = strings.Cut(rest, ";")
		a.Params = parseParams(rest)
	}
	return a
}

// Tag returns the tag parameter. In a URI that is not closed it is looked for inside.
func (a Address) Tag() string {
	if t, ok := a.Params.Get("tag"); ok {
		return t
	}
	t, _ := a.URIParams().Get("tag")
	return t
}

// URIParams returns the parameters of the URI, those without a value too.
func (a Address) URIParams() Params {
	uri := a.URI
	if i := strings.IndexByte(uri, '?'); i >= 0 {
		uri = uri[:i]
	}
	_, after, ok := strings.Cut(uri, "@") // a user part may hold semicolons
	if !ok {
		after = uri
	}
	_, params, _ := strings.Cut(after, ";")
	return parseParams(params)
}

// Params are parameters in their order. Names are compared without case.
type Params []Param

// Param is one parameter; Set tells "name=" from "name".
type Param struct {
	Name, Value string
	Set         bool
}

// Get returns the first parameter of that name, unquoted.
func (p Params) Get(name string) (string, bool) {
	for _, q := range p {
		if strings.EqualFold(q.Name, name) {
			return q.Value, true
		}
	}
	return "", false
}

// ParseParams reads what follows the first semicolon of a header value.
func ParseParams(v string) Params {
	i := indexOutsideQuotes(v, ';')
	if i < 0 {
		return nil
	}
	return parseParams(v[i+1:])
}

func parseParams(s string) Params {
	var ps Params
	for s != "" {
		var one string
		if i := indexOutsideQuotes(s, ';'); i >= 0 {
			one, s = s[:i], s[i+1:]
		} else {
			one, s = s, ""
		}
		name, value, set := strings.Cut(one, "=")
		if name = strings.TrimSpace(name); name != "" {
			ps = append(ps, Param{Name: name, Value: unquote(strings.TrimSpace(value)), Set: set})
		}
	}
	return ps
}

// Split cuts a header value at the commas that stand outside quotes and angle brackets,
// and trims the parts. An unclosed bracket ends at the next comma that a new address
// follows.
func Split(v string) []string {
	var parts []string
	quoted, angle, start := false, false, 0
	for i := 0; i < len(v); i++ {
		switch c := v[i]; {
		case quoted && c == '\\':
			i++
		case c == '"' && !angle:
			quoted = !quoted
		case quoted:
		case c == '<':
			angle = true
		case c == '>':
			angle = false
		case c == ',' && (!angle || !strings.Contains(beforeNext(v[i:], '<'), ">")):
			parts = append(parts, strings.TrimSpace(v[start:i]))
			start, angle = i+1, false
		}
	}
	return append(parts, strings.TrimSpace(v[start:]))
}

// beforeNext returns s up to the next c, or all of it.
func beforeNext(s string, c byte) string {
	if i := strings.IndexByte(s, c); i >= 0 {
		return s[:i]
	}
	return s
}

// indexOutsideQuotes is strings.IndexByte for what stands outside quoted strings. A
// quote that is never closed counts as a plain character.
func indexOutsideQuotes(s string, c byte) int {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case c:
			return i
		case '"':
			if end := closingQuote(s[i+1:]); end >= 0 {
				i += 1 + end
			}
		}
	}
	return -1
}

func closingQuote(s string) int {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}

func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	s = s[1 : len(s)-1]
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// target is where a URI points.
type target struct {
	host      string
	port      int    // 0: none given
	transport string // "": none given
	loose     bool   // ;lr
}

// parseTarget reads a sip or sips URI. It is content with less than the grammar asks,
// such as a port that is no number, since a BYE must find its way all the same.
func parseTarget(raw string) (target, bool) {
	raw = strings.TrimSpace(raw)
	params := Address{URI: raw}.URIParams()
	var t target
	if v, ok := params.Get("transport"); ok {
		t.transport = strings.ToUpper(v)
	}
	_, t.loose = params.Get("lr")
	scheme, rest, ok := strings.Cut(raw, ":")
	secure := strings.EqualFold(scheme, "sips")
	if !ok || !secure && !strings.EqualFold(scheme, "sip") {
		return target{}, false
	}
	if secure {
		t.transport = TLS
	}
	if i := strings.LastIndexByte(beforeAny(rest, ">?"), '@'); i >= 0 {
		rest = rest[i+1:]
	}
	hostport := strings.TrimSpace(beforeAny(rest, ";>?, "))
	t.host = hostport
	if i := strings.LastIndexByte(hostport, ':'); i >= 0 && !strings.HasSuffix(hostport, "]") {
		t.host = hostport[:i]
		if n, err := strconv.Atoi(hostport[i+1:]); err == nil && n > 0 && n < 65536 {
			t.port = n
		}
	}
	t.host = strings.Trim(t.host, "[]")
	if t.host == "" {
		return target{}, false
	}
	return t, true
}

func beforeAny(s, chars string) string {
	if i := strings.IndexAny(s, chars); i >= 0 {
		return s[:i]
	}
	return s
}
