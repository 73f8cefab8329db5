package native

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/net/netutil"

	"github.com/patchbay/patchbay/adapters/internal/report"
	"github.com/patchbay/patchbay/core/adapter"
)

// Adapter serves clients of Agent Assist. It implements adapter.Adapter.
type Adapter struct {
	cfg    Config
	tokens [][][sha256.Size]byte // of each client
	cas    *x509.CertPool        // nil: no client certificates
}

// New returns an adapter for valid settings; otherwise it fails with the problems of
// Config.Validate.
func New(cfg Config) (*Adapter, error) {
	err := cfg.Validate()
	a := &Adapter{cfg: cfg, tokens: make([][][sha256.Size]byte, len(cfg.Clients))}
	if err == nil && cfg.ClientCA != "" {
		a.cas, err = readCAs(cfg.ClientCA)
	}
	if err != nil {
		return nil, &adapter.Error{Op: "native.New", Kind: adapter.KindConfig, Err: err}
	}
	for i, c := range cfg.Clients {
		for _, t := range c.Tokens {
			a.tokens[i] = append(a.tokens[i], sha256.Sum256([]byte(t)))
		}
	}
	return a, nil
}

// shutdownTimeout bounds how long Run waits for calls under way.
const shutdownTimeout = time.Second

// Run serves clients until ctx ends.
func (a *Adapter) Run(ctx context.Context, env adapter.Env, sink adapter.Sink) error {
	secure, err := a.secure(env.TLS)
	if err != nil {
		return &adapter.Error{Op: "native.Run", Kind: adapter.KindConfig, Err: err}
	}
	ln, err := env.Listen(listenerGRPC)
	if err != nil {
		return &adapter.Error{Op: "native.Run", Kind: adapter.KindConfig, Err: err}
	}
	if a.cfg.Insecure {
		env.Log.Warn("insecure: true: clients are served without any proof of who they are")
	}
	if env.TLS == nil && !a.cfg.Insecure {
		env.Log.Warn("the adapter serves without TLS: bearer tokens cross the network in the clear, unless a proxy before it ends TLS")
	}
	work, hangUp := context.WithCancel(ctx) // bounds every stream
	defer hangUp()
	s := &server{Adapter: a, sink: sink, log: env.Log, report: report.New(env.Log, env.Count), work: work, feeds: map[feed]chan struct{}{}}
	rpc, healthy := s.newRPC(secure)
	failed := make(chan error, 1)
	go func() { failed <- rpc.Serve(netutil.LimitListener(ln, a.cfg.Limits.MaxConnections)) }()

	var failure error
	select {
	case <-ctx.Done():
	case err := <-failed:
		failure = &adapter.Error{Op: "native.Run", Kind: adapter.KindUnavailable, Err: fmt.Errorf("serve %s: %w", ln.Addr(), err)}
	}
	s.closeDoor()
	healthy.Shutdown()
	hangUp()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	stop := context.AfterFunc(grace, rpc.Stop) // what watches health, and clients that do not let go
	rpc.GracefulStop()
	stop()
	if failure == nil {
		if err := <-failed; err != nil {
			env.Log.Debug("the server stopped with an error", "err", err)
		}
	}
	s.guests.Wait()
	return failure
}

// secure returns what TLS is ended with; nil without TLS.
func (a *Adapter) secure(given *tls.Config) (*tls.Config, error) {
	if given == nil {
		if a.cas != nil {
			return nil, errors.New("client_ca is set, but the adapter serves without tls, where nobody shows a certificate; set tls")
		}
		return nil, nil
	}
	own := given.Clone()
	if a.cas != nil {
		own.ClientCAs, own.ClientAuth = a.cas, tls.VerifyClientCertIfGiven // others show a token
	}
	return own, nil
}

// server is one Run: the RPCs that it serves and the goroutines that it waits for.
type server struct {
	*Adapter
	sink   adapter.Sink
	log    *slog.Logger
	report *report.Reporter
	work   context.Context // ends with Run

	mu      sync.Mutex
	closed  bool
	streams int
	calls   int
	feeds   map[feed]chan struct{} // closed when a stream brings no more audio
	guests  sync.WaitGroup
}

// feed names what a stream brings audio for.
type feed struct{ account, call, leg string }

// handoverGrace is how long a stream waits for the one before it with the same leg to
// half-close. A client may have done so just before it opened the next, and the two come
// in by different goroutines.
const handoverGrace = 250 * time.Millisecond

// follow makes a stream the one that feeds a leg, after the one before it or the grace.
func (s *server) follow(ctx context.Context, f feed) (mine chan struct{}) {
	mine = make(chan struct{})
	s.mu.Lock()
	before := s.feeds[f]
	s.feeds[f] = mine
	s.mu.Unlock()
	if before == nil {
		return mine
	}
	grace := time.NewTimer(handoverGrace)
	defer grace.Stop()
	select {
	case <-before:
	case <-grace.C: // it takes over
	case <-ctx.Done():
	}
	return mine
}

// fed says that a stream brings no more.
func (s *server) fed(f feed, mine chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(mine)
	if s.feeds[f] == mine {
		delete(s.feeds, f)
	}
}

// enter takes a place among streams or calls; leave gives it back.
func (s *server) enter(n *int, most int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || *n >= most {
		return false
	}
	*n++
	s.guests.Add(1)
	return true
}

func (s *server) leave(n *int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*n--
	s.guests.Done()
}

// closeDoor keeps new RPCs out; afterwards guests only falls.
func (s *server) closeDoor() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}
