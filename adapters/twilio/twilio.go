package twilio

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/patchbay/patchbay/adapters/internal/report"
	"github.com/patchbay/patchbay/core/adapter"
)

// Adapter serves Twilio Media Streams. It implements adapter.Adapter,
// adapter.Attacher and adapter.Detacher.
type Adapter struct {
	cfg      Config
	public   publicURL
	accounts map[string]*Account
	verify   verifier
	twiml    *answer // nil when the voice webhook is not configured

	tokens   tokens
	attached attachments
	dialer   *http.Transport // for the REST API
	beats    []*beats
	stopped  atomic.Bool // Run is ending or has ended
}

// New returns an adapter for valid settings; otherwise it fails with the
// problems of Config.Validate.
func New(cfg Config) (*Adapter, error) {
	if err := cfg.Validate(); err != nil {
		return nil, &adapter.Error{Op: "twilio.New", Kind: adapter.KindConfig, Err: err}
	}
	public, err := parsePublicURL(cfg.PublicURL)
	if err != nil {
		return nil, &adapter.Error{Op: "twilio.New", Kind: adapter.KindConfig, Err: err}
	}
	a := &Adapter{cfg: cfg, public: public, accounts: map[string]*Account{}, beats: newBeats(), verify: newVerifier(cfg.Accounts),
		dialer: &http.Transport{DisableKeepAlives: true, TLSHandshakeTimeout: restTimeout}} // attaching is rare
	for i := range cfg.Accounts {
		a.accounts[cfg.Accounts[i].SID] = &cfg.Accounts[i]
	}
	if cfg.Voice.Enabled() {
		if a.twiml, err = newAnswer(cfg, public); err != nil {
			return nil, &adapter.Error{Op: "twilio.New", Kind: adapter.KindConfig, Err: err}
		}
	}
	return a, nil
}

// account returns the settings of an account, or nil.
func (a *Adapter) account(sid string) *Account { return a.accounts[sid] }

// environment is what the host gave to Run.
type environment struct {
	sink   adapter.Sink
	log    *slog.Logger
	report *report.Reporter
}

// shutdownTimeout bounds how long Run waits for webhooks under way and for
// Twilio to answer close frames.
const shutdownTimeout = time.Second

// Run serves webhooks, callbacks and streams until ctx ends.
func (a *Adapter) Run(ctx context.Context, env adapter.Env, sink adapter.Sink) error {
	ln, err := env.Listen(listenerHTTP)
	if err != nil {
		return &adapter.Error{Op: "twilio.Run", Kind: adapter.KindConfig, Err: err}
	}
	if env.TLS != nil {
		own := env.TLS.Clone()
		own.NextProtos = []string{"http/1.1"} // a WebSocket upgrade is HTTP/1.1
		ln = tls.NewListener(ln, own)
	}
	e := &environment{sink: sink, log: env.Log, report: report.New(env.Log, env.Count)}
	if a.cfg.Insecure {
		e.log.Warn("insecure: true: streams are heard without any proof of where they come from")
	}

	s := newServer(a, e)
	work, hangUp := context.WithCancel(ctx) // bounds every stream and every attach
	s.work = work
	web := &http.Server{
		Handler:           s.routes(),
		ReadHeaderTimeout: time.Duration(a.cfg.Limits.HandshakeTimeout),
		ReadTimeout:       2 * time.Duration(a.cfg.Limits.HandshakeTimeout), // header and body; streams set their own
		WriteTimeout:      4 * time.Duration(a.cfg.Limits.HandshakeTimeout),
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(e.log.Handler(), slog.LevelDebug), // scanners, mostly
	}
	quiet := make(chan struct{})
	var beating sync.WaitGroup
	for _, b := range a.beats {
		beating.Go(func() { b.run(quiet) })
	}
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
		failure = &adapter.Error{Op: "twilio.Run", Kind: adapter.KindUnavailable, Err: fmt.Errorf("serve %s: %w", ln.Addr(), serveErr)}
	}
	a.stopped.Store(true)
	s.closeDoor()
	hangUp()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := web.Shutdown(grace); err != nil {
		e.log.Debug("webhooks were cut off", "err", errors.Join(err, web.Close()))
	}
	<-served
	s.guests.Wait()
	close(quiet)
	beating.Wait()
	return failure
}

// server is one Run: its routes, and the goroutines that it waits for.
type server struct {
	*Adapter
	env  *environment
	work context.Context // ends with Run; handlers outlive their request's context by it

	mu       sync.Mutex
	closed   bool
	streams  int // upgraded connections
	unproved int // of them, those whose upgrade was not signed and that have not started
	attaches int // under way because of call-status callbacks
	guests   sync.WaitGroup
}

func newServer(a *Adapter, env *environment) *server { return &server{Adapter: a, env: env} }

// maxUnproved bounds connections that have proved nothing yet
// (upgrade_signature: if-present, or insecure), so that they cannot keep
// signed ones out.
const maxUnproved = 256

// admitSocket takes a place for a stream's connection; leave gives it back.
func (s *server) admitSocket(unproved bool) (ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.streams >= s.cfg.Limits.MaxStreams || unproved && s.unproved >= maxUnproved {
		return false
	}
	s.streams++
	if unproved {
		s.unproved++
	}
	s.guests.Add(1)
	return true
}

func (s *server) proved() {
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

// full reports whether another stream would find no place.
func (s *server) full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed || s.streams >= s.cfg.Limits.MaxStreams
}

// maxAttaches bounds the REST requests that callbacks may have under way.
const maxAttaches = 64

// background runs f in a goroutine that Run waits for, unless Run is ending or
// too many run already.
func (s *server) background(f func(ctx context.Context)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.attaches >= maxAttaches {
		return false
	}
	s.attaches++
	s.guests.Go(func() {
		f(s.work)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.attaches--
	})
	return true
}

// closeDoor keeps new streams and background work out; afterwards guests only falls.
func (s *server) closeDoor() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

func (s *server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+s.public.path+pathStream, s.serveUpgrade)
	for path, answer := range map[string]func(http.ResponseWriter, call){
		pathVoice:      s.answerVoice,
		pathStatus:     s.answerStatus,
		pathCallStatus: s.answerCallStatus,
	} {
		handler := s.verified(path, answer)
		mux.HandleFunc("GET "+s.public.path+path, handler)
		mux.HandleFunc("POST "+s.public.path+path, handler)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.env.report.Warn(countPath, "nothing is served at this path; compare it with public_url (a slash at the end counts, and a proxy must not change paths)",
			"path", clip(r.URL.Path, 100), "public_path", s.public.path, "remote", r.RemoteAddr)
		http.NotFound(w, r)
	})
	return mux
}

// clip shortens what strangers wrote before it is logged.
func clip(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}
