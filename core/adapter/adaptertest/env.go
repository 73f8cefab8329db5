package adaptertest

import (
	"fmt"
	"log/slog"
	"maps"
	"net"
	"sync"
	"testing"

	"github.com/patchbay/patchbay/core/adapter"
)

// Env is an adapter's environment on loopback: a listener on a free port for
// each name, logs in the test's output, counters to read.
type Env struct {
	adapter.Env

	mu        sync.Mutex
	listeners map[string]net.Listener
	packets   map[string]net.PacketConn
	addrs     map[string]string
	counts    map[string]int
}

// NewEnv opens a socket on loopback for each name, TCP or UDP as the name says. What the
// adapter does not take is closed with the test.
func NewEnv(tb testing.TB, listeners ...string) *Env {
	tb.Helper()
	e := &Env{listeners: map[string]net.Listener{}, packets: map[string]net.PacketConn{}, addrs: map[string]string{}, counts: map[string]int{}}
	for _, name := range listeners {
		if adapter.NetworkOf(name) == adapter.NetworkUDP {
			c, err := net.ListenPacket("udp", "127.0.0.1:0")
			if err != nil {
				tb.Fatalf("adaptertest: listen: %v", err)
			}
			e.packets[name], e.addrs[name] = c, c.LocalAddr().String()
			continue
		}
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			tb.Fatalf("adaptertest: listen: %v", err)
		}
		e.listeners[name], e.addrs[name] = ln, ln.Addr().String()
	}
	tb.Cleanup(e.close)
	e.Env = adapter.Env{Name: "test", Log: Logger(tb), Listen: e.listen, ListenPacket: e.listenPacket, Count: e.count}
	return e
}

func (e *Env) listen(name string) (net.Listener, error) { return take(e, e.listeners, name) }

func (e *Env) listenPacket(name string) (net.PacketConn, error) { return take(e, e.packets, name) }

func take[T any](e *Env, sockets map[string]T, name string) (T, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s, free := sockets[name]
	switch {
	case e.addrs[name] == "":
		return s, fmt.Errorf("adaptertest: listener %q: %w", name, adapter.ErrNoListener)
	case !free:
		return s, fmt.Errorf("adaptertest: listener %q is taken already, or not of this network", name)
	}
	delete(sockets, name)
	return s, nil
}

func (e *Env) count(kind string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.counts[kind]++
}

func (e *Env) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ln := range e.listeners {
		_ = ln.Close() // nobody took it
	}
	for _, c := range e.packets {
		_ = c.Close()
	}
}

// Addr returns the address of a listener, empty for an unknown name. It is
// known before the adapter runs.
func (e *Env) Addr(name string) string { return e.addrs[name] }

// Counts returns the counters of Env.Count.
func (e *Env) Counts() map[string]int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.counts)
}

// Logger returns a logger that writes into the test's output until the test ends.
func Logger(tb testing.TB) *slog.Logger {
	w := &testWriter{tb: tb}
	tb.Cleanup(w.close)
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

type testWriter struct {
	mu sync.Mutex
	tb testing.TB // nil after the test
}

func (w *testWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tb == nil {
		return len(p), nil
	}
	return w.tb.Output().Write(p)
}

func (w *testWriter) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tb = nil
}
