package assist

import (
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
