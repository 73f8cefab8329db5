package audiohook

import (
	"context"
	"testing"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/adapter/adaptertest"
)

// runWith is run with another host.
func runWith(t *testing.T, cfg Config, sink adapter.Sink) *bench {
	t.Helper()
	a, err := New(cfg)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	b := &bench{Adapter: a, env: adaptertest.NewEnv(t, listenerHTTP)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx, b.env.Env, sink) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v; want nil", err)
		}
	})
	return b
}

// pausingSink is a host whose calls are paused from their start.
type pausingSink struct{ *adaptertest.Sink }

func (s *pausingSink) Open(ctx context.Context, info adapter.LegInfo) (adapter.Leg, error) {
	l, err := s.Sink.Open(ctx, info)
	if err == nil {
		l.(*adaptertest.Leg).Order(adapter.Control{Kind: adapter.ControlPause, Reason: "routes[].start is paused"})
	}
	return l, err
}

// lateSink is a host whose last results take a while.
type lateSink struct {
	*adaptertest.Sink
	finish chan *lateLeg
}

type lateLeg struct {
	adapter.Leg
	control chan adapter.Control
	finish  chan *lateLeg
	done    chan struct{}
}

func (s *lateSink) Open(ctx context.Context, info adapter.LegInfo) (adapter.Leg, error) {
	leg, err := s.Sink.Open(ctx, info)
	if err != nil {
		return nil, err
	}
	l := &lateLeg{Leg: leg, control: make(chan adapter.Control, 16), finish: s.finish, done: make(chan struct{})}
	go func() {
		defer close(l.done)
		for c := range leg.Control() {
			if c.Kind != adapter.ControlDone { // said by the test
				l.control <- c
			}
		}
	}()
	return l, nil
}

func (l *lateLeg) Control() <-chan adapter.Control { return l.control }

func (l *lateLeg) Note(n adapter.Note) error {
	err := l.Leg.Note(n)
	if n.Kind == adapter.NoteFinish {
		l.finish <- l
	}
	return err
}

func (l *lateLeg) Close(reason adapter.EndReason) error {
	err := l.Leg.Close(reason)
	<-l.done
	return err
}
