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

const usage = `Plays Five9: streams calls to a patchbay as VoiceStream would, and reports what it sent.

Where to:
  --target HOST:PORT  streaming destination (required)
  --tls               with TLS; --ca FILE trusts this CA instead of the system's,
                      --cert FILE and --key FILE show a client certificate
  --connections N     network connections that the streams share (2)
  --events URL        call event destination: https://…/five9/main; events are sent
  --validate          first ask it for the hash of the trust token, as Five9 does

Who calls:
  --token REF         trust token: env:NAME or file:PATH
  --token-in PLACE    config (the default) or metadata
  --api-key REF       API key of the events: env:NAME or file:PATH
  --domain ID         domain id (131096)
  --subscription ID   subscription id; repeated, each leg is streamed once for each
  --call ID           call id of the first call, a number (random)
  --campaign, --skill, --agent ID
  --from, --to        numbers in the events (+15550100001, +15550100002)
  --var NAME=VALUE    attached variable of the events; may be repeated
  --late-events       send the call's event in the middle of the call

What is said:
  --coded             numbered blocks that prove themselves (the default)
  --wav FILE          recording: left is the customer, right the agent; at its own rate
  --tones WORDS       tone words, customer and agent: amber,basil/cedar,delta
  --rate HZ           of tones (8000)
  --encoding E        LINEAR16 (the default) or MULAW
  --duration D        audio of each leg (10s; a recording lasts as long as it is)
  --speed N           times real time (1)
  --chunk D           audio in a message (20ms)
  --odd               cut messages within samples

How a call goes:
  --legs LIST         in order of their coming (customer,agent); supervisor is one too
  --late D            time from one leg to the next (0s)
  --hold-after D, --hold-for D
                      put on hold after so much audio, for so long
  --drop-after D      lose each stream after so much audio
  --reconnect         come back after that, and when the server asks to; else never
  --abrupt            drop the streams at the end, without goodbye
  --hasty             send audio without waiting for the server's leave
  --untimed           leave send_time out

  --calls N           calls at a time (1)
  --ramp D            time over which they begin (0s)
  --json              last line of output is a report: {"calls":[…]}
`

// Main is the simulator as a command. It returns 0 when every call went well, 1 when
// one did not, 2 for a wrong command line.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c, err := parseFlags(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		_, _ = io.WriteString(stdout, usage)
		return 0
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "%v\nSee --help.\n", err)
		return 2
	}
	o := &c.Options
	var mu sync.Mutex // steps come from several goroutines
	o.Observe = func(s Step) {
		mu.Lock()
		defer mu.Unlock()
		if o.Calls <= 3 || s.Kind == StepError {
			_, _ = fmt.Fprintf(stderr, "%s  %-7s %s\n", s.Call, s.Kind, s.Text)
		}
	}
	if c.validate {
		if err := (Events{URL: o.EventsURL}).Validate(ctx, o.TrustToken); err != nil {
			_, _ = fmt.Fprintf(stderr, "Five9 would not save the subscription: %v\n", err)
			return 1
		}
	}
	begun := time.Now()
	report, err := Run(ctx, *o)
	if errors.Is(err, ErrOptions) {
		_, _ = fmt.Fprintf(stderr, "%v\nSee --help.\n", err)
		return 2
	}
	failed := summary(stderr, report, cmp.Or(o.Rate, 8000), time.Since(begun))
	if c.asJSON {
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

func summary(w io.Writer, r adapter.SimReport, rate int, took time.Duration) (failed int) {
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
		counted(frames, "message"), time.Duration(samples)*time.Second/time.Duration(rate), took.Round(time.Millisecond))
	return failed
}

// counted is "1 call", "2 calls".
func counted[N int | int64](n N, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// command is a command line.
type command struct {
	Options
	asJSON, validate bool
}

func parseFlags(args []string, stderr io.Writer) (c command, err error) {
	var wav, tones, token, key, ca, certFile, keyFile, encoding, legs, tokenIn string
	var coded, secure bool
	o := &c.Options
	f := flag.NewFlagSet("simulate", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {}
	for _, s := range []struct {
		name string
		to   *string
	}{
		{"target", &o.Target}, {"events", &o.EventsURL}, {"domain", &o.Domain}, {"campaign", &o.Campaign}, {"skill", &o.Skill}, {"agent", &o.Agent},
		{"from", &o.From}, {"to", &o.To}, {"wav", &wav}, {"tones", &tones}, {"token", &token}, {"api-key", &key}, {"ca", &ca}, {"cert", &certFile},
		{"key", &keyFile}, {"encoding", &encoding}, {"legs", &legs}, {"token-in", &tokenIn},
	} {
		f.StringVar(s.to, s.name, "", "")
	}
	for _, b := range []struct {
		name string
		to   *bool
	}{
		{"tls", &secure}, {"validate", &c.validate}, {"late-events", &o.LateEvents}, {"coded", &coded}, {"odd", &o.Odd}, {"reconnect", &o.Reconnect},
		{"abrupt", &o.Abrupt}, {"hasty", &o.Hasty}, {"untimed", &o.Untimed}, {"json", &c.asJSON},
	} {
		f.BoolVar(b.to, b.name, false, "")
	}
	for _, d := range []struct {
		name string
		to   *time.Duration
	}{
		{"duration", &o.Duration}, {"chunk", &o.Chunk}, {"late", &o.Late}, {"hold-after", &o.HoldAfter}, {"hold-for", &o.HoldFor},
		{"drop-after", &o.DropAfter}, {"ramp", &o.Ramp},
	} {
		f.DurationVar(d.to, d.name, 0, "")
	}
	f.IntVar(&o.Connections, "connections", 0, "")
	f.IntVar(&o.Rate, "rate", 0, "")
	f.IntVar(&o.Calls, "calls", 1, "")
	f.Int64Var(&o.FirstCall, "call", 0, "")
	f.Float64Var(&o.Speed, "speed", 1, "")
	f.Func("subscription", "", func(s string) error { o.Copies = append(o.Copies, s); return nil })
	o.Variables = map[string]string{}
	f.Func("var", "", func(s string) error {
		name, value, ok := strings.Cut(s, "=")
		if !ok || name == "" {
			return errors.New("write NAME=VALUE")
		}
		o.Variables[name] = value
		return nil
	})
	if err := f.Parse(args); err != nil {
		return c, err
	}
	if f.NArg() > 0 {
		return c, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	o.TokenIn = TokenIn(tokenIn)
	if o.TrustToken, err = resolve("--token", token); err != nil {
		return c, err
	}
	if o.APIKey, err = resolve("--api-key", key); err != nil {
		return c, err
	}
	if c.validate && o.EventsURL == "" {
		return c, errors.New("--validate asks the URL of --events")
	}
	if o.TLS, err = tlsOf(secure, ca, certFile, keyFile); err != nil {
		return c, err
	}
	switch encoding {
	case "", "LINEAR16":
	case "MULAW":
		o.MuLaw = true
	default:
		return c, fmt.Errorf("--encoding: %q is neither LINEAR16 nor MULAW", encoding)
	}
	if o.Legs, err = parseLegs(legs); err != nil {
		return c, err
	}
	switch {
	case wav != "" && tones != "" || coded && (wav != "" || tones != ""):
		return c, errors.New("--coded, --wav and --tones exclude each other")
	case wav != "":
		o.Audio, o.Rate, err = WAV(wav)
	case tones != "":
		o.Duration, o.Rate = cmp.Or(o.Duration, DefaultDuration), cmp.Or(o.Rate, 8000)
		o.Audio, err = parseTones(tones, o.Rate)
	}
	return c, err
}

func parseLegs(s string) (legs []Leg, err error) {
	for name := range strings.SplitSeq(s, ",") {
		switch name {
		case "customer":
			legs = append(legs, Customer)
		case "agent":
			legs = append(legs, Agent)
		case "supervisor":
			legs = append(legs, Supervisor)
		case "":
		default:
			return nil, fmt.Errorf("--legs: %q is none of customer, agent, supervisor", name)
		}
	}
	return legs, nil
}

func tlsOf(on bool, ca, certFile, keyFile string) (*tls.Config, error) {
	if !on {
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
			return nil, fmt.Errorf("--ca: %s holds no certificate", ca)
		}
	}
	if certFile != "" {
		own, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			return nil, fmt.Errorf("--cert: %w", err)
		}
		c.Certificates = []tls.Certificate{own}
	}
	return c, nil
}

func parseTones(s string, rate int) (Audio, error) {
	customer, agent, _ := strings.Cut(s, "/")
	lists := [2][]string{}
	known := map[string]bool{}
	for _, w := range probe.Words() {
		known[w] = true
	}
	for i, list := range []string{customer, cmp.Or(agent, customer)} {
		for w := range strings.SplitSeq(list, ",") {
			if !known[w] {
				return nil, fmt.Errorf("--tones: %q is none of %s", w, strings.Join(probe.Words(), " "))
			}
			lists[i] = append(lists[i], w)
		}
	}
	return Tones(rate, lists[0], lists[1]), nil
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
