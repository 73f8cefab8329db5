package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/adapter/adaptertest"
	"github.com/patchbay/patchbay/core/media/probe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBadConnectionsEndAlone(t *testing.T) {
	sink := adaptertest.NewSink()
	a := adaptertest.InProcess.Start(t, newSubject(t), sink)
	good := `{"call":"c","party":"customer","token":"` + testToken + `"}` + "\n"
	for _, c := range []struct {
		name, send string
		answer     string          // a part of the last line
		end        adapter.EndKind // empty: no leg
	}{
		{"garbage", "GET / HTTP/1.1\r\n\r\n", "protocol error", ""},
		{"too long", strings.Repeat("x", 2*maxLine), "no hello line", ""},
		{"unknown key", `{"call":"c","party":"customer","secret":"x"}` + "\n", "not one JSON object", ""},
		{"no call", `{"party":"customer"}` + "\n", "call must have", ""},
		{"unknown party", `{"call":"c","party":"judge"}` + "\n", "party must be", ""},
		{"wrong token", `{"call":"c","party":"agent","token":"wrong"}` + "\n", "unknown token", ""},
		{"large packet", good + "\xff\xff", "packet of 65535 bytes", adapter.EndProtocol},
		{"goodbye", good + "\x00\x01\xff\x00\x00", "goodbye", adapter.EndHangup},
	} {
		t.Run(c.name, func(t *testing.T) {
			legs := len(sink.Legs())
			conn, err := net.Dial("tcp", a.Addr("audio"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if err := conn.SetDeadline(time.Now().Add(adaptertest.Patience)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(conn, c.send); err != nil {
				t.Fatal(err)
			}
			answer, _ := io.ReadAll(conn) // it may end in a reset: we sent more than was read
			if !strings.Contains(string(answer), c.answer) && c.name != "too long" {
				t.Errorf("answer %q; want %q in it", answer, c.answer)
			}
			if c.end == "" {
				if got := len(sink.Legs()); got != legs {
					t.Errorf("%d legs; want %d", got, legs)
				}
			} else if end := sink.WaitLeg(t, legs).WaitClosed(t); end.Kind != c.end {
				t.Errorf("the leg ended with %q; want %q", end.Kind, c.end)
			}
		})
	}
	if err := a.Stop(t.Context()); err != nil {
		t.Errorf("Run = %v", err)
	}
	sink.Check(t)
}

func TestConfigProblems(t *testing.T) {
	long := adapter.Secret(strings.Repeat("s", MinTokenLength))
	for _, c := range []struct {
		name string
		cfg  Config
		want string // one line a problem
	}{
		{"good", Config{Accounts: []Account{{"a", long}, {"b", long + "2"}}}, ""},
		{"empty", DefaultConfig(), "accounts: nobody could send a call; add a name and a token"},
		{"weak", Config{Accounts: []Account{{"a", "short"}}}, "accounts[0].token: is shorter than 16 characters; use a longer random one"},
		{"twice", Config{Accounts: []Account{{"a", long}, {"a", long}}},
			"accounts[1].name = \"a\": is empty or used twice; give every account its own name\n" +
				"accounts[1].token: belongs to another account too; give every account its own token"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ""
			if err := c.cfg.Validate(); err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("Validate = %s; want %s", got, c.want)
			}
			if _, err := New(c.cfg); (err == nil) != (c.want == "") {
				t.Errorf("New = %v", err)
			}
		})
	}
}

// TestSimulate lets the simulator call the adapter and compares the counts.
func TestSimulate(t *testing.T) {
	sink := adaptertest.NewSink()
	a := adaptertest.InProcess.Start(t, newSubject(t), sink)
	t.Setenv("MINIMAL_TOKEN", testToken)
	var stdout, stderr bytes.Buffer
	code := simulate(t.Context(), []string{"--addr", a.Addr("audio"), "--calls", "3", "--duration", "1s", "--speed", "50", "--json"}, &stdout, &stderr)
	if code != 0 {
		t.Fatalf("code %d: %s", code, &stderr)
	}
	var report adapter.SimReport
	if err := json.Unmarshal(stdout.Bytes(), &report); err != nil {
		t.Fatal(err)
	}
	if len(report.Calls) != 3 || len(sink.Legs()) != 6 {
		t.Fatalf("%d calls, %d legs; want 3 and 6", len(report.Calls), len(sink.Legs()))
	}
	for _, l := range sink.Legs() {
		if got := l.Samples(track); got != 50*probe.BlockSamples {
			t.Errorf("%s %s: %d samples; want %d", l.Info().CallKey, l.Info().LegKey, got, 50*probe.BlockSamples)
		}
	}
	for _, c := range report.Calls {
		for _, tr := range c.Tracks {
			if tr.Frames != 50 || tr.Samples != 50*probe.BlockSamples {
				t.Errorf("%s: reported %+v; want 50 frames", c.Call, tr)
			}
		}
	}
	t.Setenv("MINIMAL_TOKEN", "another token than the right one")
	if code := simulate(t.Context(), []string{"--addr", a.Addr("audio"), "--duration", "1s"}, &stdout, &stderr); code != 1 || !strings.Contains(stderr.String(), "refused") {
		t.Errorf("code %d, %q; want 1 and a refusal", code, &stderr)
	}
	if err := a.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

// FuzzReadHello checks that an accepted hello names a call and a party, and that
// nothing longer than a line is read.
func FuzzReadHello(f *testing.F) {
	f.Add([]byte(`{"call":"c","party":"agent","token":"t"}` + "\n"))
	f.Add([]byte(`{"call":"c","party":"customer"} {}` + "\n"))
	f.Add([]byte("\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := readHello(bufio.NewReaderSize(bytes.NewReader(b), maxLine))
		if err != nil {
			if !errors.Is(err, errProtocol) {
				t.Errorf("%q fails with %v; want a protocol error", b, err)
			}
			return
		}
		if h.Call == "" || len(h.Call) > maxKey || (h.Party != "agent" && h.Party != "customer") {
			t.Errorf("%q was accepted as %+v", b, h)
		}
		if bytes.IndexByte(b, '\n') >= maxLine {
			t.Errorf("a line of %d bytes was accepted", bytes.IndexByte(b, '\n'))
		}
	})
}

// FuzzReadPacket checks that audio which was packed and cut anywhere is read back up
// to the cut, and that a goodbye is told from a lost connection.
func FuzzReadPacket(f *testing.F) {
	f.Add([]byte("some audio"), 3, 100)
	f.Add(bytes.Repeat([]byte{0}, maxPacket+1), 160, 5)
	f.Fuzz(func(t *testing.T, audio []byte, size, cut int) {
		size = 1 + max(0, size)%maxPacket
		var wire []byte
		for rest := audio; len(rest) > 0; {
			n := min(size, len(rest))
			wire = appendPacket(wire, rest[:n])
			rest = rest[n:]
		}
		wire = appendPacket(wire, nil)
		cut = max(0, min(cut, len(wire)))
		r, buf := bytes.NewReader(wire[:cut]), make([]byte, maxPacket)
		var got []byte
		for {
			p, err := readPacket(r, buf)
			if err != nil {
				if complete := cut == len(wire); errors.Is(err, io.EOF) != complete {
					t.Errorf("%d of %d bytes end with %v", cut, len(wire), err)
				}
				break
			}
			got = append(got, p...)
		}
		if !bytes.HasPrefix(audio, got) || (cut == len(wire) && len(got) != len(audio)) {
			t.Errorf("%d bytes came back as %d others", len(audio), len(got))
		}
	})
}
