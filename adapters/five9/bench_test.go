package five9

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	voicepb "github.com/patchbay/patchbay/adapters/five9/proto/five9/voicestream"
	"github.com/patchbay/patchbay/adapters/five9/sim"
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

func runningStream(tb testing.TB) (*stream, *deaf) {
	a, err := New(testConfig())
	if err != nil {
		tb.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	leg := &deaf{}
	s := newStream(a, &environment{log: log, report: report.New(log, func(string) {})}, caller{})
	s.leg, s.guest.format, s.guest.track = leg, media.Format{Encoding: media.Linear16, Rate: 8000}, "customer"
	return s, leg
}

// BenchmarkFrame is the way of 20 ms of audio from the message's bytes to Leg.Write;
// gRPC's own part is not in it.
func BenchmarkFrame(b *testing.B) {
	s, leg := runningStream(b)
	begun := time.Now()
	in, err := proto.Marshal(&voicepb.StreamingVoiceRequest{
		StreamingRequest: &voicepb.StreamingVoiceRequest_AudioContent{AudioContent: bytes.Repeat([]byte{1, 2}, 160)},
		SendTime:         timestamppb.New(begun),
	})
	if err != nil {
		b.Fatal(err)
	}
	var m voicepb.StreamingVoiceRequest
	b.ReportAllocs()
	for b.Loop() {
		if err := proto.Unmarshal(in, &m); err != nil {
			b.Fatal(err)
		}
		if bye := s.take(b.Context(), &m, begun); bye != nil {
			b.Fatal(bye.text)
		}
	}
	b.ReportMetric(float64(leg.frames)/b.Elapsed().Seconds(), "frames/s")
}

// TestFramePathAllocatesNothing: beside what the message itself takes.
func TestFramePathAllocatesNothing(t *testing.T) {
	s, leg := runningStream(t)
	m := &voicepb.StreamingVoiceRequest{StreamingRequest: &voicepb.StreamingVoiceRequest_AudioContent{AudioContent: make([]byte, 320)}, SendTime: timestamppb.Now()}
	at := time.Now()
	next := func() {
		if bye := s.take(t.Context(), m, at); bye != nil {
			t.Fatal(bye.text)
		}
	}
	next() // the first one joins
	if got := testing.AllocsPerRun(1000, next); got != 0 {
		t.Errorf("%v allocations a frame; want 0", got)
	}
	if leg.frames != 1002 {
		t.Errorf("%d frames were heard; want 1002", leg.frames)
	}
}

// welcoming is a host that admits every leg and hears nothing.
type welcoming struct{ legs chan *counting }

func (w welcoming) Open(context.Context, adapter.LegInfo) (adapter.Leg, error) {
	l := &counting{control: make(chan adapter.Control)}
	w.legs <- l
	return l, nil
}

// counting is a leg that counts.
type counting struct {
	deaf
	control chan adapter.Control
	heard   atomic.Int64
}

func (l *counting) Write(media.Frame) error         { l.heard.Add(1); return nil }
func (l *counting) Control() <-chan adapter.Control { return l.control }

// BenchmarkStream is the way of 20 ms of audio from the simulator through gRPC and the
// door to Leg.Write; both ends are in it.
func BenchmarkStream(b *testing.B) {
	a, err := New(testConfig())
	if err != nil {
		b.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	sink := welcoming{make(chan *counting, 1)}
	done := make(chan error, 1)
	go func() {
		done <- a.Run(ctx, adapter.Env{Log: slog.New(slog.DiscardHandler), Count: func(string) {}, Listen: func(string) (net.Listener, error) { return ln, nil }}, sink)
	}()
	defer func() {
		stop()
		if err := <-done; err != nil {
			b.Error(err)
		}
	}()
	conn, err := sim.Dial(ln.Addr().String(), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	s, err := sim.OpenStream(b.Context(), conn, sim.StreamOptions{Config: config()})
	if err != nil {
		b.Fatal(err)
	}
	leg := <-sink.legs
	payload := make([]byte, 320)
	b.ReportAllocs()
	sent := int64(0)
	for b.Loop() {
		if _, err := s.Send(payload); err != nil {
			b.Fatal(err)
		}
		sent++
	}
	if err := s.Hangup(b.Context(), callEnded); err != nil {
		b.Fatal(err)
	}
	if heard := leg.heard.Load(); heard != sent {
		b.Errorf("%d frames were heard of %d", heard, sent)
	}
	b.ReportMetric(float64(sent)/b.Elapsed().Seconds(), "frames/s")
}
