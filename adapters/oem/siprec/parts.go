package siprec

import (
	"bytes"
	"errors"
	"strings"
)

const (
	// MaxBody is the longest body that is read, in bytes; the rest is left out.
	MaxBody = 64 << 10
	// MaxParts is how many parts of a body are read.
	MaxParts = 16

	maxPartHeaders = 32
)

// Types of the parts that matter.
const (
	TypeSDP         = "application/sdp"
	TypeMetadata    = "application/rs-metadata+xml"
	TypeMetadataOld = "application/rs-metadata" // RFC 7866 before its erratum; most of the field
)

// ErrParts says that a multipart body is odd. What could be read is returned beside it.
var ErrParts = errors.New("siprec: odd multipart body")

// Part is one part of a body, or all of one that is not multipart.
type Part struct {
	Type        string // lower case, without parameters
	Disposition string // lower case, without parameters
	Body        []byte // a piece of the whole body; do not change it
}

// Parts takes a body apart: any order, blanks behind a boundary, a closing boundary or
// none, headers without a space behind the colon. A body that is not multipart is one
// part. contentType may be empty or wrong about the boundary; then the body shows it.
func Parts(contentType string, body []byte) ([]Part, error) {
	var odd error
	if len(body) > MaxBody {
		body, odd = body[:MaxBody], errors.Join(ErrParts, errors.New("siprec: the body is over 64 KB; its end was left out"))
	}
	kind, params := mediaType(contentType)
	if !strings.HasPrefix(kind, "multipart/") {
		if len(bytes.TrimSpace(body)) == 0 {
			return nil, odd
		}
		return []Part{{Type: guess(kind, body), Body: body}}, odd
	}
	boundary := parameter(params, "boundary")
	starts := boundaries(body, boundary)
	if len(starts) == 0 {
		// The header lies or says nothing: the first line that looks like a boundary is it.
		if boundary = shown(body); boundary != "" {
			starts = boundaries(body, boundary)
		}
		odd = errors.Join(odd, ErrParts, errors.New("siprec: the boundary of the Content-Type is not in the body"))
	}
	if len(starts) == 0 {
		return []Part{{Type: guess("", body), Body: body}}, odd
	}
	return cut(body, starts, odd)
}

// mark is a boundary line.
type mark struct {
	begin, end int // of the line, with its line end
	closing    bool
}

// cut returns what stands between boundary lines.
func cut(body []byte, starts []mark, odd error) ([]Part, error) {
	var list []Part
	for i, m := range starts {
		if m.closing {
			return list, odd
		}
		end := len(body)
		if i+1 < len(starts) {
			end = starts[i+1].begin
		} else {
			odd = errors.Join(odd, ErrParts, errors.New("siprec: the closing boundary is missing"))
		}
		if len(list) == MaxParts {
			return list, errors.Join(odd, ErrParts, errors.New("siprec: more than 16 parts"))
		}
		if p, ok := part(body[m.end:end]); ok {
			list = append(list, p)
		}
	}
	return list, odd
}

// boundaries finds the lines that begin with the boundary.
func boundaries(body []byte, boundary string) []mark {
	if boundary == "" {
		return nil
	}
	want := "--" + boundary
	var list []mark
	for at := 0; at < len(body) && len(list) <= 2*MaxParts; {
		end := lineEnd(body, at)
		line := string(bytes.TrimSpace(body[at:end]))
		if line == want || line == want+"--" {
			list = append(list, mark{at, end, line != want})
		}
		at = end
	}
	return list
}

func lineEnd(body []byte, at int) int {
	if i := bytes.IndexByte(body[at:], '\n'); i >= 0 {
		return at + i + 1
	}
	return len(body)
}

// shown returns the boundary that a body itself shows.
func shown(body []byte) string {
	for at := 0; at < len(body); {
		end := lineEnd(body, at)
		line := strings.TrimSpace(string(body[at:end]))
		if rest, ok := strings.CutPrefix(line, "--"); ok && rest != "" && !strings.HasSuffix(rest, "--") {
			return rest
		}
		if line != "" {
			return ""
		}
		at = end
	}
	return ""
}

// part reads one part: headers, an empty line, the body. Without headers it is a body.
func part(text []byte) (Part, bool) {
	var p Part
	at, headers := 0, 0
	for at < len(text) && headers < maxPartHeaders {
		end := lineEnd(text, at)
		line := strings.TrimSpace(string(text[at:end]))
		name, value, colon := strings.Cut(line, ":")
		if line == "" && headers == 0 && p.Type == "" && len(bytes.TrimSpace(text[end:])) > 0 && headerFollows(text[end:]) {
			at = end // an empty line too many before the headers
			continue
		}
		if line != "" && (!colon || strings.ContainsAny(name, " =<")) {
			break // no header: the empty line is missing
		}
		at = end
		if line == "" {
			break
		}
		headers++
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "content-type", "c":
			p.Type, _ = mediaType(value)
		case "content-disposition":
			p.Disposition, _ = mediaType(value)
		}
	}
	p.Body = trimEnd(text[at:])
	if len(p.Body) == 0 && p.Type == "" {
		return p, false
	}
	p.Type = guess(p.Type, p.Body)
	return p, true
}

func headerFollows(text []byte) bool {
	line := strings.ToLower(string(text[:min(len(text), 16)]))
	return strings.HasPrefix(line, "content-")
}

// trimEnd removes the line end that belongs to the boundary.
func trimEnd(b []byte) []byte {
	b = bytes.TrimSuffix(b, []byte("\n"))
	return bytes.TrimSuffix(b, []byte("\r"))
}

// mediaType splits a Content-Type or Content-Disposition.
func mediaType(value string) (kind, params string) {
	kind, params, _ = strings.Cut(value, ";")
	return strings.ToLower(strings.TrimSpace(kind)), params
}

// parameter finds a parameter, quoted or not.
func parameter(params, name string) string {
	for params != "" {
		var one string
		one, params = cutParam(params)
		key, value, _ := strings.Cut(one, "=")
		if strings.EqualFold(strings.TrimSpace(key), name) {
			return strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return ""
}

// cutParam cuts at the next semicolon outside quotes.
func cutParam(s string) (first, rest string) {
	quoted := false
	for i := range len(s) {
		switch s[i] {
		case '"':
			quoted = !quoted
		case ';':
			if !quoted {
				return s[:i], s[i+1:]
			}
		}
	}
	return s, ""
}

// guess says what a part is that does not say it.
func guess(kind string, body []byte) string {
	if kind != "" {
		return kind
	}
	start := bytes.TrimSpace(bytes.TrimPrefix(body[:min(len(body), 256)], []byte("\xef\xbb\xbf")))
	switch {
	case bytes.HasPrefix(start, []byte("v=")):
		return TypeSDP
	case bytes.HasPrefix(start, []byte("<")):
		return TypeMetadata
	}
	return "application/octet-stream"
}

// Body is what the parts of a request's body are to a recorder.
type Body struct {
	SDP      []byte // nil if there is none
	Metadata []byte // nil if there is none
	Others   []Part
	Odd      error // ErrParts, or nil
}

// Split takes a body apart and picks the description and the metadata. Of several the
// first one counts.
func Split(contentType string, body []byte) Body {
	list, err := Parts(contentType, body)
	b := Body{Odd: err}
	for _, p := range list {
		switch {
		case p.Type == TypeSDP && b.SDP == nil:
			b.SDP = p.Body
		case isMetadata(p) && b.Metadata == nil:
			b.Metadata = p.Body
		default:
			b.Others = append(b.Others, p)
		}
	}
	return b
}

func isMetadata(p Part) bool {
	return p.Type == TypeMetadata || p.Type == TypeMetadataOld ||
		p.Disposition == "recording-session" && strings.HasSuffix(p.Type, "xml")
}
