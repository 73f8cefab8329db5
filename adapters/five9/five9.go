package five9

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/patchbay/patchbay/adapters/internal/networks"
	"github.com/patchbay/patchbay/adapters/internal/report"
	"github.com/patchbay/patchbay/core/adapter"
)

// Adapter serves Five9 VoiceStream. It implements adapter.Adapter.
type Adapter struct {
	cfg       Config
	nets      []netip.Prefix // of streams; none means all
	eventNets []netip.Prefix // of webhooks
	cas       *x509.CertPool // nil: no client certificates
	calls     calls
}

// New returns an adapter for valid settings; otherwise it fails with the problems of
// Config.Validate.
func New(cfg Config) (*Adapter, error) {
	err := cfg.Validate()
	a := &Adapter{cfg: cfg}
	if err == nil && cfg.ClientCA != "" {
		a.cas, err = readCAs(cfg.ClientCA)
	}
	for _, n := range []struct {
		to   *[]netip.Prefix
		from []string
	}{{&a.nets, cfg.Addresses}, {&a.eventNets, cfg.EventAddresses}} {
		for _, text := range n.from {
			p, bad := networks.Parse(text)
			err = errors.Join(err, bad)
			*n.to = append(*n.to, p)
		}
	}
	if err != nil {
		return nil, &adapter.Error{Op: "five9.New", Kind: adapter.KindConfig, Err: err}
	}
	return a, nil
}

// environment is what the host gave to Run.
type environment struct {
	sink   adapter.Sink
	log    *slog.Logger
	report *report.Reporter
}

// shutdownTimeout bounds how long Run waits for RPCs and webhooks under way.
const shutdownTimeout = time.Second

// Run serves streams and webhooks until ctx ends.
func (a *Adapter) Run(ctx context.Context, env adapter.Env, sink adapter.Sink) error {
	ln, err := env.Listen(listenerGRPC)
	if err != nil {
		return &adapter.Error{Op: "five9.Run", Kind: adapter.KindConfig, Err: err}
	}
	secure, err := a.secure(env.TLS)
	if err != nil {
		_ = ln.Close()
		return &adapter.Error{Op: "five9.Run", Kind: adapter.KindConfig, Err: err}
	}
	e := &environment{sink: sink, log: env.Log, report: report.New(env.Log, env.Count)}
	if a.cfg.Insecure {
		e.log.Warn("insecure: true: streams are heard and events taken without any proof of where they come from")
	}

	work, hangUp := context.WithCancel(ctx) // bounds every stream
	defer hangUp()
	s := &server{Adapter: a, env: e, work: work}
	d := newDoor(ln, secure, a.cfg.Limits, e)
	web := s.newWeb()
	rpc, healthy := s.newRPC()
	var served sync.WaitGroup
	failed := make(chan error, 3)
	for _, serve := range []func() error{
		func() error { return d.open(work) },
		func() error { return web.Serve(d.web) },
		func() error { return rpc.Serve(d.rpc) },
	} {
		served.Go(func() { failed <- serve() })
	}

	var failure error
	select {
	case <-ctx.Done():
	case err := <-failed:
		if ctx.Err() != nil { // both at once
			break
		}
		failure = &adapter.Error{Op: "five9.Run", Kind: adapter.KindUnavailable, Err: fmt.Errorf("serve %s: %w", ln.Addr(), err)}
	}
	s.closeDoor()
	healthy.Shutdown()
	hangUp()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	var graceful sync.WaitGroup
	graceful.Go(rpc.GracefulStop)
	cut := make(chan struct{})
	stop := context.AfterFunc(grace, func() { // what watches health, and clients that do not let go
		defer close(cut)
		rpc.Stop()
	})
	if err := web.Shutdown(grace); err != nil {
		e.log.Debug("webhooks were cut off", "err", errors.Join(err, web.Close()))
	}
	graceful.Wait()
	if !stop() {
		<-cut
	}
	served.Wait()
	s.guests.Wait()
	return failure
}

// secure returns what the door ends TLS with.
func (a *Adapter) secure(given *tls.Config) (*tls.Config, error) {
	if given == nil {
		if a.cas != nil {
			return nil, errors.New("client_ca is set, but the adapter serves without tls, where nobody shows a certificate; set tls, or leave it to the proxy")
		}
		return nil, nil
	}
	own := given.Clone()
	own.NextProtos = []string{"h2", "http/1.1"}
	if a.cas != nil {
		own.ClientCAs, own.ClientAuth = a.cas, tls.VerifyClientCertIfGiven // webhooks bring none
	}
	return own, nil
}

// server is one Run: the streams that it serves and the goroutines that it waits for.
type server struct {
	*Adapter
	env  *environment
	work context.Context // ends with Run

	mu       sync.Mutex
	closed   bool
	streams  int
	unproved int // of them, those that have not shown a trust token yet
	guests   sync.WaitGroup
}

// maxUnproved bounds streams that have proved nothing yet, so that they cannot keep
// others out.
const maxUnproved = 256

// admit takes a place for a stream; leave gives it back.
func (s *server) admit() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.streams >= s.cfg.Limits.MaxStreams || s.unproved >= maxUnproved {
		return false
	}
	s.streams++
	s.unproved++
	s.guests.Add(1)
	return true
}

// settle says that a stream has proved itself, or will not do so any more.
func (s *server) settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unproved--
}

func (s *server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams--
	s.guests.Done()
}

// closeDoor keeps new streams out; afterwards guests only falls.
func (s *server) closeDoor() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

// isClosed reports whether Run is ending.
func (s *server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

func (s *server) newWeb() *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true) // the door has ended TLS
	timeout := time.Duration(s.cfg.Limits.HandshakeTimeout)
	return &http.Server{
		Handler:           s.routes(),
		Protocols:         protocols,
		ReadHeaderTimeout: timeout,
		ReadTimeout:       2 * timeout,
		WriteTimeout:      4 * timeout,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.env.log.Handler(), slog.LevelDebug), // scanners, mostly
	}
}
