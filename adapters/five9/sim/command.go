package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/patchbay/patchbay/adapters/internal/simcmd"
	"github.com/patchbay/patchbay/core/adapter"
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
	f := simcmd.NewFlags(stderr)
	o, validate, err := parseFlags(f, args)
	if err != nil {
		return simcmd.Usage(err, usage, stdout, stderr)
	}
	show := simcmd.Steps(stderr, o.Calls)
	o.Observe = func(s Step) { show(s.Call, string(s.Kind), s.Text, s.Kind == StepError) }
	if validate {
		if err := (Events{URL: o.EventsURL}).Validate(ctx, o.TrustToken); err != nil {
			_, _ = fmt.Fprintf(stderr, "Five9 would not save the subscription: %v\n", err)
			return 1
		}
	}
	return f.Play(ctx, stdout, stderr, ErrOptions, cmp.Or(o.Rate, 8000), "message", func(ctx context.Context) (adapter.SimReport, error) {
		return Run(ctx, o)
	})
}

func parseFlags(f *simcmd.Flags, args []string) (o Options, validate bool, err error) {
	var token, key, ca, certFile, keyFile, encoding, legs, tokenIn string
	var secure bool
	for _, s := range []struct {
		name string
		to   *string
	}{
		{"target", &o.Target}, {"events", &o.EventsURL}, {"domain", &o.Domain}, {"campaign", &o.Campaign}, {"skill", &o.Skill}, {"agent", &o.Agent},
		{"from", &o.From}, {"to", &o.To}, {"token", &token}, {"api-key", &key}, {"ca", &ca}, {"cert", &certFile},
		{"key", &keyFile}, {"encoding", &encoding}, {"legs", &legs}, {"token-in", &tokenIn},
	} {
		f.StringVar(s.to, s.name, "", "")
	}
	for _, b := range []struct {
		name string
		to   *bool
	}{
		{"tls", &secure}, {"validate", &validate}, {"late-events", &o.LateEvents}, {"odd", &o.Odd}, {"reconnect", &o.Reconnect},
		{"abrupt", &o.Abrupt}, {"hasty", &o.Hasty}, {"untimed", &o.Untimed},
	} {
		f.BoolVar(b.to, b.name, false, "")
	}
	for _, d := range []struct {
		name string
		to   *time.Duration
	}{
		{"chunk", &o.Chunk}, {"late", &o.Late}, {"hold-after", &o.HoldAfter}, {"hold-for", &o.HoldFor},
		{"drop-after", &o.DropAfter},
	} {
		f.DurationVar(d.to, d.name, 0, "")
	}
	f.IntVar(&o.Connections, "connections", 0, "")
	f.IntVar(&o.Rate, "rate", 0, "")
	f.Int64Var(&o.FirstCall, "call", 0, "")
	f.Func("subscription", "", func(s string) error { o.Copies = append(o.Copies, s); return nil })
	o.Variables = f.Pairs("var")
	if err := f.Parse(args); err != nil {
		return o, false, err
	}
	o.Calls, o.Ramp, o.Speed = f.Calls, f.Ramp, f.Speed
	o.TokenIn = TokenIn(tokenIn)
	if o.TrustToken, err = simcmd.Secret("--token", token); err != nil {
		return o, validate, err
	}
	if o.APIKey, err = simcmd.Secret("--api-key", key); err != nil {
		return o, validate, err
	}
	if validate && o.EventsURL == "" {
		return o, validate, errors.New("--validate asks the URL of --events")
	}
	if o.TLS, err = simcmd.ClientTLS(secure, ca, certFile, keyFile); err != nil {
		return o, validate, err
	}
	switch encoding {
	case "", "LINEAR16":
	case "MULAW":
		o.MuLaw = true
	default:
		return o, validate, fmt.Errorf("--encoding: %q is neither LINEAR16 nor MULAW", encoding)
	}
	if o.Legs, err = parseLegs(legs); err != nil {
		return o, validate, err
	}
	sound, err := f.Sound(cmp.Or(o.Rate, 8000))
	if o.Duration = f.Duration; sound != nil {
		o.Audio, o.Rate = play(sound), sound.Rate
	}
	return o, validate, err
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
