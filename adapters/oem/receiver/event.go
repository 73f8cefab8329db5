package receiver

import (
	"encoding/binary"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
)

// digits are the events 0 to 15 (RFC 4733 §3.2).
const digits = "0123456789*#ABCD"

// digit is the telephone event that came last.
type digit struct {
	known  bool
	told   bool
	code   byte
	ts     uint32 // when it began
	length uint16 // so far, in units of the timestamp
}

// event reads a telephone-event packet (RFC 4733 §2.3): event, end bit and volume,
// duration. A key makes many packets, the last of them three times; it is told once, with
// the first end, or when something else comes while none came.
func (m *machine) event(p *packet) {
	if len(p.payload) < 4 {
		m.malformed()
		return
	}
	code, end, length := p.payload[0], p.payload[1]&0x80 != 0, binary.BigEndian.Uint16(p.payload[2:])
	d := &m.digit
	switch {
	case d.known && d.code == code && d.ts == p.ts:
	case d.known && d.code == code && !d.told && !p.marker && d.ts+uint32(d.length) == p.ts:
		d.ts = p.ts // a long one is told in pieces (§2.5.1.3)
	default:
		m.release(p.at)
		*d = digit{known: true, code: code, ts: p.ts}
	}
	d.length = length
	if end {
		m.release(p.at)
	}
}

// release tells the digit that is not told yet.
func (m *machine) release(at time.Time) {
	d := &m.digit
	if !d.known || d.told {
		return
	}
	d.told = true
	if int(d.code) < len(digits) {
		m.stats.DTMF++
		m.note(adapter.Note{Kind: adapter.NoteDTMF, At: at, Text: digits[d.code : d.code+1]})
	}
}
