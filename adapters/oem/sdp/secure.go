package sdp

import (
	"crypto/rand"
	"slices"
	"strings"
)

// secure settles the keys of a line.
func (c *Choices) secure(st *Stream, s Section, before Stream) error {
	protocol := strings.ToUpper(s.Protocol)
	must := strings.Contains(protocol, "SAVP")
	switch {
	case strings.HasPrefix(protocol, "UDP/TLS/"), must && len(s.Crypto) == 0 && s.DTLS:
		return ErrDTLS
	case !must && len(s.Crypto) == 0 && c.SRTP == SRTPRequired:
		return ErrSRTPRequired
	case must && c.SRTP == SRTPRefused:
		return ErrSRTPRefused
	case !must && (len(s.Crypto) == 0 || c.SRTP == SRTPRefused):
		return nil
	}
	err := ErrSRTPSuite
	if !c.Secure && !c.PlainKeys {
		err = ErrSRTPPlain
	} else if theirs := c.suite(s.Crypto); theirs != nil {
		st.Theirs, st.Optional = theirs, !must && c.SRTP != SRTPRequired
		st.Ours, err = c.key(theirs.Tag, theirs.Suite, before.Ours)
		return err
	}
	if !must && c.SRTP != SRTPRequired {
		return nil // plain RTP was on offer too
	}
	return err
}

// suite returns the first line whose suite is allowed.
func (c *Choices) suite(lines []Crypto) *Crypto {
	for i := range lines {
		if len(c.Suites) == 0 || slices.Contains(c.Suites, lines[i].Suite) {
			return &lines[i]
		}
	}
	return nil
}

// key returns the key that we encrypt with: the one in use as long as its suite is.
func (c *Choices) key(tag int, suite Suite, inUse *Crypto) (*Crypto, error) {
	if inUse != nil && inUse.Suite == suite {
		return &Crypto{Tag: tag, Suite: suite, Keys: inUse.Keys}, nil
	}
	random := c.Random
	if random == nil {
		random = rand.Reader
	}
	return newCrypto(tag, suite, random)
}
