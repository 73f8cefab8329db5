package sim

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/patchbay/patchbay/adapters/internal/simcmd"
	"github.com/patchbay/patchbay/core/media"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestCommandLine is what the command says of lines that it cannot obey.
func TestCommandLine(t *testing.T) {
	t.Setenv("F9_TOKEN", "a token")
	for _, c := range []struct {
		args, want string
		code       int
	}{
		{"--help", "Plays Five9", 0},
		{"", "no target is named", 2},
		{"--target x --calls -1", "a number is negative", 2},
		{"--target x --chunk 30ms", "whole blocks of 20ms", 2},
		{"--target x --rate 16000", "coded audio has 8000 Hz", 2},
		{"--target x --token-in nowhere", "config or metadata", 2},
		{"--target x --token secret", "env:NAME or file:PATH", 2},
		{"--target x --token env:F9_NOBODY", "F9_NOBODY is not set", 2},
		{"--target x --encoding AMR", "neither LINEAR16 nor MULAW", 2},
		{"--target x --legs nobody", "none of customer, agent, supervisor", 2},
		{"--target x --tones cheese", "is none of amber", 2},
		{"--target x --wav a --tones amber", "exclude each other", 2},
		{"--target x --wav nowhere.wav", "nowhere.wav", 2},
		{"--target x --var novalue", "NAME=VALUE", 2},
		{"--target x --validate", "--events", 2},
		{"--target x --tls --ca nowhere.pem", "nowhere.pem", 2},
		{"--target x y", `unexpected argument "y"`, 2},
		{"--nonsense", "nonsense", 2},
		{"--target 127.0.0.1:1 --token env:F9_TOKEN --duration 20ms --json", "1 call, 1 failed", 1},
	} {
		var out, errs bytes.Buffer
		code := Main(t.Context(), strings.Fields(c.args), &out, &errs)
		if said := out.String() + errs.String(); code != c.code || !strings.Contains(said, c.want) {
			t.Errorf("simulate %s: exit code %d and %q; want %d and %q", c.args, code, said, c.code, c.want)
		}
	}
}

// TestAudioSources cut any audio into blocks of 20 ms.
func TestAudioSources(t *testing.T) {
	path := filepath.Join(t.TempDir(), "call.wav")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	left, right := make([]int16, 500), make([]int16, 500)
	for i := range left {
		left[i], right[i] = int16(i+1), int16(-i-1)
	}
	if err := media.WriteWAV(f, media.WAV{Rate: 16000, Channels: [][]int16{left, right}}, media.Linear16); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	sound, err := simcmd.ReadWAV(path)
	if err != nil || sound.Rate != 16000 {
		t.Fatalf("ReadWAV = %+v, %v", sound, err)
	}
	audio := play(sound)
	for n, want := range []bool{true, true, false} {
		got, more := audio(nil, 0, Agent, n)
		if more != want || more && (len(got) != 320 || got[0] != right[n*320]) {
			t.Errorf("block %d: %d samples, %v; want 320, %v", n, len(got), more, want)
		}
	}
	tones := Tones(24000, []string{"amber"}, []string{"basil"})
	if got, more := tones(nil, 0, Customer, 1000); len(got) != 480 || !more {
		t.Errorf("tones: %d samples, %v; want 480, endlessly", len(got), more)
	}
	if got := time.Duration(len(mustBlock(Coded(), Customer))) * time.Second / 8000; got != blockTime {
		t.Errorf("a coded block lasts %v", got)
	}
	if a, b := mustBlock(Coded(), Customer), mustBlock(Coded(), Agent); string(media.AppendEncoded(nil, media.MuLaw, a)) == string(media.AppendEncoded(nil, media.MuLaw, b)) {
		t.Error("customer and agent say the same")
	}
}

func mustBlock(a Audio, leg Leg) []int16 {
	b, _ := a(nil, 1, leg, 0)
	return b
}
