package sim

import (
	"cmp"
	"context"
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

const usage = `Plays Twilio: calls a patchbay as Twilio would, and reports what it sent.

Where to call (one of the first two):
  --voice URL        voice webhook of a number (public URL); its TwiML is obeyed
  --stream URL       stream URL of a customer's own TwiML: wss://…/stream
  --fallback URL     asked for TwiML when the voice webhook fails
  --connect URL      where the host of these URLs really is: http://127.0.0.1:8443
                     (signatures are made over the URLs as they are)

Who calls:
  --account SID      Account SID (required)
  --auth-token REF   auth token that signs: env:NAME or file:PATH
  --secret REF       patchbay_secret of --stream: env:NAME or file:PATH
  --param NAME=VALUE parameter of --stream; may be repeated
  --unsigned         leave the signature of WebSocket upgrades out
  --from, --to       numbers (+15550100001, +15550100002)

What is said:
  --coded            numbered blocks that prove themselves (the default)
  --wav FILE         8 kHz recording: left is inbound (customer), right is outbound
  --tones WORDS      tone words, inbound and outbound: amber,basil/cedar,delta
  --track TRACK      of --stream: both_tracks, inbound_track, outbound_track
  --duration D       audio of each call (10s; a recording lasts as long as it is)
  --speed N          times real time (1)

How much, and what goes wrong:
  --calls N          calls at a time (1)
  --ramp D           time over which they begin (0s)
  --drop-chunk N     lose chunk N of the inbound track on the way
  --abrupt           drop the connections at the end, without stop

  --json             last line of output is a report: {"calls":[…]}
`

// Main is the simulator as a command. It returns 0 when every call went well, 1
// when one did not, 2 for a wrong command line.
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
			_, _ = fmt.Fprintf(stderr, "%s  %-8s %s\n", s.Call, s.Kind, s.Text)
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
	_, _ = fmt.Fprintf(w, "%s, %d failed; sent %s, %v of audio, in %v\n", counted(len(r.Calls), "call"), failed,
		counted(frames, "chunk"), time.Duration(samples)*time.Second/8000, took.Round(time.Millisecond))
	return failed
}

// counted is "1 call", "2 calls".
func counted[N int | int64](n N, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

func parseFlags(args []string, stderr io.Writer) (o Options, asJSON bool, err error) {
	var wav, tones, token, secret string
	var coded bool
	f := flag.NewFlagSet("simulate", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {}
	f.StringVar(&o.Webhook, "voice", "", "")
	f.StringVar(&o.Stream, "stream", "", "")
	f.StringVar(&o.Fallback, "fallback", "", "")
	f.StringVar(&o.Connect, "connect", "", "")
	f.StringVar(&o.Account, "account", "", "")
	f.StringVar(&token, "auth-token", "", "")
	f.StringVar(&secret, "secret", "", "")
	f.BoolVar(&o.Unsigned, "unsigned", false, "")
	f.StringVar(&o.From, "from", "", "")
	f.StringVar(&o.To, "to", "", "")
	f.BoolVar(&coded, "coded", false, "")
	f.StringVar(&wav, "wav", "", "")
	f.StringVar(&tones, "tones", "", "")
	f.StringVar(&o.Track, "track", "", "")
	f.DurationVar(&o.Duration, "duration", 0, "")
	f.Float64Var(&o.Speed, "speed", 1, "")
	f.IntVar(&o.Calls, "calls", 1, "")
	f.DurationVar(&o.Ramp, "ramp", 0, "")
	f.Int64Var(&o.DropChunk, "drop-chunk", 0, "")
	f.BoolVar(&o.Abrupt, "abrupt", false, "")
	f.BoolVar(&asJSON, "json", false, "")
	o.Parameters = map[string]string{}
	f.Func("param", "", func(s string) error {
		name, value, ok := strings.Cut(s, "=")
		if !ok || name == "" {
			return errors.New("write NAME=VALUE")
		}
		o.Parameters[name] = value
		return nil
	})
	if err := f.Parse(args); err != nil {
		return o, false, err
	}
	if f.NArg() > 0 {
		return o, false, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if o.AuthToken, err = resolve("--auth-token", token); err != nil {
		return o, false, err
	}
	if o.Secret, err = resolve("--secret", secret); err != nil {
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
