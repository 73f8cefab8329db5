package signal

import (
	"net/netip"
	"strings"
)

// Request is a request as it came.
type Request struct {
	Method      string // in upper case for those that we know
	URI         string // the Request-URI, raw
	From        string // raw header values
	To          string
	CallID      string
	CSeq        uint32
	Headers     Headers // every line, in order
	ContentType string  // raw; empty if there is none
	Body        []byte
	Peer        Peer
}

// Peer is who sent a request.
type Peer struct {
	Trunk     string         // Trunk.Name; empty in open mode
	Proof     Proof          // the strongest that it brought
	User      string         // the digest user
	Name      string         // the name of its certificate that the trunk lists
	Addr      netip.AddrPort // where the packet or connection came from
	Transport string         // UDP, TCP or TLS
	Trusted   bool           // it proved itself; false in open mode
}

// Proof is how a peer showed who it is.
type Proof string

// The proofs.
const (
	ProofNone        Proof = "none"
	ProofAddress     Proof = "address"
	ProofCertificate Proof = "certificate"
	ProofDigest      Proof = "digest"
)

// Header is one header line. Folded lines are joined by a blank.
type Header struct{ Name, Value string }

// Headers are the header lines of a message in their order, as they came: names in
// their case and form, values without the blanks around them.
type Headers []Header

// Values returns the values of all lines with that name, long or compact, in any case.
// A line may hold several, separated by commas; see Split.
func (h Headers) Values(name string) []string {
	want := longName(name)
	var vs []string
	for _, l := range h {
		if longName(l.Name) == want {
			vs = append(vs, l.Value)
		}
	}
	return vs
}

// Get returns the first value of Values, or an empty string.
func (h Headers) Get(name string) string {
	want := longName(name)
	for _, l := range h {
		if longName(l.Name) == want {
			return l.Value
		}
	}
	return ""
}

// Has tells whether there is a line with that name.
func (h Headers) Has(name string) bool {
	want := longName(name)
	for _, l := range h {
		if longName(l.Name) == want {
			return true
		}
	}
	return false
}

// Tokens returns the parts of a header that is a list of words, such as Supported or
// Allow: of all its lines, in lower case, without the empty ones.
func (h Headers) Tokens(name string) []string {
	var ts []string
	for _, v := range h.Values(name) {
		for _, t := range Split(v) {
			if t != "" {
				ts = append(ts, strings.ToLower(t))
			}
		}
	}
	return ts
}

// compact forms: RFC 3261 §7.3.3, RFC 3515, 3892, 4028, 4474, 6665.
var compact = map[string]string{
	"a": "accept-contact", "b": "referred-by", "c": "content-type", "d": "request-disposition",
	"e": "content-encoding", "f": "from", "i": "call-id", "j": "reject-contact", "k": "supported",
	"l": "content-length", "m": "contact", "n": "identity-info", "o": "event", "r": "refer-to",
	"s": "subject", "t": "to", "u": "allow-events", "v": "via", "x": "session-expires", "y": "identity",
}

func longName(name string) string {
	name = strings.ToLower(strings.TrimSpace(name))
	if long, ok := compact[name]; ok {
		return long
	}
	return name
}
