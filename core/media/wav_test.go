package media

import (
	"bytes"
	"errors"
	"slices"
	"testing"
)

func TestWAVRoundTrip(t *testing.T) {
	w := WAV{Rate: 8000, Channels: [][]int16{{0, 8, -8, 876}, {100, -100}}}
	for _, e := range []Encoding{MuLaw, ALaw, Linear16} {
		var b bytes.Buffer
		if err := WriteWAV(&b, w, e); err != nil {
			t.Fatal(err)
		}
		got, err := ReadWAV(&b)
		if err != nil || got.Rate != 8000 || len(got.Channels) != 2 || len(got.Channels[1]) != 4 {
			t.Fatalf("%v: ReadWAV = %+v, %v; want two channels of four samples", e, got, err)
		}
		if e == Linear16 && !slices.Equal(got.Channels[0], w.Channels[0]) {
			t.Errorf("ReadWAV = %v; want %v", got.Channels[0], w.Channels[0])
		}
	}
}

func TestReadWAVRefuses(t *testing.T) {
	var good bytes.Buffer
	if err := WriteWAV(&good, WAV{Rate: 8000, Channels: [][]int16{{1, 2}}}, Linear16); err != nil {
		t.Fatal(err)
	}
	patch := func(at int, b byte) []byte {
		c := slices.Clone(good.Bytes())
		c[at] = b
		return c
	}
	for name, b := range map[string][]byte{
		"empty": nil, "not RIFF": patch(0, 'X'), "24 bit": patch(34, 24), "no channels": patch(22, 0),
		"an impossible rate": patch(24, 1), "cut in the format": good.Bytes()[:30],
		"data before format": append([]byte("RIFF....WAVEdata"), 0, 0, 0, 0),
	} {
		if _, err := ReadWAV(bytes.NewReader(b)); !errors.Is(err, ErrWAV) {
			t.Errorf("%s: ReadWAV = %v; want ErrWAV", name, err)
		}
	}
}

// FuzzReadWAV: what is read can be written and read again with the same samples.
func FuzzReadWAV(f *testing.F) {
	for _, e := range []Encoding{MuLaw, ALaw, Linear16} {
		var b bytes.Buffer
		if err := WriteWAV(&b, WAV{Rate: 8000, Channels: [][]int16{{1, 2, 3}, {-4}}}, e); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		w, err := ReadWAV(bytes.NewReader(in))
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := WriteWAV(&b, w, Linear16); err != nil {
			t.Fatalf("WriteWAV of what was read: %v", err)
		}
		again, err := ReadWAV(&b)
		if err != nil || again.Rate != w.Rate || len(again.Channels) != len(w.Channels) {
			t.Fatalf("ReadWAV of what was written = %+v, %v", again, err)
		}
		for c := range w.Channels {
			if !slices.Equal(w.Channels[c], again.Channels[c]) {
				t.Errorf("channel %d changed", c)
			}
		}
	})
}
