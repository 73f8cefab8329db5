package sim

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
)

// description is what this client needs of an SDP: its own, or the server's.
type description struct {
	id      string // of o=, without the version
	version uint64
	zero    bool // o= has the address 0.0.0.0
	media   []mediaLine
}

// mediaLine is an m= section.
type mediaLine struct {
	kind      string // audio
	port      int
	profile   string
	formats   []string
	addr      netip.Addr // invalid when no c= line names one
	direction string     // as the attribute says; empty for none
	label     string
	ptime     string
	rtpmap    map[string]string
	crypto    []cryptoLine
	rtcp      int // port of a=rtcp, else 0
}

// cryptoLine is an a=crypto of RFC 4568.
type cryptoLine struct {
	tag, suite string
	key        []byte // master key and salt
}

// readDescription reads lines as they come; own descriptions may leave some out.
func readDescription(b []byte) (d description, err error) {
	var session netip.Addr
	for line := range strings.SplitSeq(strings.ReplaceAll(string(b), "\r\n", "\n"), "\n") {
		kind, value, ok := strings.Cut(line, "=")
		if !ok {
			continue
		}
		switch kind {
		case "o":
			f := strings.Fields(value)
			if len(f) != 6 {
				return d, fmt.Errorf("o=%s", value)
			}
			d.zero = f[5] == "0.0.0.0"
			d.id = strings.Join(slices.Delete(slices.Clone(f), 2, 3), " ")
			if d.version, err = strconv.ParseUint(f[2], 10, 64); err != nil {
				return d, fmt.Errorf("o=%s: the version is no number", value)
			}
		case "c":
			addr := connection(value)
			if len(d.media) == 0 {
				session = addr
			} else {
				d.media[len(d.media)-1].addr = addr
			}
		case "m":
			f := strings.Fields(value)
			if len(f) < 4 {
				return d, fmt.Errorf("m=%s", value)
			}
			port, err := strconv.Atoi(f[1])
			if err != nil {
				return d, fmt.Errorf("m=%s: the port is no number", value)
			}
			d.media = append(d.media, mediaLine{kind: f[0], port: port, profile: f[2], formats: f[3:], addr: session, rtpmap: map[string]string{}})
		case "a":
			if len(d.media) > 0 {
				if err := d.media[len(d.media)-1].attribute(value); err != nil {
					return d, err
				}
			}
		}
	}
	return d, nil
}

func connection(value string) netip.Addr {
	f := strings.Fields(value)
	if len(f) < 3 {
		return netip.Addr{}
	}
	addr, err := netip.ParseAddr(f[2])
	if err != nil {
		return netip.Addr{}
	}
	return addr
}

func (m *mediaLine) attribute(a string) error {
	name, value, _ := strings.Cut(a, ":")
	switch name {
	case "sendonly", "recvonly", "sendrecv", "inactive":
		m.direction = name
	case "label":
		m.label = value
	case "ptime":
		m.ptime = value
	case "rtpmap":
		pt, what, _ := strings.Cut(value, " ")
		m.rtpmap[pt] = what
	case "rtcp":
		port, _, _ := strings.Cut(value, " ")
		n, err := strconv.Atoi(port)
		if err != nil {
			return fmt.Errorf("a=%s", a)
		}
		m.rtcp = n
	case "crypto":
		f := strings.Fields(value)
		if len(f) < 3 || !strings.HasPrefix(f[2], "inline:") {
			return fmt.Errorf("a crypto line with %d words", len(f))
		}
		key, _, _ := strings.Cut(strings.TrimPrefix(f[2], "inline:"), "|")
		raw, err := base64.StdEncoding.DecodeString(key)
		if err != nil {
			return fmt.Errorf("a crypto line with an unreadable key")
		}
		m.crypto = append(m.crypto, cryptoLine{tag: f[0], suite: f[1], key: raw})
	}
	return nil
}

// codec returns what a payload number of the description stands for.
func (m *mediaLine) codec(pt string) (payloadType, bool) {
	n, err := strconv.Atoi(pt)
	if err != nil {
		return payloadType{}, false
	}
	known, ok := payloadTypes[n]
	if text := m.rtpmap[pt]; text != "" {
		name, rest, _ := strings.Cut(text, "/")
		clock, _, _ := strings.Cut(rest, "/")
		if !ok || !strings.EqualFold(name, known.Name) || clock != strconv.Itoa(known.Clock) {
			return payloadType{}, false
		}
	}
	return known, ok
}

// readAnswer reads the server's description as a strict client does.
func readAnswer(b []byte) (description, error) {
	var strict sdp.SessionDescription
	if err := strict.Unmarshal(b); err != nil {
		return description{}, fmt.Errorf("an unreadable description: %w", err)
	}
	return readDescription(b)
}
