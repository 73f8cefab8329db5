package probe

import (
	"bytes"
	"encoding/binary"

	"github.com/patchbay/patchbay/core/media"
)

// BlockSamples is the length of a coded block: 20 ms at BlockRate. In mu-law it
// is also the number of bytes.
const BlockSamples = 160

// BlockRate is the only sample rate at which coded blocks can be read.
const BlockRate = 8000

// Block is what a coded block says of itself.
type Block struct {
	Stream uint16 // which source of audio
	N      uint32 // number of the block within it, counted from 0
}

// A block is marker, header (stream and number, big endian, as nibbles) and a
// pseudo-random rest that follows from the header, so that the whole block is
// its own checksum. Every code word is the same after mu-law → linear16 → mu-law
// and after a detour through A-law; 0x7F and 0xFF, the two zeros, are not used.
// The words are loud and of both signs: a level meter sees speech.
const (
	headerNibbles = 12
	markerWords   = 8
	headerEnd     = markerWords + headerNibbles
	positiveWord  = 0xA0 // nibbles 0 to 7; 8 to 15 have the sign bit cleared
)

var marker = []byte{0x2F, 0xAF, 0xAF, 0x2F, 0x2F, 0x2F, 0xAF, 0x2F} // words that no nibble has

func word(nibble byte) byte { return positiveWord&^(nibble<<4&0x80) | nibble&7 }

// nibble is the inverse of word; ok is false for any other byte.
func nibble(w byte) (n byte, ok bool) {
	n = w & 7
	if w&0x80 == 0 {
		n |= 8
	}
	return n, word(n) == w
}

// AppendBlock appends block n of a stream to dst: BlockSamples bytes of mu-law.
func AppendBlock(dst []byte, stream uint16, n uint32) []byte {
	dst = append(dst, marker...)
	header := uint64(stream)<<32 | uint64(n)
	for shift := 4 * (headerNibbles - 1); shift >= 0; shift -= 4 {
		dst = append(dst, word(byte(header>>shift)&15))
	}
	x := header*0x9E3779B97F4A7C15 + 0xD1B54A32D192ED03
	for left := BlockSamples - headerEnd; left > 0; {
		x ^= x >> 12
		x ^= x << 25
		x ^= x >> 27
		bits := x * 0x2545F4914F6CDD1D
		for i := 0; i < 16 && left > 0; i, left = i+1, left-1 {
			dst = append(dst, word(byte(bits>>(4*i))&15))
		}
	}
	return dst
}

// parseBlock reads a whole block; ok is false unless each sample is right.
func parseBlock(p []byte) (b Block, ok bool) {
	var header uint64
	for _, w := range p[markerWords:headerEnd] {
		n, valid := nibble(w)
		if !valid {
			return Block{}, false
		}
		header = header<<4 | uint64(n)
	}
	b = Block{Stream: uint16(header >> 32), N: uint32(header)}
	var want [BlockSamples]byte
	AppendBlock(want[:0], b.Stream, b.N)
	return b, bytes.Equal(p[:BlockSamples], want[:])
}

// Decoder finds coded blocks in a stream of samples, at any alignment and with
// any other audio between them. The zero value is ready. It is not safe for
// concurrent use.
type Decoder struct {
	buf  []byte // mu-law not yet decided on: less than one block between calls
	base int64  // sample index of buf[0]
	odd  byte   // first half of a sample whose second half is yet to come
	half bool
}

// Write takes the next bytes of audio, cut anywhere, and calls found for each
// block that they complete. end is the number of samples from the decoder's
// start to the end of the block. Encodings are mu-law, A-law and linear16; at
// other rates than BlockRate samples are counted and nothing is found.
func (d *Decoder) Write(f media.Format, payload []byte, found func(b Block, end int64)) {
	const piece = 8 << 10 // bounds the buffer, however long the payload is
	for len(payload) > piece {
		d.write(f, payload[:piece], found)
		payload = payload[piece:]
	}
	d.write(f, payload, found)
}

// Samples returns how many whole samples have been written.
func (d *Decoder) Samples() int64 { return d.base + int64(len(d.buf)) }

func (d *Decoder) write(f media.Format, payload []byte, found func(Block, int64)) {
	d.fill(f, payload)
	if f.Rate != BlockRate {
		d.base += int64(len(d.buf))
		d.buf = d.buf[:0]
		return
	}
	rest := d.buf
	for {
		i := bytes.Index(rest, marker)
		if i < 0 {
			rest = rest[max(0, len(rest)-markerWords+1):] // a marker may begin here
			break
		}
		if rest = rest[i:]; len(rest) < BlockSamples {
			break
		}
		b, ok := parseBlock(rest)
		if !ok {
			rest = rest[1:]
			continue
		}
		rest = rest[BlockSamples:]
		found(b, d.Samples()-int64(len(rest)))
	}
	d.base += int64(len(d.buf) - len(rest))
	d.buf = d.buf[:copy(d.buf, rest)]
}

// fill appends a payload to the buffer as mu-law.
func (d *Decoder) fill(f media.Format, payload []byte) {
	switch f.Encoding {
	case media.MuLaw:
		d.buf = append(d.buf, payload...)
	case media.ALaw:
		for _, w := range payload {
			d.buf = append(d.buf, media.EncodeMuLaw(media.DecodeALaw(w)))
		}
	case media.Linear16:
		if d.half && len(payload) > 0 {
			d.buf = append(d.buf, muLaw16([]byte{d.odd, payload[0]}))
			payload, d.half = payload[1:], false
		}
		for ; len(payload) >= 2; payload = payload[2:] {
			d.buf = append(d.buf, muLaw16(payload))
		}
		if len(payload) == 1 {
			d.odd, d.half = payload[0], true
		}
	}
}

func muLaw16(b []byte) byte { return media.EncodeMuLaw(int16(binary.LittleEndian.Uint16(b))) }
