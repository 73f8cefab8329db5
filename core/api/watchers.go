package api

import (
	"context"
	"sync"
)

// MaxStreams is how many event streams are served at a time.
const MaxStreams = 1000

// watchers are the event streams that are open.
type watchers struct {
	limit int

	mu      sync.Mutex
	next    int
	live    map[int]context.CancelFunc
	stopped bool
}

func newWatchers(limit int) *watchers {
	return &watchers{limit: limit, live: make(map[int]context.CancelFunc)}
}

// enter adds a stream, unless there are too many or the server stops. The context
// it returns ends with ctx or by stop; leave must be called.
func (w *watchers) enter(ctx context.Context) (_ context.Context, leave func(), ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped || len(w.live) >= w.limit {
		return nil, nil, false
	}
	ctx, cancel := context.WithCancel(ctx)
	id := w.next
	w.next++
	w.live[id] = cancel
	return ctx, func() {
		cancel()
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.live, id)
	}, true
}

// stop ends all streams; no more are let in.
func (w *watchers) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	for _, cancel := range w.live {
		cancel()
	}
}

func (w *watchers) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.live)
}
