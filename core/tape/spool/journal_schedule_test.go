package spool_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/patchbay/patchbay/core/tape/internal/memdisk"
	"github.com/patchbay/patchbay/core/tape/spool"
)

// strictDisk fails the test when a file is written to after a write to it failed: what
// is written then may be sealed under a number that was used.
type strictDisk struct {
	*memdisk.Disk
	t *testing.T
}

type strictFile struct {
	spool.File
	t      *testing.T
	failed bool
}

func (d strictDisk) Create(name string) (spool.File, error) {
	f, err := d.Disk.Create(name)
	return &strictFile{File: f, t: d.t}, err
}

func (f *strictFile) Write(b []byte) (int, error) {
	if f.failed {
		f.t.Error("a file that failed is written again")
	}
	n, err := f.File.Write(b)
	f.failed = err != nil || n < len(b)
	return n, err
}

// logged is what a journal was given.
type logged struct {
	j        *spool.Journal // nil when it was removed
	records  []string
	promised map[string]bool // of records those whose Append returned nil
	durable  int             // how many of records were synced; -1 means not even the journal
}

// TestJournalSchedules runs journals through random faults, kills and power failures:
// what is found was written, in its order, and what Append promised is among it.
func TestJournalSchedules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for seed := range uint64(300) {
			newJournalSchedule(t, seed).run()
		}
	})
}

type journalSchedule struct {
	t     *testing.T
	seed  uint64
	rng   *rand.Rand
	disk  *memdisk.Disk
	s     *spool.Spool
	known map[string]*logged // by head
	next  int
}

func newJournalSchedule(t *testing.T, seed uint64) *journalSchedule {
	c := &journalSchedule{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 3)), known: make(map[string]*logged)}
	c.open(memdisk.New())
	return c
}

func (c *journalSchedule) run() {
	for range 120 {
		switch c.rng.IntN(20) {
		case 0:
			c.create()
		case 1:
			c.flush()
		case 2:
			time.Sleep(spool.RetryAfter / 2)
		case 3:
			c.fault()
		case 4, 5:
			c.disk.SetFault(nil)
		case 6:
			if head, l := c.pick(); l != nil && c.rng.IntN(4) == 0 {
				l.j.Remove()
				c.known[head].j = nil
			}
		case 7:
			if c.rng.IntN(3) == 0 {
				c.crash(c.rng.IntN(2) == 0)
			}
		default:
			c.append()
		}
	}
	c.crash(false)
}

func (c *journalSchedule) open(disk *memdisk.Disk) {
	c.disk = disk
	s, err := spool.Open(spool.Config{Dir: "spool", Key: key(c.t, 1), Disk: strictDisk{disk, c.t}})
	if err != nil {
		c.t.Fatalf("seed %d: %v", c.seed, err)
	}
	c.s = s
}

// pick returns a journal to append to, if there is one.
func (c *journalSchedule) pick() (string, *logged) {
	var heads []string
	for head, l := range c.known {
		if l.j != nil {
			heads = append(heads, head)
		}
	}
	if len(heads) == 0 {
		return "", nil
	}
	slices.Sort(heads)
	head := heads[c.rng.IntN(len(heads))]
	return head, c.known[head]
}

func (c *journalSchedule) create() {
	c.next++
	head := fmt.Sprint("call ", c.next)
	if j, err := c.s.Journal([]byte(head)); err == nil {
		c.known[head] = &logged{j: j, durable: -1, promised: make(map[string]bool)}
	}
}

func (c *journalSchedule) append() {
	_, l := c.pick()
	if l == nil {
		return
	}
	c.next++
	record := fmt.Sprintf("record %d %0*d", c.next, c.rng.IntN(300), 0)
	l.records = append(l.records, record)
	if l.j.Append([]byte(record)) == nil {
		l.promised[record] = true
	}
}

// flush makes all durable, unless the disk fails or is left alone.
func (c *journalSchedule) flush() {
	time.Sleep(time.Millisecond)
	errs, resting := c.s.Stats().Errors, c.s.Stats().State != spool.Writing
	c.s.Flush()
	if s := c.s.Stats(); s.Errors > errs || resting {
		return
	}
	for _, l := range c.known {
		l.durable = len(l.records)
	}
}

func (c *journalSchedule) fault() {
	ops := []string{"write", "create", "truncate", "remove", "sync", "syncdir", "syncall"}
	c.rng.Shuffle(len(ops), func(i, j int) { ops[i], ops[j] = ops[j], ops[i] })
	ops = ops[:1+c.rng.IntN(4)]
	fault := []error{syscall.ENOSPC, syscall.EIO, syscall.EROFS}[c.rng.IntN(3)]
	part := c.rng.IntN(3)
	c.disk.SetFault(func(op string, size int) (int, error) {
		if slices.Contains(ops, op) {
			return size * part / 2, fault
		}
		return size, nil
	})
}

// crash kills the process, or the power, and compares what the next one finds.
func (c *journalSchedule) crash(power bool) {
	if power {
		c.open(c.disk.PowerFailure(c.rng))
	} else {
		c.open(c.disk.Kill())
	}
	seen := make(map[string]bool)
	for _, f := range c.s.Journals() {
		head := string(f.Head)
		l := c.known[head]
		if seen[head] {
			c.t.Errorf("seed %d: %s is found twice", c.seed, head)
		}
		seen[head] = true
		if l == nil && len(f.Records) > 0 {
			c.t.Errorf("seed %d: %s has records, yet was never begun", c.seed, head)
		}
		if l == nil || l.j == nil { // what a fault kept
			f.Discard()
			continue
		}
		c.compare(head, l, f, power)
		var err error
		if l.j, err = f.Resume(); err != nil {
			c.t.Fatalf("seed %d: %v", c.seed, err)
		}
	}
	for head, l := range c.known {
		if l.j != nil && !seen[head] && (!power || l.durable >= 0) {
			c.t.Errorf("seed %d: %s is lost", c.seed, head)
		}
		if !seen[head] {
			delete(c.known, head)
		}
	}
}

func (c *journalSchedule) compare(head string, l *logged, f *spool.RecoveredJournal, power bool) {
	if f.Damaged > 0 {
		c.t.Errorf("seed %d: %s: %d files are damaged", c.seed, head, f.Damaged)
	}
	found := text(f)
	n := 0
	for i, record := range l.records {
		switch {
		case n < len(found) && found[n] == record:
			n++
		case l.promised[record] && (!power || i < l.durable):
			c.t.Errorf("seed %d: %s: %q is lost, which was promised", c.seed, head, record)
		}
	}
	if n < len(found) {
		c.t.Errorf("seed %d: %s: record %q is not what was written next", c.seed, head, found[n])
	}
	l.records, l.durable = found, len(found)
	for _, record := range found {
		l.promised[record] = true
	}
}
