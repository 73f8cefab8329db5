package twilio

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/patchbay/patchbay/adapters/internal/report"
	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
)

// deaf is a leg that hears nothing, so that a benchmark sees the adapter alone.
type deaf struct{ frames int }

func (*deaf) Join(media.TrackID, adapter.Track) error { return nil }
func (d *deaf) Write(media.Frame) error               { d.frames++; return nil }
func (*deaf) Note(adapter.Note) error                 { return nil }
func (*deaf) Control() <-chan adapter.Control         { return nil }
func (*deaf) Close(adapter.EndReason) error           { return nil }

// mediaMessages writes n media messages as Twilio does, all of one length.
func mediaMessages(n int) [][]byte {
	payload := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{0xd5}, 160))
	out := make([][]byte, n)
	for i := range out {
		out[i] = fmt.Appendf(nil, `{"event":"media","sequenceNumber":"%d","media":{"track":"inbound","chunk":"%d","timestamp":"%d","payload":"%s"},"streamSid":"%s"}`,
			i+2, i+1, i*20, payload, testStream)
	}
	return out
}

func runningStream(tb testing.TB) (*stream, *deaf) {
	a, err := New(testConfig())
	if err != nil {
		tb.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	leg := &deaf{}
	s := newStream(a, &environment{log: log, report: report.New(log, func(string) {})}, proof{})
	s.phase, s.sid, s.leg = running, testStream, leg
	s.guest.tracks = []media.TrackID{trackInbound}
	return s, leg
}

// BenchmarkFrame is the whole way of a frame from the WebSocket's message to
// Leg.Write.
func BenchmarkFrame(b *testing.B) {
	messages := mediaMessages(10_000)
	s, leg := runningStream(b)
	now := time.Now()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%len(messages) == 0 {
			s.tracks[0].timeline, s.sequence = timeline{}, none
		}
		if err := s.takeAlone(b.Context(), messages[i%len(messages)], now); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(leg.frames)/b.Elapsed().Seconds(), "frames/s")
}

// BenchmarkDecode compares the scanner with encoding/json, which is asked for all
// that the scanner does not take.
func BenchmarkDecode(b *testing.B) {
	in := mediaMessages(1)[0]
	var m message
	b.Run("scanner", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if !scanMedia(in, &m.raw) {
				b.Fatal("the scanner gives up")
			}
		}
	})
	b.Run("json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m = message{}
			if err := json.Unmarshal(in, &m); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// TestFramePathAllocatesNothing keeps the frame path as the benchmark found it.
func TestFramePathAllocatesNothing(t *testing.T) {
	messages := mediaMessages(2001)
	s, leg := runningStream(t)
	i, now := 0, time.Now()
	next := func() {
		if err := s.takeAlone(t.Context(), messages[i], now); err != nil {
			t.Fatal(err)
		}
		i++
	}
	next() // the first one joins and sizes the buffer
	if got := testing.AllocsPerRun(1000, next); got != 0 {
		t.Errorf("%v allocations a frame; want 0", got)
	}
	if leg.frames != i {
		t.Errorf("%d of %d frames were heard", leg.frames, i)
	}
}
