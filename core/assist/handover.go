package assist

import (
	"sync/atomic"
	"time"
)

// handoverBounds are the upper bounds of Handover's buckets but the last.
var handoverBounds = [...]time.Duration{
	time.Millisecond, 2 * time.Millisecond, 3 * time.Millisecond, 5 * time.Millisecond, 7500 * time.Microsecond,
	10 * time.Millisecond, 15 * time.Millisecond, 20 * time.Millisecond, 30 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second, 5 * time.Second, 30 * time.Second,
}

// Handover is a histogram of the time from the arrival of a chunk's last frame at the
// adapter until gRPC has taken the chunk: what patchbay itself adds to the delay, the
// chunk's own length left out. It is safe for concurrent use.
type Handover struct {
	counts [len(handoverBounds) + 1]atomic.Uint64
	sum    atomic.Int64
}

// HandoverSnapshot is a Handover at a time.
type HandoverSnapshot struct {
	Count   uint64
	Sum     time.Duration
	Buckets map[float64]uint64 // how many took at most so many seconds; Count has no bound
}

func (h *Handover) observe(d time.Duration) {
	d = max(0, d)
	i := 0
	for i < len(handoverBounds) && d > handoverBounds[i] {
		i++
	}
	h.counts[i].Add(1)
	h.sum.Add(int64(d))
}

// Snapshot reads the histogram.
func (h *Handover) Snapshot() HandoverSnapshot {
	s := HandoverSnapshot{Sum: time.Duration(h.sum.Load()), Buckets: make(map[float64]uint64, len(handoverBounds))}
	for i, bound := range handoverBounds {
		s.Count += h.counts[i].Load()
		s.Buckets[bound.Seconds()] = s.Count
	}
	s.Count += h.counts[len(handoverBounds)].Load()
	return s
}

// handedOver notes that gRPC has taken the audio before end.
func (t *track) handedOver(end int64) {
	if end <= t.handed {
		return // again
	}
	t.handed = end
	if came := t.audio.Came(end); !came.IsZero() {
		t.s.pool.stats.Handover.observe(time.Since(came))
	}
}
