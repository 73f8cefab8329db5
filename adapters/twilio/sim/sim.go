package sim

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/patchbay/patchbay/adapters/internal/pace"
	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
)

// Options says which calls to make, to whom, and what they say.
type Options struct {
	// Webhook is the URL of a number's voice webhook, which answers with TwiML.
	// Fallback is asked when the webhook fails. With neither, Stream is the wss URL of
	// a stream that the customer's own TwiML starts.
	Webhook, Fallback, Stream string
	// Connect is where the host of these URLs is really reached, such as
	// "http://127.0.0.1:8080". Signatures are made over the URLs as they are.
	Connect string
	TLS     *tls.Config // for https and wss; nil means the system's

	Account    string            // Account SID; required
	AuthToken  string            // signs webhooks, callbacks and upgrades
	Unsigned   bool              // leave the signature of upgrades out
	Signature  string            // put this on upgrades instead of the right signature
	Secret     string            // patchbay_secret of a Stream
	Parameters map[string]string // further parameters of a Stream
	Track      string            // of a Stream: both_tracks (default), inbound_track, outbound_track
	From, To   string            // default +15550100001 and +15550100002

	Calls    int           // at a time; default 1
	First    int           // number of the first call, for its coded audio
	Ramp     time.Duration // over which the calls begin
	Duration time.Duration // of each call's audio; 0 means until the audio ends
	Speed    float64       // times real time; default 1
	Audio    Audio         // default Coded

	DropChunk int64 // chunk of the inbound track that is lost on the way, counted as sent
	Abrupt    bool  // drop connections at the end, without stop

	// Observe is told what happens, from several goroutines. It may be nil.
	Observe func(Step)
}

// Step is something that happened in a call.
type Step struct {
	Call string // Call SID
	Kind StepKind
	Text string
}

// StepKind is the kind of a Step.
type StepKind string

// The kinds of steps.
const (
	StepWebhook  StepKind = "webhook"  // it answered
	StepFallback StepKind = "fallback" // the webhook failed, so the fallback URL was asked
	StepVerb     StepKind = "verb"     // TwiML that the call obeys
	StepStream   StepKind = "stream"   // a stream began
	StepError    StepKind = "error"    // what Twilio's debugger would show
	StepEnd      StepKind = "end"      // the call ended
)

// ErrOptions means that Run cannot begin.
var ErrOptions = errors.New("sim: unusable options")

// DefaultDuration is the length of calls whose audio does not end by itself.
const DefaultDuration = 10 * time.Second

func (o *Options) complete() error {
	switch {
	case o.Account == "":
		return errors.Join(ErrOptions, errors.New("no account is named"))
	case (o.Webhook == "") == (o.Stream == ""):
		return errors.Join(ErrOptions, errors.New("name either a voice webhook or a stream"))
	case o.Speed < 0 || o.Calls < 0 || o.Duration < 0 || o.Ramp < 0:
		return errors.Join(ErrOptions, errors.New("a number is negative"))
	}
	o.fill()
	if _, err := parseTrack(o.Track); err != nil {
		return errors.Join(ErrOptions, err)
	}
	return nil
}

func (o *Options) fill() {
	if o.Speed == 0 {
		o.Speed = 1
	}
	if o.Calls == 0 {
		o.Calls = 1
	}
	if o.Audio == nil {
		o.Audio = Coded()
		if o.Duration == 0 {
			o.Duration = DefaultDuration
		}
	}
	if o.Track == "" {
		o.Track = "both_tracks"
	}
	if o.From == "" {
		o.From = "+15550100001"
	}
	if o.To == "" {
		o.To = "+15550100002"
	}
}

// Run makes the calls and reports what it sent. A call that failed has its error
// in the report; Run itself fails only for unusable options and when ctx ends.
func Run(ctx context.Context, o Options) (adapter.SimReport, error) {
	if err := o.complete(); err != nil {
		return adapter.SimReport{}, err
	}
	e := newEngine(o)
	defer e.close()
	report := adapter.SimReport{Calls: make([]adapter.SimCall, o.Calls)}
	var calls sync.WaitGroup
	for i := range o.Calls {
		calls.Go(func() {
			if !wait(ctx, time.Duration(float64(o.Ramp)*float64(i)/float64(o.Calls))) {
				report.Calls[i].Error = ctx.Err().Error()
				return
			}
			c := e.newCall(o.First+i, SID("CA"))
			c.run(ctx)
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
	web   *http.Client
	pacer *pace.Pacer
}

// webhookTimeout is how long Twilio waits for a webhook.
const webhookTimeout = 15 * time.Second

func newEngine(o Options) *engine {
	return &engine{
		Options: o,
		pacer:   pace.New(time.Duration(float64(blockDuration) / o.Speed)),
		web: &http.Client{
			Timeout:   webhookTimeout,
			Transport: &http.Transport{TLSClientConfig: o.TLS, MaxIdleConnsPerHost: 8, ForceAttemptHTTP2: false},
		},
	}
}

func (e *engine) close() {
	e.pacer.Close()
	e.web.CloseIdleConnections()
}

func (e *engine) observe(call string, kind StepKind, text string) {
	if e.Observe != nil {
		e.Observe(Step{call, kind, text})
	}
}

// blocks is how many blocks of 20 ms a call's audio has at most; 0 means no limit.
func (e *engine) blocks() int { return int(e.Duration / blockDuration) }

func tracksOf(ids []media.TrackID, s *Stream) []adapter.SimTrack {
	tracks := make([]adapter.SimTrack, len(ids))
	for i, id := range ids {
		tracks[i].Track = id
		if s != nil {
			tracks[i].Frames, tracks[i].Samples = s.Sent(id)
		}
	}
	return tracks
}
