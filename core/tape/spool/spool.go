// Package spool keeps audio that tapes have not settled in files, so that it
// survives a long outage without filling memory, and the end of the process; and beside
// it journals, the records that a next process needs to make sense of that audio.
//
// A spool is a folder. Each tape has numbered segment files there of about a
// megabyte, deleted as soon as the tape has settled what they hold. A file holds
// records of a second of audio or less, sealed with AES-256-GCM, one after another:
// what a write has put there outlives a killed process, and what is older than
// Config.SyncInterval outlives a power failure. A journal has such files too, deleted
// when nobody needs it.
//
// The spool fetches audio from its tapes, in cycles that one goroutine runs, so a
// tape's writer never waits for a disk. When space runs out or the disk fails, the
// audio stays in memory, one line in the log says so, and the spool tries again.
// It owns files and knows positions; what audio is worth is the business of the tape.
package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Config says where a spool is and how much it may hold. Dir and Key are needed;
// zero elsewhere means the default.
type Config struct {
	Dir string // made when it is missing; of one process at a time
	Key *Key   // see KeyFile and ParseKey

	MaxTapeBytes int64         // of one tape; DefaultMaxTapeBytes
	MaxBytes     int64         // of all, journals included, yet they alone may go beyond it; DefaultMaxBytes
	SegmentBytes int64         // after which a tape begins its next file; DefaultSegmentBytes
	SyncInterval time.Duration // audio that is older outlives a power failure; DefaultSyncInterval

	Log  *slog.Logger // nil: none
	Disk Disk         // nil: the operating system's
}

// Defaults of Config.
const (
	DefaultMaxTapeBytes = 64 << 20 // two hours of telephony
	DefaultMaxBytes     = 4 << 30
	DefaultSegmentBytes = 1 << 20
	DefaultSyncInterval = time.Second
)

// RetryAfter is how long a spool leaves a disk alone that failed.
const RetryAfter = 10 * time.Second

// What is taken from a tape at a time, records' overhead included.
const (
	batchBytes = 256 << 10
	minBatch   = 2 * (MaxPayload + RecordBytes)
)

// RecordBytes is what a record takes beside its payload, about; see Source.
const RecordBytes = 128

// Source is a tape as its spool sees it. The spool calls it from one goroutine.
type Source interface {
	// Collect appends records of what is not stored to dst, in order, with at most
	// max bytes, of which each takes RecordBytes beside its payload. Payloads stay
	// untouched until Stored.
	Collect(dst []Record, max int) []Record
	// Stored says that everything before pos is in the file; 0 that nothing new is.
	Stored(pos int64)
}

// State says whether a tape's audio is being written.
type State int32

// The states of a tape's file.
const (
	Writing State = iota
	Full          // a limit, or the disk, has no space left
	Failed        // the disk fails
)

// Spool is a folder of tapes and journals. It is safe for concurrent use.
type Spool struct {
	cfg       Config
	log       *slog.Logger
	disk      Disk
	unlock    io.Closer
	recovered []*Recovered
	used      atomic.Int64
	state     atomic.Int32
	errs      atomic.Int64
	retryAt   atomic.Int64 // Unix nanoseconds; the disk is left alone until then
	failing   atomic.Bool  // the last file could not be written or made

	cycling sync.Mutex // held in a cycle; guards what follows
	limited bool       // MaxBytes was reached
	records []Record
	sealed  []byte
	plain   []byte
	tapes   []*Tape

	mu        sync.Mutex // guards what follows, and what sealedFile says
	files     map[*Tape]struct{}
	journals  map[*Journal]struct{}
	unneeded  []*Journal          // to be deleted
	left      []*RecoveredJournal // that nobody has resumed or discarded
	litter    []string            // files that nobody needs, yet could not be deleted
	dirty     map[*sealedFile]struct{}
	newFiles  bool // since the folder was synced
	inherited bool // an earlier process left files, unsynced maybe
	closed    bool
}

// Open takes the folder for this process and reads what an earlier one left there; see
// Recovered and Journals. It fails with ErrKey or ErrVersion when that cannot be read,
// and then leaves it alone. Run must follow.
func Open(cfg Config) (*Spool, error) {
	cfg.setDefaults()
	if cfg.Dir == "" || cfg.Key == nil {
		return nil, errors.New("spool: a folder and a key are needed")
	}
	s := &Spool{
		cfg: cfg, log: cfg.Log, disk: cfg.Disk, dirty: make(map[*sealedFile]struct{}),
		files: make(map[*Tape]struct{}), journals: make(map[*Journal]struct{}),
	}
	unlock, err := s.disk.Lock(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("spool: folder %s: %w", cfg.Dir, err)
	}
	s.unlock = unlock
	if err := s.recover(); err != nil {
		return nil, errors.Join(err, unlock.Close())
	}
	return s, nil
}

func (c *Config) setDefaults() {
	defaultTo(&c.MaxTapeBytes, DefaultMaxTapeBytes)
	defaultTo(&c.MaxBytes, DefaultMaxBytes)
	defaultTo(&c.SegmentBytes, DefaultSegmentBytes)
	defaultTo(&c.SyncInterval, DefaultSyncInterval)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Disk == nil {
		c.Disk = osDisk{}
	}
}

func defaultTo[T int64 | time.Duration](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}

// Run writes what the tapes hold until ctx ends, then once more, and closes the
// spool. What tapes have not settled stays in the folder for the next process.
func (s *Spool) Run(ctx context.Context) error {
	// A cycle every two thirds of the interval leaves the rest for its breaks and the disk.
	tick := time.NewTicker(s.cfg.SyncInterval * 2 / 3)
	defer tick.Stop()
	kick := make(chan struct{}, 1)
	var syncer sync.WaitGroup
	syncer.Go(func() {
		for range kick {
			s.sync()
		}
	})
	for ctx.Err() == nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
			continue
		}
		s.cycle(s.cfg.SyncInterval / 10)
		select {
		case kick <- struct{}{}:
		default: // the disk is slow; the next sync takes all
		}
	}
	close(kick)
	syncer.Wait()
	s.shut()
	s.cycle(0)
	s.sync()
	return s.close()
}

// Flush writes and syncs what the tapes hold now. Run does so by itself.
func (s *Spool) Flush() {
	s.cycle(0)
	s.sync()
}

// tapesAtOnce is how many tapes are written before the audio of calls, which has no time to
// wait, gets its turn: a millisecond's work.
const tapesAtOnce = 16

// cycle writes what is new on each tape and deletes what nobody needs. It takes breaks of
// so long in all.
func (s *Spool) cycle(breaks time.Duration) {
	s.cycling.Lock()
	defer s.cycling.Unlock()
	s.mu.Lock()
	s.tapes = s.tapes[:0]
	for f := range s.files {
		s.tapes = append(s.tapes, f)
	}
	s.mu.Unlock()
	rest := breaks / time.Duration(1+len(s.tapes)/tapesAtOnce)
	for i, f := range s.tapes {
		if i > 0 && i%tapesAtOnce == 0 && rest > 0 {
			time.Sleep(rest)
		}
		f.cycle()
	}
	clear(s.tapes)
	s.dropJournals()
	s.sweep()
}

// sweep tries again to delete what could not be deleted.
func (s *Spool) sweep() {
	if s.resting() {
		return
	}
	s.mu.Lock()
	litter := s.litter
	s.litter = nil
	s.mu.Unlock()
	litter = slices.DeleteFunc(litter, func(name string) bool { return s.disk.Remove(name) == nil })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.litter = append(s.litter, litter...)
}

// resting reports whether the disk is left alone, having failed lately.
func (s *Spool) resting() bool { return time.Now().UnixNano() < s.retryAt.Load() }

// room returns how many bytes all tapes together may still write. When that is none
// it says so, until a tenth is free again.
func (s *Spool) room() int64 {
	room := s.cfg.MaxBytes - s.used.Load()
	switch {
	case room < minBatch && !s.limited:
		s.limited = true
		s.log.Error("spool has reached its limit: calls go on with their audio in memory alone", "dir", s.cfg.Dir, "limit", s.cfg.MaxBytes)
	case s.limited && room > s.cfg.MaxBytes/10:
		s.limited = false
		s.log.Info("spool has room again", "dir", s.cfg.Dir)
	}
	if s.limited {
		return 0
	}
	return room
}

// shut lets nothing new in, so that the next sync is the last that is needed.
func (s *Spool) shut() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	for _, j := range s.openJournals() {
		j.close()
	}
}

func (s *Spool) close() error {
	s.cycling.Lock()
	defer s.cycling.Unlock()
	var errs []error
	for _, j := range s.openJournals() {
		errs = append(errs, j.closeFiles())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for f := range s.files {
		for _, seg := range f.segments() {
			errs = append(errs, s.closeFile(seg.sealedFile))
		}
	}
	return errors.Join(append(errs, s.unlock.Close())...)
}

// Stats is what a spool holds and met.
type Stats struct {
	Tapes    int   // with or without files
	Journals int   // that have not been removed
	Bytes    int64 // on disk
	Errors   int64 // of the disk
	State    State
}

// Stats returns the numbers of now.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{
		Tapes: len(s.files), Journals: len(s.journals) - len(s.unneeded),
		Bytes: s.used.Load(), Errors: s.errs.Load(), State: State(s.state.Load()),
	}
}
