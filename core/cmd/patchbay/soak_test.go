package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/patchbay/patchbay/core/config"
)

// holdings are what a host and a plugin hold on to.
type holdings struct {
	goroutines, descriptors, pluginDescriptors int
	streams, tapes, journals                   int64
	spooled                                    int64 // bytes
	heap                                       uint64
	calls                                      int
}

func (h holdings) String() string {
	return fmt.Sprintf("%d goroutines, %d + %d descriptors, %d calls, %d streams, %d tapes, %d journals, %d bytes spooled, heap %d KiB",
		h.goroutines, h.descriptors, h.pluginDescriptors, h.calls, h.streams, h.tapes, h.journals, h.spooled, h.heap>>10)
}

func (r *rig) holdings(t *testing.T) holdings {
	t.Helper()
	runtime.GC()
	runtime.GC() // what the first one finalised
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s := r.spool.Stats()
	h := holdings{
		goroutines: runtime.NumGoroutine(), heap: m.HeapAlloc, calls: r.calls.Stats().Live,
		streams: r.pool.Stats().StreamsOpen.Load(), tapes: int64(s.Tapes), journals: int64(s.Journals), spooled: s.Bytes,
	}
	for path, n := range map[string]*int{"self": &h.descriptors, strconv.Itoa(r.plugins[0].Status().PID): &h.pluginDescriptors} {
		entries, err := os.ReadDir("/proc/" + path + "/fd")
		if err != nil {
			t.Skip("no /proc to count descriptors in:", err)
		}
		*n = len(entries)
	}
	return h
}

// settle waits until nothing of any call is left.
func (r *rig) settle(t *testing.T) {
	t.Helper()
	within(t, time.Minute, "calls, streams or spool files are left", func(ctx context.Context) error {
		for tick := time.NewTicker(50 * time.Millisecond); ; {
			s := r.spool.Stats()
			if r.calls.Stats().Live == 0 && s.Tapes == 0 && s.Journals == 0 && r.pool.Stats().StreamsOpen.Load() == 0 {
				tick.Stop()
				return nil
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return fmt.Errorf("%w: %+v", ctx.Err(), s)
			}
		}
	})
}

// calls plays n short calls one after another, a third of which end abruptly.
func (r *rig) play(t *testing.T, n int) {
	t.Helper()
	for i, flags := range [][]string{nil, {"--abrupt"}, nil} {
		part := n/3 + map[bool]int{true: n % 3}[i == 0]
		args := append([]string{"--calls", strconv.Itoa(part), "--ramp", (time.Duration(part) * 25 * time.Millisecond).String(), "--duration", "1s", "--speed", "10"}, flags...)
		if report := r.simulate(t, "twilio", args...).report(true); len(report.Calls) != part {
			t.Fatalf("%d calls were made; want %d", len(report.Calls), part)
		}
	}
}

// TestSoak: a thousand calls one after another over real sockets, through the real
// plugin and with the spool, a third of which end without a goodbye, leave nothing
// behind. PATCHBAY_SOAK_CALLS is another number of calls.
func TestSoak(t *testing.T) {
	calls, err := strconv.Atoi(cmp.Or(os.Getenv("PATCHBAY_SOAK_CALLS"), "1000"))
	if err != nil {
		t.Fatal(err)
	}
	if testing.Short() {
		calls = 60
	}
	r := newRig(t, 10, func(c *config.Config) { c.Limits.LostGrace, c.Limits.Grace = 50*time.Millisecond, 50*time.Millisecond })
	r.play(t, 240) // as many ended calls as the host remembers, and every pool filled
	r.settle(t)
	before := r.holdings(t)
	r.play(t, calls)
	r.settle(t)
	// What idles may close a moment later.
	const connections = 12
	var after holdings
	within(t, 30*time.Second, "goroutines or descriptors are left", func(ctx context.Context) error {
		for {
			// Connections to Agent Assist open with load, which a busy machine heaps up, and
			// stay: each has two descriptors and eight goroutines here, on both ends. What
			// leaks with calls shows by the hundred.
			after = r.holdings(t)
			if after.goroutines <= before.goroutines+8*connections && after.descriptors <= before.descriptors+2*connections && after.pluginDescriptors <= before.pluginDescriptors+4 {
				return nil
			}
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
				stacks := make([]byte, 1<<20)
				return fmt.Errorf("%w: before %v\nafter %v\n%s", ctx.Err(), before, after, strings.TrimSpace(string(stacks[:runtime.Stack(stacks, true)])))
			}
		}
	})
	t.Logf("before %v", before)
	t.Logf("after  %v", after)
	if after.heap > before.heap*5/4+(4<<20) {
		t.Errorf("the heap went from %d to %d KiB", before.heap>>10, after.heap>>10)
	}
	if after.spooled > 0 {
		t.Errorf("%d bytes are left in the spool", after.spooled)
	}
	if started := r.calls.Stats().Started; started != int64(calls+240) {
		t.Errorf("%d calls; want %d", started, calls+240)
	}
}
