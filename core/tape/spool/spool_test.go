package spool_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strings"
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

const second = 8000

// source is a tape that has so much audio.
type source struct {
	mu          sync.Mutex
	stored, end int64
}

func (s *source) Collect(dst []spool.Record, _ int) []spool.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	for pos := s.stored; pos < s.end && len(dst) < 8; pos += second {
		dst = append(dst, spool.Record{Pos: pos, N: second, Format: media.Telephony, Payload: bytes.Repeat([]byte{byte(pos / second)}, second)})
	}
	return dst
}

func (s *source) Stored(pos int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stored = max(s.stored, pos)
}

func (s *source) more(seconds int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end += seconds * second
}

func (s *source) at() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stored
}

type rig struct {
	*spool.Spool
	disk *memdisk.Disk
	log  bytes.Buffer
}

func key(t testing.TB, fill byte) *spool.Key {
	t.Helper()
	k, err := spool.NewKey(bytes.Repeat([]byte{fill}, spool.KeyBytes))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func open(t *testing.T, disk *memdisk.Disk, cfg spool.Config) *rig {
	t.Helper()
	r := &rig{disk: disk}
	cfg.Dir, cfg.Key, cfg.Disk, cfg.Log = "spool", key(t, 1), disk, slog.New(slog.NewTextHandler(&r.log, nil))
	s, err := spool.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.Spool = s
	return r
}

func add(t *testing.T, s *spool.Spool, seconds int64) (*spool.Tape, *source) {
	t.Helper()
	src := &source{}
	src.more(seconds)
	f, err := s.Add([]byte("meta"), src)
	if err != nil {
		t.Fatal(err)
	}
	return f, src
}

func TestReadsBackAndDeletes(t *testing.T) {
	r := open(t, memdisk.New(), spool.Config{SegmentBytes: 4 * second})
	f, _ := add(t, r.Spool, 30)
	r.Flush()
	if n := len(r.disk.Names()); n < 3 {
		t.Errorf("%d files; want the audio in several", n)
	}
	for _, pos := range []int64{0, 5*second + 17, 30*second - 1} {
		rec, err := f.Read(pos, nil)
		if err != nil || rec.Pos != pos/second*second || rec.Payload[0] != byte(pos/second) {
			t.Errorf("Read(%d) = position %d, %v", pos, rec.Pos, err)
		}
	}
	if _, err := f.Read(30*second, nil); !errors.Is(err, spool.ErrNotStored) {
		t.Errorf("Read after the end = %v; want ErrNotStored", err)
	}
	before := len(r.disk.Names())
	f.Settle(20 * second)
	r.Flush()
	if n := len(r.disk.Names()); n >= before || n == 0 {
		t.Errorf("%d files of %d after settling most; want fewer", n, before)
	}
	f.Settle(30 * second)
	r.Flush()
	if names := r.disk.Names(); len(names) > 0 || r.Stats().Bytes != 0 {
		t.Errorf("settled tape leaves %v, %+v", names, r.Stats())
	}
}

func TestLimits(t *testing.T) {
	tests := []struct {
		name string
		cfg  spool.Config
		line string
	}{
		{"of a tape", spool.Config{MaxTapeBytes: 100_000, SegmentBytes: 20_000}, "a tape has reached its limit"},
		{"of all", spool.Config{MaxBytes: 100_000, SegmentBytes: 20_000}, "spool has reached its limit"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := open(t, memdisk.New(), tt.cfg)
			f, src := add(t, r.Spool, 100)
			for range 10 {
				r.Flush()
			}
			if got := r.Stats().Bytes; got > 200_000 || got < 50_000 {
				t.Errorf("%d bytes on disk; want about the limit", got)
			}
			if f.State() != spool.Full || strings.Count(r.log.String(), tt.line) != 1 {
				t.Errorf("state %v, log %q; want full, said once", f.State(), r.log.String())
			}
			stored := src.at()
			f.Settle(stored)
			r.Flush()
			r.Flush()
			if src.at() == stored || f.State() == spool.Failed {
				t.Errorf("nothing is stored after space was freed")
			}
		})
	}
}

func TestFaultsAreSaidOnceAndRetried(t *testing.T) {
	for _, op := range []string{"create", "write", "sync", "syncdir", "syncall"} {
		for _, fault := range []error{syscall.ENOSPC, syscall.EROFS, syscall.EIO} {
			t.Run(fmt.Sprintf("%s %v", op, fault), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := open(t, memdisk.New(), spool.Config{})
					f, src := add(t, r.Spool, 1)
					for range 16 { // so that they are synced in one go
						if op == "syncall" {
							add(t, r.Spool, 1)
						}
					}
					r.disk.SetFault(func(got string, size int) (int, error) {
						if got == op {
							return size / 2, fault
						}
						return size, nil
					})
					for range 30 {
						r.Flush()
						src.more(1)
						time.Sleep(time.Second)
					}
					want := spool.Failed
					if errors.Is(fault, syscall.ENOSPC) {
						want = spool.Full
					}
					if f.State() != want || strings.Count(r.log.String(), "level=ERROR") != 1 {
						t.Errorf("state %v, log %s; want %v, said once", f.State(), r.log.String(), want)
					}
					r.disk.SetFault(nil)
					time.Sleep(spool.RetryAfter)
					r.Flush()
					r.Flush()
					if f.State() != spool.Writing || src.at() != 31*second || !strings.Contains(r.log.String(), "writes again") {
						t.Errorf("state %v, stored %d, log %s; want all after the disk is mended", f.State(), src.at()/second, r.log.String())
					}
					for pos := int64(0); pos < 31*second; pos += second {
						if rec, err := f.Read(pos, nil); err != nil || rec.Payload[0] != byte(pos/second) {
							t.Fatalf("Read(%d) = %v", pos, err)
						}
					}
				})
			})
		}
	}
}

func TestRecovery(t *testing.T) {
	last := func(disk *memdisk.Disk) string { names := disk.Names(); return names[len(names)-1] }
	tests := []struct {
		name          string
		edit          func(disk *memdisk.Disk)
		torn, damaged int
		complete      bool
	}{
		{"killed", func(*memdisk.Disk) {}, 0, 0, true},
		{"torn record", func(d *memdisk.Disk) {
			name := last(d)
			d.Edit(func(n string, b []byte) []byte {
				if n == name {
					return b[:len(b)-9]
				}
				return b
			})
		}, 1, 0, false},
		{"damaged record", func(d *memdisk.Disk) {
			name := last(d)
			d.Edit(func(n string, b []byte) []byte {
				if n == name {
					b[len(b)-9] ^= 1
				}
				return b
			})
		}, 0, 1, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := open(t, memdisk.New(), spool.Config{SegmentBytes: 4 * second})
			add(t, r.Spool, 30)
			r.Flush()
			disk := r.disk.Kill()
			tt.edit(disk)
			r = open(t, disk, spool.Config{SegmentBytes: 4 * second})
			found := r.Recovered()
			if len(found) != 1 {
				t.Fatalf("Recovered() = %d tapes; want 1", len(found))
			}
			got := found[0]
			want := int64(30 * second)
			if !tt.complete {
				want -= second
			}
			if string(got.Meta) != "meta" || got.End != want || got.Torn != tt.torn || got.Damaged != tt.damaged {
				t.Errorf("Recovered() = %q to %d s, %d torn, %d damaged; want to %d s", got.Meta, got.End/second, got.Torn, got.Damaged, want/second)
			}
			src := &source{stored: want, end: want}
			f, err := got.Attach(src)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := got.Attach(src); err == nil {
				t.Error("Attach again = nil; want an error")
			}
			src.more(5)
			r.Flush()
			if rec, err := f.Read(want+4*second, nil); err != nil || rec.Pos != want+4*second {
				t.Errorf("Read of audio after the recovery = %d, %v", rec.Pos, err)
			}
			f.Remove()
			r.Flush()
			if names := r.disk.Names(); len(names) > 0 {
				t.Errorf("removed tape leaves %v", names)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	r := open(t, memdisk.New(), spool.Config{})
	add(t, r.Spool, 3)
	r.Flush()
	other := r.disk.Kill()
	if _, err := spool.Open(spool.Config{Dir: "spool", Key: key(t, 2), Disk: other}); !errors.Is(err, spool.ErrKey) {
		t.Errorf("Open with another key = %v; want ErrKey", err)
	}
	other.Edit(func(_ string, b []byte) []byte { b[8]++; return b })
	if _, err := spool.Open(spool.Config{Dir: "spool", Key: key(t, 1), Disk: other}); !errors.Is(err, spool.ErrVersion) {
		t.Errorf("Open of another version = %v; want ErrVersion", err)
	}
	if len(other.Names()) != 1 {
		t.Error("a refused file was deleted")
	}
	if _, err := spool.Open(spool.Config{Dir: "spool"}); err == nil {
		t.Error("Open without a key = nil; want an error")
	}
}

// TestPowerFailure holds the promise of SyncInterval: what is older is back.
func TestPowerFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for seed := range uint64(50) {
			rng := rand.New(rand.NewPCG(seed, 1))
			r := open(t, memdisk.New(), spool.Config{SegmentBytes: 3 * second})
			ctx, cancel := context.WithCancel(t.Context())
			var running sync.WaitGroup
			running.Go(func() {
				if err := r.Run(ctx); err != nil {
					t.Error(err)
				}
			})
			_, src := add(t, r.Spool, 0)
			srcs := []*source{src}
			for range seed % 2 * 20 { // so that they are synced in one go
				_, src := add(t, r.Spool, 0)
				srcs = append(srcs, src)
			}
			seconds := int64(2 + rng.IntN(8))
			for range seconds {
				time.Sleep(time.Second)
				for _, src := range srcs {
					src.more(1)
				}
			}
			time.Sleep(time.Duration(rng.IntN(1000)) * time.Millisecond)
			synctest.Wait()
			next := r.disk.PowerFailure(rng)
			cancel()
			running.Wait()
			found := open(t, next, spool.Config{}).Recovered()
			// The last second may be younger than SyncInterval.
			if len(found) != len(srcs) {
				t.Fatalf("seed %d: %d tapes are back of %d", seed, len(found), len(srcs))
			}
			for _, f := range found {
				if f.End < (seconds-1)*second {
					t.Errorf("seed %d: %d s are back of %d", seed, f.End/second, seconds)
				}
			}
		}
	})
}

func TestOnARealDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	cfg := spool.Config{Dir: dir, Key: key(t, 1), SyncInterval: 10 * time.Millisecond}
	s, err := spool.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := spool.Open(cfg); err == nil {
		t.Error("Open of a folder in use = nil; want an error")
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Errorf("Run() = %v; want nil", err)
		}
	})
	f, _ := add(t, s, 200)
	cancel() // the last cycle takes all
	running.Wait()
	if rec, err := f.Read(123*second, nil); err != nil || rec.Payload[7] != 123 {
		t.Errorf("Read() = %v", err)
	}
	s, err = spool.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	found := s.Recovered()
	if len(found) != 1 || found[0].End != 200*second {
		t.Fatalf("Recovered() = %+v; want all of the tape", found)
	}
	found[0].Discard()
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Errorf("Run() = %v; want nil", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.spool")); len(left) > 0 {
		t.Errorf("discarded tape leaves %v", left)
	}
}
