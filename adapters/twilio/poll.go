package twilio

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"syscall"
)

// errEmpty means that nothing can be read without waiting.
var errEmpty = errors.New("nothing has come")

// readerSize holds a round: ten messages of some 400 bytes.
const readerSize = 5 << 10

// conn is the connection of a stream, which beats can read without waiting.
type conn struct {
	net.Conn
	raw   syscall.RawConn // nil where that cannot be done
	polls bool            // reads do not wait

	// Of the read under way, so that it allocates nothing.
	attempt func(fd uintptr) bool
	into    []byte
	n       int
	err     error
}

func newConn(c net.Conn) *conn {
	k := &conn{Conn: c}
	if s, ok := c.(syscall.Conn); ok && canPoll {
		if raw, err := s.SyscallConn(); err == nil {
			k.raw = raw
			k.attempt = func(fd uintptr) bool {
				k.n, k.err = readNow(fd, k.into)
				return true
			}
		}
	}
	return k
}

// Read implements net.Conn. It fails with errEmpty instead of waiting where that is wanted.
func (c *conn) Read(p []byte) (int, error) {
	if !c.polls {
		return c.Conn.Read(p)
	}
	c.into = p
	err := c.raw.Read(c.attempt)
	c.into = nil
	if err != nil {
		return 0, err
	}
	return c.n, c.err
}

// poll says whether reads wait. While they do not, the kernel need not wake anybody for
// what comes.
func (c *conn) poll(on bool) error {
	c.polls = on
	bytes := 0
	if on {
		bytes = 4 * readerSize
	}
	var failed error
	err := c.raw.Control(func(fd uintptr) { failed = quiet(fd, bytes) })
	return errors.Join(err, failed)
}

// hijacked takes a connection over for a stream.
type hijacked struct {
	http.ResponseWriter
	conn   *conn
	reader *bufio.Reader // conn's
}

// Hijack implements http.Hijacker.
func (h *hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil || rw.Reader.Buffered() > 0 { // who speaks before the answer is turned away
		return c, rw, err
	}
	h.conn = newConn(c)
	h.reader = bufio.NewReaderSize(h.conn, readerSize)
	return h.conn, bufio.NewReadWriter(h.reader, rw.Writer), nil
}
