package probe

import (
	"fmt"
	"math"
	"slices"
)

// A tone word is two tone pairs of toneLength each, one from the left half of a
// DTMF keypad (ITU-T Q.23 frequencies) and one from the right half, then
// wordPause of silence. Left then right, never the other way round: so words
// need no separator, and a lost packet cannot make two words out of one.
const (
	toneMillis  = 80
	pauseMillis = 60
	toneLevel   = 5000 // peak of one of the two tones, in 16-bit units: about -13 dBFS together
	rampMillis  = 3    // rise and fall, against clicks
)

var (
	toneRows    = [4]float64{697, 770, 852, 941}
	toneColumns = [4]float64{1209, 1336, 1477, 1633}
)

var words = [...]string{
	"amber", "basil", "cedar", "delta", "ember", "fable", "ginger", "harbor",
	"indigo", "jasper", "kettle", "lemon", "maple", "nectar", "olive", "pepper",
	"quartz", "river", "saffron", "timber", "umbra", "velvet", "walnut", "xenon",
	"yonder", "zephyr", "anchor", "bronze", "copper", "dahlia", "echo", "falcon",
}

// Words returns the vocabulary: 32 lower-case words, the same in every version.
func Words() []string { return slices.Clone(words[:]) }

// symbol is one tone pair: 4*row + column.
type symbol int8

const noSymbol symbol = -1

func (s symbol) left() bool { return s%4 < 2 }

// keyOf numbers the tone pairs of one half of the keypad from 0 to 7.
func (s symbol) keyOf() int { return int(s/4)*2 + int(s%2) }

// pairOf gives the two tone pairs of word i. Of the 64 combinations those with
// an even sum are words, so that one misheard tone seldom makes another word.
func pairOf(i int) (left, right symbol) {
	a := i / 4
	b := i%4*2 + a%2
	return symbol(a/2*4 + a%2), symbol(b/2*4 + b%2 + 2)
}

// wordOf is the inverse of pairOf; ok is false for a pair that is no word.
func wordOf(left, right symbol) (w string, ok bool) {
	a, b := left.keyOf(), right.keyOf()
	if (a+b)%2 != 0 {
		return "", false
	}
	return words[a*4+b/2], true
}

// WordSamples returns how long one tone word is at a rate: 220 ms, its pause included.
func WordSamples(rate int) int { return (2*toneMillis + pauseMillis) * rate / 1000 }

// AppendTones appends words as 16-bit samples at rate hertz, WordSamples each.
// It panics for a word that Words does not list.
func AppendTones(dst []int16, rate int, list ...string) []int16 {
	for _, w := range list {
		i := slices.Index(words[:], w)
		if i < 0 {
			panic(fmt.Sprintf("probe: %q is not a tone word", w))
		}
		left, right := pairOf(i)
		start := len(dst)
		dst = appendTone(dst, rate, left)
		dst = appendTone(dst, rate, right)
		for len(dst)-start < WordSamples(rate) {
			dst = append(dst, 0)
		}
	}
	return dst
}

func appendTone(dst []int16, rate int, s symbol) []int16 {
	n, ramp := toneMillis*rate/1000, float64(rampMillis*rate/1000)
	row, column := toneRows[s/4]*2*math.Pi/float64(rate), toneColumns[s%4]*2*math.Pi/float64(rate)
	for i := range n {
		edge := min(1, float64(i+1)/ramp, float64(n-i)/ramp)
		v := math.Sin(row*float64(i)) + math.Sin(column*float64(i))
		dst = append(dst, int16(edge*toneLevel*v))
	}
	return dst
}
