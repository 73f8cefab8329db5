package media

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// G.711 (ITU-T, 11/1988). Decoding is a table of 256 entries; encoding finds
// the segment from the position of the highest bit.

const (
	muLawBias = 0x84  // added before the segment is found, so that it starts at bit 7
	muLawClip = 32635 // highest magnitude that the biased value can hold
)

var (
	muLawTable = makeTable(decodeMuLaw)
	aLawTable  = makeTable(decodeALaw)
)

// The squares of the values, for Level.
var (
	muLawSquares = squares(&muLawTable)
	aLawSquares  = squares(&aLawTable)
)

func squares(table *[256]int16) (t [256]uint32) {
	for i, v := range table {
		t[i] = uint32(int32(v) * int32(v))
	}
	return t
}

// sumSquares adds the squares of code words, four at a time in sums of their own, so
// that none waits for another.
func sumSquares(table *[256]uint32, payload []byte) uint64 {
	var a, b, c, d uint64
	for ; len(payload) >= 4; payload = payload[4:] {
		a += uint64(table[payload[0]])
		b += uint64(table[payload[1]])
		c += uint64(table[payload[2]])
		d += uint64(table[payload[3]])
	}
	for _, w := range payload {
		a += uint64(table[w])
	}
	return a + b + c + d
}

func makeTable(decode func(byte) int16) (t [256]int16) {
	for i := range t {
		t[i] = decode(byte(i))
	}
	return t
}

func decodeMuLaw(b byte) int16 {
	b = ^b
	exponent, mantissa := (b>>4)&7, int(b&0x0F)
	v := ((mantissa<<3)+muLawBias)<<exponent - muLawBias
	if b&0x80 != 0 {
		v = -v
	}
	return int16(v)
}

func decodeALaw(b byte) int16 {
	b ^= 0x55
	exponent, v := (b>>4)&7, int(b&0x0F)<<4+8
	if exponent > 0 {
		v = (v + 0x100) << (exponent - 1)
	}
	if b&0x80 == 0 {
		v = -v
	}
	return int16(v)
}

// DecodeMuLaw returns the 16-bit value of a mu-law code word.
func DecodeMuLaw(b byte) int16 { return muLawTable[b] }

// DecodeALaw returns the 16-bit value of an A-law code word.
func DecodeALaw(b byte) int16 { return aLawTable[b] }

// EncodeMuLaw returns the mu-law code word nearest to a 16-bit sample.
func EncodeMuLaw(s int16) byte {
	v, sign := int(s), byte(0)
	if v < 0 {
		v, sign = -v, 0x80
	}
	v = min(v, muLawClip) + muLawBias
	exponent := bits.Len(uint(v)) - 8
	return ^(sign | byte(exponent<<4) | byte(v>>(exponent+3))&0x0F)
}

// EncodeALaw returns the A-law code word nearest to a 16-bit sample.
func EncodeALaw(s int16) byte {
	v, sign := int(s), byte(0x80)
	if v < 0 {
		v, sign = -v-1, 0
	}
	if v < 0x100 {
		return (sign | byte(v>>4)) ^ 0x55
	}
	exponent := bits.Len(uint(v)) - 8
	return (sign | byte(exponent<<4) | byte(v>>(exponent+3))&0x0F) ^ 0x55
}

// AppendLinear appends the samples of a payload as 16-bit values to dst.
// A trailing half sample of Linear16 is left out.
func AppendLinear(dst []int16, e Encoding, payload []byte) []int16 {
	switch e {
	case MuLaw:
		for _, b := range payload {
			dst = append(dst, muLawTable[b])
		}
	case ALaw:
		for _, b := range payload {
			dst = append(dst, aLawTable[b])
		}
	case Linear16:
		for ; len(payload) >= 2; payload = payload[2:] {
			dst = append(dst, int16(binary.LittleEndian.Uint16(payload)))
		}
	}
	return dst
}

// AppendEncoded appends 16-bit samples to dst in encoding e.
func AppendEncoded(dst []byte, e Encoding, samples []int16) []byte {
	switch e {
	case MuLaw:
		for _, s := range samples {
			dst = append(dst, EncodeMuLaw(s))
		}
	case ALaw:
		for _, s := range samples {
			dst = append(dst, EncodeALaw(s))
		}
	case Linear16:
		for _, s := range samples {
			dst = binary.LittleEndian.AppendUint16(dst, uint16(s))
		}
	}
	return dst
}

// SilenceLevel is what Level returns for digital silence and for no audio.
const SilenceLevel = -100.0

// Level returns the loudness of a payload as root mean square in dBFS: 0 for a
// square wave at full scale, SilenceLevel for digital silence. It allocates
// nothing.
func Level(e Encoding, payload []byte) float64 {
	var sum uint64
	var n int
	switch e {
	case MuLaw:
		sum, n = sumSquares(&muLawSquares, payload), len(payload)
	case ALaw:
		sum, n = sumSquares(&aLawSquares, payload), len(payload)
	case Linear16:
		for ; len(payload) >= 2; payload = payload[2:] {
			v := int64(int16(binary.LittleEndian.Uint16(payload)))
			sum += uint64(v * v)
			n++
		}
	}
	if n == 0 || sum == 0 {
		return SilenceLevel
	}
	return max(SilenceLevel, 10*math.Log10(float64(sum)/float64(n)/(32768*32768)))
}
