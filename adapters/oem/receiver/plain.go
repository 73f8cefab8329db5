package receiver

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// maxDatagram is more than any packet that is audio; what is longer is cut, and does not
// parse.
const maxDatagram = 2048

// plain is the network on any system: a goroutine for each socket.
type plain struct{ readers sync.WaitGroup }

// plainLine is a stream's two sockets.
type plainLine struct{ rtp, rtcp *net.UDPConn }

func newPlain(int) (network, error) { return &plain{}, nil }

func (n *plain) open(s *Stream, bind netip.Addr, port int) (int, line, error) {
	listen := func(port int) (*net.UDPConn, error) {
		return net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(bind, uint16(port))))
	}
	l := &plainLine{}
	port, err := bindPair(port, func(port int) (got int, err error) {
		if l.rtp, err = listen(port); err != nil {
			return 0, err
		}
		return l.rtp.LocalAddr().(*net.UDPAddr).Port, nil
	}, func(port int) (err error) {
		l.rtcp, err = listen(port)
		return err
	}, func() { _ = l.rtp.Close() })
	if err != nil {
		return 0, nil, err
	}
	n.readers.Go(func() { n.read(s, l.rtp, false) })
	n.readers.Go(func() { n.read(s, l.rtcp, true) })
	return port, l, nil
}

// read feeds s until the socket is closed.
func (n *plain) read(s *Stream, conn *net.UDPConn, rtcp bool) {
	buf := make([]byte, maxDatagram)
	for {
		size, from, err := conn.ReadFromUDPAddrPort(buf)
		now := time.Now()
		s.mu.Lock()
		switch {
		case err == nil:
			s.take(rtcp, buf[:size], from, now)
			s.arm()
		case errors.Is(err, os.ErrDeadlineExceeded):
			_ = conn.SetReadDeadline(time.Time{})
			s.tick(now)
		case errors.Is(err, net.ErrClosed):
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
	}
}

func (n *plain) close() error {
	n.readers.Wait()
	return nil
}

func (l *plainLine) send(b []byte, to netip.AddrPort, rtcp bool) {
	conn := l.rtp
	if rtcp {
		conn = l.rtcp
	}
	_, _ = conn.WriteToUDPAddrPort(b, to) // as lost as any datagram may be
}

func (l *plainLine) wake(at time.Time) { _ = l.rtp.SetReadDeadline(at) }

// drain has nothing to do: a goroutine waits for each packet.
func (l *plainLine) drain() {}

func (l *plainLine) close() {
	_ = l.rtp.Close()
	_ = l.rtcp.Close()
}

// bindPair binds an even port with rtp and the next with rtcp; undo closes the first. With
// port 0 it goes on until the system gives such a pair.
func bindPair(port int, rtp func(port int) (int, error), rtcp func(port int) error, undo func()) (int, error) {
	if port != 0 {
		if _, err := rtp(port); err != nil {
			return 0, err
		}
		if err := rtcp(port + 1); err != nil {
			undo()
			return 0, err
		}
		return port, nil
	}
	var failed error
	for range maxTries {
		got, err := rtp(0)
		if err != nil {
			return 0, err
		}
		if got%2 == 0 {
			if failed = rtcp(got + 1); failed == nil {
				return got, nil
			}
		}
		undo()
	}
	return 0, errors.Join(ErrNoPorts, failed)
}
