package spool

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Limits of a journal.
const (
	MaxJournalRecord = 64 << 10 // bytes of one record
	MaxJournalBytes  = 16 << 20 // on disk, of all its records and files
)

// Errors of what a spool no longer takes.
var (
	ErrJournalFull = fmt.Errorf("spool: the journal has reached its limit of %d MiB and takes no more records", MaxJournalBytes>>20)
	ErrClosed      = errors.New("spool: closed")

	errRemoved = errors.New("spool: the journal was removed")
)

// Journal is a log of records for whoever comes after this process. It is safe for
// concurrent use.
type Journal struct {
	s       *Spool
	id      ownerID
	head    []byte
	removed atomic.Bool

	mu      sync.Mutex    // held while a record is written; guards what follows
	files   []*sealedFile // by number
	seq     uint32
	bytes   int64
	buf     []byte
	closed  bool
	failure error // of the last Append
	retryAt time.Time
}

// Journal returns a new journal that begins with head (at most MaxMeta bytes, sealed),
// which tells whoever finds it what it is about. Its file exists on return.
func (s *Spool) Journal(head []byte) (*Journal, error) {
	if len(head) > MaxMeta {
		return nil, fmt.Errorf("spool: a journal begins with %d bytes; at most %d fit", len(head), MaxMeta)
	}
	id, err := newOwnerID()
	if err != nil {
		return nil, err
	}
	j := &Journal{s: s, id: id, head: slices.Clone(head)}
	j.mu.Lock()
	defer j.mu.Unlock()
	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.journals[j] = struct{}{} // before it has a file, so that closing the spool closes that
	}
	s.mu.Unlock()
	if closed {
		return nil, ErrClosed
	}
	file, b, err := j.open()
	if err == nil {
		err = j.write(file, b, 0)
	}
	if err != nil {
		s.mu.Lock()
		delete(s.journals, j)
		s.mu.Unlock()
		s.failed(err)
		return nil, fmt.Errorf("spool: journal: %w", err)
	}
	return j, nil
}

// Append writes a record of at most MaxJournalRecord bytes. On return it outlives this
// process, and after Config.SyncInterval a power failure. It writes to the disk, so it is
// not for who must not wait.
//
// When the disk fails, so does Append, at once until RetryAfter has passed; then it
// tries with a new file. Nothing marks the gap. A record whose Append failed may be found
// nevertheless. ErrJournalFull and ErrClosed are for good.
func (j *Journal) Append(record []byte) error {
	if len(record) > MaxJournalRecord {
		return fmt.Errorf("spool: a journal's record has %d bytes; at most %d fit", len(record), MaxJournalRecord)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.removed.Load():
		return errRemoved
	case j.closed:
		return ErrClosed
	case j.bytes+int64(len(record)+sealBytes) > MaxJournalBytes:
		return ErrJournalFull
	case j.failure != nil && time.Now().Before(j.retryAt):
		return fmt.Errorf("spool: journal waits %v after an error: %w", RetryAfter, j.failure)
	}
	if j.failure = j.append(record); j.failure != nil {
		j.retryAt = time.Now().Add(RetryAfter)
		j.s.failed(j.failure)
		return fmt.Errorf("spool: journal: %w", j.failure)
	}
	return nil
}

// Remove says that nobody needs the journal. Its files are deleted in the next cycle. A
// crash before that, or a disk that fails, leaves them to be found, so a last record
// should say that all is done.
func (j *Journal) Remove() {
	if j.removed.Swap(true) {
		return
	}
	j.s.mu.Lock()
	j.s.unneeded = append(j.s.unneeded, j)
	closed := j.s.closed
	j.s.mu.Unlock()
	if closed { // no cycle follows
		j.s.cycling.Lock()
		defer j.s.cycling.Unlock()
		j.s.dropJournals()
	}
}

func (j *Journal) append(record []byte) error {
	file, b, err := j.open()
	if err != nil {
		return err
	}
	return j.write(file, file.seal(b, file.records+1, record), 1)
}

// open returns the file to write to, and the bytes that must come first.
func (j *Journal) open() (*sealedFile, []byte, error) {
	if n := len(j.files); n > 0 && !j.files[n-1].finished {
		return j.files[n-1], j.buf[:0], nil
	}
	j.seq++
	file, first, err := j.s.create(journalFile, j.id, j.seq, j.head)
	if err != nil {
		return nil, nil, err
	}
	j.files = append(j.files, file)
	return file, append(j.buf[:0], first...), nil
}

func (j *Journal) write(file *sealedFile, b []byte, records uint32) error {
	j.buf = b[:0]
	before := file.size
	err := j.s.write(file, b, records)
	if err != nil && before == 0 { // it has no header
		j.files = j.files[:len(j.files)-1]
		j.s.delete(file)
		return err
	}
	j.bytes += file.size - before
	return err
}

// close ends Append, and waits for those that have begun.
func (j *Journal) close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
}

// closeFiles closes what close has left open.
func (j *Journal) closeFiles() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.s.mu.Lock()
	defer j.s.mu.Unlock()
	var errs []error
	for _, file := range j.files {
		errs = append(errs, j.s.closeFile(file))
	}
	return errors.Join(errs...)
}

// dropJournals deletes the journals that nobody needs. It is called in cycles.
func (s *Spool) dropJournals() {
	s.mu.Lock()
	unneeded := s.unneeded
	s.unneeded = nil
	for _, j := range unneeded {
		delete(s.journals, j)
	}
	s.mu.Unlock()
	for _, j := range unneeded {
		j.mu.Lock()
		files := j.files
		j.files = nil
		j.mu.Unlock()
		for _, file := range files {
			s.delete(file)
		}
	}
}

// openJournals returns the journals that have not been removed.
func (s *Spool) openJournals() []*Journal {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.journals))
}
