package oem

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/patchbay/patchbay/adapters/internal/report"
	"github.com/patchbay/patchbay/adapters/oem/receiver"
	"github.com/patchbay/patchbay/adapters/oem/signal"
	"github.com/patchbay/patchbay/core/adapter"
)

// Adapter is a recording server for SIP systems. It implements adapter.Adapter.
type Adapter struct {
	cfg    Config
	sip    signal.Config
	media  receiver.Config
	own    netip.Addr // settings.address; invalid when it is empty
	cas    *x509.CertPool
	trunks map[string]*trunk // by name
}

// New returns an adapter for valid settings; otherwise it fails with the problems of
// Config.Validate.
func New(cfg Config) (*Adapter, error) {
	a, ps := compile(cfg)
	if err := ps.Err(); err != nil {
		return nil, &adapter.Error{Op: "oem.New", Kind: adapter.KindConfig, Err: err}
	}
	return a, nil
}

// server is one Run.
type server struct {
	*Adapter
	sink     adapter.Sink
	log      *slog.Logger
	report   *report.Reporter
	receiver *receiver.Receiver
	signal   *signal.Server
	work     context.Context // ends with Run

	mu    sync.Mutex
	calls map[*session]place
}

// place is what other dialogs of its call want to know of a session.
type place struct {
	account, call string
	lines         int
}

// Run serves recording calls until ctx ends.
func (a *Adapter) Run(ctx context.Context, env adapter.Env, sink adapter.Sink) error {
	fail := func(kind adapter.Kind, err error) error {
		return &adapter.Error{Op: "oem.Run", Kind: kind, Err: err}
	}
	listeners, err := a.listen(env)
	if err != nil {
		return fail(adapter.KindConfig, err)
	}
	if a.cfg.Insecure {
		env.Log.Warn("insecure: true: calls are recorded without any proof of where they come from")
	}
	rx, err := receiver.New(a.media, env.Log, env.Count)
	if err != nil {
		closeAll(listeners)
		return fail(adapter.KindUnavailable, err)
	}
	s := &server{Adapter: a, sink: sink, log: env.Log, report: report.New(env.Log, env.Count), receiver: rx, work: ctx, calls: map[*session]place{}}
	if s.signal, err = signal.New(a.sip, s, env.Log, env.Count); err != nil {
		closeAll(listeners)
		return fail(adapter.KindConfig, errors.Join(err, rx.Close()))
	}
	var watch sync.WaitGroup
	watching, stop := context.WithCancel(ctx)
	watch.Go(func() { s.watch(watching) })
	err = s.signal.Serve(ctx, listeners)
	stop()
	watch.Wait()
	if closed := rx.Close(); closed != nil {
		env.Log.Debug("the audio sockets did not close well", "err", closed)
	}
	if err != nil {
		return fail(adapter.KindUnavailable, err)
	}
	return nil
}

// listen opens the listeners that the configuration names.
func (a *Adapter) listen(env adapter.Env) (l signal.Listeners, err error) {
	optional := func(err error) error {
		if errors.Is(err, adapter.ErrNoListener) {
			return nil
		}
		return err
	}
	var errs [3]error
	if l.UDP, errs[0] = env.ListenPacket(listenerUDP); errs[0] != nil {
		l.UDP = nil
	}
	if l.TCP, errs[1] = env.Listen(listenerTCP); errs[1] != nil {
		l.TCP = nil
	}
	if l.TLS, errs[2] = env.Listen(listenerTLS); errs[2] != nil {
		l.TLS = nil
	}
	err = errors.Join(optional(errs[0]), optional(errs[1]), optional(errs[2]))
	if err == nil {
		err = a.secure(env.TLS, &l)
	}
	if err != nil {
		closeAll(l)
	}
	return l, err
}

// secure says how sip_tls ends TLS.
func (a *Adapter) secure(given *tls.Config, l *signal.Listeners) error {
	switch {
	case l.TLS == nil:
		return nil
	case given == nil:
		return errors.New("listen.sip_tls is set and tls is not; name cert and key in tls")
	}
	l.TLSConfig = given.Clone()
	l.TLSConfig.ClientCAs, l.TLSConfig.ClientAuth = a.cas, tls.VerifyClientCertIfGiven
	if a.cas == nil {
		l.TLSConfig.ClientAuth = tls.NoClientCert
	}
	return nil
}

func closeAll(l signal.Listeners) {
	for _, c := range []interface{ Close() error }{l.UDP, l.TCP, l.TLS} {
		switch c := c.(type) {
		case nil:
		case net.PacketConn:
			_ = c.Close()
		case net.Listener:
			_ = c.Close()
		}
	}
}

// addressFor returns our address as a peer reaches it: the configured one, or else the
// local end of the way to it.
func (a *Adapter) addressFor(peer netip.AddrPort) (netip.Addr, error) {
	if a.own.IsValid() {
		return a.own, nil
	}
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(peer)) // sends nothing
	if err != nil {
		return netip.Addr{}, fmt.Errorf("there is no way to %s: %w", peer.Addr(), err)
	}
	local := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
	return local, conn.Close()
}

func (s *server) add(c *session, lines int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[c] = place{principal(c.peer).Account, c.link.CallKey, lines}
}

// drain tells the systems the truth that this host is leaving, so that they look for
// another recorder: OPTIONS gets 503 as well from now on.
func (s *server) drain() { s.signal.Drain(true) }

// linesOf returns how many audio lines the dialogs of a call have.
func (s *server) linesOf(call, account string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.calls {
		if p.call == call && p.account == account {
			n += p.lines
		}
	}
	return n
}

func (s *server) remove(c *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.calls, c)
}

// watch ends calls that nobody keeps alive any more.
func (s *server) watch(ctx context.Context) {
	idle := time.Duration(s.cfg.Media.Idle)
	if idle == 0 {
		return
	}
	tick := time.NewTicker(max(idle/8, 100*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for _, c := range s.live() {
				if c.idleSince(now) >= idle {
					s.report.Warn(countIdle, "neither audio nor RTCP nor SIP came within media.idle; the call counts as lost", "trunk", c.trunk.Name)
					c.hangUp(adapter.EndReason{Kind: adapter.EndLost, Text: "nothing came for " + idle.String()})
				}
			}
		}
	}
}

func (s *server) live() []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*session
	for c := range s.calls {
		list = append(list, c)
	}
	return list
}
