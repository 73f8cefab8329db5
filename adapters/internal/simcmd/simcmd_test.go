package simcmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
)

func writeWAV(t *testing.T, rate int, channels ...[]int16) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "call.wav")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(media.WriteWAV(f, media.WAV{Rate: rate, Channels: channels}, media.Linear16), f.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

func parse(args ...string) (*Flags, error) {
	f := NewFlags(&bytes.Buffer{})
	return f, f.Parse(args)
}

func TestSound(t *testing.T) {
	path := writeWAV(t, 16000, []int16{1, 2, 3, 4, 5}, []int16{-1, -2, -3, -4, -5})
	f, err := parse("--wav", path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := f.Sound(8000)
	if err != nil || s.Rate != 16000 || f.Duration != 0 {
		t.Fatalf("Sound = %+v, %v, lasting %v", s, err, f.Duration)
	}
	for _, tc := range []struct {
		agent   bool
		from, n int
		want    string
		more    bool
	}{
		{false, 0, 3, "[1 2 3]", true},
		{true, 3, 3, "[-4 -5 0]", true},
		{false, 6, 3, "[]", false},
	} {
		if got, more := s.Append(nil, tc.agent, tc.from, tc.n); fmt.Sprint(got) != tc.want || more != tc.more {
			t.Errorf("Append(%v, %d, %d) = %v, %v; want %s, %v", tc.agent, tc.from, tc.n, got, more, tc.want, tc.more)
		}
	}
	if _, err := s.At(8000); err == nil || !strings.Contains(err.Error(), "ffmpeg") {
		t.Errorf("At(8000) of 16 kHz = %v; want the way to convert it", err)
	}

	if f, err = parse("--tones", "amber/basil"); err != nil {
		t.Fatal(err)
	}
	s, err = f.Sound(24000)
	if err != nil || f.Duration != DefaultDuration {
		t.Fatalf("Sound = %v, lasting %v", err, f.Duration)
	}
	customer, more := s.Append(nil, false, 1_000_000, 480)
	agent, _ := s.Append(nil, true, 1_000_000, 480)
	if len(customer) != 480 || !more || fmt.Sprint(customer) == fmt.Sprint(agent) {
		t.Errorf("tones: %d samples, %v; want 480 that differ from the agent's, without end", len(customer), more)
	}
	if f, err = parse(); err != nil {
		t.Fatal(err)
	}
	if s, err = f.Sound(8000); s != nil || err != nil {
		t.Errorf("Sound without flags = %v, %v; want nothing", s, err)
	}
}

func TestRefusals(t *testing.T) {
	t.Setenv("TEST_SIM_EMPTY", "")
	_, emptySecret := Secret("--token", "env:TEST_SIM_EMPTY")
	_, bareSecret := Secret("--token", "hunter2")
	_, noFile := ClientTLS(false, "/nowhere/ca.pem", "", "")
	_, extra := parse("extra")
	_, two := parse("--coded", "--tones", "amber")
	words, err := parse("--tones", "lunch")
	if err != nil {
		t.Fatal(err)
	}
	_, word := words.Sound(8000)
	three, err := parse("--wav", writeWAV(t, 8000, []int16{1}, []int16{1}, []int16{1}))
	if err != nil {
		t.Fatal(err)
	}
	_, channels := three.Sound(8000)
	for want, err := range map[string]error{
		"TEST_SIM_EMPTY is not set": emptySecret, "by env:NAME or file:PATH": bareSecret, "--ca: open /nowhere": noFile,
		`unexpected argument "extra"`: extra, "exclude each other": two, `"lunch" is none of`: word, "3 channels": channels,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error = %v; want %q in it", err, want)
		}
	}
	if bareSecret != nil && strings.Contains(bareSecret.Error(), "hunter2") {
		t.Error("the secret stands in the error")
	}
}

func TestPlay(t *testing.T) {
	bad := errors.New("bad options")
	good := adapter.SimReport{Calls: []adapter.SimCall{{Call: "one", Tracks: []adapter.SimTrack{{Track: "a", Frames: 2, Samples: 16000}}}}}
	failed := adapter.SimReport{Calls: []adapter.SimCall{{Call: "one", Error: "refused"}}}
	for _, tc := range []struct {
		report    adapter.SimReport
		err       error
		code      int
		out, line string
	}{
		{good, nil, 0, `{"calls":[{"call":"one"`, "1 call, 0 failed; sent 2 packets, 2s of audio"},
		{failed, nil, 1, "refused", "1 call, 1 failed; sent 0 packets"},
		{good, context.Canceled, 1, `"one"`, "1 call"},
		{adapter.SimReport{}, fmt.Errorf("no target: %w", bad), 2, "", "no target: bad options\nSee --help."},
	} {
		f, err := parse("--json")
		if err != nil {
			t.Fatal(err)
		}
		var stdout, stderr bytes.Buffer
		code := f.Play(t.Context(), &stdout, &stderr, bad, 8000, "packet", func(context.Context) (adapter.SimReport, error) { return tc.report, tc.err })
		if code != tc.code || !strings.Contains(stdout.String(), tc.out) || !strings.Contains(stderr.String(), tc.line) {
			t.Errorf("Play(%+v, %v) = %d, %q, %q; want %d, %q, %q", tc.report, tc.err, code, &stdout, &stderr, tc.code, tc.out, tc.line)
		}
	}
	_, help := parse("--help")
	var stdout, stderr bytes.Buffer
	if code := Usage(help, "how to", &stdout, &stderr); code != 0 || stdout.String() != "how to" || stderr.Len() > 0 {
		t.Errorf("--help = %d, %q, %q", code, &stdout, &stderr)
	}
}

func TestSteps(t *testing.T) {
	for calls, want := range map[int]int{1: 2, 100: 1} {
		var out bytes.Buffer
		show := Steps(&out, calls)
		show("one", "begin", "", false)
		show("one", "error", "refused", true)
		if got := strings.Count(out.String(), "\n"); got != want {
			t.Errorf("%d calls: %d lines; want %d", calls, got, want)
		}
	}
	if pairs, err := func() (map[string]string, error) {
		f := NewFlags(&bytes.Buffer{})
		p := f.Pairs("var")
		return p, f.Parse([]string{"--var", "a=b=c", "--ramp", "2s"})
	}(); err != nil || pairs["a"] != "b=c" {
		t.Errorf("--var a=b=c = %v, %v", pairs, err)
	}
	if f, err := parse("--ramp", "2s"); err != nil || f.Ramp != 2*time.Second {
		t.Errorf("--ramp 2s = %v", err)
	}
}
