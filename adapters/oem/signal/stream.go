package signal

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// writeTimeout bounds a write to a peer that does not read.
const writeTimeout = 5 * time.Second

// stream is a TCP or TLS connection.
type stream struct {
	raw  net.Conn // to be closed
	conn net.Conn // raw, or TLS over it
	done atomic.Bool
	mu   sync.Mutex // one message at a time

	proved atomic.Bool // its peer is no stranger
}

func (c *stream) gone() bool { return c.done.Load() }

func (c *stream) send(b []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone() {
		return errGone
	}
	_ = c.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := c.conn.Write(b); err != nil {
		c.close() // half a message may be out
		return err
	}
	return nil
}

func (c *stream) close() {
	if !c.done.Swap(true) {
		_ = c.raw.Close()
	}
}

// streams are the connections of a server, those that it accepted and those that it
// opened.
type streams struct {
	limits  Limits
	receive func(*flow, *message)
	known   func(*flow) bool // whether the peer is more than a stranger
	note    func(kind string)

	readers sync.WaitGroup // a goroutine for each connection

	mu     sync.Mutex
	closed bool
	conns  map[*stream]netip.Addr
	from   map[netip.Addr]int
}

func newStreams(l Limits, s *Server) *streams {
	return &streams{
		limits: l, receive: s.receive, note: s.report.Count,
		known: func(f *flow) bool {
			if f.conn.proved.Load() {
				return true
			}
			_, v := s.gate.check(f, nil)
			return v == welcome
		},
		conns: map[*stream]netip.Addr{}, from: map[netip.Addr]int{},
	}
}

// open counts a connection in, or returns nil: too many, or closing time.
func (s *streams) open(conn net.Conn) *stream {
	from := addrPort(conn.RemoteAddr()).Addr()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.conns) >= s.limits.Connections || s.from[from] >= s.limits.PeerConnections {
		return nil
	}
	c := &stream{raw: conn, conn: conn}
	s.conns[c] = from
	s.from[from]++
	return c
}

func (s *streams) forget(c *stream) {
	c.close()
	s.mu.Lock()
	defer s.mu.Unlock()
	from, ok := s.conns[c]
	if !ok {
		return
	}
	delete(s.conns, c)
	if s.from[from]--; s.from[from] <= 0 {
		delete(s.from, from)
	}
}

// closeAll ends every connection and waits for its reader.
func (s *streams) closeAll() {
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		c.close()
	}
	s.mu.Unlock()
	s.readers.Wait()
}

// accept lets connections in until the listener is closed. secure is nil without TLS.
func (s *streams) accept(ctx context.Context, ln net.Listener, secure *tls.Config, configured string) error {
	port := addrPort(ln.Addr()).Port()
	for failures := 0; ; {
		conn, err := ln.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) || ctx.Err() != nil {
				return nil
			}
			if failures++; failures > 100 { // 5 s of, say, no file descriptors
				return err
			}
			if !pause(ctx, time.Duration(failures)*time.Millisecond) {
				return nil
			}
			continue
		}
		failures = 0
		c := s.open(conn)
		if c == nil {
			s.note(CountConnections)
			_ = conn.Close()
			continue
		}
		s.readers.Go(func() {
			defer s.forget(c)
			f, err := greet(ctx, c, secure, s.limits.Handshake)
			if err != nil {
				s.note(CountHandshake)
				return
			}
			f.contact = contactAt(configured, netip.AddrPortFrom(addrPort(conn.LocalAddr()).Addr(), port))
			s.read(f)
		})
	}
}

// greet ends TLS, if there is any.
func greet(ctx context.Context, c *stream, secure *tls.Config, within time.Duration) (*flow, error) {
	f := &flow{transport: TCP, remote: addrPort(c.conn.RemoteAddr()), conn: c}
	if secure == nil {
		return f, nil
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	conn := tls.Server(c.conn, secure)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	c.conn = conn
	f.transport = TLS
	f.names = certificateNames(conn.ConnectionState())
	return f, nil
}

// certificateNames are what a verified certificate says of its holder.
func certificateNames(s tls.ConnectionState) []string {
	if len(s.VerifiedChains) == 0 || len(s.PeerCertificates) == 0 {
		return nil
	}
	return namesOf(s.PeerCertificates[0])
}

func namesOf(cert *x509.Certificate) []string {
	names := append([]string(nil), cert.DNSNames...)
	for _, u := range cert.URIs {
		if t, ok := parseTarget(u.String()); ok {
			names = append(names, t.host) // RFC 5922: sip:example.com
		}
	}
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	if cert.Subject.CommonName != "" {
		names = append(names, cert.Subject.CommonName)
	}
	return names
}

// read hands every message of a connection on until it ends. A stranger's gets less time.
func (s *streams) read(f *flow) {
	c := f.conn
	frame := framer{
		r:     bufio.NewReaderSize(c.conn, 4096),
		most:  s.limits.MessageBytes,
		begun: func() { _ = c.conn.SetReadDeadline(time.Now().Add(s.limits.Handshake)) },
		pong:  func() error { return c.send([]byte("\r\n")) },
	}
	for {
		idle := s.limits.IdleConnection
		if !s.known(f) {
			idle = min(idle, s.limits.Handshake)
		}
		_ = c.conn.SetReadDeadline(time.Now().Add(idle))
		m, err := frame.next()
		if m != nil {
			s.receive(f, m)
		}
		if err != nil {
			if !errors.Is(err, io.EOF) && !c.gone() {
				s.note(CountStream)
			}
			return
		}
		if c.gone() {
			return
		}
	}
}

// dial opens a connection to a peer whose own was lost.
func (s *streams) dial(ctx context.Context, to netip.AddrPort, secure *tls.Config, configured string, listener netip.AddrPort) (*flow, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, err
	}
	c := s.open(conn)
	if c == nil {
		_ = conn.Close()
		return nil, errors.New("too many connections")
	}
	f := &flow{transport: TCP, remote: to, conn: c}
	f.contact = contactAt(configured, netip.AddrPortFrom(addrPort(conn.LocalAddr()).Addr(), listener.Port()))
	if secure != nil {
		client := tls.Client(conn, secure)
		if err := client.HandshakeContext(ctx); err != nil {
			s.forget(c)
			return nil, err
		}
		c.conn = client
		f.transport, f.names = TLS, certificateNames(client.ConnectionState())
	}
	f.prove()
	if !s.start(f) {
		s.forget(c)
		return nil, errGone
	}
	return f, nil
}

// start reads a connection of our own, unless it is closing time.
func (s *streams) start(f *flow) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.readers.Go(func() {
		defer s.forget(f.conn)
		s.read(f)
	})
	return true
}
