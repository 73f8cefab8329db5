package receiver

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Codec is the encoding of an RTP payload, by its name in SDP.
type Codec string

// The codecs that a stream understands. ComfortNoise and Event carry no audio.
const (
	PCMU         Codec = "PCMU"
	PCMA         Codec = "PCMA"
	G722         Codec = "G722"
	Opus         Codec = "opus"
	ComfortNoise Codec = "CN"
	Event        Codec = "telephone-event"
)

// Payload is what a payload type number means in a session.
type Payload struct {
	Codec Codec
	Clock int // of RTP timestamps, in hertz; 0 is the codec's own (Opus 48000, else 8000)
}

// PayloadOf returns the payload for an encoding as SDP names it (a=rtpmap): name without
// regard to case, clock rate, number of channels (0 and 1 are mono). It reports false for
// one that a stream cannot use.
func PayloadOf(name string, clock, channels int) (Payload, bool) {
	for codec, fit := range codecs {
		if strings.EqualFold(name, string(codec)) {
			p := Payload{Codec: codec, Clock: clock}
			return p, fit.takes(p.clock()) && (channels <= 1 || codec == Opus)
		}
	}
	return Payload{}, false
}

// Audio reports whether the payload carries audio.
func (p Payload) Audio() bool { return codecs[p.Codec].audio }

// fit is what a codec asks of an SDP line.
type fit struct {
	audio bool
	clock int // its usual rate, and the only one of audio
}

var codecs = map[Codec]fit{
	PCMU:         {true, 8000},
	PCMA:         {true, 8000},
	G722:         {true, 8000},
	Opus:         {true, 48000},
	ComfortNoise: {false, 8000},
	Event:        {false, 8000},
}

func (f fit) takes(clock int) bool { return clock == f.clock || !f.audio && clock > 0 }

func (p Payload) clock() int {
	if p.Clock > 0 {
		return p.Clock
	}
	return codecs[p.Codec].clock
}

// Media is what signalling has agreed for a stream.
type Media struct {
	// Receive is false while the stream is held (a=inactive, c=0.0.0.0): what comes
	// meanwhile is dropped, and the silence is not counted as lost.
	Receive bool
	// Payloads holds every type that may come: all that were offered and that PayloadOf
	// takes, since some senders use another than the one answered.
	Payloads map[uint8]Payload
	// Sources are the addresses that may send: that of the SDP and that of the signalling
	// peer (Host), or media subnets. A sender's port is not asked for.
	Sources []netip.Prefix
	// RTCP is where reports go: a=rtcp, or the SDP address with its port + 1, or with Mux
	// the RTP address itself. When it is not valid they go where the peer's come from.
	RTCP netip.AddrPort
	Mux  bool // RTP and RTCP share the RTP port (a=rtcp-mux)
	// Keys is nil for plain RTP.
	Keys *Keys
	// Optional takes plain RTP beside Keys, until the first packet that the keys open
	// (RTP/AVP with a=crypto).
	Optional bool
}

// Host returns the prefix that holds one address alone, for Media.Sources.
func Host(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	return netip.PrefixFrom(a, a.BitLen())
}

// ErrMedia means that Accept was given what no stream can work with.
var ErrMedia = errors.New("receiver: unusable media description")

func (m *Media) validate() error {
	if m.Receive && len(m.Sources) == 0 {
		return fmt.Errorf("%w: no address may send", ErrMedia)
	}
	audio := false
	for number, p := range m.Payloads {
		f, ok := codecs[p.Codec]
		if !ok || number > 127 || !f.takes(p.clock()) {
			return fmt.Errorf("%w: payload type %d is %q at %d Hz", ErrMedia, number, p.Codec, p.clock())
		}
		audio = audio || f.audio
	}
	if m.Receive && !audio {
		return fmt.Errorf("%w: no payload type carries audio", ErrMedia)
	}
	return nil
}

// allows reports whether a packet may come from a.
func (m *Media) allows(a netip.Addr) bool {
	for _, p := range m.Sources {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
