// Package simcmd is what the simulators' command lines have in common: how much is
// said, what is said, how secrets and certificates are named, and the report.
package simcmd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
)

// DefaultDuration is how long tone words are said when nobody says how long.
const DefaultDuration = 10 * time.Second

// Flags is a command line with the flags of every simulator in it. Add a vendor's own
// before Parse.
type Flags struct {
	*flag.FlagSet
	Calls    int           // at a time
	Ramp     time.Duration // over which they begin
	Duration time.Duration // of each; 0 stands for the simulator's default, or the recording's length
	Speed    float64       // times real time
	JSON     bool          // the last line is a report

	coded      bool
	wav, tones string
}

// NewFlags returns the common flags: --calls, --ramp, --duration, --speed, --json, and
// --coded, --wav, --tones for what is said.
func NewFlags(stderr io.Writer) *Flags {
	f := &Flags{FlagSet: flag.NewFlagSet("simulate", flag.ContinueOnError)}
	f.SetOutput(stderr)
	f.Usage = func() {}
	f.IntVar(&f.Calls, "calls", 1, "")
	f.DurationVar(&f.Ramp, "ramp", 0, "")
	f.DurationVar(&f.Duration, "duration", 0, "")
	f.Float64Var(&f.Speed, "speed", 1, "")
	f.BoolVar(&f.JSON, "json", false, "")
	f.BoolVar(&f.coded, "coded", false, "")
	f.StringVar(&f.wav, "wav", "", "")
	f.StringVar(&f.tones, "tones", "", "")
	return f
}

// Pairs adds a flag NAME=VALUE that may be repeated.
func (f *Flags) Pairs(name string) map[string]string {
	pairs := map[string]string{}
	f.Func(name, "", func(s string) error {
		key, value, ok := strings.Cut(s, "=")
		if !ok || key == "" {
			return errors.New("write NAME=VALUE")
		}
		pairs[key] = value
		return nil
	})
	return pairs
}

// Parse reads the command line. With --help it fails with flag.ErrHelp.
func (f *Flags) Parse(args []string) error {
	if err := f.FlagSet.Parse(args); err != nil {
		return err
	}
	switch {
	case f.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", f.Arg(0))
	case f.wav != "" && f.tones != "", f.coded && (f.wav != "" || f.tones != ""):
		return errors.New("--coded, --wav and --tones exclude each other")
	}
	return nil
}

// Sound returns what --wav or --tones say, nil for coded blocks. rate is that of tones.
func (f *Flags) Sound(rate int) (*Sound, error) {
	switch {
	case f.wav != "":
		return ReadWAV(f.wav)
	case f.tones != "":
		if f.Duration == 0 {
			f.Duration = DefaultDuration
		}
		return parseTones(f.tones, rate)
	}
	return nil, nil
}

// Secret reads a secret that a flag names by reference (env:NAME or file:PATH), so that
// it is never on a command line. No reference is no secret.
func Secret(flagName, ref string) (string, error) {
	switch kind, where, _ := strings.Cut(ref, ":"); {
	case ref == "":
		return "", nil
	case kind == "env" && os.Getenv(where) != "":
		return os.Getenv(where), nil
	case kind == "env":
		return "", fmt.Errorf("%s: the environment variable %s is not set", flagName, where)
	case kind == "file":
		b, err := os.ReadFile(where)
		if err != nil {
			return "", fmt.Errorf("%s: %w", flagName, err)
		}
		return strings.TrimSpace(string(b)), nil
	}
	return "", fmt.Errorf("%s: refer to the secret by env:NAME or file:PATH", flagName)
}

// ClientTLS returns how a client speaks TLS by --tls, --ca, --cert and --key, all but the
// first of which are files in PEM; nil without any of them.
func ClientTLS(on bool, ca, cert, key string) (*tls.Config, error) {
	if !on && ca == "" && cert == "" && key == "" {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		b, err := os.ReadFile(ca)
		if err != nil {
			return nil, fmt.Errorf("--ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(b) {
			return nil, fmt.Errorf("--ca: %s holds no certificate in PEM", ca)
		}
	}
	if cert != "" || key != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("--cert, --key: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// Steps returns a function that prints what happens in a call, one line a step. With many
// calls at a time only the failures are shown. It may be called concurrently.
func Steps(stderr io.Writer, calls int) func(call, kind, text string, failure bool) {
	var mu sync.Mutex
	return func(call, kind, text string, failure bool) {
		mu.Lock()
		defer mu.Unlock()
		if calls <= 3 || failure {
			_, _ = fmt.Fprintf(stderr, "%s  %-10s %s\n", call, kind, text)
		}
	}
}

// The exit codes of a simulator.
const (
	exitFailed = 1 // a call did not go well
	exitUsage  = 2 // the command line is wrong
)

// Usage answers a command line that could not be read, or that asked for help.
func Usage(err error, usage string, stdout, stderr io.Writer) int {
	if errors.Is(err, flag.ErrHelp) {
		_, _ = io.WriteString(stdout, usage)
		return 0
	}
	_, _ = fmt.Fprintf(stderr, "%v\nSee --help.\n", err)
	return exitUsage
}

// Play runs the calls, prints what was sent in a line, and the report as JSON where it is
// asked for. badOptions is the error for options that contradict each other; rate is the
// audio's; what the vendor calls a packet is unit ("message"). It returns the exit code.
func (f *Flags) Play(ctx context.Context, stdout, stderr io.Writer, badOptions error, rate int, unit string, run func(context.Context) (adapter.SimReport, error)) int {
	begun := time.Now()
	report, err := run(ctx)
	if errors.Is(err, badOptions) {
		return Usage(err, "", stdout, stderr)
	}
	failed := summary(stderr, report, rate, unit, time.Since(begun))
	if f.JSON {
		if err := json.NewEncoder(stdout).Encode(report); err != nil {
			_, _ = fmt.Fprintln(stderr, err)
			return exitFailed
		}
	}
	if err != nil || failed > 0 {
		return exitFailed
	}
	return 0
}

func summary(w io.Writer, r adapter.SimReport, rate int, unit string, took time.Duration) (failed int) {
	frames, samples := int64(0), int64(0)
	for _, c := range r.Calls {
		if c.Error != "" {
			failed++
		}
		for _, t := range c.Tracks {
			frames += t.Frames
			samples += t.Samples
		}
	}
	_, _ = fmt.Fprintf(w, "%s, %d failed; sent %s, %v of audio, in %v\n", counted(int64(len(r.Calls)), "call"), failed,
		counted(frames, unit), time.Duration(samples)*time.Second/time.Duration(rate), took.Round(time.Millisecond))
	return failed
}

// counted is "1 call", "2 calls".
func counted(n int64, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
