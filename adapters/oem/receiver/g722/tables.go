package g722

// filter is one half of the receive filter's 24 coefficients; the other is its mirror
// image.
var filter = [12]int32{3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11}

// sixBits, fourBits and twoBits are the outputs of the inverse quantizers, by code.
var (
	sixBits = [64]int32{
		-136, -136, -136, -136, -24808, -21904, -19008, -16704,
		-14984, -13512, -12280, -11192, -10232, -9360, -8576, -7856,
		-7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576,
		-3168, -2776, -2400, -2032, -1688, -1360, -1040, -728,
		24808, 21904, 19008, 16704, 14984, 13512, 12280, 11192,
		10232, 9360, 8576, 7856, 7192, 6576, 6000, 5456,
		4944, 4464, 4008, 3576, 3168, 2776, 2400, 2032,
		1688, 1360, 1040, 728, 432, 136, -432, -136,
	}
	fourBits = [16]int32{
		0, -20456, -12896, -8968, -6288, -4240, -2584, -1200,
		20456, 12896, 8968, 6288, 4240, 2584, 1200, 0,
	}
	twoBits = [4]int32{-7408, -1616, 7408, 1616}
)

// lowLog and highLog are how far a code moves the logarithm of the scale factor, by the
// rank of its magnitude; lowRank is that rank of a four-bit code. Of the higher band the
// code's last bit is its rank.
var (
	lowLog  = [8]int32{-60, -30, 58, 172, 334, 538, 1198, 3042}
	lowRank = [16]byte{0, 7, 6, 5, 4, 3, 2, 1, 7, 6, 5, 4, 3, 2, 1, 0}
	highLog = [2]int32{798, -214}
)

// antilog is the mantissa of a scale factor, by the fraction of its logarithm.
var antilog = [32]int32{
	2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383,
	2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834,
	2896, 2960, 3025, 3091, 3158, 3228, 3298, 3371,
	3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
}
