package twilio

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/patchbay/patchbay/adapters/internal/report"
	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/adapter/adaptertest"
)

var update = flag.Bool("update", false, "write testdata/*/want.txt anew")

// TestGolden plays each trace to a stream whose upgrade testAccount signed, and
// compares what the host hears of it, line by line.
func TestGolden(t *testing.T) {
	traces, err := filepath.Glob("testdata/*/in.jsonl")
	if err != nil || len(traces) == 0 {
		t.Fatalf("no traces in testdata: %v", err)
	}
	for _, path := range traces {
		t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) {
			in, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := playTrace(t, in)
			wantPath := filepath.Join(filepath.Dir(path), "want.txt")
			if *update {
				if err := os.WriteFile(wantPath, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(wantPath)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("the trace gives\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func playTrace(t *testing.T, in []byte) string {
	a, err := New(testConfig())
	if err != nil {
		t.Fatal(err)
	}
	host, sink := adaptertest.NewEnv(t), adaptertest.NewSink()
	env := &environment{sink: sink, log: host.Log, report: report.New(host.Log, host.Count)}
	s := newStream(a, env, proof{[]string{testAccount}})
	lines := bufio.NewScanner(bytes.NewReader(in))
	lines.Buffer(nil, 1<<20)
	if !lines.Scan() {
		t.Fatal("the trace is empty")
	}
	var header struct{ Origin, Source string }
	if err := json.Unmarshal(lines.Bytes(), &header); err != nil || header.Origin != "from documentation" || header.Source == "" {
		t.Fatalf("the trace's first line says neither origin nor source: %v", err)
	}
	var out strings.Builder
	shown, frames := 0, map[string]int{}
	clock := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	for n := 2; lines.Scan(); n++ {
		clock = clock.Add(10 * time.Millisecond)
		before := host.Counts()
		err := s.takeAlone(t.Context(), lines.Bytes(), clock)
		for _, e := range sink.Events()[shown:] {
			fmt.Fprintf(&out, "%d: %v\n", n, e)
			shown++
		}
		for _, leg := range sink.Legs() {
			showFrames(&out, n, leg, frames)
		}
		after := host.Counts()
		for _, kind := range sortedKeys(after) {
			if after[kind] != before[kind] {
				fmt.Fprintf(&out, "%d: counted %s\n", n, kind)
			}
		}
		if h, ok := errors.AsType[*hangUp](err); ok {
			fmt.Fprintf(&out, "%d: close %d %q: %s: %s\n", n, h.code, h.text, h.kind, h.detail)
			break
		}
	}
	s.finish(adapter.EndReason{Kind: adapter.EndLost, Text: "the trace ended without stop"})
	for _, e := range sink.Events()[shown:] {
		fmt.Fprintf(&out, "end: %v\n", e)
	}
	sink.Check(t)
	return out.String()
}

// showFrames writes the frames that a leg has got since the last line.
func showFrames(out *strings.Builder, line int, leg *adaptertest.Leg, seen map[string]int) {
	for _, id := range leg.Tracks() {
		for i, segment := range leg.Segments(id) {
			key := fmt.Sprint(id, i)
			for _, f := range segment.Frames[seen[key]:] {
				fmt.Fprintf(out, "%d: frame %s segment %d pos %d: %d samples, first %#02x\n", line, id, i, f.Pos, len(f.Payload), f.Payload[0])
				seen[key]++
			}
		}
	}
}

func sortedKeys(m map[string]int) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
