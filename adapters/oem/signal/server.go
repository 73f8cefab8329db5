package signal

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/patchbay/patchbay/adapters/internal/report"
)

// Server takes recording dialogs by SIP.
type Server struct {
	cfg     Config
	handler Handler
	log     *slog.Logger
	report  *report.Reporter

	gate     *gate
	rate     *buckets // requests outside dialogs
	pings    *buckets // OPTIONS of the same
	refusals *buckets // answers to strangers
	txs      *transactions
	dialogs  *table
	streams  *streams
	packets  *packetSocket
	lns      Listeners

	lookup func(ctx context.Context, host string) (netip.Addr, error)

	draining atomic.Bool
	workers  sync.WaitGroup // a goroutine for each dialog, and for each request of ours
}

// New checks cfg and returns a server. count gets each thing that went wrong, by kind
// (the Count constants).
func New(cfg Config, h Handler, log *slog.Logger, count func(kind string)) (*Server, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	rep := report.New(log, count)
	s := &Server{
		cfg: cfg, handler: h, log: log, report: rep,
		gate:     &gate{trunks: cfg.Trunks, insecure: cfg.Insecure, digest: newDigester(cfg.Realm, rep.Count)},
		rate:     newBuckets(cfg.Limits.RequestRate, float64(cfg.Limits.RequestBurst)),
		pings:    newBuckets(cfg.Limits.RequestRate, float64(cfg.Limits.RequestBurst)),
		refusals: newBuckets(1/cfg.Limits.RefusalInterval.Seconds(), 1),
		txs:      newTransactions(cfg.Limits.Transactions, rep.Count),
		dialogs:  newTable(cfg.Limits.Dialogs),
		lookup:   lookup,
	}
	s.streams = newStreams(cfg.Limits, s)
	if cfg.Insecure {
		log.Warn("calls are taken from everybody: insecure is set")
	}
	return s, nil
}

// Serve takes calls on l until ctx ends or a socket fails. Then every dialog gets its
// BYE, within Config.StopGrace, the sockets are closed, and everything that it started is
// waited for. It returns nil when ctx ended. It is called once.
func (s *Server) Serve(ctx context.Context, l Listeners) error {
	if l.UDP == nil && l.TCP == nil && l.TLS == nil {
		return errors.New("signal: there is nothing to listen on")
	}
	if l.TLS != nil && l.TLSConfig == nil {
		return errors.New("signal: TLS needs a certificate")
	}
	s.lns = l
	if l.TLSConfig != nil && l.TLSConfig.MinVersion < tls.VersionTLS12 {
		s.lns.TLSConfig = l.TLSConfig.Clone()
		s.lns.TLSConfig.MinVersion = tls.VersionTLS12
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	failed := make(chan error, 3)
	open, shut := context.WithCancel(context.WithoutCancel(ctx)) // the sockets outlast ctx: farewells go out by them
	defer shut()
	var sockets sync.WaitGroup
	serve := func(read func() error) {
		sockets.Go(func() {
			if err := read(); err != nil {
				failed <- err
				stop()
			}
		})
	}
	if l.UDP != nil {
		s.packets = newPacketSocket(l.UDP, s.cfg.Contact.UDP)
		serve(func() error { return s.packets.read(open, s.datagram) })
	}
	if l.TCP != nil {
		serve(func() error { return s.streams.accept(open, l.TCP, nil, s.cfg.Contact.TCP) })
	}
	if l.TLS != nil {
		serve(func() error { return s.streams.accept(open, l.TLS, s.lns.TLSConfig, s.cfg.Contact.TLS) })
	}

	<-ctx.Done()
	s.Drain(true)
	s.dialogs.endAll() // each says BYE, within StopGrace
	enough := time.AfterFunc(s.cfg.StopGrace, s.txs.abandon)
	s.dialogs.taken.Wait()
	s.workers.Wait()
	enough.Stop()
	shut()
	l.close()
	sockets.Wait()
	s.streams.closeAll()
	s.txs.close()
	close(failed)
	return <-failed
}

func (l Listeners) close() {
	if l.UDP != nil {
		_ = l.UDP.Close()
	}
	for _, ln := range []net.Listener{l.TCP, l.TLS} {
		if ln != nil {
			_ = ln.Close()
		}
	}
}

// Drain tells the truth to those who ask: while draining, OPTIONS and new INVITEs get 503
// with Retry-After. Dialogs go on.
func (s *Server) Drain(on bool) { s.draining.Store(on) }

// Dialogs returns how many dialogs there are, those that wait for the answer to their BYE
// among them.
func (s *Server) Dialogs() int { return s.dialogs.size() }
