package tape

import (
	"testing"
	"time"

	"github.com/patchbay/patchbay/core/media"
)

// Frames that were held up and come together came when they came, all of them, and not
// when they should have.
func TestCame(t *testing.T) {
	tp := newTape(t)
	late := start.Add(time.Second)
	for n := range int64(20) {
		f := frame(n*frameSamples, speech(int(n)))
		if n >= 16 {
			f.Arrived = late
		}
		write(t, tp, f)
	}
	r := tp.Reader()
	for n := int64(12); n < 20; n++ {
		want := start.Add(media.Telephony.Duration((n + 1) * frameSamples))
		if n >= 16 {
			want = late
		}
		for _, pos := range []int64{n*frameSamples + 1, (n + 1) * frameSamples} {
			if got := r.Came(pos); !got.Equal(want) {
				t.Errorf("the audio before %d came at %v; want %v", pos, got.Sub(start), want.Sub(start))
			}
		}
	}
	if got, want := r.Came(frameSamples), start.Add(20*time.Millisecond); got.Sub(want).Abs() > 20*time.Millisecond {
		t.Errorf("the oldest frame came at %v; want about %v", got.Sub(start), want.Sub(start))
	}
	if got := r.Came(100 * frameSamples); got.Before(late) {
		t.Errorf("what has not come yet came at %v", got.Sub(start))
	}
}
