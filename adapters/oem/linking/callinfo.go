package linking

import "strings"

// Purpose is the purpose of a Call-Info entry that names a conversation.
const Purpose = "Goog-ContactCenter-Conversation"

const (
	maxInfo    = 4 << 10 // bytes of a header value
	maxEntries = 32      // of all values of one header
)

// Info is one entry of a Call-Info header.
type Info struct {
	URI     string
	Purpose string
}

// ParseCallInfo reads the values of Call-Info: several, each a list.
func ParseCallInfo(values []string) []Info {
	var list []Info
	for _, v := range values {
		if len(v) > maxInfo {
			continue
		}
		for _, entry := range split(v, ',') {
			if len(list) == maxEntries {
				return list
			}
			if i, ok := parseInfo(entry); ok {
				list = append(list, i)
			}
		}
	}
	return list
}

func parseInfo(entry string) (Info, bool) {
	params := split(entry, ';')
	uri := strings.TrimSpace(params[0])
	uri = strings.TrimSuffix(strings.TrimPrefix(uri, "<"), ">")
	i := Info{URI: strings.TrimSpace(uri)}
	for _, p := range params[1:] {
		name, value, _ := strings.Cut(p, "=")
		if strings.EqualFold(strings.TrimSpace(name), "purpose") {
			i.Purpose = strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return i, i.URI != ""
}

// split cuts at a separator outside quotes and angle brackets. It returns one piece at
// least.
func split(s string, separator byte) []string {
	var list []string
	quoted, angle, from := false, false, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted:
			if c == '\\' {
				i++
			} else if c == '"' {
				quoted = false
			}
		case c == '"':
			quoted = true
		case c == '<':
			angle = true
		case c == '>':
			angle = false
		case c == separator && !angle:
			list = append(list, s[from:i])
			from = i + 1
		}
	}
	return append(list, s[from:])
}

// callInfo takes the first entry with Google's purpose that names a conversation.
func (l *Linker) callInfo(k *Link, r Request) (found, bool) {
	if r.Headers == nil {
		return found{}, false
	}
	var first *Name
	for _, i := range ParseCallInfo(r.Headers.Values("Call-Info")) {
		if !strings.EqualFold(i.Purpose, Purpose) {
			continue
		}
		n, ok := ParseName(i.URI)
		switch {
		case !ok:
			k.warn("a Call-Info with purpose %s names no valid conversation", Purpose)
		case first == nil:
			first = &n
		case n.String() != first.String():
			k.warn("several Call-Info with purpose %s name different conversations; the first counts", Purpose)
		}
	}
	if first == nil {
		return found{}, false
	}
	return found{first.String(), first, "Call-Info"}, true
}
