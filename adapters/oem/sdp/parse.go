package sdp

import (
	"bytes"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"
)

const (
	maxPayloads = 128 // of an m= line: there are no more payload types
	maxCrypto   = 32  // lines of a section
	maxOdd      = 16  // words for people
	maxPtime    = 200 * time.Millisecond
)

// Parse reads a description as the field sends them: without t= or c=, with blank lines,
// with a foreign boundary at its end. It stops at the first line that is not x=. The
// error, ErrUnreadable or ErrTooLong, says that there is nothing to answer.
func Parse(text []byte) (Description, error) {
	var r reader
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	separator := "\n"
	if !bytes.Contains(text, []byte("\n")) {
		separator = "\r"
	}
	for line := range strings.SplitSeq(string(text), separator) {
		line = strings.Map(printable, strings.TrimSpace(line))
		if line == "" {
			continue
		}
		if len(line) < 2 || line[1] != '=' || line[0] < 'a' || line[0] > 'z' {
			if r.lines == 0 {
				return Description{}, ErrUnreadable
			}
			r.odd("the text after line %d is not SDP and was left out", r.lines)
			break
		}
		r.lines++
		if err := r.line(line[0], strings.TrimSpace(line[2:])); err != nil {
			return Description{}, err
		}
	}
	if r.lines == 0 || !r.version && len(r.d.Sections) == 0 {
		return Description{}, ErrUnreadable
	}
	r.finish()
	return r.d, nil
}

func printable(c rune) rune {
	if unicode.IsControl(c) && c != '\t' {
		return -1
	}
	return c
}

// reader is the state of Parse. What the session says holds for sections that say
// nothing themselves.
type reader struct {
	d       Description
	session Section
	lines   int
	version bool
	rtcp    []string // a=rtcp of each section, as written
}

func (r *reader) odd(format string, args ...any) {
	if len(r.d.Odd) < maxOdd {
		r.d.Odd = append(r.d.Odd, fmt.Sprintf(format, args...))
	}
}

// here returns the section that lines belong to.
func (r *reader) here() *Section {
	if n := len(r.d.Sections); n > 0 {
		return &r.d.Sections[n-1]
	}
	return &r.session
}

func (r *reader) line(kind byte, value string) error {
	switch kind {
	case 'v':
		r.version = true
	case 'o':
		if f := strings.Fields(value); len(r.d.Sections) == 0 && len(f) > 0 {
			f = append(f, make([]string, 6)...)
			r.d.Origin = Origin{User: f[0], Session: f[1], Version: f[2], Host: f[5]}
		}
	case 'c':
		f := strings.Fields(value)
		if len(f) == 0 {
			return nil
		}
		s := r.here()
		s.Host, _, _ = strings.Cut(f[len(f)-1], "/")
		s.Address = address(s.Host)
	case 'm':
		return r.media(value)
	case 'a':
		name, rest, _ := strings.Cut(value, ":")
		r.attribute(r.here(), strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(rest))
	}
	return nil
}

// address reads an IP address; it is invalid for a name.
func address(host string) netip.Addr {
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	if err != nil {
		return netip.Addr{}
	}
	return a.WithZone("").Unmap()
}

func (r *reader) media(value string) error {
	if len(r.d.Sections) == MaxSections {
		return ErrTooLong
	}
	f := strings.Fields(value)
	s := Section{Index: len(r.d.Sections)}
	if len(f) > 0 {
		s.Kind = strings.ToLower(f[0])
	}
	if len(f) > 1 {
		port, _, _ := strings.Cut(f[1], "/")
		n, err := strconv.Atoi(port)
		if err != nil || n < 0 || n > 65535 {
			n = 0
			r.odd("the port of m= line %d is no port; the line counts as refused", s.Index)
		}
		s.Port = n
	}
	if len(f) > 2 {
		s.Protocol = f[2]
	}
	if len(f) > 3 {
		s.Formats = f[3:]
	}
	for _, format := range s.Formats {
		if pt, err := strconv.ParseUint(format, 10, 7); err == nil && len(s.Payloads) < maxPayloads && strings.Contains(s.Protocol, "RTP") {
			s.Payloads = append(s.Payloads, static(uint8(pt)))
		}
	}
	r.d.Sections = append(r.d.Sections, s)
	r.rtcp = append(r.rtcp, "")
	return nil
}

// finish gives the sections what only the session said.
func (r *reader) finish() {
	origin := address(r.d.Origin.Host)
	for i := range r.d.Sections {
		s := &r.d.Sections[i]
		if s.Host == "" {
			s.Host, s.Address = r.session.Host, r.session.Address
		}
		if s.Direction == DirectionUnsaid {
			s.Direction = r.session.Direction
		}
		if s.Ptime == 0 {
			s.Ptime = r.session.Ptime
		}
		s.DTLS = s.DTLS || r.session.DTLS
		if s.Host == "" {
			r.odd("no c= line holds for m= line %d", i)
		}
		nowhere := s.Address.IsValid() && s.Address.IsUnspecified()
		// OpenSIPS writes an o= line without an address in every description, and no c=.
		fromNowhere := s.Host != "" && s.Direction == DirectionUnsaid && origin.IsValid() && origin.IsUnspecified()
		s.Held = s.Direction == Inactive || nowhere || fromNowhere
		s.RTCP = reports(s, r.rtcp[i])
	}
}
