package receiver

import (
	"slices"
	"sync"
	"time"
)

const (
	maxWaiting = 32   // packets that wait for earlier ones; more let the first of them go
	window     = 256  // of the newest sequence numbers it is known which came
	maxAhead   = 3000 // a sequence number that is further ahead belongs to another count,
	maxBehind  = 100  // or further behind (RFC 3550 appendix A.1)
)

// packet is one RTP packet that is past SRTP.
type packet struct {
	ext     int64 // sequence number, extended by its roll-overs
	seq     uint16
	ts      uint32
	pt      uint8
	marker  bool
	at      time.Time // arrival
	payload []byte
	kept    []byte // memory of a copy
}

var packets = sync.Pool{New: func() any { return new(packet) }}

// keep returns a copy of p, for free to take back.
func keep(p *packet) *packet {
	c := packets.Get().(*packet)
	memory := append(c.kept[:0], p.payload...)
	*c = *p
	c.kept, c.payload = memory, memory
	return c
}

func free(p *packet) { packets.Put(p) }

// order is a jitter buffer. A packet that is the next expected does not enter it; those
// that are early wait in it, by sequence number.
type order struct {
	next    int64 // extended sequence number that is expected
	top     int64 // the highest that came
	waiting []*packet
	seen    [window / 64]uint64 // by the lowest bits of extended numbers up to top
}

// begin expects seq next.
func (o *order) begin(seq uint16) {
	o.clear()
	o.next = 1<<16 + int64(seq) // room for packets before the first
	o.top = o.next - 1
	o.seen = [window / 64]uint64{}
}

// clear frees what waits.
func (o *order) clear() {
	for _, p := range o.waiting {
		free(p)
	}
	clear(o.waiting)
	o.waiting = o.waiting[:0]
}

// extend returns the extended sequence number that is nearest to the highest yet.
func (o *order) extend(seq uint16) int64 { return o.top + int64(int16(seq-uint16(o.top))) }

// near reports whether seq belongs to the same count as those before.
func (o *order) near(seq uint16) bool {
	d := o.extend(seq) - o.top
	return d > -maxBehind && d < maxAhead
}

// came reports whether ext came before, and remembers that it did.
func (o *order) came(ext int64) bool {
	if ext <= o.top-window {
		return false
	}
	for ext > o.top {
		if o.top++; ext-o.top >= window {
			o.top = ext - window // nothing of the window is left
			o.seen = [window / 64]uint64{}
			continue
		}
		o.seen[o.top%window/64] &^= 1 << (o.top % 64)
	}
	word, bit := &o.seen[ext%window/64], uint64(1)<<(ext%64)
	was := *word&bit != 0
	*word |= bit
	return was
}

// wait puts a copy of an early packet into its place.
func (o *order) wait(p *packet) {
	i, _ := slices.BinarySearchFunc(o.waiting, p.ext, func(w *packet, ext int64) int { return int(w.ext - ext) })
	o.waiting = slices.Insert(o.waiting, i, keep(p))
}

// pop takes the first packet out; the caller frees it.
func (o *order) pop() *packet {
	p := o.waiting[0]
	n := copy(o.waiting, o.waiting[1:])
	o.waiting[n] = nil
	o.waiting = o.waiting[:n]
	return p
}

// oldest returns when the packet came that waits longest; zero when none does.
func (o *order) oldest() (at time.Time) {
	for _, p := range o.waiting {
		if at.IsZero() || p.at.Before(at) {
			at = p.at
		}
	}
	return at
}
