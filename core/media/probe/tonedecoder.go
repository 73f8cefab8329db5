package probe

import (
	"math"

	"github.com/patchbay/patchbay/core/media"
)

// Heard is a tone word and where it was, in samples from the decoder's start.
type Heard struct {
	Word       string
	Start, End int64 // End is the end of the second tone, before the pause
}

const (
	toneWindowMillis = 20  // one Goertzel window: 50 Hz of resolution, the tones lie 73 Hz apart or more
	toneHopMillis    = 10  // how far windows are apart
	toneHoldMillis   = 50  // a tone may be broken this long (two lost packets and window edges)
	toneJoinMillis   = 110 // longest way from the end of the first tone to the start of the second
	minToneWindows   = 2   // windows that a tone must be heard in
	minToneLevel     = 150 // root mean square below which a window counts as silence
	minTonePurity    = 0.6 // share of a window's energy that its two tones must hold
)

// ToneDecoder turns audio back into tone words. It takes any format that media
// knows, stands transcoding, resampling and most single lost packets, and
// ignores other audio. The zero value is ready. It is not safe for concurrent use.
type ToneDecoder struct {
	rate    int
	coeff   [8]float64 // Goertzel coefficients: rows, then columns
	samples []int16    // not yet analysed
	odd     []byte     // half a linear16 sample
	base    int64      // sample index of samples[0]

	cur  run // the tone now heard
	left run // a finished first tone that waits for its second
}

// run is a stretch of windows with the same tone pair.
type run struct {
	sym        symbol
	windows    int
	start, end int64
}

// Write takes the next bytes of audio and calls found for each word that they
// complete: a word is certain 50 ms after its second tone. All calls must name
// the same rate.
func (d *ToneDecoder) Write(f media.Format, payload []byte, found func(Heard)) {
	if f.Validate() != nil {
		return
	}
	if d.rate != f.Rate {
		d.setRate(f.Rate)
	}
	if f.Encoding == media.Linear16 && (len(d.odd) > 0 || len(payload)%2 == 1) {
		payload = append(d.odd, payload...)
		n := len(payload) &^ 1
		d.odd = append([]byte(nil), payload[n:]...)
		payload = payload[:n]
	}
	d.samples = media.AppendLinear(d.samples, f.Encoding, payload)
	window, hop := d.rate*toneWindowMillis/1000, d.rate*toneHopMillis/1000
	i := 0
	for ; i+window <= len(d.samples); i += hop {
		d.window(d.classify(d.samples[i:i+window]), d.base+int64(i), int64(window), found)
	}
	d.samples = d.samples[:copy(d.samples, d.samples[i:])]
	d.base += int64(i)
}

// Flush ends the audio: a word whose second tone was heard is reported.
func (d *ToneDecoder) Flush(found func(Heard)) {
	d.finish(found)
	d.left = run{sym: noSymbol}
}

// Quiet returns the samples since a tone was last heard, or since the start.
func (d *ToneDecoder) Quiet() int64 { return d.base - max(d.cur.end, d.left.end) }

func (d *ToneDecoder) setRate(rate int) {
	*d = ToneDecoder{rate: rate, cur: run{sym: noSymbol}, left: run{sym: noSymbol}}
	for i, hz := range append(toneRows[:], toneColumns[:]...) {
		d.coeff[i] = 2 * math.Cos(2*math.Pi*hz/float64(rate))
	}
}

// window takes what was heard at a position. A single window of another tone, as
// on the edge between two, ends a run too: the rest of the run then has no
// partner and makes no second word.
func (d *ToneDecoder) window(s symbol, at, length int64, found func(Heard)) {
	switch {
	case s == noSymbol:
		if d.cur.sym != noSymbol && at-d.cur.end > int64(d.rate*toneHoldMillis/1000) {
			d.finish(found)
		}
	case s == d.cur.sym:
		d.cur.windows++
		d.cur.end = at + length
	default:
		d.finish(found)
		d.cur = run{sym: s, windows: 1, start: at, end: at + length}
	}
}

// finish ends the current tone and makes a word of it when it is a second one.
func (d *ToneDecoder) finish(found func(Heard)) {
	tone := d.cur
	d.cur.sym, d.cur.windows = noSymbol, 0
	if tone.sym == noSymbol || tone.windows < minToneWindows {
		return
	}
	if tone.sym.left() {
		d.left = tone
		return
	}
	left := d.left
	d.left.sym = noSymbol
	if left.sym == noSymbol || tone.start-left.end > int64(d.rate*toneJoinMillis/1000) {
		return
	}
	if w, ok := wordOf(left.sym, tone.sym); ok {
		found(Heard{Word: w, Start: left.start, End: tone.end})
	}
}

// classify names the tone pair of a window.
func (d *ToneDecoder) classify(samples []int16) symbol {
	var s1, s2 [8]float64
	var energy float64
	for _, v := range samples {
		x := float64(v)
		energy += x * x
		for k := range s1 {
			s1[k], s2[k] = x+d.coeff[k]*s1[k]-s2[k], s1[k]
		}
	}
	n := float64(len(samples))
	if energy < n*minToneLevel*minToneLevel {
		return noSymbol
	}
	var best [2]int
	var power [2]float64
	for k := range s1 {
		p := s1[k]*s1[k] + s2[k]*s2[k] - d.coeff[k]*s1[k]*s2[k]
		if g := k / 4; p > power[g] {
			best[g], power[g] = k%4, p
		}
	}
	// A pure tone of amplitude A has the power (A·n/2)², its energy is A²·n/2.
	if purity := 2 * (power[0] + power[1]) / (n * energy); purity < minTonePurity {
		return noSymbol
	}
	if power[0] > 8*power[1] || power[1] > 8*power[0] {
		return noSymbol
	}
	return symbol(4*best[0] + best[1])
}
