package sim

// g722Encoder encodes 16 kHz samples as G.722 at 64 kbit/s: one byte for two samples
// (ITU-T G.722 §3: a quadrature mirror filter splits the band, each half is coded by ADPCM
// with 6 and 2 bits). The zero value is not ready; use newG722Encoder.
type g722Encoder struct {
	past      [24]int // the filter's window of input
	low, high g722Band
}

// g722Band is the adaptive predictor and quantiser scale of one half band, by the names of
// the recommendation's block diagrams.
type g722Band struct {
	s, sp, sz int
	r         [3]int
	a         [3]int // [1], [2]: pole coefficients
	p         [3]int
	d         [7]int
	b         [7]int // [1] to [6]: zero coefficients
	nb, det   int
}

func newG722Encoder() *g722Encoder {
	e := &g722Encoder{}
	e.low.det, e.high.det = 32, 8
	return e
}

var (
	g722Mirror = [12]int{3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11}

	g722Levels = [30]int{0, 35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1023, 1121, 1219, 1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919}
	g722Scale  = [32]int{2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834, 2896, 2960, 3025, 3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008}
	g722Inv4   = [16]int{0, -20456, -12896, -8968, -6288, -4240, -2584, -1200, 20456, 12896, 8968, 6288, 4240, 2584, 1200, 0}
	g722Inv2   = [4]int{-7408, -1616, 7408, 1616}
	g722LowW   = [8]int{-60, -30, 58, 172, 334, 538, 1198, 3042}
	g722LowI   = [16]int{0, 7, 6, 5, 4, 3, 2, 1, 7, 6, 5, 4, 3, 2, 1, 0}
	g722HighW  = [3]int{0, -214, 798}
	g722HighI  = [4]int{2, 1, 2, 1}
)

// encode appends the bytes of whole pairs of samples.
func (e *g722Encoder) encode(dst []byte, samples []int16) []byte {
	for i := 0; i+1 < len(samples); i += 2 {
		copy(e.past[:], e.past[2:])
		e.past[22], e.past[23] = int(samples[i]), int(samples[i+1])
		even, odd := 0, 0
		for k := range 12 {
			odd += e.past[2*k] * g722Mirror[k]
			even += e.past[2*k+1] * g722Mirror[11-k]
		}
		low := e.low.codeLow((even + odd) >> 14)
		high := e.high.codeHigh((even - odd) >> 14)
		dst = append(dst, byte(high<<6|low))
	}
	return dst
}

// codeLow quantises the lower half band to 6 bits.
func (b *g722Band) codeLow(x int) int {
	e := clip16(x - b.s)
	size := e
	if e < 0 {
		size = -(e + 1)
	}
	i := 1
	for i < 30 && size >= g722Levels[i]*b.det>>12 {
		i++
	}
	code := 62 - i // of positive values: 61 for the smallest
	if e < 0 {
		if code = 34 - i; i <= 2 {
			code = 64 - i
		}
	}
	coarse := code >> 2
	d := b.det * g722Inv4[coarse] >> 15
	b.rescale(g722LowW[g722LowI[coarse]], 18432, 8)
	b.predict(d)
	return code
}

// codeHigh quantises the upper half band to 2 bits.
func (b *g722Band) codeHigh(x int) int {
	e := clip16(x - b.s)
	size := e
	if e < 0 {
		size = -(e + 1)
	}
	code, large := 3, size >= 564*b.det>>12
	switch {
	case e < 0 && large:
		code = 0
	case e < 0:
		code = 1
	case large:
		code = 2
	}
	d := b.det * g722Inv2[code] >> 15
	b.rescale(g722HighW[g722HighI[code]], 22528, 10)
	b.predict(d)
	return code
}

// rescale adapts the quantiser: nb is the logarithm of det.
func (b *g722Band) rescale(w, limit, shift int) {
	b.nb = min(max(b.nb*127>>7+w, 0), limit)
	det := g722Scale[b.nb>>6&31]
	if n := shift - b.nb>>11; n >= 0 {
		det >>= n
	} else {
		det <<= -n
	}
	b.det = det << 2
}

// predict takes the quantised difference and makes the next prediction.
func (b *g722Band) predict(d int) {
	b.d[0] = d
	b.r[0] = clip16(b.s + d)
	b.p[0] = clip16(b.sz + d)

	a2 := min(clip16(b.a[1]<<2), 32767)
	if sign(b.p[0]) == sign(b.p[1]) {
		a2 = min(-a2, 32767)
	}
	a2 = a2>>7 + b.a[2]*32512>>15
	if sign(b.p[0]) == sign(b.p[2]) {
		a2 += 128
	} else {
		a2 -= 128
	}
	a2 = min(max(a2, -12288), 12288)
	a1 := b.a[1] * 32640 >> 15
	if sign(b.p[0]) == sign(b.p[1]) {
		a1 += 192
	} else {
		a1 -= 192
	}
	edge := clip16(15360 - a2)
	b.a[1], b.a[2] = min(max(clip16(a1), -edge), edge), a2

	step := 128
	if d == 0 {
		step = 0
	}
	for i := 1; i < 7; i++ {
		w := b.b[i] * 32640 >> 15
		if sign(b.d[i]) == sign(d) {
			w += step
		} else {
			w -= step
		}
		b.b[i] = clip16(w)
	}
	copy(b.d[1:], b.d[:6])
	copy(b.r[1:], b.r[:2])
	copy(b.p[1:], b.p[:2])

	b.sp = clip16(b.a[1]*clip16(2*b.r[1])>>15 + b.a[2]*clip16(2*b.r[2])>>15)
	b.sz = 0
	for i := 1; i < 7; i++ {
		b.sz += b.b[i] * clip16(2*b.d[i]) >> 15
	}
	b.sz = clip16(b.sz)
	b.s = clip16(b.sp + b.sz)
}

func sign(v int) bool { return v < 0 }

func clip16(v int) int { return min(max(v, -32768), 32767) }
