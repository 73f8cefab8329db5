package native

import (
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
)

// audio brings the bytes of one track to its leg. Messages may have any length and end
// within a sample.
type audio struct {
	track  media.TrackID
	format media.Format
	pos    int64  // samples since the segment began
	odd    []byte // the first half of a sample
}

// frameTime is the longest frame.
const frameTime = 500 * time.Millisecond

// write hands on what is whole.
func (a *audio) write(leg adapter.Leg, b []byte, at time.Time) error {
	if len(a.odd) > 0 && len(b) > 0 {
		b = append(a.odd, b...)
		a.odd = nil
	}
	if whole := len(b) - len(b)%a.format.SampleBytes(); whole < len(b) {
		a.odd = []byte{b[whole]}
		b = b[:whole]
	}
	for most := int(a.format.Bytes(a.format.SamplesIn(frameTime))); len(b) > 0; {
		part := b[:min(most, len(b))]
		b = b[len(part):]
		if err := leg.Write(media.Frame{Track: a.track, Pos: a.pos, Arrived: at, Payload: part}); err != nil {
			return err
		}
		a.pos += a.format.Samples(len(part))
	}
	return nil
}
