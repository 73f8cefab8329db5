package host_test

import (
	"context"
	"encoding/json"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/plug/host"
	"github.com/patchbay/patchbay/core/plug/host/hosttest"
)

// BenchmarkSeam500Legs lets a plugin process send 500 legs of 20 ms in real time and
// measures what a frame costs both processes, from Leg.Write in the plugin to
// Leg.Write in the host, mutual TLS included, and how late it is. An operation is a
// frame.
func BenchmarkSeam500Legs(b *testing.B) {
	sink := &countingSink{}
	p := startPaced(b, "paced", 500, sink)
	sink.await(b, 5000) // warm
	before, allocs := cpu(b), sink.mallocs()
	sink.lateness.Store(0)
	from := sink.frames.Load()
	b.ResetTimer()
	sink.await(b, from+int64(b.N))
	b.StopTimer()
	frames := sink.frames.Load() - from
	hostCPU, hostAllocs := cpu(b)-before, sink.mallocs()-allocs
	b.ReportMetric(float64(hostAllocs)/float64(frames), "host-allocs/frame")
	b.ReportMetric(float64(hostCPU.Nanoseconds())/float64(frames)/1000, "host-µs/frame")
	b.ReportMetric(float64(sink.lateness.Load())/float64(frames)/1e6, "mean-ms-late")
	total := sink.frames.Load()
	if err := p.Stop(context.Background()); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(childCPU(b).Nanoseconds())/float64(total)/1000, "plugin-µs/frame")
}

// BenchmarkSeamFlood sends one leg as fast as the seam takes it.
func BenchmarkSeamFlood(b *testing.B) {
	sink := &countingSink{}
	startPaced(b, "flood", 1, sink)
	sink.await(b, 5000)
	from := sink.frames.Load()
	b.ResetTimer()
	sink.await(b, from+int64(b.N))
}

func startPaced(b *testing.B, script string, legs int, sink adapter.Sink) *hosttest.Instance {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	settings, err := json.Marshal(actorConfig{Script: script, Legs: legs})
	if err != nil {
		b.Fatal(err)
	}
	return hosttest.Start(b, host.Config{Name: "bench", Path: self, Settings: settings, Env: []string{roleVar + "=actor"}}, sink)
}

// countingSink admits everything and counts.
type countingSink struct {
	frames   atomic.Int64
	lateness atomic.Int64 // nanoseconds, all frames together
	waiting  atomic.Pointer[waiter]
}

type waiter struct {
	until int64
	done  chan struct{}
}

func (s *countingSink) Open(context.Context, adapter.LegInfo) (adapter.Leg, error) {
	return &countingLeg{sink: s, control: make(chan adapter.Control)}, nil
}

func (s *countingSink) await(b *testing.B, frames int64) {
	b.Helper()
	w := &waiter{until: frames, done: make(chan struct{})}
	s.waiting.Store(w)
	select {
	case <-w.done:
	case <-time.After(5 * time.Minute):
		b.Fatalf("%d frames; want %d", s.frames.Load(), frames)
	}
}

func (s *countingSink) mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

type countingLeg struct {
	sink    *countingSink
	control chan adapter.Control
	closed  atomic.Bool
}

func (l *countingLeg) Join(media.TrackID, adapter.Track) error { return nil }

func (l *countingLeg) Note(adapter.Note) error { return nil }

func (l *countingLeg) Control() <-chan adapter.Control { return l.control }

func (l *countingLeg) Close(adapter.EndReason) error {
	if l.closed.CompareAndSwap(false, true) {
		close(l.control)
	}
	return nil
}

func (l *countingLeg) Write(f media.Frame) error {
	n := l.sink.frames.Add(1)
	l.sink.lateness.Add(int64(time.Since(f.Arrived)))
	if w := l.sink.waiting.Load(); w != nil && n >= w.until && l.sink.waiting.CompareAndSwap(w, nil) {
		close(w.done)
	}
	return nil
}

// cpu returns the processor time that this process has used.
func cpu(b *testing.B) time.Duration { return usage(b, syscall.RUSAGE_SELF) }

// childCPU returns the processor time of the children that have ended.
func childCPU(b *testing.B) time.Duration { return usage(b, syscall.RUSAGE_CHILDREN) }

func usage(b *testing.B, who int) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
