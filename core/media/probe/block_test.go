package probe

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/patchbay/patchbay/core/media"
)

func ExampleDecoder() {
	var audio []byte
	for n := range uint32(3) {
		audio = AppendBlock(audio, 7, n)
	}
	var d Decoder
	d.Write(media.Telephony, audio, func(b Block, end int64) {
		fmt.Println("stream", b.Stream, "block", b.N, "ends at sample", end)
	})
	// Output:
	// stream 7 block 0 ends at sample 160
	// stream 7 block 1 ends at sample 320
	// stream 7 block 2 ends at sample 480
}

func TestCodeWordsSurvive(t *testing.T) {
	block := append(AppendBlock(nil, 0xFFFF, 0xDEADBEEF), AppendBlock(nil, 0, 0)...)
	for _, w := range block {
		linear := media.DecodeMuLaw(w)
		if got := media.EncodeMuLaw(linear); got != w {
			t.Errorf("mu-law %#02x through linear16 = %#02x", w, got)
		}
		if got := media.EncodeMuLaw(media.DecodeALaw(media.EncodeALaw(linear))); got != w {
			t.Errorf("mu-law %#02x through A-law = %#02x", w, got)
		}
	}
	if got := media.Level(media.MuLaw, block); got < -20 || got > -6 {
		t.Errorf("level of coded blocks = %.1f dBFS; want that of loud speech", got)
	}
	for n := range byte(16) {
		if got, ok := nibble(word(n)); got != n || !ok {
			t.Errorf("nibble(word(%d)) = %d, %v", n, got, ok)
		}
		if bytes.IndexByte(marker, word(n)) >= 0 {
			t.Errorf("word %#02x of nibble %d occurs in the marker", word(n), n)
		}
	}
}

// TestDecoderFormats writes the same blocks in each encoding, cut at every
// interval from one byte on.
func TestDecoderFormats(t *testing.T) {
	var coded []byte
	for n := range uint32(20) {
		coded = AppendBlock(coded, 3, 1000+n)
	}
	linear := media.AppendLinear(nil, media.MuLaw, coded)
	for _, e := range []media.Encoding{media.MuLaw, media.ALaw, media.Linear16} {
		f := media.Format{Encoding: e, Rate: BlockRate}
		audio := media.AppendEncoded(nil, e, linear)
		for _, cut := range []int{1, 3, 7, 159, 160, 161, 800, len(audio)} {
			t.Run(fmt.Sprintf("%v by %d", e, cut), func(t *testing.T) {
				got := decodeAll(f, audio, cut)
				if len(got) != 20 {
					t.Fatalf("found %d blocks; want 20", len(got))
				}
				for i, h := range got {
					if h.b.Stream != 3 || h.b.N != uint32(1000+i) || h.end != int64(i+1)*BlockSamples {
						t.Errorf("block %d = %+v", i, h)
					}
				}
			})
		}
	}
	if got := decodeAll(media.Format{Encoding: media.MuLaw, Rate: 16000}, coded, 800); len(got) != 0 {
		t.Errorf("at 16 kHz %d blocks were found; want none", len(got))
	}
}

// TestDecoderNoticesEverySample changes, drops and inserts one sample at a time.
func TestDecoderNoticesEverySample(t *testing.T) {
	three := AppendBlock(AppendBlock(AppendBlock(nil, 9, 0), 9, 1), 9, 2)
	for i := BlockSamples; i < 2*BlockSamples; i++ {
		damaged := map[string][]byte{
			"changed":  append(append(bytes.Clone(three[:i]), three[i]^1), three[i+1:]...),
			"dropped":  append(bytes.Clone(three[:i]), three[i+1:]...),
			"inserted": append(append(bytes.Clone(three[:i]), 0xFF), three[i:]...),
		}
		for name, audio := range damaged {
			if name == "inserted" && i == BlockSamples {
				continue // between two blocks: hurts neither
			}
			got := decodeAll(media.Telephony, audio, 160)
			if len(got) != 2 || got[0].b.N != 0 || got[1].b.N != 2 || got[1].end != int64(len(audio)) {
				t.Fatalf("sample %d %s: %+v; want blocks 0 and 2 alone", i, name, got)
			}
		}
	}
}

func FuzzDecoder(f *testing.F) {
	f.Add([]byte{}, uint16(1), uint32(0), 1)
	f.Add(bytes.Repeat([]byte{0xFF}, 500), uint16(2), uint32(7), 160)
	f.Add(marker, uint16(3), uint32(1<<31), 5)
	f.Add(append(bytes.Clone(marker), word(1), word(2), word(3)), uint16(0), uint32(0), 159)
	f.Add(AppendBlock(nil, 5, 5)[:100], uint16(5), uint32(6), 33)
	f.Fuzz(func(t *testing.T, noise []byte, stream uint16, n uint32, cut int) {
		if len(noise) > 4000 {
			return
		}
		cut = 1 + (cut&0x7FFFFFFF)%1000
		audio := AppendBlock(bytes.Clone(noise), stream, n)
		audio = AppendBlock(append(audio, noise...), stream, n+1)
		whole := decodeAll(media.Telephony, audio, len(audio))
		if parts := decodeAll(media.Telephony, audio, cut); fmt.Sprint(parts) != fmt.Sprint(whole) {
			t.Fatalf("cut by %d: %v; in one piece: %v", cut, parts, whole)
		}
		for i, want := range []found{{Block{stream, n}, int64(len(noise) + 160)}, {Block{stream, n + 1}, int64(2*len(noise) + 320)}} {
			seen := false
			for _, h := range whole {
				seen = seen || h == want
			}
			if !seen {
				t.Fatalf("block %d: %+v is missing among %v", i, want, whole)
			}
		}
	})
}

type found struct {
	b   Block
	end int64
}

func decodeAll(f media.Format, audio []byte, cut int) (got []found) {
	var d Decoder
	for len(audio) > 0 {
		n := min(cut, len(audio))
		d.Write(f, audio[:n], func(b Block, end int64) { got = append(got, found{b, end}) })
		audio = audio[n:]
	}
	return got
}

func BenchmarkAppendBlock(b *testing.B) {
	b.ReportAllocs()
	var buf [BlockSamples]byte
	for n := uint32(0); b.Loop(); n++ {
		AppendBlock(buf[:0], 1, n)
	}
}

func BenchmarkDecoder(b *testing.B) {
	coded := make([]byte, 0, 800)
	for n := range uint32(5) {
		coded = AppendBlock(coded, 1, n)
	}
	noise := make([]byte, 800)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	linear := media.AppendEncoded(nil, media.Linear16, media.AppendLinear(nil, media.MuLaw, coded))
	for _, c := range []struct {
		name    string
		format  media.Format
		payload []byte
	}{
		{"mulaw blocks", media.Telephony, coded},
		{"mulaw noise", media.Telephony, noise},
		{"linear16 blocks", media.Format{Encoding: media.Linear16, Rate: BlockRate}, linear},
	} {
		b.Run(c.name+" 100ms", func(b *testing.B) {
			b.ReportAllocs()
			var d Decoder
			for b.Loop() {
				d.Write(c.format, c.payload, func(Block, int64) {})
			}
		})
	}
}
