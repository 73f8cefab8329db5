package tape

import (
	"sync"

	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/tape/spool"
)

// blockBytes is the memory unit of a tape: about a second of telephony.
const blockBytes = spool.MaxPayload

var blocks = sync.Pool{New: func() any { return new([blockBytes]byte) }}

type spanKind uint8

const (
	spanAudio  spanKind = iota // samples in a block
	spanCold                   // samples in the spool's file alone
	spanFilled                 // silence in the place of lost or announced audio
	spanSkip                   // positions that no reader gets: withheld, or a gap too long to fill
)

// span is a run of positions of one kind and segment. Gaps are runs, not bytes.
type span struct {
	kind  spanKind
	pos   int64
	n     int64
	seg   segmentRef
	block *[blockBytes]byte // spanAudio only; filled from its start
}

// segmentRef is what a span must know of its segment.
type segmentRef struct {
	start  int64
	format media.Format
}

func (s *span) end() int64 { return s.pos + s.n }

// bytes returns the n samples from pos of an audio span.
func (s *span) bytes(pos, n int64) []byte {
	from := s.seg.format.Bytes(pos - s.pos)
	return s.block[from : from+s.seg.format.Bytes(n)]
}

// append adds n samples of the current segment at the end of the tape.
func (t *Tape) append(kind spanKind, n int64, payload []byte) {
	seg := t.segments[len(t.segments)-1]
	ref := segmentRef{start: seg.start, format: seg.format}
	if kind != spanAudio {
		if last := t.last(); last != nil && last.kind == kind && last.seg == ref {
			last.n += n
		} else {
			t.spans = append(t.spans, span{kind: kind, pos: t.end, n: n, seg: ref})
		}
		t.end += n
		return
	}
	for len(payload) > 0 {
		last := t.last()
		used := 0
		if last != nil && last.kind == spanAudio && last.seg == ref {
			used = int(ref.format.Bytes(last.n))
		}
		if last == nil || last.kind != spanAudio || last.seg != ref || blockBytes-used < ref.format.SampleBytes() {
			t.spans = append(t.spans, span{kind: spanAudio, pos: t.end, seg: ref, block: blocks.Get().(*[blockBytes]byte)})
			t.bytes += blockBytes
			last, used = t.last(), 0
		}
		k := ref.format.Samples(copy(last.block[used:], payload))
		payload = payload[ref.format.Bytes(k):]
		last.n += k
		t.end += k
	}
}

// last returns the newest span that is not settled whole, nil when there is none.
func (t *Tape) last() *span {
	if t.head == len(t.spans) {
		return nil
	}
	return &t.spans[len(t.spans)-1]
}

// dropHead frees the oldest span.
func (t *Tape) dropHead() {
	t.free(&t.spans[t.head])
	t.spans[t.head] = span{}
	t.head++
	if t.head == len(t.spans) {
		t.spans, t.head, t.cold = t.spans[:0], 0, 0
	} else if t.head > 64 && t.head > len(t.spans)/2 {
		t.spans = append(t.spans[:0], t.spans[t.head:]...)
		t.head, t.cold = 0, max(0, t.cold-t.head)
	}
}

// filledAt reports whether the audio at pos was filled with silence; positions
// that are settled already count as audio.
func (t *Tape) filledAt(pos int64) bool {
	for i := len(t.spans) - 1; i >= t.head; i-- {
		if t.spans[i].pos <= pos {
			return t.spans[i].kind == spanFilled
		}
	}
	return false
}
