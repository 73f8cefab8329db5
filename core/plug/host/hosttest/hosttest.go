// Package hosttest takes adapters across the plugin seam in tests: it builds a
// plugin, runs it under a host's supervisor, and so lets the conformance suite of
// package adaptertest see the adapter as a host does.
package hosttest

import (
	"context"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/adapter/adaptertest"
	"github.com/patchbay/patchbay/core/plug/host"
)

// Build builds the main package pkg, an import path or a folder, into a folder of
// the test and returns the binary's path. Under the race detector the binary has it
// too.
func Build(tb testing.TB, pkg string) string {
	tb.Helper()
	dir := tb.TempDir()
	BuildInto(tb, dir, pkg)
	return Binary(dir)
}

// BuildInto is Build into a folder of the caller's; Binary returns the path.
func BuildInto(tb testing.TB, dir, pkg string) {
	tb.Helper()
	args := []string{"build", "-buildvcs=false", "-o", Binary(dir)}
	if raceEnabled {
		args = append(args, "-race")
	}
	if out, err := exec.CommandContext(tb.Context(), "go", append(args, pkg)...).CombinedOutput(); err != nil {
		tb.Fatalf("go build %s: %v\n%s", pkg, err, out)
	}
}

// Binary returns the path of the binary that BuildInto puts into a folder.
func Binary(dir string) string {
	if runtime.GOOS == "windows" {
		return filepath.Join(dir, "plugin.exe")
	}
	return filepath.Join(dir, "plugin")
}

// Seam returns a Runner that runs subjects as plugin processes of the binary bin.
func Seam(bin string) adaptertest.Runner { return seam{bin} }

type seam struct{ bin string }

// Start implements adaptertest.Runner.
func (s seam) Start(tb testing.TB, subject adaptertest.Subject, sink *adaptertest.Sink) adaptertest.Instance {
	tb.Helper()
	settings, err := json.Marshal(subject.Settings)
	if err != nil {
		tb.Fatalf("settings: %v", err)
	}
	return Start(tb, host.Config{
		Name: "test", Path: s.bin, Settings: settings,
		Listeners: Loopback(adaptertest.Needed(subject.Settings.Listeners())),
	}, sink)
}

// Loopback returns a free loopback address for each listener.
func Loopback(ls []adapter.Listener) map[string]string {
	addresses := map[string]string{}
	for _, l := range ls {
		addresses[l.Name] = "127.0.0.1:0"
	}
	return addresses
}

// Instance is a plugin under supervision.
type Instance struct {
	*host.Plugin
	cancel context.CancelFunc
	done   chan error
}

// Start runs a plugin and waits until it is ready. Without settings of their own it
// logs into the test's output and stops without draining. The test stops it at its
// end at the latest.
func Start(tb testing.TB, c host.Config, sink adapter.Sink) *Instance {
	tb.Helper()
	if c.Log == nil {
		c.Log = adaptertest.Logger(tb)
	}
	if c.DrainTimeout == 0 {
		c.DrainTimeout = -1
	}
	p, err := host.New(c, sink)
	if err != nil {
		tb.Fatalf("host.New: %v", err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(tb.Context()))
	i := &Instance{Plugin: p, cancel: cancel, done: make(chan error, 1)}
	ready := p.Ready()
	go func() { i.done <- p.Run(ctx) }()
	tb.Cleanup(func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), adaptertest.Patience)
		defer cancel()
		_ = i.Stop(stop)
	})
	select {
	case <-ready:
	case err := <-i.done:
		i.done <- err
		tb.Fatalf("the plugin did not start: %v", err)
	case <-time.After(adaptertest.Patience):
		tb.Fatalf("the plugin is not ready: %+v", p.Status())
	}
	return i
}

// Addr implements adaptertest.Instance.
func (i *Instance) Addr(listener string) string { return i.Status().Addresses[listener] }

// Stop implements adaptertest.Instance. Called again it returns the same.
func (i *Instance) Stop(ctx context.Context) error {
	i.cancel()
	select {
	case err := <-i.done:
		i.done <- err
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
