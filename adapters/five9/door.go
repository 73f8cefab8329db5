package five9

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/patchbay/patchbay/adapters/internal/report"
)

// door accepts connections, ends TLS, and hands each to the server of the protocol
// that it begins with, since Five9's streams and webhooks may share a port. gRPC's own
// transport gets its connections whole, because only that one enforces keepalive and
// measures up to hundreds of streams; net/http gets the rest, HTTP/1.1 and HTTP/2. A
// connection that begins as one does not become the other: a proxy that mixes both on
// one connection must be told to send webhooks by HTTP/1.1.
type door struct {
	ln     net.Listener
	tls    *tls.Config   // nil: without
	within time.Duration // for TLS, and then for the first bytes
	log    *slog.Logger
	report *report.Reporter

	rpc, web inbox
	guests   sync.WaitGroup // a goroutine for each connection that is not handed on yet

	mu    sync.Mutex
	conns int
	most  int
}

func newDoor(ln net.Listener, t *tls.Config, limits Limits, env *environment) *door {
	return &door{ln: ln, tls: t, within: time.Duration(limits.HandshakeTimeout), most: limits.MaxConnections,
		log: env.log, report: env.report, rpc: newInbox(ln.Addr()), web: newInbox(ln.Addr())}
}

// open lets connections in until ctx ends or the listener fails. Then it waits for
// those that are still at the door.
func (d *door) open(ctx context.Context) error {
	ctx, shut := context.WithCancel(ctx)
	defer d.guests.Wait()
	defer shut()
	stop := context.AfterFunc(ctx, func() { _ = d.ln.Close() }) // unblocks Accept
	defer stop()
	for {
		conn, err := d.ln.Accept()
		if err != nil {
			return errors.Join(ctx.Err(), err)
		}
		if !d.enter() {
			d.report.Warn(countFull, "a connection is closed: limits.max_connections is reached", "remote", conn.RemoteAddr())
			_ = conn.Close()
			continue
		}
		d.guests.Go(func() {
			left := &counted{Conn: conn, door: d}
			if err := d.greet(ctx, left); err != nil {
				_ = left.Close()
				d.report.Count(countDoor)
				d.log.Debug("a connection is closed at the door", "remote", conn.RemoteAddr(), "err", err) // scanners, mostly
			}
		})
	}
}

func (d *door) enter() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conns >= d.most {
		return false
	}
	d.conns++
	return true
}

// counted gives a connection's place back when it is closed.
type counted struct {
	net.Conn
	door *door
	once sync.Once
}

func (c *counted) Close() error {
	c.once.Do(func() {
		c.door.mu.Lock()
		defer c.door.mu.Unlock()
		c.door.conns--
	})
	return c.Conn.Close()
}

// greet hands a connection on.
func (d *door) greet(ctx context.Context, conn net.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, 2*d.within)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	var state *tls.ConnectionState
	if d.tls != nil {
		secure := tls.Server(conn, d.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			return err
		}
		now := secure.ConnectionState()
		conn, state = secure, &now
	}
	said, isRPC, acked, err := sniff(conn)
	if err != nil {
		return err
	}
	if !stop() {
		return ctx.Err()
	}
	heard := io.MultiReader(bytes.NewReader(said), conn)
	if isRPC {
		return d.rpc.put(ctx, &greeted{Conn: conn, reader: heard, tls: state})
	}
	if acked { // HTTP/2, which has no use for the answer to our settings
		heard = &ackFilter{r: heard, left: int64(len(http2.ClientPreface))}
	}
	return d.web.put(ctx, &greeted{Conn: conn, reader: heard, tls: state})
}

// greeted is a connection whose first bytes were read already.
type greeted struct {
	net.Conn
	reader io.Reader
	tls    *tls.ConnectionState // nil: without
}

func (c *greeted) Read(p []byte) (int, error) { return c.reader.Read(p) }

// settings is an empty SETTINGS frame of HTTP/2. A gRPC client sends no request
// before the server's.
var settings = []byte{0, 0, 0, byte(http2.FrameSettings), 0, 0, 0, 0, 0}

// The bounds of what is read before it is known who shall have it.
const (
	maxSniffed      = 64 << 10
	maxSniffedFrame = 16 << 10
)

// sniff reads until it is clear whether a connection carries gRPC, and returns all
// that was read. An HTTP/2 connection gets a first SETTINGS frame; greetedFirst says
// so, since its answer is for nobody else.
func sniff(conn io.ReadWriter) (said []byte, isRPC, greetedFirst bool, err error) {
	var kept bytes.Buffer
	r := io.TeeReader(io.LimitReader(conn, maxSniffed), &kept)
	for b := make([]byte, 1); kept.Len() < len(http2.ClientPreface); {
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, false, false, err
		}
		if !strings.HasPrefix(http2.ClientPreface, kept.String()) {
			return kept.Bytes(), false, false, nil // HTTP/1.1, or nonsense, which net/http answers
		}
	}
	if _, err := conn.Write(settings); err != nil {
		return nil, false, false, err
	}
	f := http2.NewFramer(io.Discard, r)
	f.SetMaxReadFrameSize(maxSniffedFrame)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	f.MaxHeaderListSize = maxSniffedFrame
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return nil, false, false, err
		}
		if h, ok := frame.(*http2.MetaHeadersFrame); ok {
			for _, field := range h.RegularFields() {
				if field.Name == "content-type" {
					isRPC = strings.HasPrefix(field.Value, "application/grpc")
				}
			}
			return kept.Bytes(), isRPC, true, nil
		}
	}
}

// ackFilter takes the first acknowledgement of settings out of an HTTP/2 stream.
type ackFilter struct {
	r    io.Reader
	left int64  // bytes of the current frame, to be passed on
	head []byte // a frame's header, to be passed on
	done bool
}

const frameHeader = 9 // bytes; RFC 9113 §4.1

// Read implements io.Reader.
func (f *ackFilter) Read(p []byte) (int, error) {
	for {
		switch {
		case len(f.head) > 0:
			n := copy(p, f.head)
			f.head = f.head[n:]
			return n, nil
		case f.done:
			return f.r.Read(p)
		case f.left > 0:
			n, err := f.r.Read(p[:min(int64(len(p)), f.left)])
			f.left -= int64(n)
			return n, err
		}
		head := make([]byte, frameHeader)
		if _, err := io.ReadFull(f.r, head); err != nil {
			return 0, err
		}
		f.left = int64(head[0])<<16 | int64(head[1])<<8 | int64(head[2])
		if head[3] == byte(http2.FrameSettings) && http2.Flags(head[4]).Has(http2.FlagSettingsAck) && f.left == 0 {
			f.done = true
			continue
		}
		f.head = head
	}
}

// inbox is a listener whose connections come from the door.
type inbox struct {
	addr  net.Addr
	conns chan net.Conn
	shut  chan struct{}
	once  *sync.Once
}

func newInbox(addr net.Addr) inbox {
	return inbox{addr: addr, conns: make(chan net.Conn), shut: make(chan struct{}), once: new(sync.Once)}
}

func (b inbox) put(ctx context.Context, conn net.Conn) error {
	select {
	case b.conns <- conn:
		return nil
	case <-b.shut:
		return http.ErrServerClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Accept implements net.Listener.
func (b inbox) Accept() (net.Conn, error) {
	select {
	case c := <-b.conns:
		return c, nil
	case <-b.shut:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (b inbox) Close() error {
	b.once.Do(func() { close(b.shut) })
	return nil
}

// Addr implements net.Listener.
func (b inbox) Addr() net.Addr { return b.addr }
