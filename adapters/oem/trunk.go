package oem

import (
	"net/netip"
	"sync"

	"github.com/patchbay/patchbay/adapters/oem/linking"
	"github.com/patchbay/patchbay/adapters/oem/roles"
	"github.com/patchbay/patchbay/adapters/oem/sdp"
	"github.com/patchbay/patchbay/adapters/oem/signal"
	"github.com/patchbay/patchbay/core/adapter"
)

// trunk is a Trunk ready for use.
type trunk struct {
	Trunk
	linker *linking.Linker
	media  []netip.Prefix
}

// unknown is the trunk of strangers where settings.insecure lets them in and no trunk is
// named DefaultTrunk.
var unknown = sync.OnceValue(func() *trunk {
	t, ps := Trunk{Name: DefaultTrunk}.compile("")
	if err := ps.Err(); err != nil {
		panic(err) // it states nothing that could be wrong
	}
	return t
})

// trunkOf returns the rules that hold for a peer.
func (a *Adapter) trunkOf(p signal.Peer) *trunk {
	if t := a.trunks[p.Trunk]; t != nil {
		return t
	}
	if t := a.trunks[DefaultTrunk]; t != nil {
		return t
	}
	return unknown()
}

var methods = map[signal.Proof]adapter.Method{
	signal.ProofAddress:     adapter.MethodAddress,
	signal.ProofCertificate: adapter.MethodMTLS,
	signal.ProofDigest:      adapter.MethodToken,
}

// principal says what a peer has proved.
func principal(p signal.Peer) adapter.Principal {
	if m, ok := methods[p.Proof]; ok && p.Trusted {
		return adapter.Principal{Account: p.Trunk, Method: m}
	}
	return adapter.Principal{Method: adapter.MethodNone}
}

// choices is what a trunk brings to an agreement.
func (t *trunk) choices(p signal.Peer, own netip.Addr, session uint64, streams int) sdp.Choices {
	return sdp.Choices{
		Address: own, Session: session, Codecs: t.Codecs, MaxStreams: streams,
		SRTP: sdp.Policy(t.SRTP), Secure: p.Transport == signal.TLS, PlainKeys: t.PlainKeys,
	}
}

// voice applies the trunk's policy for mixed streams.
func (t *trunk) voice(v roles.Voice) adapter.Speaker {
	if !v.Mixed {
		return v.Speaker
	}
	s := v.Speaker
	s.Mixed = true
	switch t.Mixed {
	case MixedCustomer:
		s.Role, s.Assumed = adapter.RoleEndUser, false // somebody has decided it
		s.Evidence += "; setting mixed: customer"
	default:
		s.Evidence += "; setting mixed: tape-only"
	}
	return s
}
