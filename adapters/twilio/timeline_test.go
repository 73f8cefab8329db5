package twilio

import (
	"fmt"
	"strings"
	"testing"
)

func num(v int64) number { return number{v, true} }

var none number

// TestTimeline feeds chunks of 160 samples and reads positions ("d" duplicate, "l"
// late, "r" restart in front of the position).
func TestTimeline(t *testing.T) {
	type chunk struct{ chunk, at number }
	for _, tc := range []struct {
		name   string
		chunks []chunk
		want   string
	}{
		{"in order", []chunk{{num(1), num(5)}, {num(2), num(25)}, {num(3), num(45)}}, "0 160 320"},
		{"one lost", []chunk{{num(1), num(0)}, {num(3), num(40)}, {num(4), num(60)}}, "0 320 480"},
		{"the first lost", []chunk{{num(2), num(25)}, {num(3), num(45)}}, "160 320"},
		{"the first lost, and the clock knows better", []chunk{{num(3), num(10)}, {num(4), num(30)}}, "80 240"},
		{"joined in the middle", []chunk{{num(900), num(18000)}, {num(901), num(18020)}}, "0 160"},
		{"the clock jumps, the count does not", []chunk{{num(1), num(0)}, {num(2), num(1020)}, {num(3), num(1040)}}, "0 8160 8320"},
		{"the count jumps, the clock does not", []chunk{{num(1), num(0)}, {num(3), num(20)}, {num(5), num(40)}}, "0 160 320"},
		{"lost, with a clock that is a millisecond short", []chunk{{num(1), num(1)}, {num(3), num(40)}, {num(4), num(61)}}, "0 320 480"},
		{"jitter of the clock", []chunk{{num(1), num(0)}, {num(2), num(31)}, {num(3), num(35)}, {num(4), num(69)}}, "0 160 320 480"},
		{"duplicate", []chunk{{num(1), num(0)}, {num(2), num(20)}, {num(2), num(20)}, {num(1), num(0)}, {num(3), num(40)}}, "0 160 d d 320"},
		{"late", []chunk{{num(1), num(0)}, {num(3), num(40)}, {num(2), num(20)}, {num(2), num(20)}, {num(4), num(60)}}, "0 320 l d 480"},
		{"long ago", []chunk{{num(1), num(0)}, {num(101), num(2000)}, {num(2), num(20)}}, "0 16000 l"},
		{"the count began anew", []chunk{{num(600), num(12000)}, {num(601), num(12020)}, {num(1), num(0)}, {num(2), num(20)}}, "0 160 r0 160"},
		{"the clock began anew", []chunk{{num(1), num(60000)}, {num(2), num(60020)}, {num(3), num(0)}, {num(4), num(20)}}, "0 160 r0 160"},
		{"an impossible jump", []chunk{{num(1), num(0)}, {num(2), num(1 << 39)}, {num(3), num(1<<39 + 20)}}, "0 r0 160"},
		{"counters beyond reason are none", []chunk{{num(1), num(0)}, {num(1 << 62), num(1 << 62)}, {num(3), num(40)}}, "0 160 320"},
		{"no clock", []chunk{{num(1), none}, {num(2), none}, {num(5), none}, {num(5), none}}, "0 160 640 d"},
		{"no clock and an impossible jump", []chunk{{num(1), none}, {num(1 << 30), none}}, "0 r0"},
		{"no count", []chunk{{none, num(7)}, {none, num(27)}, {none, num(67)}, {none, num(67)}, {none, num(47)}}, "0 160 480 d l"},
		{"neither", []chunk{{none, none}, {none, none}}, "0 160"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var line timeline
			var got []string
			for _, c := range tc.chunks {
				pos, v := line.place(c.chunk, c.at, 160)
				switch v {
				case duplicate:
					got = append(got, "d")
				case late:
					got = append(got, "l")
				case restarts:
					got = append(got, fmt.Sprintf("r%d", pos))
				default:
					got = append(got, fmt.Sprint(pos))
				}
			}
			if s := strings.Join(got, " "); s != tc.want {
				t.Errorf("positions = %s; want %s", s, tc.want)
			}
		})
	}
}

// FuzzTimeline checks what the contract wants of positions whatever the counters
// say: they rise by at least the audio between, and never run away.
func FuzzTimeline(f *testing.F) {
	f.Add([]byte{1, 0, 160, 2, 20, 160, 4, 60, 160, 2, 20, 160})
	f.Add([]byte{200, 255, 1, 0, 0, 255, 9, 9, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		var line timeline
		next := int64(0)
		for ; len(b) >= 3; b = b[3:] {
			chunk, at, n := num(int64(b[0])*int64(b[0])), num(int64(b[1])*997), int64(b[2])+1
			if b[0] == 255 {
				chunk = none
			}
			if b[1] == 255 {
				at = none
			}
			pos, v := line.place(chunk, at, n)
			switch v {
			case duplicate, late:
				continue
			case begins, restarts:
				next = 0
			}
			if pos < next || pos > next+maxJump+maxLead*256 {
				t.Fatalf("position %d after audio up to %d (%v)", pos, next, v)
			}
			next = pos + n
		}
	})
}
