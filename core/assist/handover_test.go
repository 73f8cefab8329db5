package assist

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/tape"
)

func TestHandover(t *testing.T) {
	var h Handover
	for _, d := range []time.Duration{-time.Second, time.Millisecond, 4 * time.Millisecond, time.Hour} {
		h.observe(d)
	}
	s := h.Snapshot()
	if s.Count != 4 || s.Buckets[0.001] != 2 || s.Buckets[0.003] != 2 || s.Buckets[0.005] != 3 || s.Buckets[30] != 3 {
		t.Errorf("%+v", s)
	}
	if want := time.Hour + 5*time.Millisecond; s.Sum != want {
		t.Errorf("sum = %v; want %v", s.Sum, want)
	}
}

// TestHandedOver sends a chunk 7 ms after its last frame, which itself was 3 ms late,
// and then once more.
func TestHandedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tp := tape.New(0)
		w, err := tp.Join(media.Telephony, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		for i := range int64(5) {
			time.Sleep(20 * time.Millisecond)
			if i == 4 {
				time.Sleep(3 * time.Millisecond)
			}
			if err := w.Write(media.Frame{Pos: 160 * i, Arrived: time.Now(), Payload: make([]byte, 160)}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(7 * time.Millisecond)
		tr := &track{s: &Session{pool: NewPool(Options{})}, audio: tp.Reader()}
		tr.handedOver(800)
		tr.handedOver(800)
		if s := tr.s.pool.Stats().Handover.Snapshot(); s.Count != 1 || s.Sum != 7*time.Millisecond {
			t.Errorf("%d chunks took %v; want one and 7 ms", s.Count, s.Sum)
		}
	})
}
