package emulator

import (
	"context"
	"io"
	"net"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// schedule starts a server's fault after a stretch of emulated time; n counts its
// turns. f.mu is held.
func (f *faults) schedule(o *order, after time.Duration, n int) {
	if after == 0 {
		f.begin(o, n)
		return
	}
	o.timer = time.AfterFunc(f.real(after), func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if !f.closed && f.stands(o) {
			f.begin(o, n)
		}
	})
}

func (f *faults) stands(o *order) bool {
	for _, x := range *f.standing.Load() {
		if x == o {
			return true
		}
	}
	return false
}

// begin takes the server down or restarts it, and arms the next turn. f.mu is held.
func (f *faults) begin(o *order, n int) {
	if o.lucky(f.seed.Load(), "server", n) && f.strikeLocked(o) {
		f.log.Info("fault", "fault", o.String())
		until := time.Now().Add(f.real(o.For))
		switch o.Kind {
		case FaultDown:
			f.down = until
			close(f.outage)
			f.outage = make(chan struct{})
		case FaultRestart:
			f.refuse = until
			for w := range f.wires {
				_ = w.Conn.Close() // that is the fault; gRPC then closes w
			}
		}
	}
	if o.Every > 0 && (o.Times == 0 || o.struck < o.Times) {
		f.schedule(o, o.Every, n+1)
	}
}

// unavailable returns the error of an RPC while the server is down, else a channel
// that is closed when it goes down next.
func (f *faults) unavailable() (<-chan struct{}, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Now().Before(f.down) {
		return nil, errDown()
	}
	return f.outage, nil
}

func errDown() error {
	return status.Errorf(codes.Unavailable, "the emulator is down [fault %s]", FaultDown)
}

// wire is a connection that faults can cut. It is its own AuthInfo, by which a
// stream finds the connection that carries it.
type wire struct {
	net.Conn
	f    *faults
	kept bool
}

// AuthType says that nothing is authenticated.
func (*wire) AuthType() string { return "insecure" }

// Read reads. The first one enters the connection in the list: from then on gRPC
// always closes it by Close.
func (w *wire) Read(b []byte) (int, error) {
	if !w.kept {
		w.kept = true
		w.f.mu.Lock()
		w.f.wires[w] = struct{}{}
		w.f.mu.Unlock()
	}
	return w.Conn.Read(b)
}

// Close closes the connection and forgets it.
func (w *wire) Close() error {
	w.f.mu.Lock()
	delete(w.f.wires, w)
	w.f.mu.Unlock()
	return w.Conn.Close()
}

// cut ends the connection that an RPC came by, if it is one of ours.
func cut(ctx context.Context) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return
	}
	if w, ok := p.AuthInfo.(*wire); ok {
		_ = w.Close() // that is the fault
	}
}

// plainCredentials are those without security, which keep count of the connections.
type plainCredentials struct {
	credentials.TransportCredentials
	f *faults
}

func (f *faults) credentials() credentials.TransportCredentials {
	return plainCredentials{insecure.NewCredentials(), f}
}

// ServerHandshake admits a connection, or hangs up during a restart.
func (c plainCredentials) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	if time.Now().Before(c.f.refuse) {
		return nil, nil, io.EOF // gRPC closes conn without a word
	}
	w := &wire{Conn: conn, f: c.f}
	return w, w, nil
}

// Clone returns the same credentials.
func (c plainCredentials) Clone() credentials.TransportCredentials { return c }
