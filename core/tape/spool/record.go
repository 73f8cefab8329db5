package spool

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/patchbay/patchbay/core/media"
)

// Kind says what a record's positions hold.
type Kind uint8

// The kinds of a record. Runs without audio have no payload, however long.
const (
	Audio   Kind = iota // samples
	Filled              // silence in the place of audio that did not come
	Skipped             // positions that no reader gets
)

// LevelBlock is the stretch that one bit of Record.Loud speaks for.
const LevelBlock = 20 * time.Millisecond

// MaxPayload is the most audio that a record holds. It must not last longer than
// 64 LevelBlocks.
const MaxPayload = 8 << 10

// Record is a run of positions of a tape, of one kind and segment: a sealed block
// on disk.
type Record struct {
	Kind    Kind
	Pos, N  int64 // samples
	Segment int64 // position where its segment begins
	Format  media.Format
	Arrived time.Time // when the sample at Pos arrived; zero when unknown
	Settled int64     // how far the tape was settled when the record was taken
	Loud    uint64    // a bit for each LevelBlock from Pos, the first one the lowest: louder than silence
	Payload []byte    // of Audio
}

// End returns the position after the record.
func (r Record) End() int64 { return r.Pos + r.N }

// The plain text of a record is its head, little endian, then the payload. The head:
//
//	kind, encoding (1 each), 2 zero bytes, rate (4), pos, n, segment, arrival
//	(Unix nanoseconds, the least value when unknown), settled, loud (8 each)
const (
	headBytes = 56
	noArrival = -1 << 63
)

// MaxSealed is the most bytes that a sealed record has: what Read needs.
const MaxSealed = sealBytes + headBytes + MaxPayload

func appendPlain(dst []byte, r *Record) []byte {
	arrived := int64(noArrival)
	if !r.Arrived.IsZero() {
		arrived = r.Arrived.UnixNano()
	}
	dst = append(dst, byte(r.Kind), byte(r.Format.Encoding), 0, 0)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(r.Format.Rate))
	for _, v := range [...]uint64{uint64(r.Pos), uint64(r.N), uint64(r.Segment), uint64(arrived), uint64(r.Settled), r.Loud} {
		dst = binary.LittleEndian.AppendUint64(dst, v)
	}
	return append(dst, r.Payload...)
}

// parsePlain reads what appendPlain wrote. The payload is part of b.
func parsePlain(b []byte) (Record, error) {
	if len(b) < headBytes {
		return Record{}, fmt.Errorf("%w: a record of %d bytes", ErrDamaged, len(b))
	}
	word := func(i int) int64 { return int64(binary.LittleEndian.Uint64(b[8+8*i:])) }
	r := Record{
		Kind: Kind(b[0]), Format: media.Format{Encoding: media.Encoding(b[1]), Rate: int(binary.LittleEndian.Uint32(b[4:]))},
		Pos: word(0), N: word(1), Segment: word(2), Settled: word(4), Loud: uint64(word(5)), Payload: b[headBytes:],
	}
	if at := word(3); at != noArrival {
		r.Arrived = time.Unix(0, at)
	}
	if err := r.validate(); err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return r, nil
}

// maxPos keeps sums of positions from overflowing.
const maxPos = 1 << 60

func (r *Record) validate() error {
	if err := r.Format.Validate(); err != nil {
		return err
	}
	want := int64(0)
	if r.Kind == Audio {
		want = r.N
	}
	switch {
	case r.Kind > Skipped:
		return fmt.Errorf("kind %d", r.Kind)
	case r.N <= 0 || r.N > maxPos || r.Pos < 0 || r.Pos > maxPos || r.Segment < 0 || r.Segment > r.Pos || r.Settled < 0 || r.Settled > maxPos:
		return fmt.Errorf("%d samples at position %d", r.N, r.Pos)
	case int64(len(r.Payload)) != r.Format.Bytes(want) || len(r.Payload) > MaxPayload:
		return fmt.Errorf("%d bytes for %d samples", len(r.Payload), want)
	}
	return nil
}

// sealRecord appends record number n. scratch is memory to write the plain text in.
func (h *header) sealRecord(dst, scratch []byte, n uint32, r *Record) (sealed, plain []byte) {
	plain = appendPlain(scratch[:0], r)
	return h.seal(dst, n, plain), plain
}

// openRecord reads record number n as open does.
func (h *header) openRecord(b []byte, n uint32) (Record, int, error) {
	plain, size, err := h.open(b, n, headBytes, headBytes+MaxPayload)
	if err != nil {
		return Record{}, 0, err
	}
	r, err := parsePlain(plain)
	return r, size, err
}
