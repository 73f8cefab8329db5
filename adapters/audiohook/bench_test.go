package audiohook

import (
	"bytes"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/patchbay/patchbay/adapters/internal/report"
	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
)

// deaf is a leg that only counts.
type deaf struct{ frames, samples int }

func (*deaf) Join(media.TrackID, adapter.Track) error { return nil }
func (d *deaf) Write(f media.Frame) error {
	d.frames++
	d.samples += len(f.Payload)
	return nil
}
func (*deaf) Note(adapter.Note) error         { return nil }
func (*deaf) Control() <-chan adapter.Control { return nil }
func (*deaf) Close(adapter.EndReason) error   { return nil }

func runningSession(tb testing.TB, format string) (*session, *deaf) {
	cfg := testConfig()
	cfg.L16 = L16Big
	a, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	s := newSession(a, &environment{log: log, report: report.New(log, func(string) {})}, caller{session: exampleSession}, func(time.Duration) {})
	leg := &deaf{}
	s.leg = leg
	s.guest.media = mediaEntry{Type: "audio", Format: format, Rate: 8000, Channels: []string{channelCustomer, channelAgent}}
	s.guest.format = formatOf(s.guest.media)
	s.splitter = newSplitter(s.guest.media, cfg.L16)
	s.advance(running)
	return s, leg
}

// BenchmarkFrame is the way of a frame of both voices from the WebSocket's message to
// Leg.Write: 20 ms, to be held against the other adapters', and 200 ms, as Genesys'
// reference client sends.
func BenchmarkFrame(b *testing.B) {
	for name, tc := range map[string]struct {
		format string
		bytes  int
	}{"20ms": {formatPCMU, 320}, "200ms": {formatPCMU, 3200}, "L16-200ms": {formatL16, 6400}} {
		b.Run(name, func(b *testing.B) {
			s, leg := runningSession(b, tc.format)
			frame, now := bytes.Repeat([]byte{0xd5, 0x55}, tc.bytes/2), time.Now()
			b.SetBytes(int64(tc.bytes))
			b.ReportAllocs()
			for b.Loop() {
				s.takeAudio(frame, now)
			}
			b.ReportMetric(float64(leg.frames)/b.Elapsed().Seconds(), "frames/s")
		})
	}
}

// BenchmarkSignature is what an upgrade costs, right or wrong.
func BenchmarkSignature(b *testing.B) {
	v, err := newVerifier(testConfig())
	if err != nil {
		b.Fatal(err)
	}
	u, now := example()
	b.ReportAllocs()
	for b.Loop() {
		if _, no := v.check(u, v.keys[0].secret, now); no != nil {
			b.Fatal(no)
		}
	}
}

// TestFramePathAllocatesNothing keeps the frame path as the benchmark found it.
func TestFramePathAllocatesNothing(t *testing.T) {
	s, leg := runningSession(t, formatPCMU)
	frame, now := make([]byte, 3201), time.Now() // of odd length
	next := func() { s.takeAudio(frame, now) }
	next() // the first ones size the buffers
	next()
	if got := testing.AllocsPerRun(1000, next); got != 0 {
		t.Errorf("%v allocations a frame; want 0", got)
	}
	if leg.samples < 1000*3200 {
		t.Errorf("%d samples were heard", leg.samples)
	}
}
