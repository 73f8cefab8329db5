// Package g722 decodes the 64 kbit/s mode of ITU-T G.722 (09/2012), which is the one that
// RTP carries (RFC 3551 §4.5.2): two sub-bands of 8 kHz, coded by adaptive prediction, make
// one signal of 16 kHz. All arithmetic is the recommendation's, in 16 bits with saturation,
// so the output is the same bit for bit as that of any other exact decoder.
package g722

import "math"

// Decoder decodes one stream. It is not safe for concurrent use.
type Decoder struct {
	low, high band
	history   [24]int32 // of the receive filter: sum and difference of the bands in turn
}

// NewDecoder returns a decoder at the start of a stream.
func NewDecoder() *Decoder {
	d := &Decoder{}
	d.low.scale, d.high.scale = 32, 8
	return d
}

// Append appends the samples of a payload to dst, two for each byte, at 16 kHz. Any bytes
// are a valid payload.
func (d *Decoder) Append(dst []int16, payload []byte) []int16 {
	for _, code := range payload {
		low, high := d.decodeLow(code&0x3F), d.decodeHigh(code>>6)
		even, odd := d.join(low, high)
		dst = append(dst, even, odd)
	}
	return dst
}

// decodeLow decodes the six bits of the lower band. The predictor follows
// the four upper bits alone.
func (d *Decoder) decodeLow(code byte) int32 {
	b := &d.low
	out := limit(b.signal+b.scale*sixBits[code]>>15, 1<<14)
	step := fourBits[code>>2]
	difference := b.scale * step >> 15
	b.log = clamp(b.log*127>>7+lowLog[lowRank[code>>2]], 0, 18432)
	b.scale = linear(b.log, 8)
	b.adapt(difference)
	return out
}

// decodeHigh decodes the two bits of the higher band.
func (d *Decoder) decodeHigh(code byte) int32 {
	b := &d.high
	difference := b.scale * twoBits[code] >> 15
	out := limit(b.signal+difference, 1<<14)
	b.log = clamp(b.log*127>>7+highLog[code&1], 0, 22528)
	b.scale = linear(b.log, 10)
	b.adapt(difference)
	return out
}

// join is the receive quadrature mirror filter: two samples of output from
// one of each band.
func (d *Decoder) join(low, high int32) (even, odd int16) {
	copy(d.history[:], d.history[2:])
	d.history[22], d.history[23] = low+high, low-high
	var first, second int32
	for i, c := range filter {
		second += d.history[2*i] * c
		first += d.history[2*i+1] * filter[len(filter)-1-i]
	}
	return int16(saturate(first >> 11)), int16(saturate(second >> 11))
}

// band is the state of one sub-band: its scale factor and its predictor, of two poles and
// six zeros.
type band struct {
	log    int32 // logarithm of the scale factor
	scale  int32
	signal int32 // predicted next sample
	zeros  int32 // the zeros' part of it

	a [2]int32 // coefficients of the poles
	r [2]int32 // reconstructed signal, the newest first
	p [2]int32 // partly reconstructed signal, the newest first
	b [6]int32 // coefficients of the zeros
	d [6]int32 // differences, the newest first
}

// adapt takes the difference between signal and prediction, and predicts again.
func (b *band) adapt(difference int32) {
	reconstructed := saturate(b.signal + difference)
	partial := saturate(b.zeros + difference)
	b.adaptPoles(partial)
	b.adaptZeros(difference)
	b.r = [2]int32{reconstructed, b.r[0]}
	b.p = [2]int32{partial, b.p[0]}

	b.zeros = 0
	for i := range b.b {
		b.zeros += b.b[i] * saturate(2*b.d[i]) >> 15
	}
	b.zeros = saturate(b.zeros)
	poles := saturate(b.a[0]*saturate(2*b.r[0])>>15 + b.a[1]*saturate(2*b.r[1])>>15)
	b.signal = saturate(poles + b.zeros)
}

// adaptPoles moves the poles' coefficients by the signs of the partial signal.
func (b *band) adaptPoles(partial int32) {
	lean := saturate(4 * b.a[0])
	if sameSign(partial, b.p[0]) {
		lean = min(-lean, math.MaxInt16)
	}
	second := lean>>7 + b.a[1]*32512>>15
	if sameSign(partial, b.p[1]) {
		second += 128
	} else {
		second -= 128
	}
	second = clamp(second, -12288, 12288)

	first := b.a[0] * 32640 >> 15
	if sameSign(partial, b.p[0]) {
		first += 192
	} else {
		first -= 192
	}
	bound := saturate(15360 - second)
	b.a = [2]int32{clamp(saturate(first), -bound, bound), second}
}

// adaptZeros moves the zeros' coefficients by the signs of the differences, and remembers
// the newest.
func (b *band) adaptZeros(difference int32) {
	step := int32(128)
	if difference == 0 {
		step = 0
	}
	for i := range b.b {
		leaked := b.b[i] * 32640 >> 15
		if sameSign(difference, b.d[i]) {
			b.b[i] = saturate(leaked + step)
		} else {
			b.b[i] = saturate(leaked - step)
		}
	}
	copy(b.d[1:], b.d[:5])
	b.d[0] = difference
}

// linear returns the scale factor of a logarithm.
func linear(log, shift int32) int32 {
	mantissa, down := antilog[log>>6&31], shift-log>>11
	if down < 0 {
		return mantissa << -down << 2
	}
	return mantissa >> down << 2
}

func sameSign(a, b int32) bool { return a < 0 == (b < 0) }

func clamp(v, low, high int32) int32 { return max(low, min(v, high)) }

// limit keeps v within a signed range of twice bound.
func limit(v, bound int32) int32 { return clamp(v, -bound, bound-1) }

func saturate(v int32) int32 { return limit(v, 1<<15) }
