package telemetry

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// The bounds of a queue. A call makes a span every minute or so, and four when it
// ends: the queue holds what 500 calls make in some minutes.
const (
	maxQueue   = 4096            // spans
	batchSize  = 512             // spans a request
	sendEvery  = 5 * time.Second // or when a batch is full
	maxTries   = 12              // of a batch that the receiver does not take: a minute
	sayAgain   = 10 * time.Minute
	stopAtOnce = 250 * time.Millisecond // for the last request to notice that its time is over
)

// queue holds ended spans and hands them to an exporter, in batches. It differs from
// the SDK's own in that it counts what it drops, tries a batch again, and says in the
// host's log when the receiver is away: once, then seldom.
type queue struct {
	exporter sdktrace.SpanExporter
	endpoint string
	log      *slog.Logger

	sent, dropped atomic.Int64

	kick     chan struct{}
	stop     chan struct{}
	stopOnce sync.Once
	done     chan struct{} // closed when run has ended
	cut      context.CancelFunc

	mu     sync.Mutex
	spans  []sdktrace.ReadOnlySpan
	closed bool

	sending sync.Mutex // one batch at a time; guards what follows
	tries   int
	said    time.Time // when the log had the last failure; zero while all is well
}

func newQueue(exporter sdktrace.SpanExporter, endpoint string, log *slog.Logger) *queue {
	q := &queue{exporter: exporter, endpoint: endpoint, log: log, kick: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	ctx, cut := context.WithCancel(context.Background())
	q.cut = cut
	go q.run(ctx) // Shutdown waits for it
	return q
}

// run sends from time to time until Shutdown, then what is left. ctx cuts it off.
func (q *queue) run(ctx context.Context) {
	defer close(q.done)
	tick := time.NewTicker(sendEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-q.kick:
		case <-q.stop:
			_ = q.ForceFlush(ctx) // it has said so
			return
		}
		_ = q.ForceFlush(ctx) // it has said so
	}
}

// OnStart does nothing.
func (q *queue) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

// OnEnd takes a span. It never waits for the receiver.
func (q *queue) OnEnd(s sdktrace.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.spans) >= maxQueue {
		q.dropped.Add(1)
		return
	}
	if q.spans = append(q.spans, s); len(q.spans)%batchSize == 0 {
		select {
		case q.kick <- struct{}{}:
		default:
		}
	}
}

// ForceFlush sends all there is. It stops at the first batch that is not taken; that
// one is tried again later.
func (q *queue) ForceFlush(ctx context.Context) error {
	q.sending.Lock()
	defer q.sending.Unlock()
	for {
		q.mu.Lock()
		batch := slices.Clone(q.spans[:min(batchSize, len(q.spans))])
		q.mu.Unlock()
		if len(batch) == 0 {
			return nil
		}
		err := q.exporter.ExportSpans(ctx, batch)
		if err != nil {
			if q.tries++; q.tries >= maxTries {
				q.dropped.Add(int64(len(batch)))
				q.remove(len(batch))
			}
			q.complain(err)
			return err
		}
		q.sent.Add(int64(len(batch)))
		q.remove(len(batch))
		q.delivered()
	}
}

// remove takes the first n spans off.
func (q *queue) remove(n int) {
	q.tries = 0
	q.mu.Lock()
	defer q.mu.Unlock()
	q.spans = slices.Delete(q.spans, 0, n)
}

func (q *queue) complain(err error) {
	if now := time.Now(); q.said.IsZero() || now.Sub(q.said) >= sayAgain {
		q.said = now
		q.log.Warn("traces are not delivered; calls go on without them: is the receiver at telemetry.traces.endpoint running?",
			"endpoint", q.endpoint, "dropped", q.dropped.Load(), "err", err)
	}
}

func (q *queue) delivered() {
	if !q.said.IsZero() {
		q.said = time.Time{}
		q.log.Info("traces are delivered again", "endpoint", q.endpoint, "dropped", q.dropped.Load())
	}
}

// Shutdown sends what is left until ctx ends, drops the rest and closes the exporter.
func (q *queue) Shutdown(ctx context.Context) error {
	q.stopOnce.Do(func() { close(q.stop) })
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	select {
	case <-q.done:
	case <-ctx.Done():
	}
	q.cut()
	<-q.done
	q.mu.Lock()
	q.dropped.Add(int64(len(q.spans)))
	q.spans = nil
	q.mu.Unlock()
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopAtOnce)
	defer cancel()
	return q.exporter.Shutdown(closing)
}
