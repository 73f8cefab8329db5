package receiver

import (
	"net/netip"
	"time"
)

const (
	// silence is how long a source says nothing before another one may take its place
	// unasked, and how long a lone packet waits for a second one at the start.
	silence = 300 * time.Millisecond
	// believe is how long after a change of signalling another source is taken without that.
	believe = 5 * time.Second
	// consistent is how many packets in order a source must send to take over unasked.
	consistent = 3
)

// source is who sends: the port is not asked for.
type source struct {
	addr netip.Addr
	ssrc uint32
}

// candidate is a source that the stream does not listen to yet; its packets wait.
type candidate struct {
	source source
	port   uint16
	order  order
	n      int // packets that came in order
	first  time.Time
	last   time.Time
}

// court gives a packet of another source than the current one a place to wait in.
func (m *machine) court(from source, port uint16, p *packet) {
	c := &m.cand
	if c.n > 0 && (c.source != from || !c.order.near(p.seq)) {
		if c.n > 1 && p.at.Sub(c.last) < silence {
			m.foreign(1)
			return
		}
		m.foreign(int64(c.n))
		c.n = 0
	}
	if c.n == 0 {
		c.order.begin(p.seq)
		c.source, c.first = from, p.at
	}
	p.ext = c.order.extend(p.seq)
	if c.order.came(p.ext) {
		m.duplicate(p)
		return
	}
	c.port, c.last = port, p.at
	c.n++
	c.order.wait(p)
	if len(c.order.waiting) > maxWaiting {
		free(c.order.pop())
		m.foreign(1)
	}
	m.elect(p.at)
}

// due returns when the candidate takes over if nothing else comes; zero when it does not.
func (m *machine) due() time.Time {
	c := &m.cand
	if c.n == 0 {
		return time.Time{}
	}
	start := c.first.Add(m.hold)
	switch {
	case m.listening && !m.goodbye && c.last.After(m.believe):
		if c.n < consistent {
			return time.Time{}
		}
		return later(start, m.heard.Add(silence))
	case c.n == 1:
		return c.first.Add(silence)
	case len(c.order.waiting) == maxWaiting:
		return c.last
	}
	return start
}

// elect lets the candidate take over when it may.
func (m *machine) elect(now time.Time) {
	if at := m.due(); !at.IsZero() && !now.Before(at) {
		m.follow()
	}
}

// follow begins to listen to the candidate.
func (m *machine) follow() {
	c := &m.cand
	excused := m.goodbye || !c.last.After(m.believe)
	if m.listening {
		m.flush()
		for len(c.order.waiting) > 0 && !c.order.waiting[0].at.After(m.heard) { // both spoke
			free(c.order.pop())
			m.foreign(1)
		}
	}
	m.source, m.order, c.order = c.source, c.order, m.order
	m.listening, m.goodbye, m.believe = true, false, time.Time{}
	c.n = 0
	c.order.clear()
	m.stats.Sources++
	m.time.doubt(excused)
	m.rtcp.begin(&m.order)
	if len(m.order.waiting) == 0 {
		m.order.next = m.order.top + 1
		return
	}
	m.order.next = m.order.waiting[0].ext
	for _, p := range m.order.waiting {
		m.hear(p)
	}
	m.drain()
}

// hear notes that a packet of the source came, wherever it goes.
func (m *machine) hear(p *packet) {
	m.stats.Packets++
	m.heard = p.at
	m.rtcp.packet(p, m.payloads[p.pt])
}

// foreign counts packets that nobody listens to.
func (m *machine) foreign(n int64) {
	m.stats.Foreign += n
	m.count(CountForeign)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
