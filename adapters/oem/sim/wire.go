package sim

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// line carries SIP messages to and from the server: a UDP socket, or a TCP or TLS
// connection that is made anew when it broke.
type line struct {
	transport string // udp, tcp, tls
	server    netip.AddrPort
	secure    *tls.Config
	receive   func(*message)
	trouble   func(error) // what could not be read

	mu      sync.Mutex
	conn    net.Conn
	closed  bool
	readers sync.WaitGroup // one goroutine a connection
}

const dialTimeout = 5 * time.Second

// dialLine connects, so that mistakes show before the first call.
func dialLine(ctx context.Context, transport string, server netip.AddrPort, secure *tls.Config, receive func(*message), trouble func(error)) (*line, error) {
	l := &line{transport: transport, server: server, secure: secure, receive: receive, trouble: trouble}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l, l.dial(ctx)
}

func (l *line) reliable() bool { return l.transport != "udp" }

// dial is called with mu held.
func (l *line) dial(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	network := l.transport
	if network == "tls" {
		network = "tcp"
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, l.server.String())
	if err != nil {
		return err
	}
	if l.transport == "tls" {
		t := tls.Client(conn, l.secure)
		if err := t.HandshakeContext(ctx); err != nil {
			return errors.Join(fmt.Errorf("TLS with %s: %w", l.server, err), conn.Close())
		}
		conn = t
	}
	l.conn = conn
	l.readers.Go(func() { l.read(conn) })
	return nil
}

// local is the address that the server sees, as far as this side knows.
func (l *line) local() netip.AddrPort {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == nil {
		return netip.AddrPort{}
	}
	a, err := netip.ParseAddrPort(l.conn.LocalAddr().String())
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// send writes a message, over a new connection where the old one is gone.
func (l *line) send(b []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return net.ErrClosed
	}
	if l.conn == nil {
		if err := l.dial(context.Background()); err != nil { // bounded by dialTimeout
			return err
		}
	}
	_, err := l.conn.Write(b)
	return err
}

// lose drops the connection, as a network does. The next message makes another.
func (l *line) lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.reliable() && l.conn != nil {
		_ = l.conn.Close() // it is to be lost
		l.conn = nil
	}
}

func (l *line) close() {
	l.mu.Lock()
	l.closed = true
	if l.conn != nil {
		_ = l.conn.Close() // nothing depends on it any more
	}
	l.mu.Unlock()
	l.readers.Wait()
}

func (l *line) read(conn net.Conn) {
	defer l.gone(conn)
	if l.transport == "udp" {
		l.readDatagrams(conn)
		return
	}
	r := bufio.NewReaderSize(conn, maxMessage)
	for {
		m, err := readMessage(r)
		if err != nil {
			if errors.Is(err, errMessage) {
				l.trouble(err)
			}
			return
		}
		l.receive(m)
	}
}

func (l *line) readDatagrams(conn net.Conn) {
	buf := make([]byte, 1<<16)
	for {
		n, err := conn.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || len(bytes.TrimSpace(buf[:n])) == 0 { // refused port: the next answer may come
			continue
		}
		m, err := parseDatagram(buf[:n])
		if err != nil {
			l.trouble(err)
			continue
		}
		l.receive(m)
	}
}

// gone forgets a connection that ended.
func (l *line) gone(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == conn {
		_ = conn.Close() // it is broken already
		l.conn = nil
	}
}
