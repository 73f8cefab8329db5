package receiver

import (
	"net/netip"
	"sync"
	"time"
)

// Stream is one pair of ports, and the audio of one track. It is safe for concurrent use,
// but not from within its Output.
type Stream struct {
	r    *Receiver
	port int
	line line

	mu       sync.Mutex
	m        machine
	armed    time.Time // the deadline that the line knows; zero when none
	accepted bool
	closed   bool
}

// network moves the datagrams of streams.
type network interface {
	// open binds port and port+1 for s, or with port 0 a pair that the system chooses, and
	// returns the RTP port.
	open(s *Stream, bind netip.Addr, port int) (int, line, error)
	// close waits for all goroutines. All lines were closed before.
	close() error
}

// line is the two sockets of a stream. Its owner calls take and tick of the Stream.
type line interface {
	send(b []byte, to netip.AddrPort, rtcp bool)
	// wake asks for Stream.tick at at (zero: no more); s.mu is held.
	wake(at time.Time)
	// drain takes the RTP that waits in the socket; s.mu is held.
	drain()
	// close ends both sockets; s.mu is not held.
	close()
}

// Port returns the RTP port, an even one. RTCP is on the next.
func (s *Stream) Port() int { return s.port }

// Accept tells what signalling has just agreed: first for the answer, then for every
// change (hold, resume, codec, address, keys). A source that is new is believed at once for
// a while afterwards. What waits for earlier packets still goes by what was agreed before
// where the stream is now held. Before the first Accept all packets are dropped; so call it
// before the answer is sent, for a delayed offer with what was offered.
func (s *Stream) Accept(media Media) error {
	if err := media.validate(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	if s.accepted {
		s.line.drain() // it was sent under what was agreed before
	}
	s.accepted = true
	if err := s.m.accept(media, time.Now()); err != nil {
		return err
	}
	s.arm()
	return nil
}

// Stats returns the account as it stands. It remains after Close.
func (s *Stream) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m.account()
}

// Close delivers what waits, in the sockets too, ends them, and lets the ports rest. Closing again does
// nothing. The Output hears nothing after it has returned.
func (s *Stream) Close() {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.line.drain()
	s.closed = true
	s.m.finish()
	s.line.wake(time.Time{})
	s.mu.Unlock()
	s.line.close()
	s.r.forget(s)
}

// take gives the machine a datagram; s.mu is held.
func (s *Stream) take(rtcp bool, b []byte, from netip.AddrPort, at time.Time) {
	if s.closed {
		return
	}
	if rtcp {
		s.m.control(b, from, at)
	} else {
		s.m.datagram(b, from, at)
	}
}

// arm tells the line when tick is due, if that has changed; s.mu is held.
func (s *Stream) arm() {
	if at := s.m.deadline(); !at.Equal(s.armed) {
		s.armed = at
		s.line.wake(at)
	}
}

// tick does what is due at now; s.mu is held. The line has forgotten its wake.
func (s *Stream) tick(now time.Time) {
	s.armed = time.Time{}
	if s.closed {
		return
	}
	s.m.expire(now)
	if report, to := s.m.report(now); report != nil {
		s.line.send(report, to, !s.m.media.Mux)
	}
	s.arm()
}
