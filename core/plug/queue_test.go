package plug

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/plug/internal/wire"
	plugv1 "github.com/patchbay/patchbay/core/plug/proto/patchbay/plug/v1"
)

// drainQueue takes everything and writes it down, one word an item or frame.
func drainQueue(t *testing.T, q *queue) (words []string, batches int) {
	t.Helper()
	for {
		b, _ := q.take()
		if b == nil {
			return words, batches
		}
		batches++
		if b.frames > wire.MaxBatchFrames {
			t.Errorf("a batch of %d frames; at most %d", b.frames, wire.MaxBatchFrames)
		}
		words = append(words, describe(&b.up)...)
		q.recycle(b)
	}
}

func describe(up *plugv1.Up) (words []string) {
	for _, item := range up.GetItems() {
		switch m := item.GetItem().(type) {
		case *plugv1.Item_Frames:
			offset := 0
			for i, n := range m.Frames.GetSize() {
				audio := m.Frames.GetPayload()[offset : offset+int(n)]
				offset += int(n)
				words = append(words, fmt.Sprintf("f%d@%d=%d", m.Frames.GetTrack()[i], m.Frames.GetPos()[i], audio[0]))
			}
		case *plugv1.Item_Note:
			words = append(words, fmt.Sprintf("%s%d", m.Note.GetKind(), m.Note.GetSamples()))
		case *plugv1.Item_Close:
			words = append(words, "close")
		case *plugv1.Item_Count:
			words = append(words, fmt.Sprintf("%s+%d", m.Count.GetKind(), m.Count.GetN()))
		}
	}
	return words
}

func frameAt(pos int64) media.Frame {
	return media.Frame{Track: "t", Pos: pos, Arrived: time.Unix(1, 0), Payload: []byte{byte(pos)}}
}

func put(t *testing.T, q *queue, tr *track, pos int64) {
	t.Helper()
	if err := q.frame(tr, frameAt(pos), 1); err != nil {
		t.Fatal(err)
	}
}

// TestQueueKeepsOrder fills several batches, twice, so that used ones come again.
func TestQueueKeepsOrder(t *testing.T) {
	q, tr := newQueue(), &track{leg: 1, number: 7, id: "t"}
	for round := range 2 {
		var want []string
		for pos := range int64(3*wire.MaxBatchFrames + 5) {
			put(t, q, tr, pos)
			want = append(want, fmt.Sprintf("f7@%d=%d", pos, byte(pos)))
			if pos%100 == 0 {
				note := wire.FromNote(1, adapter.Note{Kind: "n", Samples: pos})
				if err := q.event(&plugv1.Item{Item: &plugv1.Item_Note{Note: note}}); err != nil {
					t.Fatal(err)
				}
				want = append(want, fmt.Sprintf("n%d", pos))
			}
		}
		got, batches := drainQueue(t, q)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("round %d: not what was put in, or not in order", round)
		}
		if batches != 4 {
			t.Errorf("round %d: %d batches; want 4", round, batches)
		}
	}
}

// TestQueueConfessesDrops fills the queue to its limit: what is dropped is counted
// and named before the track's next frame, or before its end.
func TestQueueConfessesDrops(t *testing.T) {
	q, tr := newQueue(), &track{leg: 1, number: 7, id: "t"}
	var pos int64
	for ; pos < maxQueuedFrames+10; pos++ {
		put(t, q, tr, pos)
	}
	if queued, dropped := q.backlog(); queued != maxQueuedFrames || dropped != 10 {
		t.Errorf("backlog %d, dropped %d; want %d and 10", queued, dropped, maxQueuedFrames)
	}
	if b, _ := q.take(); b.frames != wire.MaxBatchFrames {
		t.Errorf("first batch has %d frames", b.frames)
	}
	put(t, q, tr, pos)
	for pos++; pos < 3*maxQueuedFrames; pos++ {
		put(t, q, tr, pos) // full again
	}
	dropped := q.dropped
	q.last(map[media.TrackID]*track{"t": tr}, &plugv1.Item{Item: &plugv1.Item_Close{Close: wire.FromEnd(1, adapter.EndReason{})}})
	words, _ := drainQueue(t, q)
	end := words[len(words)-2:]
	if end[0] != fmt.Sprint("dropped", dropped-10) || end[1] != "close" {
		t.Errorf("the end is %q; want the %d samples dropped since, then close", end, dropped-10)
	}
	for i, w := range words {
		if w == "dropped10" {
			if want := fmt.Sprintf("f7@%d=%d", maxQueuedFrames+10, byte((maxQueuedFrames+10)%256)); words[i+1] != want {
				t.Errorf("after the first confession comes %q; want %q", words[i+1], want)
			}
			return
		}
	}
	t.Error("the first drops were not named")
}

func TestQueueBoundsEvents(t *testing.T) {
	q := newQueue()
	note := func() *plugv1.Item {
		return &plugv1.Item{Item: &plugv1.Item_Note{Note: &plugv1.Note{Leg: 1, Kind: "n"}}}
	}
	for range maxQueuedEvents {
		if err := q.event(note()); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.event(note()); adapter.KindOf(err) != adapter.KindUnavailable || err == nil {
		t.Errorf("one event too many = %v; want unavailable", err)
	}
	large := &plugv1.Item{Item: &plugv1.Item_Note{Note: &plugv1.Note{Text: string(make([]byte, wire.MaxItemBytes+1))}}}
	if err := q.event(large); err == nil {
		t.Error("an event larger than a message was taken")
	}
	for i := range 2 * maxCountKinds {
		q.count(fmt.Sprint("kind", i))
	}
	if n := len(q.counts); n > maxCountKinds+1 {
		t.Errorf("%d kinds of counters; at most %d", n, maxCountKinds+1)
	}
	q.close()
	if err := q.event(note()); !errors.Is(err, adapter.ErrClosed) {
		t.Errorf("event after close = %v; want ErrClosed", err)
	}
}

// TestPumpLingers sends frames together, long ones soon, and events at once.
func TestPumpLingers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, tr := newQueue(), &track{leg: 1, number: 7, id: "t"}
		type message struct {
			at    time.Duration
			words string
		}
		var got []message
		begin, done := time.Now(), make(chan error)
		go func() {
			done <- q.pump(t.Context(), func(up *plugv1.Up) error {
				b, err := proto.Marshal(up)
				if err != nil {
					return err
				}
				var m plugv1.Up
				if err := proto.Unmarshal(b, &m); err != nil {
					return err
				}
				got = append(got, message{time.Since(begin), fmt.Sprint(describe(&m))})
				return nil
			})
		}()
		put(t, q, tr, 1)
		time.Sleep(wire.Linger / 2)
		put(t, q, tr, 2)
		time.Sleep(10 * wire.Linger)
		put(t, q, tr, 3)
		q.last(nil, &plugv1.Item{Item: &plugv1.Item_Close{Close: &plugv1.Close{Leg: 1}}})
		synctest.Wait()
		long := &track{leg: 1, number: 9, id: "long", format: media.Telephony}
		put(t, q, tr, 4)
		if err := q.frame(long, media.Frame{Track: "long", Pos: 5, Payload: make([]byte, 800)}, 800); err != nil {
			t.Fatal(err)
		}
		time.Sleep(wire.Linger)
		q.count("odd")
		q.count("odd")
		q.close()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		late := wire.Linger/2 + 10*wire.Linger
		want := []message{
			{wire.Linger, "[f7@1=1 f7@2=2]"},
			{late, "[f7@3=3 close]"},
			{late + wire.GatheredLinger, "[f7@4=4 f9@5=0]"},
			{late + wire.Linger, "[odd+2]"},
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("sent %v; want %v", got, want)
		}
	})
}

func TestPumpEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := newQueue().pump(ctx, func(*plugv1.Up) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("pump = %v; want canceled", err)
	}
}

// BenchmarkQueueFrame is the plugin's share of a frame: from Leg.Write to the
// message, without gRPC.
func BenchmarkQueueFrame(b *testing.B) {
	q, tr := newQueue(), &track{leg: 1, number: 7, id: "t"}
	f := media.Frame{Track: "t", Arrived: time.Now(), Payload: make([]byte, 160)}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		f.Pos += 160
		if err := q.frame(tr, f, 160); err != nil {
			b.Fatal(err)
		}
		if i%50 == 49 {
			batch, _ := q.take()
			q.recycle(batch)
		}
	}
}
