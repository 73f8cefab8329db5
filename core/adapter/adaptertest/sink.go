// Package adaptertest proves adapters: a Sink that behaves like a host and
// remembers everything, an environment on loopback, and the conformance suite
// that every adapter passes twice, in one process and across the plugin seam.
//
// It owns no vendor's protocol: the other end of the wire is a Peer, which each
// adapter brings along. The suite crosses the seam through a Runner, so that
// this package needs no plugin code.
package adaptertest

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
)

// CallID tells calls apart: legs with the same account and key are one call.
type CallID struct {
	Account string
	Key     string
}

// Sink is a host that admits legs, records what they bring and watches that
// the adapter keeps its part of the contract. It is safe for concurrent use.
// The zero value is not usable; call NewSink.
type Sink struct {
	mu         sync.Mutex
	legs       []*Leg
	live       map[legID]*Leg
	refusal    *adapter.Refusal
	admit      int // legs still admitted; negative for any number
	refused    int
	events     []Event
	violations []string
	relay      func(adapter.RelayRequest) ([]byte, error) // nil: nothing is relayed
	between    func()                                     // what happens within Write, between copy and comparison
	changed    chan struct{}                              // closed and replaced when something happens and somebody waits
}

type legID struct {
	call CallID
	leg  string
}

// NewSink returns a Sink that admits every leg.
func NewSink() *Sink {
	return &Sink{live: map[legID]*Leg{}, admit: -1, between: runtime.Gosched} // an early re-user gets a chance
}

// Refuse makes Open fail with r from now on; nil admits again.
func (s *Sink) Refuse(r *adapter.Refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusal = r
}

// Admit makes Open admit n more legs and refuse the rest with RefusedFull. A
// negative n admits all.
func (s *Sink) Admit(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.admit = n
}

// OnRelay sets what answers relayed calls, from any goroutine.
func (s *Sink) OnRelay(answer func(adapter.RelayRequest) ([]byte, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.relay = answer
}

// Relay implements adapter.Relayer.
func (s *Sink) Relay(_ context.Context, r adapter.RelayRequest) ([]byte, error) {
	s.mu.Lock()
	answer := s.relay
	s.mu.Unlock()
	if answer == nil {
		return nil, &adapter.StatusError{Code: 12, Text: "the test host relays nothing"} // UNIMPLEMENTED
	}
	return answer(r)
}

// Open implements adapter.Sink.
func (s *Sink) Open(ctx context.Context, info adapter.LegInfo) (adapter.Leg, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("adaptertest: open: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if info.CallKey == "" || info.LegKey == "" || info.Principal.Method == "" {
		s.violate("Open without CallKey, LegKey or Principal.Method: %q, %q, %q", info.CallKey, info.LegKey, info.Principal.Method)
		return nil, s.refuse(&adapter.Refusal{Reason: adapter.RefusedInvalid, Text: "LegInfo lacks a key or a method"})
	}
	if s.refusal != nil {
		return nil, s.refuse(s.refusal)
	}
	if s.admit == 0 {
		return nil, s.refuse(&adapter.Refusal{Reason: adapter.RefusedFull, Text: "the test host is full"})
	}
	if s.admit > 0 {
		s.admit--
	}
	l := &Leg{
		sink: s, index: len(s.legs), info: info,
		control: make(chan adapter.Control, controlBuffer),
		tracks:  map[media.TrackID]*track{},
	}
	s.record(Event{Leg: l.index, Op: "open", Info: &l.info})
	if old := s.live[l.id()]; old != nil {
		old.end("another leg with the same key came")
	}
	s.live[l.id()] = l
	s.legs = append(s.legs, l)
	return l, nil
}

// refuse counts a refusal. The caller holds mu.
func (s *Sink) refuse(r *adapter.Refusal) error {
	s.refused++
	s.record(Event{Leg: -1, Op: "refuse", Text: string(r.Reason)})
	return r
}

// Legs returns the admitted legs in the order of their admission.
func (s *Sink) Legs() []*Leg {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*Leg(nil), s.legs...)
}

// Calls groups the admitted legs into calls.
func (s *Sink) Calls() map[CallID][]*Leg {
	calls := map[CallID][]*Leg{}
	for _, l := range s.Legs() {
		calls[l.CallID()] = append(calls[l.CallID()], l)
	}
	return calls
}

// Refused returns how many legs were refused.
func (s *Sink) Refused() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refused
}

// Events returns everything that happened, in order, except frames.
func (s *Sink) Events() []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Event(nil), s.events...)
}

// Violations returns where the adapter broke the contract, in words.
func (s *Sink) Violations() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.violations...)
}

// violate notes a breach of contract. The caller holds mu.
func (s *Sink) violate(format string, args ...any) {
	const enough = 100 // a broken adapter repeats itself
	if len(s.violations) < enough {
		s.violations = append(s.violations, fmt.Sprintf(format, args...))
	}
	s.wake()
}

// record appends an event. The caller holds mu.
func (s *Sink) record(e Event) {
	s.events = append(s.events, e)
	s.wake()
}

// wake tells those who wait. The caller holds mu.
func (s *Sink) wake() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}
