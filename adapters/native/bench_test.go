package native

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	pb "cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

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

// running is a stream whose leg is open.
func running(tb testing.TB) (*analyze, *talk, *deaf) {
	a, err := New(testConfig())
	if err != nil {
		tb.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	leg := &deaf{}
	t := &talk{server: &server{Adapter: a, log: log, report: report.New(log, func(string) {})}, leg: leg}
	return &analyze{google: google{began: true, audio: audio{track: "p", format: media.Telephony}}}, t, leg
}

func audioMessage(tb testing.TB, d time.Duration) *frame {
	b, err := proto.Marshal(&pb.StreamingAnalyzeContentRequest{Input: &pb.StreamingAnalyzeContentRequest_InputAudio{
		InputAudio: make([]byte, media.Telephony.Bytes(media.Telephony.SamplesIn(d)))}})
	if err != nil {
		tb.Fatal(err)
	}
	return &frame{b}
}

// BenchmarkFrame is the way of a message of 20 ms from gRPC to Leg.Write: the line beside
// those of the other adapters.
func BenchmarkFrame(b *testing.B) {
	a, t, leg := running(b)
	m, now := audioMessage(b, 20*time.Millisecond), time.Now()
	b.ReportAllocs()
	for b.Loop() {
		if bye := a.take(t, m, now); bye != nil {
			b.Fatal(bye.err)
		}
	}
	b.ReportMetric(float64(leg.frames)/b.Elapsed().Seconds(), "frames/s")
}

// TestFramePathAllocatesNothing keeps the frame path as the benchmark found it.
func TestFramePathAllocatesNothing(t *testing.T) {
	a, talk, leg := running(t)
	m, now := audioMessage(t, 100*time.Millisecond), time.Now()
	if got := testing.AllocsPerRun(1000, func() {
		if bye := a.take(talk, m, now); bye != nil {
			t.Fatal(bye.err)
		}
	}); got != 0 {
		t.Errorf("%v allocations a message; want 0", got)
	}
	if leg.frames != 1001 {
		t.Errorf("%d frames; want 1001", leg.frames)
	}
}

// welcoming is a host that admits every leg and hears nothing.
type welcoming struct{ legs chan *counting }

// Open implements adapter.Sink.
func (w welcoming) Open(context.Context, adapter.LegInfo) (adapter.Leg, error) {
	l := &counting{control: make(chan adapter.Control, 1)}
	w.legs <- l
	return l, nil
}

// counting is a leg that counts, and whose results are complete at once.
type counting struct {
	deaf
	control chan adapter.Control
	heard   atomic.Int64
}

func (l *counting) Write(media.Frame) error         { l.heard.Add(1); return nil }
func (l *counting) Control() <-chan adapter.Control { return l.control }
func (l *counting) Close(adapter.EndReason) error   { close(l.control); return nil }
func (l *counting) Note(adapter.Note) error {
	l.control <- adapter.Control{Kind: adapter.ControlDone}
	return nil
}

// serveWelcoming runs an adapter over loopback, and returns a connection to it.
func serveWelcoming(b *testing.B) (*grpc.ClientConn, welcoming) {
	a, err := New(testConfig())
	if err != nil {
		b.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(b.Context()))
	sink := welcoming{make(chan *counting, 1)}
	done := make(chan error, 1)
	go func() {
		done <- a.Run(ctx, adapter.Env{Log: slog.New(slog.DiscardHandler), Count: func(string) {}, Listen: func(string) (net.Listener, error) { return ln, nil }}, sink)
	}()
	conn, err := grpc.NewClient(ln.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithPerRPCCredentials(bearer(testToken)))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = conn.Close()
		stop()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
	return conn, sink
}

// BenchmarkStream is the way of 20 ms of audio from a client through gRPC to Leg.Write; both
// ends are in it.
func BenchmarkStream(b *testing.B) {
	conn, sink := serveWelcoming(b)
	st, err := pb.NewParticipantsClient(conn).StreamingAnalyzeContent(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	if err := st.Send(config(parent + "/conversations/c-1/participants/p-1")); err != nil {
		b.Fatal(err)
	}
	leg := <-sink.legs
	m := &pb.StreamingAnalyzeContentRequest{Input: &pb.StreamingAnalyzeContentRequest_InputAudio{InputAudio: make([]byte, 160)}}
	b.ReportAllocs()
	sent := int64(0)
	for b.Loop() {
		if err := st.Send(m); err != nil {
			b.Fatal(err)
		}
		sent++
	}
	if err := st.CloseSend(); err != nil {
		b.Fatal(err)
	}
	if _, err := st.Recv(); !errors.Is(err, io.EOF) {
		b.Fatal(err)
	}
	if heard := leg.heard.Load(); heard != sent {
		b.Errorf("%d frames were heard of %d", heard, sent)
	}
	b.ReportMetric(float64(sent)/b.Elapsed().Seconds(), "frames/s")
}
