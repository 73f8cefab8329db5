package sdp

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The payload types of an offer of ours.
const (
	typePCMU  = 0
	typePCMA  = 8
	typeG722  = 9
	typeEvent = 101
	typeOpus  = 111
)

// Offer makes an offer of ours. Without a previous agreement it has one stream, for a
// peer that asks us to offer first (CUCM): recvonly, no label. With one it describes what
// is agreed, as a peer wants it that sends a re-INVITE without a description; c.Inactive
// makes it a pause. Nothing is agreed before Accept.
func Offer(previous *Agreement, c Choices) (*Agreement, error) {
	a := previous.next(c)
	if previous == nil {
		st, err := c.fresh()
		if err != nil {
			return nil, err
		}
		a.Streams = []Stream{st}
		return a, a.write(nil, c)
	}
	for _, st := range previous.Streams {
		st.Receive = st.Accepted && !c.Inactive
		if st.formats == nil && !st.Accepted {
			st.formats = []string{fmt.Sprint(typePCMU)}
		}
		if st.Accepted {
			st.formats = nil // all payloads are on offer again
			st.Payloads = withAudio(st.Payloads)
		}
		a.Streams = append(a.Streams, st)
	}
	return a, a.write(previous, c)
}

// withAudio adds PCMU and PCMA where a held line has no codec that we know.
func withAudio(list []Payload) []Payload {
	if slices.ContainsFunc(list, func(p Payload) bool { return p.Codec.Audio() }) {
		return list
	}
	return append(slices.Clone(list), static(typePCMU), static(typePCMA))
}

// fresh is the one stream of a first offer.
func (c *Choices) fresh() (Stream, error) {
	st := Stream{Kind: "audio", Accepted: true, Receive: !c.Inactive, protocol: "RTP/AVP"}
	codecs := c.Codecs
	if len(codecs) == 0 {
		codecs = []Codec{PCMU, PCMA, G722}
	}
	for _, codec := range codecs {
		p := Payload{Codec: codec, Clock: 8000, Channels: 1}
		switch codec {
		case PCMU:
			p.Type = typePCMU
		case PCMA:
			p.Type = typePCMA
		case G722:
			p.Type = typeG722
		case Opus:
			p.Type, p.Clock, p.Channels = typeOpus, 48000, 2
		default:
			continue
		}
		st.Payloads = append(st.Payloads, p)
	}
	if len(st.Payloads) == 0 {
		return st, ErrNoCommonCodec
	}
	st.Codec = st.Payloads[0]
	st.Payloads = append(st.Payloads, Payload{Type: typeEvent, Codec: Event, Clock: 8000, Channels: 1, Fmtp: "0-15"})
	if c.SRTP != SRTPRequired {
		return st, nil
	}
	if !c.Secure && !c.PlainKeys {
		return st, ErrSRTPPlain
	}
	suite := AES128SHA80
	if len(c.Suites) > 0 {
		suite = c.Suites[0]
	}
	var err error
	st.protocol = "RTP/SAVP"
	st.Ours, err = c.key(1, suite, nil)
	return st, err
}

// Accept takes the peer's answer to an offer of ours and returns what is agreed. Lines
// that the answer refuses, or has not, are over.
func (a *Agreement) Accept(answer Description, c Choices) (*Agreement, error) {
	now := &Agreement{Body: a.Body, Session: a.Session, Version: a.Version}
	accepted, live := 0, 0
	first := ErrNoCommonCodec
	for i, offered := range a.Streams {
		st := offered
		st.Accepted, st.Receive, st.Theirs, st.Optional = false, false, nil, false
		if offered.Accepted {
			live++
			err := errEnded
			if i < len(answer.Sections) {
				err = c.accept(&st, offered, answer.Sections[i])
			}
			if err == nil {
				accepted++
			} else if st.Refused = strings.TrimPrefix(err.Error(), "sdp: "); !errors.Is(err, errEnded) {
				first = err
			}
		}
		now.Streams = append(now.Streams, st)
	}
	if accepted == 0 && live > 0 {
		return nil, first
	}
	return now, nil
}

// accept reads one line of an answer.
func (c *Choices) accept(st *Stream, offered Stream, s Section) error {
	if s.Port == 0 {
		return errEnded
	}
	st.Payloads = nil
	st.Label = orElse(offered.Label, s.Label)
	st.hear(s)
	st.Mux = s.Mux && offered.Mux
	if !c.choose(st, s) && !st.Held {
		return ErrNoCommonCodec
	}
	// What we offered may come, whatever the answer prefers.
	answered := st.Payloads
	st.Payloads = slices.Clone(offered.Payloads)
	for _, p := range answered {
		if i := slices.IndexFunc(st.Payloads, func(q Payload) bool { return q.Type == p.Type }); i < 0 {
			st.Payloads = append(st.Payloads, p)
		} else if st.Payloads[i].Codec != p.Codec {
			st.Payloads[i] = p
		}
	}
	if offered.Ours != nil {
		st.Theirs = c.suite(s.Crypto)
		if st.Theirs == nil && (c.SRTP == SRTPRequired || !offered.Optional) {
			return ErrSRTPRequired
		}
		st.Optional = offered.Optional
	}
	st.Accepted = true
	st.Receive = offered.Receive && !st.Held
	return nil
}
