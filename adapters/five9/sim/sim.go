package sim

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	voicepb "github.com/patchbay/patchbay/adapters/five9/proto/five9/voicestream"
	"github.com/patchbay/patchbay/adapters/internal/pace"
	"github.com/patchbay/patchbay/core/adapter"
)

// Options says which calls to make, to whom, and what they say.
type Options struct {
	Target      string      // host:port of the streaming destination; required
	TLS         *tls.Config // nil: without
	Connections int         // network connections that the streams share; default 2
	TrustToken  string
	TokenIn     TokenIn
	Domain      string   // default 131096
	Copies      []string // a stream of each leg for each of these subscription ids; default one without id

	EventsURL  string // call and stream events go there; empty: none are sent
	APIKey     string
	Variables  map[string]string // attached to call events, beside call id, session id and numbers
	LateEvents bool              // the call's event comes after its first leg
	From, To   string            // default +15550100001 and +15550100002

	FirstCall int64  // call id of the first call; default random
	Campaign  string // default 2001
	Skill     string // default 3001
	Agent     string // id of the first call's agent, or of all; default 4001

	Legs      []Leg         // in order of their coming; default Customer, Agent
	Late      time.Duration // from one leg to the next
	Calls     int           // at a time; default 1
	First     int           // number of the first call, for its coded audio
	Ramp      time.Duration // over which the calls begin
	Duration  time.Duration // of each leg's audio; 0 means until the audio ends
	Speed     float64       // times real time; default 1
	Audio     Audio         // default Coded
	Rate      int           // of Audio; default 8000
	MuLaw     bool          // default LINEAR16
	Chunk     time.Duration // of audio in a message; default 20 ms, whole blocks of which it is made
	Odd       bool          // cut messages within samples
	HoldAfter time.Duration // of audio; 0: no hold
	HoldFor   time.Duration

	DropAfter time.Duration // drop each leg's stream after so much audio; 0: never
	Reconnect bool          // come back after a drop, and when the server asks to
	Abrupt    bool          // drop streams at the end, without goodbye
	Hasty     bool          // send audio without waiting for the server's leave
	Untimed   bool          // leave send_time out

	// Observe is told what happens, from several goroutines. It may be nil.
	Observe func(Step)
}

// TokenIn is where the trust token goes.
type TokenIn string

// The places of the trust token.
const (
	TokenInConfig   TokenIn = "config"
	TokenInMetadata TokenIn = "metadata"
)

// Step is something that happened in a call.
type Step struct {
	Call string // LegInfo.CallKey
	Kind StepKind
	Text string
}

// StepKind is the kind of a Step.
type StepKind string

// The kinds of steps.
const (
	StepEvent  StepKind = "event"  // it was sent
	StepStream StepKind = "stream" // a leg began, or came back
	StepHold   StepKind = "hold"
	StepDrop   StepKind = "drop"
	StepServer StepKind = "server" // what the server wanted
	StepError  StepKind = "error"
	StepEnd    StepKind = "end"
)

// ErrOptions means that Run cannot begin.
var ErrOptions = errors.New("sim: unusable options")

// DefaultDuration is the length of calls whose audio does not end by itself.
const DefaultDuration = 10 * time.Second

func (o *Options) complete() error {
	switch {
	case o.Target == "":
		return errors.Join(ErrOptions, errors.New("no target is named"))
	case o.Speed < 0 || o.Calls < 0 || o.Duration < 0 || o.Ramp < 0 || o.Rate < 0 || o.Late < 0 || o.Connections < 0 || o.HoldAfter < 0 || o.HoldFor < 0 || o.DropAfter < 0:
		return errors.Join(ErrOptions, errors.New("a number is negative"))
	case o.Audio == nil && o.Rate != 0 && o.Rate != 8000:
		return errors.Join(ErrOptions, errors.New("coded audio has 8000 Hz; use tones or a recording"))
	case o.Chunk < 0 || o.Chunk%blockTime != 0:
		return errors.Join(ErrOptions, fmt.Errorf("a message holds whole blocks of %v", blockTime))
	case o.TokenIn != "" && o.TokenIn != TokenInConfig && o.TokenIn != TokenInMetadata:
		return errors.Join(ErrOptions, errors.New("the token goes into config or metadata"))
	}
	if o.FirstCall == 0 {
		n, err := rand.Int(rand.Reader, big.NewInt(900_000_000))
		if err != nil {
			return err
		}
		o.FirstCall = 100_000_000 + n.Int64()
	}
	if o.Audio == nil {
		o.Audio = Coded()
		setDefault(&o.Duration, DefaultDuration)
	}
	setDefault(&o.Speed, 1)
	setDefault(&o.Calls, 1)
	setDefault(&o.Connections, 2)
	setDefault(&o.Rate, 8000)
	setDefault(&o.Chunk, blockTime)
	setDefault(&o.Domain, "131096")
	setDefault(&o.Campaign, "2001")
	setDefault(&o.Skill, "3001")
	setDefault(&o.Agent, "4001")
	setDefault(&o.From, "+15550100001")
	setDefault(&o.To, "+15550100002")
	if len(o.Legs) == 0 {
		o.Legs = []Leg{Customer, Agent}
	}
	if len(o.Copies) == 0 {
		o.Copies = []string{""}
	}
	return nil
}

func setDefault[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

// Run makes the calls and reports what it sent. A call that failed has its error in the
// report; Run itself fails only for unusable options and when ctx ends.
func Run(ctx context.Context, o Options) (adapter.SimReport, error) {
	if err := o.complete(); err != nil {
		return adapter.SimReport{}, err
	}
	e, err := newEngine(o)
	if err != nil {
		return adapter.SimReport{}, errors.Join(ErrOptions, err)
	}
	defer e.close()
	report := adapter.SimReport{Calls: make([]adapter.SimCall, o.Calls)}
	var calls sync.WaitGroup
	for i := range o.Calls {
		calls.Go(func() {
			c := e.newCall(i)
			if e.wait(ctx, time.Duration(float64(o.Ramp)*float64(i)/float64(o.Calls)), 1) {
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

// engine is what all calls share.
type engine struct {
	Options
	conns  []*grpc.ClientConn
	events Events
	pacer  *pace.Pacer
	format voicepb.VoiceConfig_AudioEncoding
}

// Dial connects to a streaming destination.
func Dial(target string, t *tls.Config) (*grpc.ClientConn, error) {
	creds := insecure.NewCredentials()
	if t != nil {
		creds = credentials.NewTLS(t)
	}
	return grpc.NewClient("passthrough:///"+target, grpc.WithTransportCredentials(creds),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 2 * time.Minute, Timeout: 20 * time.Second, PermitWithoutStream: true}))
}

func newEngine(o Options) (*engine, error) {
	e := &engine{Options: o, format: voicepb.VoiceConfig_LINEAR16,
		events: Events{URL: o.EventsURL, APIKey: o.APIKey, Client: &http.Client{Timeout: eventTimeout, Transport: &http.Transport{TLSClientConfig: o.TLS, MaxIdleConnsPerHost: 8}}},
	}
	if o.MuLaw {
		e.format = voicepb.VoiceConfig_MULAW
	}
	for range o.Connections {
		conn, err := Dial(o.Target, o.TLS)
		if err != nil {
			e.closeConns()
			return nil, err
		}
		e.conns = append(e.conns, conn)
	}
	e.pacer = pace.New(time.Duration(float64(o.Chunk) / o.Speed))
	return e, nil
}

func (e *engine) close() {
	e.pacer.Close()
	e.closeConns()
	e.events.Client.CloseIdleConnections()
}

func (e *engine) closeConns() {
	for _, c := range e.conns {
		_ = c.Close() // nothing depends on it any more
	}
}

func (e *engine) observe(call string, kind StepKind, text string) {
	if e.Observe != nil {
		e.Observe(Step{call, kind, text})
	}
}

// wait sleeps for d at a speed unless ctx ends first.
func (e *engine) wait(ctx context.Context, d time.Duration, speed float64) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(time.Duration(float64(d) / speed))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
