package tape

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/patchbay/patchbay/core/media"
)

// tone returns d of linear16 at 8 kHz whose loudness is db.
func tone(d time.Duration, db float64) []byte {
	amplitude := map[float64]int16{-40: 328, -48: 130, -60: 33}[db]
	samples := make([]int16, media.Telephony.SamplesIn(d))
	for i := range samples {
		samples[i] = amplitude * int16(1-2*(i/4%2))
	}
	return media.AppendEncoded(nil, media.Linear16, samples)
}

const testLevel = -50.0

// waiting is a tape in linear16 with a reader.
func waiting(t *testing.T) (*rig, *Reader) {
	tp := joined(t, New(0), media.Format{Encoding: media.Linear16, Rate: 8000})
	return tp, tp.Reader()
}

// play appends audio at the end of the only segment.
func (r *rig) play(t *testing.T, payload []byte) {
	t.Helper()
	write(t, r, media.Frame{Pos: r.endPos(), Arrived: time.Now(), Payload: payload})
}

func TestWaitLoud(t *testing.T) {
	const second = 8000
	tests := []struct {
		name  string
		write func(*testing.T, *rig)
		next  int64 // where Next goes on, or up to 20 ms before
	}{
		{"loud at once", func(t *testing.T, r *rig) { r.play(t, tone(time.Second, -40)) }, 0},
		{"loud after 200 ms of quiet", func(t *testing.T, r *rig) {
			r.play(t, tone(200*time.Millisecond, -60))
			r.play(t, tone(time.Second, -40))
		}, 0},
		{"loud after two seconds of quiet", func(t *testing.T, r *rig) { r.play(t, tone(2*time.Second, -60)); r.play(t, tone(time.Second, -40)) }, 1.5 * second},
		{"a soft word", func(t *testing.T, r *rig) {
			r.play(t, tone(2*time.Second, -60))
			r.play(t, tone(40*time.Millisecond, -48))
			r.play(t, tone(time.Second, -60))
		}, 1.5 * second},
		{"after a lost piece", func(t *testing.T, r *rig) {
			r.play(t, tone(time.Second, -60))
			write(t, r, media.Frame{Pos: 3 * second, Arrived: time.Now(), Payload: tone(time.Second, -40)})
		}, 2.5 * second},
		{"after a pause that was ordered", func(t *testing.T, r *rig) {
			r.play(t, tone(time.Second, -60))
			r.Withhold(true)
			r.play(t, tone(time.Second, -40))
			r.Withhold(false)
			r.play(t, tone(time.Second, -40))
		}, 2 * second},
		{"more than one look", func(t *testing.T, r *rig) {
			for range 35 {
				r.play(t, tone(time.Second, -60))
			}
			r.play(t, tone(time.Second, -40))
		}, 34.5 * second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tp, r := waiting(t)
			tt.write(t, tp)
			spared, err := r.WaitLoud(t.Context(), testLevel, 500*time.Millisecond)
			if err != nil || spared != 0 {
				t.Fatalf("WaitLoud() = %d, %v; want 0, nil", spared, err)
			}
			c, err := r.Next(t.Context(), nil, 100*time.Millisecond)
			if err != nil || c.Pos > tt.next || c.Pos < tt.next-160 { // loudness is judged by 20 ms
				t.Errorf("Next() begins at %d, %v; want %d", c.Pos, err, tt.next)
			}
			if l := tp.Ledger(); l.Balanced() != nil || l.Silent+l.Withheld != c.Pos {
				t.Errorf("ledger %+v; want %d silent or withheld", l, c.Pos)
			}
		})
	}
}

// TestWaitLoudEnds: what is quiet to the end is silent, and nobody reads it.
func TestWaitLoudEnds(t *testing.T) {
	tp, r := waiting(t)
	tp.play(t, tone(3*time.Second+13*time.Millisecond, -60))
	tp.End()
	if _, err := r.WaitLoud(t.Context(), testLevel, 500*time.Millisecond); !errors.Is(err, io.EOF) {
		t.Errorf("WaitLoud() = %v; want EOF", err)
	}
	if l := tp.Ledger(); !l.Settled() || l.Silent != l.Received || l.Sent != 0 {
		t.Errorf("ledger %+v; want all of it silent and nothing sent", l)
	}
}

// TestWaitLoudSpares: audio that was read before and is quiet is not replayed.
func TestWaitLoudSpares(t *testing.T) {
	tp, r := waiting(t)
	tp.play(t, tone(2*time.Second, -60))
	if _, err := r.Next(t.Context(), nil, 2*time.Second); err != nil {
		t.Fatal(err)
	}
	r.Rewind()
	tp.play(t, tone(time.Second, -60))
	tp.play(t, tone(time.Second, -40))
	spared, err := r.WaitLoud(t.Context(), testLevel, 500*time.Millisecond)
	if l := tp.Ledger(); err != nil || spared != 2*8000 || l.Replayed != 0 || l.Silent != 2.5*8000 {
		t.Errorf("WaitLoud() = %d, %v with ledger %+v; want the two seconds spared", spared, err, l)
	}
}

// TestWaitLoudInFlight: what is being recognised is not touched.
func TestWaitLoudInFlight(t *testing.T) {
	tp, r := waiting(t)
	tp.play(t, tone(2*time.Second, -60))
	if _, err := r.Next(t.Context(), nil, time.Second); err != nil {
		t.Fatal(err)
	}
	tp.play(t, tone(time.Second, -40))
	if _, err := r.WaitLoud(t.Context(), testLevel, 0); err != nil {
		t.Fatal(err)
	}
	if l := tp.Ledger(); l.InFlight != 8000 || l.Silent != 0 || l.Balanced() != nil {
		t.Errorf("ledger %+v; want one second in flight and nothing silent", l)
	}
}

// TestWaitLoudWaits: it returns soon after the loud audio came, also when nothing
// follows that, and a quiet hour costs no memory.
func TestWaitLoudWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tp, r := waiting(t)
		began := make(chan time.Time, 1)
		go func() {
			for range 60 * 60 * 5 {
				time.Sleep(200 * time.Millisecond)
				tp.play(t, tone(200*time.Millisecond, -60))
			}
			tp.mu.Lock()
			kept := tp.bytes
			tp.mu.Unlock()
			if kept > 4*blockBytes {
				t.Errorf("%d bytes are kept of a quiet hour; want about half a second", kept)
			}
			tp.play(t, tone(30*time.Millisecond, -40))
			began <- time.Now()
		}()
		if _, err := r.WaitLoud(t.Context(), testLevel, 500*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if late := time.Since(<-began); late > ParkAfter {
			t.Errorf("WaitLoud returned %v after the loud audio", late)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		r.Settle(0)
		if _, err := r.Next(ctx, nil, time.Minute); err != nil {
			t.Fatal(err)
		}
		if _, err := r.WaitLoud(ctx, testLevel, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("WaitLoud() = %v; want its context's error", err)
		}
	})
}

// TestHold: what does not come while the vendor holds the call is no loss, however
// long it is; a jump later is.
func TestHold(t *testing.T) {
	tp, r := waiting(t)
	tp.play(t, tone(time.Second, -40))
	tp.Hold(true)
	write(t, tp, media.Frame{Pos: 31 * 8000, Payload: tone(time.Second, -60)})
	write(t, tp, media.Frame{Pos: 1200 * 8000, Payload: tone(time.Second, -60)})
	tp.Hold(false)
	write(t, tp, media.Frame{Pos: 2400 * 8000, Payload: tone(time.Second, -40)})
	if l := tp.Ledger(); l.Lost != 0 || len(l.Discarded) != 0 || l.Filled != 2397*8000 || l.Silent != (1168+1199)*8000 {
		t.Errorf("ledger %+v; want nothing lost, and the long gaps silent", l)
	}
	write(t, tp, media.Frame{Pos: 2500 * 8000, Payload: tone(time.Second, -40)})
	if l := tp.Ledger(); l.Gaps != 1 || l.Discarded[DiscardLongGap] != 99*8000 {
		t.Errorf("ledger %+v; want the gap after the hold discarded", l)
	}
	tp.End()
	for {
		c, err := r.Next(t.Context(), nil, time.Second)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		r.Settle(c.End())
	}
	if l := tp.Ledger(); !l.Settled() || l.Balanced() != nil {
		t.Errorf("ledger %+v; want all settled", l)
	}
}
