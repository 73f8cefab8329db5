package assist

import (
	"testing"
	"time"

	"github.com/patchbay/patchbay/core/media"
)

// loud and quiet are chunks of 100 ms at pos.
func loud(pos int64) media.Chunk  { return chunkOf(pos, 0x80) }
func quiet(pos int64) media.Chunk { return chunkOf(pos, 0xFF) }

func chunkOf(pos int64, b byte) media.Chunk {
	c := media.Chunk{Pos: pos, Format: media.Telephony, Payload: make([]byte, 800)}
	for i := range c.Payload {
		c.Payload[i] = b
	}
	return c
}

func TestPositionsMap(t *testing.T) {
	p := positions{format: media.Telephony}
	for _, pos := range []int64{5000, 5800, 20000, 20800} { // 13,400 samples were withheld
		p.add(quiet(pos))
	}
	tests := []struct {
		name   string
		offset time.Duration
		want   int64
	}{
		{"start", 0, 5000},
		{"first piece", 150 * time.Millisecond, 6200},
		{"an end at the jump is before it", 200 * time.Millisecond, 6600},
		{"just after the jump", 200*time.Millisecond + 125*time.Microsecond, 20001},
		{"second piece", 350 * time.Millisecond, 21200},
		{"rounded to the next sample", 100*time.Millisecond - 20*time.Microsecond, 5800},
		{"beyond what was sent", time.Hour, 21600},
	}
	for _, tt := range tests {
		if got := p.at(tt.offset); got != tt.want {
			t.Errorf("%s: at(%v) = %d; want %d", tt.name, tt.offset, got, tt.want)
		}
	}
	if p.clamped != 1 {
		t.Errorf("clamped = %d; want the one beyond", p.clamped)
	}
	if p.start() != 5000 || p.end() != 21600 || p.duration() != 400*time.Millisecond {
		t.Errorf("start %d, end %d, duration %v; want 5000, 21600, 400ms", p.start(), p.end(), p.duration())
	}
}

func TestFinalsNeverGoBack(t *testing.T) {
	p := positions{format: media.Telephony}
	for i := range int64(10) {
		p.add(loud(i * 800))
	}
	if got := p.finalAt(600 * time.Millisecond); got != 4800 {
		t.Fatalf("finalAt(600ms) = %d; want 4800", got)
	}
	if got := p.finalAt(300 * time.Millisecond); got != 4800 || p.clamped != 1 {
		t.Errorf("finalAt(300ms) = %d, clamped %d; want 4800, 1", got, p.clamped)
	}
	if got := p.finalAt(2 * time.Second); got != 4800 || p.clamped != 2 {
		t.Errorf("finalAt(2s) = %d, clamped %d; want no more than before, 2", got, p.clamped)
	}
	if got := p.finalAt(1100 * time.Millisecond); got != 8000 || p.clamped != 3 {
		t.Errorf("finalAt(1.1s) = %d, clamped %d; want all that was sent, 3", got, p.clamped)
	}
}

func TestUtteranceBegins(t *testing.T) {
	p := positions{format: media.Telephony}
	pattern := "..ll.l....ll" // a dot is 100 ms of quiet; the pause of 100 ms is within a word
	for i, c := range pattern {
		if c == 'l' {
			p.add(loud(int64(i) * 800))
		} else {
			p.add(quiet(int64(i) * 800))
		}
	}
	if got := p.utterance(); got != 1600 {
		t.Errorf("utterance() = %d; want 1600", got)
	}
	p.finalAt(700 * time.Millisecond)
	if got := p.utterance(); got != 8000 {
		t.Errorf("utterance() after the final = %d; want the second onset at 8000", got)
	}
	p.finalAt(1200 * time.Millisecond)
	if got := p.utterance(); got != 9600 {
		t.Errorf("utterance() after everything = %d; want the end of the last final", got)
	}
	if p.pausing(cutPause) {
		t.Error("pausing() while somebody speaks")
	}
	for i := range int64(3) {
		p.add(quiet(9600 + i*800))
	}
	if !p.pausing(cutPause) {
		t.Error("not pausing() after 300 ms of quiet")
	}
}

// FuzzPositions: whatever the server says, a result lies within what was sent, and
// finals rise.
func FuzzPositions(f *testing.F) {
	f.Add([]byte{0, 3, 250}, int64(100_000_000), int64(50_000_000))
	f.Add([]byte{}, int64(-1), int64(1<<62))
	f.Add([]byte{255, 255}, int64(1<<62), int64(-1<<63))
	f.Fuzz(func(t *testing.T, jumps []byte, first, second int64) {
		p := positions{format: media.Telephony}
		pos := int64(0)
		for _, j := range jumps {
			pos += int64(j)
			p.add(loud(pos))
			pos += 800
		}
		a := p.finalAt(time.Duration(first))
		b := p.finalAt(time.Duration(second))
		if a > b || a < p.start() || b > p.end() {
			t.Errorf("finals at %d, %d; want them to rise within [%d, %d]", a, b, p.start(), p.end())
		}
		if u := p.utterance(); u < b || u > p.end() {
			t.Errorf("the next utterance begins at %d; want [%d, %d]", u, b, p.end())
		}
	})
}
