package receiver

import (
	"testing"
	"time"

	"github.com/patchbay/patchbay/core/media"
)

// TestOpusLengths reads lengths from the first bytes of packets (RFC 6716 §3.1, table 2).
func TestOpusLengths(t *testing.T) {
	for _, test := range []struct {
		payload []byte
		ms      float64
		ok      bool
	}{
		{[]byte{0 << 3, 1, 2}, 10, true},
		{[]byte{3 << 3, 1, 2}, 60, true},
		{[]byte{13 << 3, 1, 2}, 20, true},
		{[]byte{16 << 3, 1, 2}, 2.5, true},
		{[]byte{31 << 3, 1, 2}, 20, true},
		{[]byte{31<<3 | 1, 1, 2}, 40, true},
		{[]byte{31<<3 | 2, 1, 2}, 40, true},
		{[]byte{31<<3 | 3, 6, 2}, 120, true},
		{[]byte{31<<3 | 3, 7, 2}, 140, false},
		{[]byte{31<<3 | 3, 0, 2}, 0, false},
		{[]byte{31 << 3, 1}, 0, true}, // DTX
		{nil, 0, true},
	} {
		n, ok := samples(Opus, test.payload)
		if n != int(test.ms*wideband/1000) || ok != test.ok {
			t.Errorf("samples(opus, %x) = %d, %v; want %v ms, %v", test.payload, n, ok, test.ms, test.ok)
		}
	}
}

// TestBadOpus: what the decoder cannot read is dropped and counted, and the rest goes on.
func TestBadOpus(t *testing.T) {
	r := running(t)
	for i := range 12 {
		payload := []byte{0xF8, 0xFF, 0xFE} // 20 ms of silence, as libopus writes it
		if i == 6 {
			payload = []byte{31<<3 | 3, 0, 2}
		}
		r.give(r.packet(111, r.seq, r.ts, payload))
		r.seq++
		r.ts += 960
		r.sleep(frame20)
	}
	r.end()
	s := r.out.only(t)
	if s.format != (media.Format{Encoding: media.Linear16, Rate: 16000}) || s.length() != 12*320 {
		t.Errorf("%d samples of %v", s.length(), s.format)
	}
	if want := (gap{6 * 320, 320, 0}); len(s.gaps) != 1 || s.gaps[0] != want {
		t.Errorf("gaps %v; want %v", s.gaps, want)
	}
	if got := r.m.account(); got.Malformed != 1 || r.out.kinds[CountMalformed] != 1 {
		t.Errorf("stats %+v", got)
	}
}

func TestPayloadOf(t *testing.T) {
	for _, test := range []struct {
		name     string
		clock    int
		channels int
		want     Codec
	}{
		{"PCMU", 8000, 1, PCMU}, {"pcma", 8000, 0, PCMA}, {"G722", 8000, 1, G722}, {"opus", 48000, 2, Opus},
		{"TELEPHONE-EVENT", 48000, 0, Event}, {"telephone-event", 8000, 0, Event}, {"CN", 8000, 0, ComfortNoise}, {"CN", 16000, 0, ComfortNoise},
		{"PCMU", 16000, 1, ""}, {"PCMU", 8000, 2, ""}, {"G729", 8000, 1, ""}, {"opus", 16000, 1, ""}, {"", 0, 0, ""},
	} {
		got, ok := PayloadOf(test.name, test.clock, test.channels)
		if ok != (test.want != "") || ok && (got.Codec != test.want || got.Clock != test.clock) {
			t.Errorf("PayloadOf(%q, %d, %d) = %v, %v; want %q", test.name, test.clock, test.channels, got, ok, test.want)
		}
	}
}

func TestBadMedia(t *testing.T) {
	for name, change := range map[string]func(m *Media){
		"nobody may send": func(m *Media) { m.Sources = nil },
		"no audio":        func(m *Media) { m.Payloads = map[uint8]Payload{101: {Event, 8000}} },
		"unknown codec":   func(m *Media) { m.Payloads[18] = Payload{"G729", 8000} },
		"number":          func(m *Media) { m.Payloads[128] = Payload{PCMU, 8000} },
		"clock":           func(m *Media) { m.Payloads[1] = Payload{PCMU, 16000} },
	} {
		m := agreed()
		change(&m)
		if err := m.validate(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := (&Media{}).validate(); err != nil {
		t.Errorf("a stream that is held from the start: %v", err)
	}
}

// FuzzRTP mixes anything into a call. Whatever comes, the positions rise and stay within
// what can have been said in the time.
func FuzzRTP(f *testing.F) {
	r := newRig(f)
	f.Add(r.packet(0, 101, 5160, block(1)), r.packet(0, 103, 5480, block(2)), uint16(20))
	f.Add(r.packet(9, 60000, 1, block(1)), r.packet(8, 60001, 161, block(2)), uint16(500))
	f.Add(r.packet(111, 105, 5800, []byte{0xF8, 0xFF, 0xFE}), r.packet(111, 106, 6760, []byte{0xFC, 3, 4, 5}), uint16(20))
	f.Add(r.packet(13, 105, 5800, []byte{64}), r.packet(19, 106, 6000, nil), uint16(100))
	f.Add(r.packet(101, 105, 5800, []byte{5, 0x80, 0, 160}), []byte{0xBF, 0, 1, 2}, uint16(0))
	f.Fuzz(func(t *testing.T, a, b []byte, ms uint16) {
		r := running(t)
		for i := range 40 {
			r.talk(1)
			wire := a
			if i%3 == 0 {
				wire = b
			}
			if len(wire) >= 12 && i > 10 { // the same again, in the count of the source
				wire = append([]byte(nil), wire...)
				copy(wire[2:4], r.packet(0, r.seq, r.ts, nil)[2:4])
				r.seq++
			}
			r.give(wire)
			r.sleep(time.Duration(ms%1000) * time.Millisecond)
		}
		if n := len(r.m.order.waiting) + len(r.m.cand.order.waiting); n > 2*maxWaiting {
			t.Errorf("%d packets wait", n)
		}
		r.end()
		limit := r.now.Sub(start) + time.Duration(r.m.stats.Delivered)*(leap+maxPacket*time.Millisecond)
		for _, s := range r.out.segments {
			if len(s.frames) > 0 && s.format.Duration(s.length()) > limit {
				t.Errorf("a segment of %v after %v", s.format.Duration(s.length()), r.now.Sub(start))
			}
		}
	})
}

// FuzzNoise puts any comfort noise between two pieces of audio.
func FuzzNoise(f *testing.F) {
	f.Add([]byte{40}, uint32(1600))
	f.Add([]byte{}, uint32(1<<31))
	f.Fuzz(func(t *testing.T, payload []byte, ts uint32) {
		r := running(t)
		r.talk(5)
		r.give(r.packet(13, r.seq, ts, payload))
		r.seq++
		r.ts += 1600
		r.sleep(10 * frame20)
		r.talk(5)
		r.end()
		if s := r.out.only(t); len(s.gaps) != 1 || s.gaps[0] != (gap{800, 1600, 1600}) {
			t.Errorf("gaps %v; want 200 ms that were announced", s.gaps)
		}
	})
}
