package signal

import (
	"net/netip"
	"strings"
	"sync"
	"time"
)

// gate knows who may call.
type gate struct {
	trunks   []Trunk
	insecure bool
	digest   *digester
}

// verdict is what the gate says.
type verdict int

const (
	stranger  verdict = iota // no trunk's, whatever it may still say
	challenge                // a trunk's, if it proves to be one of its users
	welcome
)

// check looks at where a request comes from, and at its digest if m is not nil.
func (g *gate) check(f *flow, m *message) (Peer, verdict) {
	peer := Peer{Proof: ProofNone, Addr: f.remote, Transport: f.transport}
	asks := false
	for i := range g.trunks {
		t := &g.trunks[i]
		name, ok := t.admits(f)
		if !ok {
			continue
		}
		user := ""
		if len(t.Users) > 0 {
			if m != nil {
				user = g.digest.user(m, t.Users)
			}
			if user == "" {
				asks = true
				continue
			}
		}
		peer.Trunk, peer.Name, peer.User, peer.Trusted = t.Name, name, user, true
		switch {
		case user != "":
			peer.Proof = ProofDigest
		case name != "":
			peer.Proof = ProofCertificate
		default:
			peer.Proof = ProofAddress
		}
		return peer, welcome
	}
	switch {
	case g.insecure:
		return peer, welcome
	case asks:
		return peer, challenge
	}
	return peer, stranger
}

// admits tells whether f brings the trunk's proofs but for the digest, and by which name.
func (t *Trunk) admits(f *flow) (name string, ok bool) {
	if len(t.Addresses) > 0 && !t.includes(f.remote.Addr()) {
		return "", false
	}
	if len(t.Certificates) == 0 {
		return "", true
	}
	for _, want := range t.Certificates {
		for _, has := range f.names {
			if matches(want, has) {
				return has, true
			}
		}
	}
	return "", false
}

func (t *Trunk) includes(a netip.Addr) bool {
	a = a.WithZone("")
	for _, p := range t.Addresses {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// matches compares host names; *.example.com stands for one more label.
func matches(pattern, name string) bool {
	pattern, name = strings.ToLower(strings.TrimSuffix(pattern, ".")), strings.ToLower(strings.TrimSuffix(name, "."))
	if rest, ok := strings.CutPrefix(pattern, "*."); ok {
		_, parent, ok := strings.Cut(name, ".")
		return ok && parent == rest
	}
	return pattern == name
}

// stale tells whether m's digest is right but too old.
func (g *gate) stale(m *message) bool {
	for i := range g.trunks {
		if g.digest.stale(m, g.trunks[i].Users) {
			return true
		}
	}
	return false
}

// same tells whether a request that came by f may belong to the dialog of owner: it
// comes from the same address as a request that proved itself, or proves the same trunk.
func (g *gate) same(owner Peer, f *flow, m *message) verdict {
	if owner.Addr.Addr() == f.remote.Addr() && owner.Proof != ProofCertificate {
		return welcome
	}
	peer, v := g.check(f, m)
	if v == welcome && (peer.Trunk != owner.Trunk || peer.User != owner.User) {
		return stranger
	}
	return v
}

// mayDial tells whether a request of ours may go to a, which is only what a message
// said. An address list bounds it; a peer that proved nothing gets no say.
func (g *gate) mayDial(owner Peer, a netip.Addr) bool {
	if a == owner.Addr.Addr() {
		return true
	}
	if !owner.Trusted {
		return false
	}
	for i := range g.trunks {
		if t := &g.trunks[i]; t.Name == owner.Trunk && (len(t.Addresses) == 0 || t.includes(a)) {
			return true
		}
	}
	return false
}

// bucket is a token bucket.
type bucket struct {
	tokens float64
	at     time.Time
}

// take takes a token, of those that come at rate a second and gather up to burst.
func (b *bucket) take(now time.Time, rate, burst float64) bool {
	if b.at.IsZero() {
		b.tokens = burst
	} else {
		b.tokens = min(burst, b.tokens+rate*now.Sub(b.at).Seconds())
	}
	b.at = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// buckets are one for each address. The table is bounded: when it is full, those that
// are full again make place, or else any.
type buckets struct {
	rate, burst float64

	mu    sync.Mutex
	table map[netip.Addr]*bucket
}

const maxBuckets = 8192

func newBuckets(rate, burst float64) *buckets {
	return &buckets{rate: rate, burst: burst, table: map[netip.Addr]*bucket{}}
}

func (b *buckets) take(a netip.Addr) bool {
	if a.Is6() { // a host has a whole /64
		if p, err := a.WithZone("").Prefix(64); err == nil {
			a = p.Addr()
		}
	}
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	one := b.table[a]
	if one == nil {
		if len(b.table) >= maxBuckets {
			b.sweep(now)
		}
		one = new(bucket)
		b.table[a] = one
	}
	return one.take(now, b.rate, b.burst)
}

func (b *buckets) sweep(now time.Time) {
	for a, one := range b.table {
		if one.tokens+b.rate*now.Sub(one.at).Seconds() >= b.burst {
			delete(b.table, a)
		}
	}
	for a := range b.table {
		if len(b.table) < maxBuckets {
			return
		}
		delete(b.table, a)
	}
}
