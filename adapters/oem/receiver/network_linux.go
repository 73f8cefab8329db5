package receiver

import (
	"container/heap"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// epoll is the network of Linux: a few goroutines, each of which waits for the sockets of
// many streams at once. A packet costs one system call then, and nobody has to wake up for
// it alone (BenchmarkNetwork compares).
type epoll struct {
	readers []*reader
	turn    atomic.Uint32
	running sync.WaitGroup
}

func newNetwork(readers int) (network, error) { return newEpoll(readers) }

func newEpoll(readers int) (network, error) {
	e := &epoll{}
	for range readers {
		r, err := newReader()
		if err != nil {
			return nil, errors.Join(err, e.close())
		}
		e.readers = append(e.readers, r)
		e.running.Go(r.run)
	}
	return e, nil
}

func (e *epoll) open(s *Stream, bind netip.Addr, port int) (int, line, error) {
	r := e.readers[e.turn.Add(1)%uint32(len(e.readers))]
	l := &epollLine{r: r, s: s, v6: bind.Is6(), alarm: -1}
	port, err := bindPair(port, func(port int) (got int, err error) {
		l.rtp, got, err = listenUDP(bind, port)
		return got, err
	}, func(port int) (err error) {
		l.rtcp, _, err = listenUDP(bind, port)
		return err
	}, func() { _ = unix.Close(l.rtp) })
	if err != nil {
		return 0, nil, err
	}
	if err := r.add(l); err != nil {
		l.close()
		return 0, nil, err
	}
	return port, l, nil
}

func (e *epoll) close() error {
	for _, r := range e.readers {
		r.end()
	}
	e.running.Wait()
	for _, r := range e.readers {
		r.close()
	}
	return nil
}

// listenUDP binds a socket that never blocks, and returns its port.
func listenUDP(bind netip.Addr, port int) (fd, got int, err error) {
	family := unix.AF_INET
	if bind.Is6() {
		family = unix.AF_INET6
	}
	fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, 0, fmt.Errorf("open a UDP socket: %w", err)
	}
	if err = unix.Bind(fd, sockaddr(netip.AddrPortFrom(bind, uint16(port)), bind.Is6())); err != nil {
		_ = unix.Close(fd)
		return 0, 0, fmt.Errorf("bind UDP %v: %w", netip.AddrPortFrom(bind, uint16(port)), err)
	}
	local, err := unix.Getsockname(fd)
	if err != nil {
		_ = unix.Close(fd)
		return 0, 0, fmt.Errorf("ask for the port of a UDP socket: %w", err)
	}
	switch local := local.(type) {
	case *unix.SockaddrInet4:
		got = local.Port
	case *unix.SockaddrInet6:
		got = local.Port
	}
	return fd, got, nil
}

func sockaddr(a netip.AddrPort, v6 bool) unix.Sockaddr {
	if v6 {
		return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
	}
	return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().Unmap().As4()}
}

// epollLine is a stream's two sockets. They are read and written with s.mu held, and closed
// after s was marked as closed, so no descriptor is used that means something else by then.
type epollLine struct {
	r         *reader
	s         *Stream
	id        int32
	rtp, rtcp int
	v6        bool

	at    time.Time // of the alarm; r.mu guards both
	alarm int       // index in r.alarms, or -1
}

func (l *epollLine) send(b []byte, to netip.AddrPort, rtcp bool) {
	if !l.v6 && !to.Addr().Unmap().Is4() {
		return
	}
	fd := l.rtp
	if rtcp {
		fd = l.rtcp
	}
	_ = unix.Sendto(fd, b, unix.MSG_DONTWAIT, sockaddr(to, l.v6)) // as lost as any datagram may be
}

func (l *epollLine) wake(at time.Time) { l.r.set(l, at) }

// maxDrain bounds what drain takes: more than a second of audio.
const maxDrain = 256

func (l *epollLine) drain() {
	buf := make([]byte, maxDatagram)
	for range maxDrain {
		n, from, err := unix.Recvfrom(l.rtp, buf, unix.MSG_DONTWAIT)
		if err != nil {
			return // nothing is left
		}
		switch from := from.(type) {
		case *unix.SockaddrInet4:
			l.s.take(false, buf[:n], netip.AddrPortFrom(netip.AddrFrom4(from.Addr), uint16(from.Port)), time.Now())
		case *unix.SockaddrInet6:
			l.s.take(false, buf[:n], netip.AddrPortFrom(netip.AddrFrom16(from.Addr), uint16(from.Port)), time.Now())
		}
	}
}

func (l *epollLine) close() {
	l.r.remove(l)
	_ = unix.Close(l.rtp)
	_ = unix.Close(l.rtcp)
}

// reader waits for the sockets and the deadlines of its share of the streams. It does so
// in epoll_wait itself: were its epoll instance nested in the Go runtime's, that would wake
// a thread for every packet, also while the reader lingers.
type reader struct {
	epoll, bell int // the bell is an eventfd
	mail        mailbox
	ready       [256]unix.EpollEvent
	n           int       // events in ready
	woke        time.Time // when wait returned last

	mu      sync.Mutex
	lines   map[int32]*epollLine
	lastID  int32
	alarms  alarms
	waiting bool      // in epoll_wait,
	until   time.Time // for no longer than that; zero when for ever
	ending  bool
}

func newReader() (*reader, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create an epoll instance: %w", err)
	}
	bell, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("create an eventfd: %w", errors.Join(err, unix.Close(epoll)))
	}
	r := &reader{epoll: epoll, bell: bell, lines: map[int32]*epollLine{}}
	if err := r.watch(bell, 0, 0); err != nil {
		r.close()
		return nil, err
	}
	r.mail.init()
	return r, nil
}

func (r *reader) watch(fd int, id, kind int32) error {
	if err := unix.EpollCtl(r.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: id, Pad: kind}); err != nil {
		return fmt.Errorf("watch a socket: %w", err)
	}
	return nil
}

// isRTCP marks events of the RTCP socket.
const isRTCP = 1

func (r *reader) add(l *epollLine) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for l.id = r.lastID + 1; l.id <= 0 || r.lines[l.id] != nil; { // 0 is the bell's
		l.id = max(1, l.id+1)
	}
	r.lastID = l.id
	r.lines[l.id] = l
	return errors.Join(r.watch(l.rtp, l.id, 0), r.watch(l.rtcp, l.id, isRTCP))
}

func (r *reader) remove(l *epollLine) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.lines, l.id)
	if l.alarm >= 0 {
		heap.Remove(&r.alarms, l.alarm)
	}
}

func (r *reader) line(id int32) *epollLine {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lines[id]
}

// run reads until the epoll instance is closed. Packets come before alarms: after a stall
// of this process, what waits in a socket has come in time.
func (r *reader) run() {
	for patience := 0; r.wait(); {
		now := time.Now()
		for _, e := range r.ready[:r.n] {
			if e.Fd == 0 {
				_, _ = unix.Read(r.bell, make([]byte, 8))
			} else if l := r.line(e.Fd); l != nil {
				r.read(l, e.Pad == isRTCP)
			}
		}
		if patience++; r.n < len(r.ready) || patience > 8 {
			patience = 0
			r.ring(now)
		}
	}
}

// linger is the least time between two times that a reader wakes up. To wake costs more
// than to read, so under load it lets packets gather; at rest it does not wait.
const linger = 2 * time.Millisecond

// wait returns when sockets have packets, something is due, or somebody called; it reports
// false when the reader shall end.
func (r *reader) wait() bool {
	r.mu.Lock()
	if r.ending { // before anybody waits: its ring may have been heard together with another
		r.mu.Unlock()
		return false
	}
	timeout := -1
	if len(r.alarms) > 0 {
		timeout = int(max(0, time.Until(r.alarms[0].at)+time.Millisecond-1) / time.Millisecond)
		r.until = r.alarms[0].at
	}
	r.waiting = true
	r.mu.Unlock()

	r.poll(timeout)
	early := linger - time.Since(r.woke)

	r.mu.Lock()
	r.waiting, r.until = false, time.Time{}
	r.mu.Unlock()
	if early > 0 && r.n < len(r.ready) {
		time.Sleep(early)
		r.poll(0)
	}
	r.woke = time.Now()
	return true
}

// poll asks which sockets have packets, and waits for timeout milliseconds if none has.
func (r *reader) poll(timeout int) {
	n, _ := unix.EpollWait(r.epoll, r.ready[:], timeout) // fails when a signal came
	r.n = max(0, n)
}

// call makes wait return. r.mu is held.
func (r *reader) call() {
	_, _ = unix.Write(r.bell, []byte{1, 0, 0, 0, 0, 0, 0, 0})
}

// end makes run return.
func (r *reader) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ending = true
	r.call()
}

// close frees the descriptors, once run has returned.
func (r *reader) close() { _ = errors.Join(unix.Close(r.bell), unix.Close(r.epoll)) }

// read takes what waits in a socket, up to a mailbox full.
func (r *reader) read(l *epollLine, rtcp bool) {
	s := l.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	fd := l.rtp
	if rtcp {
		fd = l.rtcp
	}
	n := r.mail.receive(fd)
	now := time.Now()
	for i := range n {
		b, from := r.mail.letter(i)
		s.take(rtcp, b, from, now)
	}
	s.arm()
}

// set changes the alarm of a line; zero means none.
func (r *reader) set(l *epollLine, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l.at = at
	switch {
	case at.IsZero() && l.alarm >= 0:
		heap.Remove(&r.alarms, l.alarm)
	case at.IsZero():
	case l.alarm >= 0:
		heap.Fix(&r.alarms, l.alarm)
	default:
		heap.Push(&r.alarms, l)
	}
	if r.waiting && len(r.alarms) > 0 && (r.until.IsZero() || r.alarms[0].at.Before(r.until)) {
		r.waiting = false // once is enough
		r.call()
	}
}

// ring does what is due at now, and waits for what is due next.
func (r *reader) ring(now time.Time) {
	for {
		l := r.due(now)
		if l == nil {
			return
		}
		l.s.mu.Lock()
		l.s.tick(now)
		l.s.mu.Unlock()
	}
}

// due takes the next alarm that is due off the list; nil when none is.
func (r *reader) due(now time.Time) *epollLine {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.alarms) == 0 || r.alarms[0].at.After(now) {
		return nil
	}
	return heap.Pop(&r.alarms).(*epollLine)
}

// alarms is a heap of lines, the earliest first.
type alarms []*epollLine

func (a alarms) Len() int           { return len(a) }
func (a alarms) Less(i, j int) bool { return a[i].at.Before(a[j].at) }
func (a alarms) Swap(i, j int) {
	a[i], a[j] = a[j], a[i]
	a[i].alarm, a[j].alarm = i, j
}

// Push implements heap.Interface.
func (a *alarms) Push(x any) {
	l := x.(*epollLine)
	l.alarm = len(*a)
	*a = append(*a, l)
}

// Pop implements heap.Interface.
func (a *alarms) Pop() any {
	last := len(*a) - 1
	l := (*a)[last]
	(*a)[last] = nil
	*a = (*a)[:last]
	l.alarm = -1
	return l
}
