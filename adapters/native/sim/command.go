package sim

import (
	"cmp"
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
	"github.com/patchbay/patchbay/core/media/probe"
)

const usage = `Plays a client of Agent Assist: makes conversations through a patchbay, streams both
speakers, and reports what it sent and what came back.

Whom to call:
  --address H:P      the adapter's address (required)
  --token REF        bearer token: env:NAME or file:PATH
  --tls              speak TLS; --ca FILE trusts these CAs in place of the system's
  --cert, --key FILE client certificate (PEM)
  --api API          v2, v2beta1, bidi, or ingest (patchbay.ingest.v1) (v2beta1)
  --project, --location, --profile
                     of the conversations (local, global, demo)
  --to NUMBER        dialled number, with ingest (+15550100002)

What is said:
  --coded            numbered blocks that prove themselves (the default)
  --wav FILE         8 kHz recording: left is the customer, right the agent
  --tones WORDS      tone words, customer and agent: amber,basil/cedar,delta
  --duration D       audio of each call (10s; a recording lasts as long as it is)
  --speed N          times real time (1)

How much, and what goes wrong:
  --calls N          calls at a time (1)
  --ramp D           time over which they begin (0s)
  --turn D           half-close streams after so much audio and go on with new ones
  --abrupt           drop the streams at the end, without half-close

  --json             last line of output is a report: {"calls":[…]}
`

// Main is the simulator as a command. It returns 0 when every call went well, 1 when one
// did not, 2 for a wrong command line.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, asJSON, err := parseFlags(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		_, _ = io.WriteString(stdout, usage)
		return 0
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "%v\nSee --help.\n", err)
		return 2
	}
	var mu sync.Mutex // steps come from several goroutines
	o.Observe = func(s Step) {
		mu.Lock()
		defer mu.Unlock()
		if o.Calls <= 3 || s.Kind == StepError {
			_, _ = fmt.Fprintf(stderr, "%s  %-10s %s\n", s.Call, s.Kind, s.Text)
		}
	}
	begun := time.Now()
	report, err := Run(ctx, o)
	if errors.Is(err, ErrOptions) {
		_, _ = fmt.Fprintf(stderr, "%v\nSee --help.\n", err)
		return 2
	}
	failed := summary(stderr, report, time.Since(begun))
	if asJSON {
		if err := json.NewEncoder(stdout).Encode(report); err != nil {
			_, _ = fmt.Fprintln(stderr, err)
			return 1
		}
	}
	if err != nil || failed > 0 {
		return 1
	}
	return 0
}

func summary(w io.Writer, r adapter.SimReport, took time.Duration) (failed int) {
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
	_, _ = fmt.Fprintf(w, "%d calls, %d failed; sent %d messages, %v of audio, in %v\n", len(r.Calls), failed,
		frames, time.Duration(samples)*time.Second/8000, took.Round(time.Millisecond))
	return failed
}

func parseFlags(args []string, stderr io.Writer) (o Options, asJSON bool, err error) {
	var wav, tones, token, ca, cert, key, api string
	var coded, secure bool
	f := flag.NewFlagSet("simulate", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {}
	f.StringVar(&o.Address, "address", "", "")
	f.StringVar(&token, "token", "", "")
	f.BoolVar(&secure, "tls", false, "")
	f.StringVar(&ca, "ca", "", "")
	f.StringVar(&cert, "cert", "", "")
	f.StringVar(&key, "key", "", "")
	f.StringVar(&api, "api", "", "")
	f.StringVar(&o.Project, "project", "", "")
	f.StringVar(&o.Location, "location", "", "")
	f.StringVar(&o.Profile, "profile", "", "")
	f.StringVar(&o.To, "to", "", "")
	f.BoolVar(&coded, "coded", false, "")
	f.StringVar(&wav, "wav", "", "")
	f.StringVar(&tones, "tones", "", "")
	f.DurationVar(&o.Duration, "duration", 0, "")
	f.Float64Var(&o.Speed, "speed", 1, "")
	f.IntVar(&o.Calls, "calls", 1, "")
	f.DurationVar(&o.Ramp, "ramp", 0, "")
	f.DurationVar(&o.Turn, "turn", 0, "")
	f.BoolVar(&o.Abrupt, "abrupt", false, "")
	f.BoolVar(&asJSON, "json", false, "")
	if err := f.Parse(args); err != nil {
		return o, false, err
	}
	o.API = API(api)
	if f.NArg() > 0 {
		return o, false, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if o.Token, err = resolve("--token", token); err != nil {
		return o, false, err
	}
	if o.TLS, err = tlsConfig(secure, ca, cert, key); err != nil {
		return o, false, err
	}
	switch {
	case wav != "" && tones != "" || coded && (wav != "" || tones != ""):
		return o, false, errors.New("--coded, --wav and --tones exclude each other")
	case wav != "":
		o.Audio, err = WAV(wav)
	case tones != "":
		o.Duration = cmp.Or(o.Duration, DefaultDuration)
		o.Audio, err = parseTones(tones)
	}
	return o, asJSON, err
}

func tlsConfig(secure bool, ca, cert, key string) (*tls.Config, error) {
	if !secure && ca == "" && cert == "" && key == "" {
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

func parseTones(s string) (Audio, error) {
	in, out, _ := strings.Cut(s, "/")
	lists := [2][]string{}
	known := map[string]bool{}
	for _, w := range probe.Words() {
		known[w] = true
	}
	for i, list := range []string{in, cmp.Or(out, in)} {
		for w := range strings.SplitSeq(list, ",") {
			if !known[w] {
				return nil, fmt.Errorf("--tones: %q is none of %s", w, strings.Join(probe.Words(), " "))
			}
			lists[i] = append(lists[i], w)
		}
	}
	return Tones(lists[0], lists[1]), nil
}

// resolve reads a secret by reference, so that it is never on a command line.
func resolve(name, ref string) (string, error) {
	switch kind, where, _ := strings.Cut(ref, ":"); {
	case ref == "":
		return "", nil
	case kind == "env" && os.Getenv(where) != "":
		return os.Getenv(where), nil
	case kind == "env":
		return "", fmt.Errorf("%s: the environment variable %s is not set", name, where)
	case kind == "file":
		b, err := os.ReadFile(where)
		if err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		return strings.TrimSpace(string(b)), nil
	}
	return "", fmt.Errorf("%s: refer to the secret by env:NAME or file:PATH", name)
}
