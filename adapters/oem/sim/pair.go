package sim

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
)

// pair is an even RTP port and the odd RTCP port above it.
type pair struct {
	port      int
	rtp, rtcp *net.UDPConn
	reader    sync.WaitGroup
}

const bindTries = 200

// bindPair binds a pair, at the wanted port where that is free. heard gets what comes on
// the RTCP port until close.
func bindPair(ip netip.Addr, wanted int, heard func([]byte)) (*pair, error) {
	for try := range bindTries {
		port := wanted
		if try > 0 {
			port = 0
		}
		p, err := tryPair(ip, port)
		if err != nil || p == nil {
			continue
		}
		p.reader.Go(func() { p.listen(heard) })
		return p, nil
	}
	return nil, fmt.Errorf("sim: no free pair of ports on %v", ip)
}

// tryPair returns nil for a port that is odd, or whose neighbour is taken.
func tryPair(ip netip.Addr, port int) (*pair, error) {
	first, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, uint16(port))))
	if err != nil {
		return nil, err
	}
	bound := first.LocalAddr().(*net.UDPAddr).Port
	if bound%2 == 0 {
		second, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, uint16(bound+1))))
		if err == nil {
			return &pair{port: bound, rtp: first, rtcp: second}, nil
		}
	}
	return nil, first.Close()
}

func (p *pair) listen(heard func([]byte)) {
	buf := make([]byte, 2048)
	for {
		n, err := p.rtcp.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			heard(buf[:n])
		}
	}
}

func (p *pair) writeRTP(b []byte, to netip.AddrPort) error { return write(p.rtp, b, to) }

func (p *pair) writeRTCP(b []byte, to netip.AddrPort) error { return write(p.rtcp, b, to) }

// write sends; a port that nobody listens on is the server's business.
func write(c *net.UDPConn, b []byte, to netip.AddrPort) error {
	_, err := c.WriteToUDPAddrPort(b, to)
	if opErr := (*net.OpError)(nil); errors.As(err, &opErr) && !errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (p *pair) close() {
	_ = p.rtp.Close() // nothing is read from it
	_ = p.rtcp.Close()
	p.reader.Wait()
}
