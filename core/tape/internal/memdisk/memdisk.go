// Package memdisk is a disk in memory for tests of spools: it fails when it is told
// to, and shows what a killed process or a power failure leaves behind.
package memdisk

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/patchbay/patchbay/core/tape/spool"
)

// Disk implements spool.Disk. It is safe for concurrent use.
type Disk struct {
	mu    sync.Mutex
	files map[string]*data
	fault Fault
	dead  bool
}

// Fault decides about an operation: lock, list, create, read, size, remove, sync,
// syncall, truncate, syncdir, write. Of a write that fails, the first n bytes are done.
type Fault func(op string, size int) (n int, err error)

type data struct {
	bytes  []byte
	synced int  // bytes that a power failure leaves
	listed bool // the file's creation is durable
}

// New returns an empty disk.
func New() *Disk { return &Disk{files: make(map[string]*data)} }

// SetFault sets what decides about operations; nil lets all succeed.
func (d *Disk) SetFault(f Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault = f
}

// Kill returns the disk as a killed process leaves it: with all that was written.
// The old one fails from now on.
func (d *Disk) Kill() *Disk { return d.leave(func(f *data) int { return len(f.bytes) }, false) }

// PowerFailure returns the disk as a power failure leaves it: what was synced is
// there, and a part of what was written since.
func (d *Disk) PowerFailure(rng *rand.Rand) *Disk {
	return d.leave(func(f *data) int { return f.synced + rng.IntN(len(f.bytes)-f.synced+1) }, true)
}

func (d *Disk) leave(size func(*data) int, unlist bool) *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	next := New()
	for name, f := range d.files {
		if !unlist || f.listed {
			n := size(f)
			next.files[name] = &data{bytes: bytes.Clone(f.bytes[:n]), synced: n, listed: true}
		}
	}
	d.dead = true
	return next
}

// Edit replaces each file's contents.
func (d *Disk) Edit(edit func(name string, b []byte) []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, f := range d.files {
		f.bytes = edit(name, f.bytes)
		f.synced = min(f.synced, len(f.bytes))
	}
}

// Names returns the names of all files in order.
func (d *Disk) Names() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.names()
}

func (d *Disk) names() []string {
	var names []string
	for name := range d.files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// check asks the fault. It is called with the lock held.
func (d *Disk) check(op string, size int) (int, error) {
	if d.dead {
		return 0, errors.New("memdisk: the process is dead")
	}
	if d.fault != nil {
		return d.fault(op, size)
	}
	return size, nil
}

func (d *Disk) do(op, name string, do func(f *data) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := d.check(op, 0); err != nil {
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
	f, ok := d.files[name]
	if !ok && name != "" {
		return &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return do(f)
}

// Lock implements spool.Disk. It keeps nobody out.
func (d *Disk) Lock(string) (io.Closer, error) {
	return io.NopCloser(nil), d.do("lock", "", func(*data) error { return nil })
}

// List implements spool.Disk.
func (d *Disk) List(string) (names []string, err error) {
	err = d.do("list", "", func(*data) error { names = d.names(); return nil })
	return names, err
}

// Create implements spool.Disk.
func (d *Disk) Create(name string) (spool.File, error) {
	err := d.do("create", "", func(*data) error {
		if d.files[name] != nil {
			return &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
		}
		d.files[name] = &data{}
		return nil
	})
	return &file{d: d, name: name}, err
}

// ReadAt implements spool.Disk.
func (d *Disk) ReadAt(name string, b []byte, off int64) error {
	return d.do("read", name, func(f *data) error {
		if off > int64(len(f.bytes)) || copy(b, f.bytes[off:]) < len(b) {
			return io.EOF
		}
		return nil
	})
}

// Size implements spool.Disk.
func (d *Disk) Size(name string) (n int64, err error) {
	err = d.do("size", name, func(f *data) error { n = int64(len(f.bytes)); return nil })
	return n, err
}

// Remove implements spool.Disk.
func (d *Disk) Remove(name string) error {
	return d.do("remove", name, func(*data) error { delete(d.files, name); return nil })
}

// SyncDir implements spool.Disk.
func (d *Disk) SyncDir(string) error {
	return d.do("syncdir", "", func(*data) error {
		for _, f := range d.files {
			f.listed = true
		}
		return nil
	})
}

// SyncAll implements spool.Disk.
func (d *Disk) SyncAll(string) (bool, error) {
	return true, d.do("syncall", "", func(*data) error {
		for _, f := range d.files {
			f.synced, f.listed = len(f.bytes), true
		}
		return nil
	})
}

type file struct {
	d      *Disk
	name   string
	closed bool // guarded by the disk's lock
}

func (f *file) Write(b []byte) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	n, err := f.d.check("write", len(b))
	if data := f.d.files[f.name]; data != nil {
		data.bytes = append(data.bytes, b[:n]...)
	}
	return n, err
}

func (f *file) Sync() error {
	if f.isClosed() {
		return fs.ErrClosed
	}
	return f.d.do("sync", f.name, func(data *data) error { data.synced = len(data.bytes); return nil })
}

func (f *file) Truncate(size int64) error {
	return f.d.do("truncate", f.name, func(data *data) error { data.bytes = data.bytes[:size]; return nil })
}

func (f *file) Close() error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.closed {
		return fs.ErrClosed
	}
	f.closed = true
	return nil
}

func (f *file) isClosed() bool {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return f.closed
}
