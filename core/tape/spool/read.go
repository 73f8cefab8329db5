package spool

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sort"

	"github.com/patchbay/patchbay/core/media"
)

// entry is where a record of audio is.
type entry struct {
	pos    int64
	loud   uint64
	n      uint32 // samples
	off    uint32
	size   uint32
	number uint32
}

func newEntry(r *Record, off int64, size int, number uint32) entry {
	return entry{pos: r.Pos, n: uint32(r.N), loud: r.Loud, off: uint32(off), size: uint32(size), number: number}
}

func (e entry) end() int64 { return e.pos + int64(e.n) }

// Loud reports whether one of the LevelBlocks, in format format, that overlap the n
// samples from pos is loud. What is not stored counts as loud.
func (f *Tape) Loud(format media.Format, pos, n int64) bool {
	step := max(1, format.SamplesIn(LevelBlock))
	f.mu.Lock()
	defer f.mu.Unlock()
	for end := pos + n; pos < end; {
		_, e, ok := f.find(pos)
		if !ok {
			return true
		}
		for bit := (pos - e.pos) / step; e.pos+bit*step < min(end, e.end()); bit++ {
			if e.loud>>bit&1 != 0 {
				return true
			}
		}
		pos = e.end()
	}
	return false
}

// Extent returns what Read takes from the file for pos, or how far nothing is stored.
func (f *Tape) Extent(pos int64) (from, to int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, e, ok := f.find(pos); ok {
		return e.pos, e.end()
	}
	to = math.MaxInt64
	for _, seg := range f.segs {
		for _, e := range seg.index {
			if e.pos > pos {
				to = min(to, e.pos)
			}
		}
	}
	return pos, to
}

// find looks in the newest files first: what was written twice is whole there.
func (f *Tape) find(pos int64) (*segment, entry, bool) {
	for _, seg := range slices.Backward(f.segs) {
		i := sort.Search(len(seg.index), func(i int) bool { return seg.index[i].end() > pos })
		if i < len(seg.index) && seg.index[i].pos <= pos {
			return seg, seg.index[i], true
		}
	}
	return nil, entry{}, false
}

// ErrNotStored means that the spool does not have, or no longer has, a position.
var ErrNotStored = errors.New("spool: position is not stored")

// Read returns the record of the audio at pos, in buf's memory if that is large
// enough. It fails with ErrNotStored, with ErrDamaged when the disk gives back
// something else than was written, or with the disk's error.
func (f *Tape) Read(pos int64, buf []byte) (Record, error) {
	f.mu.Lock()
	seg, e, ok := f.find(pos)
	f.mu.Unlock()
	if !ok {
		return Record{}, ErrNotStored
	}
	buf = slices.Grow(buf[:0], int(e.size))[:e.size]
	if err := f.s.disk.ReadAt(seg.name, buf, int64(e.off)); err != nil {
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("%w: the file is too short", ErrDamaged)
		}
		return Record{}, fmt.Errorf("spool: read %s: %w", seg.name, err)
	}
	r, _, err := seg.openRecord(buf, e.number)
	if err != nil {
		return Record{}, fmt.Errorf("spool: read %s: %w", seg.name, err)
	}
	return r, nil
}
