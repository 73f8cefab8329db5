package hear

import (
	"math"

	"github.com/patchbay/patchbay/core/media"
)

// An envelope is the loudness of audio, tick by tick: the level in dB of the last
// two ticks (20 ms), not below quietLevel. It is nearly the same before and after
// transcoding and resampling.
const (
	ticksPerSecond = 100
	quietLevel     = -60 // dBFS; what is quieter counts as silence
)

// meter turns samples of any format into ticks of an envelope.
type meter struct {
	format  media.Format
	odd     []byte  // half a linear16 sample
	scratch []int16 // samples of one write
	samples int64   // taken so far
	tick    int64   // finished so far
	energy  float64 // of the tick under way
	count   int
	before  float64 // mean square of the tick before
}

// write appends the ticks that a payload completes.
func (m *meter) write(payload []byte, add func(level float32)) {
	if m.format.Encoding == media.Linear16 && (len(m.odd) > 0 || len(payload)%2 == 1) {
		payload = append(m.odd, payload...)
		n := len(payload) &^ 1
		m.odd = append([]byte(nil), payload[n:]...)
		payload = payload[:n]
	}
	m.scratch = media.AppendLinear(m.scratch[:0], m.format.Encoding, payload)
	m.add(m.scratch, add)
}

func (m *meter) add(samples []int16, add func(level float32)) {
	for _, s := range samples {
		v := float64(s)
		m.energy += v * v
		m.count++
		m.samples++
		if m.samples >= m.boundary(m.tick+1) {
			mean := m.energy / float64(m.count)
			add(level((mean + m.before) / 2))
			m.before, m.energy, m.count = mean, 0, 0
			m.tick++
		}
	}
}

// boundary returns the sample at which a tick begins.
func (m *meter) boundary(tick int64) int64 { return tick * int64(m.format.Rate) / ticksPerSecond }

func level(meanSquare float64) float32 {
	const fullScale = 32768 * 32768
	if meanSquare < 1 {
		return quietLevel
	}
	return float32(max(quietLevel, 10*math.Log10(meanSquare/fullScale)))
}
