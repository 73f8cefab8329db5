package host_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/adapter/adaptertest"
	"github.com/patchbay/patchbay/core/plug/host/hosttest"
)

// playRelay makes calls of all kinds and tells in notes what came of them.
func playRelay(ctx context.Context, _ actorConfig, _ adapter.Env, sink adapter.Sink) error {
	l, err := openLeg(ctx, sink, 0)
	if err != nil {
		return err
	}
	tell := func(format string, args ...any) error {
		return l.Note(adapter.Note{Kind: adapter.NoteWarning, Text: fmt.Sprintf(format, args...)})
	}
	relayer, ok := sink.(adapter.Relayer)
	if !ok {
		return tell("the sink relays nothing")
	}
	ask := func(ctx context.Context, method string, message []byte) string {
		answer, err := relayer.Relay(ctx, adapter.RelayRequest{Method: method, Message: message, Principal: adapter.Principal{Account: "acme", Method: adapter.MethodToken}})
		if e, ok := errors.AsType[*adapter.StatusError](err); ok {
			return fmt.Sprintf("status %d %q %q", e.Code, e.Text, e.Status)
		}
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("%d bytes", len(answer))
	}
	if err := tell("echo: %s", ask(ctx, "echo", make([]byte, 3<<20))); err != nil {
		return err
	}
	if err := tell("error: %s", ask(ctx, "error", []byte("m"))); err != nil {
		return err
	}
	if err := tell("too large: %s", ask(ctx, "echo", make([]byte, adapter.MaxRelayBytes+1))); err != nil {
		return err
	}
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if err := tell("late: %s", ask(short, "slow", nil)); err != nil {
		return err
	}
	gone, leave := context.WithCancel(ctx)
	time.AfterFunc(20*time.Millisecond, leave)
	if err := tell("cancelled: %s", ask(gone, "slow", nil)); err != nil {
		return err
	}
	var many sync.WaitGroup
	var mu sync.Mutex
	count := map[string]int{}
	for range 300 { // more than may be under way
		many.Go(func() {
			said := ask(ctx, "gate", nil)
			mu.Lock()
			defer mu.Unlock()
			count[said]++
		})
	}
	many.Wait()
	if err := tell("many: %d of 300", count["0 bytes"]); err != nil {
		return err
	}
	return l.Close(adapter.EndReason{Kind: adapter.EndHangup})
}

// relaySink answers the calls of playRelay.
type relaySink struct {
	*adaptertest.Sink
	left chan error // of calls that were given up
	gate chan struct{}

	mu    sync.Mutex
	gated int
}

// Relay implements adapter.Relayer.
func (s *relaySink) Relay(ctx context.Context, r adapter.RelayRequest) ([]byte, error) {
	switch r.Method {
	case "echo":
		return bytes.Clone(r.Message), nil
	case "error":
		return nil, &adapter.StatusError{Code: int(codes.NotFound), Text: r.Principal.Account + " " + string(r.Principal.Method), Status: []byte("s")}
	case "gate":
		s.mu.Lock()
		if s.gated++; s.gated == 256 {
			close(s.gate)
		}
		s.mu.Unlock()
		select {
		case <-s.gate:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	<-ctx.Done()
	s.left <- ctx.Err()
	return nil, ctx.Err()
}

func TestRelay(t *testing.T) {
	s := &relaySink{Sink: adaptertest.NewSink(), left: make(chan error, 2), gate: make(chan struct{})}
	hosttest.Start(t, as(t, "relaying", "relay"), s)
	l := s.WaitLeg(t, 0)
	l.WaitClosed(t)
	want := []string{
		"echo: 3145728 bytes",
		`error: status 5 "acme token" "s"`,
		`too large: status 8 "the request is too large" ""`,
		"late: context deadline exceeded",
		"cancelled: context canceled",
	}
	notes := l.Notes()
	for i, w := range want {
		if i >= len(notes) || notes[i].Text != w {
			t.Errorf("note %d is %+v; want %q", i, notes[min(i, len(notes)-1)].Text, w)
		}
	}
	var many int
	if _, err := fmt.Sscanf(notes[len(notes)-1].Text, "many: %d of 300", &many); err != nil || many < 256 {
		t.Errorf("%q; want at least 256 of them", notes[len(notes)-1].Text)
	}
	for range 2 { // the host stopped working on both
		select {
		case <-s.left:
		case <-time.After(adaptertest.Patience):
			t.Fatal("the host still works on a call that was given up")
		}
	}
}

// A plugin that does not state the ability cannot relay, and says why.
func TestRelayIsStated(t *testing.T) {
	s := &relaySink{Sink: adaptertest.NewSink(), left: make(chan error, 2), gate: make(chan struct{})}
	close(s.gate)
	hosttest.Start(t, as(t, "actor", "relay"), s)
	l := s.WaitLeg(t, 0)
	if n := l.WaitNote(t, adapter.NoteWarning); n.Text != "echo: plug.Relay: the plugin relays nothing: its main must pass plug.WithRelay" {
		t.Errorf("note %q", n.Text)
	}
	l.WaitClosed(t)
}

// playDeaf reads its results only when told to, and says what there was.
func playDeaf(ctx context.Context, _ actorConfig, env adapter.Env, sink adapter.Sink) error {
	l, err := sink.Open(ctx, adapter.LegInfo{CallKey: "call", LegKey: "leg", Principal: adapter.Principal{Method: adapter.MethodNone}, Results: adapter.ResultsRaw})
	if err != nil {
		return err
	}
	if err := l.Join("t", voice); err != nil {
		return err
	}
	relayer := sink.(adapter.Relayer)
	if _, err := relayer.Relay(ctx, adapter.RelayRequest{Method: "wait"}); err != nil { // the host has sent them all
		return err
	}
	results, lost := 0, 0
	for c := range l.Control() {
		switch c.Kind {
		case adapter.ControlResult:
			if want := fmt.Sprint(results); string(c.Result.Raw) != want {
				env.Count("out_of_order")
			}
			results++
		case adapter.ControlLost:
			lost++
		case adapter.ControlEnd:
			if err := l.Note(adapter.Note{Kind: adapter.NoteWarning, Text: fmt.Sprintf("%d results, lost was said %d times", results, lost)}); err != nil {
				return err
			}
			return l.Close(adapter.EndReason{Kind: adapter.EndOrdered})
		}
	}
	return nil
}

// Results that nobody reads are lost, the last ones, and the adapter is told; audio and
// orders are not touched.
func TestUnreadResults(t *testing.T) {
	sink := adaptertest.NewSink()
	gate := make(chan struct{})
	sink.OnRelay(func(adapter.RelayRequest) ([]byte, error) { <-gate; return nil, nil })
	p := hosttest.Start(t, as(t, "relaying", "deaf"), sink)
	l := sink.WaitLeg(t, 0)
	const n = 1000
	for i := range n {
		l.OrderWait(t, adapter.Control{Kind: adapter.ControlResult, Result: &adapter.Result{Kind: adapter.ResultRaw, Raw: fmt.Append(nil, i)}})
	}
	l.OrderWait(t, adapter.Control{Kind: adapter.ControlEnd})
	for deadline := time.Now().Add(adaptertest.Patience); p.Counters()["seam_dropped_results"] != n-adapter.ResultBuffer; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("counters %v; want %d dropped results", p.Counters(), n-adapter.ResultBuffer)
		}
	}
	close(gate)
	if note := l.WaitNote(t, adapter.NoteWarning); note.Text != fmt.Sprintf("%d results, lost was said 1 times", adapter.ResultBuffer) {
		t.Errorf("%q; want the first %d", note.Text, adapter.ResultBuffer)
	}
	l.WaitClosed(t)
	if p.Counters()["out_of_order"] != 0 {
		t.Error("results came out of order")
	}
}
