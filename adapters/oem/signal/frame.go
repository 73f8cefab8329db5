package signal

import (
	"bufio"
	"errors"
	"io"
)

// framer cuts messages out of a stream.
type framer struct {
	r     *bufio.Reader
	most  int          // bytes of a message
	begun func()       // a message has begun: its time runs
	pong  func() error // answers a keep-alive (RFC 5626 §3.5.1)
}

var errTooLong = errors.New("the message is too long")

// next returns the next message. With a message and an error, the message can be
// answered, and then the stream is of no more use: nobody knows where the next begins.
func (f *framer) next() (*message, error) {
	if err := f.skip(); err != nil {
		return nil, err
	}
	f.begun()
	head, err := f.head()
	if err != nil {
		return nil, err
	}
	m, err := parseHead(head)
	if err != nil {
		return nil, err
	}
	n, stated, ok := m.contentLength()
	switch {
	case !ok:
		m.flaw = flaw{400, "Bad Content-Length"}
		return m, errNotSIP
	case !stated:
		m.flaw = flaw{400, "Missing Content-Length"}
		return m, errNotSIP
	case n > f.most-len(head):
		m.flaw = flaw{413, ""}
		return m, errTooLong
	}
	m.body = make([]byte, n)
	_, err = io.ReadFull(f.r, m.body)
	if err != nil {
		return nil, err
	}
	return m, nil
}

// skip passes over what may stand between messages, and answers pings: two line ends.
func (f *framer) skip() error {
	ends := 0
	for {
		b, err := f.r.ReadByte()
		switch {
		case err != nil:
			return err
		case b == '\n':
			if ends++; ends == 2 {
				ends = 0
				if err := f.pong(); err != nil {
					return err
				}
			}
		case b == '\r', b == 0, b == ' ', b == '\t':
		default:
			return f.r.UnreadByte()
		}
	}
}

// head reads up to the empty line.
func (f *framer) head() ([]byte, error) {
	var head []byte
	for line := 0; ; {
		b, err := f.r.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
		head = append(head, b...)
		line += len(b)
		if len(head) > f.most {
			return nil, errTooLong
		}
		if err != nil { // the line goes on
			continue
		}
		if line == 1 || line == 2 && head[len(head)-2] == '\r' {
			return head[:len(head)-line], nil
		}
		line = 0
	}
}
