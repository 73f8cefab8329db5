package spool

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

// fileKind is what a file of the folder holds. A file renamed to another kind does not
// verify as one.
type fileKind struct {
	magic  string // the file's first bytes
	suffix string // of its name; all else in the folder is left alone
}

var (
	tapeFile    = fileKind{magic: "pbspool\n", suffix: ".spool"}
	journalFile = fileKind{magic: "pbjourn\n", suffix: ".journal"}
)

// kindOf returns the kind of the file with the given name, if it is one of ours.
func kindOf(name string) (fileKind, bool) {
	for _, kind := range [...]fileKind{tapeFile, journalFile} {
		if strings.HasSuffix(name, kind.suffix) {
			return kind, true
		}
	}
	return fileKind{}, false
}

// sealedFile is a file of a tape or a journal, its owner, which alone writes to it and
// guards what is not guarded by Spool.mu.
type sealedFile struct {
	*header
	name     string
	size     int64
	records  uint32
	fd       File // while it is written or unsynced; guarded by Spool.mu
	finished bool // never written again; guarded by Spool.mu
}

// create makes a new file. The bytes are its header, to be written first.
func (s *Spool) create(kind fileKind, id ownerID, seq uint32, meta []byte) (*sealedFile, []byte, error) {
	h, first, err := newHeader(s.cfg.Key, kind, id, seq, meta)
	if err != nil {
		return nil, nil, err
	}
	name := filepath.Join(s.cfg.Dir, fmt.Sprintf("%x-%08x%s", id, seq, kind.suffix))
	fd, err := s.disk.Create(name)
	if err != nil {
		s.failing.Store(true)
		return nil, nil, fmt.Errorf("create: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.newFiles = true
	return &sealedFile{header: h, name: name, fd: fd}, first, nil
}

// write appends b, in which the next n records are sealed. When that fails the file is
// finished: nothing may be sealed again under the numbers that they took.
func (s *Spool) write(f *sealedFile, b []byte, n uint32) error {
	done, err := f.fd.Write(b)
	if err == nil && done < len(b) {
		err = io.ErrShortWrite
	}
	if err != nil {
		if f.fd.Truncate(f.size) != nil {
			s.grow(f, int64(done)) // they stay; what they hold comes again in the next file
		}
		s.finish(f)
		s.failing.Store(true)
		return fmt.Errorf("write %s: %w", f.name, err)
	}
	s.grow(f, int64(done))
	f.records += n
	s.failing.Store(false)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dirty[f] = struct{}{}
	return nil
}

func (s *Spool) grow(f *sealedFile, n int64) {
	f.size += n
	s.used.Add(n)
}

// finish makes f's last record its last; the file is closed when it has been synced.
func (s *Spool) finish(f *sealedFile) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.finished = true
	s.dirty[f] = struct{}{}
}

// delete deletes a file that its owner has forgotten.
func (s *Spool) delete(f *sealedFile) {
	s.mu.Lock()
	fd := f.fd
	f.fd = nil
	delete(s.dirty, f)
	s.mu.Unlock()
	if fd != nil {
		_ = fd.Close() // nothing in it is needed
	}
	s.used.Add(-f.size)
	if err := s.disk.Remove(f.name); err != nil {
		s.log.Warn("spool: cannot delete a file that nobody needs; will try again", "file", f.name, "err", err)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.litter = append(s.litter, f.name)
	}
}

// closeFile closes a file, if it is open. It is called with the lock held.
func (s *Spool) closeFile(f *sealedFile) error {
	if f.fd == nil {
		return nil
	}
	err := f.fd.Close()
	f.fd = nil
	return err
}
