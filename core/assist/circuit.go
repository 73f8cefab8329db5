package assist

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// circuit keeps the sessions of one Google from asking while it does not answer, or
// refuses us: one of those who wait asks for all. First with a unary call, then with
// one stream; when that lives, the others follow, as the governor lets them.
type circuit struct {
	opts *Options

	mu        sync.Mutex
	state     CircuitState
	fruitless int   // failures since the last success, of all sessions
	err       error // the last failure
	next      time.Time
	pauses    *backoff.ExponentialBackOff
	probing   bool // somebody asks, or waits for the time to
	trial     bool // somebody's stream is the trial
	changed   chan struct{}
}

// CircuitState is what a pool thinks of a Google.
type CircuitState string

// The states of a circuit.
const (
	CircuitClosed CircuitState = "closed" // all is well
	CircuitOpen   CircuitState = "open"   // one asks for all from time to time
	CircuitTrying CircuitState = "trying" // it answers again; one stream tries
)

// maxFruitless is how many failures in a row, of any sessions, open the circuit.
const maxFruitless = 3

// trialAge is how long the first stream must live when nothing is said on it.
const trialAge = 3 * time.Second

// Pauses between probes. What an operator must mend is looked at each minute.
const (
	probeFirst, probeMost = 250 * time.Millisecond, 5 * time.Second
	mendPause             = time.Minute
)

func newCircuit(o *Options) *circuit {
	c := &circuit{opts: o, state: CircuitClosed, changed: make(chan struct{})}
	c.pauses = newBackoff(o, retry)
	c.pauses.InitialInterval, c.pauses.MaxInterval = o.wall(probeFirst), o.wall(probeMost)
	c.pauses.Reset()
	return c
}

// pass returns when a request may be made; probe makes the unary call that tells.
// hindered, which may be nil, is told once when it has to wait, and why. A stream
// that passes with trial set decides for the others: its caller must say succeeded,
// failed or withdraw. When the credentials are refused it waits no longer than the
// call lasts, until calling is closed, and fails with errCallEnded.
func (c *circuit) pass(ctx context.Context, calling <-chan struct{}, stream bool, probe func(context.Context) error, hindered func(error)) (trial bool, err error) {
	for waited := false; ; {
		c.mu.Lock()
		switch {
		case c.state == CircuitClosed, c.state == CircuitTrying && !stream:
			c.mu.Unlock()
			if waited && !stream { // streams are paced by the governor
				return false, sleep(ctx, c.opts.wall(rand.N(time.Second)))
			}
			return false, ctx.Err()
		case c.state == CircuitTrying && !c.trial:
			c.trial = true
			c.mu.Unlock()
			return true, nil
		}
		err, changed := c.err, c.changed
		mine := c.state == CircuitOpen && !c.probing
		c.probing = c.probing || mine
		c.mu.Unlock()
		if !waited && hindered != nil {
			hindered(err)
		}
		waited = true
		var ended <-chan struct{}
		if mendable(err) {
			ended = calling
		}
		if mine {
			err = c.ask(ctx, ended, probe)
		} else {
			select {
			case <-changed:
				err = nil
			case <-ended:
				err = errCallEnded
			case <-ctx.Done():
				err = ctx.Err()
			}
		}
		if err != nil {
			return false, err
		}
	}
}

// errCallEnded means that the call ended while Google refused us.
var errCallEnded = errors.New("assist: the call ended while the credentials were refused")

// ask probes when it is time. It fails when its caller goes away before, and another
// takes over.
func (c *circuit) ask(ctx context.Context, ended <-chan struct{}, probe func(context.Context) error) (gone error) {
	c.mu.Lock()
	pause := time.NewTimer(time.Until(c.next))
	c.mu.Unlock()
	defer pause.Stop()
	var err error
	select {
	case <-pause.C:
		attempt, cancel := context.WithTimeout(ctx, attemptTimeout)
		err = probe(attempt)
		cancel()
		gone = ctx.Err()
	case <-ended:
		gone = errCallEnded
	case <-ctx.Done():
		gone = ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.probing = false
	switch {
	case gone != nil || c.state != CircuitOpen:
	case breaks(err):
		c.err = err
		c.plan(err)
	default:
		c.state = CircuitTrying
	}
	c.tell()
	return gone
}

// plan sets the time of the next probe.
func (c *circuit) plan(err error) {
	pause := c.pauses.NextBackOff()
	if mendable(err) {
		pause = jittered(c.opts.wall(mendPause))
	}
	c.next = time.Now().Add(pause)
}

// jittered is d, more or less.
func jittered(d time.Duration) time.Duration { return d - d/5 + rand.N(max(1, 2*d/5)) }

func (c *circuit) tell() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// failed counts a request that brought nothing but this error.
func (c *circuit) failed(err error, trial bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if trial {
		c.trial = false
	}
	if breaks(err) {
		c.fruitless++
		if c.err = err; trial || c.state == CircuitClosed && c.fruitless >= maxFruitless {
			first := c.state == CircuitClosed
			c.state = CircuitOpen
			if c.plan(err); first && !mendable(err) {
				c.next = time.Now() // it may be but a connection
			}
		}
	} else if trial { // it answers
		c.state, c.fruitless, c.err = CircuitClosed, 0, nil
		c.pauses.Reset()
	}
	c.tell()
}

// withdraw gives up a trial that says nothing.
func (c *circuit) withdraw() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trial = false
	c.tell()
}

// succeeded says that a stream lives.
func (c *circuit) succeeded() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fruitless = 0
	if c.state != CircuitClosed {
		c.state, c.trial, c.err = CircuitClosed, false, nil
		c.pauses.Reset()
		c.tell()
	}
}

// holds reports whether a stream that is not the trial must wait.
func (c *circuit) holds() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state != CircuitClosed
}

// refused reports whether the credentials are not accepted for now.
func (c *circuit) refused() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state != CircuitClosed && mendable(c.err)
}

// CircuitInfo is a circuit as it stands.
type CircuitInfo struct {
	Project  string       `json:"project"`
	Location string       `json:"location"`
	State    CircuitState `json:"state"`
	Error    string       `json:"error,omitempty" doc:"Why it is not closed, in Google's words."`
}

func (c *circuit) info(g Google) CircuitInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := CircuitInfo{Project: g.Project, Location: g.location(), State: c.state}
	if c.err != nil && c.state != CircuitClosed {
		i.Error = googleWords(c.err)
	}
	return i
}
