// Command compare measures what patchbay costs beside the plain relay of this folder,
// and its adapters beside each other. It runs them in turn, A B A B, each as processes
// of their own, lets the simulators play like calls to them, and is itself the one
// Agent Assist emulator that hears them and counts. Processor time and memory come from the operating
// system (/proc: Linux only). Everything stays on this machine's loopback.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const help = `Measures patchbay (host and plugin) against the plain relay, or its adapters against
each other, in turn.

  --calls LIST       two-track calls at a time (50,150,300)
  --rounds N         of each load; a round is each system once (5)
  --duration D       of each call (30s)
  --systems LIST     relay, patchbay (behind Twilio's adapter, as the relay), five9,
                     native, audiohook, oem; ratios are to the first (relay,patchbay)
  --recogniser NAME  what the emulator understands: none (it only counts), coded
  --no-spool         keep all audio in memory
  --extra YAML       lines appended to the host's configuration
  --bin DIR          where patchbay and its plugin lie (bin)
  --relay FILE       the relay (built when not given)
  --json             results as JSON on standard output, and nothing else there
`

type options struct {
	calls         []int
	rounds        int
	duration      time.Duration
	systems       []system
	recogniser    string
	noSpool       bool
	extra         string
	bin, patchbay string
	relay         string
	asJSON        bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parse(os.Args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Print(help)
		return
	case err != nil:
		fmt.Fprintf(os.Stderr, "compare: %v\nSee --help.\n", err)
		os.Exit(2)
	}
	if err := compare(ctx, o, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func parse(args []string) (o options, err error) {
	var calls, systems string
	f := flag.NewFlagSet("compare", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&calls, "calls", "50,150,300", "")
	f.IntVar(&o.rounds, "rounds", 5, "")
	f.DurationVar(&o.duration, "duration", 30*time.Second, "")
	f.StringVar(&systems, "systems", "relay,patchbay", "")
	f.StringVar(&o.recogniser, "recogniser", "none", "")
	f.BoolVar(&o.noSpool, "no-spool", false, "")
	f.StringVar(&o.extra, "extra", "", "")
	f.StringVar(&o.bin, "bin", "bin", "")
	f.StringVar(&o.relay, "relay", "", "")
	f.BoolVar(&o.asJSON, "json", false, "")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	for word := range strings.SplitSeq(calls, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 || n > 2000 {
			return o, fmt.Errorf("--calls %q: want numbers from 1 to 2000, with commas between", calls)
		}
		o.calls = append(o.calls, n)
	}
	switch {
	case o.rounds < 1:
		return o, errors.New("--rounds: want 1 or more")
	case o.duration < minDuration:
		return o, fmt.Errorf("--duration %v: want %v or more, for there is something to measure", o.duration, minDuration)
	}
	if _, err := recogniser(o.recogniser); err != nil {
		return o, err
	}
	o.patchbay = filepath.Join(o.bin, "patchbay")
	files := []string{o.patchbay}
	for word := range strings.SplitSeq(systems, ",") {
		s := system(word)
		if _, ok := doors[s]; !ok || slices.Contains(o.systems, s) {
			return o, fmt.Errorf("--systems %q: want some of %s, %s, %s, %s, %s, %s, each once", systems, relaySystem, patchbaySystem, five9System, nativeSystem, audiohookSystem, oemSystem)
		}
		o.systems = append(o.systems, s)
		files = append(files, o.plugin(s))
	}
	for _, file := range files {
		if _, err := os.Stat(file); err != nil {
			return o, fmt.Errorf("%w; build it with go tool task build", err)
		}
	}
	return o, nil
}

// plugin is the file of a system's plugin, which has its simulator.
func (o options) plugin(s system) string {
	return filepath.Join(o.bin, "patchbay-adapter-"+doors[s].plugin)
}

// compare runs all rounds and prints what came out.
func compare(ctx context.Context, o options, out, progress io.Writer) (err error) {
	folder, err := os.MkdirTemp("", "patchbay-compare-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	if o.relay == "" {
		o.relay = filepath.Join(folder, "relay")
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-o", o.relay, "github.com/patchbay/patchbay/examples/relay")
		build.Env = append(os.Environ(), "CGO_ENABLED=0") // as the others are built
		if text, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("building the relay: %w\n%s", err, text)
		}
	}
	b, err := newBench(o, folder)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	var runs []result
	for _, calls := range o.calls {
		for round := range o.rounds {
			for _, s := range o.systems {
				r, err := b.measure(ctx, s, calls)
				if err != nil {
					return fmt.Errorf("%s, %d calls: %w", s, calls, err)
				}
				r.Round = round + 1
				runs = append(runs, r)
				_, _ = fmt.Fprintln(progress, r)
			}
		}
	}
	if o.asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(report{Runs: runs, Summary: summarise(runs)})
	}
	return printTable(out, runs)
}
