package receiver

import "testing"

// key sends a telephone event as a phone does: packets that grow, the last of them n times.
func (r *rig) key(code byte, packets, ends int) {
	ts := r.ts
	for i := range packets + ends {
		length := uint16(160 * min(i+1, packets))
		flags := byte(10)
		if i >= packets {
			flags |= 0x80
		}
		p := r.packet(101, r.seq, ts, []byte{code, flags, byte(length >> 8), byte(length)})
		if i == 0 {
			p[1] |= 0x80
		}
		r.give(p)
		r.seq++
		r.sleep(frame20)
	}
	r.ts += uint32(160 * (packets + ends))
}

func TestDTMF(t *testing.T) {
	tests := map[string]struct {
		send func(r *rig)
		want string
	}{
		"each key once":            {func(r *rig) { r.key(1, 5, 3); r.key(1, 5, 3); r.key(11, 5, 3); r.key(15, 1, 3) }, "11#D"},
		"one end":                  {func(r *rig) { r.key(4, 5, 1) }, "4"},
		"all ends lost, then talk": {func(r *rig) { r.key(4, 5, 0); r.talk(1) }, "4"},
		"all ends lost, then a key": {func(r *rig) {
			r.key(4, 5, 0)
			r.key(5, 5, 3)
		}, "45"},
		"all ends lost, then the end of the call": {func(r *rig) { r.key(7, 5, 0) }, "7"},
		"audio between the packets": {func(r *rig) {
			for i := range 6 {
				flags := byte(0)
				if i > 3 {
					flags = 0x80
				}
				r.give(r.packet(101, r.seq, 777, []byte{9, flags, 0, byte(i)}))
				r.seq++
				r.talk(1)
			}
		}, "9"},
		"a long one in pieces": {func(r *rig) {
			for _, p := range []struct {
				ts    uint32
				flags byte
				n     uint16
			}{{r.ts, 0, 160}, {r.ts, 0, 0xFFFF}, {r.ts + 0xFFFF, 0, 160}, {r.ts + 0xFFFF, 0x80, 320}, {r.ts + 0xFFFF, 0x80, 320}} {
				r.give(r.packet(101, r.seq, p.ts, []byte{3, p.flags, byte(p.n >> 8), byte(p.n)}))
				r.seq++
			}
		}, "3"},
		"at 48000 Hz": {func(r *rig) {
			r.give(r.packet(102, r.seq, r.ts, []byte{8, 0x80, 3, 0xC0}))
			r.seq++
		}, "8"},
		"a flash is no digit": {func(r *rig) { r.key(16, 5, 3) }, ""},
		"too short":           {func(r *rig) { r.give(r.packet(101, r.seq, r.ts, []byte{1, 0x80, 0})); r.seq++ }, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := running(t)
			r.talk(5)
			test.send(r)
			r.ts += 1600
			r.sleep(10 * frame20)
			if name != "all ends lost, then the end of the call" {
				r.talk(5)
			}
			r.end()
			if got := r.out.dtmf(); got != test.want {
				t.Errorf("digits %q; want %q", got, test.want)
			}
			for _, g := range r.out.only(t).gaps {
				if g.quiet != g.length {
					t.Errorf("the gap %v counts as lost", g)
				}
			}
		})
	}
}

func FuzzEvent(f *testing.F) {
	f.Add([]byte{1, 0x80, 0, 160}, []byte{1, 0x80, 0, 160})
	f.Add([]byte{11, 0, 1}, []byte{})
	f.Fuzz(func(t *testing.T, first, second []byte) {
		r := running(t)
		r.talk(3)
		for _, payload := range [][]byte{first, second} {
			r.give(r.packet(101, r.seq, r.ts, payload))
			r.give(r.packet(101, r.seq, r.ts, payload))
			r.seq++
		}
		r.talk(3)
		r.end()
		if got := len(r.out.dtmf()); got > 2 {
			t.Errorf("%d digits of two packets", got)
		}
		if s := r.out.only(t); len(s.frames) != 6 || s.gaps != nil {
			t.Errorf("the audio suffers: %d frames, gaps %v", len(s.frames), s.gaps)
		}
	})
}
