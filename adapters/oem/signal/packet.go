package signal

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// maxDatagram is more than a UDP packet can carry.
const maxDatagram = 1 << 16

// packetSocket is the UDP socket.
type packetSocket struct {
	conn       net.PacketConn
	configured string
	local      netip.AddrPort

	mu      sync.Mutex
	sources map[netip.Addr]string // which contact a peer gets, when the socket is bound to all addresses
}

const maxSources = 4096

func newPacketSocket(conn net.PacketConn, configured string) *packetSocket {
	return &packetSocket{conn: conn, configured: configured, local: addrPort(conn.LocalAddr()), sources: map[netip.Addr]string{}}
}

// read hands every datagram on, one after another, until the socket is closed.
func (p *packetSocket) read(ctx context.Context, receive func(*flow, []byte)) error {
	buf := make([]byte, maxDatagram)
	for failures := 0; ; {
		n, from, err := p.conn.ReadFrom(buf)
		if err != nil {
			if errors.Is(err, net.ErrClosed) || ctx.Err() != nil {
				return nil
			}
			if failures++; failures > 100 {
				return err
			}
			if !pause(ctx, time.Duration(failures)*time.Millisecond) {
				return nil
			}
			continue
		}
		failures = 0
		if remote := addrPort(from); remote.IsValid() {
			receive(p.flow(remote), buf[:n])
		}
	}
}

func (p *packetSocket) flow(remote netip.AddrPort) *flow {
	return &flow{transport: UDP, remote: remote, contact: p.contact(remote), packets: p}
}

func (p *packetSocket) send(b []byte, to netip.AddrPort) error {
	_, err := p.conn.WriteTo(b, net.UDPAddrFromAddrPort(to))
	return err
}

// contact asks the system by which of its addresses a peer reaches us, if the socket
// has them all. No packet is sent for it.
func (p *packetSocket) contact(remote netip.AddrPort) string {
	if p.configured != "" || !p.local.Addr().IsUnspecified() {
		return contactAt(p.configured, p.local)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if c, ok := p.sources[remote.Addr()]; ok {
		return c
	}
	local := p.local
	if c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(remote)); err == nil {
		local = netip.AddrPortFrom(addrPort(c.LocalAddr()).Addr(), p.local.Port())
		_ = c.Close()
	}
	if len(p.sources) >= maxSources {
		clear(p.sources)
	}
	p.sources[remote.Addr()] = contactAt("", local)
	return p.sources[remote.Addr()]
}

// pause waits for d, and tells whether ctx lasted.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
