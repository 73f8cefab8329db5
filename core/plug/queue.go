package plug

import (
	"context"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/plug/internal/wire"
	plugv1 "github.com/patchbay/patchbay/core/plug/proto/patchbay/plug/v1"
)

// Bounds of what waits for the host. They are reached only when the host does not
// read: 2 s of 500 calls of two tracks, a minute of twenty.
const (
	maxQueuedFrames = 100_000
	maxQueuedBytes  = 32 << 20
	maxQueuedEvents = 16384 // opens, joins and notes; ends of legs always fit
	maxCountKinds   = 256
)

// Counters of the seam itself, among those of Env.Count.
const (
	countDroppedFrames  = "seam_dropped_frames"
	countDroppedResults = "seam_dropped_results"
	countOtherKinds     = "seam_other_kinds"
)

// queue gathers what legs say into messages, in order, and lets one sender take
// them. Frames go straight into the columns of the message that leaves, and
// messages are used again, so a frame costs one copy and no object. When the
// queue is full, frames are dropped and counted.
type queue struct {
	mu      sync.Mutex
	batches []*batch // the last one is being filled
	spare   []*batch
	frames  int
	bytes   int
	events  int
	dropped int64 // frames, since the start
	counts  map[string]uint64
	closed  bool
	armed   time.Duration // what linger was set to; 0 when it does not run
	linger  *time.Timer   // there is something to send, and it has waited for more
	hurry   chan struct{} // there is reason not to linger
}

// batch is one message in the making.
type batch struct {
	up     plugv1.Up
	frames int
	bytes  int
	events int
	runs   []*plugv1.Item // of Frames, to be used again
}

func newQueue() *queue {
	q := &queue{counts: map[string]uint64{}, linger: time.NewTimer(0), hurry: make(chan struct{}, 1)}
	q.linger.Stop()
	return q
}

// arm makes the pump send after d at the latest. The caller holds mu.
func (q *queue) arm(d time.Duration) {
	if q.armed == 0 || d < q.armed {
		q.armed = d
		q.linger.Reset(d)
	}
}

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// tail returns the batch to fill. The caller holds mu.
func (q *queue) tail() *batch {
	if n := len(q.batches); n > 0 {
		if b := q.batches[n-1]; b.frames < wire.MaxBatchFrames && b.bytes < wire.MaxBatchBytes {
			return b
		}
		nudge(q.hurry)
	}
	b := &batch{}
	if n := len(q.spare); n > 0 {
		b, q.spare = q.spare[n-1], q.spare[:n-1]
	}
	q.batches = append(q.batches, b)
	return b
}

// frame queues a frame of so many samples, or counts it as dropped when the queue
// is full. The payload is copied.
func (q *queue) frame(t *track, f media.Frame, samples int64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return adapter.ErrClosed
	}
	if q.frames >= maxQueuedFrames || q.bytes+len(f.Payload) > maxQueuedBytes {
		t.dropped += samples
		q.dropped++
		q.counts[countDroppedFrames]++
		return nil
	}
	q.confess(t)
	b := q.tail()
	run := b.run()
	run.Track = append(run.Track, t.number)
	run.Pos = append(run.Pos, f.Pos)
	run.Arrived = append(run.Arrived, wire.Nanos(f.Arrived))
	run.Size = append(run.Size, uint32(len(f.Payload)))
	run.Payload = append(run.Payload, f.Payload...)
	b.frames++
	b.bytes += len(f.Payload)
	q.frames++
	q.bytes += len(f.Payload)
	if t.format.Duration(samples) >= wire.GatheredFrame {
		q.arm(wire.GatheredLinger)
	} else {
		q.arm(wire.Linger)
	}
	return nil
}

// confess tells the host of a track's dropped audio, in its place among the
// frames. The caller holds mu.
func (q *queue) confess(t *track) {
	if t.dropped == 0 {
		return
	}
	note := adapter.Note{Kind: adapter.NoteDropped, Track: t.id, At: time.Now(), Text: "the plugin's queue was full", Samples: t.dropped}
	q.add(&plugv1.Item{Item: &plugv1.Item_Note{Note: wire.FromNote(t.leg, note)}})
	t.dropped = 0
}

// add appends an event. The caller holds mu.
func (q *queue) add(item *plugv1.Item) {
	b := q.tail()
	b.up.Items = append(b.up.Items, item)
	b.bytes += proto.Size(item)
	b.events++
	q.events++
	nudge(q.hurry)
}

// event queues an event, if there is room.
func (q *queue) event(item *plugv1.Item) error {
	if n := proto.Size(item); n > wire.MaxItemBytes {
		return &adapter.Error{Op: "plug", Kind: adapter.KindInternal, Err: tooLargeError(n)}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return adapter.ErrClosed
	}
	if q.events >= maxQueuedEvents {
		return &adapter.Error{Op: "plug", Kind: adapter.KindUnavailable, Err: errQueueFull}
	}
	q.add(item)
	return nil
}

// join is event for the Join of a track, after what the track has to confess of
// the segment that ends.
func (q *queue) join(t *track, item *plugv1.Item) error {
	q.mu.Lock()
	if !q.closed {
		q.confess(t)
	}
	q.mu.Unlock()
	return q.event(item)
}

// last queues the end of a leg, for which there is always room, after what its
// tracks have to confess.
func (q *queue) last(tracks map[media.TrackID]*track, item *plugv1.Item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	for _, t := range tracks {
		q.confess(t)
	}
	q.add(item)
}

// count adds to a counter.
func (q *queue) count(kind string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, known := q.counts[kind]; !known && len(q.counts) >= maxCountKinds {
		kind = countOtherKinds
	}
	q.counts[kind]++
	q.arm(wire.Linger)
}

// run returns the columns to which the next frame belongs: the batch's last item,
// or a new one after an event.
func (b *batch) run() *plugv1.Frames {
	if n := len(b.up.Items); n > 0 {
		if f := b.up.Items[n-1].GetFrames(); f != nil {
			return f
		}
	}
	var item *plugv1.Item
	if n := len(b.runs); n > 0 {
		item, b.runs = b.runs[n-1], b.runs[:n-1]
	} else {
		item = &plugv1.Item{Item: &plugv1.Item_Frames{Frames: &plugv1.Frames{}}}
	}
	b.up.Items = append(b.up.Items, item)
	return item.GetFrames()
}

// reset empties the batch and keeps what it allocated.
func (b *batch) reset() {
	const keep = 4 // runs; more are rare
	for i, item := range b.up.Items {
		if f := item.GetFrames(); f != nil && len(b.runs) < keep {
			f.Track, f.Pos, f.Arrived = f.Track[:0], f.Pos[:0], f.Arrived[:0]
			f.Size, f.Payload = f.Size[:0], f.Payload[:0]
			b.runs = append(b.runs, item)
		}
		b.up.Items[i] = nil
	}
	b.up.Items = b.up.Items[:0]
	b.frames, b.bytes, b.events = 0, 0, 0
}

// close ends the queue: what is in it still leaves, nothing more comes in.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	nudge(q.hurry)
}

// take removes the first batch, with the counts since the last. done means that
// the queue is closed and empty.
func (q *queue) take() (b *batch, done bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.linger.Stop()
	q.armed = 0
	if len(q.counts) > 0 && len(q.batches) == 0 {
		q.tail()
	}
	if len(q.batches) == 0 {
		return nil, q.closed
	}
	b = q.batches[0]
	q.batches = slices.Delete(q.batches, 0, 1)
	for kind, n := range q.counts {
		b.up.Items = append(b.up.Items, &plugv1.Item{Item: &plugv1.Item_Count{Count: &plugv1.Count{Kind: kind, N: n}}})
	}
	clear(q.counts)
	q.frames -= b.frames
	q.bytes -= b.payload()
	q.events -= b.events
	if len(q.batches) > 0 {
		q.arm(wire.Linger)
	}
	return b, false
}

// payload returns the bytes of audio in the batch.
func (b *batch) payload() int {
	n := 0
	for _, item := range b.up.Items {
		n += len(item.GetFrames().GetPayload())
	}
	return n
}

// recycle gives a sent batch back.
func (q *queue) recycle(b *batch) {
	const keep = 4
	b.reset()
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.spare) < keep {
		q.spare = append(q.spare, b)
	}
}

// backlog returns the queued frames and the frames dropped since the start.
func (q *queue) backlog() (queued int, dropped int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.frames, q.dropped
}

// pump sends what is queued until the queue is closed and empty, send fails or ctx
// ends. Frames linger, so that those of all legs share a message.
func (q *queue) pump(ctx context.Context, send func(*plugv1.Up) error) error {
	for {
		select {
		case <-q.linger.C:
		case <-q.hurry:
		case <-ctx.Done():
			return ctx.Err()
		}
		b, done := q.take()
		if done {
			return nil
		}
		if b == nil {
			continue
		}
		// gRPC encodes the message before Send returns, so it may be used again.
		if err := send(&b.up); err != nil {
			return err
		}
		q.recycle(b)
		q.again()
	}
}

// again keeps the pump going while something is left, also the news of closing.
func (q *queue) again() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.batches) > 1 {
		nudge(q.hurry)
	}
	if q.closed {
		nudge(q.hurry)
	}
}
