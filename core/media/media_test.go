package media

import (
	"errors"
	"math"
	"testing"
	"time"
)

func TestSamplesPerPacket(t *testing.T) {
	tests := []struct {
		name  string
		rate  int
		ptime time.Duration
		want  int
		err   error
	}{
		{"G.711", 8000, 20 * time.Millisecond, 160, nil},
		{"G.722 at its real rate", 16000, 20 * time.Millisecond, 320, nil},
		{"30 ms", 8000, 30 * time.Millisecond, 240, nil},
		{"an hour at 48 kHz", 48000, time.Hour, 48000 * 3600, nil},
		{"no whole number", 8000, 333 * time.Microsecond, 0, ErrPtime},
		{"zero", 8000, 0, 0, ErrPtime},
		{"negative rate", -8000, 20 * time.Millisecond, 0, ErrPtime},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := SamplesPerPacket(tt.rate, tt.ptime)
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("SamplesPerPacket(%d, %v) = %d, %v; want %d, %v", tt.rate, tt.ptime, got, err, tt.want, tt.err)
			}
		})
	}
}

func TestFormat(t *testing.T) {
	wide := Format{Linear16, 16000}
	if got := wide.Samples(641); got != 320 {
		t.Errorf("Samples(641) = %d; want 320", got)
	}
	if got := wide.Bytes(320); got != 640 {
		t.Errorf("Bytes(320) = %d; want 640", got)
	}
	for _, d := range []time.Duration{0, 20 * time.Millisecond, time.Second, 300 * time.Hour} {
		if got := Telephony.Duration(Telephony.SamplesIn(d)); got != d {
			t.Errorf("Duration(SamplesIn(%v)) = %v; want the same", d, got)
		}
	}
	for _, bad := range []Format{{}, {MuLaw, 0}, {MuLaw, 96000}, {Encoding(9), 8000}} {
		if err := bad.Validate(); !errors.Is(err, ErrFormat) {
			t.Errorf("%v.Validate() = %v; want ErrFormat", bad, err)
		}
	}
	for _, e := range []Encoding{MuLaw, ALaw, Linear16} {
		f := Format{e, 8000}
		if err := f.Validate(); err != nil {
			t.Errorf("%v.Validate() = %v; want nil", f, err)
		}
		silence := []byte{f.Silence(), f.Silence()}
		if got := Level(e, silence); got > -65 {
			t.Errorf("Level of %v silence = %.1f dBFS; want below -65", e, got)
		}
	}
}

// TestG711Values holds the codecs against values of ITU-T G.711, tables 1a to 2b.
func TestG711Values(t *testing.T) {
	tests := []struct {
		name   string
		encode func(int16) byte
		decode func(byte) int16
		code   byte
		value  int16
	}{
		{"mu-law positive maximum", EncodeMuLaw, DecodeMuLaw, 0x80, 32124},
		{"mu-law negative maximum", EncodeMuLaw, DecodeMuLaw, 0x00, -32124},
		{"mu-law zero", EncodeMuLaw, DecodeMuLaw, 0xFF, 0},
		{"mu-law first step", EncodeMuLaw, DecodeMuLaw, 0xFE, 8},
		{"A-law positive maximum", EncodeALaw, DecodeALaw, 0xAA, 32256},
		{"A-law negative maximum", EncodeALaw, DecodeALaw, 0x2A, -32256},
		{"A-law first positive step", EncodeALaw, DecodeALaw, 0xD5, 8},
		{"A-law first negative step", EncodeALaw, DecodeALaw, 0x55, -8},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.decode(tt.code); got != tt.value {
				t.Errorf("decode(%#x) = %d; want %d", tt.code, got, tt.value)
			}
			if got := tt.encode(tt.value); got != tt.code {
				t.Errorf("encode(%d) = %#x; want %#x", tt.value, got, tt.code)
			}
		})
	}
}

// TestG711Nearest: every code word survives a round trip, and every sample becomes
// one of the two code words around it.
func TestG711Nearest(t *testing.T) {
	for _, codec := range []struct {
		name   string
		encode func(int16) byte
		decode func(byte) int16
		clip   int
	}{{"mu-law", EncodeMuLaw, DecodeMuLaw, 32124}, {"A-law", EncodeALaw, DecodeALaw, 32256}} {
		for b := range 256 {
			v := codec.decode(byte(b))
			if got := codec.decode(codec.encode(v)); got != v {
				t.Errorf("%s: %#x decodes to %d, which comes back as %d", codec.name, b, v, got)
			}
		}
		for s := math.MinInt16; s <= math.MaxInt16; s++ {
			got := int(codec.decode(codec.encode(int16(s))))
			step := max(16, max(s, -s)/16) // the widest step of a segment is a sixteenth of its values
			if diff := got - max(-codec.clip, min(codec.clip, s)); diff > step || -diff > step {
				t.Fatalf("%s: %d becomes %d", codec.name, s, got)
			}
		}
	}
}

func TestAppendLinearAndBack(t *testing.T) {
	samples := []int16{0, 1000, -1000, 32000, -32000, 7}
	for _, e := range []Encoding{MuLaw, ALaw, Linear16} {
		payload := AppendEncoded(nil, e, samples)
		again := AppendEncoded(nil, e, AppendLinear(nil, e, payload))
		if string(payload) != string(again) {
			t.Errorf("%v: %x came back as %x", e, payload, again)
		}
	}
}

func TestLevel(t *testing.T) {
	square := AppendEncoded(nil, Linear16, []int16{-32768, -32768, -32768})
	if got := Level(Linear16, square); math.Abs(got) > 0.01 {
		t.Errorf("Level(full scale) = %.2f; want 0", got)
	}
	if got := Level(MuLaw, nil); got != SilenceLevel {
		t.Errorf("Level(nothing) = %v; want SilenceLevel", got)
	}
	if n := testing.AllocsPerRun(100, func() { Level(MuLaw, square) }); n != 0 {
		t.Errorf("Level allocates %v times", n)
	}
}
