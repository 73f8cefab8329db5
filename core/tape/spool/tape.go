package spool

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// Tape is the files of one tape.
type Tape struct {
	s       *Spool
	id      ownerID
	meta    []byte
	source  Source
	settled atomic.Int64
	state   atomic.Int32
	removed atomic.Bool

	// Used in cycles alone.
	bytes    int64
	seq      uint32
	reported bool // that it is full

	mu   sync.Mutex
	segs []*segment // by number
}

// segment is one file.
type segment struct {
	*sealedFile
	end   int64   // position after its last record
	index []entry // of audio, by position; guarded by Tape.mu
}

// Add returns the files for a tape; meta describes it to whoever finds them after
// the process (at most MaxMeta bytes, sealed). Files come into being with audio.
func (s *Spool) Add(meta []byte, source Source) (*Tape, error) {
	if len(meta) > MaxMeta {
		return nil, fmt.Errorf("spool: %d bytes of meta data; at most %d fit", len(meta), MaxMeta)
	}
	id, err := newOwnerID()
	if err != nil {
		return nil, err
	}
	f := &Tape{s: s, id: id, meta: slices.Clone(meta), source: source}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	s.files[f] = struct{}{}
	return f, nil
}

// State says whether audio is being written.
func (f *Tape) State() State {
	if s := State(f.s.state.Load()); s != Writing {
		return s
	}
	return State(f.state.Load())
}

// Settle says that nobody needs what lies before pos. It does not wait.
func (f *Tape) Settle(pos int64) { f.settled.Store(pos) }

// Remove says that nobody needs the tape. Its files are deleted in the next cycle.
func (f *Tape) Remove() {
	f.removed.Store(true)
	f.s.mu.Lock()
	closed := f.s.closed
	f.s.mu.Unlock()
	if closed { // no cycle follows
		f.s.cycling.Lock()
		defer f.s.cycling.Unlock()
		f.cycle()
	}
}

func (f *Tape) segments() []*segment {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.segs)
}

// cycle writes what is new and deletes what nobody needs.
func (f *Tape) cycle() {
	if f.removed.Load() {
		f.drop(len(f.segs))
		f.s.mu.Lock()
		delete(f.s.files, f)
		f.s.mu.Unlock()
		return
	}
	f.mu.Lock()
	source := f.source
	f.mu.Unlock()
	idle := true
	for room := f.room(); source != nil && room > 0; room = f.room() {
		recs := source.Collect(f.s.records[:0], room)
		f.s.records = recs[:0]
		if len(recs) == 0 {
			break
		}
		idle = false
		err := f.write(recs)
		stored := recs[len(recs)-1].End()
		if err != nil {
			stored = 0
			f.s.failed(err)
		}
		source.Stored(stored)
		clear(recs)
	}
	settled, n := f.settled.Load(), 0
	for n < len(f.segs) && f.segs[n].end <= settled && (idle || n < len(f.segs)-1) {
		n++
	}
	f.drop(n)
}

// room returns how many bytes the tape may write now. When that is none it says so,
// once.
func (f *Tape) room() int {
	if f.s.resting() {
		return 0
	}
	room := min(batchBytes, f.s.cfg.MaxTapeBytes-f.bytes)
	if room < minBatch && !f.reported {
		f.s.log.Warn("spool: a tape has reached its limit and goes on with its audio in memory alone", "limit", f.s.cfg.MaxTapeBytes)
		f.reported = true
	}
	if room = min(room, f.s.room()); room < minBatch {
		f.state.Store(int32(Full))
		return 0
	}
	f.state.Store(int32(Writing))
	return int(room)
}

// write appends records to the newest file.
func (f *Tape) write(recs []Record) error {
	seg, sealed, err := f.open()
	if err != nil {
		return err
	}
	before, number := seg.size, seg.records
	var index []entry
	for i := range recs {
		number++
		from := len(sealed)
		sealed, f.s.plain = seg.sealRecord(sealed, f.s.plain, number, &recs[i])
		if recs[i].Kind == Audio {
			index = append(index, newEntry(&recs[i], before+int64(from), len(sealed)-from, number))
		}
	}
	f.s.sealed = sealed[:0]
	err = f.s.write(seg.sealedFile, sealed, uint32(len(recs)))
	f.bytes += seg.size - before
	if err != nil {
		if seg.records == 0 {
			f.drop1(len(f.segs) - 1)
		}
		return err
	}
	seg.end = recs[len(recs)-1].End()
	f.mu.Lock()
	defer f.mu.Unlock()
	seg.index = append(seg.index, index...)
	return nil
}

// open returns the file to write to, and the bytes that must come first in it.
func (f *Tape) open() (*segment, []byte, error) {
	if n := len(f.segs); n > 0 && !f.segs[n-1].finished {
		if seg := f.segs[n-1]; seg.size < f.s.cfg.SegmentBytes {
			return seg, f.s.sealed[:0], nil
		}
		f.s.finish(f.segs[n-1].sealedFile)
	}
	f.seq++
	file, first, err := f.s.create(tapeFile, f.id, f.seq, f.meta)
	if err != nil {
		return nil, nil, err
	}
	seg := &segment{sealedFile: file}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.segs = append(f.segs, seg)
	return seg, append(f.s.sealed[:0], first...), nil
}

// drop deletes the n oldest files.
func (f *Tape) drop(n int) {
	for range n {
		f.drop1(0)
	}
}

func (f *Tape) drop1(i int) {
	seg := f.segs[i]
	f.mu.Lock()
	f.segs = slices.Delete(f.segs, i, i+1)
	f.mu.Unlock()
	f.bytes -= seg.size
	f.s.delete(seg.sealedFile)
}
