package sim

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/patchbay/patchbay/adapters/internal/pace"
	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
)

// Options says which calls to make, to whom, and what they say.
type Options struct {
	URL     string      // connection URI
	Connect string      // where that really is
	TLS     *tls.Config // nil means the system's

	Organization string // default DefaultOrganization
	APIKey       string
	ClientSecret []byte         // nil leaves the signature out
	Conversation string         // of the first call; random if empty, and for all others
	From, To     string         // default +15550100001 and +15550100002
	Language     string         // such as en-US
	Custom       map[string]any // the integration's customConfig

	Format   string          // PCMU (default) or L16
	Channels []media.TrackID // default both
	Chunk    time.Duration   // audio in a frame; default 200 ms, as the reference client sends
	Sessions int             // of each conversation, one for each participant; default 1

	Calls    int           // at a time; default 1
	First    int           // number of the first call, for its coded audio
	Ramp     time.Duration // over which the calls begin
	Duration time.Duration // of each session's audio; 0 means until the audio ends
	Speed    float64       // times real time; default 1
	Audio    Audio         // default Coded

	PauseAfter, PauseFor time.Duration // a pause of Genesys' own, in audio; 0 is none
	DropAfter            time.Duration // the connection breaks after so much audio; 0 never
	Continue             bool          // come back with continuedSessions, after a drop and when asked to
	Probe                bool          // try the connection before each call, as Genesys does
	Abrupt               bool          // drop the connections at the end, without close
	MessagesPerSecond    int           // of the server; more get error 429. 0 means no limit
	Patience             time.Duration // for each answer of the server; 0 is the reference client's

	// Observe is told what happens, from several goroutines. It may be nil.
	Observe func(Step)
	// Told is given the entities of events as sessions end, from several goroutines. It
	// may be nil.
	Told func(call string, entities []Entity)
}

// Step is something that happened in a call.
type Step struct {
	Call string // conversation id
	Kind StepKind
	Text string
}

// StepKind is the kind of a Step.
type StepKind string

// The kinds of steps.
const (
	StepProbe     StepKind = "probe"
	StepSession   StepKind = "session" // it is open
	StepPause     StepKind = "pause"
	StepDrop      StepKind = "drop"
	StepReconnect StepKind = "reconnect" // the server asked for it
	StepEvents    StepKind = "events"
	StepError     StepKind = "error"
	StepEnd       StepKind = "end"
)

// ErrOptions means that Run cannot begin.
var ErrOptions = errors.New("sim: unusable options")

// The defaults.
const (
	DefaultDuration     = 10 * time.Second // of calls whose audio does not end by itself
	DefaultChunk        = 200 * time.Millisecond
	DefaultOrganization = "d7934305-0972-4844-938e-9060eef73d05" // of Genesys' example
)

func (o *Options) complete() error {
	switch {
	case o.URL == "":
		return errors.Join(ErrOptions, errors.New("no connection URI is named"))
	case o.APIKey == "":
		return errors.Join(ErrOptions, errors.New("no API key is named"))
	case o.Speed < 0 || o.Calls < 0 || o.Duration < 0 || o.Ramp < 0 || o.Sessions < 0 || o.PauseAfter < 0 || o.PauseFor < 0 || o.DropAfter < 0 || o.MessagesPerSecond < 0 || o.Patience < 0:
		return errors.Join(ErrOptions, errors.New("a number is negative"))
	case o.Chunk < 0 || o.Chunk%blockDuration != 0:
		return errors.Join(ErrOptions, fmt.Errorf("a frame holds whole blocks of %v", blockDuration))
	case o.Format != "" && o.Format != "PCMU" && o.Format != "L16":
		return errors.Join(ErrOptions, errors.New("the format is PCMU or L16"))
	}
	if o.Audio == nil {
		o.Audio = Coded()
		setDefault(&o.Duration, DefaultDuration)
	}
	setDefault(&o.Speed, 1)
	setDefault(&o.Calls, 1)
	setDefault(&o.Sessions, 1)
	setDefault(&o.Chunk, DefaultChunk)
	setDefault(&o.Format, "PCMU")
	setDefault(&o.Organization, DefaultOrganization)
	setDefault(&o.From, "tel:+15550100001")
	setDefault(&o.To, "tel:+15550100002")
	return nil
}

func setDefault[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

// offer is what the sessions offer.
func (o *Options) offer() []Media {
	if len(o.Channels) == 0 {
		return Offer(o.Format)
	}
	return []Media{{Type: "audio", Format: o.Format, Channels: o.Channels, Rate: media.Telephony.Rate}}
}

// Run makes the calls and reports what it sent. A call that failed has its error in the
// report; Run itself fails only for unusable options and when ctx ends.
func Run(ctx context.Context, o Options) (adapter.SimReport, error) {
	if err := o.complete(); err != nil {
		return adapter.SimReport{}, err
	}
	e := &engine{Options: o, pacer: pace.New(time.Duration(float64(o.Chunk) / o.Speed))}
	defer e.pacer.Close()
	report := adapter.SimReport{Calls: make([]adapter.SimCall, o.Calls)}
	var calls sync.WaitGroup
	for i := range o.Calls {
		calls.Go(func() {
			c := e.newCall(i)
			if wait(ctx, time.Duration(float64(o.Ramp)*float64(i)/float64(o.Calls))) {
				c.run(ctx)
			} else {
				c.fail(ctx.Err())
			}
			report.Calls[i] = c.report()
		})
	}
	calls.Wait()
	return report, ctx.Err()
}

// wait sleeps in real time unless ctx ends first.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// engine is what all calls share.
type engine struct {
	Options
	pacer *pace.Pacer
}

func (e *engine) observe(call string, kind StepKind, text string) {
	if e.Observe != nil {
		e.Observe(Step{call, kind, text})
	}
}
