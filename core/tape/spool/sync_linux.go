package spool

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// SyncAll implements Disk. It writes back the file system that the folder is on;
// since Linux 5.8 it reports what could not be written (syncfs(2), man-pages 6).
func (osDisk) SyncAll(dir string) (bool, error) {
	f, err := os.Open(dir)
	if err != nil {
		return false, err
	}
	err = unix.Syncfs(int(f.Fd()))
	if errors.Is(err, unix.ENOSYS) {
		return false, f.Close()
	}
	return true, errors.Join(err, f.Close())
}
