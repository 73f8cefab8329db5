package spool

import (
	"errors"
	"io"
	"os"
	"path/filepath"
)

// Disk is the file layer beneath a spool: the operating system's, or one that fails
// on purpose. Names are paths. It is safe for concurrent use.
type Disk interface {
	// Lock keeps other processes out of a folder, which it makes when it is
	// missing, until the result is closed or the process ends.
	Lock(dir string) (io.Closer, error)
	// List returns the names of the files in a folder.
	List(dir string) ([]string, error)
	// Create makes a new file to append to.
	Create(name string) (File, error)
	// ReadAt fills b from offset off of a file, or fails.
	ReadAt(name string, b []byte, off int64) error
	// Size returns the bytes of a file.
	Size(name string) (int64, error)
	// Remove deletes a file.
	Remove(name string) error
	// SyncDir makes the creation of files durable.
	SyncDir(dir string) error
	// SyncAll makes the files of a folder and their creation durable in one go, which
	// is far cheaper than one by one. It returns false where the system cannot.
	SyncAll(dir string) (bool, error)
}

// File is a file that is appended to.
type File interface {
	io.WriteCloser
	Sync() error
	Truncate(size int64) error
}

// osDisk is the operating system's file layer.
type osDisk struct{}

func (osDisk) Lock(dir string) (io.Closer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (osDisk) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() {
			names = append(names, filepath.Join(dir, e.Name()))
		}
	}
	return names, nil
}

func (osDisk) Create(name string) (File, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err // a nil *os.File is no nil File
	}
	return f, nil
}

func (osDisk) ReadAt(name string, b []byte, off int64) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	_, err = f.ReadAt(b, off)
	return err
}

func (osDisk) Size(name string) (int64, error) {
	info, err := os.Stat(name)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (osDisk) Remove(name string) error { return os.Remove(name) }

func (osDisk) SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
