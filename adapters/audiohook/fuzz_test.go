package audiohook

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/patchbay/patchbay/adapters/internal/report"
	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/adapter/adaptertest"
	"github.com/patchbay/patchbay/core/media"
)

// FuzzSession feeds a session with any messages in any order, one a line; a line that
// begins with # is audio. The contract holds, every whole sample that came on a live
// leg is heard once, our own messages are numbered without a gap, and it ends.
func FuzzSession(f *testing.F) {
	traces, err := filepath.Glob("testdata/*/in.jsonl")
	if err != nil || len(traces) == 0 {
		f.Fatal("no traces to begin with")
	}
	for _, path := range traces {
		in, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		var seed bytes.Buffer
		for line := range bytes.Lines(in) {
			var l traceLine
			if json.Unmarshal(line, &l) != nil || l.Message == nil && l.Audio == nil {
				continue
			}
			if l.Message != nil {
				_ = json.Compact(&seed, l.Message)
			} else {
				seed.WriteString("#" + strings.Repeat("x", l.Audio[0]))
			}
			seed.WriteByte('\n')
		}
		f.Add(seed.Bytes())
	}
	log := slog.New(slog.DiscardHandler)
	f.Fuzz(func(t *testing.T, in []byte) {
		cfg := testConfig()
		cfg.L16 = L16Big
		a, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		sink := adaptertest.NewSink()
		c := caller{principal: adapter.Principal{Account: testOrganization, Method: adapter.MethodSignature}, organization: testOrganization,
			session: exampleSession, correlation: "e160e428-53e2-487c-977d-96989bf5c99d"}
		s := newSession(a, &environment{sink: sink, log: log, report: report.New(log, func(string) {})}, c, func(time.Duration) {})
		var d desk
		var bytesHeard, said int64
		at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
		for line := range bytes.Lines(in) {
			line = bytes.TrimSuffix(line, []byte("\n"))
			at = at.Add(20 * time.Millisecond)
			if audio, ok := bytes.CutPrefix(line, []byte("#")); ok {
				if s.phase() == running && !s.deaf.Load() && s.leg != nil {
					bytesHeard += int64(len(audio))
				}
				s.takeAudio(audio, at)
			} else {
				before := s.splitter.n
				s.take(t.Context(), line, at)
				bytesHeard -= int64(before - s.splitter.n) // half a sample before a gap
			}
			select {
			case o := <-s.opened:
				d.open(s, o)
			case <-s.closes:
				d.closes(s, at)
			default:
			}
			for len(s.out.queue) > 0 {
				var m serverMessage
				if b := <-s.out.queue; json.Unmarshal(b, &m) != nil || m.Seq != said+1 || m.ID != exampleSession || len(b) > maxText {
					t.Fatalf("we said %s after message %d", b, said)
				}
				said++
			}
		}
		s.finish(adapter.EndReason{Kind: adapter.EndLost, Text: "end"})
		s.gone()
		sink.Check(t)
		for _, l := range sink.Legs() {
			n := len(s.guest.media.Channels)
			want := s.guest.format.Samples(int(bytesHeard) / n)
			for _, channel := range s.guest.media.Channels {
				if got := l.Samples(media.TrackID(channel)); got != want {
					t.Errorf("%d samples of %s were heard; want %d", got, channel, want)
				}
			}
			if _, closed := l.Closed(); !closed {
				t.Error("the leg stays open")
			}
		}
	})
}

// FuzzSplit cuts audio anywhere: what comes out is the same.
func FuzzSplit(f *testing.F) {
	f.Add([]byte("aAbBcCdD"), uint(3), uint8(0))
	f.Add([]byte("abcdefghij"), uint(1), uint8(3))
	f.Fuzz(func(t *testing.T, audio []byte, cut uint, kind uint8) {
		m := mediaEntry{Type: "audio", Format: formatPCMU, Rate: 8000, Channels: []string{channelCustomer, channelAgent}[:1+kind%2]}
		if kind&2 != 0 {
			m.Format = formatL16
		}
		order := L16Little
		if kind&4 != 0 {
			order = L16Big
		}
		whole, pieces := newSplitter(m, order), newSplitter(m, order)
		var want, got [2][]byte
		for i, part := range whole.split(audio) {
			want[i] = bytes.Clone(part)
		}
		at := min(int(cut%64), len(audio))
		for _, piece := range [][]byte{audio[:at], audio[at:]} {
			for len(piece) > 0 {
				n := min(len(piece), at+1)
				for i, part := range pieces.split(piece[:n]) {
					got[i] = append(got[i], part...)
				}
				piece = piece[n:]
			}
		}
		step := whole.channels * whole.size
		for i := range want {
			if !bytes.Equal(want[i], got[i]) {
				t.Errorf("channel %d is %x in pieces, %x as a whole", i, got[i], want[i])
			}
			if i < whole.channels && len(want[i]) != len(audio)/step*whole.size {
				t.Errorf("channel %d has %d bytes of %d", i, len(want[i]), len(audio))
			}
		}
		if whole.n != len(audio)%step {
			t.Errorf("%d bytes are left; want %d", whole.n, len(audio)%step)
		}
	})
}

// FuzzDuration reads any text: what it takes it writes the same way.
func FuzzDuration(f *testing.F) {
	for _, s := range []string{"PT2.6S", "PT0S", "PT.5S", "PT10000000S", "PT1.S", "PTS", "P1D", "PT-1S", "PT0.0000000019S"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := parseDuration(s)
		if err != nil {
			return
		}
		if d < 0 || d > (maxSeconds+1)*time.Second || !strings.HasPrefix(s, "PT") || !strings.HasSuffix(s, "S") {
			t.Errorf("parseDuration(%q) = %v", s, d)
		}
		if again, err := parseDuration(formatDuration(d)); err != nil || again != d {
			t.Errorf("parseDuration(formatDuration(%v)) = %v, %v", d, again, err)
		}
	})
}

// FuzzSignature reads any signature: nothing but the published one proves the request.
func FuzzSignature(f *testing.F) {
	f.Add(exampleInput, exampleSignature)
	f.Add(strings.Replace(exampleInput, `"@authority"`, `"host"`, 1), hostSignature)
	f.Add(`sig1=("@request-target";req);keyid="x"`, "sig1=:AAAA:")
	f.Add("", "")
	cfg := testConfig()
	cfg.SignedHost = true
	f.Fuzz(func(t *testing.T, input, signature string) {
		v, err := newVerifier(cfg)
		if err != nil {
			t.Fatal(err)
		}
		u, now := example()
		u.header[http.CanonicalHeaderKey(headerInput)] = []string{input}
		u.header[http.CanonicalHeaderKey(headerSignature)] = []string{signature}
		_, no := v.prove(u, now)
		if no == nil && !strings.Contains(signature, exampleSignature[5:]) && !strings.Contains(signature, hostSignature[5:]) {
			t.Errorf("%s, %s was taken", input, signature)
		}
		if no != nil && strings.ContainsAny(no.detail, "\r\n") {
			t.Errorf("the refusal %q has several lines", no.detail)
		}
	})
}
