package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/emulator"
	"github.com/patchbay/patchbay/core/emulator/hear"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/media/probe"
)

// counter is the Agent Assist of all runs: an emulator without quotas, which counts
// coded blocks, and notes when audio came.
type counter struct {
	server *emulator.Server
	addr   string
	clock  *clock
	stop   func() error
	before map[string]bool // conversations of earlier runs, by name
}

func recogniser(name string) (hear.Recognizer, error) {
	switch name {
	case "none":
		return hear.Deaf{}, nil
	case "coded":
		return hear.Coded{}, nil
	}
	return nil, fmt.Errorf("--recogniser %q: want none or coded", name)
}

func newCounter(name string) (*counter, error) {
	inner, err := recogniser(name)
	if err != nil {
		return nil, err
	}
	cfg := emulator.DefaultConfig()
	cfg.Quotas = false
	c := &counter{clock: &clock{inner: inner}}
	cfg.Recognizer = c.clock
	if c.server, err = emulator.New(cfg); err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c.addr = ln.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- c.server.Serve(ctx, ln) }()
	c.stop = func() error {
		cancel()
		return <-served
	}
	return c, nil
}

func (c *counter) close() error { return c.stop() }

func (c *counter) reset() {
	c.clock.reset()
	c.before = make(map[string]bool)
	for _, a := range c.server.Account().Conversations {
		c.before[a.Name] = true
	}
}

// conversations are those since reset.
func (c *counter) conversations() []emulator.ConversationAccount {
	return slices.DeleteFunc(c.server.Account().Conversations, func(a emulator.ConversationAccount) bool { return c.before[a.Name] })
}

func (c *counter) timing(on bool) {
	c.clock.mu.Lock()
	defer c.clock.mu.Unlock()
	c.clock.on = on
}

// every calls done at short intervals until it is true. failed, if not nil, is
// closed when that cannot happen any more.
func every(ctx context.Context, what string, done func() bool, failed <-chan struct{}) error {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-failed:
			return errors.New("its process ended early")
		case <-limit.C:
			return fmt.Errorf("%s not within %v", what, patience)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// awaitStreams returns when so many streams were opened.
func (c *counter) awaitStreams(ctx context.Context, n int, simulated <-chan struct{}) error {
	return every(ctx, fmt.Sprintf("%d streams opened", n), func() bool { return c.clock.opened() >= n }, simulated)
}

// awaitCompletion returns when the conversation of each call is completed.
func (c *counter) awaitCompletion(ctx context.Context, r adapter.SimReport) error {
	return every(ctx, "conversations completed", func() bool {
		completed := 0
		for _, a := range c.conversations() {
			if a.Completed {
				completed++
			}
		}
		return completed >= len(r.Calls)
	}, nil)
}

// account compares what the simulator sent with what was heard.
func (c *counter) account(report adapter.SimReport, r *result) {
	for _, call := range report.Calls {
		if call.Error != "" {
			r.FailedCalls++
		}
		for _, t := range call.Tracks {
			r.Sent += t.Samples / probe.BlockSamples
		}
	}
	r.Lost = r.Sent
	for _, a := range c.conversations() {
		for _, p := range a.Participants {
			for _, b := range p.Blocks {
				r.Lost -= int64(b.Distinct)
				r.Doubled += int64(b.Duplicates)
			}
		}
	}
	late := c.clock.lateness()
	if n := len(late); n > 0 {
		r.LateP50, r.LateP99 = ms(late[n/2]), ms(late[n*99/100])
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// clock is a recogniser that also notes how late audio comes. The best chunk of a
// stream is taken as punctual, so that only differences count: no clock is shared
// with the sender.
type clock struct {
	inner hear.Recognizer

	mu        sync.Mutex
	on        bool
	listeners []*timed
}

func (c *clock) Listen(f media.Format, language string) hear.Listener {
	t := &timed{Listener: c.inner.Listen(f, language), clock: c, format: f, begun: time.Now()}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listeners = append(c.listeners, t)
	return t
}

func (c *clock) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listeners = nil
}

func (c *clock) opened() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.listeners)
}

// lateness returns how late each chunk came, sorted.
func (c *clock) lateness() (all []time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.listeners {
		if len(t.offsets) == 0 {
			continue
		}
		best := slices.Min(t.offsets)
		for _, d := range t.offsets {
			all = append(all, d-best)
		}
	}
	slices.Sort(all)
	return all
}

// timed is a listener with a watch.
type timed struct {
	hear.Listener
	clock   *clock
	format  media.Format
	begun   time.Time
	samples int64
	offsets []time.Duration // from the stream's begin to a chunk's arrival, less its place in the audio; guarded by clock.mu
}

func (t *timed) Write(payload []byte, emit func(hear.Event)) {
	at := time.Since(t.begun)
	t.samples += t.format.Samples(len(payload))
	t.clock.mu.Lock()
	if t.clock.on {
		t.offsets = append(t.offsets, at-t.format.Duration(t.samples))
	}
	t.clock.mu.Unlock()
	t.Listener.Write(payload, emit)
}
