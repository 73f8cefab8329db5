package sim

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"text/template"
	"time"

	"github.com/patchbay/patchbay/adapters/internal/pace"
	"github.com/patchbay/patchbay/adapters/internal/simcmd"
	"github.com/patchbay/patchbay/core/adapter"
)

// Options says which calls to make, to whom, and what they say.
type Options struct {
	To          string      // sip:[user@]host[:port][;transport=udp|tcp|tls]; required
	TLS         *tls.Config // for transport tls; nil trusts the system's CAs
	Connections int         // TCP or TLS connections that the calls share; default 1
	User        string      // with Password: answers digest challenges
	Password    string

	Dialect      string // one of Dialects; default audiocodes
	Plain        bool   // leave out what the dialect does in the middle of calls
	Customer     string // default +15550100001
	Agent        string // default +15550100002
	Outbound     bool   // the agent calls the customer
	Conversation string // full name, for the dialect that names one
	Headers      []string
	Expires      int // session interval in seconds; default 1800, negative for none

	Calls    int           // at a time; default 1
	First    int           // number of the first call, for its coded audio
	Ramp     time.Duration // over which the calls begin
	Duration time.Duration // of each call; 0 means until the audio ends
	Audio    Audio         // default Coded
	Codec    string        // pcmu, pcma, g722, opus: the only one offered; default those of the dialect
	Ptime    time.Duration // default 20 ms
	SRTP     string        // one of Suites: offered as RTP/SAVP
	MediaIP  netip.Addr    // that RTP is sent from; default that of SIP

	Loss      float64 // share of packets that are withheld
	Reorder   int     // packets by which a tenth of them are overtaken, at most
	Duplicate float64 // share of packets that come twice

	HoldAfter, HoldFor time.Duration // hold the call then, for so long, in the dialect's way; 0: no hold
	RefreshEvery       time.Duration // refresh the session so often, by re-INVITE and UPDATE in turn; 0: never
	LoseAfter          time.Duration // lose the TCP or TLS connections then; 0: never
	DTMF               string        // digits that the first stream dials after a third of the call
	NoBye              bool          // leave without BYE
	NoAck              bool          // acknowledge nothing; the server must end the call
	Linger             time.Duration // between the last audio and BYE; default 200 ms

	// Observe is told what happens, from several goroutines. It may be nil.
	Observe func(Step)
}

// Step is something that happened in a call.
type Step struct {
	Call string // LegInfo.CallKey, or the SIP Call-ID
	Kind StepKind
	Text string
}

// StepKind is the kind of a Step.
type StepKind string

// The kinds of steps.
const (
	StepInvite  StepKind = "invite"
	StepAnswer  StepKind = "answer"
	StepChange  StepKind = "change" // re-INVITE or UPDATE
	StepMedia   StepKind = "media"
	StepServer  StepKind = "server" // what the server asked for
	StepProblem StepKind = "problem"
	StepError   StepKind = "error"
	StepEnd     StepKind = "end"
)

// ErrOptions means that Run cannot begin.
var ErrOptions = errors.New("sim: unusable options")

// DefaultDuration is the length of calls whose audio does not end by itself.
const DefaultDuration = simcmd.DefaultDuration

const defaultLinger = 200 * time.Millisecond

func (o *Options) complete() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrOptions, fmt.Sprintf(format, args...))
	}
	switch {
	case o.To == "":
		return bad("no target is named")
	case o.Calls < 0 || o.Ramp < 0 || o.Duration < 0 || o.Ptime < 0 || o.Reorder < 0 || o.Connections < 0 || o.HoldAfter < 0 || o.HoldFor < 0 || o.RefreshEvery < 0 || o.LoseAfter < 0 || o.Linger < 0:
		return bad("a number is negative")
	case o.Loss < 0 || o.Loss >= 1 || o.Duplicate < 0 || o.Duplicate > 1:
		return bad("a share lies between 0 and 1")
	case o.Ptime%(10*time.Millisecond) != 0 || o.Ptime > 60*time.Millisecond:
		return bad("a packet lasts 10 to 60 ms, in steps of 10")
	case o.SRTP != "" && suites[o.SRTP] == 0:
		return bad("%q is none of the SRTP suites %s", o.SRTP, strings.Join(Suites(), " "))
	case o.Codec == "opus" && o.Ptime != 0 && o.Ptime != blockTime:
		return bad("the Opus packets last %v", blockTime)
	}
	if _, ok := codecs[o.Codec]; !ok && o.Codec != "" {
		return bad("%q is none of the codecs pcmu, pcma, g722, opus", o.Codec)
	}
	setDefault(&o.Dialect, "audiocodes")
	if findDialect(o.Dialect) == nil {
		return bad("%q is none of the dialects %s", o.Dialect, strings.Join(Dialects(), " "))
	}
	if o.Audio.open == nil {
		o.Audio = Coded()
		if o.Codec == "g722" || o.Codec == "opus" { // which coded blocks do not survive
			o.Audio = Tones(OpusWords[Customer], OpusWords[Agent])
			setDefault(&o.Duration, DefaultDuration)
		}
	}
	if o.Codec == "opus" || o.Audio.coded {
		setDefault(&o.Duration, DefaultDuration)
	}
	if o.Audio.coded && (o.Codec == "g722" || o.Codec == "opus") {
		return bad("coded audio does not survive %s; use tones", o.Codec)
	}
	setDefault(&o.Calls, 1)
	setDefault(&o.Connections, 1)
	setDefault(&o.Customer, "+15550100001")
	setDefault(&o.Agent, "+15550100002")
	setDefault(&o.Expires, 1800)
	setDefault(&o.Ptime, blockTime)
	setDefault(&o.Linger, defaultLinger)
	if o.HoldAfter > 0 {
		setDefault(&o.HoldFor, time.Second)
	}
	return nil
}

func setDefault[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

// destination is a parsed Options.To.
type destination struct {
	user, host, transport string
	addr                  netip.AddrPort
}

func parseDestination(ctx context.Context, to string) (d destination, err error) {
	scheme, rest, ok := strings.Cut(to, ":")
	if !ok || scheme != "sip" && scheme != "sips" {
		return d, fmt.Errorf("%w: the target %q is no SIP URI, like sip:recorder@192.0.2.1:5060;transport=tcp", ErrOptions, to)
	}
	rest, params, _ := strings.Cut(rest, ";")
	d.transport = "udp"
	if t, ok := param(params, "transport"); ok {
		d.transport = strings.ToLower(t)
	} else if scheme == "sips" {
		d.transport = "tls"
	}
	port := "5060"
	switch d.transport {
	case "udp", "tcp":
	case "tls":
		port = "5061"
	default:
		return d, fmt.Errorf("%w: the transport %q is none of udp, tcp, tls", ErrOptions, d.transport)
	}
	d.host = rest
	if user, host, ok := strings.Cut(rest, "@"); ok {
		d.user, d.host = user, host
	}
	if _, _, err := net.SplitHostPort(d.host); err != nil {
		d.host = net.JoinHostPort(strings.Trim(d.host, "[]"), port)
	}
	host, number, err := net.SplitHostPort(d.host)
	if err != nil {
		return d, fmt.Errorf("%w: the target %q: %w", ErrOptions, to, err)
	}
	p, err := net.DefaultResolver.LookupPort(ctx, "tcp", number)
	if err != nil {
		return d, fmt.Errorf("%w: the target %q: %w", ErrOptions, to, err)
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return d, fmt.Errorf("%w: the target %q: %w", ErrOptions, to, err)
	}
	d.addr = netip.AddrPortFrom(addrs[0].Unmap(), uint16(p))
	return d, nil
}

// Run makes the calls and reports what it sent. A call that failed, and one whose answers
// were odd, has its error in the report; Run itself fails only for unusable options, when
// the server cannot be reached, and when ctx ends.
func Run(ctx context.Context, o Options) (adapter.SimReport, error) {
	if err := o.complete(); err != nil {
		return adapter.SimReport{}, err
	}
	e, err := newEngine(ctx, o)
	if err != nil {
		return adapter.SimReport{}, err
	}
	defer e.close()
	reports := make([][]adapter.SimCall, e.Calls)
	var calls sync.WaitGroup
	for i := range e.Calls {
		calls.Go(func() {
			c := e.newCall(i)
			if wait(ctx, time.Duration(float64(e.Ramp)*float64(i)/float64(e.Calls))) {
				c.run(ctx)
			} else {
				c.fail(ctx.Err())
			}
			reports[i] = c.report()
		})
	}
	lost := make(chan struct{})
	go func() {
		defer close(lost)
		e.loseConnections(ctx)
	}()
	calls.Wait()
	e.stopLosing()
	<-lost
	return adapter.SimReport{Calls: slices.Concat(reports...)}, ctx.Err()
}

// engine is what all calls share.
type engine struct {
	Options
	dialect     *dialect
	templates   *template.Template
	destination destination
	phone       *phone
	pacer       *pace.Pacer
	mediaIP     netip.Addr
	done        chan struct{}
	stopLosing  func()
}

func newEngine(ctx context.Context, o Options) (*engine, error) {
	e := &engine{Options: o, dialect: findDialect(o.Dialect), done: make(chan struct{})}
	e.stopLosing = sync.OnceFunc(func() { close(e.done) })
	var err error
	if e.templates, err = e.dialect.templates(); err != nil {
		return nil, err
	}
	if e.destination, err = parseDestination(ctx, o.To); err != nil {
		return nil, err
	}
	if e.destination.transport == "tls" {
		t := &tls.Config{MinVersion: tls.VersionTLS12}
		if o.TLS != nil {
			t = o.TLS.Clone()
		}
		if t.ServerName == "" {
			t.ServerName, _, _ = net.SplitHostPort(e.destination.host)
		}
		e.TLS = t
	}
	e.phone = newPhone()
	lines := e.Connections
	if e.destination.transport == "udp" {
		lines = 1
	}
	for range lines {
		var l *line
		l, err := dialLine(ctx, e.destination.transport, e.destination.addr, e.TLS, func(m *message) { e.phone.receive(l, m) }, func(err error) { e.phone.note(err.Error()) })
		if err != nil {
			e.phone.close()
			return nil, fmt.Errorf("sim: %s over %s: %w", e.destination.addr, e.destination.transport, err)
		}
		e.phone.lines = append(e.phone.lines, l)
	}
	e.mediaIP = o.MediaIP
	if !e.mediaIP.IsValid() {
		e.mediaIP = e.phone.lines[0].local().Addr()
	}
	if !e.mediaIP.Is4() {
		e.phone.close()
		return nil, fmt.Errorf("%w: audio goes out by IPv4 alone, not from %v", ErrOptions, e.mediaIP)
	}
	e.pacer = pace.New(e.Ptime)
	return e, nil
}

func (e *engine) close() {
	e.pacer.Close()
	e.phone.close()
}

// loseConnections drops the connections once, when it is time.
func (e *engine) loseConnections(ctx context.Context) {
	if e.LoseAfter == 0 {
		return
	}
	timer := time.NewTimer(e.LoseAfter)
	defer timer.Stop()
	select {
	case <-timer.C:
		for _, l := range e.phone.lines {
			l.lose()
		}
	case <-e.done:
	case <-ctx.Done():
	}
}

func (e *engine) observe(call string, kind StepKind, text string) {
	if e.Observe != nil {
		e.Observe(Step{call, kind, text})
	}
}

// wait sleeps unless ctx ends first.
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
