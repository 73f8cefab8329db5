package sim

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/pion/opus"

	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/media/probe"
)

// heard lists the tone words in 16-bit samples at 16 kHz.
func heard(samples []byte) (words []string) {
	var d probe.ToneDecoder
	add := func(h probe.Heard) { words = append(words, h.Word) }
	d.Write(media.Format{Encoding: media.Linear16, Rate: 16000}, samples, add)
	d.Flush(add)
	return words
}

// TestG722 holds the encoder against ffmpeg's decoder.
func TestG722(t *testing.T) {
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("ffmpeg is not installed")
		}
		t.Skip("ffmpeg is not installed")
	}
	in := probe.AppendTones(nil, 16000, probe.Words()...)
	path := filepath.Join(t.TempDir(), "tones.g722")
	if err := os.WriteFile(path, newG722Encoder().encode(nil, in), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), ffmpeg, "-v", "error", "-f", "g722", "-i", path, "-f", "s16le", "-").Output()
	if err != nil {
		t.Fatal(err)
	}
	if words := heard(out); !slices.Equal(words, probe.Words()) {
		t.Errorf("ffmpeg hears %v", words)
	}
	// The codec's filters delay by 22 samples; what is left besides is quantisation.
	const delay = 22
	var signal, noise float64
	decoded := make([]int16, len(out)/2)
	for i := range decoded {
		decoded[i] = int16(uint16(out[2*i]) | uint16(out[2*i+1])<<8)
	}
	for i := range min(len(in), len(decoded)-delay) {
		e := float64(in[i]) - float64(decoded[i+delay])
		signal, noise = signal+float64(in[i])*float64(in[i]), noise+e*e
	}
	if signal/noise < 100 { // 20 dB
		t.Errorf("signal to noise %.1f; want 100 or more", signal/noise)
	}
}

// TestOpusPackets: the recorded packets say what OpusWords promises, again and again.
func TestOpusPackets(t *testing.T) {
	for _, who := range []Speaker{Customer, Agent} {
		d, err := opus.NewDecoderWithOutput(16000, 1)
		if err != nil {
			t.Fatal(err)
		}
		packets := newOpusPackets(who)
		var pcm bytes.Buffer
		out := make([]byte, 2*320)
		for range 3 * len(packets.packets) {
			if _, _, err := d.Decode(packets.encode(nil, nil), out); err != nil {
				t.Fatal(err)
			}
			pcm.Write(out)
		}
		if words, want := heard(pcm.Bytes()), slices.Repeat(OpusWords[who], 3); !slices.Equal(words, want) {
			t.Errorf("the %v says %v; want %v", who, words, want)
		}
	}
}
