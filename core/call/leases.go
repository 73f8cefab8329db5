package call

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
)

// NumberPool is a set of telephone numbers that are leased for one conversation each:
// the first call to a leased number goes into it.
type NumberPool struct {
	Name    string
	Numbers []adapter.E164
	TTL     time.Duration // how long a number is leased when nobody says; zero: DefaultLease
	// Adapter and Tenant say whose calls may take the numbers; empty: everybody's.
	Adapter, Tenant string
}

// How long numbers are leased.
const (
	DefaultLease = 5 * time.Minute
	MaxLease     = 24 * time.Hour
)

// Lease is a number that waits for the call of a conversation.
type Lease struct {
	ID           string       `json:"id"`
	Pool         string       `json:"pool"`
	Number       adapter.E164 `json:"number"`
	Conversation string       `json:"conversation" doc:"Id or full name, as it was asked for."`
	// Attributes become attributes of the call.
	Attributes map[string]string `json:"attributes,omitempty"`
	Expires    time.Time         `json:"expires"`
}

// Errors of Manager.Lease.
var (
	ErrNoPool    = errors.New("there is no such pool of numbers")
	ErrPoolEmpty = errors.New("all numbers of the pool are leased")
	ErrBadLease  = errors.New("the lease cannot be")
)

// Leases keeps leased numbers. The manager's own know this process alone, and forget
// with it; those that several nodes share take their place with Config.Leases. Numbers
// are compared by their digits. No method waits.
type Leases interface {
	// Lease leases the number of l.Pool that has been free for longest, or fails with
	// ErrNoPool or ErrPoolEmpty. A conversation that has one keeps it, for longer.
	Lease(l Lease) (Lease, error)
	// List returns what is leased.
	List() []Lease
	// Release ends a lease; false when there is none with that id.
	Release(id string) bool
	// Take returns and ends the lease of a number, for a call of an adapter and tenant.
	Take(number adapter.E164, adapterName, tenant string) (Lease, bool)
}

// NewLeases returns the leases of one process.
func NewLeases(pools []NumberPool) Leases {
	m := &leases{pools: make(map[string]NumberPool), numbers: make(map[string]*number)}
	for _, p := range pools {
		m.pools[p.Name] = p
		for _, n := range p.Numbers {
			one := &number{E164: n, pool: p}
			m.numbers[n.Digits()] = one
			m.idle = append(m.idle, one)
		}
	}
	return m
}

// leases keeps its leases in memory, at most one for each number.
type leases struct {
	mu      sync.Mutex
	pools   map[string]NumberPool
	numbers map[string]*number // by digits
	idle    []*number          // all, the one that was leased last at the end
}

type number struct {
	adapter.E164
	pool  NumberPool
	lease *Lease
}

// live returns the number's lease unless it has expired.
func (n *number) live(now time.Time) *Lease {
	if n.lease != nil && !now.Before(n.lease.Expires) {
		n.lease = nil
	}
	return n.lease
}

// Lease implements Leases.
func (m *leases) Lease(l Lease) (Lease, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.pools[l.Pool]; !ok {
		return Lease{}, ErrNoPool
	}
	now := time.Now()
	free, first := -1, time.Time{}
	for i, n := range m.idle {
		if n.pool.Name != l.Pool {
			continue
		}
		switch had := n.live(now); {
		case had == nil && free < 0:
			free = i
		case had != nil && had.Conversation == l.Conversation:
			had.Expires, had.Attributes = l.Expires, l.Attributes
			return *had, nil
		case had != nil && (first.IsZero() || had.Expires.Before(first)):
			first = had.Expires
		}
	}
	if free < 0 {
		return Lease{}, fmt.Errorf("%w; the first is free at %s, if no call comes", ErrPoolEmpty, first.UTC().Format(time.RFC3339))
	}
	n := m.idle[free]
	m.idle = append(slices.Delete(m.idle, free, free+1), n)
	l.ID, l.Number = strings.ToLower(rand.Text()[:12]), n.E164
	n.lease = &l
	return l, nil
}

// List implements Leases.
func (m *leases) List() []Lease {
	m.mu.Lock()
	defer m.mu.Unlock()
	out, now := []Lease{}, time.Now()
	for _, n := range m.idle {
		if l := n.live(now); l != nil {
			out = append(out, *l)
		}
	}
	return out
}

// Release implements Leases.
func (m *leases) Release(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	for _, n := range m.idle {
		if l := n.live(now); l != nil && l.ID == id {
			n.lease = nil
			return true
		}
	}
	return false
}

// Take implements Leases.
func (m *leases) Take(to adapter.E164, adapterName, tenant string) (Lease, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.numbers[to.Digits()]
	if n == nil || n.pool.Adapter != "" && n.pool.Adapter != adapterName || n.pool.Tenant != "" && n.pool.Tenant != tenant {
		return Lease{}, false
	}
	l := n.live(time.Now())
	if l == nil {
		return Lease{}, false
	}
	n.lease = nil
	return *l, true
}

// sameNumber reports whether two numbers have the same digits.
func sameNumber(a, b adapter.E164) bool { return a == b || a.Digits() == b.Digits() }

// Lease leases a number of a pool for a conversation, named by its id or full name. ttl
// zero means the pool's. Errors match ErrNoPool, ErrPoolEmpty and ErrBadLease.
func (m *Manager) Lease(pool, conversation string, ttl time.Duration, attributes map[string]string) (Lease, error) {
	i := slices.IndexFunc(m.cfg.Pools, func(p NumberPool) bool { return p.Name == pool })
	if i < 0 {
		return Lease{}, ErrNoPool
	}
	if ttl == 0 {
		if ttl = m.cfg.Pools[i].TTL; ttl == 0 {
			ttl = DefaultLease
		}
	}
	id, full, err := splitConversation(conversation)
	switch {
	case err != nil:
		return Lease{}, fmt.Errorf("%w: %w", ErrBadLease, err)
	case full && !slices.ContainsFunc(m.cfg.Routes, func(r Route) bool { return r.Google.Contains(conversation) }):
		return Lease{}, fmt.Errorf("%w: no route leads to the project and location of the conversation", ErrBadLease)
	case !conversationID.MatchString(id):
		return Lease{}, fmt.Errorf("%w: %q is no id of a conversation: a letter, then letters, digits, - and _, 3 to %d in all", ErrBadLease, id, maxConversationID)
	case ttl < 0 || ttl > MaxLease:
		return Lease{}, fmt.Errorf("%w: a number is leased for %v at most", ErrBadLease, MaxLease)
	case len(attributes) > maxAttributes:
		return Lease{}, fmt.Errorf("%w: more than %d attributes", ErrBadLease, maxAttributes)
	}
	return m.leases.Lease(Lease{Pool: pool, Conversation: conversation, Attributes: attributes, Expires: time.Now().Add(ttl)})
}

// Leases returns the numbers that are leased.
func (m *Manager) Leases() []Lease { return m.leases.List() }

// Release ends a lease; it reports whether there was one.
func (m *Manager) Release(id string) bool { return m.leases.Release(id) }
