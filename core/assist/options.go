package assist

import (
	"context"
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
	// ReplayLimit bounds the audio that is sent again after an unclean end.
	ReplayLimit time.Duration
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
	if o.ReplayLimit <= 0 {
		o.ReplayLimit = DefaultReplayLimit
	}
	return o
}

// wall converts a duration of audio to the wall clock.
func (o Options) wall(d time.Duration) time.Duration {
	return time.Duration(float64(d) / o.TimeScale)
}
