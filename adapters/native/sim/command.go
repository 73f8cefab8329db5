package sim

import (
	"context"
	"io"

	"github.com/patchbay/patchbay/adapters/internal/simcmd"
	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
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
	f := simcmd.NewFlags(stderr)
	o, err := parseFlags(f, args)
	if err != nil {
		return simcmd.Usage(err, usage, stdout, stderr)
	}
	show := simcmd.Steps(stderr, o.Calls)
	o.Observe = func(s Step) { show(s.Call, string(s.Kind), s.Text, s.Kind == StepError) }
	return f.Play(ctx, stdout, stderr, ErrOptions, media.Telephony.Rate, "message", func(ctx context.Context) (adapter.SimReport, error) {
		return Run(ctx, o)
	})
}

func parseFlags(f *simcmd.Flags, args []string) (o Options, err error) {
	var token, ca, cert, key, api string
	var secure bool
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
	f.DurationVar(&o.Turn, "turn", 0, "")
	f.BoolVar(&o.Abrupt, "abrupt", false, "")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	o.API = API(api)
	o.Calls, o.Ramp, o.Speed = f.Calls, f.Ramp, f.Speed
	if o.Token, err = simcmd.Secret("--token", token); err != nil {
		return o, err
	}
	if o.TLS, err = simcmd.ClientTLS(secure, ca, cert, key); err != nil {
		return o, err
	}
	sound, err := f.Sound(media.Telephony.Rate)
	if err == nil {
		sound, err = sound.At(media.Telephony.Rate)
	}
	if o.Duration = f.Duration; sound != nil {
		o.Audio = play(sound)
	}
	return o, err
}
