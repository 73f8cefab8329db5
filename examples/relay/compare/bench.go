package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
)

// The times of a run: calls begin one after the other, then settle, then are
// measured until shortly before the first one ends.
const (
	rampPerCall = 10 * time.Millisecond
	settle      = time.Second
	beforeEnd   = 500 * time.Millisecond
	minDuration = 8 * time.Second
	patience    = 30 * time.Second // for a process to start, for streams to open, for conversations to end
)

// bench is what all runs share.
type bench struct {
	options
	folder  string
	counter *counter
}

func newBench(o options, folder string) (*bench, error) {
	c, err := newCounter(o.recogniser)
	if err != nil {
		return nil, err
	}
	return &bench{options: o, folder: folder, counter: c}, nil
}

func (b *bench) close() error { return b.counter.close() }

// measure runs one system with so many calls.
func (b *bench) measure(ctx context.Context, s system, calls int) (r result, err error) {
	p, err := b.start(ctx, s)
	if err != nil {
		return r, err
	}
	defer p.stop()
	r = result{System: s, Calls: calls}
	idle, err := usageOf(p.pid())
	if err != nil {
		return r, err
	}
	b.counter.reset()
	sim := b.simulate(ctx, s, p, calls)
	defer sim.stop()
	begun := time.Now()
	if err := b.counter.awaitStreams(ctx, 2*calls, sim.done); err != nil {
		return r, p.explain(err)
	}
	if !pause(ctx, time.Until(begun.Add(time.Duration(calls)*rampPerCall))+settle) {
		return r, ctx.Err()
	}
	before, err := observe(p.pid())
	if err != nil {
		return r, err
	}
	handedBefore, err := p.handovers()
	if err != nil {
		return r, p.explain(err)
	}
	b.counter.timing(true)
	if !pause(ctx, time.Until(begun.Add(b.duration-beforeEnd))) {
		return r, ctx.Err()
	}
	b.counter.timing(false)
	after, err := observe(p.pid())
	if err != nil {
		return r, err
	}
	handed, err := p.handovers()
	if err != nil {
		return r, p.explain(err)
	}
	<-sim.done
	if sim.err != nil {
		return r, p.explain(sim.err)
	}
	if err := b.counter.awaitCompletion(ctx, sim.report); err != nil {
		return r, p.explain(err)
	}
	whole, err := usageOf(p.pid())
	if err != nil {
		return r, err
	}
	r.fill(before, after)
	r.RSSIdle, r.WholeMs = idle.rss(), (whole.cpu()-idle.cpu()).Seconds()*1000/float64(calls)
	r.KBPerCall = float64(r.RSS-r.RSSIdle) / 1000 / float64(calls)
	if h := (percentiles{quantile(handedBefore, handed, 0.5), quantile(handedBefore, handed, 0.99)}); !math.IsNaN(h.P50) {
		r.Handover = &h
	}
	b.counter.account(sim.report, &r)
	if r.Lost > 0 || r.FailedCalls > 0 {
		r.Said = p.said()
	}
	return r, nil
}

// pause waits unless ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(max(0, d))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// simulation is the simulator, in a process of its own.
type simulation struct {
	done   chan struct{} // closed at its end, when the rest is set
	report adapter.SimReport
	err    error
	hangUp context.CancelFunc
}

// stop ends the process, if it has not ended.
func (s *simulation) stop() {
	s.hangUp()
	<-s.done
}

// simulate begins to play the calls.
func (b *bench) simulate(ctx context.Context, of system, p *process, calls int) *simulation {
	ctx, hangUp := context.WithCancel(ctx)
	s := &simulation{done: make(chan struct{}), hangUp: hangUp}
	args := append([]string{"simulate", "--coded", "--json", "--calls", fmt.Sprint(calls),
		"--ramp", (time.Duration(calls) * rampPerCall).String(), "--duration", b.duration.String()}, doors[of].simulate(p)...)
	cmd := exec.CommandContext(ctx, b.plugin(of), args...)
	cmd.Env = []string{"SIM_TOKEN=" + authToken, "SIM_SECRET=" + streamSecret}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	go func() { // until stop
		defer close(s.done)
		s.err = cmd.Run()
		lines := strings.Split(strings.TrimSpace(stdout.String()), "\n")
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &s.report); err != nil && s.err == nil {
			s.err = err
		}
		if s.err != nil {
			s.err = fmt.Errorf("the simulator: %w\n%s", s.err, tail(stderr.Bytes()))
		}
	}()
	return s
}

// tail returns the last lines of what a process said.
func tail(b []byte) []byte {
	const most = 2000
	return bytes.TrimSpace(b[max(0, len(b)-most):])
}

func (b *bench) path(name string) string { return filepath.Join(b.folder, name) }
