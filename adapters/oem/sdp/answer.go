package sdp

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// errEnded marks a line that the peer itself has closed.
var errEnded = errors.New("the stream is over")

// Answer answers an offer: every m= line in its order, recvonly or inactive, with one
// codec each. previous is the agreement of the dialog so far, nil at first: ports, keys
// and session id of it are kept. The error says why nothing of the offer can be served;
// see Code. The peer may end all streams of a dialog; that is no error.
func Answer(offer Description, previous *Agreement, c Choices) (*Agreement, error) {
	a := previous.next(c)
	var first error // why the first audio line was refused
	accepted, over := 0, 0
	for i, s := range offer.Sections {
		st, err := c.agree(s, previous.stream(i), accepted)
		switch {
		case err == nil:
			accepted++
		case errors.Is(err, errEnded):
			over++
		case first == nil || errors.Is(first, ErrNoCommonCodec):
			first = err
		}
		a.Streams = append(a.Streams, st)
	}
	if accepted == 0 && (previous == nil || over < len(offer.Sections) || over == 0) {
		if first == nil {
			first = ErrNoCommonCodec
		}
		return nil, first
	}
	return a, a.write(previous, c)
}

// next begins the agreement that follows a.
func (a *Agreement) next(c Choices) *Agreement {
	if a == nil {
		return &Agreement{Session: c.Session, Version: 1}
	}
	return &Agreement{Session: a.Session, Version: a.Version}
}

// profiles are the ways of RTP that an audio line may name. Those with TLS are told why
// they are refused.
var profiles = map[string]bool{
	"RTP/AVP": true, "RTP/AVPF": true, "RTP/SAVP": true, "RTP/SAVPF": true,
	"UDP/TLS/RTP/SAVP": true, "UDP/TLS/RTP/SAVPF": true,
}

// agree takes or refuses one line.
func (c *Choices) agree(s Section, before Stream, accepted int) (Stream, error) {
	st := Stream{Index: s.Index, Kind: s.Kind, Label: s.Label, protocol: s.Protocol, formats: s.Formats}
	if st.Label == "" && before.Accepted {
		st.Label = before.Label // said once is enough
	}
	refuse := func(err error) (Stream, error) {
		st.Refused = strings.TrimPrefix(err.Error(), "sdp: ")
		return st, err
	}
	limit := c.MaxStreams
	if limit == 0 {
		limit = DefaultMaxStreams
	}
	switch {
	case s.Port == 0:
		return refuse(errEnded)
	case s.Kind != "audio" || !profiles[strings.ToUpper(s.Protocol)]:
		st.Refused = fmt.Sprintf("%s over %s is not recorded", orElse(s.Kind, "nothing"), orElse(s.Protocol, "nothing"))
		return st, ErrNoCommonCodec
	case accepted >= limit:
		st.Refused = fmt.Sprintf("more than %d streams", limit)
		return st, ErrNoCommonCodec
	}
	st.hear(s)
	if st.Held && !st.Remote.IsValid() {
		st.Remote, st.RTCP = before.Remote, before.RTCP // held by an address of zero: it has not moved
	}
	if err := c.secure(&st, s, before); err != nil {
		return refuse(err)
	}
	if !c.choose(&st, s) {
		// A held line may name codecs for the time after (Metaswitch): it goes on as it is.
		if !s.Held || !before.Accepted || len(s.Payloads) == 0 {
			return refuse(ErrNoCommonCodec)
		}
		st.Codec = s.Payloads[0]
	}
	st.Accepted = true
	st.Port = before.Port
	st.Receive = !st.Held && !c.Inactive
	return st, nil
}

// hear notes what the peer says of its side.
func (st *Stream) hear(s Section) {
	st.Held = s.Held || s.Direction == RecvOnly
	st.Mux, st.Ptime, st.RTCP = s.Mux, s.Ptime, s.RTCP
	if s.Address.IsValid() && !s.Address.IsUnspecified() && s.Port > 0 {
		st.Remote = netip.AddrPortFrom(s.Address, uint16(s.Port))
	}
	if s.Mux {
		st.RTCP = st.Remote
	}
	for _, p := range s.Payloads {
		if p.Known() {
			st.Payloads = append(st.Payloads, p)
		}
	}
}

// choose picks the codec, ours before the peer's order.
func (c *Choices) choose(st *Stream, s Section) bool {
	for _, codec := range c.codecs() {
		if i := slices.IndexFunc(s.Payloads, func(p Payload) bool { return p.Codec == codec }); i >= 0 {
			st.Codec = s.Payloads[i]
			return true
		}
	}
	return false
}

func (c *Choices) codecs() []Codec {
	if len(c.Codecs) == 0 {
		return DefaultCodecs
	}
	return c.Codecs
}
