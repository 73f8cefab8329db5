package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/patchbay/patchbay/adapters/internal/simcmd"
	"github.com/patchbay/patchbay/core/adapter"
)

const usage = `Plays a telephone system that records its calls by SIP: calls a patchbay as that system
would, sends the audio, checks the answers, and reports what it sent.

Where to:
  --to URI            sip:[user@]host[:port][;transport=udp|tcp|tls] (required)
  --transport T       udp (the default), tcp or tls, where the URI names none
  --tls               the same as --transport tls; --ca FILE trusts this CA instead of the
                      system's, --cert FILE and --key FILE show a client certificate
  --connections N     TCP or TLS connections that the calls share (1)
  --digest USER:REF   answers digest challenges; REF is the password: env:NAME or file:PATH

Who calls:
  --dialect NAME      whose messages are sent (audiocodes); --dialects lists them
  --plain             without what the system does in the middle of calls
  --customer, --agent numbers (+15550100001, +15550100002)
  --outbound          the agent calls the customer
  --conversation NAME full name of a conversation, for the dialect google
  --header LINE       one more header of each request; may be repeated
  --expires N         session interval in seconds (1800); -1: no session timer

What is said:
  --coded             numbered blocks that prove themselves (the default)
  --wav FILE          recording: left is the customer, right the agent; at the codec's rate
  --tones WORDS       tone words, customer and agent: amber,basil/cedar,delta (the default
                      with g722 and opus)
  --codec C           pcmu, pcma, g722 or opus, the only one offered (those of the dialect);
                      opus says amber,basil/cedar,delta whatever is asked for
  --ptime D           audio in a packet (20ms)
  --srtp SUITE        encrypt, with keys in the description: AES_CM_128_HMAC_SHA1_80, …
  --duration D        of each call (10s; a recording lasts as long as it is)
  --dtmf DIGITS       dialled by the first stream after a third of the call

A bad network:
  --loss SHARE        of packets that are withheld: 5%
  --reorder N         a tenth of the packets is overtaken by up to N others
  --duplicate SHARE   of packets that come twice
  --lose-after D      lose the TCP or TLS connections then, and go on over new ones
  --media-ip IP       address that audio is sent from (that of SIP)

How a call goes:
  --hold D            hold after so long, in the system's way; --hold-for D (1s)
  --refresh D         refresh the session so often, by re-INVITE and UPDATE in turn
  --no-bye            leave without BYE
  --no-ack            acknowledge nothing; the server has to end the call

  --calls N           calls at a time (1)
  --first N           number of the first call, for its coded audio (0)
  --ramp D            time over which they begin (0s)
  --json              last line of output is a report: {"calls":[…]}
`

// Main is the simulator as a command. It returns 0 when every call went well, 1 when
// one did not or was answered oddly, 2 for a wrong command line.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f := simcmd.NewFlags(stderr)
	o, list, err := parseFlags(f, args)
	if err != nil {
		return simcmd.Usage(err, usage, stdout, stderr)
	}
	if list {
		for _, d := range dialects {
			_, _ = fmt.Fprintf(stdout, "%-18s %s\n", d.name, d.about)
		}
		return 0
	}
	show := simcmd.Steps(stderr, o.Calls)
	o.Observe = func(s Step) { show(s.Call, string(s.Kind), s.Text, s.Kind == StepError || s.Kind == StepProblem) }
	rate := 8000
	if o.Codec == "g722" || o.Codec == "opus" {
		rate = 16000
	}
	return f.Play(ctx, stdout, stderr, ErrOptions, rate, "packet", func(ctx context.Context) (adapter.SimReport, error) {
		report, err := Run(ctx, o)
		if err != nil && !errors.Is(err, ErrOptions) {
			_, _ = fmt.Fprintln(stderr, err)
		}
		return report, err
	})
}

func parseFlags(f *simcmd.Flags, args []string) (o Options, list bool, err error) {
	var transport, ca, certFile, keyFile, digest, loss, duplicate, mediaIP string
	var secure bool
	for _, s := range []struct {
		name string
		to   *string
	}{
		{"to", &o.To}, {"transport", &transport}, {"ca", &ca}, {"cert", &certFile}, {"key", &keyFile}, {"digest", &digest}, {"dialect", &o.Dialect},
		{"customer", &o.Customer}, {"agent", &o.Agent}, {"conversation", &o.Conversation}, {"codec", &o.Codec}, {"srtp", &o.SRTP}, {"dtmf", &o.DTMF},
		{"loss", &loss}, {"duplicate", &duplicate}, {"media-ip", &mediaIP},
	} {
		f.StringVar(s.to, s.name, "", "")
	}
	for _, b := range []struct {
		name string
		to   *bool
	}{
		{"tls", &secure}, {"plain", &o.Plain}, {"outbound", &o.Outbound}, {"no-bye", &o.NoBye}, {"no-ack", &o.NoAck}, {"dialects", &list},
	} {
		f.BoolVar(b.to, b.name, false, "")
	}
	for _, d := range []struct {
		name string
		to   *time.Duration
	}{
		{"ptime", &o.Ptime}, {"hold", &o.HoldAfter}, {"hold-for", &o.HoldFor}, {"refresh", &o.RefreshEvery}, {"lose-after", &o.LoseAfter},
	} {
		f.DurationVar(d.to, d.name, 0, "")
	}
	f.IntVar(&o.Connections, "connections", 0, "")
	f.IntVar(&o.Expires, "expires", 0, "")
	f.IntVar(&o.Reorder, "reorder", 0, "")
	f.IntVar(&o.First, "first", 0, "")
	f.Func("header", "", func(s string) error {
		if name, _, ok := strings.Cut(s, ":"); !ok || strings.TrimSpace(name) == "" || strings.ContainsAny(s, "\r\n") {
			return errors.New("write 'Name: value'")
		}
		o.Headers = append(o.Headers, s)
		return nil
	})
	if err := f.Parse(args); err != nil {
		return o, list, err
	}
	o.Calls, o.Ramp, o.Duration = f.Calls, f.Ramp, f.Duration
	if f.Speed != 1 {
		return o, list, errors.New("--speed: RTP is sent in real time")
	}
	if secure {
		transport = "tls"
	}
	if transport != "" && o.To != "" {
		if strings.Contains(o.To, ";transport=") {
			return o, list, errors.New("--transport, --tls: the URI of --to names a transport already")
		}
		o.To += ";transport=" + transport
	}
	if o.TLS, err = simcmd.ClientTLS(secure, ca, certFile, keyFile); err != nil {
		return o, list, err
	}
	if digest != "" {
		user, ref, ok := strings.Cut(digest, ":")
		if !ok {
			return o, list, errors.New("--digest: write USER:env:NAME or USER:file:PATH")
		}
		o.User = user
		if o.Password, err = simcmd.Secret("--digest", ref); err != nil {
			return o, list, err
		}
	}
	if o.Loss, err = shareOf("--loss", loss); err != nil {
		return o, list, err
	}
	if o.Duplicate, err = shareOf("--duplicate", duplicate); err != nil {
		return o, list, err
	}
	if mediaIP != "" {
		if o.MediaIP, err = netip.ParseAddr(mediaIP); err != nil {
			return o, list, fmt.Errorf("--media-ip: %w", err)
		}
	}
	narrow, err := f.Sound(8000)
	if err != nil {
		return o, list, err
	}
	if narrow == nil {
		if f.Lookup("coded").Value.String() == "true" {
			o.Audio = Coded()
		}
		return o, list, nil
	}
	wide, err := f.Sound(16000) // tones in both rates, a recording in its own
	o.Audio, o.Duration = play(narrow, wide), f.Duration
	return o, list, err
}

// shareOf reads 5% or 0.05.
func shareOf(name, s string) (float64, error) {
	if s == "" {
		return 0, nil
	}
	number, percent := strings.CutSuffix(s, "%")
	v, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %q is no share; write 5%% or 0.05", name, s)
	}
	if percent {
		v /= 100
	}
	return v, nil
}
