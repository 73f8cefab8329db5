package audiohook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"github.com/patchbay/patchbay/adapters/internal/networks"
	"github.com/patchbay/patchbay/adapters/internal/report"
	"github.com/patchbay/patchbay/core/adapter"
)

// Adapter serves Genesys AudioHook. It implements adapter.Adapter.
type Adapter struct {
	cfg    Config
	public *url.URL       // nil: requests come as Genesys made them
	nets   []netip.Prefix // none means all
	verify *verifier
	chains chains
}

// New returns an adapter for valid settings; otherwise it fails with the problems of
// Config.Validate.
func New(cfg Config) (*Adapter, error) {
	err := cfg.Validate()
	a := &Adapter{cfg: cfg}
	if err == nil {
		a.public, err = parsePublic(cfg.PublicURL)
	}
	if err == nil {
		a.verify, err = newVerifier(cfg)
	}
	for _, text := range cfg.Addresses {
		p, bad := networks.Parse(text)
		err = errors.Join(err, bad)
		a.nets = append(a.nets, p)
	}
	if err != nil {
		return nil, &adapter.Error{Op: "audiohook.New", Kind: adapter.KindConfig, Err: err}
	}
	return a, nil
}

// environment is what the host gave to Run.
type environment struct {
	sink   adapter.Sink
	log    *slog.Logger
	report *report.Reporter
	secure bool // this process ends TLS
}

// shutdownTimeout bounds how long Run waits for requests under way, and for Genesys to
// close sessions that were told to.
const shutdownTimeout = time.Second

// Run serves sessions until ctx ends.
func (a *Adapter) Run(ctx context.Context, env adapter.Env, sink adapter.Sink) error {
	ln, err := env.Listen(listenerHTTP)
	if err != nil {
		return &adapter.Error{Op: "audiohook.Run", Kind: adapter.KindConfig, Err: err}
	}
	e := &environment{sink: sink, log: env.Log, report: report.New(env.Log, env.Count), secure: env.TLS != nil}
	ln = &door{Listener: ln, most: a.cfg.Limits.MaxConnections, report: e.report}
	if env.TLS != nil {
		own := env.TLS.Clone()
		own.NextProtos = []string{"http/1.1"} // a WebSocket upgrade is HTTP/1.1
		ln = tls.NewListener(ln, own)
	}
	for _, account := range a.cfg.Accounts {
		for _, k := range account.Keys {
			if k.Unsigned {
				e.log.Warn("unsigned: true: sessions are heard that prove no more than an API key", "account", account.Organization)
			}
		}
	}

	work, hangUp := context.WithCancel(ctx) // bounds every session
	defer hangUp()
	s := &server{Adapter: a, env: e, work: work, refusing: make(chan struct{}, maxRefusing)}
	web := &http.Server{
		Handler:           s.routes(),
		ReadHeaderTimeout: time.Duration(a.cfg.Limits.HandshakeTimeout),
		ReadTimeout:       2 * time.Duration(a.cfg.Limits.HandshakeTimeout), // sessions set their own
		WriteTimeout:      4*time.Duration(a.cfg.Limits.HandshakeTimeout) + time.Duration(a.cfg.Limits.RefusalDelay),
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(e.log.Handler(), slog.LevelDebug), // scanners, mostly
	}
	web.SetKeepAlivesEnabled(false) // an upgrade needs none, and a scanner shall not keep a connection
	served := make(chan struct{})
	var serveErr error // valid once served is closed
	go func() {
		defer close(served)
		serveErr = web.Serve(ln)
	}()

	var failure error
	select {
	case <-ctx.Done():
	case <-served:
		failure = &adapter.Error{Op: "audiohook.Run", Kind: adapter.KindUnavailable, Err: fmt.Errorf("serve %s: %w", ln.Addr(), serveErr)}
	}
	s.closeDoor()
	hangUp()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := web.Shutdown(grace); err != nil {
		e.log.Debug("requests were cut off", "err", errors.Join(err, web.Close()))
	}
	<-served
	s.guests.Wait()
	return failure
}

// server is one Run: the sessions that it serves and the goroutines that it waits for.
type server struct {
	*Adapter
	env      *environment
	work     context.Context // ends with Run
	refusing chan struct{}   // a place for each upgrade whose refusal is delayed

	mu       sync.Mutex
	closed   bool
	sessions int
	unopened int // of them, those without open message
	guests   sync.WaitGroup
}

const (
	maxUnopened = 512 // sessions that have not said open yet, so that they cannot keep others out
	maxRefusing = 256 // upgrades that wait for their refusal
)

// admit takes a place for a session; leave gives it back.
func (s *server) admit() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.sessions >= s.cfg.Limits.MaxSessions || s.unopened >= maxUnopened {
		return false
	}
	s.sessions++
	s.unopened++
	s.guests.Add(1)
	return true
}

// settle says that a session has said open, or will not do so any more.
func (s *server) settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unopened--
}

func (s *server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions--
	s.guests.Done()
}

// closeDoor keeps new sessions out; afterwards guests only falls.
func (s *server) closeDoor() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

func (s *server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+s.cfg.Path, s.serveUpgrade)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.env.report.Warn(countPath, "nothing is served at this path; compare it with path and the connection URI at Genesys (a slash at the end counts)",
			"path", clip(r.URL.Path, 100), "remote", r.RemoteAddr)
		http.NotFound(w, r)
	})
	return mux
}
