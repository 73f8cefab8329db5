package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	plugv1 "github.com/patchbay/patchbay/core/plug/proto/patchbay/plug/v1"
)

// sockets are the listening sockets of an instance, and those for datagrams. The host
// never reads from them: it keeps them open, so that the kernel lets callers wait while
// a plugin restarts, and hands duplicates to each process.
type sockets struct {
	names   []string
	sockets map[string]socket
	bound   map[string]string // address by name
}

// socket is a *net.TCPListener or a *net.UDPConn.
type socket interface {
	io.Closer
	File() (*os.File, error)
}

// bindPatience is how long a taken address is tried again: the plugins of a host that
// was killed need a moment to let go.
const (
	bindPatience = time.Second
	bindPause    = 20 * time.Millisecond
)

// firstExtraFile is the descriptor of the first of exec.Cmd's ExtraFiles.
const firstExtraFile = 3

// inherits says whether a process can inherit sockets on this system.
const inherits = runtime.GOOS != "windows"

func listen(addresses map[string]string) (*sockets, error) {
	s := &sockets{names: slices.Sorted(maps.Keys(addresses)), sockets: map[string]socket{}, bound: map[string]string{}}
	for _, name := range s.names {
		so, address, err := bind(adapter.NetworkOf(name), addresses[name])
		if err != nil {
			s.close()
			return nil, adapter.Problems{{Key: "listen." + name, Value: addresses[name], Why: err.Error(), Do: "choose a free address"}}
		}
		s.sockets[name], s.bound[name] = so, address
	}
	if !inherits {
		s.close() // the plugin binds them again
	}
	return s, nil
}

func bind(network, address string) (s socket, bound string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), bindPatience)
	defer cancel()
	for {
		s, bound, err := open(network, address)
		if err == nil || !errors.Is(err, syscall.EADDRINUSE) {
			return s, bound, err
		}
		select {
		case <-time.After(bindPause):
		case <-ctx.Done():
			return nil, "", err
		}
	}
}

func open(network, address string) (s socket, bound string, err error) {
	if network == adapter.NetworkUDP {
		c, err := net.ListenPacket(network, address)
		if err != nil {
			return nil, "", err
		}
		return c.(*net.UDPConn), c.LocalAddr().String(), nil
	}
	ln, err := net.Listen(network, address)
	if err != nil {
		return nil, "", err
	}
	return ln.(*net.TCPListener), ln.Addr().String(), nil
}

// addresses returns the bound addresses.
func (s *sockets) addresses() map[string]string { return maps.Clone(s.bound) }

// inherit returns duplicates for a new process, which the caller closes, and how the
// process finds them.
func (s *sockets) inherit() ([]*os.File, []*plugv1.Socket, error) {
	var files []*os.File
	var messages []*plugv1.Socket
	for _, name := range s.names {
		m := &plugv1.Socket{Name: name, Network: adapter.NetworkOf(name), Address: s.bound[name]}
		if inherits {
			f, err := s.sockets[name].File()
			if err != nil {
				closeAll(files)
				return nil, nil, fmt.Errorf("host: listener %q: %w", name, err)
			}
			m.Fd = uint32(firstExtraFile + len(files))
			files = append(files, f)
		}
		messages = append(messages, m)
	}
	return files, messages, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

func (s *sockets) close() {
	for _, so := range s.sockets {
		_ = so.Close()
	}
}

// maxSocketBase is the longest folder below which the path of a plugin's socket
// ("/plugin-dir1234567890/plugin1234567890") stays within the 104 bytes that every
// unix system allows (sockaddr_un.sun_path).
const maxSocketBase = 104 - 1 - 45

// socketBase returns the folder for the private folders of plugins' sockets: that of
// temporary files, unless its name is too long.
func socketBase() string {
	if dir := os.TempDir(); len(dir) <= maxSocketBase || runtime.GOOS == "windows" {
		return dir
	}
	return "/tmp"
}
