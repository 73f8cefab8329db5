//go:build unix && !solaris && !illumos && !aix

package spool

import (
	"errors"
	"os"
	"syscall"
)

// lock takes the file for this process; the kernel gives it back when the process ends.
func lock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errors.New("another process uses this folder; give each its own")
	}
	return err
}
