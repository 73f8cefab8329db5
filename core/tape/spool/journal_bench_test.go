package spool_test

import (
	"errors"
	"testing"

	"github.com/patchbay/patchbay/core/tape/internal/memdisk"
	"github.com/patchbay/patchbay/core/tape/spool"
)

// BenchmarkJournalAppend appends records of 200 bytes: to a file, and with nothing below.
func BenchmarkJournalAppend(b *testing.B) {
	tests := []struct {
		name string
		disk spool.Disk
	}{
		{"file", nil},
		{"no disk", sink{memdisk.New()}},
	}
	for _, tt := range tests {
		b.Run(tt.name, func(b *testing.B) {
			s, err := spool.Open(spool.Config{Dir: b.TempDir(), Key: key(b, 1), Disk: tt.disk})
			if err != nil {
				b.Fatal(err)
			}
			j := newJournal(b, s, "call 1")
			record := make([]byte, 200)
			b.ReportAllocs()
			for b.Loop() {
				if err := j.Append(record); errors.Is(err, spool.ErrJournalFull) {
					j.Remove()
					s.Flush()
					j = newJournal(b, s, "call 1")
				} else if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// sink forgets what is written.
type sink struct{ *memdisk.Disk }

func (d sink) Create(name string) (spool.File, error) {
	f, err := d.Disk.Create(name)
	return sinkFile{f}, err
}

type sinkFile struct{ spool.File }

func (sinkFile) Write(b []byte) (int, error) { return len(b), nil }
