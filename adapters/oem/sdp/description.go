package sdp

import (
	"net/netip"
	"time"
)

// MaxSections is how many m= lines a description may have.
const MaxSections = 64

// Description is what a peer described.
type Description struct {
	Origin   Origin
	Sections []Section // the m= lines in order
	Odd      []string  // what was mended or left out, for people; no caller data
}

// Origin is the o= line.
type Origin struct {
	User, Session, Version string
	Host                   string
}

// Direction is the direction of a section, as its sender sees it.
type Direction string

// The directions. DirectionUnsaid means that the peer wrote none, which RFC 8866 reads
// as sendrecv and a recorder as sendonly.
const (
	DirectionUnsaid Direction = ""
	SendRecv        Direction = "sendrecv"
	SendOnly        Direction = "sendonly"
	RecvOnly        Direction = "recvonly"
	Inactive        Direction = "inactive"
)

// Section is one m= line of a peer with what belongs to it.
type Section struct {
	Index    int    // among the m= lines, from 0
	Kind     string // audio, video, text, message…
	Port     int    // 0 says that the stream is over, or refused
	Protocol string // RTP/AVP, RTP/SAVP…
	Formats  []string

	Host     string         // of c=, as written; empty where no line says it
	Address  netip.Addr     // of Host; invalid where that is a name or missing
	RTCP     netip.AddrPort // where the sender wants RTCP; invalid where Address is
	Mux      bool           // a=rtcp-mux
	Label    string         // a=label
	Ptime    time.Duration  // 0 where nothing is said
	MaxPtime time.Duration

	Direction Direction // of the section, else of the session
	// Held is true where no audio is to be expected: a=inactive, c= without an address
	// (0.0.0.0), or no direction and an o= line without an address beside a c= line
	// (Metaswitch).
	Held bool

	Payloads []Payload // in the peer's order of preference
	Crypto   []Crypto  // the a=crypto lines that could be read, in order
	DTLS     bool      // keys by DTLS are on offer
}

// Codec names an encoding as RTP does.
type Codec string

// The encodings that a recorder decodes, and two that are not audio. Others stand in a
// Payload as the peer wrote them.
const (
	PCMU  Codec = "PCMU"
	PCMA  Codec = "PCMA"
	G722  Codec = "G722" // RTP clock 8000, audio at 16 kHz (RFC 3551 §4.5.2)
	Opus  Codec = "opus"
	Event Codec = "telephone-event" // RFC 4733
	Noise Codec = "CN"              // comfort noise, RFC 3389
)

// Audio reports whether a recorder can decode the codec into audio.
func (c Codec) Audio() bool { return c == PCMU || c == PCMA || c == G722 || c == Opus }

// Payload is a payload type with its meaning.
type Payload struct {
	Type     uint8
	Codec    Codec
	Clock    int    // of RTP, in hertz
	Channels int    // 1 where nothing is said
	Fmtp     string // format parameters as written
}

// Known reports whether a recorder understands the payload.
func (p Payload) Known() bool { return p.Codec.Audio() || p.Codec == Event || p.Codec == Noise }
