package receiver

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/pion/rtcp"
)

// reports is what RTCP needs to know (RFC 3550 §6): the account of the source, and when the
// next report is due.
type reports struct {
	interval time.Duration
	cname    string
	ssrc     uint32    // ours
	at       time.Time // when the next one is due; zero when none is
	learned  netip.AddrPort
	last     time.Time // when the newest one came

	base     int64 // first extended sequence number of the source
	came     int64
	expected int64 // at the last report
	counted  int64 // came, then

	clock   int
	epoch   time.Time // from which transit counts
	transit uint32    // of the newest audio packet, in timestamp units
	timed   bool      // transit is known
	jit     float64   // in timestamp units

	sender   uint32 // middle of the source's NTP time in its last report
	senderAt time.Time
}

func (r *reports) init(interval time.Duration, cname string) {
	*r = reports{interval: interval, cname: cname, ssrc: rand.Uint32()}
}

// start makes the first report due.
func (r *reports) start(now time.Time) {
	if r.interval > 0 {
		r.at = now.Add(r.interval / 2)
	}
}

// begin opens the account of another source.
func (r *reports) begin(o *order) {
	r.base, r.came, r.expected, r.counted = o.next, 0, 0, 0
	if len(o.waiting) > 0 {
		r.base = o.waiting[0].ext
	}
	r.timed, r.jit, r.sender, r.senderAt = false, 0, 0, time.Time{}
}

// packet counts a packet of the source, and measures its jitter (§6.4.1, appendix A.8).
func (r *reports) packet(p *packet, pl Payload) {
	r.came++
	if pl.Clock == 0 || pl.Codec == Event || pl.Codec == ComfortNoise {
		return
	}
	if r.epoch.IsZero() {
		r.epoch = p.at
	}
	since := p.at.Sub(r.epoch)
	clock := time.Duration(pl.Clock)
	transit := uint32(since/time.Second*clock+since%time.Second*clock/time.Second) - p.ts
	if r.timed && r.clock == pl.Clock {
		d := float64(int32(transit - r.transit))
		r.jit += (math.Abs(d) - r.jit) / 16
	}
	r.transit, r.clock, r.timed = transit, pl.Clock, true
}

func (r *reports) jitter() time.Duration {
	if r.clock == 0 {
		return 0
	}
	return time.Duration(r.jit * float64(time.Second) / float64(r.clock))
}

// control takes an RTCP datagram.
func (m *machine) control(raw []byte, from netip.AddrPort, at time.Time) {
	switch {
	case m.stopped:
		return
	case !m.agreed:
		m.stats.Early++
		return
	case !m.media.allows(from.Addr().Unmap().WithZone("")):
		m.foreign(1)
		return
	}
	if m.crypt != nil {
		plain, ok := m.crypt.openReport(raw, at)
		switch {
		case ok:
			raw = plain
		case !m.media.Optional || m.stats.Secured:
			m.stats.BadAuth++
			m.count(CountBadAuth)
			return
		}
	}
	received, err := rtcp.Unmarshal(raw)
	if err != nil {
		m.malformed()
		return
	}
	m.stats.Reports++
	m.rtcp.last = at
	m.rtcp.learned = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	for _, packet := range received {
		switch packet := packet.(type) {
		case *rtcp.SenderReport:
			if m.listening && packet.SSRC == m.source.ssrc {
				m.rtcp.sender, m.rtcp.senderAt = uint32(packet.NTPTime>>16), at
			}
		case *rtcp.Goodbye:
			for _, ssrc := range packet.Sources {
				if m.listening && ssrc == m.source.ssrc && from.Addr().Unmap().WithZone("") == m.source.addr {
					m.goodbye = true
				}
			}
		}
	}
}

// report returns the report that is due at now, and where it goes; nil when none is.
func (m *machine) report(now time.Time) ([]byte, netip.AddrPort) {
	r := &m.rtcp
	if m.stopped || r.at.IsZero() || now.Before(r.at) {
		return nil, netip.AddrPort{}
	}
	r.at = now.Add(r.interval/2 + rand.N(r.interval)) // §6.2: spread, so that they do not fall together
	to := m.media.RTCP
	if !to.IsValid() || to.Addr().IsUnspecified() || to.Port() == 0 {
		to = r.learned
	}
	if !to.IsValid() {
		return nil, netip.AddrPort{}
	}
	b, err := rtcp.Marshal([]rtcp.Packet{m.receiverReport(now), rtcp.NewCNAMESourceDescription(r.ssrc, r.cname)})
	if err != nil {
		return nil, netip.AddrPort{}
	}
	if m.crypt != nil && (!m.media.Optional || m.stats.Secured) {
		if b, err = m.crypt.sealReport(b); err != nil {
			return nil, netip.AddrPort{}
		}
	}
	m.stats.Sent++
	return b, to
}

// receiverReport is the account of the source as RTCP says it (§6.4.2).
func (m *machine) receiverReport(now time.Time) *rtcp.ReceiverReport {
	r := &m.rtcp
	for m.listening && r.ssrc == m.source.ssrc {
		r.ssrc = rand.Uint32() // §8.2: two may not have the same
	}
	rr := &rtcp.ReceiverReport{SSRC: r.ssrc}
	if !m.listening || r.came == 0 {
		return rr
	}
	expected := m.order.top - r.base + 1
	block := rtcp.ReceptionReport{
		SSRC: m.source.ssrc, LastSequenceNumber: uint32(m.order.top - 1<<16), Jitter: uint32(r.jit),
		TotalLost: uint32(min(max(0, expected-r.came), 1<<23-1)), LastSenderReport: r.sender,
	}
	if due, lost := expected-r.expected, expected-r.expected-(r.came-r.counted); due > 0 && lost > 0 {
		block.FractionLost = uint8(min(255, lost<<8/due))
	}
	r.expected, r.counted = expected, r.came
	if r.sender != 0 {
		block.Delay = uint32(now.Sub(r.senderAt) * 65536 / time.Second)
	}
	rr.Reports = []rtcp.ReceptionReport{block}
	return rr
}
