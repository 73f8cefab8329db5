package spool_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/patchbay/patchbay/core/tape/internal/memdisk"
	"github.com/patchbay/patchbay/core/tape/spool"
)

func newJournal(t testing.TB, s *spool.Spool, head string) *spool.Journal {
	t.Helper()
	j, err := s.Journal([]byte(head))
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func appendAll(t testing.TB, j *spool.Journal, records ...string) {
	t.Helper()
	for _, r := range records {
		if err := j.Append([]byte(r)); err != nil {
			t.Fatalf("Append(%q) = %v", r, err)
		}
	}
}

// theJournal returns the only one that was left behind.
func theJournal(t testing.TB, s *spool.Spool) *spool.RecoveredJournal {
	t.Helper()
	found := s.Journals()
	if len(found) != 1 {
		t.Fatalf("Journals() = %d journals; want 1", len(found))
	}
	return found[0]
}

func text(r *spool.RecoveredJournal) []string {
	var records []string
	for _, b := range r.Records {
		records = append(records, string(b))
	}
	return records
}

func wantRecords(t testing.TB, r *spool.RecoveredJournal, want ...string) {
	t.Helper()
	if got := text(r); !reflect.DeepEqual(got, want) {
		t.Fatalf("records %q; want %q", got, want)
	}
}

func TestJournalRoundTrip(t *testing.T) {
	r := open(t, memdisk.New(), spool.Config{})
	big := strings.Repeat("x", spool.MaxJournalRecord)
	appendAll(t, newJournal(t, r.Spool, "call 1"), "a secret", "", big, "after")
	newJournal(t, r.Spool, "") // a call that ended at once
	if s := r.Stats(); s.Journals != 2 || s.Bytes < int64(len(big)) {
		t.Errorf("Stats() = %+v; want 2 journals and their bytes", s)
	}
	disk := r.disk.Kill()
	disk.Edit(func(_ string, b []byte) []byte {
		if bytes.Contains(b, []byte("secret")) || bytes.Contains(b, []byte("call 1")) {
			t.Error("head or record is readable in the file")
		}
		return b
	})
	r = open(t, disk, spool.Config{})
	found := r.Journals()
	if len(found) != 2 || len(r.Recovered()) != 0 || r.Stats().Journals != 2 {
		t.Fatalf("%d journals, %d tapes; want 2 journals", len(found), len(r.Recovered()))
	}
	for _, f := range found {
		if f.Torn+f.Damaged > 0 {
			t.Errorf("%d torn, %d damaged; want none", f.Torn, f.Damaged)
		}
		if len(f.Head) == 0 {
			wantRecords(t, f)
		} else {
			_ = append(f.Records[0], strings.Repeat("y", 64)...) // does not reach into the next one
			wantRecords(t, f, "a secret", "", big, "after")
		}
	}
	if line := r.log.String(); !strings.Contains(line, "journals=2 torn=0") || strings.Contains(line, "secret") {
		t.Errorf("log %q; want one line that counts the journals", line)
	}
}

func TestJournalResume(t *testing.T) {
	disk := memdisk.New()
	var want []string
	for i := range 4 {
		r := open(t, disk, spool.Config{})
		var j *spool.Journal
		if i == 0 {
			j = newJournal(t, r.Spool, "call 1")
		} else {
			f := theJournal(t, r.Spool)
			wantRecords(t, f, want...)
			if string(f.Head) != "call 1" {
				t.Errorf("Head = %q", f.Head)
			}
			var err error
			if j, err = f.Resume(); err != nil {
				t.Fatal(err)
			}
			if _, err := f.Resume(); err == nil {
				t.Error("Resume again = nil; want an error")
			}
			f.Discard() // too late
			r.Flush()
			if n := len(r.Journals()); n != 0 || r.Stats().Journals != 1 {
				t.Errorf("%d journals are offered, %d exist; want the resumed one to exist alone", n, r.Stats().Journals)
			}
		}
		for k := range i + 1 {
			want = append(want, fmt.Sprint(i, k))
			appendAll(t, j, want[len(want)-1])
		}
		disk = r.disk.Kill()
	}
	r := open(t, disk, spool.Config{})
	if len(r.disk.Names()) != 4 {
		t.Errorf("files %v; want one a process", r.disk.Names())
	}
	theJournal(t, r.Spool).Discard()
	r.Flush()
	if names := r.disk.Names(); len(names) > 0 || r.Stats() != (spool.Stats{}) || len(r.Journals()) > 0 {
		t.Errorf("discarded journal leaves %v, %+v", names, r.Stats())
	}
}

func TestJournalRefuses(t *testing.T) {
	r := open(t, memdisk.New(), spool.Config{})
	if _, err := r.Journal(make([]byte, spool.MaxMeta+1)); err == nil {
		t.Error("Journal with a long head = nil; want an error")
	}
	j := newJournal(t, r.Spool, "call 1")
	if err := j.Append(make([]byte, spool.MaxJournalRecord+1)); err == nil {
		t.Error("Append of a long record = nil; want an error")
	}
	record := make([]byte, spool.MaxJournalRecord)
	var err error
	for n := 0; err == nil; n += len(record) {
		if n > spool.MaxJournalBytes {
			t.Fatal("a journal grows without bound")
		}
		err = j.Append(record)
	}
	if !errors.Is(err, spool.ErrJournalFull) || r.Stats().Bytes < spool.MaxJournalBytes-2*spool.MaxJournalRecord {
		t.Errorf("Append = %v with %d bytes on disk; want ErrJournalFull at the limit", err, r.Stats().Bytes)
	}
	r = open(t, r.disk.Kill(), spool.Config{})
	again, err := theJournal(t, r.Spool).Resume()
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Append(record); !errors.Is(err, spool.ErrJournalFull) {
		t.Errorf("Append to a full journal that was resumed = %v; want ErrJournalFull", err)
	}
	again.Remove()
	again.Remove()
	if err := again.Append(nil); err == nil || r.Stats().Journals != 0 {
		t.Errorf("Append after Remove = %v, %+v; want an error", err, r.Stats())
	}
	r.Flush()
	if names := r.disk.Names(); len(names) > 0 || r.Stats().Bytes != 0 {
		t.Errorf("removed journal leaves %v, %+v", names, r.Stats())
	}
}

// TestJournalBeyondTheLimit: journals are small, and of more use than more audio.
func TestJournalBeyondTheLimit(t *testing.T) {
	r := open(t, memdisk.New(), spool.Config{MaxBytes: 100_000})
	f, _ := add(t, r.Spool, 100)
	r.Flush()
	r.Flush()
	if f.State() != spool.Full {
		t.Fatalf("state %v; want full", f.State())
	}
	before := r.Stats().Bytes
	appendAll(t, newJournal(t, r.Spool, "call 1"), "one", "two")
	if r.Stats().Bytes <= before {
		t.Error("a journal's bytes are not counted")
	}
}

// TestTornJournal ends the file within each byte of its last record.
func TestTornJournal(t *testing.T) {
	const last = 4 + len("three") + 16
	for cut := range last + 1 {
		r := open(t, memdisk.New(), spool.Config{})
		appendAll(t, newJournal(t, r.Spool, "call 1"), "one", "two", "three")
		disk := r.disk.Kill()
		disk.Edit(func(_ string, b []byte) []byte { return b[:len(b)-cut] })
		r = open(t, disk, spool.Config{})
		f := theJournal(t, r.Spool)
		want, torn := []string{"one", "two"}, 1
		switch cut {
		case 0:
			want, torn = append(want, "three"), 0
		case last:
			torn = 0
		}
		wantRecords(t, f, want...)
		if f.Torn != torn || f.Damaged != 0 {
			t.Errorf("cut %d: %d torn, %d damaged; want %d torn", cut, f.Torn, f.Damaged, torn)
		}
		j, err := f.Resume()
		if err != nil {
			t.Fatal(err)
		}
		appendAll(t, j, "four")
		f = theJournal(t, open(t, r.disk.Kill(), spool.Config{}).Spool)
		wantRecords(t, f, append(want, "four")...)
	}
}

// TestFlippedJournal flips each bit of a file: what is found was written.
func TestFlippedJournal(t *testing.T) {
	records := []string{"one", "two", "three"}
	r := open(t, memdisk.New(), spool.Config{})
	appendAll(t, newJournal(t, r.Spool, "call 1"), records...)
	size := int(r.Stats().Bytes)
	disk := r.disk.Kill()
	for bit := range 8 * size {
		disk.Edit(func(_ string, b []byte) []byte { b[bit/8] ^= 1 << (bit % 8); return b })
		s, err := spool.Open(spool.Config{Dir: "spool", Key: key(t, 1), Disk: disk.Kill()})
		disk.Edit(func(_ string, b []byte) []byte { b[bit/8] ^= 1 << (bit % 8); return b })
		if err != nil {
			if !errors.Is(err, spool.ErrKey) && !errors.Is(err, spool.ErrVersion) {
				t.Fatalf("bit %d: Open = %v", bit, err)
			}
			continue
		}
		for _, f := range s.Journals() {
			if n := len(f.Records); n >= 3 || f.Torn+f.Damaged != 1 || string(f.Head) != "call 1" || n > 0 && !reflect.DeepEqual(text(f), records[:n]) {
				t.Fatalf("bit %d: head %q, records %q, %d torn, %d damaged; want some of what was written", bit, f.Head, text(f), f.Torn, f.Damaged)
			}
		}
	}
	wantRecords(t, theJournal(t, open(t, disk.Kill(), spool.Config{}).Spool), records...)
}

// TestMixedUpJournal: neither a record in another's place nor a tape's file is believed.
func TestMixedUpJournal(t *testing.T) {
	const size = 4 + 3 + 16
	r := open(t, memdisk.New(), spool.Config{})
	appendAll(t, newJournal(t, r.Spool, "call 1"), "one", "one", "two")
	disk := r.disk.Kill()
	disk.Edit(func(_ string, b []byte) []byte {
		at := len(b) - 3*size
		first, second, third := b[at:at+size], b[at+size:at+2*size], b[at+2*size:]
		if bytes.Equal(first, second) {
			t.Error("two records are sealed alike: a nonce is used twice")
		}
		return slices.Concat(b[:at], first, third, second)
	})
	f := theJournal(t, open(t, disk, spool.Config{}).Spool)
	wantRecords(t, f, "one")
	if f.Damaged != 1 {
		t.Errorf("%d damaged; want 1", f.Damaged)
	}

	r = open(t, memdisk.New(), spool.Config{})
	add(t, r.Spool, 1)
	r.Flush()
	r.disk.Edit(func(_ string, b []byte) []byte { write(t, disk, "spool/other.journal", b); return b })
	if n := len(open(t, disk, spool.Config{}).Journals()); n != 1 {
		t.Errorf("%d journals; a tape's file is taken for one", n)
	}
}

func TestOpenRefusesJournals(t *testing.T) {
	r := open(t, memdisk.New(), spool.Config{})
	newJournal(t, r.Spool, "call 1")
	disk := r.disk.Kill()
	if _, err := spool.Open(spool.Config{Dir: "spool", Key: key(t, 2), Disk: disk}); !errors.Is(err, spool.ErrKey) {
		t.Errorf("Open with another key = %v; want ErrKey", err)
	}
	disk.Edit(func(_ string, b []byte) []byte { b[8]++; return b })
	if _, err := spool.Open(spool.Config{Dir: "spool", Key: key(t, 1), Disk: disk}); !errors.Is(err, spool.ErrVersion) {
		t.Errorf("Open of another version = %v; want ErrVersion", err)
	}
	if len(disk.Names()) != 1 {
		t.Error("a refused file was deleted")
	}
}

// TestJournalFaults: a failing disk costs the records of a while, and one line.
func TestJournalFaults(t *testing.T) {
	for _, op := range []string{"write", "create", "write, truncate", "write, truncate, remove"} {
		for _, fault := range []error{syscall.ENOSPC, syscall.EIO} {
			t.Run(fmt.Sprintf("%s %v", op, fault), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := open(t, memdisk.New(), spool.Config{})
					j := newJournal(t, r.Spool, "call 1")
					appendAll(t, j, "before")
					fail := func(ops string) {
						r.disk.SetFault(func(got string, size int) (int, error) {
							if strings.Contains(ops, got) {
								return size / 2, fault
							}
							return size, nil
						})
					}
					if op == "create" { // it is needed when the file has failed
						fail("write")
						if err := j.Append(nil); err == nil {
							t.Error("Append = nil; want the disk's error")
						}
						time.Sleep(spool.RetryAfter)
					}
					fail(op)
					if _, err := r.Journal([]byte("call 2")); !errors.Is(err, fault) {
						t.Errorf("Journal() = %v; want the disk's error", err)
					}
					for range 35 { // of which each tenth tries
						r.Flush()
						if err := j.Append([]byte("lost")); !errors.Is(err, fault) {
							t.Errorf("Append = %v; want the disk's error", err)
						}
						time.Sleep(time.Second)
					}
					s := r.Stats()
					want := int64(1 + 4) // Journal, and each tenth Append
					if op == "create" {
						want++
					}
					if s.Errors != want || s.State == spool.Writing || s.Journals != 1 {
						t.Errorf("Stats() = %+v; want one journal and %d errors", s, want)
					}
					if n := strings.Count(r.log.String(), "level=ERROR"); n != 1 {
						t.Errorf("%d lines about it; want 1:\n%s", n, r.log.String())
					}
					fail("none")
					time.Sleep(spool.RetryAfter)
					appendAll(t, j, "after")
					r.Flush()
					if s := r.Stats(); s.State != spool.Writing || !strings.Contains(r.log.String(), "writes again") {
						t.Errorf("Stats() = %+v, log %s; want all well", s, r.log.String())
					}
					total := 0
					r.disk.Edit(func(_ string, b []byte) []byte { total += len(b); return b })
					if got := r.Stats().Bytes; got != int64(total) {
						t.Errorf("Stats().Bytes = %d; %d are on disk", got, total)
					}
					next := open(t, r.disk.Kill(), spool.Config{})
					f := theJournal(t, next.Spool)
					wantRecords(t, f, "before", "after")
					if kept := strings.Contains(op, "truncate"); (f.Torn > 0) != kept || f.Damaged > 0 {
						t.Errorf("%d torn, %d damaged; want none, but what could not be cut off", f.Torn, f.Damaged)
					}
				})
			})
		}
	}
}

// TestJournalPowerFailure holds the promise of SyncInterval for journals.
func TestJournalPowerFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for seed := range uint64(50) {
			rng := rand.New(rand.NewPCG(seed, 2))
			r := open(t, memdisk.New(), spool.Config{})
			ctx, cancel := context.WithCancel(t.Context())
			var running sync.WaitGroup
			running.Go(func() {
				if err := r.Run(ctx); err != nil {
					t.Error(err)
				}
			})
			var js []*spool.Journal
			for i := range 1 + seed%2*20 { // so that they are synced in one go
				js = append(js, newJournal(t, r.Spool, fmt.Sprint(i)))
			}
			n := 2 + rng.IntN(30)
			var at []time.Time
			for i := range n {
				for _, j := range js {
					appendAll(t, j, fmt.Sprint(i))
				}
				at = append(at, time.Now())
				time.Sleep(time.Duration(rng.IntN(400)) * time.Millisecond)
			}
			synctest.Wait()
			durable := 0
			for durable < n && time.Since(at[durable]) >= spool.DefaultSyncInterval {
				durable++
			}
			stop := seed%3 == 0
			if stop { // in good order: then all is durable
				cancel()
				running.Wait()
				durable = n
			}
			next := r.disk.PowerFailure(rng)
			cancel()
			running.Wait()
			found := open(t, next, spool.Config{}).Journals()
			if durable > 0 && len(found) != len(js) {
				t.Fatalf("seed %d: %d journals are back of %d", seed, len(found), len(js))
			}
			for _, f := range found {
				for i, record := range text(f) {
					if record != fmt.Sprint(i) {
						t.Fatalf("seed %d: record %d is %q", seed, i, record)
					}
				}
				if len(f.Records) < durable || f.Damaged > 0 {
					t.Errorf("seed %d: %d records are back, %d were durable; %d damaged", seed, len(f.Records), durable, f.Damaged)
				}
			}
		}
	})
}

// TestInheritedFilesAreSynced: what a killed process had written may not be on disk yet.
func TestInheritedFilesAreSynced(t *testing.T) {
	r := open(t, memdisk.New(), spool.Config{})
	newJournal(t, r.Spool, "call 1")
	r = open(t, r.disk.Kill(), spool.Config{})
	synced, fault := 0, error(nil)
	r.disk.SetFault(func(op string, size int) (int, error) {
		if op == "syncall" {
			synced++
			return 0, fault
		}
		return size, nil
	})
	for range 3 {
		r.Flush()
	}
	if synced != 1 {
		t.Errorf("synced %d times; want once", synced)
	}
}

// TestJournalsWhileClosing: whatever Append has promised is kept, with many at it, until
// it says that the spool is closed.
func TestJournalsWhileClosing(t *testing.T) {
	r := open(t, memdisk.New(), spool.Config{SyncInterval: time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var running, writing sync.WaitGroup
	running.Go(func() {
		if err := r.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	const journals, writers = 3, 3
	promised := make([][writers]int, journals)
	for i := range journals {
		j := newJournal(t, r.Spool, fmt.Sprint(i))
		for w := range writers {
			writing.Go(func() {
				for n := 0; ; n++ {
					if n == 100 {
						cancel()
					}
					if err := j.Append(fmt.Appendf(nil, "%d %d", w, n)); errors.Is(err, spool.ErrClosed) {
						return
					} else if err != nil {
						t.Error(err)
						return
					}
					promised[i][w]++
				}
			})
		}
		writing.Go(func() { // and others come and go
			for {
				j, err := r.Journal([]byte("short"))
				if errors.Is(err, spool.ErrClosed) {
					return
				} else if err != nil {
					t.Error(err)
					return
				}
				_ = j.Append([]byte("x")) // whether it is closed by now or not
				j.Remove()
			}
		})
	}
	writing.Wait()
	running.Wait()
	next := open(t, r.disk.PowerFailure(rand.New(rand.NewPCG(1, 1))), spool.Config{})
	found := next.Journals()
	if len(found) != journals {
		t.Errorf("%d journals; want %d", len(found), journals)
	}
	for _, f := range found {
		var i, w, n int
		if _, err := fmt.Sscan(string(f.Head), &i); err != nil {
			t.Fatalf("head %q", f.Head)
		}
		var got [writers]int
		for _, record := range text(f) {
			if _, err := fmt.Sscan(record, &w, &n); err != nil || n != got[w] {
				t.Fatalf("record %q; writer %d is at %d", record, w, got[w])
			}
			got[w]++
		}
		if got != promised[i] {
			t.Errorf("journal %d has %v records; Append promised %v", i, got, promised[i])
		}
	}
}

func TestRemoveAfterTheEnd(t *testing.T) {
	disk := &countingDisk{Disk: memdisk.New()}
	s, err := spool.Open(spool.Config{Dir: "spool", Key: key(t, 1), Disk: disk})
	if err != nil {
		t.Fatal(err)
	}
	j := newJournal(t, s, "call 1")
	end(t, s)
	if disk.open != 0 {
		t.Errorf("%d files are left open", disk.open)
	}
	if err := j.Append([]byte("late")); !errors.Is(err, spool.ErrClosed) {
		t.Errorf("Append = %v; want ErrClosed", err)
	}
	if _, err := s.Journal(nil); !errors.Is(err, spool.ErrClosed) {
		t.Errorf("Journal = %v; want ErrClosed", err)
	}
	j.Remove()
	if names := disk.Names(); len(names) > 0 || s.Stats().Bytes != 0 {
		t.Errorf("removed journal leaves %v, %+v", names, s.Stats())
	}
}

// countingDisk counts the files that are open to be appended to.
type countingDisk struct {
	*memdisk.Disk
	open int
}

type countedFile struct {
	spool.File
	d *countingDisk
}

func (d *countingDisk) Create(name string) (spool.File, error) {
	d.open++
	f, err := d.Disk.Create(name)
	return countedFile{f, d}, err
}

func (f countedFile) Close() error {
	f.d.open--
	return f.File.Close()
}
