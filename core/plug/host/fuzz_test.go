package host

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/adapter/adaptertest"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/plug/internal/wire"
	plugv1 "github.com/patchbay/patchbay/core/plug/proto/patchbay/plug/v1"
)

// FuzzSession feeds a session what a broken plugin might send. Whatever it is, every
// leg that was admitted is closed at the end, exactly once and for a reason, and no
// frame is longer than what came.
func FuzzSession(f *testing.F) {
	info := adapter.LegInfo{CallKey: "c", LegKey: "l", Principal: adapter.Principal{Method: adapter.MethodNone}}
	voice := adapter.Track{Format: media.Telephony, Speaker: adapter.Speaker{ID: "s", Role: adapter.RoleEndUser}}
	open := &plugv1.Item{Item: &plugv1.Item_Open{Open: wire.FromLegInfo(1, info)}}
	join := &plugv1.Item{Item: &plugv1.Item_Join{Join: wire.FromTrack(1, 2, "t", voice)}}
	frames := &plugv1.Item{Item: &plugv1.Item_Frames{Frames: &plugv1.Frames{
		Track: []uint64{2, 2, 9}, Pos: []int64{0, 3, 0}, Arrived: []int64{1, 2, 3}, Size: []uint32{3, 1, 0}, Payload: []byte("abcd"),
	}}}
	short := &plugv1.Item{Item: &plugv1.Item_Frames{Frames: &plugv1.Frames{
		Track: []uint64{2}, Pos: []int64{0}, Arrived: []int64{1}, Size: []uint32{1 << 31}, Payload: []byte("abcd"),
	}}}
	ragged := &plugv1.Item{Item: &plugv1.Item_Frames{Frames: &plugv1.Frames{Track: []uint64{2}}}}
	note := &plugv1.Item{Item: &plugv1.Item_Note{Note: wire.FromNote(1, adapter.Note{Kind: adapter.NoteDTMF, Text: "1"})}}
	end := &plugv1.Item{Item: &plugv1.Item_Close{Close: wire.FromEnd(1, adapter.EndReason{Kind: adapter.EndHangup})}}
	for _, items := range [][]*plugv1.Item{
		{open, join, frames, note, end}, {open, open}, {frames, join, note, end}, {open, join, short}, {open, join, ragged},
		{open, join, end, frames, end}, {{}},
	} {
		b, err := proto.Marshal(&plugv1.Up{Items: items})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		sink := adaptertest.NewSink()
		ctx, abort := context.WithCancelCause(t.Context())
		s := &session{
			sink: sink, log: slog.New(slog.DiscardHandler), count: func(string, uint64) {}, abort: abort,
			stream: &oneMessage{ctx: ctx, up: b},
			legs:   map[uint64]*leg{}, tracks: map[uint64]*track{},
			down: make(chan *plugv1.Down, maxDown), stop: make(chan struct{}), done: make(chan struct{}),
		}
		_ = s.run()
		received := 0
		for i, l := range sink.Legs() {
			if _, ok := l.Closed(); !ok {
				t.Errorf("leg %d was left open", i)
			}
			for _, id := range l.Tracks() {
				for _, segment := range l.Segments(id) {
					for _, frame := range segment.Frames {
						received += len(frame.Payload)
					}
				}
			}
		}
		if received > len(b) {
			t.Errorf("%d bytes of audio out of a message of %d", received, len(b))
		}
	})
}

// oneMessage is a stream with one message.
type oneMessage struct {
	grpc.BidiStreamingClient[plugv1.Down, plugv1.Up]
	ctx context.Context //nolint:containedctx // a stream has one
	up  []byte
}

func (s *oneMessage) Context() context.Context { return s.ctx }

func (s *oneMessage) Send(*plugv1.Down) error { return nil }

func (s *oneMessage) CloseSend() error { return nil }

func (s *oneMessage) RecvMsg(m any) error {
	up := s.up
	if s.up = nil; up == nil {
		return io.EOF
	}
	return wire.NewCodec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(up)}, m)
}

// FuzzStderr writes anything to a plugin's standard error, in pieces: what comes out
// is at most one log line for each line that went in, and no longer.
func FuzzStderr(f *testing.F) {
	f.Add([]byte("{\"@message\":\"m\",\"@level\":\"warn\",\"k\":[1]}\n"), 7)
	f.Add([]byte("{\"@message\":{}}\nplain\r\n\npanic: x\ngoroutine 1\n"), 1)
	f.Add(bytes.Repeat([]byte("x"), maxLine+10), 1000)
	f.Fuzz(func(t *testing.T, b []byte, piece int) {
		var out bytes.Buffer
		errs := &stderr{log: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))}
		w := &lines{emit: func(line []byte, cut bool) {
			if len(line) > maxLine {
				t.Errorf("a line of %d bytes", len(line))
			}
			errs.line(line, cut)
		}}
		for rest := b; len(rest) > 0; {
			n := min(max(1, piece), len(rest))
			if got, err := w.Write(rest[:n]); got != n || err != nil {
				t.Fatalf("Write = %d, %v; want %d", got, err, n)
			}
			rest = rest[n:]
		}
		w.end()
		if got, most := strings.Count(out.String(), "\n"), bytes.Count(b, []byte("\n"))+1; got > most {
			t.Errorf("%d log lines of %d", got, most)
		}
		if len(errs.words()) > lastWords {
			t.Error("too many last words")
		}
	})
}

// FuzzHandshake checks that a line taken for a handshake has the numbers that
// otherVersion then names.
func FuzzHandshake(f *testing.F) {
	f.Add("1|1|unix|/tmp/p|grpc|abc")
	f.Add("1|2|tcp|:1|grpc")
	f.Add("a|b|c|d")
	f.Add("||||")
	f.Fuzz(func(t *testing.T, line string) {
		if !isHandshake(line) {
			return
		}
		if v := otherVersion(strings.TrimSpace(line)); v != "" && !utf8.ValidString(v) && utf8.ValidString(line) {
			t.Errorf("%q names version %q", line, v)
		}
	})
}
