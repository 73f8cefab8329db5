package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
)

// Recovered is a tape that an earlier process left behind. It must be given to a
// tape again (Attach) or discarded.
type Recovered struct {
	Meta    []byte   // as given to Add
	Settled int64    // the tape was settled at least so far
	End     int64    // position after the last record
	Records []Record // without payload, by position; what lies between them is lost
	Torn    int      // last records that were not whole
	Damaged int      // files that were damaged, as a whole or from some record on

	tape *Tape
}

// Recovered returns the tapes that an earlier process left behind.
func (s *Spool) Recovered() []*Recovered { return slices.Clone(s.recovered) }

// Attach gives the tape's files to source, which goes on writing to them.
func (r *Recovered) Attach(source Source) (*Tape, error) {
	if r.tape.removed.Load() {
		return nil, errors.New("spool: the tape was discarded")
	}
	r.tape.mu.Lock()
	defer r.tape.mu.Unlock()
	if r.tape.source != nil {
		return nil, errors.New("spool: the tape is in use already")
	}
	r.tape.source = source
	return r.tape, nil
}

// Discard deletes the tape's files.
func (r *Recovered) Discard() { r.tape.Remove() }

// recovery is what an earlier process left behind.
type recovery struct {
	s             *Spool
	tapes         map[ownerID]*Recovered
	journals      map[ownerID]*RecoveredJournal
	torn, damaged int // files without a header
}

// recover reads the folder.
func (s *Spool) recover() error {
	names, err := s.disk.List(s.cfg.Dir)
	if err != nil {
		return fmt.Errorf("spool: folder %s: %w", s.cfg.Dir, err)
	}
	slices.Sort(names) // the files of one tape or journal one after another, by number
	found := recovery{s: s, tapes: make(map[ownerID]*Recovered), journals: make(map[ownerID]*RecoveredJournal)}
	for _, name := range names {
		if kind, ok := kindOf(name); ok {
			if err := found.file(kind, name); err != nil {
				return err
			}
		}
	}
	torn, damaged := found.torn, found.damaged
	for _, r := range found.tapes {
		s.files[r.tape] = struct{}{}
		torn += r.Torn
		damaged += r.Damaged
	}
	for _, r := range found.journals {
		s.journals[r.journal] = struct{}{}
		torn += r.Torn
		damaged += r.Damaged
	}
	s.recovered = slices.Collect(maps.Values(found.tapes))
	s.left = slices.Collect(maps.Values(found.journals))
	s.inherited = len(s.recovered)+len(s.left) > 0
	if s.inherited || torn+damaged > 0 {
		s.log.Info("spool: an earlier process left files", "dir", s.cfg.Dir, "tapes", len(s.recovered), "journals", len(s.left), "torn", torn, "damaged", damaged)
	}
	return nil
}

// file reads a file, which it deletes when that tells nothing.
func (found *recovery) file(kind fileKind, name string) error {
	s := found.s
	data, err := s.load(name)
	if err != nil {
		return err
	}
	h, meta, rest, err := parseHeader(s.cfg.Key, kind, data)
	switch {
	case errors.Is(err, errTorn):
		found.torn++
	case errors.Is(err, ErrDamaged):
		found.damaged++
	case err != nil:
		return fmt.Errorf("spool: file %s: %w; restore its key or version, or move the file away", name, err)
	}
	if err != nil {
		s.log.Warn("spool: a file without a whole header is deleted", "file", name, "err", err)
		if err := s.disk.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("spool: delete damaged file: %w", err)
		}
		return nil
	}
	file := &sealedFile{header: h, name: name, size: int64(len(data)), finished: true}
	s.used.Add(file.size)
	if kind == journalFile {
		found.journal(file, meta, rest)
	} else {
		found.tape(file, meta, rest)
	}
	return nil
}

// tape notes a tape's next file.
func (found *recovery) tape(file *sealedFile, meta, records []byte) {
	r, ok := found.tapes[file.id]
	if !ok {
		r = &Recovered{Meta: meta, tape: &Tape{s: found.s, id: file.id, meta: meta}}
		found.tapes[file.id] = r
	}
	seg := &segment{sealedFile: file}
	r.read(seg, records)
	r.tape.segs = append(r.tape.segs, seg)
	r.tape.seq = max(r.tape.seq, file.seq)
	r.tape.bytes += file.size
}

// journal notes a journal's next file.
func (found *recovery) journal(file *sealedFile, head, records []byte) {
	r, ok := found.journals[file.id]
	if !ok {
		r = &RecoveredJournal{Head: head, journal: &Journal{s: found.s, id: file.id, head: head}}
		found.journals[file.id] = r
	}
	r.read(file, records)
	r.journal.files = append(r.journal.files, file)
	r.journal.seq = max(r.journal.seq, file.seq)
	r.journal.bytes += file.size
}

func (s *Spool) load(name string) ([]byte, error) {
	size, err := s.disk.Size(name)
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	// A segment ends with the batch that makes it too long.
	if limit := s.cfg.SegmentBytes + 8*batchBytes; size > max(limit, 64<<20) {
		return nil, fmt.Errorf("spool: file %s has %d bytes; a spool file has at most %d; move it away", name, size, limit)
	}
	data := make([]byte, size)
	if size > 0 {
		if err := s.disk.ReadAt(name, data, 0); err != nil {
			return nil, fmt.Errorf("spool: read %s: %w", name, err)
		}
	}
	return data, nil
}

// read notes the records of a file. A record that is torn or damaged ends it.
func (r *Recovered) read(seg *segment, data []byte) {
	off := seg.size - int64(len(data))
	for len(data) > 0 {
		rec, n, err := seg.openRecord(data, seg.records+1)
		switch {
		case errors.Is(err, errTorn):
			r.Torn++
			return
		case err != nil:
			r.Damaged++
			return
		}
		seg.records++
		rec.Payload = nil
		if rec.Kind == Audio {
			seg.index = append(seg.index, newEntry(&rec, off, n, seg.records))
		}
		seg.end = max(seg.end, rec.End())
		off += int64(n)
		data = data[n:]
		r.add(rec)
	}
}

// add notes what is new in a record: what a failing disk kept against its word was
// written a second time.
func (r *Recovered) add(rec Record) {
	r.Settled = max(r.Settled, rec.Settled)
	if known := r.End - rec.Pos; known > 0 {
		if known >= rec.N {
			return
		}
		if !rec.Arrived.IsZero() {
			rec.Arrived = rec.Arrived.Add(rec.Format.Duration(known))
		}
		rec.Pos, rec.N, rec.Loud = r.End, rec.N-known, 0
	}
	r.End = rec.End()
	r.Records = append(r.Records, rec)
}
