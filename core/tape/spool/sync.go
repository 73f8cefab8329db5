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
	dirty, newFiles, inherited := s.dirty, s.newFiles, s.inherited
	s.dirty, s.newFiles, s.inherited = make(map[*sealedFile]struct{}, len(dirty)), false, false
	s.mu.Unlock()
	if err := s.syncFiles(dirty, newFiles, inherited); err != nil {
		s.mu.Lock()
		for f := range dirty {
			if f.fd != nil {
				s.dirty[f] = struct{}{} // again, after a rest
			}
		}
		s.newFiles, s.inherited = s.newFiles || newFiles, inherited
		s.mu.Unlock()
		s.failed(fmt.Errorf("sync: %w", err))
		return
	}
	for f := range dirty {
		s.synced(f)
	}
	if len(dirty) > 0 && !s.resting() && !s.failing.Load() {
		s.succeeded()
	}
}

// manyFiles is from how many on files are synced in one go, with whatever else is on
// that file system.
const manyFiles = 16

func (s *Spool) syncFiles(dirty map[*sealedFile]struct{}, newFiles, inherited bool) error {
	if len(dirty) >= manyFiles || inherited {
		if all, err := s.disk.SyncAll(s.cfg.Dir); all || err != nil {
			return err
		}
	}
	var errs []error
	for f := range dirty {
		s.mu.Lock()
		fd := f.fd
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
func (s *Spool) synced(f *sealedFile) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, again := s.dirty[f]; again || !f.finished {
		return
	}
	if err := s.closeFile(f); err != nil {
		s.log.Warn("spool: close", "file", f.name, "err", err)
	}
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
