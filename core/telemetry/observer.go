package telemetry

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/patchbay/patchbay/core/event"
)

// CallInfo is what an observer knows of a call beside its events.
type CallInfo struct {
	ID           string
	Adapter      string
	Tenant       string
	Route        int
	Conversation string // id; it stands in traces alone
}

// Observer turns the events of calls into latencies and counts for Prometheus and,
// when there are traces, into spans. It reads no words: what was said stays out.
type Observer struct {
	latencies *latencies
	traces    *Traces
}

// NewObserver returns an observer that counts in reg. traces may be nil.
func NewObserver(reg *prometheus.Registry, traces *Traces) (*Observer, error) {
	l, err := newLatencies(reg)
	if err != nil {
		return nil, err
	}
	return &Observer{latencies: l, traces: traces}, nil
}

// Call returns what is to be told of the events of a new call, from any goroutine. It
// waits for nothing. An event without a time counts as of now.
func (o *Observer) Call(info CallInfo) func(event.Event) {
	c := &observed{latencies: callLatencies{latencies: o.latencies, ended: map[track]streamEnd{}}}
	if o.traces != nil {
		c.spans = newCallSpans(o.traces.tracer, info)
	}
	return c.event
}

// observed is one call.
type observed struct {
	mu        sync.Mutex
	over      bool
	latencies callLatencies
	spans     *callSpans // nil without traces
}

func (c *observed) event(e event.Event) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return
	}
	c.latencies.event(e)
	if c.spans != nil {
		c.spans.event(e)
	}
	c.over = e.Kind == event.CallEnded
}

// track identifies a speaker's track within a call.
type track struct{ leg, track, speaker string }

// trackOf is false for an event that is about no track.
func trackOf(e event.Event) (track, bool) {
	if e.Track == nil {
		return track{}, false
	}
	return track{e.Track.Leg, e.Track.Track, e.Track.Speaker}, true
}

// isBroken reports whether the cause of a stream's end is a gRPC code: those are
// written in capital letters, the host's own words in small ones (event.Stream.Cause).
func isBroken(cause string) bool { return cause != "" && cause[0] >= 'A' && cause[0] <= 'Z' }

// isRotation reports whether a stream made way for the next one.
func isRotation(cause string) bool {
	return !isBroken(cause) && cause != causeParked && cause != causeEnd && cause != causeAbandoned
}

// Words of event.Stream.Cause.
const (
	causeParked    = "parked"
	causeEnd       = "end"
	causeAbandoned = "abandoned"
)
