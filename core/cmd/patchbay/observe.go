package main

import (
	"context"
	"os"
	"time"

	"github.com/patchbay/patchbay/core/api"
	"github.com/patchbay/patchbay/core/call"
	"github.com/patchbay/patchbay/core/event"
	"github.com/patchbay/patchbay/core/telemetry"
)

// flushTime is how long the last traces may take at a shutdown.
const flushTime = 5 * time.Second

// observe makes the registry of metrics and, where the file asks for them, traces;
// the calls tell both what happens in them.
func (n *node) observe(calls *call.Config) error {
	n.registry = telemetry.NewRegistry(version)
	if t := n.cfg.Telemetry.Traces; t.Endpoint != "" {
		instance, err := os.Hostname()
		if err != nil {
			n.log.Warn("traces do not name this machine", "err", err)
		}
		n.traces, err = telemetry.NewTraces(telemetry.TraceConfig{Endpoint: t.Endpoint, Ratio: t.Ratio, Version: version, Instance: instance, Log: n.log})
		if err != nil {
			return err
		}
		if err := telemetry.Register(n.registry, n.traces.Metrics()...); err != nil {
			return err
		}
	}
	observer, err := telemetry.NewObserver(n.registry, n.traces)
	if err != nil {
		return err
	}
	calls.Observe = func(m call.Meta) func(event.Event) { return observer.Call(telemetry.CallInfo(m)) }
	return nil
}

// count registers what is counted elsewhere and read when somebody asks.
func (n *node) count() error {
	c := api.NewCollector(n.calls, n.pool.Stats())
	if n.spool != nil {
		c.Spool = n.spool.Stats
	}
	if err := n.registry.Register(c); err != nil {
		return err
	}
	return telemetry.Register(n.registry, n.pluginMetrics()...)
}

// closeTraces sends the last traces.
func (n *node) closeTraces() {
	if n.traces == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	defer cancel()
	if err := n.traces.Close(ctx); err != nil {
		n.log.Warn("closing traces", "err", err)
	}
}
