package tape

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/patchbay/patchbay/core/media"
)

var start = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)

const frameSamples = 160

// speech is a loud frame whose bytes tell which frame it is.
func speech(n int) []byte { return bytes.Repeat([]byte{byte(n%64) | 0x80}, frameSamples) }

func frame(pos int64, payload []byte) media.Frame {
	return media.Frame{Pos: pos, Payload: payload, Arrived: start.Add(media.Telephony.Duration(pos + int64(len(payload))))}
}

// rig is a tape with a writer that follows the newest segment.
type rig struct {
	*Tape
	w *Writer
}

func newTape(t *testing.T) *rig { return joined(t, New(0), media.Telephony) }

func joined(t *testing.T, tp *Tape, f media.Format) *rig {
	t.Helper()
	w, err := tp.Join(f, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return &rig{Tape: tp, w: w}
}

func (r *rig) Write(f media.Frame) error { return r.w.Write(f) }

func write(t *testing.T, tp *rig, f media.Frame) {
	t.Helper()
	if err := tp.Write(f); err != nil {
		t.Fatalf("Write(%d) = %v; want nil", f.Pos, err)
	}
	if err := tp.Ledger().Balanced(); err != nil {
		t.Fatal(err)
	}
}

func TestWriteAccounts(t *testing.T) {
	frames := func(pos ...int64) []media.Frame {
		var fs []media.Frame
		for i, p := range pos {
			fs = append(fs, frame(p, speech(i)))
		}
		return fs
	}
	tests := []struct {
		name   string
		frames []media.Frame
		want   Ledger
	}{
		{"in order", frames(0, 160), Ledger{Arrived: 320, Received: 320, Pending: 320}},
		{"a hole is filled", frames(0, 320), Ledger{Arrived: 320, Received: 320, Filled: 160, Lost: 160, Gaps: 1, Pending: 480}},
		{"twice", frames(0, 0), Ledger{Arrived: 320, Received: 160, Duplicate: 160, Pending: 160}},
		{"half twice", frames(0, 80), Ledger{Arrived: 320, Received: 240, Duplicate: 80, Pending: 240}},
		{"after its place was filled", frames(0, 320, 160), Ledger{Arrived: 480, Received: 320, Filled: 160, Late: 160, Lost: 160, Gaps: 1, Pending: 480}},
		{"a hole too long to fill", frames(0, 160+61*8000), Ledger{Arrived: 320, Received: 320, Filled: 61 * 8000, Lost: 61 * 8000, Gaps: 1, Pending: 320,
			Discarded: map[string]int64{DiscardLongGap: 61 * 8000}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tp := newTape(t)
			for _, f := range tt.frames {
				write(t, tp, f)
			}
			got := tp.Ledger()
			if got.Discarded[DiscardLongGap] != tt.want.Discarded[DiscardLongGap] {
				t.Errorf("Discarded = %v; want %v", got.Discarded, tt.want.Discarded)
			}
			got.Discarded, tt.want.Discarded = nil, nil
			if !equal(got, tt.want) {
				t.Errorf("Ledger() = %+v; want %+v", got, tt.want)
			}
		})
	}
}

func equal(a, b Ledger) bool {
	a.Discarded, b.Discarded = nil, nil
	return a.Arrived == b.Arrived && a.Received == b.Received && a.Duplicate == b.Duplicate && a.Late == b.Late &&
		a.Filled == b.Filled && a.Lost == b.Lost && a.Gaps == b.Gaps && a.Pending == b.Pending && a.InFlight == b.InFlight &&
		a.Recognised == b.Recognised && a.Silent == b.Silent && a.Unrecognised == b.Unrecognised && a.Withheld == b.Withheld
}

func TestWriteRefuses(t *testing.T) {
	tp := newTape(t)
	for _, pos := range []int64{-1, 1 << 60} {
		if err := tp.Write(frame(pos, speech(0))); !errors.Is(err, ErrPosition) {
			t.Errorf("Write(%d) = %v; want ErrPosition", pos, err)
		}
	}
	tp.End()
	if err := tp.Write(frame(0, speech(0))); !errors.Is(err, ErrEnded) {
		t.Errorf("Write after End = %v; want ErrEnded", err)
	}
	if got := tp.Ledger(); got.Arrived != 0 {
		t.Errorf("refused frames arrived: %+v", got)
	}
}

func TestReplacedWriter(t *testing.T) {
	tp := newTape(t)
	write(t, tp, frame(0, speech(0)))
	again := joined(t, tp.Tape, media.Telephony)
	write(t, again, frame(0, speech(1)))
	if err := tp.Write(frame(160, speech(2))); !errors.Is(err, ErrReplaced) {
		t.Errorf("Write by the replaced writer = %v; want ErrReplaced", err)
	}
	if l := tp.Ledger(); l.Received != 320 || l.Duplicate != 160 || l.Filled != 0 || l.Balanced() != nil {
		t.Errorf("Ledger() = %+v; want 320 received, 160 duplicate", l)
	}
}

func TestRefuse(t *testing.T) {
	tp := newTape(t)
	write(t, tp, frame(0, speech(0)))
	tp.Refuse("unwanted")
	write(t, tp, frame(320, speech(1)))
	tp.Refuse("")
	write(t, tp, frame(480, speech(2)))
	c, err := tp.Reader().Next(t.Context(), nil, 20*time.Millisecond)
	if err != nil || c.Pos != 480 {
		t.Errorf("Next() = %d, %v; want 480", c.Pos, err)
	}
	if l := tp.Ledger(); l.Discarded["unwanted"] != 480 || l.Balanced() != nil {
		t.Errorf("Ledger() = %+v; want 480 unwanted", l)
	}
}

func TestNextReadsWhatWasWritten(t *testing.T) {
	tp := newTape(t)
	var want []byte
	for i := range 10 {
		write(t, tp, frame(int64(i)*frameSamples, speech(i)))
		want = append(want, speech(i)...)
	}
	tp.End()
	r := tp.Reader()
	var got []byte
	for {
		c, err := r.Next(t.Context(), nil, 30*time.Millisecond)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if c.Pos != int64(len(got)) {
			t.Errorf("chunk at %d; want %d", c.Pos, len(got))
		}
		got = append(got, c.Payload...)
	}
	if !bytes.Equal(got, want) {
		t.Error("read other audio than was written")
	}
	r.Settle(int64(len(want)))
	if l := tp.Ledger(); l.Unrecognised != int64(len(want)) || !l.Settled() {
		t.Errorf("Ledger() = %+v; want all of %d unrecognised", l, len(want))
	}
}

// TestNextLeavesNoPiece reads on a limit of two: what is less than that is read whole.
func TestNextLeavesNoPiece(t *testing.T) {
	for written, want := range map[int][]int64{5: {800}, 7: {1120}, 9: {1440}, 10: {800, 800}, 12: {800, 1120}} {
		tp := newTape(t)
		for i := range written {
			write(t, tp, frame(int64(i)*frameSamples, speech(i)))
		}
		r := tp.Reader()
		for _, n := range want {
			c, err := r.Next(t.Context(), nil, 100*time.Millisecond)
			if err != nil || int64(len(c.Payload)) != n {
				t.Errorf("of %d frames Next() gives %d samples, %v; want %d", written, len(c.Payload), err, n)
			}
		}
	}
}

func TestSettleByLoudness(t *testing.T) {
	tp := newTape(t)
	write(t, tp, frame(0, speech(0)))
	write(t, tp, frame(160, bytes.Repeat([]byte{0xFF}, 160)))
	write(t, tp, frame(480, speech(1))) // after a hole of 160
	r := tp.Reader()
	if _, err := r.Next(t.Context(), nil, 80*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	r.Settle(640)
	if l := tp.Ledger(); l.Unrecognised != 320 || l.Silent != 320 {
		t.Errorf("unrecognised %d, silent %d; want 320 and 320", l.Unrecognised, l.Silent)
	}
}

func TestSettleQuietStopsAtSpeech(t *testing.T) {
	tp := newTape(t)
	quiet := bytes.Repeat([]byte{0xFF}, 8000)
	write(t, tp, frame(0, quiet))
	write(t, tp, frame(8000, bytes.Repeat(speech(1), 50)))
	write(t, tp, frame(16000, bytes.Repeat(quiet, 12)))
	r := tp.Reader()
	for range 14 {
		if _, err := r.Next(t.Context(), nil, time.Second); err != nil {
			t.Fatal(err)
		}
	}
	r.SettleQuiet(10 * time.Second)
	if l := tp.Ledger(); l.Silent != 8000 || l.InFlight != 13*8000 {
		t.Errorf("silent %d, in flight %d; want one second silent", l.Silent, l.InFlight)
	}
	r.Recognised(16000)
	r.SettleQuiet(10 * time.Second)
	if l := tp.Ledger(); l.Silent != 3*8000 {
		t.Errorf("silent %d; want what is older than 10 s", l.Silent)
	}
}

func TestRewindReplaysWhatIsNotSettled(t *testing.T) {
	tp := newTape(t)
	for i := range 10 {
		write(t, tp, frame(int64(i)*frameSamples, speech(i)))
	}
	r := tp.Reader()
	if _, err := r.Next(t.Context(), nil, 200*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	r.Recognised(400)
	pos, replayed := r.Rewind()
	if pos != 400 || replayed != 1200 {
		t.Errorf("Rewind() = %d, %d; want 400, 1200", pos, replayed)
	}
	c, err := r.Next(t.Context(), nil, 20*time.Millisecond)
	if err != nil || c.Pos != 400 || c.Payload[79] != speech(2)[0] || c.Payload[80] != speech(3)[0] {
		t.Errorf("Next() = %d, %v; want the audio from 400", c.Pos, err)
	}
	if l := tp.Ledger(); l.Sent != 1600+160 || l.Replayed != 1200 || l.Balanced() != nil {
		t.Errorf("Ledger() = %+v", l)
	}
}

func TestWithhold(t *testing.T) {
	tp := newTape(t)
	write(t, tp, frame(0, speech(0)))
	tp.Withhold(true)
	write(t, tp, frame(160, speech(1)))
	write(t, tp, frame(480, speech(2)))
	tp.Withhold(false)
	write(t, tp, frame(640, speech(3)))
	r := tp.Reader()
	for _, want := range []int64{0, 640} {
		c, err := r.Next(t.Context(), nil, 20*time.Millisecond)
		if err != nil || c.Pos != want {
			t.Fatalf("Next() = %d, %v; want %d", c.Pos, err, want)
		}
	}
	r.Settle(800)
	if l := tp.Ledger(); l.Withheld != 480 || l.Unrecognised != 320 || l.Balanced() != nil || !l.Settled() {
		t.Errorf("Ledger() = %+v; want 480 withheld, 320 unrecognised", l)
	}
}

// TestAnnouncedInAPause: a vendor that sends nothing in a pause says how much that was
// before it goes on. The audio behind it comes after the pause.
func TestAnnouncedInAPause(t *testing.T) {
	for name, tc := range map[string]struct {
		next                   int64 // position of the first frame after the pause
		withheld, filled, lost int64
	}{
		"as announced":     {160 + 800, 800, 800, 0},
		"more than that":   {160 + 960, 800, 960, 160},
		"less than that":   {160 + 640, 640, 640, 0},
		"nothing was left": {160, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			tp := newTape(t)
			write(t, tp, frame(0, speech(0)))
			tp.Withhold(true)
			tp.Announce(800)
			tp.Withhold(false)
			write(t, tp, frame(tc.next, speech(1)))
			if l := tp.Ledger(); l.Withheld != tc.withheld || l.Filled != tc.filled || l.Lost != tc.lost || l.Balanced() != nil {
				t.Errorf("Ledger() = %+v; want %d withheld and %d lost of %d filled", l, tc.withheld, tc.lost, tc.filled)
			}
		})
	}
}

func TestSegmentsOfOtherFormats(t *testing.T) {
	tp := newTape(t)
	write(t, tp, frame(0, speech(0)))
	wide := media.Format{Encoding: media.Linear16, Rate: 16000}
	tp = joined(t, tp.Tape, wide)
	write(t, tp, media.Frame{Payload: make([]byte, 640), Arrived: start})
	r := tp.Reader()
	c, err := r.Next(t.Context(), nil, time.Second)
	if err != nil || c.Format != media.Telephony || len(c.Payload) != 160 {
		t.Fatalf("Next() = %v, %d bytes, %v; want the first segment alone", c.Format, len(c.Payload), err)
	}
	tp.Park()
	c, err = r.Next(t.Context(), nil, time.Second)
	if err != nil || c.Format != wide || c.Pos != 160 || c.End() != 480 {
		t.Fatalf("Next() = %+v, %v; want the second segment", c, err)
	}
	if _, err = r.Next(t.Context(), nil, time.Second); !errors.Is(err, media.ErrParked) {
		t.Fatalf("Next() = %v; want ErrParked", err)
	}
}

func TestBufferFullDiscardsTheOldest(t *testing.T) {
	tp := joined(t, New(4*blockBytes), media.Telephony)
	r := tp.Reader()
	for i := range 1000 {
		write(t, tp, frame(int64(i)*frameSamples, speech(i)))
		if i == 10 {
			if _, err := r.Next(t.Context(), nil, 100*time.Millisecond); err != nil {
				t.Fatal(err)
			}
		}
	}
	l := tp.Ledger()
	if l.Discarded[DiscardBufferFull] == 0 || l.InFlight != 0 {
		t.Errorf("Ledger() = %+v; want the oldest discarded, the sent among it", l)
	}
	c, err := r.Next(t.Context(), nil, 100*time.Millisecond)
	if err != nil || c.Pos != l.Discarded[DiscardBufferFull] {
		t.Errorf("Next() = %d, %v; want %d", c.Pos, err, l.Discarded[DiscardBufferFull])
	}
}

// TestWaiting drives the waiting paths on fake time.
func TestWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tp := newTape(t)
		r := tp.Reader()
		go func() {
			for i := range 10 {
				time.Sleep(20 * time.Millisecond)
				if err := tp.Write(frame(int64(i)*frameSamples, speech(i))); err != nil {
					t.Error(err)
				}
			}
		}()
		begin := time.Now()
		c, err := r.Next(t.Context(), nil, 100*time.Millisecond)
		if err != nil || len(c.Payload) != 800 || time.Since(begin) != 100*time.Millisecond {
			t.Fatalf("Next() = %d bytes, %v after %v; want 800 after 100ms", len(c.Payload), err, time.Since(begin))
		}
		// 100 ms follow; asked for 150 it waits until nothing came for ParkAfter.
		c, err = r.Next(t.Context(), nil, 150*time.Millisecond)
		if err != nil || len(c.Payload) != 800 || time.Since(begin) < ParkAfter {
			t.Fatalf("Next() = %d bytes, %v after %v; want the rest after a pause", len(c.Payload), err, time.Since(begin))
		}
		if _, err = r.Next(t.Context(), nil, time.Second); !errors.Is(err, media.ErrParked) {
			t.Fatalf("Next() = %v; want ErrParked", err)
		}
		go func() {
			time.Sleep(time.Hour)
			if err := tp.Write(frame(1600, speech(1))); err != nil {
				t.Error(err)
			}
		}()
		if err := r.Wait(t.Context()); err != nil {
			t.Fatalf("Wait() = %v; want nil when audio comes", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := r.Next(ctx, nil, time.Second); !errors.Is(err, context.Canceled) {
			t.Fatalf("Next() = %v; want context.Canceled", err)
		}
		go tp.End()
		if c, err := r.Next(t.Context(), nil, time.Second); err != nil || len(c.Payload) != 160 {
			t.Fatalf("Next() = %d bytes, %v; want the rest at the end", len(c.Payload), err)
		}
		if err := r.Wait(t.Context()); !errors.Is(err, io.EOF) {
			t.Fatalf("Wait() = %v; want io.EOF", err)
		}
	})
}

func TestArrivalLine(t *testing.T) {
	tp := newTape(t)
	// 30 s of frames whose clock runs 0.1 % slow, with up to 40 ms of jitter.
	rng := rand.New(rand.NewPCG(1, 2))
	var elapsed time.Duration
	for i := range 1500 {
		elapsed = time.Duration(i+1) * 20020 * time.Microsecond
		f := frame(int64(i)*frameSamples, speech(i))
		f.Arrived = start.Add(elapsed + time.Duration(rng.IntN(40))*time.Millisecond)
		write(t, tp, f)
	}
	if got := tp.At(1500*frameSamples).Sub(start) - elapsed; got < -30*time.Millisecond || got > 5*time.Millisecond {
		t.Errorf("the arrival line is off by %v; want jitter removed and drift followed", got)
	}
}

func BenchmarkWriteRead(b *testing.B) {
	tp := New(0)
	w, err := tp.Join(media.Telephony, start)
	if err != nil {
		b.Fatal(err)
	}
	r := tp.Reader()
	payload, buf := speech(1), make([]byte, 800)
	b.ReportAllocs()
	i := int64(0)
	for b.Loop() {
		if err := w.Write(media.Frame{Pos: i * frameSamples, Payload: payload, Arrived: start}); err != nil {
			b.Fatal(err)
		}
		if i++; i%5 == 0 { // 100 ms
			c, err := r.Next(b.Context(), buf, 100*time.Millisecond)
			if err != nil {
				b.Fatal(err)
			}
			r.Recognised(c.End())
		}
	}
}
