package probe

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/patchbay/patchbay/core/media"
)

func ExampleToneDecoder() {
	f := media.Format{Encoding: media.Linear16, Rate: 8000}
	audio := media.AppendEncoded(nil, f.Encoding, AppendTones(nil, f.Rate, "amber", "river"))
	var d ToneDecoder
	d.Write(f, audio, func(h Heard) { fmt.Println(h.Word) })
	d.Flush(func(h Heard) { fmt.Println(h.Word) })
	// Output:
	// amber
	// river
}

func TestWordsArePairs(t *testing.T) {
	seen := map[[2]symbol]string{}
	for i, w := range Words() {
		left, right := pairOf(i)
		if !left.left() || right.left() {
			t.Errorf("%s = tones %d, %d; want one of the left half, then one of the right", w, left, right)
		}
		if other, taken := seen[[2]symbol{left, right}]; taken {
			t.Errorf("%s and %s sound alike", w, other)
		}
		seen[[2]symbol{left, right}] = w
		if got, ok := wordOf(left, right); got != w || !ok {
			t.Errorf("wordOf(pairOf(%s)) = %s, %v", w, got, ok)
		}
	}
}

func TestToneDecoderFormats(t *testing.T) {
	list := append(Words(), "amber", "amber", "falcon", "amber")
	for _, c := range []struct {
		name   string
		made   int            // rate at which the tones are made
		via    media.Encoding // transcoded through
		format media.Format   // heard as
	}{
		{"mu-law", 8000, media.MuLaw, media.Telephony},
		{"A-law heard as linear", 8000, media.ALaw, media.Format{Encoding: media.Linear16, Rate: 8000}},
		{"linear made at 16 kHz", 16000, media.Linear16, media.Format{Encoding: media.Linear16, Rate: 16000}},
		{"resampled from mu-law to 16 kHz", 8000, media.MuLaw, media.Format{Encoding: media.Linear16, Rate: 16000}},
		{"resampled to 48 kHz", 8000, media.Linear16, media.Format{Encoding: media.Linear16, Rate: 48000}},
	} {
		t.Run(c.name, func(t *testing.T) {
			samples := AppendTones(nil, c.made, list...)
			samples = media.AppendLinear(nil, c.via, media.AppendEncoded(nil, c.via, samples))
			samples = stretch(samples, c.format.Rate/c.made)
			got := hear(c.format, media.AppendEncoded(nil, c.format.Encoding, samples), 333)
			if text(got) != strings.Join(list, " ") {
				t.Errorf("heard %s", text(got))
			}
			for i, h := range got {
				at := int64(i * WordSamples(c.format.Rate))
				slack := int64(c.format.Rate / 50)
				if off := h.Start - at; off < -slack || off > slack {
					t.Errorf("word %d starts at %d; want about %d", i, h.Start, at)
				}
				want := at + int64(160*c.format.Rate/1000)
				if off := h.End - want; off < -slack || off > slack {
					t.Errorf("word %d ends at %d; want about %d", i, h.End, want)
				}
			}
		})
	}
}

func TestToneDecoderSurvivesLoss(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 2))
	var list []string
	for range 400 {
		list = append(list, words[r.IntN(len(words))])
	}
	audio := media.AppendEncoded(nil, media.MuLaw, AppendTones(nil, 8000, list...))
	for at := 0; at < len(audio); at += 160 {
		if r.Float64() < 0.05 {
			for i := at; i < min(at+160, len(audio)); i++ {
				audio[i] = 0xFF
			}
		}
	}
	got := hear(media.Telephony, audio, 160)
	right := 0
	for _, h := range got {
		i := int(h.End) / WordSamples(8000)
		if h.Word != list[i] {
			t.Errorf("word %d = %s; want %s or nothing", i, h.Word, list[i])
			continue
		}
		right++
	}
	if right < 396 || len(got) > 400 {
		t.Errorf("heard %d words, %d of them right; want at least 396 of 400", len(got), right)
	}
}

func TestToneDecoderIgnoresOtherAudio(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	noise := make([]byte, 80000)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	for name, audio := range map[string][]byte{"noise": noise, "silence": make16(80000, 0xFF)} {
		if got := hear(media.Telephony, audio, 160); len(got) != 0 {
			t.Errorf("%s: heard %s; want nothing", name, text(got))
		}
	}
	right := appendTone(nil, 8000, 2) // a second tone without a first
	if got := hear(media.Telephony, media.AppendEncoded(nil, media.MuLaw, right), 160); len(got) != 0 {
		t.Errorf("half a word: heard %s; want nothing", text(got))
	}
}

func TestToneDecoderQuiet(t *testing.T) {
	var d ToneDecoder
	d.Write(media.Telephony, media.AppendEncoded(nil, media.MuLaw, AppendTones(nil, 8000, "amber")), func(Heard) {})
	d.Write(media.Telephony, make16(8000, 0xFF), func(Heard) {})
	if got := d.Quiet(); got < 8000 || got > 8000+800 {
		t.Errorf("Quiet() = %d after a second of silence", got)
	}
}

// FuzzToneDecoder hears a plan: a byte is a word, a pause or noise.
func FuzzToneDecoder(f *testing.F) {
	f.Add([]byte{0, 31, 7, 7}, 160, false, 8000)
	f.Add([]byte{0, 100, 12, 250, 3, 40}, 7, true, 16000)
	f.Add([]byte{200, 201, 202, 5}, 1, true, 8000)
	f.Fuzz(func(t *testing.T, plan []byte, cut int, linear bool, rate int) {
		format := media.Format{Encoding: media.MuLaw, Rate: 8000 + (rate&0xFFFF)%40000}
		if linear {
			format.Encoding = media.Linear16
		}
		var samples []int16
		var want []string
		noisy := false
		for i, b := range plan[:min(len(plan), 30)] {
			switch {
			case b < 32:
				samples = AppendTones(samples, format.Rate, words[b])
				want = append(want, words[b])
			case b < 128:
				samples = append(samples, make([]int16, int(b)*format.Rate/1000)...)
			default:
				noisy = true
				r := rand.New(rand.NewPCG(uint64(b), uint64(i)))
				for range int(b) * format.Rate / 1000 {
					samples = append(samples, int16(r.NormFloat64()*3000))
				}
			}
		}
		audio := media.AppendEncoded(nil, format.Encoding, samples)
		whole := hear(format, audio, len(audio)+1)
		if parts := hear(format, audio, 1+(cut&0x7FFFFFFF)%999); !slices.Equal(parts, whole) {
			t.Fatalf("cut by %d: %v; in one piece: %v", cut, parts, whole)
		}
		if !noisy && text(whole) != strings.Join(want, " ") {
			t.Fatalf("at %d Hz heard %q; want %q", format.Rate, text(whole), strings.Join(want, " "))
		}
		last := int64(0)
		for _, h := range whole {
			if h.Start < last || h.End <= h.Start || h.End > int64(len(samples)) {
				t.Fatalf("impossible word %+v after %d", h, last)
			}
			last = h.End
		}
	})
}

func hear(f media.Format, audio []byte, cut int) (got []Heard) {
	var d ToneDecoder
	add := func(h Heard) { got = append(got, h) }
	for len(audio) > 0 {
		n := min(cut, len(audio))
		d.Write(f, audio[:n], add)
		audio = audio[n:]
	}
	d.Flush(add)
	return got
}

func text(heard []Heard) string {
	var w []string
	for _, h := range heard {
		w = append(w, h.Word)
	}
	return strings.Join(w, " ")
}

// stretch resamples by a whole factor with straight lines.
func stretch(in []int16, factor int) []int16 {
	out := make([]int16, 0, len(in)*factor)
	for i, v := range in {
		next := v
		if i+1 < len(in) {
			next = in[i+1]
		}
		for k := range factor {
			out = append(out, int16(int(v)+(int(next)-int(v))*k/factor))
		}
	}
	return out
}

func make16(n int, b byte) []byte { return slices.Repeat([]byte{b}, n) }

func BenchmarkToneDecoder(b *testing.B) {
	audio := media.AppendEncoded(nil, media.MuLaw, AppendTones(nil, 8000, "amber", "river", "echo"))[:800]
	var d ToneDecoder
	b.ReportAllocs()
	for b.Loop() {
		d.Write(media.Telephony, audio, func(Heard) {})
	}
}
