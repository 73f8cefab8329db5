package sim

import (
	"bytes"
	"strings"
	"testing"

	"github.com/patchbay/patchbay/adapters/internal/simcmd"
)

func TestCommandLine(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"--help", 0, ""},
		{"", 2, "no address"},
		{"--address x --api v3", 2, "no API"},
		{"--address x --calls -1", 2, "negative"},
		{"--address x --token secret", 2, "env:NAME or file:PATH"},
		{"--address x --token env:PATCHBAY_NOT_SET", 2, "not set"},
		{"--address x --tones amber,blue", 2, "is none of"},
		{"--address x --coded --wav a.wav", 2, "exclude each other"},
		{"--address x --ca /nowhere", 2, "--ca"},
		{"--address x --nonsense", 2, "nonsense"},
		{"--address x more", 2, "unexpected argument"},
	} {
		var out, err bytes.Buffer
		if code := Main(t.Context(), strings.Fields(c.args), &out, &err); code != c.code || !strings.Contains(err.String(), c.says) {
			t.Errorf("%q: exit code %d, %q; want %d and %q", c.args, code, err.String(), c.code, c.says)
		}
	}
}

func TestAudio(t *testing.T) {
	both := play(&simcmd.Sound{Rate: 8000, Customer: make([]int16, messageBytes+1)})
	for n, want := range []bool{true, true, false} {
		if b, ok := both(nil, 0, Agent, n); ok != want || ok && len(b) != messageBytes {
			t.Errorf("message %d: %d bytes, %t; want whole messages for %t", n, len(b), ok, want)
		}
	}
	if b, ok := Tones([]string{"amber"}, []string{"river"})(nil, 0, Customer, 1000); !ok || len(b) != messageBytes {
		t.Errorf("tones end after %d bytes", len(b))
	}
}
