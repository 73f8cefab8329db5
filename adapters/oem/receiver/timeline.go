package receiver

import (
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
)

const (
	// leap is how far timestamps may run ahead of the clock on the wall; beyond, they begin
	// anew.
	leap = time.Second
	// agree is how near timestamps must be to the clock on the wall to be believed across a
	// hold or a change of the source.
	agree = 250 * time.Millisecond
)

// timeline gives audio its positions, by RTP timestamps while one source goes on, else by
// arrival.
type timeline struct {
	joined bool
	format media.Format // of the segment
	clock  int          // of the timestamps, in hertz
	pos    int64        // where the last audio ended, in samples of the segment
	ts     uint32       // the same as a timestamp
	at     time.Time    // when the last audio came

	missing int64 // packets that were lost since
	spoiled bool  // packets were thrown away since
	resumed bool  // a hold ended since
	doubted bool  // the source changed since: timestamps prove nothing,
	excused bool  // and the silence between the two was announced
}

// doubt says that another source goes on. excused is whether the silence meanwhile was to
// be expected.
func (t *timeline) doubt(excused bool) { t.doubted, t.excused = true, excused }

// place says where n samples of a packet belong: gap samples after the last audio, of
// which quiet were the sender's own silence, or overlap samples before its end.
func (t *timeline) place(p *packet, f media.Format, clock int, n int64) (gap, quiet, overlap int64) {
	if !t.joined {
		return 0, 0, 0
	}
	elapsed := max(0, p.at.Sub(t.at)-f.Duration(n))
	ahead := int64(int32(p.ts - t.ts))
	by := time.Duration(ahead) * time.Second / time.Duration(clock)
	samples := ahead * int64(f.Rate) / int64(clock)
	switch off := by - elapsed; {
	case clock != t.clock,
		t.doubted && (off > agree || off < -agree),
		t.resumed && (off > agree || off < -agree),
		off > leap, samples <= -n:
		gap = f.SamplesIn(elapsed)
	case samples < 0:
		return 0, 0, -samples
	default:
		gap = samples
	}
	switch {
	case t.resumed, t.doubted && t.excused:
		quiet = gap
	case !t.doubted && !t.spoiled:
		quiet = gap - min(gap, t.missing*n)
	}
	return gap, quiet, 0
}

// advance notes that n samples of p stand at pos.
func (t *timeline) advance(p *packet, f media.Format, clock int, pos, n int64) {
	*t = timeline{joined: true, format: f, clock: clock, pos: pos + n, ts: p.ts + uint32(n*int64(clock)/int64(f.Rate)), at: p.at}
}

// deliver hands on a packet in its order.
func (m *machine) deliver(p *packet) {
	if m.stopped {
		return
	}
	pl := m.payloads[p.pt]
	switch {
	case !m.media.Receive:
		m.stats.Held++
		m.dropped(p, DroppedHeld)
	case pl.Codec == "":
		m.stats.Payload++
		m.time.spoiled = true
		m.count(CountPayload)
		m.note(adapter.Note{Kind: adapter.NoteDropped, At: p.at, Text: DroppedPayload})
	case pl.Codec == Event:
		m.stats.Events++
		m.event(p)
	case pl.Codec == ComfortNoise:
		m.stats.Noise++
	default:
		m.audio(p, pl)
	}
}

// audio hands on a packet with audio.
func (m *machine) audio(p *packet, pl Payload) {
	count, ok := samples(pl.Codec, p.payload)
	if ok && count == 0 { // silence of the codec's own, or a keep-alive
		m.stats.Noise++
		return
	}
	m.codec.use(pl.Codec)
	payload, err := m.codec.decode(p.payload, count)
	if !ok || err != nil {
		m.malformed()
		m.time.spoiled = true
		m.dropped(p, DroppedMalformed)
		return
	}
	m.release(p.at)
	t, f, n := &m.time, m.codec.format, int64(count)
	gap, quiet, overlap := t.place(p, f, pl.Clock, n)
	if overlap > 0 {
		m.note(adapter.Note{Kind: adapter.NoteDropped, At: p.at, Text: DroppedDuplicate, Samples: overlap})
		payload, n = payload[f.Bytes(overlap):], n-overlap
		p.ts += uint32(overlap * int64(pl.Clock) / int64(f.Rate))
	}
	if !t.joined || f != t.format {
		m.begin(f, p.at.Add(-f.Duration(n+gap)))
	}
	if quiet > 0 {
		m.note(adapter.Note{Kind: adapter.NoteGap, At: p.at, Samples: quiet})
	}
	pos := t.pos + gap
	if m.stats.Err == nil {
		m.fail(m.out.Write(media.Frame{Pos: pos, Arrived: p.at, Payload: payload}))
		m.stats.Delivered++
	}
	t.advance(p, f, pl.Clock, pos, n)
}
