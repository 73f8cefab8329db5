package assist

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Stats counts what a Pool's sessions do, for metrics. Read it at any time.
type Stats struct {
	Sessions         atomic.Int64 // running now
	Conversations    atomic.Int64 // set up
	StreamsOpened    atomic.Int64
	StreamsOpen      atomic.Int64 // open now
	SamplesSent      atomic.Int64 // replays included
	SamplesReplayed  atomic.Int64
	Interims         atomic.Int64
	Finals           atomic.Int64
	Messages         atomic.Int64
	Suggestions      atomic.Int64
	SuggestionErrors atomic.Int64 // one feature failed
	Failures         atomic.Int64 // a conversation or track gets no more help
	Clamped          atomic.Int64 // offsets beyond what was sent, or going back
	Contradictions   atomic.Int64 // results of unknown kinds, and finals that no interim announced
	Unstored         atomic.Int64 // finals whose stored message did not come
	Written          atomic.Int64 // of them, written by us
	Unheard          atomic.Int64 // responses to streams of clients that had gone

	StartsWaiting  atomic.Int64 // tracks that wait for the quota now
	StartsDelayed  atomic.Int64 // starts that had to wait
	StartDelay     atomic.Int64 // how long they waited in all, in nanoseconds
	QuotaRefusals  atomic.Int64 // RESOURCE_EXHAUSTED in spite of the governor
	RotationsMoved atomic.Int64 // times that a rotation gave way to others

	Handover Handover // of chunks that are sent for the first time

	pool *Pool

	mu    sync.Mutex
	ended map[string]int64
}

func (s *Stats) streamEnded(cause string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended == nil {
		s.ended = make(map[string]int64)
	}
	s.ended[cause]++
}

// Ended returns how many streams ended, by event.Stream.Cause.
func (s *Stats) Ended() map[string]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]int64, len(s.ended))
	for cause, n := range s.ended {
		out[cause] = n
	}
	return out
}

// Quotas returns what is left of the quotas that were asked for. A Budget of others
// tells for itself.
func (s *Stats) Quotas() []QuotaLevel {
	if b, ok := s.pool.opts.Budget.(*localBudget); ok {
		return b.levels()
	}
	return nil
}

// Circuits returns what the pool thinks of each Google it has asked.
func (s *Stats) Circuits() (out []CircuitInfo) {
	p := s.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	for g, c := range p.clients {
		out = append(out, c.circuit.info(g))
	}
	slices.SortFunc(out, func(a, b CircuitInfo) int {
		return cmp.Or(strings.Compare(a.Project, b.Project), strings.Compare(a.Location, b.Location), strings.Compare(string(a.State), string(b.State)))
	})
	return out
}
