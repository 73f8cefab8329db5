package sim

import (
	"context"
	"io"

	"github.com/patchbay/patchbay/adapters/internal/simcmd"
	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
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
	f := simcmd.NewFlags(stderr)
	o, err := parseFlags(f, args)
	if err != nil {
		return simcmd.Usage(err, usage, stdout, stderr)
	}
	show := simcmd.Steps(stderr, o.Calls)
	o.Observe = func(s Step) { show(s.Call, string(s.Kind), s.Text, s.Kind == StepError) }
	return f.Play(ctx, stdout, stderr, ErrOptions, media.Telephony.Rate, "chunk", func(ctx context.Context) (adapter.SimReport, error) {
		return Run(ctx, o)
	})
}

func parseFlags(f *simcmd.Flags, args []string) (o Options, err error) {
	var token, secret string
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
	f.StringVar(&o.Track, "track", "", "")
	f.Int64Var(&o.DropChunk, "drop-chunk", 0, "")
	f.BoolVar(&o.Abrupt, "abrupt", false, "")
	o.Parameters = f.Pairs("param")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	o.Calls, o.Ramp, o.Speed = f.Calls, f.Ramp, f.Speed
	if o.AuthToken, err = simcmd.Secret("--auth-token", token); err != nil {
		return o, err
	}
	if o.Secret, err = simcmd.Secret("--secret", secret); err != nil {
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
