package receiver

import (
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// letters is how many datagrams one system call brings at most.
const letters = 8

// mailbox receives datagrams with recvmmsg(2) into memory of its own, which package net
// and unix.Recvfrom would allocate anew for each sender.
type mailbox struct {
	heads  [letters]mmsghdr
	vecs   [letters]unix.Iovec
	from   [letters]unix.RawSockaddrInet6 // room for either family
	bodies [letters][maxDatagram]byte
}

// mmsghdr is the kernel's struct mmsghdr.
type mmsghdr struct {
	head unix.Msghdr
	n    uint32
}

func (m *mailbox) init() {
	for i := range m.heads {
		m.vecs[i].Base = &m.bodies[i][0]
		m.vecs[i].SetLen(maxDatagram)
		h := &m.heads[i].head
		h.Name = (*byte)(unsafe.Pointer(&m.from[i]))
		h.Iov = &m.vecs[i]
		h.SetIovlen(1)
	}
}

// receive takes what waits in a socket and returns how many datagrams that are.
func (m *mailbox) receive(fd int) int {
	for i := range m.heads {
		m.heads[i].head.Namelen = uint32(unsafe.Sizeof(m.from[i]))
	}
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&m.heads)), letters, unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0 // nothing there, or an error of the network that was meant for a report
	}
	return int(n)
}

// letter returns datagram i and its sender. One that was too long is empty.
func (m *mailbox) letter(i int) ([]byte, netip.AddrPort) {
	h, from := &m.heads[i], &m.from[i]
	port := (*[2]byte)(unsafe.Pointer(&from.Port)) // big endian in both families
	addr := netip.AddrFrom16(from.Addr)
	if from.Family == unix.AF_INET {
		addr = netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(from)).Addr)
	}
	body := m.bodies[i][:h.n]
	if h.head.Flags&unix.MSG_TRUNC != 0 {
		body = nil
	}
	return body, netip.AddrPortFrom(addr, uint16(port[0])<<8|uint16(port[1]))
}
