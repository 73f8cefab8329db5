package plug

import (
	"fmt"
	"net"
	"os"
	"sync"

	"github.com/patchbay/patchbay/core/adapter"
	plugv1 "github.com/patchbay/patchbay/core/plug/proto/patchbay/plug/v1"
)

// sockets are the listeners that the host handed over, by name. Each can be taken
// once.
type sockets struct {
	mu     sync.Mutex
	free   map[string]*plugv1.Socket
	opened []net.Listener
	closed bool
}

func newSockets(ms []*plugv1.Socket) *sockets {
	s := &sockets{free: map[string]*plugv1.Socket{}}
	for _, m := range ms {
		s.free[m.GetName()] = m
	}
	return s
}

// listen is the plugin's Env.Listen: the inherited socket, or where sockets are not
// inherited, one bound to the same address.
func (s *sockets) listen(name string) (net.Listener, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.free[name]
	if m == nil || s.closed {
		return nil, &adapter.Error{Op: "plug.Listen", Kind: adapter.KindConfig,
			Err: fmt.Errorf("no address for listener %q, or it is in use; add it under listen in the configuration", name)}
	}
	delete(s.free, name)
	ln, err := open(m)
	if err != nil {
		return nil, &adapter.Error{Op: "plug.Listen", Kind: adapter.KindConfig, Err: fmt.Errorf("listener %q: %w", name, err)}
	}
	s.opened = append(s.opened, ln)
	return ln, nil
}

func open(m *plugv1.Socket) (net.Listener, error) {
	if m.GetFd() == 0 {
		return net.Listen(m.GetNetwork(), m.GetAddress())
	}
	f := os.NewFile(uintptr(m.GetFd()), m.GetName())
	if f == nil {
		return nil, fmt.Errorf("file descriptor %d was not inherited", m.GetFd())
	}
	ln, err := net.FileListener(f) // a duplicate, non-blocking and closed on exec
	_ = f.Close()
	return ln, err
}

// close shuts every socket, also those that nobody took, so that a successor of
// the host can bind the addresses.
func (s *sockets) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, ln := range s.opened {
		_ = ln.Close() // the adapter may have closed it already
	}
	for _, m := range s.free {
		if m.GetFd() != 0 {
			_ = os.NewFile(uintptr(m.GetFd()), m.GetName()).Close()
		}
	}
	clear(s.free)
}
