// Package call is the life of a call: which route it takes, whether it is
// admitted, how its legs and tracks come together, and when it ends. It owns the
// tapes, the Agent Assist session and the log of each call. It knows adapters only
// by the names that the configuration gives them.
package call

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/assist"
	"github.com/patchbay/patchbay/core/event"
	"github.com/patchbay/patchbay/core/tape/spool"
)

// Config is what a Manager works by.
type Config struct {
	Routes []Route
	// TenantOf returns the tenant of an account that an adapter instance verified; false
	// when nobody has it. Nil: everything belongs to DefaultTenant.
	TenantOf func(adapter, account string) (string, bool)
	Limits   Limits
	// Spool keeps what calls need after a crash of the host; nil: memory alone. It must
	// run until Shutdown has returned.
	Spool *spool.Spool
	// Reattach asks an adapter instance for the audio of a call that runs. It fails with
	// errors.ErrUnsupported when that cannot be asked. Nil: none can.
	Reattach func(ctx context.Context, adapter string, r adapter.AttachRequest) error
	// Pools are the numbers that can be leased; Leases keeps their leases. Nil: this
	// process alone.
	Pools  []NumberPool
	Leases Leases
	// Observe is told of each call and returns what is told of its events: masked, before
	// the log has them, from any goroutine. It must be quick and wait for nothing. Nil:
	// nobody observes.
	Observe func(Meta) func(event.Event)
}

// Limits bound what the host takes on, and how long a call's end may take.
type Limits struct {
	Calls         int // live calls
	LegsPerCall   int
	TracksPerCall int           // over its whole life
	TapeBytes     int64         // unsettled audio of one track
	Grace         time.Duration // from the last leg's goodbye to the end of the call
	ReattachGrace time.Duration // from a restart of the host to the end of a call whose legs do not come back
	RecoverAge    time.Duration // a call that began longer before a restart is closed without its audio
	LostGrace     time.Duration // the same after a leg that went without one: it may come back
	WrapUp        time.Duration // for the last results and for completing the conversation
	// Ended calls that the API still shows, with their flight recorder. Those in which
	// something was abnormal are kept beside the others, and for KeepOddTime.
	KeepEnded     int
	KeepEndedTime time.Duration
	KeepOddTime   time.Duration
}

// DefaultLimits are made for one machine of two cores.
func DefaultLimits() Limits {
	return Limits{
		Calls:         500,
		LegsPerCall:   16,
		TracksPerCall: 64,
		TapeBytes:     2 << 20,
		Grace:         5 * time.Second,
		LostGrace:     15 * time.Second,
		ReattachGrace: 30 * time.Second,
		RecoverAge:    12 * time.Hour,
		WrapUp:        time.Minute,
		KeepEnded:     200,
		KeepEndedTime: time.Hour,
		KeepOddTime:   24 * time.Hour,
	}
}

// Manager owns the calls of this host. It is safe for concurrent use.
type Manager struct {
	cfg    Config
	pool   *assist.Pool
	log    *slog.Logger
	claims *claims
	leases Leases
	calls  sync.WaitGroup // one goroutine a call

	mu                    sync.Mutex
	live                  map[callKey]*Call // by what the vendor calls it; only those that take legs
	all                   []*Call           // live and recently ended, oldest first
	running               int               // calls that have not ended
	onRoute               map[int]int       // live calls by route
	inUse                 map[string]*use   // by the conversation's full name
	draining              bool
	refused               map[adapter.RefusalReason]int64
	started               int64
	relays, relaysRefused int64
	lostResults           atomic.Int64
	audio                 Audio // of calls that have ended
}

// callKey identifies a call: legs with the same one belong together.
type callKey struct {
	adapter, account, key string
}

// NewManager returns a manager that serves calls through pool. Shutdown ends it.
func NewManager(cfg Config, pool *assist.Pool, log *slog.Logger) *Manager {
	m := &Manager{
		cfg: cfg, pool: pool, log: log, claims: newClaims(), leases: cfg.Leases,
		live: make(map[callKey]*Call), onRoute: make(map[int]int), inUse: make(map[string]*use),
		refused: make(map[adapter.RefusalReason]int64),
	}
	if m.leases == nil {
		m.leases = NewLeases(cfg.Pools)
	}
	return m
}

// Sink returns the host as the adapter instance of that name sees it.
func (m *Manager) Sink(adapterName string) adapter.Sink { return sink{m, adapterName} }

type sink struct {
	m       *Manager
	adapter string
}

// Open admits a leg; see adapter.Sink.
func (s sink) Open(ctx context.Context, info adapter.LegInfo) (adapter.Leg, error) {
	l, err := s.m.open(ctx, s.adapter, info)
	if err != nil {
		s.m.countRefusal(err)
		return nil, err
	}
	return l, nil
}

// maxKey bounds what a vendor may use as a key or a claim.
const maxKey = 512

func checkInfo(info adapter.LegInfo) error {
	for _, f := range []struct {
		name, value string
		required    bool
	}{
		{"CallKey", info.CallKey, true}, {"LegKey", info.LegKey, true}, {"Principal.Account", info.Principal.Account, false},
		{"Conversation", info.Conversation, false}, {"From", string(info.From), false}, {"To", string(info.To), false},
	} {
		if f.required && f.value == "" || len(f.value) > maxKey {
			return &adapter.Refusal{Reason: adapter.RefusedInvalid, Text: fmt.Sprintf("%s has %d characters; want at most %d and, for keys, at least 1", f.name, len(f.value), maxKey)}
		}
	}
	return nil
}

func (m *Manager) open(ctx context.Context, adapterName string, info adapter.LegInfo) (*leg, error) {
	if err := checkInfo(info); err != nil {
		return nil, err
	}
	tenant, err := m.cfg.tenantOf(adapterName, info.Principal)
	if err != nil {
		return nil, err
	}
	info = withProject(info)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.draining {
		return nil, &adapter.Refusal{Reason: adapter.RefusedDraining, Text: "the host is shutting down"}
	}
	key := callKey{adapterName, info.Principal.Account, info.CallKey}
	if c, ok := m.live[key]; ok {
		if err := m.cfg.Routes[c.route].admits(info.Client); err != nil {
			return nil, err
		}
		if c.conversation.Foreign != info.Client.Conversation {
			return nil, &adapter.Refusal{Reason: adapter.RefusedInvalid, Text: "the call has another conversation"}
		}
		return c.open(info)
	}
	c, err := m.admit(key, tenant, info)
	if err != nil {
		return nil, err
	}
	l, err := c.open(info)
	if err != nil {
		m.leaves(c)
		return nil, err
	}
	m.started++
	m.begin(ctx, c)
	return l, nil
}

// begin makes a call live. It outlives ctx; Shutdown ends it. m.mu is held.
func (m *Manager) begin(ctx context.Context, c *Call) {
	m.live[c.key] = c
	m.all = append(m.all, c)
	m.forget()
	m.running++
	m.onRoute[c.route]++
	callCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c.cancel = cancel
	m.calls.Go(func() {
		defer cancel()
		c.run(callCtx)
		m.ended(c)
	})
}

// admit makes the call if a route wants it and the limits allow it. m.mu is held.
func (m *Manager) admit(key callKey, tenant string, info adapter.LegInfo) (*Call, error) {
	i, err := routeOf(m.cfg.Routes, key.adapter, tenant, info)
	if err != nil {
		return nil, err
	}
	route := m.cfg.Routes[i]
	if err := route.admits(info.Client); err != nil {
		return nil, err
	}
	profile, err := route.profileOf(info.Claims)
	if err != nil {
		return nil, err
	}
	if m.running >= m.cfg.Limits.Calls || route.MaxCalls > 0 && m.onRoute[i] >= route.MaxCalls {
		return nil, &adapter.Refusal{Reason: adapter.RefusedFull, Text: fmt.Sprintf("%d calls are live; the limits (limits.calls, routes[%d].limits.calls) allow no more", m.running, i)}
	}
	conversation := assist.Conversation{Google: route.Google, Profile: profile, Language: route.Language, Model: route.Model, Transport: route.Transport,
		WordTimes: route.WordTimes, StoreMissing: route.StoreMissing}
	if err := m.pool.CanServe(conversation); err != nil {
		return nil, &adapter.Refusal{Reason: adapter.RefusedFull, Text: err.Error()}
	}
	var name named
	if foreign := info.Client.Conversation; foreign != "" {
		name.id, conversation.Foreign = foreign[strings.LastIndex(foreign, "/")+1:], foreign
		conversation.ID = name.id
	} else {
		if name, err = m.conversationFor(info, route, key.adapter, tenant); err != nil {
			return nil, err
		}
		if conversation.ID = name.id; name.joined {
			m.claims.note(route.Google.Project, name.id)
		} else {
			conversation.ID = m.claims.take(route.Google.Project, name.id)
		}
	}
	conversation.Join, conversation.Named = name.joined, name.joined
	params := callParams{
		id: strings.ToLower(rand.Text()[:12]), key: key, tenant: tenant, route: i,
		thirdVoice: route.ThirdVoice, paused: route.StartPaused, roles: route.Roles, from: info.From, to: info.To, wanted: name.id,
		conversation: conversation, stays: route.KeepConversation, lease: name.lease, ignored: name.ignored,
	}
	if err := m.enter(params); err != nil {
		return nil, err
	}
	return m.newCall(params), nil
}

// newCall returns the call with what all calls of the manager share.
func (m *Manager) newCall(p callParams) *Call {
	p.limits, p.over, p.observe, p.spool = m.cfg.Limits, m.over, m.cfg.Observe, m.cfg.Spool
	p.lostResults = &m.lostResults
	if m.cfg.Reattach != nil && m.cfg.Routes[p.route].Reattach {
		p.reattach = func(ctx context.Context) error {
			return m.cfg.Reattach(ctx, p.key.adapter, adapter.AttachRequest{Account: p.key.account, Call: p.key.key})
		}
	}
	others := &others{manager: m}
	p.conversation.Others = others
	others.call = newCall(p, m.pool, m.log)
	return others.call
}

// over takes a call that ends out of the way of new legs with its key, unless it
// has a live leg and is not forced.
func (m *Manager) over(c *Call, force bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.live)+len(c.finishing) > 0 && !force {
		return false
	}
	c.state = Ending
	delete(m.live, c.key)
	return true
}

func (m *Manager) ended(c *Call) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.running--
	m.leaves(c)
	m.onRoute[c.route]--
	m.settleAccount(c)
	m.forget()
}

// forget drops ended calls that are too many or too old. m.mu is held.
func (m *Manager) forget() {
	kept := map[bool]int{} // by whether they are odd
	for _, c := range m.all {
		if c.counted {
			kept[c.odd]++
		}
	}
	m.all = slices.DeleteFunc(m.all, func(c *Call) bool {
		if !c.counted {
			return false
		}
		limit := m.cfg.Limits.KeepEndedTime
		if c.odd {
			limit = m.cfg.Limits.KeepOddTime
		}
		if kept[c.odd] <= m.cfg.Limits.KeepEnded && time.Since(c.ended) <= limit {
			return false
		}
		kept[c.odd]--
		return true
	})
}

func (m *Manager) countRefusal(err error) {
	reason := adapter.RefusalReason("other")
	if r, ok := refusalOf(err); ok {
		reason = r.Reason
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refused[reason]++
}

// Stats are the manager's counters since it started.
type Stats struct {
	Live    int
	Started int64
	Refused map[adapter.RefusalReason]int64
	// Relayed are unary calls that clients made through the host, RelaysRefused those that
	// no route allowed.
	Relayed, RelaysRefused int64
	ResultsLost            int64 // that no adapter took: clients that do not read
}

// Stats returns the counters.
func (m *Manager) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := Stats{Live: m.running, Started: m.started, Relayed: m.relays, RelaysRefused: m.relaysRefused, ResultsLost: m.lostResults.Load(), Refused: make(map[adapter.RefusalReason]int64, len(m.refused))}
	for k, v := range m.refused {
		s.Refused[k] = v
	}
	return s
}

// Calls returns the live calls and those that ended lately, newest first.
func (m *Manager) Calls() []*Call {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := slices.Clone(m.all)
	slices.Reverse(out)
	return out
}

// Find returns the newest call whose id, vendor key, alias or conversation id is name;
// a conversation id that got a suffix is found by the plain id too.
func (m *Manager) Find(name string) (*Call, bool) {
	id := name[strings.LastIndex(name, "/")+1:] // of a full name
	for _, c := range m.Calls() {
		if name == c.key.key || id == c.id || id == c.wanted || id == c.conversationID() || c.called(name) {
			return c, true
		}
	}
	return nil, false
}

// Draining reports whether new calls are refused because the host shuts down.
func (m *Manager) Draining() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.draining
}

// Shutdown refuses new legs, asks every leg to end, and waits for the calls to
// finish with their last results. When ctx ends first, the rest are cut off.
func (m *Manager) Shutdown(ctx context.Context) {
	m.mu.Lock()
	m.draining = true
	live := slices.Clone(m.all)
	m.mu.Unlock()
	for _, c := range live {
		c.drain()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.calls.Wait()
	}()
	select {
	case <-done:
	case <-ctx.Done():
		for _, c := range live {
			c.cancel()
		}
		<-done
	}
}
