package assist

import (
	"context"
	"math/rand/v2"
	"net"
	"time"
)

// Options are the limits of a Pool. Zero values mean the defaults below.
type Options struct {
	// TimeScale is how many times faster than real time the audio comes and the
	// emulator counts: limits that are measured by the wall clock shrink by it.
	TimeScale float64
	// CatchUp is how many times faster than real time audio that waited is sent.
	CatchUp float64
	// StreamsPerConnection is how many streams share an HTTP/2 connection; more
	// connections are opened with load, up to MaxConnections.
	StreamsPerConnection int
	MaxConnections       int
	// EndTimeout bounds the wait for the results of a half-closed stream.
	EndTimeout time.Duration
	// WrapUp bounds how long a session takes to end after Finish, beside the time
	// that the audio still waiting needs.
	WrapUp time.Duration
	// Patience bounds how long WrapUp stands still while a session cannot go on for no
	// fault of its own: Agent Assist is down, or the quota is used up.
	Patience time.Duration
	// Jitter is the share of the soft mark by which streams rotate earlier at random,
	// so that those that began together part; negative means none. Seed makes it
	// the same each time; 0 means that it is not.
	Jitter float64
	Seed   uint64
	// ParkAfter is how long nobody speaks on a track until its stream is closed; the next
	// one opens with the next word. Negative means never: silence is sent as it comes.
	ParkAfter time.Duration
	// SpeechLevel is the loudness, in dBFS over 20 ms, above which audio may be speech.
	SpeechLevel float64
	// ReplayLimit bounds the audio that is sent again after an unclean end.
	ReplayLimit time.Duration
	// Quotas are the numbers for every Google that names none of its own; zero fields
	// mean DefaultQuotas.
	Quotas Quotas
	// Budget counts the quotas; nil means in this process alone.
	Budget Budget
	// Marks replaces the rotation marks of DefaultMarks.
	Marks map[Transport]Marks
	// Dial opens connections in the network's place, for tests.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// UserAgent is sent with each request.
	UserAgent string
}

// The defaults of Options. A connection carries about 100 streams, some of which
// are unary calls.
const (
	DefaultCatchUp              = 4.0
	DefaultStreamsPerConnection = 80
	DefaultMaxConnections       = 64
	DefaultEndTimeout           = 10 * time.Second
	DefaultWrapUp               = 30 * time.Second
	DefaultPatience             = 5 * time.Minute
	DefaultJitter               = 0.1
	DefaultReplayLimit          = time.Minute
)

func (o Options) withDefaults() Options {
	if o.TimeScale <= 0 {
		o.TimeScale = 1
	}
	if o.CatchUp < 1 {
		o.CatchUp = DefaultCatchUp
	}
	if o.StreamsPerConnection <= 0 {
		o.StreamsPerConnection = DefaultStreamsPerConnection
	}
	if o.MaxConnections <= 0 {
		o.MaxConnections = DefaultMaxConnections
	}
	if o.EndTimeout <= 0 {
		o.EndTimeout = DefaultEndTimeout
	}
	if o.WrapUp <= 0 {
		o.WrapUp = DefaultWrapUp
	}
	if o.Patience <= 0 {
		o.Patience = DefaultPatience
	}
	if o.Jitter == 0 {
		o.Jitter = DefaultJitter
	}
	o.Jitter = min(max(o.Jitter, 0), 0.5)
	if o.Seed == 0 {
		o.Seed = rand.Uint64()
	}
	if o.Budget == nil {
		o.Budget = newLocalBudget(o.TimeScale)
	}
	if o.ParkAfter == 0 {
		o.ParkAfter = DefaultParkAfter
	}
	if o.SpeechLevel == 0 {
		o.SpeechLevel = DefaultSpeechLevel
	}
	if o.ReplayLimit <= 0 {
		o.ReplayLimit = DefaultReplayLimit
	}
	return o
}

// wall converts a duration of audio to the wall clock.
func (o *Options) wall(d time.Duration) time.Duration {
	return time.Duration(float64(d) / o.TimeScale)
}
