package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/adapter/certfile"
	"github.com/patchbay/patchbay/core/api"
	"github.com/patchbay/patchbay/core/assist"
	"github.com/patchbay/patchbay/core/call"
	"github.com/patchbay/patchbay/core/config"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/plug/host"
	"github.com/patchbay/patchbay/core/tape/spool"
	"github.com/patchbay/patchbay/core/telemetry"
)

const (
	pluginPrefix = "patchbay-adapter-"
	// drainTime is how long live calls may take to end at a shutdown.
	drainTime = 30 * time.Second
)

// node is a whole host: calls, the plugins that bring them, and the API that shows
// them. run starts it from the far end and stops it in reverse.
type node struct {
	cfg      *config.Config
	log      *slog.Logger
	pool     *assist.Pool
	spool    *spool.Spool // nil: memory alone
	registry *prometheus.Registry
	traces   *telemetry.Traces // nil: none
	calls    *call.Manager
	plugins  []*host.Plugin // as cfg.Adapters
	api      *api.Server
	ln       net.Listener // of the API
}

// newNode opens every socket of the configuration, so that what cannot be had is
// said before anything runs.
func newNode(cfg *config.Config, opts assist.Options, log *slog.Logger) (*node, error) {
	if err := checkRelays(cfg); err != nil {
		return nil, err
	}
	dir, err := programDir()
	if err != nil {
		return nil, err
	}
	opts.UserAgent = "patchbay/" + version
	n := &node{cfg: cfg, log: log, pool: assist.NewPool(opts)}
	n.spool = openSpool(cfg.Spool, log)
	calls := callConfig(cfg)
	calls.Spool, calls.Reattach = n.spool, n.reattach
	if err := n.observe(&calls); err != nil {
		n.close()
		return nil, err
	}
	n.calls = call.NewManager(calls, n.pool, log)
	if err := n.open(dir); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

func (n *node) open(pluginDir string) error {
	for i, a := range n.cfg.Adapters {
		p, err := host.New(hostConfig(n.cfg, i, pluginDir, n.log), n.calls.Sink(a.Name))
		if err != nil {
			return n.located(i, err)
		}
		n.plugins = append(n.plugins, p)
	}
	if err := n.count(); err != nil {
		return err
	}
	server, err := api.New(
		api.Config{Listen: n.cfg.API.Listen, Token: n.cfg.API.Token.Value, Version: version},
		api.Deps{Calls: n.calls, Adapters: adapters{n}, Metrics: telemetry.Handler(n.registry), Log: n.log},
	)
	if err != nil {
		return err
	}
	n.api = server
	if n.ln, err = net.Listen("tcp", n.cfg.API.Listen); err != nil {
		return n.cfg.Locate(adapter.Problems{{Key: "api.listen", Value: n.cfg.API.Listen, Why: err.Error(), Do: "free the address, or choose another"}})
	}
	if t := n.cfg.API.TLS; t != nil {
		c, err := certfile.Config(t.Cert, t.Key, n.log)
		if err != nil {
			return err
		}
		n.ln = tls.NewListener(n.ln, c)
	}
	return nil
}

// close gives back what newNode opened, for a node that does not run.
func (n *node) close() {
	for _, p := range n.plugins {
		p.Close()
	}
	if n.ln != nil {
		_ = n.ln.Close()
	}
	if n.spool != nil {
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		_ = n.spool.Run(ended) // nothing was written; what an earlier run left stays
	}
	n.closeTraces()
	n.closePool()
}

func (n *node) closePool() {
	if err := n.pool.Close(); err != nil {
		n.log.Debug("closing connections", "err", err)
	}
}

// run serves until ctx ends, or until something that an operator must mend; then it
// refuses new calls, lets the live ones end, and stops everything.
func (n *node) run(ctx context.Context) error {
	defer n.closePool()
	defer n.closeTraces()                 // every call has ended by then
	lasting := context.WithoutCancel(ctx) // what stops in its own order
	failed := make(chan error, len(n.plugins)+1)

	apiCtx, stopAPI := context.WithCancel(lasting)
	defer stopAPI()
	var server sync.WaitGroup
	server.Go(func() { failed <- n.api.Serve(apiCtx, n.ln) })

	spoolCtx, stopSpool := context.WithCancel(lasting)
	defer stopSpool()
	var spooling sync.WaitGroup
	if n.spool != nil {
		spooling.Go(func() {
			if err := n.spool.Run(spoolCtx); err != nil {
				n.log.Warn("closing the spool", "err", err)
			}
		})
	}
	if taken := n.calls.Recover(lasting); taken > 0 {
		n.log.Warn("calls of an earlier run go on", "calls", taken, "wait_for_their_legs", n.cfg.Limits.ReattachGrace)
	}

	pluginCtx, stopPlugins := context.WithCancel(lasting)
	defer stopPlugins()
	var plugins sync.WaitGroup
	for i, p := range n.plugins {
		plugins.Go(func() { failed <- n.located(i, p.Run(pluginCtx)) })
	}

	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	drain, cancel := context.WithTimeout(lasting, drainTime)
	defer cancel()
	if live := n.calls.Stats().Live; live > 0 {
		n.log.Info("waiting for live calls to end; again to cut them off", "calls", live, "at_most", drainTime)
	}
	n.calls.Shutdown(drain)
	stopPlugins()
	plugins.Wait()
	stopAPI()
	server.Wait()
	stopSpool()
	spooling.Wait()
	return err
}

// ready returns nil once every plugin serves.
func (n *node) ready(ctx context.Context) error {
	for _, p := range n.plugins {
		select {
		case <-p.Ready():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// located puts the file and line in front of the problems of adapter i.
func (n *node) located(i int, err error) error { return locate(n.cfg, i, err) }

func locate(cfg *config.Config, i int, err error) error {
	if ps, ok := errors.AsType[adapter.Problems](err); ok {
		return cfg.Locate(ps.Under(fmt.Sprintf("adapters[%d]", i)))
	}
	if located, ok := errors.AsType[*config.Error](err); ok {
		return located
	}
	if err != nil {
		return fmt.Errorf("adapter %s: %w", cfg.Adapters[i].Name, err)
	}
	return nil
}

// callConfig is the configuration as core/call wants it.
func callConfig(cfg *config.Config) call.Config {
	limits := call.DefaultLimits()
	limits.Calls = cfg.Limits.Calls
	limits.LegsPerCall = cfg.Limits.LegsPerCall
	limits.TracksPerCall = cfg.Limits.TracksPerCall
	limits.TapeBytes = int64(cfg.Limits.MemoryPerTrack)
	limits.Grace = cfg.Limits.Grace
	limits.LostGrace = cfg.Limits.LostGrace
	limits.ReattachGrace = cfg.Limits.ReattachGrace
	limits.RecoverAge = cfg.Limits.RecoverAge
	c := call.Config{Limits: limits, TenantOf: cfg.TenantOf}
	for _, p := range cfg.NumberPools {
		pool := call.NumberPool{Name: p.Name, TTL: p.TTL, Adapter: p.Adapter, Tenant: p.Tenant}
		for _, number := range p.Numbers {
			pool.Numbers = append(pool.Numbers, adapter.E164(number))
		}
		c.Pools = append(c.Pools, pool)
	}
	for _, r := range cfg.Routes {
		roles := make(map[media.TrackID]adapter.Role, len(r.Roles))
		for track, speaker := range r.Roles {
			roles[media.TrackID(track)] = speaker.Role()
		}
		c.Routes = append(c.Routes, call.Route{
			Match: call.Match{
				Adapter: r.Match.Adapter, Tenant: r.Match.Tenant, Account: r.Match.Account,
				To: adapter.E164(r.Match.To), From: adapter.E164(r.Match.From), Claims: r.Match.Claims,
			},
			Google: googleOf(cfg, r), Profile: r.Profile, Language: r.Language, Model: r.Model,
			Transport: assist.Transport(r.Transport), WordTimes: r.WordTimes, StoreMissing: r.StoreMissing, ThirdVoice: call.ThirdVoice(r.ThirdVoice), Roles: roles,
			ProfileClaim: r.ProfileClaim, Profiles: r.Profiles, ConversationClaim: r.ConversationClaim,
			Elsewhere: call.Elsewhere(r.ConversationElsewhere), KeepConversation: r.KeepConversation,
			StartPaused: r.Start == config.StartPaused, Reattach: r.Reattach, MaxCalls: r.Limits.Calls,
			Relay: r.Relay,
		})
	}
	return c
}

func googleOf(cfg *config.Config, r config.Route) assist.Google {
	g := cfg.GoogleFor(r)
	return assist.Google{
		Project: g.Project, Location: g.Location, Endpoint: g.Endpoint, Insecure: g.Insecure,
		Credentials: g.Credentials, QuotaProject: g.QuotaProject, Quotas: assist.Quotas(g.Quotas),
	}
}

// hostConfig is adapter i as core/plug/host wants it.
func hostConfig(cfg *config.Config, i int, pluginDir string, log *slog.Logger) host.Config {
	a := cfg.Adapters[i]
	c := host.Config{
		Name: a.Name, Path: cfg.PluginPath(a, pluginDir), SHA256: a.SHA256, Listeners: a.Listen, Log: log,
		DrainTimeout: time.Second, // the calls have been drained by then
		Prepare: func(d host.Description) (json.RawMessage, error) {
			if err := checkListeners(a.Listen, d); err != nil {
				return nil, err
			}
			return cfg.AdapterSettings(i, d.Schema)
		},
	}
	if a.TLS != nil {
		c.TLSCert, c.TLSKey = a.TLS.Cert, a.TLS.Key
	}
	return c
}

// checkListeners compares the addresses of the file with what the plugin listens on.
func checkListeners(listen map[string]string, d host.Description) error {
	problems := adapter.MissingListeners(d.Listeners, func(name string) bool { return listen[name] != "" })
	var names []string
	for _, l := range d.Listeners {
		names = append(names, l.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(listen)) {
		if !slices.Contains(names, name) {
			problems.Add("listen."+name, listen[name], fmt.Sprintf("plugin %s has no such listener", d.Name), "it has: "+strings.Join(names, ", "))
		}
	}
	return problems.Err()
}

// pluginMetrics are the numbers of the plugins. What adapters count is bounded by
// core/plug/host.
func (n *node) pluginMetrics() []telemetry.Metric {
	each := func(read func(s host.Status, p *host.Plugin, emit func(float64, ...string))) func(func(float64, ...string)) {
		return func(emit func(float64, ...string)) {
			for _, p := range n.plugins {
				read(p.Status(), p, emit)
			}
		}
	}
	return []telemetry.Metric{
		{Name: "patchbay_adapter_events_total", Help: "What adapters count outside of calls, such as refused handshakes.", Kind: telemetry.Counter,
			Labels: []string{"adapter", "kind"}, Read: each(func(s host.Status, p *host.Plugin, emit func(float64, ...string)) {
				for kind, count := range p.Counters() {
					emit(float64(count), s.Name, kind)
				}
			})},
		{Name: "patchbay_adapter_ready", Help: "1 while the adapter's plugin serves, else 0.", Kind: telemetry.Gauge,
			Labels: []string{"adapter"}, Read: each(func(s host.Status, _ *host.Plugin, emit func(float64, ...string)) {
				ready := 0.0
				if s.State == host.StateReady {
					ready = 1
				}
				emit(ready, s.Name)
			})},
		{Name: "patchbay_adapter_restarts_total", Help: "Starts of the adapter's plugin after its first.", Kind: telemetry.Counter,
			Labels: []string{"adapter"}, Read: each(func(s host.Status, _ *host.Plugin, emit func(float64, ...string)) {
				emit(float64(s.Restarts), s.Name)
			})},
	}
}

// adapters shows the node's plugins to the API.
type adapters struct{ n *node }

func (a adapters) List() []api.AdapterStatus {
	out := make([]api.AdapterStatus, len(a.n.plugins))
	for i, p := range a.n.plugins {
		s := p.Status()
		out[i] = api.AdapterStatus{
			Name: s.Name, Plugin: a.n.cfg.Adapters[i].Plugin, Version: s.Version, State: adapterState(s.State), Since: s.Since,
			Restarts: s.Restarts, Problem: s.LastError, Abilities: s.Abilities, Listeners: s.Addresses, Counters: map[string]int64{},
		}
		for kind, n := range p.Counters() {
			out[i].Counters[kind] = int64(n)
		}
	}
	return out
}

func adapterState(s host.State) api.AdapterState {
	if s == host.StateStopping {
		return api.AdapterStopped
	}
	return api.AdapterState(s)
}

func (a adapters) plugin(name string) (*host.Plugin, error) {
	for i, c := range a.n.cfg.Adapters {
		if c.Name == name {
			return a.n.plugins[i], nil
		}
	}
	return nil, &adapter.Error{Op: "attach", Kind: adapter.KindConfig, Err: fmt.Errorf("there is no adapter %q", name)}
}

// reattach asks an adapter for the audio of a call that runs, as soon as its plugin
// serves.
func (n *node) reattach(ctx context.Context, name string, r adapter.AttachRequest) error {
	p, err := adapters{n}.plugin(name)
	if err != nil {
		return err
	}
	for {
		select {
		case <-p.Ready():
		case <-ctx.Done():
			return fmt.Errorf("adapter %s: its plugin does not serve: %w", name, ctx.Err())
		}
		changed := p.Changed()
		if s := p.Status(); s.State == host.StateReady && !slices.Contains(s.Abilities, api.AbilityAttach) {
			return errors.ErrUnsupported // the vendor comes back by itself, or not
		}
		_, err := p.Attach(ctx, r)
		if e, ok := errors.AsType[*adapter.Error](err); !ok || e.Kind != adapter.KindUnavailable {
			return err
		}
		select { // the plugin has just died, perhaps
		case <-changed:
		case <-ctx.Done():
			return err
		}
	}
}

func (a adapters) Attach(ctx context.Context, name string, r adapter.AttachRequest) (string, error) {
	p, err := a.plugin(name)
	if err != nil {
		return "", err
	}
	return p.Attach(ctx, r)
}

func (a adapters) Detach(ctx context.Context, name string, r adapter.DetachRequest) error {
	p, err := a.plugin(name)
	if err != nil {
		return err
	}
	return p.Detach(ctx, r)
}
