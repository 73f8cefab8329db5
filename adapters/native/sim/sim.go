package sim

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/patchbay/patchbay/adapters/internal/pace"
	"github.com/patchbay/patchbay/core/adapter"
)

// API is the protocol that the simulator speaks.
type API string

// The protocols.
const (
	V2      API = "v2"      // StreamingAnalyzeContent of Dialogflow v2
	V2Beta1 API = "v2beta1" // of v2beta1
	Bidi    API = "bidi"    // BidiStreamingAnalyzeContent of v2beta1
	Ingest  API = "ingest"  // patchbay.ingest.v1
)

// Options says which calls to make, to whom, and what they say.
type Options struct {
	Address string      // host:port of the adapter; required
	TLS     *tls.Config // nil: without TLS
	Token   string      // bearer token; empty shows none
	API     API         // default V2Beta1

	Project, Location, Profile string // of the conversations; default local, global, demo
	To                         string // dialled number, with Ingest; default +15550100002

	Calls    int           // at a time; default 1
	First    int           // number of the first call, for its coded audio
	Ramp     time.Duration // over which the calls begin
	Duration time.Duration // of each call's audio; 0 means until the audio ends
	Speed    float64       // times real time; default 1
	Audio    Audio         // default Coded
	Turn     time.Duration // half-close streams after so much audio and go on with the next; 0: one stream a speaker
	Abrupt   bool          // drop the streams at the end, without half-close

	// Observe is told what happens, from several goroutines. It may be nil.
	Observe func(Step)
}

// Step is something that happened in a call.
type Step struct {
	Call string
	Kind StepKind
	Text string
}

// StepKind is the kind of a Step.
type StepKind string

// The kinds of steps.
const (
	StepBegin      StepKind = "begin"
	StepFinal      StepKind = "final"      // a transcript came back
	StepSuggestion StepKind = "suggestion" // came back
	StepError      StepKind = "error"
	StepEnd        StepKind = "end"
)

// ErrOptions means that Run cannot begin.
var ErrOptions = errors.New("sim: unusable options")

// DefaultDuration is the length of calls whose audio does not end by itself.
const DefaultDuration = 10 * time.Second

func (o *Options) complete() error {
	for _, f := range []struct {
		to   *string
		text string
	}{{&o.Project, "local"}, {&o.Location, "global"}, {&o.Profile, "demo"}, {&o.To, "+15550100002"}, {(*string)(&o.API), string(V2Beta1)}} {
		if *f.to == "" {
			*f.to = f.text
		}
	}
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
	switch {
	case o.Address == "":
		return errors.Join(ErrOptions, errors.New("no address is named"))
	case o.API != V2 && o.API != V2Beta1 && o.API != Bidi && o.API != Ingest:
		return errors.Join(ErrOptions, fmt.Errorf("there is no API %q; choose v2, v2beta1, bidi or ingest", o.API))
	case o.Speed < 0 || o.Calls < 0 || o.Duration < 0 || o.Ramp < 0 || o.Turn < 0:
		return errors.Join(ErrOptions, errors.New("a number is negative"))
	}
	return nil
}

// Run makes the calls and reports what it sent. A call that failed has its error in the
// report; Run itself fails only for unusable options and when ctx ends.
func Run(ctx context.Context, o Options) (adapter.SimReport, error) {
	if err := o.complete(); err != nil {
		return adapter.SimReport{}, err
	}
	e := &engine{Options: o, pacer: pace.New(time.Duration(float64(messageTime) / o.Speed))}
	defer e.close()
	report := adapter.SimReport{Calls: make([]adapter.SimCall, o.Calls)}
	var calls sync.WaitGroup
	for i := range o.Calls {
		calls.Go(func() {
			c := newCall(e, o.First+i)
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

	mu    sync.Mutex
	conns []*grpc.ClientConn
	used  int
}

// streamsPerConnection is how many streams share a connection, as with Google's clients.
const streamsPerConnection = 90

// conn returns a connection with room for another stream.
func (e *engine) conn() (*grpc.ClientConn, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if n := e.used / streamsPerConnection; n < len(e.conns) {
		e.used++
		return e.conns[n], nil
	}
	opts := []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	if e.TLS != nil {
		opts = []grpc.DialOption{grpc.WithTransportCredentials(credentials.NewTLS(e.TLS))}
	}
	if e.Token != "" {
		opts = append(opts, grpc.WithPerRPCCredentials(bearer(e.Token)))
	}
	conn, err := grpc.NewClient(e.Address, opts...)
	if err != nil {
		return nil, err
	}
	e.conns = append(e.conns, conn)
	e.used++
	return conn, nil
}

// bearer shows a token with every call, also without TLS: a proxy may have ended it.
type bearer string

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (bearer) RequireTransportSecurity() bool { return false }

func (e *engine) close() {
	e.pacer.Close()
	for _, c := range e.conns {
		_ = c.Close()
	}
}

func (e *engine) observe(call string, kind StepKind, text string) {
	if e.Observe != nil {
		e.Observe(Step{call, kind, text})
	}
}

func (o Options) parent() string { return "projects/" + o.Project + "/locations/" + o.Location }

func (o Options) profile() string {
	if strings.Contains(o.Profile, "/") {
		return o.Profile
	}
	return o.parent() + "/conversationProfiles/" + o.Profile
}

// messages is how many messages a speaker sends at most in a call; 0 means no limit.
func (o Options) messages() int { return int(o.Duration / messageTime) }
