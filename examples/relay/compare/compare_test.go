package main

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/patchbay/patchbay/core/emulator/hear"
	"github.com/patchbay/patchbay/core/media"
)

func TestParseStat(t *testing.T) {
	const rest = " S 7 1 1 0 -1 4194560 100 0 0 0 250 50 9 9 20 0 5 0 12345 1000000 3 18446744073709551615 1 1"
	for name, tc := range map[string]struct {
		in   string
		ok   bool
		name string
	}{
		"plain":                 {"42 (relay)" + rest, true, "relay"},
		"brackets in the name":  {"42 (a) (b)" + rest, true, "a) (b"},
		"no name":               {"42 relay" + rest, false, ""},
		"cut off":               {"42 (relay) S 7 1", false, ""},
		"a word for a number":   {"x (relay)" + rest, false, ""},
		"empty":                 {"", false, ""},
		"a name that never end": {"42 (relay", false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p, parent, err := parseStat([]byte(tc.in))
			if (err == nil) != tc.ok {
				t.Fatalf("err = %v; want ok %v", err, tc.ok)
			}
			if !tc.ok {
				return
			}
			want := part{pid: 42, name: tc.name, cpu: 3 * time.Second, rss: 3 * int64(os.Getpagesize())}
			if p != want || parent != 7 {
				t.Errorf("parseStat = %+v, parent %d; want %+v, parent 7", p, parent, want)
			}
		})
	}
}

// TestUsageSeesItself reads this process's own numbers.
func TestUsageSeesItself(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("there is no /proc")
	}
	o, err := observe(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if len(o.parts) == 0 || o.rss() < 1<<20 || o.busy == 0 {
		t.Errorf("observe = %+v; want a process of more than a megabyte on a machine that does something", o)
	}
	if _, err := usageOf(-1); err == nil {
		t.Error("usageOf(-1) found a process")
	}
}

// TestLateness lets one chunk of three come 30 ms late.
func TestLateness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &clock{inner: hear.Deaf{}}
		l := c.Listen(media.Telephony, "")
		write := func(after time.Duration) {
			time.Sleep(after)
			l.Write(make([]byte, 800), func(hear.Event) {})
		}
		write(time.Hour) // before the watch is looked at
		c.on = true
		write(100 * time.Millisecond)
		write(130 * time.Millisecond)
		write(70 * time.Millisecond)
		got := c.lateness()
		want := []time.Duration{0, 0, 30 * time.Millisecond}
		if len(got) != len(want) || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
			t.Errorf("lateness = %v; want %v", got, want)
		}
		if c.opened() != 1 {
			t.Errorf("opened = %d; want 1", c.opened())
		}
		c.reset()
		if c.opened() != 0 || len(c.lateness()) != 0 {
			t.Error("reset left something")
		}
	})
}

func TestSummary(t *testing.T) {
	runs := []result{
		{System: relaySystem, Calls: 300, CPU: 2, WholeMs: 20, Idle: 0.5, LateP99: 1, Sent: 100, Lost: 1},
		{System: patchbaySystem, Calls: 300, CPU: 9, WholeMs: 10, Idle: 0.1, LateP99: 1, Sent: 100},
		{System: relaySystem, Calls: 300, CPU: 4, WholeMs: 40, Idle: 0.5, LateP99: 3, Sent: 100},
		{System: patchbaySystem, Calls: 300, CPU: 3, WholeMs: 30, Idle: 0.5, LateP99: 1, Sent: 100},
		{System: relaySystem, Calls: 50, CPU: 4, Idle: 0.5},
	}
	got := summarise(runs)
	if len(got) != 3 || got[0].Calls != 50 || got[1].System != relaySystem || got[2].System != patchbaySystem {
		t.Fatalf("summarise = %+v; want 50 calls, then 300 of both systems", got)
	}
	if want := (spread{Median: 3, Min: 2, Max: 4}); got[1].CPU != want || got[1].Lost != 1 || got[1].Sent != 200 {
		t.Errorf("relay = %+v; want CPU %v and 1 block lost of 200", got[1], want)
	}
	if got[2].Growth != 1 || got[1].Growth != 0.75 {
		t.Errorf("growth %v and %v; want 0.75 of the lowest load's, and 1", got[1].Growth, got[2].Growth)
	}
	if got[1].Late == nil || got[2].Late != nil {
		t.Error("delays count on a machine with room to spare, and on no other")
	}
	if want := (spread{Median: 0.625, Min: 0.5, Max: 0.75}); got[2].Ratio == nil || *got[2].Ratio != want {
		t.Errorf("ratio = %v; want %v, round by round", got[2].Ratio, want)
	}
	var text strings.Builder
	if err := printTable(&text, runs); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"0.62 (0.50–0.75)", "machine too busy", "1 of 200"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the table has no %q:\n%s", want, text.String())
		}
	}
}

func TestHandovers(t *testing.T) {
	const text = `# HELP patchbay_handover_seconds From
patchbay_handover_seconds_bucket{le="0.001"} 10
patchbay_handover_seconds_bucket{le="+Inf"} %d
patchbay_handover_seconds_bucket{le="0.005"} %d
patchbay_handover_seconds_sum 3
`
	read := func(whole, some int) []bucket {
		b, err := parseBuckets(strings.NewReader(fmt.Sprintf(text, whole, some)))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	before, after := read(20, 20), read(120, 119)
	if got := quantile(before, after, 0.99); got != 5 {
		t.Errorf("p99 = %v; want 5 ms", got)
	}
	if got := quantile(before, after, 0.5); got < 3 || got > 3.1 {
		t.Errorf("p50 = %v; want half-way between 1 and 5 ms", got)
	}
	if got := quantile(before, after, 1); got != 5 {
		t.Errorf("p100 = %v; want the highest bound", got)
	}
	if got := quantile(after, after, 0.5); !math.IsNaN(got) {
		t.Errorf("of nothing = %v", got)
	}
	if _, err := parseBuckets(strings.NewReader(handoverMetric + `{le="x"} 1`)); err == nil {
		t.Error("a bound that is no number was read")
	}
}

func TestFlags(t *testing.T) {
	bin := t.TempDir()
	for _, name := range []string{"patchbay", "patchbay-adapter-twilio", "patchbay-adapter-five9"} {
		if err := os.WriteFile(filepath.Join(bin, name), nil, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		args []string
		want string // of the error; empty is none
	}{
		"defaults":       {nil, ""},
		"one of the two": {[]string{"--systems", "relay"}, ""},
		"two doors":      {[]string{"--systems", "patchbay,five9"}, ""},
		"twice":          {[]string{"--systems", "relay,relay"}, "--systems"},
		"no number":      {[]string{"--calls", "50,x"}, "--calls"},
		"too many calls": {[]string{"--calls", "5000"}, "--calls"},
		"too short":      {[]string{"--duration", "1s"}, "--duration"},
		"no such system": {[]string{"--systems", "other"}, "--systems"},
		"no recogniser":  {[]string{"--recogniser", "best"}, "--recogniser"},
		"not built":      {[]string{"--bin", "/nowhere"}, "build"},
		"a stray word":   {[]string{"now"}, "unexpected"},
		"no rounds":      {[]string{"--rounds", "0"}, "--rounds"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse(append([]string{"--bin", bin}, tc.args...))
			switch {
			case tc.want == "" && err != nil, tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("parse(%q) = %v; want %q", tc.args, err, tc.want)
			}
		})
	}
	if _, err := parse([]string{"--help"}); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("--help gives %v", err)
	}
}
