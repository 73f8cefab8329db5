package receiver

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"sync"
	"time"
)

// Config says where and how a Receiver listens.
type Config struct {
	// Bind is the media address: packets are received there, and reports sent from there.
	Bind netip.Addr
	// First and Last bound the range of ports, both included. RTP takes even ports, RTCP the
	// odd one after. Both 0: the system chooses.
	First, Last int
	// Rest is how long a pair of ports lies idle before another stream gets it, so that the
	// last packets of a call do not fall into the next (DefaultRest when 0, none below 0).
	Rest time.Duration
	// Hold is how long a packet waits for those before it, and how long a source is watched
	// before its first packet goes out (DefaultHold when 0; MinHold to MaxHold).
	Hold time.Duration
	// Report is the mean interval of RTCP reports (DefaultReport when 0, at least a
	// millisecond, none below 0).
	Report time.Duration
	// Readers is how many goroutines read packets, where one reads many sockets
	// (GOMAXPROCS when 0).
	Readers int
}

// Defaults and bounds of a Config.
const (
	DefaultRest   = 5 * time.Second
	DefaultHold   = 80 * time.Millisecond // a packet that three of 20 ms overtake still comes in time
	MinHold       = 20 * time.Millisecond
	MaxHold       = 500 * time.Millisecond
	DefaultReport = 5 * time.Second
)

// Errors of Open and of a Stream's methods.
var (
	// ErrNoPorts means that every pair of the range is in use or rests.
	ErrNoPorts = errors.New("receiver: no port is free")
	// ErrClosed means that the receiver or the stream was closed.
	ErrClosed = errors.New("receiver: closed")
)

// Receiver owns the sockets of all streams. It is safe for concurrent use.
type Receiver struct {
	cfg   Config
	log   *slog.Logger
	count func(kind string)
	cname string
	ports *ports
	net   network

	warnPort sync.Once

	mu      sync.Mutex
	streams map[*Stream]struct{}
	closed  bool
}

// New returns a receiver that has opened nothing yet. count adds one to a counter of the
// adapter (adapter.Env.Count): at most once per stream and kind, whatever comes in.
func New(cfg Config, log *slog.Logger, count func(kind string)) (*Receiver, error) {
	return newReceiver(cfg, log, count, newNetwork)
}

func newReceiver(cfg Config, log *slog.Logger, count func(kind string), connect func(readers int) (network, error)) (*Receiver, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	var name [12]byte
	if _, err := rand.Read(name[:]); err != nil {
		return nil, fmt.Errorf("receiver: make an RTCP name: %w", err)
	}
	n, err := connect(cfg.Readers)
	if err != nil {
		return nil, fmt.Errorf("receiver: %w", err)
	}
	return &Receiver{
		cfg: cfg, log: log, count: count, cname: hex.EncodeToString(name[:]),
		ports: newPorts(cfg.First, cfg.Last, cfg.Rest), net: n, streams: map[*Stream]struct{}{},
	}, nil
}

// complete puts in the defaults, and checks the rest.
func (c *Config) complete() error {
	set := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	set(&c.Rest, DefaultRest)
	set(&c.Hold, DefaultHold)
	set(&c.Report, DefaultReport)
	if c.Readers <= 0 {
		c.Readers = runtime.GOMAXPROCS(0)
	}
	switch {
	case !c.Bind.IsValid():
		return errors.New("receiver: no media address to listen on")
	case c.First == 0 && c.Last == 0:
	case c.First < 1 || c.Last > 65535 || (c.First+1)&^1+1 > c.Last:
		return fmt.Errorf("receiver: ports %d to %d hold no pair of an even port and the next", c.First, c.Last)
	}
	if c.Hold < MinHold || c.Hold > MaxHold {
		return fmt.Errorf("receiver: a jitter buffer of %v; want %v to %v", c.Hold, MinHold, MaxHold)
	}
	if c.Report > 0 && c.Report < time.Millisecond {
		return fmt.Errorf("receiver: RTCP reports every %v; want at least every %v", c.Report, time.Millisecond)
	}
	return nil
}

// Open binds a pair of ports for a stream, whose audio goes to out. Nothing is heard before
// Stream.Accept. It fails with ErrNoPorts when the range is used up.
func (r *Receiver) Open(out Output) (*Stream, error) {
	s := &Stream{r: r}
	s.m.init(out, r.cfg.Hold, r.cfg.Report, r.cname, r.countOnce())
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, ErrClosed
	}
	port, line, err := r.ports.bind(time.Now(), func(port int) (int, line, error) {
		got, line, err := r.net.open(s, r.cfg.Bind, port)
		if err != nil && port != 0 {
			r.count(CountPortTaken)
			r.warnPort.Do(func() {
				r.log.Warn("a port of the media range cannot be bound; another program may have it", "port", port, "err", err)
			})
		}
		return got, line, err
	})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.port, s.line = port, line
	s.mu.Unlock()
	r.streams[s] = struct{}{}
	return s, nil
}

// countOnce returns a counter that counts each kind once.
func (r *Receiver) countOnce() func(kind string) {
	var seen map[string]bool
	return func(kind string) {
		if !seen[kind] {
			if seen == nil {
				seen = make(map[string]bool)
			}
			seen[kind] = true
			r.count(kind)
		}
	}
}

// Streams returns how many streams are open.
func (r *Receiver) Streams() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.streams)
}

// Close closes all streams, and returns when no goroutine of the receiver runs any more.
// Closing again does nothing.
func (r *Receiver) Close() error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil
	}
	r.closed = true
	var open []*Stream
	for s := range r.streams {
		open = append(open, s)
	}
	r.mu.Unlock()
	for _, s := range open {
		s.Close()
	}
	return r.net.close()
}

// forget takes a closed stream off the books; its ports rest.
func (r *Receiver) forget(s *Stream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.streams, s)
	r.ports.release(s.port, time.Now())
}
