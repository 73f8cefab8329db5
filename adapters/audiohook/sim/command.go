package sim

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/patchbay/patchbay/adapters/internal/simcmd"
	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
)

const usage = `Plays Genesys Cloud: opens AudioHook sessions as Genesys would, and reports what it sent.

Where to:
  --url URL          connection URI, which is signed: wss://voice.example.com/audiohook
  --connect URL      where its host really is: http://127.0.0.1:8443
  --ca FILE          trust this CA instead of the system's

Who calls:
  --api-key REF      API key: env:NAME or file:PATH (required)
  --client-secret REF
                     client secret in base64: env:NAME or file:PATH; without it
                     nothing is signed
  --organization ID  organization id (that of Genesys' example)
  --conversation ID  conversation id of the first call (random)
  --from, --to       numbers (tel:+15550100001, tel:+15550100002)
  --language TAG     language of the call, such as en-US
  --config NAME=VALUE
                     value of the integration's customConfig; may be repeated

What is said:
  --coded            numbered blocks that prove themselves (the default)
  --wav FILE         8 kHz recording: left is the customer, right the agent
  --tones WORDS      tone words, customer and agent: amber,basil/cedar,delta
  --duration D       audio of each session (10s; a recording lasts as long as it is)
  --speed N          times real time (1)
  --mono CHANNEL     offer external or internal alone
  --l16              offer 16-bit audio (big endian) alone
  --chunk D          audio in a frame (200ms)

How a call goes:
  --probe            first try the connection, as Genesys does
  --sessions N       sessions of each conversation, one for each participant (1)
  --pause-after D, --pause-for D
                     Genesys pauses after so much audio, for so much
  --drop-after D     lose the connection after so much audio
  --continue         come back after that, and when the server asks to; else never
  --abrupt           drop the connections at the end, without close
  --limit N          answer more than N server messages a second with error 429
  --events           print the entities of events

  --calls N          calls at a time (1)
  --first N          number of the first call in coded audio (0)
  --ramp D           time over which they begin (0s)
  --json             last line of output is a report: {"calls":[…]}
`

// Main is the simulator as a command. It returns 0 when every call went well, 1 when one
// did not, 2 for a wrong command line.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f := simcmd.NewFlags(stderr)
	o, err := parseFlags(f, args, stdout)
	if err != nil {
		return simcmd.Usage(err, usage, stdout, stderr)
	}
	show := simcmd.Steps(stderr, o.Calls)
	o.Observe = func(s Step) { show(s.Call, string(s.Kind), s.Text, s.Kind == StepError) }
	return f.Play(ctx, stdout, stderr, ErrOptions, media.Telephony.Rate, "frame", func(ctx context.Context) (adapter.SimReport, error) {
		return Run(ctx, o)
	})
}

func parseFlags(f *simcmd.Flags, args []string, stdout io.Writer) (o Options, err error) {
	var key, secret, mono, ca string
	var l16, events bool
	f.StringVar(&o.URL, "url", "", "")
	f.StringVar(&o.Connect, "connect", "", "")
	f.StringVar(&ca, "ca", "", "")
	f.StringVar(&key, "api-key", "", "")
	f.StringVar(&secret, "client-secret", "", "")
	f.StringVar(&o.Organization, "organization", "", "")
	f.StringVar(&o.Conversation, "conversation", "", "")
	f.StringVar(&o.From, "from", "", "")
	f.StringVar(&o.To, "to", "", "")
	f.StringVar(&o.Language, "language", "", "")
	f.StringVar(&mono, "mono", "", "")
	f.BoolVar(&l16, "l16", false, "")
	f.DurationVar(&o.Chunk, "chunk", 0, "")
	f.BoolVar(&o.Probe, "probe", false, "")
	f.IntVar(&o.Sessions, "sessions", 0, "")
	f.DurationVar(&o.PauseAfter, "pause-after", 0, "")
	f.DurationVar(&o.PauseFor, "pause-for", 0, "")
	f.DurationVar(&o.DropAfter, "drop-after", 0, "")
	f.BoolVar(&o.Continue, "continue", false, "")
	f.BoolVar(&o.Abrupt, "abrupt", false, "")
	f.IntVar(&o.MessagesPerSecond, "limit", 0, "")
	f.BoolVar(&events, "events", false, "")
	f.IntVar(&o.First, "first", 0, "")
	config := f.Pairs("config")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	o.Calls, o.Ramp, o.Speed = f.Calls, f.Ramp, f.Speed
	if len(config) > 0 {
		o.Custom = map[string]any{}
		for name, value := range config {
			o.Custom[name] = value
		}
	}
	switch mono {
	case "":
	case string(External), string(Internal):
		o.Channels = []media.TrackID{media.TrackID(mono)}
	default:
		return o, fmt.Errorf("--mono: write %s or %s", External, Internal)
	}
	if l16 {
		o.Format = "L16"
	}
	if events {
		var mu sync.Mutex
		o.Told = func(call string, entities []Entity) {
			mu.Lock()
			defer mu.Unlock()
			for _, e := range entities {
				_, _ = fmt.Fprintf(stdout, "%s  %-11s %s\n", call, e.Type, e.Data)
			}
		}
	}
	if o.TLS, err = simcmd.ClientTLS(false, ca, "", ""); err != nil {
		return o, err
	}
	if err := o.credentials(key, secret); err != nil {
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

func (o *Options) credentials(key, secret string) (err error) {
	if o.APIKey, err = simcmd.Secret("--api-key", key); err != nil || secret == "" {
		return err
	}
	text, err := simcmd.Secret("--client-secret", secret)
	if err != nil {
		return err
	}
	if o.ClientSecret, err = base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "=")); err != nil {
		return fmt.Errorf("--client-secret: it is no base64")
	}
	return nil
}
