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

// victimDir tells a copy of the test to be the process that is killed.
const victimDir = "SPOOL_TEST_VICTIM_DIR"

// TestKilledProcess kills a process that spools: what it had written is back, its
// folder is free, and nothing of it is damaged.
func TestKilledProcess(t *testing.T) {
	if dir := os.Getenv(victimDir); dir != "" {
		victim(t, dir)
		return
	}
	dir := filepath.Join(t.TempDir(), "spool")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledProcess$")
	cmd.Env = append(os.Environ(), victimDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var stored int64
	for lines := bufio.NewScanner(out); stored < 300*second && lines.Scan(); {
		if stored, err = strconv.ParseInt(lines.Text(), 10, 64); err != nil {
			t.Errorf("the process said %q", lines.Text())
			break
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	s, err := spool.Open(spool.Config{Dir: dir, Key: key(t, 1)})
	if err != nil {
		t.Fatal(err)
	}
	found := s.Recovered()
	if len(found) != 1 || stored < 300*second || found[0].End < stored || found[0].Damaged > 0 {
		t.Fatalf("Recovered() = %+v; want the %d s that were stored", found, stored/second)
	}
	found[0].Discard()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ended); err != nil {
		t.Error(err)
	}
}

// victim spools until it is killed, and says how far it is.
func victim(t *testing.T, dir string) {
	s, err := spool.Open(spool.Config{Dir: dir, Key: key(t, 1), SyncInterval: 4 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	_, src := add(t, s, 0)
	go func() {
		if err := s.Run(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	for stored := int64(-1); t.Context().Err() == nil; {
		src.more(1)
		s.Flush()
		if at := src.at(); at > stored {
			stored = at
			fmt.Println(stored)
		}
	}
}
