package sdp

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"time"
)

// Why an offer cannot be answered. Code maps them to SIP.
var (
	ErrUnreadable    = errors.New("sdp: not a session description")
	ErrTooLong       = fmt.Errorf("sdp: more than %d m= lines", MaxSections)
	ErrNoCommonCodec = errors.New("sdp: no audio stream with a codec that can be decoded; offer PCMU, PCMA, G722 or opus")
	ErrSRTPRequired  = errors.New("sdp: SRTP is required here and not offered; offer RTP/SAVP with a=crypto")
	ErrSRTPRefused   = errors.New("sdp: SRTP is offered and switched off here; offer RTP/AVP")
	ErrSRTPPlain     = errors.New("sdp: keys of SRTP are refused on signalling without TLS; use SIP over TLS")
	ErrSRTPSuite     = errors.New("sdp: no usable a=crypto line; offer AES_CM_128_HMAC_SHA1_80")
	ErrDTLS          = errors.New("sdp: keys by DTLS are not supported; offer RTP/AVP, or RTP/SAVP with a=crypto")
)

// Code returns the SIP status that an error of this package is answered with: 400 for
// what cannot be read, 488 for what cannot be served, 500 for the rest.
func Code(err error) int {
	for _, e := range []error{ErrUnreadable, ErrTooLong} {
		if errors.Is(err, e) {
			return 400
		}
	}
	for _, e := range []error{ErrNoCommonCodec, ErrSRTPRequired, ErrSRTPRefused, ErrSRTPPlain, ErrSRTPSuite, ErrDTLS} {
		if errors.Is(err, e) {
			return 488
		}
	}
	return 500
}

// Policy says what becomes of SRTP.
type Policy string

// The policies.
const (
	SRTPOptional Policy = "optional" // as the peer offers
	SRTPRequired Policy = "required"
	SRTPRefused  Policy = "refused"
)

// DefaultCodecs is the order in which a codec is chosen from an offer: those first that
// need no transcoding.
var DefaultCodecs = []Codec{PCMU, PCMA, G722, Opus}

// DefaultMaxStreams is Choices.MaxStreams where that is 0.
const DefaultMaxStreams = 8

// Choices is what we bring to an agreement.
type Choices struct {
	Address netip.Addr // ours, for o= and c=
	Session uint64     // our session id in o=, used when there is no previous agreement
	// Codecs in our order of preference; DefaultCodecs when empty. What is offered beside
	// the chosen one and can be decoded stays in Stream.Payloads, since senders switch.
	Codecs []Codec
	// MaxStreams bounds the accepted m= lines; others get port 0.
	MaxStreams int

	SRTP   Policy  // SRTPOptional when empty
	Suites []Suite // allowed; all of Suites when empty
	// Secure is true where the signalling came by TLS. Without it offered keys are refused,
	// unless PlainKeys allows them.
	Secure, PlainKeys bool

	// Inactive asks the peer to send nothing for now.
	Inactive bool
	// Port opens our port pair for a line which has none yet, and returns the RTP port; it
	// is called once everything else is decided. Its error ends the agreement as it is.
	Port func(index int) (int, error)
	// Random makes keys; crypto/rand when nil.
	Random io.Reader
}

// Agreement is a description of ours and what it means. It is not changed once made.
type Agreement struct {
	Body             []byte // our description; it may hold a key: see Redact
	Session, Version uint64 // of its o= line
	Streams          []Stream
}

// Stream is one m= line as agreed.
type Stream struct {
	Index int
	Kind  string
	Label string
	// Accepted is false where the line is refused or over; Refused says why, for people.
	Accepted bool
	Refused  string

	Port int // ours for RTP; RTCP is Port+1, or Port with Mux
	// Receive is false where the stream is held or paused, by either side.
	Receive bool
	// Held is true where the peer holds it.
	Held bool

	// Remote is the peer's media address. It never gets RTP from us, and may send from
	// elsewhere. Invalid where the peer gave none or a name.
	Remote netip.AddrPort
	RTCP   netip.AddrPort // where reports go; invalid where Remote is
	Mux    bool
	Ptime  time.Duration // 0 where nothing is said

	Codec    Payload   // the chosen one; of no Known codec where a held line names none
	Payloads []Payload // all that were offered and are understood, events and noise included

	Theirs *Crypto // what the peer encrypts with; nil for plain RTP
	Ours   *Crypto // what our RTCP is encrypted with
	// Optional is true where a peer that offers keys on RTP/AVP may send either.
	Optional bool

	protocol string
	formats  []string
}

// Payload returns the meaning of a payload type.
func (s Stream) Payload(pt uint8) (Payload, bool) {
	for _, p := range s.Payloads {
		if p.Type == pt {
			return p, true
		}
	}
	return Payload{}, false
}

// String says how many streams there are; the text stays out, since it may hold a key.
func (a *Agreement) String() string {
	n := 0
	for _, s := range a.Streams {
		if s.Accepted {
			n++
		}
	}
	return fmt.Sprintf("%d of %d streams, version %d", n, len(a.Streams), a.Version)
}

// GoString is String.
func (a *Agreement) GoString() string { return a.String() }

// LogValue is String.
func (a *Agreement) LogValue() slog.Value { return slog.StringValue(a.String()) }
