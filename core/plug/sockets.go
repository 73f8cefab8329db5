package plug

import (
	"fmt"
	"io"
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
	known  map[string]bool
	free   map[string]*plugv1.Socket
	opened []io.Closer
	closed bool
}

func newSockets(ms []*plugv1.Socket) *sockets {
	s := &sockets{known: map[string]bool{}, free: map[string]*plugv1.Socket{}}
	for _, m := range ms {
		s.free[m.GetName()], s.known[m.GetName()] = m, true
	}
	return s
}

// listen is the plugin's Env.Listen.
func (s *sockets) listen(name string) (net.Listener, error) {
	return take(s, name, adapter.NetworkTCP, net.Listen, net.FileListener)
}

// listenPacket is the plugin's Env.ListenPacket.
func (s *sockets) listenPacket(name string) (net.PacketConn, error) {
	return take(s, name, adapter.NetworkUDP, net.ListenPacket, net.FilePacketConn)
}

// take returns the inherited socket, or where sockets are not inherited, one bound to
// the same address.
func take[T io.Closer](s *sockets, name, network string, bind func(network, address string) (T, error), adopt func(*os.File) (T, error)) (T, error) {
	var none T
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.free[name]
	var err error
	switch {
	case !s.known[name]:
		err = fmt.Errorf("listener %q: %w; add it under listen", name, adapter.ErrNoListener)
	case m == nil || s.closed:
		err = fmt.Errorf("listener %q is taken already", name)
	case m.GetNetwork() != network:
		err = fmt.Errorf("listener %q is for %s, and %s was asked for", name, m.GetNetwork(), network)
	}
	if err != nil {
		return none, &adapter.Error{Op: "plug.Listen", Kind: adapter.KindConfig, Err: err}
	}
	delete(s.free, name)
	socket, err := open(m, bind, adopt)
	if err != nil {
		return none, &adapter.Error{Op: "plug.Listen", Kind: adapter.KindConfig, Err: fmt.Errorf("listener %q: %w", name, err)}
	}
	s.opened = append(s.opened, socket)
	return socket, nil
}

func open[T any](m *plugv1.Socket, bind func(network, address string) (T, error), adopt func(*os.File) (T, error)) (T, error) {
	if m.GetFd() == 0 {
		return bind(m.GetNetwork(), m.GetAddress())
	}
	f := os.NewFile(uintptr(m.GetFd()), m.GetName())
	if f == nil {
		var none T
		return none, fmt.Errorf("file descriptor %d was not inherited", m.GetFd())
	}
	socket, err := adopt(f) // a duplicate, non-blocking and closed on exec
	_ = f.Close()
	return socket, err
}

// close shuts every socket, also those that nobody took, so that a successor of
// the host can bind the addresses.
func (s *sockets) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, socket := range s.opened {
		_ = socket.Close() // the adapter may have closed it already
	}
	for _, m := range s.free {
		if m.GetFd() != 0 {
			_ = os.NewFile(uintptr(m.GetFd()), m.GetName()).Close()
		}
	}
	clear(s.free)
}
