package tape

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/tape/internal/memdisk"
	"github.com/patchbay/patchbay/core/tape/spool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openSpool(t testing.TB, disk *memdisk.Disk) *spool.Spool {
	t.Helper()
	s, err := spool.Open(spool.Config{Dir: "spool", Key: testKey, Disk: disk})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func spooledTape(t *testing.T, s *spool.Spool, maxBytes int64) *rig {
	t.Helper()
	tp, err := NewSpooled(s, []byte("meta"), maxBytes)
	if err != nil {
		t.Fatal(err)
	}
	return joined(t, tp, media.Telephony)
}

// talk writes seconds of audio that goes on from the tape's end, each second's
// samples being its number.
func talk(t *testing.T, tp *rig, from, seconds int) {
	t.Helper()
	for i := from; i < from+seconds; i++ {
		for k := range 50 {
			write(t, tp, frame(int64(i*50+k)*frameSamples, bytes.Repeat([]byte{byte(i%64) | 0x80}, frameSamples)))
		}
	}
}

// TestSpooledOutage lets a reader fail for ten minutes: memory stays small, and it
// then reads everything, twice.
func TestSpooledOutage(t *testing.T) {
	disk := memdisk.New()
	s := openSpool(t, disk)
	tp := spooledTape(t, s, 0)
	for i := range 600 {
		talk(t, tp, i, 1)
		s.Flush()
		if tp.bytes > Window+blockBytes {
			t.Fatalf("%d bytes in memory after %d s; want about %d", tp.bytes, i, Window)
		}
	}
	if n := len(tp.spans); n > 10 {
		t.Errorf("%d spans; want what is in the file in one", n)
	}
	tp.End()
	r := tp.Reader()
	for range 2 {
		var got int64
		for {
			c, err := r.Next(t.Context(), nil, 100*time.Millisecond)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil || c.Pos != got {
				t.Fatalf("Next() = %d, %v; want %d", c.Pos, err, got)
			}
			for i, b := range c.Payload {
				if want := byte((c.Pos+int64(i))/8000%64) | 0x80; b != want {
					t.Fatalf("sample %d = %#x; want %#x", c.Pos+int64(i), b, want)
				}
			}
			got = c.End()
		}
		if got != 600*8000 {
			t.Fatalf("read %d samples; want all", got)
		}
		r.Rewind()
	}
}

// TestSpooledLoudness judges audio in the file as it would in memory.
func TestSpooledLoudness(t *testing.T) {
	ledgers := make([]Ledger, 2)
	for i := range ledgers {
		disk := memdisk.New()
		s := openSpool(t, disk)
		tp := spooledTape(t, s, 0)
		tp.window = []int64{MaxBytes, 0}[i]
		rng := rand.New(rand.NewPCG(3, 4))
		for k := range int64(3000) {
			payload := speech(1)
			if k/50%2 == 0 {
				payload = bytes.Repeat([]byte{0xFF}, frameSamples)
			}
			write(t, tp, frame(k*frameSamples, payload))
			if rng.IntN(40) == 0 {
				s.Flush()
			}
		}
		r := tp.Reader()
		if _, err := r.Next(t.Context(), nil, 50*time.Second); err != nil {
			t.Fatal(err)
		}
		r.SettleQuiet(20 * time.Second)
		r.Recognised(20 * 8000)
		r.SettleQuiet(20 * time.Second)
		r.Settle(45 * 8000)
		ledgers[i] = tp.Ledger()
	}
	// The stretches that are judged lie otherwise in a record than in a block.
	near := func(a, b int64) bool { return a > 0 && max(a-b, b-a) < a/20 }
	if m, f := ledgers[0], ledgers[1]; !near(m.Silent, f.Silent) || !near(m.Unrecognised, f.Unrecognised) || m.InFlight != f.InFlight {
		t.Errorf("in the file %+v; in memory %+v", f, m)
	}
}

func TestSpoolFullKeepsWhatIsStored(t *testing.T) {
	for _, tt := range []struct {
		fault  error
		reason string
	}{{syscall.ENOSPC, DiscardSpoolFull}, {syscall.EIO, DiscardSpoolFailed}} {
		synctest.Test(t, func(t *testing.T) {
			disk := memdisk.New()
			s := openSpool(t, disk)
			tp := spooledTape(t, s, 10*blockBytes)
			talk(t, tp, 0, 60)
			s.Flush()
			disk.SetFault(func(op string, size int) (int, error) {
				if op == "write" {
					return 0, tt.fault
				}
				return size, nil
			})
			talk(t, tp, 60, 1)
			s.Flush()
			talk(t, tp, 61, 59)
			lost := tp.Ledger().Discarded[tt.reason]
			if lost < 40*8000 || lost > 52*8000 || len(tp.Ledger().Discarded) != 2 {
				t.Errorf("discarded %v; want about 50 s, for %s", tp.Ledger().Discarded, tt.reason)
			}
			disk.SetFault(nil)
			time.Sleep(spool.RetryAfter)
			s.Flush()
			tp.End()
			var got int64
			for r := tp.Reader(); ; {
				c, err := r.Next(t.Context(), nil, time.Second)
				if err != nil {
					break
				}
				got += int64(len(c.Payload))
			}
			l := tp.Ledger()
			if want := int64(120*8000) - lost - l.Discarded[DiscardBufferFull]; got != want || l.Balanced() != nil {
				t.Errorf("read %d samples; want %d", got, want)
			}
			tp.Close("end")
		})
	}
}

// TestDamagedFileLosesItsPart reads on after a damaged record, and the ledger names
// what is lost.
func TestDamagedFileLosesItsPart(t *testing.T) {
	disk := memdisk.New()
	s := openSpool(t, disk)
	tp := spooledTape(t, s, 0)
	for i := range 30 {
		talk(t, tp, i, 1)
		s.Flush()
	}
	disk.Edit(func(_ string, b []byte) []byte { b[len(b)/2] ^= 1; return b })
	tp.End()
	var got int64
	for r := tp.Reader(); ; {
		c, err := r.Next(t.Context(), nil, 100*time.Millisecond)
		if err != nil {
			break
		}
		got += int64(len(c.Payload))
	}
	l := tp.Ledger()
	if lost := l.Discarded[DiscardSpoolFailed]; lost == 0 || lost > blockBytes || got+lost != 30*8000 || l.Balanced() != nil {
		t.Errorf("read %d, lost %d; want all but one record", got, lost)
	}
}

func TestFromSpool(t *testing.T) {
	disk := memdisk.New()
	s := openSpool(t, disk)
	tp := spooledTape(t, s, 0)
	talk(t, tp, 0, 20)
	write(t, tp, frame(20*8000+800, speech(1))) // after a hole
	tp.Withhold(true)
	write(t, tp, frame(20*8000+960, speech(2)))
	tp.Withhold(false)
	write(t, tp, frame(20*8000+1120, speech(3)))
	at := tp.At(15 * 8000)
	s.Flush()

	s = openSpool(t, disk.Kill())
	got, err := FromSpool(s.Recovered()[0], 15*8000, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := Ledger{Arrived: 5*8000 + 320, Received: 5*8000 + 320, Filled: 800, Pending: 5*8000 + 320 + 800}
	if l := got.Ledger(); !equal(l, want) || l.Balanced() != nil {
		t.Errorf("Ledger() = %+v; want %+v", l, want)
	}
	if d := got.At(15 * 8000).Sub(at).Abs(); d > 20*time.Millisecond {
		t.Errorf("At() is off by %v", d)
	}
	r := got.Reader()
	c, err := r.Next(t.Context(), nil, time.Minute)
	if err != nil || c.Pos != 15*8000 || c.End() != 20*8000+960 || c.Payload[0] != 15|0x80 {
		t.Errorf("Next() = %d to %d, %v; want from the settled position to the pause", c.Pos, c.End(), err)
	}
	again := joined(t, got, media.Telephony)
	write(t, again, frame(0, speech(4)))
	if c, err = r.Next(t.Context(), nil, 20*time.Millisecond); err != nil || c.Pos != 20*8000+1120 {
		t.Errorf("Next() = %d, %v; want what follows the pause", c.Pos, err)
	}
	if c, err = r.Next(t.Context(), nil, 20*time.Millisecond); err != nil || c.Pos != 20*8000+1280 || c.Payload[0] != speech(4)[0] {
		t.Errorf("Next() = %d, %v; want the new audio behind the old", c.Pos, err)
	}
	// Settled further than the file knows: nothing waits, and positions go on.
	s = openSpool(t, disk.Kill())
	ahead, err := FromSpool(s.Recovered()[0], 99*8000, 0)
	if err != nil || !ahead.Ledger().Settled() || ahead.end != 99*8000 {
		t.Errorf("FromSpool() = %+v, %v; want nothing pending", ahead.Ledger(), err)
	}
}

// TestSpoolConcurrently has writer, reader, settling and the spool at work at once.
func TestSpoolConcurrently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := memdisk.New()
		s := openSpool(t, disk)
		ctx, cancel := context.WithCancel(t.Context())
		var running, writing sync.WaitGroup
		running.Go(func() {
			if err := s.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		tapes := make([]*rig, 4)
		for i := range tapes {
			tapes[i] = spooledTape(t, s, 0)
			writing.Go(func() {
				for k := range 120 * 50 {
					time.Sleep(20 * time.Millisecond)
					if err := tapes[i].Write(frame(int64(k)*frameSamples, speech(k))); err != nil {
						t.Error(err)
					}
				}
				tapes[i].End()
			})
			writing.Go(func() {
				time.Sleep(time.Duration(i) * 20 * time.Second)
				readAll(t, tapes[i], rand.New(rand.NewPCG(uint64(i), 5)))
			})
		}
		writing.Wait()
		for _, tp := range tapes {
			if l := tp.Ledger(); l.Balanced() != nil || l.Unrecognised+l.Recognised != 120*8000 {
				t.Errorf("Ledger() = %+v; want all settled", l)
			}
			tp.Close("end")
		}
		cancel()
		running.Wait()
		if names := disk.Names(); len(names) > 0 {
			t.Errorf("files are left: %v", names)
		}
	})
}

// readAll reads and settles, going back now and then.
func readAll(t *testing.T, tp *rig, rng *rand.Rand) {
	r := tp.Reader()
	for {
		c, err := r.Next(t.Context(), nil, 100*time.Millisecond)
		if errors.Is(err, io.EOF) {
			r.Settle(tp.endPos())
			return
		}
		if err != nil {
			t.Error(err)
			return
		}
		for i, b := range c.Payload {
			if want := speech(int((c.Pos + int64(i)) / frameSamples))[0]; b != want {
				t.Errorf("sample %d = %#x; want %#x", c.Pos+int64(i), b, want)
				return
			}
		}
		switch rng.IntN(100) {
		case 0:
			r.Rewind()
		case 1, 2:
			r.Recognised(c.Pos)
		}
	}
}

// BenchmarkSpooled is BenchmarkWriteRead with a spool that takes a second at a time,
// sealing and a disk in memory included; audio is settled ten seconds later.
func BenchmarkSpooled(b *testing.B) {
	s := openSpool(b, memdisk.New())
	t, err := NewSpooled(s, nil, 0)
	if err != nil {
		b.Fatal(err)
	}
	w, err := t.Join(media.Telephony, start)
	if err != nil {
		b.Fatal(err)
	}
	r := t.Reader()
	payload, buf := speech(1), make([]byte, 800)
	b.ReportAllocs()
	i := int64(0)
	for b.Loop() {
		if err := w.Write(media.Frame{Pos: i * frameSamples, Payload: payload, Arrived: start}); err != nil {
			b.Fatal(err)
		}
		if i++; i%5 == 0 {
			c, err := r.Next(b.Context(), buf, 100*time.Millisecond)
			if err != nil {
				b.Fatal(err)
			}
			r.Recognised(c.End() - 10*8000)
		}
		if i%50 == 0 {
			s.Flush()
		}
	}
}
