package tape

import (
	"context"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/tape/internal/memdisk"
	"github.com/patchbay/patchbay/core/tape/spool"
)

// history drives a tape through random steps and knows what was written where.
type history struct {
	*rig
	r        *Reader
	rng      *rand.Rand
	written  []int16 // by tape position; -1 where nothing was
	segStart int64
	next     int64 // position in the segment of the next frame in order
	bps      int64
	burst    int64 // most samples of a frame
}

func (h *history) join(t *testing.T) {
	f := media.Telephony
	if h.bps = 1; h.rng.IntN(2) == 0 {
		f, h.bps = media.Format{Encoding: media.Linear16, Rate: 16000}, 2
	}
	h.segStart, h.next = h.end, 0
	h.rig = joined(t, h.Tape, f)
}

// pos returns a random position up to the end.
func (h *history) pos() int64 { return h.rng.Int64N(h.end + 1) }

// step does one random thing and returns what is wrong afterwards.
func (h *history) step(t *testing.T) error {
	switch h.rng.IntN(13) {
	case 12:
		now, cancel := context.WithCancel(t.Context())
		cancel() // look, and do not wait
		_, _ = h.r.WaitLoud(now, float64(-h.rng.IntN(60)), time.Duration(h.rng.IntN(50))*time.Millisecond)
	case 0:
		h.join(t)
	case 1:
		h.Withhold(h.rng.IntN(2) == 0)
		h.Refuse([]string{"", "", "", "unwanted"}[h.rng.IntN(4)])
	case 2:
		h.r.Rewind()
	case 3:
		h.r.Recognised(h.pos())
	case 4:
		h.r.Settle(h.pos())
	case 5:
		h.r.SettleQuiet(0)
	case 6:
		h.Park()
	case 7:
		h.r.Discard(h.pos(), "test")
	case 8, 9:
		if err := h.read(t.Context()); err != nil {
			return err
		}
	default:
		if err := h.write(); err != nil {
			return err
		}
	}
	return h.Ledger().Balanced()
}

func (h *history) read(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second) // more than readAttempts take
	defer cancel()
	c, err := h.r.Next(ctx, nil, time.Duration(1+h.rng.IntN(3))*20*time.Millisecond)
	for i := int64(0); err == nil && i < c.Format.Samples(len(c.Payload)); i++ {
		want := h.written[c.Pos+i]
		if want < 0 {
			want = int16(c.Format.Silence())
		}
		if got := c.Payload[i*int64(c.Format.SampleBytes())]; int16(got) != want {
			return fmt.Errorf("sample %d = %#x; want %#x", c.Pos+i, got, want)
		}
	}
	return nil
}

func (h *history) write() error {
	pos := max(0, h.next+h.rng.Int64N(400)-160)
	n := 1 + h.rng.Int64N(h.burst)
	payload := make([]byte, n*h.bps)
	random := h.rng.Uint64()
	for i := range payload {
		payload[i] = byte(random >> (i % 57))
	}
	end := h.end
	if err := h.Write(media.Frame{Pos: pos, Payload: payload, Arrived: start}); err != nil {
		return err
	}
	for i := range n {
		if p := h.segStart + pos + i; p >= end {
			h.wrote(p, int16(payload[i*h.bps]))
		}
	}
	h.next = max(h.next, pos+n)
	return nil
}

func (h *history) wrote(pos int64, sample int16) {
	for int64(len(h.written)) < pos {
		h.written = append(h.written, -1)
	}
	h.written = append(h.written, sample)
}

// TestRandomSchedules holds the account in balance through random histories, and
// checks that what a reader got at a position is what was written there.
func TestRandomSchedules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for seed := range uint64(300) {
			tp := New(6 * blockBytes)
			h := &history{rig: &rig{Tape: tp}, r: tp.Reader(), rng: rand.New(rand.NewPCG(seed, 7)), burst: 200}
			h.join(t)
			for step := range 400 {
				if err := h.step(t); err != nil {
					t.Fatalf("seed %d step %d: %v", seed, step, err)
				}
			}
			h.Close("end")
			if l := h.Ledger(); l.Balanced() != nil || !l.Settled() || h.bytes != 0 {
				t.Fatalf("seed %d: closed with %+v and %d bytes; want all settled and freed", seed, l, h.bytes)
			}
		}
	})
}

// TestRandomSchedulesWithSpool does the same with a spool whose disk fails in every
// way, and kills the process now and then: what was stored and not settled is back.
func TestRandomSchedulesWithSpool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var met spoolCoverage
		for seed := range uint64(150) {
			h := newSpooledHistory(t, seed)
			for step := range 400 {
				if err := h.spoolStep(t, &met); err != nil {
					t.Fatalf("seed %d step %d: %v", seed, step, err)
				}
			}
			h.disk.SetFault(nil)
			time.Sleep(spool.RetryAfter)
			h.Close("end")
			h.spool.Flush()
			if l := h.Ledger(); l.Balanced() != nil || !l.Settled() || h.bytes != 0 {
				t.Fatalf("seed %d: closed with %+v and %d bytes; want all settled and freed", seed, l, h.bytes)
			}
			if names, s := h.disk.Names(), h.spool.Stats(); len(names) > 0 || s.Tapes != 0 || s.Bytes != 0 {
				t.Fatalf("seed %d: closed tape leaves files %v, %+v", seed, names, s)
			}
		}
		if met.restored == 0 || met.cold == 0 || met.spoolFull == 0 || met.failed == 0 || met.errors == 0 {
			t.Errorf("the schedules met %+v; want each of it", met)
		}
	})
}

// spoolCoverage says what schedules met, so that the test cannot become idle.
type spoolCoverage struct{ restored, cold, spoolFull, failed, errors int64 }

type spooledHistory struct {
	history
	disk  *memdisk.Disk
	spool *spool.Spool
}

var testKey = func() *spool.Key {
	k, err := spool.NewKey(make([]byte, spool.KeyBytes))
	if err != nil {
		panic(err)
	}
	return k
}()

func newSpooledHistory(t *testing.T, seed uint64) *spooledHistory {
	h := &spooledHistory{disk: memdisk.New()}
	h.history = history{rng: rand.New(rand.NewPCG(seed, 8)), burst: 4000}
	h.open(t)
	tp, err := NewSpooled(h.spool, []byte("a tape"), 12*blockBytes)
	if err != nil {
		t.Fatal(err)
	}
	h.use(t, tp)
	return h
}

func (h *spooledHistory) open(t *testing.T) {
	s, err := spool.Open(spool.Config{Dir: "spool", Key: testKey, Disk: h.disk, SegmentBytes: 30_000, MaxTapeBytes: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	h.spool = s
}

func (h *spooledHistory) use(t *testing.T, tp *Tape) {
	tp.window = 2 * blockBytes
	h.rig, h.r = &rig{Tape: tp}, tp.Reader()
	h.join(t)
}

func (h *spooledHistory) spoolStep(t *testing.T, met *spoolCoverage) error {
	switch h.rng.IntN(40) {
	case 0, 1, 2, 3:
		h.spool.Flush()
	case 4:
		h.disk.SetFault(h.fault())
	case 5, 6:
		h.disk.SetFault(nil)
	case 7:
		time.Sleep(spool.RetryAfter)
	case 8:
		if h.rng.IntN(3) == 0 {
			return h.kill(t, met)
		}
	default:
		// Settle and discard seldom, so that there is something to keep.
		if h.rng.IntN(3) > 0 {
			if err := h.write(); err != nil {
				return err
			}
		} else if err := h.step(t); err != nil {
			return err
		}
	}
	for i := h.head; i < len(h.spans); i++ {
		if h.spans[i].kind == spanCold {
			met.cold++
		}
	}
	if h.bytes > h.maxBytes {
		return fmt.Errorf("%d bytes in memory; want at most %d", h.bytes, h.maxBytes)
	}
	return h.Ledger().Balanced()
}

// fault returns a fault that hits a share of the operations of a random kind.
func (h *spooledHistory) fault() memdisk.Fault {
	op := []string{"write", "create", "read", "sync", "remove", "truncate"}[h.rng.IntN(6)]
	share, err := 1+h.rng.IntN(4), []error{syscall.ENOSPC, syscall.EIO, syscall.EROFS, nil}[h.rng.IntN(4)]
	return func(got string, size int) (int, error) {
		if got != op && (op != "truncate" || got != "write") || h.rng.IntN(share) > 0 {
			return size, nil
		}
		if err == nil && got != "write" {
			return 0, syscall.EIO
		}
		return h.rng.IntN(size + 1), err // nil: a short write
	}
}

// kill ends the process between two steps and goes on with what the next one finds.
func (h *spooledHistory) kill(t *testing.T, met *spoolCoverage) error {
	l := h.Ledger()
	met.spoolFull += l.Discarded[DiscardSpoolFull]
	met.failed += l.Discarded[DiscardSpoolFailed]
	met.errors += h.spool.Stats().Errors
	var stored int64 // and waiting
	for i := h.head; i < len(h.spans); i++ {
		if s := &h.spans[i]; s.kind != spanSkip {
			stored += max(0, min(h.stored, s.end())-max(h.settled, s.pos))
		}
	}
	settled := h.settled
	h.disk = h.disk.Kill()
	if names := h.disk.Names(); len(names) > 0 && h.rng.IntN(3) == 0 { // a torn tail
		stored = 0
		h.disk.Edit(func(name string, b []byte) []byte {
			if name == names[len(names)-1] {
				b = b[:len(b)-h.rng.IntN(min(3000, len(b))+1)]
			}
			return b
		})
	}
	h.open(t)
	found := h.spool.Recovered()
	if len(found) == 0 {
		if stored > 0 {
			return fmt.Errorf("nothing is left of %d samples that were stored", stored)
		}
		tp, err := NewSpooled(h.spool, []byte("a tape"), 12*blockBytes)
		if err != nil {
			return err
		}
		h.written = nil
		h.use(t, tp)
		return nil
	}
	if len(found) > 1 || string(found[0].Meta) != "a tape" {
		return fmt.Errorf("found %d tapes, the first %q; want the one", len(found), found[0].Meta)
	}
	tp, err := FromSpool(found[0], settled, 12*blockBytes)
	if err != nil {
		return err
	}
	if tp.settled < settled {
		return fmt.Errorf("settled to %d; want %d or more", tp.settled, settled)
	}
	got := tp.Ledger()
	if err := got.Balanced(); err != nil {
		return err
	}
	if got.Pending < stored {
		return fmt.Errorf("%d samples are back of %d that were stored: %+v", got.Pending, stored, got)
	}
	met.restored += tp.Ledger().Pending
	// What was not stored is gone, and its positions are new.
	h.written = h.written[:min(tp.end, int64(len(h.written)))]
	h.use(t, tp)
	return nil
}
