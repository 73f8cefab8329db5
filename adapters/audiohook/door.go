package audiohook

import (
	"net"
	"sync"

	"github.com/patchbay/patchbay/adapters/internal/report"
)

// door is a listener that lets in so many connections at once and closes the rest, so
// that those who say nothing cannot use up the process's files.
type door struct {
	net.Listener
	most   int
	report *report.Reporter

	mu    sync.Mutex
	conns int
}

// Accept implements net.Listener.
func (d *door) Accept() (net.Conn, error) {
	for {
		conn, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if d.enter() {
			return &counted{Conn: conn, door: d}, nil
		}
		d.report.Warn(countDoor, "a connection is closed: limits.max_connections is reached", "remote", conn.RemoteAddr())
		_ = conn.Close() // nobody has used it
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

func (d *door) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.conns--
}

// counted gives a connection's place back when it is closed.
type counted struct {
	net.Conn
	door *door
	once sync.Once
}

// Close implements net.Conn.
func (c *counted) Close() error {
	c.once.Do(c.door.leave)
	return c.Conn.Close()
}
