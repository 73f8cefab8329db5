package g722

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
)

// oracle runs ffmpeg from in to out; without ffmpeg the test is skipped, but not in CI.
func oracle(t *testing.T, in []byte, args ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("ffmpeg is needed: ", err)
		}
		t.Skip("ffmpeg is not installed: the decoder is not compared with another one")
	}
	cmd := exec.Command("ffmpeg", append([]string{"-hide_banner", "-loglevel", "error"}, args...)...)
	cmd.Stdin = bytes.NewReader(in)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("ffmpeg: %v: %s", err, stderr.String())
	}
	return out.Bytes()
}

func samplesOf(b []byte) []int16 {
	out := make([]int16, len(b)/2)
	for i := range out {
		out[i] = int16(binary.LittleEndian.Uint16(b[2*i:]))
	}
	return out
}

// sweep is two seconds of tones over the whole band, from soft to full scale.
func sweep() []byte {
	var b []byte
	for i := range 32000 {
		x := float64(i) / 32000
		v := 32767 * x * math.Sin(2*math.Pi*(50+3750*x)*float64(i)/16000)
		b = binary.LittleEndian.AppendUint16(b, uint16(int16(v)))
	}
	return b
}

// TestExact compares with ffmpeg's decoder: real audio, and bytes that no encoder makes.
func TestExact(t *testing.T) {
	noise := make([]byte, 64<<10)
	r := rand.New(rand.NewPCG(7, 22))
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	for name, code := range map[string][]byte{
		"a sweep": oracle(t, sweep(), "-f", "s16le", "-ar", "16000", "-ac", "1", "-i", "-", "-c:a", "g722", "-f", "g722", "-"),
		"noise":   noise,
		"zeros":   make([]byte, 4000),
	} {
		t.Run(name, func(t *testing.T) {
			want := samplesOf(oracle(t, code, "-f", "g722", "-i", "-", "-c:a", "pcm_s16le", "-f", "s16le", "-"))
			got := NewDecoder().Append(nil, code)
			if len(want) < len(code) {
				t.Fatalf("ffmpeg decoded %d samples of %d bytes", len(want), len(code))
			}
			for i := range want {
				if got[i] != want[i] {
					t.Fatalf("sample %d of %d is %d; want %d", i, len(want), got[i], want[i])
				}
			}
		})
	}
}

// TestCut decodes byte by byte what was decoded at once.
func TestCut(t *testing.T) {
	code := make([]byte, 1000)
	for i := range code {
		code[i] = byte(i * 37)
	}
	want := NewDecoder().Append(nil, code)
	d, got := NewDecoder(), []int16(nil)
	for i := range code {
		got = d.Append(got, code[i:i+1])
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("sample %d is %d; want %d", i, got[i], want[i])
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte{0, 0xFF, 0x3F, 0xC0})
	f.Fuzz(func(t *testing.T, code []byte) {
		if got := NewDecoder().Append(nil, code); len(got) != 2*len(code) {
			t.Errorf("%d samples of %d bytes", len(got), len(code))
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	code := make([]byte, 160)
	for i := range code {
		code[i] = byte(i * 37)
	}
	d, dst := NewDecoder(), make([]int16, 0, 320)
	b.ReportAllocs()
	for b.Loop() {
		dst = d.Append(dst[:0], code)
	}
}
