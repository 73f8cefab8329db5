package assist

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/patchbay/patchbay/core/event"
)

// Pool holds the connections to Google that sessions share. It is safe for
// concurrent use.
type Pool struct {
	opts     Options
	stats    Stats
	governor *governor
	dice     *dice
	owners   owners

	mu      sync.Mutex
	clients map[Google]*clients
	closed  bool
}

// errPoolClosed is the answer to everything after Close.
var errPoolClosed = errors.New("assist: the pool is closed")

// NewPool returns a pool. It connects to nothing yet.
func NewPool(o Options) *Pool {
	o = o.withDefaults()
	p := &Pool{opts: o, dice: newDice(o.Seed), clients: make(map[Google]*clients)}
	p.governor = newGovernor(o.Budget, o.TimeScale, &p.stats)
	p.stats.pool = p
	return p
}

// CanServe asks whether the quotas carry one more call of two speakers, or fails with
// ErrFull: for the door, before a call is admitted. It decides from what this process
// knows, at once. That Agent Assist is down is no reason: audio waits on the tape.
func (p *Pool) CanServe(c Conversation) error {
	model := c.Model
	if model == "" {
		p.mu.Lock()
		known := p.clients[c.Google]
		p.mu.Unlock()
		model = known.model(c.profileName())
	}
	return p.governor.canServe(p.opts.quotas(c, model))
}

// Stats returns the pool's counters.
func (p *Pool) Stats() *Stats { return &p.stats }

// Close closes all connections. Sessions should have ended; those that run fail.
func (p *Pool) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.governor.close()
	var errs []error
	for _, c := range p.clients {
		errs = append(errs, c.close())
	}
	clear(p.clients)
	return errors.Join(errs...)
}

// NewSession returns a session for one conversation. publish receives its events,
// one at a time; it must not call the session.
func (p *Pool) NewSession(c Conversation, publish func(event.Event), log *slog.Logger) *Session {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return newSession(p, c, publish, log.With("call", c.Call, "conversation", c.ID))
}

// client returns the clients of g. Their credentials are looked for at the first use.
func (p *Pool) client(ctx context.Context, g Google) (*clients, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, errPoolClosed
	}
	c := p.clients[g]
	if c == nil {
		c = &clients{google: g, opts: &p.opts, circuit: newCircuit(&p.opts), profiles: make(map[string]cachedProfile)}
		p.clients[g] = c
	}
	p.mu.Unlock()
	if err := c.open(ctx); err != nil {
		return nil, err
	}
	return c, nil
}
