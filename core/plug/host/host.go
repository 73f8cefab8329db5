// Package host runs adapters as plugin processes: it starts them with a deadline,
// says in plain words why one does not start, keeps their listening sockets, brings
// what their legs say to an adapter.Sink, restarts what dies and stops what should
// end. What a plugin does, also its death, touches its own legs alone.
//
// The plugin's side is package plug; the protocol between them is plug/proto's
// plug.proto.
package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/plug/internal/wire"
	plugv1 "github.com/patchbay/patchbay/core/plug/proto/patchbay/plug/v1"
)

// Plugin supervises one instance of an adapter.
type Plugin struct {
	cfg     Config
	sink    adapter.Sink
	sockets *sockets

	mu       sync.Mutex
	status   Status
	proc     *process // nil while there is none
	ready    chan struct{}
	changed  chan struct{}
	counters map[string]uint64
}

// New opens the instance's listeners and returns its supervisor. The error holds
// adapter.Problems when an address cannot be had. Call Run, or Close.
func New(c Config, sink adapter.Sink) (*Plugin, error) {
	s, err := listen(c.Listeners)
	if err != nil {
		return nil, &adapter.Error{Op: "host.New", Kind: adapter.KindConfig, Err: err}
	}
	p := &Plugin{
		cfg: c.withDefaults(), sink: sink, sockets: s,
		status:   Status{Name: c.Name, State: StateStarting, Since: time.Now(), Addresses: s.addresses()},
		ready:    make(chan struct{}),
		changed:  make(chan struct{}),
		counters: map[string]uint64{},
	}
	return p, nil
}

// Close closes the listeners. Run does it too.
func (p *Plugin) Close() { p.sockets.close() }

// Run keeps the plugin alive until ctx ends; then it drains, stops the process,
// closes the listeners and returns nil. It returns an error of KindConfig when the
// first start shows that an operator must act: a wrong binary, a wrong
// configuration. Whatever happens later is retried.
func (p *Plugin) Run(ctx context.Context) error {
	defer p.Close()
	pauses := p.newPauses()
	var deaths []time.Time
	pin, wasReady := p.cfg.SHA256, false
	for {
		proc, session, err := p.start(ctx, pin)
		if err == nil {
			pin, wasReady = proc.about.SHA256, true
			began := time.Now()
			err = p.serve(ctx, proc, session)
			if time.Since(began) >= p.cfg.Restart.Window {
				pauses.Reset()
			}
		}
		if ctx.Err() != nil {
			p.enter(StateStopped, nil)
			return nil
		}
		if !wasReady && adapter.KindOf(err) == adapter.KindConfig {
			p.enter(StateFailed, err)
			return err
		}
		var pause time.Duration
		deaths, pause = p.afterDeath(deaths, pauses, err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			p.enter(StateStopped, nil)
			return nil
		}
		p.mu.Lock()
		p.status.Restarts++
		p.mu.Unlock()
	}
}

func (p *Plugin) newPauses() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier = p.cfg.Restart.First, p.cfg.Restart.Longest, 2
	b.Reset()
	return b
}

// afterDeath decides on the pause before the next start. Too many deaths in a row,
// or one that only an operator can help, make it a long one.
func (p *Plugin) afterDeath(deaths []time.Time, pauses *backoff.ExponentialBackOff, why error) ([]time.Time, time.Duration) {
	r, now := p.cfg.Restart, time.Now()
	deaths = append(deaths, now)
	deaths = slices.DeleteFunc(deaths, func(t time.Time) bool { return now.Sub(t) > r.Window })
	reason := ""
	switch {
	case adapter.KindOf(why) == adapter.KindConfig:
		reason = "an operator must act"
	case len(deaths) > r.Limit:
		reason = fmt.Sprintf("it died %d times within %v", len(deaths), r.Window)
	default:
		pause := min(pauses.NextBackOff(), r.Longest)
		p.enter(StateRestarting, why)
		p.cfg.Log.Warn("plugin died; starting it again", "err", why, "pause", pause)
		return deaths, pause
	}
	p.enter(StateFailed, why)
	p.cfg.Log.Error("plugin failed; leaving it alone for a while", "err", why, "reason", reason, "pause", r.Rest)
	pauses.Reset()
	return nil, r.Rest
}

// start brings a process to readiness within the deadline.
func (p *Plugin) start(ctx context.Context, pin string) (*process, *session, error) {
	p.enter(StateStarting, nil)
	began := time.Now()
	startCtx, cancel := context.WithTimeout(ctx, p.cfg.StartTimeout)
	defer cancel()
	proc, err := launch(startCtx, p.cfg, pin, p.sockets)
	if err != nil {
		return nil, nil, err
	}
	if err := proc.configure(startCtx, p.cfg, false); err != nil {
		proc.kill()
		return nil, nil, err
	}
	// Neither the deadline nor ctx ends the session: a stop drains first.
	session, err := newSession(context.WithoutCancel(ctx), proc.rpc, p.sink, p.cfg.Log, p.count)
	if err != nil {
		proc.kill()
		return nil, nil, err
	}
	session.relays = slices.Contains(proc.about.Abilities, wire.AbilityRelay)
	p.cfg.Log.Info("plugin ready", "plugin", proc.about.Name, "version", proc.about.Version,
		"pid", proc.program.ID(), "after", time.Since(began).Round(time.Millisecond))
	p.alive(proc)
	return proc, session, nil
}

// serve runs the session until the plugin dies, or ctx ends and the plugin has been
// stopped in order. It owns all that belongs to this life of the plugin.
func (p *Plugin) serve(ctx context.Context, proc *process, s *session) error {
	defer proc.kill()
	defer p.dead()
	var helpers sync.WaitGroup
	defer helpers.Wait() // before kill, which needs the connection no more
	helpers.Go(func() { p.watch(proc, s) })
	helpers.Go(func() {
		select {
		case <-ctx.Done():
			p.stop(context.WithoutCancel(ctx), proc, s)
		case <-s.done:
		}
	})
	err := s.run()
	if err == nil && ctx.Err() == nil {
		err = &adapter.Error{Op: "host.Session", Kind: adapter.KindInternal, Err: errors.New("the plugin ended its session unasked")}
	}
	if err != nil && ctx.Err() == nil {
		err = p.epitaph(proc, err)
	}
	return err
}

// epitaph adds to the error of a session how the process ended, if it did.
func (p *Plugin) epitaph(proc *process, err error) error {
	proc.settle()
	exit, gone := proc.program.gone()
	if !gone {
		return err
	}
	return &adapter.Error{Op: "host.Run", Kind: adapter.KindOf(err),
		Err: fmt.Errorf("the process ended (%s)%s: %w", exitText(exit), proc.program.quote(), err)}
}

// stop lets the live legs end, then the adapter, then the process.
func (p *Plugin) stop(ctx context.Context, proc *process, s *session) {
	p.enter(StateStopping, nil)
	if p.cfg.DrainTimeout > 0 {
		drain, cancel := context.WithTimeout(ctx, p.cfg.DrainTimeout)
		if _, err := proc.rpc.Drain(drain, &plugv1.DrainRequest{}); err != nil {
			p.cfg.Log.Info("not all legs ended before the stop", "err", wire.FromStatus("host.Drain", err))
		}
		cancel()
	}
	close(s.stop)
	select {
	case <-s.done:
	case <-time.After(p.cfg.StopTimeout):
		p.cfg.Log.Warn("plugin did not stop in time; killing it", "timeout", p.cfg.StopTimeout)
		proc.murder()
	}
}

// watch asks after the plugin's health and kills a process that does not answer.
func (p *Plugin) watch(proc *process, s *session) {
	ctx, cancel := context.WithCancel(s.stream.Context())
	defer cancel()
	tick := time.NewTicker(p.cfg.Health)
	defer tick.Stop()
	for failures := 0; ; {
		select {
		case <-s.done:
			return
		case <-tick.C:
		}
		ask, done := context.WithTimeout(ctx, p.cfg.Health)
		h, err := proc.rpc.Health(ask, &plugv1.HealthRequest{})
		done()
		if err == nil {
			failures = 0
			p.mu.Lock()
			p.status.Legs, p.status.Queued, p.status.Dropped = h.GetLegs(), h.GetQueuedFrames(), h.GetDroppedFrames()
			p.mu.Unlock()
			continue
		}
		if failures++; failures >= healthFailures {
			p.cfg.Log.Error("plugin does not answer; killing it", "err", wire.FromStatus("host.Health", err))
			s.abort(errNoHealth)
			proc.murder()
			return
		}
	}
}

var errNoHealth = fmt.Errorf("the plugin did not answer %d questions after its health", healthFailures)

// Attach asks the adapter for the audio of a running call (see adapter.Attacher).
func (p *Plugin) Attach(ctx context.Context, r adapter.AttachRequest) (stream string, err error) {
	rpc, err := p.able("host.Attach", wire.AbilityAttach)
	if err != nil {
		return "", err
	}
	answer, err := rpc.Attach(ctx, wire.FromAttach(r))
	if err != nil {
		return "", wire.FromStatus("host.Attach", err)
	}
	return answer.GetStream(), nil
}

// Detach stops what Attach started (see adapter.Detacher).
func (p *Plugin) Detach(ctx context.Context, r adapter.DetachRequest) error {
	rpc, err := p.able("host.Detach", wire.AbilityDetach)
	if err != nil {
		return err
	}
	_, err = rpc.Detach(ctx, wire.FromDetach(r))
	return wire.FromStatus("host.Detach", err)
}

// able returns the plugin's end when it runs and has an ability.
func (p *Plugin) able(op, ability string) (plugv1.PluginClient, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.proc == nil {
		return nil, &adapter.Error{Op: op, Kind: adapter.KindUnavailable, Err: fmt.Errorf("adapter %q is %s", p.cfg.Name, p.status.State)}
	}
	if !slices.Contains(p.proc.about.Abilities, ability) {
		return nil, &adapter.Error{Op: op, Kind: adapter.KindConfig,
			Err: fmt.Errorf("adapter %q cannot %s; it can: %s", p.cfg.Name, ability, strings.Join(p.proc.about.Abilities, ", "))}
	}
	return p.proc.rpc, nil
}
