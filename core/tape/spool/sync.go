package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"
)

// sync makes what was written durable.
func (s *Spool) sync() {
	if s.resting() {
		return
	}
	s.mu.Lock()
	dirty, newFiles := s.dirty, s.newFiles
	s.dirty, s.newFiles = make(map[*segment]struct{}, len(dirty)), false
	s.mu.Unlock()
	if err := s.syncFiles(dirty, newFiles); err != nil {
		s.mu.Lock()
		for seg := range dirty {
			if seg.fd != nil {
				s.dirty[seg] = struct{}{} // again, after a rest
			}
		}
		s.newFiles = s.newFiles || newFiles
		s.mu.Unlock()
		s.failed(fmt.Errorf("sync: %w", err))
		return
	}
	for seg := range dirty {
		s.synced(seg)
	}
	if len(dirty) > 0 && !s.resting() {
		s.succeeded()
	}
}

// manyFiles is from how many on files are synced in one go, with whatever else is on
// that file system.
const manyFiles = 16

func (s *Spool) syncFiles(dirty map[*segment]struct{}, newFiles bool) error {
	if len(dirty) >= manyFiles {
		if all, err := s.disk.SyncAll(s.cfg.Dir); all || err != nil {
			return err
		}
	}
	var errs []error
	for seg := range dirty {
		s.mu.Lock()
		fd := seg.fd
		s.mu.Unlock()
		if fd == nil {
			continue // deleted
		}
		if err := fd.Sync(); err != nil && !errors.Is(err, fs.ErrClosed) { // deleted meanwhile
			errs = append(errs, err)
		}
	}
	if newFiles {
		errs = append(errs, s.disk.SyncDir(s.cfg.Dir))
	}
	return errors.Join(errs...)
}

// synced closes a file that is finished. One that was finished after it was synced
// is dirty again.
func (s *Spool) synced(seg *segment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, again := s.dirty[seg]; again || !seg.finished || seg.fd == nil {
		return
	}
	if err := seg.fd.Close(); err != nil {
		s.log.Warn("spool: close", "file", seg.name, "err", err)
	}
	seg.fd = nil
}

// failed leaves the disk alone for a while after an error, and reports the first of
// a row.
func (s *Spool) failed(err error) {
	s.errs.Add(1)
	s.retryAt.Store(time.Now().Add(RetryAfter).UnixNano())
	next, text := Failed, "spool fails: calls go on with their audio in memory alone"
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		next, text = Full, "spool's disk is full: calls go on with their audio in memory alone"
	}
	if s.state.Swap(int32(next)) == int32(Writing) {
		s.log.Error(text, "dir", s.cfg.Dir, "err", err, "retry", RetryAfter)
	}
}

// succeeded reports the end of a row of errors.
func (s *Spool) succeeded() {
	if s.state.Swap(int32(Writing)) != int32(Writing) {
		s.log.Info("spool writes again", "dir", s.cfg.Dir)
	}
}
