package spool_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/patchbay/patchbay/core/tape/internal/memdisk"
	"github.com/patchbay/patchbay/core/tape/spool"
)

// FuzzJournal damages a journal of two files: what is found was written, in its order;
// what is not found is counted; and the journal goes on.
func FuzzJournal(f *testing.F) {
	records := []string{"one", "two", "three", "four"}
	_, good := journalFiles(f, records)
	size := len(good[0])
	f.Add(uint16(0), []byte{}, uint16(0), uint16(0))
	f.Add(uint16(8), []byte{1}, uint16(0), uint16(0))
	f.Add(uint16(12), []byte{1}, uint16(0), uint16(0))
	f.Add(uint16(84+6+16), []byte{0xFF, 0xFF, 0xFF, 0xFF}, uint16(0), uint16(0))
	f.Add(uint16(84+6+16), []byte{2}, uint16(0), uint16(0))
	f.Add(uint16(size-1), []byte{1}, uint16(7), uint16(7))
	f.Add(uint16(size-24), []byte{1}, uint16(0), uint16(23))
	f.Add(uint16(0), []byte{}, uint16(60), uint16(size))
	f.Fuzz(func(t *testing.T, at uint16, xor []byte, cut1, cut2 uint16) {
		names, files := journalFiles(t, records)
		disk := memdisk.New()
		for i, b := range files {
			b = b[:max(0, len(b)-int([]uint16{cut1, cut2}[i]))]
			for k, x := range xor {
				if k += int(at) - i*size; k >= 0 && k < len(b) {
					b[k] ^= x
				}
			}
			write(t, disk, names[i], b)
		}
		s, err := spool.Open(spool.Config{Dir: "spool", Key: key(t, 1), Disk: disk})
		if err != nil {
			if !errors.Is(err, spool.ErrKey) && !errors.Is(err, spool.ErrVersion) {
				t.Fatalf("error %v is of no known kind", err)
			}
			return
		}
		found := s.Journals()
		if len(found) == 0 {
			if n := len(disk.Names()); n > 0 {
				t.Fatalf("%d files are left of which nobody hears", n)
			}
			return
		}
		r := theJournal(t, s)
		got := text(r)
		first := min(2, len(got))
		for first > 0 && !slices.Equal(got[:first], records[:first]) {
			first--
		}
		if rest := got[first:]; string(r.Head) != "call 1" || len(rest) > 2 || !slices.Equal(rest, records[2:2+len(rest)]) {
			t.Fatalf("head %q, records %q; want the beginnings of two files", r.Head, got)
		}
		j, err := r.Resume()
		if err != nil {
			t.Fatal(err)
		}
		appendAll(t, j, "more")
		s, err = spool.Open(spool.Config{Dir: "spool", Key: key(t, 1), Disk: disk.Kill()})
		if err != nil {
			t.Fatal(err)
		}
		again := theJournal(t, s)
		wantRecords(t, again, append(got, "more")...)
		if again.Torn != r.Torn || again.Damaged != r.Damaged {
			t.Errorf("%d torn, %d damaged; were %d, %d", again.Torn, again.Damaged, r.Torn, r.Damaged)
		}
	})
}

// journalFiles returns a journal's two files, of which each holds a half of records.
func journalFiles(t testing.TB, records []string) (names []string, files [][]byte) {
	t.Helper()
	disk := memdisk.New()
	half := len(records) / 2
	s, err := spool.Open(spool.Config{Dir: "spool", Key: key(t, 1), Disk: disk})
	if err != nil {
		t.Fatal(err)
	}
	appendAll(t, newJournal(t, s, "call 1"), records[:half]...)
	if s, err = spool.Open(spool.Config{Dir: "spool", Key: key(t, 1), Disk: disk}); err != nil {
		t.Fatal(err)
	}
	j, err := theJournal(t, s).Resume()
	if err != nil {
		t.Fatal(err)
	}
	appendAll(t, j, records[half:]...)
	for _, name := range disk.Names() {
		size, err := disk.Size(name)
		b := make([]byte, size)
		if err = errors.Join(err, disk.ReadAt(name, b, 0)); err != nil {
			t.Fatal(err)
		}
		names, files = append(names, name), append(files, b)
	}
	return names, files
}

func write(t testing.TB, disk *memdisk.Disk, name string, b []byte) {
	t.Helper()
	f, err := disk.Create(name)
	if err == nil {
		_, err = f.Write(b)
	}
	if err != nil {
		t.Fatal(err)
	}
}
