package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/call"
)

// Config says where the API serves and for whom.
type Config struct {
	Listen  string         // host:port as configured; Serve gets the listener
	Token   adapter.Secret // bearer token; empty only where Listen is a loopback address
	Version string         // of patchbay, for the OpenAPI description
}

// Deps is what the API shows and steers.
type Deps struct {
	Calls    *call.Manager
	Adapters Adapters
	Metrics  http.Handler // nil: no /metrics
	Log      *slog.Logger
}

// The limits of the server. A request's body and head are small; a client that
// reads nothing is dropped after WriteTimeout.
const (
	ReadHeaderTimeout = 10 * time.Second
	WriteTimeout      = 30 * time.Second
	IdleTimeout       = 2 * time.Minute
	ShutdownGrace     = 5 * time.Second // for requests that are under way
	MaxHeaderBytes    = 64 << 10
	MaxBodyBytes      = 64 << 10
)

// Server is the HTTP interface. Serve runs it once.
type Server struct {
	cfg      Config
	calls    *call.Manager
	adapters Adapters
	log      *slog.Logger
	watchers *watchers
	handler  http.Handler

	heartbeat    time.Duration // between comments on a quiet event stream
	writeTimeout time.Duration // for one write to an event stream
}

// New returns a server. It fails with an adapter.Problem when the configuration
// would let strangers in.
func New(cfg Config, deps Deps) (*Server, error) {
	if err := checkAccess(cfg); err != nil {
		return nil, err
	}
	s := &Server{
		cfg: cfg, calls: deps.Calls, adapters: deps.Adapters, log: deps.Log, watchers: newWatchers(MaxStreams),
		heartbeat: DefaultHeartbeat, writeTimeout: StreamWriteTimeout,
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	routes, err := s.routes(deps.Metrics)
	if err != nil {
		return nil, err
	}
	s.handler = s.recovered(newGuard(cfg.Token).around(routes))
	return s, nil
}

// ServeHTTP answers one request; Serve does so for a listener.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// What the API says is about people: it belongs into nobody's cache.
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	s.handler.ServeHTTP(w, r)
}

// Serve answers on ln until ctx ends; then event streams end, requests that are
// under way get ShutdownGrace, and Serve returns nil. It closes ln. For TLS, ln is
// a TLS listener.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	if err := checkListener(s.cfg, ln.Addr()); err != nil {
		return errors.Join(err, ln.Close())
	}
	server := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: ReadHeaderTimeout,
		WriteTimeout:      WriteTimeout,
		IdleTimeout:       IdleTimeout,
		MaxHeaderBytes:    MaxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), // broken handshakes and the like
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	select {
	case <-ctx.Done():
	case err := <-served: // the listener broke
		served <- err
	}
	s.watchers.stop()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), ShutdownGrace)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		s.log.Warn("api: requests were cut off at the end", "err", err)
		_ = server.Close() // the listener is closed already; nobody is left to tell
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return &adapter.Error{Op: "api.Serve", Kind: adapter.KindUnavailable, Err: fmt.Errorf("listening on %s: %w", ln.Addr(), err)}
	}
	return nil
}
