package spool

import (
	"errors"
	"slices"
)

// RecoveredJournal is a journal that an earlier process left behind. It must be resumed
// or discarded.
type RecoveredJournal struct {
	Head    []byte   // as given to Spool.Journal
	Records [][]byte // in the order in which they were appended
	Torn    int      // last records of a file that were not whole
	Damaged int      // files that were damaged from some record on; what followed in them is lost

	journal *Journal
}

// Journals returns the journals that an earlier process left behind and that nobody has
// resumed or discarded yet. Only until then the spool keeps their records in memory.
func (s *Spool) Journals() []*RecoveredJournal {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.left)
}

// Resume returns the journal to append to, in a next file; see Journal.Append. It fails
// when the journal was resumed or discarded before.
func (r *RecoveredJournal) Resume() (*Journal, error) {
	if !r.take() {
		return nil, errors.New("spool: the journal was resumed or discarded already")
	}
	return r.journal, nil
}

// Discard deletes the journal, as Journal.Remove does. It does nothing when the journal
// was resumed.
func (r *RecoveredJournal) Discard() {
	if r.take() {
		r.journal.Remove()
	}
}

// take reports whether this call is the first that decides about the journal.
func (r *RecoveredJournal) take() bool {
	s := r.journal.s
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.left, r)
	if i < 0 {
		return false
	}
	s.left = slices.Delete(s.left, i, i+1)
	return true
}

// read notes the records of the journal's next file, which take the memory of data. A
// record that is torn or damaged ends it.
func (r *RecoveredJournal) read(file *sealedFile, data []byte) {
	for len(data) > 0 {
		record, n, err := file.open(data, file.records+1, 0, MaxJournalRecord)
		switch {
		case errors.Is(err, errTorn):
			r.Torn++
			return
		case err != nil:
			r.Damaged++
			return
		}
		file.records++
		r.Records = append(r.Records, slices.Clip(record))
		data = data[n:]
	}
}
