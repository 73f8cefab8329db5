package adaptertest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	info  = adapter.LegInfo{CallKey: "c", LegKey: "l", Principal: adapter.Principal{Account: "acme", Method: adapter.MethodToken}}
	voice = adapter.Track{Format: media.Telephony, Speaker: adapter.Speaker{ID: "s", Role: adapter.RoleEndUser, Evidence: "test"}}
)

func open(t *testing.T, s *Sink) *Leg {
	t.Helper()
	l, err := s.Open(t.Context(), info)
	if err != nil {
		t.Fatal(err)
	}
	return l.(*Leg)
}

func frame(pos int64, n int) media.Frame {
	return media.Frame{Track: "t", Pos: pos, Arrived: time.Unix(1, 0), Payload: make([]byte, n)}
}

// TestSinkSeesBreaches does to a sink what no adapter may do.
func TestSinkSeesBreaches(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*Leg)
		want string // empty: no breach
	}{
		{"a good leg", func(l *Leg) {
			_ = l.Join("t", voice)
			_ = l.Write(frame(0, 160))
			_ = l.Write(frame(500, 160)) // a jump is loss, not a breach
			_ = l.Join("t", voice)       // a new segment counts from 0
			_ = l.Write(frame(0, 160))
			_ = l.Close(adapter.EndReason{Kind: adapter.EndHangup})
			_ = l.Close(adapter.EndReason{Kind: adapter.EndHangup})
		}, ""},
		{"write before join", func(l *Leg) { _ = l.Write(frame(0, 1)) }, "before Join"},
		{"falling Pos", func(l *Leg) {
			_ = l.Join("t", voice)
			_ = l.Write(frame(160, 160))
			_ = l.Write(frame(300, 160))
		}, "Pos 300 falls back before 320"},
		{"no audio", func(l *Leg) { _ = l.Join("t", voice); _ = l.Write(frame(0, 0)) }, "not whole samples"},
		{"half a sample", func(l *Leg) {
			v := voice
			v.Format.Encoding = media.Linear16
			_ = l.Join("t", v)
			_ = l.Write(frame(0, 3))
		}, "not whole samples"},
		{"no arrival", func(l *Leg) {
			_ = l.Join("t", voice)
			_ = l.Write(media.Frame{Track: "t", Payload: []byte{1}})
		}, "no arrival time"},
		{"no format", func(l *Leg) { _ = l.Join("t", adapter.Track{}) }, "unusable audio format"},
		{"no speaker", func(l *Leg) { _ = l.Join("t", adapter.Track{Format: media.Telephony}) }, "without speaker"},
		{"no kind of note", func(l *Leg) { _ = l.Note(adapter.Note{}) }, "Note without kind"},
		{"no reason", func(l *Leg) { _ = l.Close(adapter.EndReason{}) }, "without a kind of reason"},
		{"unread orders", func(l *Leg) {
			for range controlBuffer + 1 {
				l.Order(adapter.Control{Kind: adapter.ControlPause})
			}
		}, "orders were not read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := NewSink()
			c.do(open(t, s))
			got := strings.Join(s.Violations(), "\n")
			if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
				t.Errorf("breaches %q; want %q", got, c.want)
			}
		})
	}
}

// TestSinkSeesChangedBuffer re-uses a buffer before Write has returned.
func TestSinkSeesChangedBuffer(t *testing.T) {
	s := NewSink()
	l := open(t, s)
	if err := l.Join("t", voice); err != nil {
		t.Fatal(err)
	}
	f := frame(0, 8)
	s.between = func() { f.Payload[3] = 9 }
	if err := l.Write(f); err != nil {
		t.Fatal(err)
	}
	if v := s.Violations(); len(v) != 1 || !strings.Contains(v[0], "payload changed") {
		t.Errorf("breaches %q; want the changed payload", v)
	}
	if got := l.Segments("t")[0].Frames[0].Payload[3]; got != 0 {
		t.Errorf("the copy changed to %d", got)
	}
}

func TestSinkRefusesAndAdmits(t *testing.T) {
	s := NewSink()
	s.Admit(1)
	open(t, s)
	if _, err := s.Open(t.Context(), info); !errors.Is(err, adapter.ErrRefused) {
		t.Errorf("Open when full = %v; want a refusal", err)
	}
	s.Admit(-1)
	s.Refuse(&adapter.Refusal{Reason: adapter.RefusedDraining})
	_, err := s.Open(t.Context(), info)
	if r, ok := errors.AsType[*adapter.Refusal](err); !ok || r.Reason != adapter.RefusedDraining {
		t.Errorf("Open when draining = %v", err)
	}
	if s.Refused() != 2 || len(s.Legs()) != 1 {
		t.Errorf("%d refused, %d legs; want 2 and 1", s.Refused(), len(s.Legs()))
	}
	s.Refuse(nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Open(ctx, info); !errors.Is(err, context.Canceled) {
		t.Errorf("Open after its context = %v", err)
	}
	if _, err := s.Open(t.Context(), adapter.LegInfo{}); !errors.Is(err, adapter.ErrRefused) || len(s.Violations()) != 1 {
		t.Errorf("Open without keys = %v, breaches %v", err, s.Violations())
	}
}

func TestSinkTakesOver(t *testing.T) {
	s := NewSink()
	old := open(t, s)
	if err := old.Join("t", voice); err != nil {
		t.Fatal(err)
	}
	next := open(t, s)
	if c := <-old.Control(); c.Kind != adapter.ControlEnd {
		t.Errorf("the old leg was told %q; want %q", c.Kind, adapter.ControlEnd)
	}
	if err := old.Write(frame(0, 1)); !errors.Is(err, adapter.ErrClosed) {
		t.Errorf("Write on the old leg = %v; want ErrClosed", err)
	}
	if err := old.Close(adapter.EndReason{Kind: adapter.EndTakeover}); err != nil {
		t.Fatal(err)
	}
	if err := next.Join("t", voice); err != nil { // closing the old one left it alone
		t.Errorf("Join on the new leg = %v", err)
	}
	if _, open := <-old.Control(); open {
		t.Error("Control is open after Close")
	}
	if calls := s.Calls(); len(calls) != 1 || len(calls[CallID{"acme", "c"}]) != 2 {
		t.Errorf("calls %v; want one of two legs", calls)
	}
}

func TestEventsReadAsLines(t *testing.T) {
	s := NewSink()
	l := open(t, s)
	_ = l.Join("t", voice)
	_ = l.Note(adapter.Note{Kind: adapter.NoteDTMF, Text: "5", Track: "t"})
	l.Order(adapter.Control{Kind: adapter.ControlPause, Reason: "card"})
	_ = l.Close(adapter.EndReason{Kind: adapter.EndHangup, Text: "bye"})
	want := []string{
		"leg 0: open call=c leg=l account=acme method=token",
		"leg 0: join t mulaw/8000 speaker=s role=end_user (test)",
		`leg 0: note dtmf track=t "5"`,
		`leg 0: order pause "card"`,
		`leg 0: close hangup "bye"`,
	}
	for i, e := range s.Events() {
		if e.String() != want[i] {
			t.Errorf("event %d: %s; want %s", i, e, want[i])
		}
	}
}
