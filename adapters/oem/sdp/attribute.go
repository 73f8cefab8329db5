package sdp

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// static returns the meaning that RFC 3551 gives a payload type; no codec if none.
func static(pt uint8) Payload {
	p := Payload{Type: pt, Clock: 8000, Channels: 1}
	switch pt {
	case 0:
		p.Codec = PCMU
	case 2:
		p.Codec = "G721"
	case 3:
		p.Codec = "GSM"
	case 4:
		p.Codec = "G723"
	case 8:
		p.Codec = PCMA
	case 9:
		p.Codec = G722
	case 13:
		p.Codec = Noise
	case 15:
		p.Codec = "G728"
	case 18:
		p.Codec = "G729"
	}
	return p
}

func (r *reader) attribute(s *Section, name, value string) {
	switch name {
	case "sendrecv", "sendonly", "recvonly", "inactive":
		s.Direction = Direction(name)
	case "label":
		s.Label = value
	case "ptime":
		s.Ptime = r.ptime(value)
	case "maxptime":
		s.MaxPtime = r.ptime(value)
	case "rtcp-mux":
		s.Mux = true
	case "fingerprint":
		s.DTLS = true
	case "rtcp":
		if i := len(r.rtcp) - 1; i >= 0 {
			r.rtcp[i] = value
		}
	case "crypto":
		c, ok := parseCrypto(value)
		switch {
		case !ok:
			r.odd("an a=crypto line of m= line %d cannot be used", s.Index)
		case len(s.Crypto) < maxCrypto:
			s.Crypto = append(s.Crypto, c)
		}
	case "rtpmap":
		r.rtpmap(s, value)
	case "fmtp":
		pt, rest, _ := strings.Cut(value, " ")
		if p := payload(s, pt); p != nil {
			p.Fmtp = strings.TrimSpace(rest)
		}
	}
}

// ptime reads a length of time in milliseconds. What no telephone sends is left out.
func (r *reader) ptime(value string) time.Duration {
	ms, err := strconv.ParseFloat(value, 64)
	if d := time.Duration(ms * float64(time.Millisecond)); err == nil && ms >= 1 && d <= maxPtime {
		return d
	}
	return 0
}

func payload(s *Section, number string) *Payload {
	pt, err := strconv.ParseUint(number, 10, 7)
	if err != nil {
		return nil
	}
	i := slices.IndexFunc(s.Payloads, func(p Payload) bool { return p.Type == uint8(pt) })
	if i < 0 {
		return nil
	}
	return &s.Payloads[i]
}

func (r *reader) rtpmap(s *Section, value string) {
	f := strings.Fields(value)
	if len(f) < 2 {
		return
	}
	p := payload(s, f[0])
	if p == nil {
		return
	}
	words := strings.Split(f[1], "/")
	p.Codec, p.Clock, p.Channels = canonical(words[0]), 8000, 1
	if len(words) > 1 {
		if n, err := strconv.Atoi(words[1]); err == nil && n > 0 && n <= 192000 {
			p.Clock = n
		}
	}
	if len(words) > 2 {
		if n, err := strconv.Atoi(words[2]); err == nil && n > 0 && n <= 8 {
			p.Channels = n
		}
	}
	if !decodable(*p) {
		p.Codec = Codec(words[0] + "/" + strconv.Itoa(p.Clock)) // PCMU at 16 kHz is not PCMU
	}
}

func canonical(name string) Codec {
	for _, c := range []Codec{PCMU, PCMA, G722, Opus, Event, Noise} {
		if strings.EqualFold(name, string(c)) {
			return c
		}
	}
	return Codec(name)
}

// decodable says whether the rate and channels of a codec that we know are those that
// it is known with.
func decodable(p Payload) bool {
	switch p.Codec {
	case PCMU, PCMA, G722:
		return p.Clock == 8000 && p.Channels == 1
	case Opus:
		return p.Clock == 48000
	}
	return true
}

// reports finds where a sender wants RTCP: a=rtcp (RFC 3605), else the port after RTP's.
func reports(s *Section, attribute string) netip.AddrPort {
	host, port := s.Address, s.Port+1
	if f := strings.Fields(attribute); len(f) > 0 {
		if n, err := strconv.ParseUint(f[0], 10, 16); err == nil && n > 0 {
			port = int(n)
		}
		if len(f) >= 4 {
			if a := address(f[3]); a.IsValid() {
				host = a
			}
		}
	}
	if !host.IsValid() || host.IsUnspecified() || s.Port == 0 || port > 65535 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(host, uint16(port))
}
