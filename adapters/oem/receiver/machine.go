package receiver

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
	"github.com/pion/rtp"
)

// machine is all of a stream but its sockets and its clock: datagrams and times go in,
// calls of the Output come out. It may be fed by anybody, one at a time.
type machine struct {
	out   Output
	hold  time.Duration
	count func(kind string)

	media    Media
	payloads [128]Payload // of media
	agreed   bool
	crypt    *crypt
	header   rtp.Header
	one      packet // the packet that is being read

	listening bool
	goodbye   bool      // the source said BYE
	source    source    // that it listens to
	heard     time.Time // its newest packet
	believe   time.Time // another one is taken at once until then
	cand      candidate
	order     order

	time    timeline
	codec   decoder
	digit   digit
	rtcp    reports
	stats   Stats
	newest  netip.AddrPort // who sent the newest packet
	stopped bool           // the Output failed, or the stream is over
	unsaid  []adapter.Note // before the first segment
}

func (m *machine) init(out Output, hold, report time.Duration, cname string, count func(string)) {
	*m = machine{out: out, hold: hold, count: count}
	m.rtcp.init(report, cname)
}

// accept applies what was agreed at now.
func (m *machine) accept(media Media, now time.Time) error {
	crypt, err := m.crypt.renew(media.Keys, now)
	if err != nil {
		return err
	}
	if m.media.Receive && !media.Receive {
		m.flush()
	}
	if m.agreed && !m.media.Receive && media.Receive {
		m.listening = false // numbers and timestamps may begin anew
		m.time.resumed = true
	}
	media.Payloads = maps.Clone(media.Payloads)
	media.Sources = slices.Clone(media.Sources)
	m.media, m.crypt = media, crypt
	m.payloads = [128]Payload{}
	for number, p := range media.Payloads {
		p.Clock = p.clock()
		m.payloads[number] = p
	}
	m.believe = now.Add(believe)
	if !m.agreed {
		m.agreed = true
		m.rtcp.start(now)
	}
	return nil
}

// datagram takes what came to the RTP port.
func (m *machine) datagram(raw []byte, from netip.AddrPort, at time.Time) {
	switch {
	case m.stopped:
		return
	case !m.agreed:
		m.stats.Early++
		return
	}
	addr := from.Addr().Unmap().WithZone("")
	if !m.media.allows(addr) {
		m.foreign(1)
		return
	}
	if len(raw) > 1 && raw[1]&0x7F >= 64 && raw[1]&0x7F <= 95 { // RFC 5761 §4
		m.control(raw, from, at)
		return
	}
	n, err := m.header.Unmarshal(raw)
	if err != nil || m.header.Version != 2 {
		m.malformed()
		return
	}
	p := &m.one
	*p = packet{seq: m.header.SequenceNumber, ts: m.header.Timestamp, pt: m.header.PayloadType, marker: m.header.Marker, at: at}
	raw, ok := m.unseal(raw, n, p)
	if !ok {
		return
	}
	if p.payload, ok = unpad(raw[n:], m.header.Padding); !ok {
		m.malformed()
		return
	}
	m.newest = from
	id := source{addr, m.header.SSRC}
	if m.listening && id == m.source && m.order.near(p.seq) {
		m.receive(p)
	} else {
		m.court(id, from.Port(), p)
	}
}

// unpad cuts the padding off (RFC 3550 §5.1).
func unpad(payload []byte, padded bool) ([]byte, bool) {
	if !padded {
		return payload, true
	}
	if len(payload) == 0 {
		return nil, false
	}
	n := int(payload[len(payload)-1])
	if n == 0 || n > len(payload) {
		return nil, false
	}
	return payload[:len(payload)-n], true
}

// unseal opens SRTP, where it was agreed. n is the length of the header.
func (m *machine) unseal(raw []byte, n int, p *packet) ([]byte, bool) {
	if m.crypt == nil {
		return raw, true
	}
	plain, verdict := m.crypt.open(raw, n, &m.header, p.at)
	switch verdict {
	case opened:
		m.stats.Secured = true
		if m.crypt.overdue() {
			m.count(CountLifetime)
		}
		return plain, true
	case replayed:
		p.payload = raw[n : len(raw)-m.crypt.overhead()]
		m.duplicate(p)
		return nil, false
	case short:
		m.malformed()
		return nil, false
	}
	if m.media.Optional && !m.stats.Secured && !m.sealed(len(raw)-n, p.pt) {
		m.stats.Plain++
		return raw, true
	}
	m.stats.BadAuth++
	m.count(CountBadAuth)
	return nil, false
}

// sealed reports whether a payload that no key opens is more likely SRTP than plain: by the
// length of a tag it is longer than whole milliseconds of audio.
func (m *machine) sealed(length int, pt uint8) bool {
	switch m.payloads[pt].Codec {
	case PCMU, PCMA, G722:
		return length%8 != 0 && (length-m.crypt.overhead())%8 == 0
	}
	return false
}

// receive puts a packet of the source in its order.
func (m *machine) receive(p *packet) {
	o := &m.order
	p.ext = o.extend(p.seq)
	early := p.ext > o.top
	if p.ext < o.next && p.ext <= o.top-window {
		m.late(p)
		return
	}
	if o.came(p.ext) {
		m.duplicate(p)
		return
	}
	m.hear(p)
	if !early {
		m.stats.Reordered++
	}
	switch {
	case p.ext < o.next:
		m.stats.Lost--
		m.late(p)
	case p.ext == o.next:
		o.next++
		m.deliver(p)
		m.drain()
	default:
		o.wait(p)
		if len(o.waiting) >= maxWaiting {
			m.skip()
		}
	}
}

// drain delivers what waits and is next.
func (m *machine) drain() {
	for o := &m.order; len(o.waiting) > 0 && o.waiting[0].ext == o.next; {
		p := o.pop()
		o.next++
		m.deliver(p)
		free(p)
	}
}

// skip gives up what the first waiting packet waits for.
func (m *machine) skip() {
	missing := m.order.waiting[0].ext - m.order.next
	m.stats.Lost += missing
	m.time.missing += missing
	m.order.next += missing
	m.drain()
}

// flush delivers all that waits.
func (m *machine) flush() {
	for len(m.order.waiting) > 0 {
		m.skip()
	}
}

// expire does what is due at now.
func (m *machine) expire(now time.Time) {
	if m.stopped {
		return
	}
	for len(m.order.waiting) > 0 && !now.Before(m.order.oldest().Add(m.hold)) {
		m.skip()
	}
	m.elect(now)
	m.crypt.forget(now)
}

// deadline returns when expire or report has something to do; zero when nothing.
func (m *machine) deadline() time.Time {
	if m.stopped {
		return time.Time{}
	}
	at := m.rtcp.at
	soon := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	if len(m.order.waiting) > 0 {
		soon(m.order.oldest().Add(m.hold))
	}
	soon(m.due())
	return at
}

// finish delivers all that waits, from a source that was not yet believed too, and ends.
func (m *machine) finish() {
	if !m.stopped {
		if !m.listening && m.cand.n > 0 {
			m.follow()
		}
		m.flush()
		m.release(m.heard)
		m.stats.Foreign += int64(len(m.cand.order.waiting))
	}
	m.stopped = true
	m.order.clear()
	m.cand.order.clear()
}

// fail ends a stream whose Output does not listen any more.
func (m *machine) fail(err error) {
	if err != nil && m.stats.Err == nil {
		m.stats.Err, m.stopped = err, true
	}
}

// note tells the Output; before the first segment it has to wait.
func (m *machine) note(n adapter.Note) {
	switch {
	case m.stats.Err != nil:
	case m.time.joined:
		m.fail(m.out.Note(n))
	case len(m.unsaid) < maxWaiting:
		m.unsaid = append(m.unsaid, n)
	}
}

// begin begins a segment.
func (m *machine) begin(f media.Format, arrived time.Time) {
	m.fail(m.out.Join(f, arrived))
	m.time.joined, m.time.pos = true, 0
	for _, n := range m.unsaid {
		m.note(n)
	}
	m.unsaid = nil
}

// dropped tells of audio that goes nowhere.
func (m *machine) dropped(p *packet, why string) {
	if pl := m.payloads[p.pt]; pl.Audio() {
		if n, ok := samples(pl.Codec, p.payload); ok || why == DroppedMalformed {
			m.note(adapter.Note{Kind: adapter.NoteDropped, At: p.at, Text: why, Samples: int64(n)})
		}
	}
}

func (m *machine) duplicate(p *packet) {
	m.stats.Duplicates++
	m.dropped(p, DroppedDuplicate)
}

func (m *machine) late(p *packet) {
	m.stats.Late++
	m.dropped(p, DroppedLate)
}

func (m *machine) malformed() {
	m.stats.Malformed++
	m.count(CountMalformed)
}

// account returns the stream's account.
func (m *machine) account() Stats {
	s := m.stats
	s.Jitter = m.rtcp.jitter()
	s.SSRC, s.LastRTP, s.LastRTCP, s.Goodbye = m.source.ssrc, m.heard, m.rtcp.last, m.goodbye
	if m.newest.IsValid() {
		s.Source = m.newest.String()
	}
	return s
}
