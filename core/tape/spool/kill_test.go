package spool_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/patchbay/patchbay/core/tape/spool"
)

// victimDir tells a copy of a test to be the process that is killed.
const victimDir = "SPOOL_TEST_VICTIM_DIR"

// TestKilledProcess kills a process that spools: what it had written is back, its
// folder is free, and nothing of it is damaged.
func TestKilledProcess(t *testing.T) {
	if dir := os.Getenv(victimDir); dir != "" {
		victim(t, dir)
		return
	}
	dir := filepath.Join(t.TempDir(), "spool")
	var stored int64
	kill(t, dir, func(line string) (enough bool, err error) {
		stored, err = strconv.ParseInt(line, 10, 64)
		return stored >= 300*second, err
	})
	s := reopen(t, dir)
	found := s.Recovered()
	if len(found) != 1 || stored < 300*second || found[0].End < stored || found[0].Damaged > 0 {
		t.Fatalf("Recovered() = %+v; want the %d s that were stored", found, stored/second)
	}
	found[0].Discard()
	end(t, s)
}

// victim spools until it is killed, and says how far it is.
func victim(t *testing.T, dir string) {
	s := runVictim(t, dir)
	_, src := add(t, s, 0)
	for stored := int64(-1); t.Context().Err() == nil; {
		src.more(1)
		s.Flush()
		if at := src.at(); at > stored {
			stored = at
			fmt.Println(stored)
		}
	}
}

// TestKilledJournal kills a process that keeps a journal: each record that it was
// promised is back, in its order.
func TestKilledJournal(t *testing.T) {
	if dir := os.Getenv(victimDir); dir != "" {
		journalVictim(t, dir)
		return
	}
	dir := filepath.Join(t.TempDir(), "spool")
	var promised [writers]int
	lines := 0
	kill(t, dir, func(line string) (bool, error) {
		var w, n int
		if _, err := fmt.Sscan(line, &w, &n); err != nil {
			return true, err
		}
		promised[w] = n + 1
		lines++
		return lines >= 3000, nil
	})
	s := reopen(t, dir)
	f := theJournal(t, s)
	var got [writers]int
	for _, record := range text(f) {
		var w, n int
		if _, err := fmt.Sscan(record, &w, &n); err != nil || n != got[w] {
			t.Fatalf("record %q; writer %d is at %d", record, w, got[w])
		}
		got[w]++
	}
	for w := range writers {
		if got[w] < promised[w] || promised[w] == 0 {
			t.Errorf("%d records of writer %d are back; %d were promised", got[w], w, promised[w])
		}
	}
	if string(f.Head) != "call 1" || f.Damaged > 0 {
		t.Errorf("head %q, %d damaged", f.Head, f.Damaged)
	}
	f.Discard()
	end(t, s)
	if left, _ := filepath.Glob(filepath.Join(dir, "*.journal")); len(left) > 0 {
		t.Errorf("discarded journal leaves %v", left)
	}
}

const writers = 4

// journalVictim appends until it is killed, and says each record after it was promised.
func journalVictim(t *testing.T, dir string) {
	j := newJournal(t, runVictim(t, dir), "call 1")
	for w := range writers - 1 {
		go journalWriter(t, j, w)
	}
	journalWriter(t, j, writers-1)
}

func journalWriter(t *testing.T, j *spool.Journal, w int) {
	for n := 0; t.Context().Err() == nil; n++ {
		if err := j.Append(fmt.Appendf(nil, "%d %d %0500d", w, n, 0)); err != nil {
			t.Error(err)
			return
		}
		fmt.Println(w, n)
	}
}

// kill runs the test a second time, in a process of its own, which it kills when enough
// has read enough of its lines. Lines that were on their way are read as well.
func kill(t *testing.T, dir string, enough func(line string) (bool, error)) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), victimDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	for lines := bufio.NewReader(out); ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			break // the end, or half a line
		}
		done, err := enough(line[:len(line)-1])
		if err != nil {
			t.Errorf("the process said %q", line)
		}
		if (done || err != nil) && !killed {
			killed = true
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !killed {
		t.Error("the process ended by itself")
	}
	_ = cmd.Wait() // it was killed
}

// runVictim opens a folder in the process that will be killed.
func runVictim(t *testing.T, dir string) *spool.Spool {
	s, err := spool.Open(spool.Config{Dir: dir, Key: key(t, 1), SyncInterval: 4 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if err := s.Run(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	return s
}

// reopen opens the folder that a killed process left.
func reopen(t *testing.T, dir string) *spool.Spool {
	t.Helper()
	s, err := spool.Open(spool.Config{Dir: dir, Key: key(t, 1)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// end runs the spool to its end.
func end(t *testing.T, s *spool.Spool) {
	t.Helper()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ended); err != nil {
		t.Error(err)
	}
}
