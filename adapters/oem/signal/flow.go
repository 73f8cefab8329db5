package signal

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
)

// flow is a way to a peer: a connection, or a remote address of the UDP socket.
type flow struct {
	transport string
	remote    netip.AddrPort
	contact   string   // host:port that the peer reaches us at
	names     []string // of its verified certificate
	packets   *packetSocket
	conn      *stream
}

var errGone = errors.New("the connection is gone")

// send writes a whole message.
func (f *flow) send(b []byte) error {
	if f.packets != nil {
		return f.packets.send(b, f.remote)
	}
	return f.conn.send(b)
}

func (f *flow) alive() bool { return f.packets != nil || !f.conn.gone() }

// prove notes that the peer of a connection is no stranger.
func (f *flow) prove() {
	if f.conn != nil {
		f.conn.proved.Store(true)
	}
}

// back is what of a Via says where answers go.
type back struct {
	rport bool
	port  int // 0: none given
}

func (h hop) back() back {
	_, rport := h.params.Get("rport")
	return back{rport, h.port}
}

// answering is f, or for a datagram whose sender did not ask for rport the port that its
// Via names (RFC 3261 §18.2.2).
func (f *flow) answering(to back) *flow {
	if f.packets == nil || to.rport {
		return f
	}
	port := to.port
	if port == 0 {
		port = 5060
	}
	if port == int(f.remote.Port()) {
		return f
	}
	g := *f
	g.remote = netip.AddrPortFrom(f.remote.Addr(), uint16(port))
	return &g
}

// addrPort reads an address of package net.
func addrPort(a net.Addr) netip.AddrPort {
	if a == nil {
		return netip.AddrPort{}
	}
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// contactAt is the host:port in our Contact and Via headers: the configured one, or the
// local address.
func contactAt(configured string, local netip.AddrPort) string {
	host, port := local.Addr().WithZone("").String(), int(local.Port())
	if configured != "" {
		if h, p, err := contactHost(configured, port); err == nil {
			host, port = h, p
		}
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}
