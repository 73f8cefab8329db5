package five9

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"

	voicepb "github.com/patchbay/patchbay/adapters/five9/proto/five9/voicestream"
	"github.com/patchbay/patchbay/adapters/five9/sim"
	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/adapter/adaptertest"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/media/probe"
)

// speech is n blocks of coded audio as LINEAR16, and the same as mu-law.
func speech(n int) (linear, muLaw []byte) {
	for i := range n {
		muLaw = probe.AppendBlock(muLaw, 7, uint32(i))
	}
	return media.AppendEncoded(nil, media.Linear16, media.AppendLinear(nil, media.MuLaw, muLaw)), muLaw
}

func send(t *testing.T, s *sim.Stream, payload []byte) {
	t.Helper()
	if _, err := s.Send(payload); err != nil {
		t.Fatalf("Send: %v", err)
	}
}

func say(t *testing.T, s *sim.Stream, code voicepb.StreamingStatus_StatusCode) {
	t.Helper()
	if err := s.Status(code); err != nil {
		t.Fatalf("Status: %v", err)
	}
}

// TestDeclined is what Five9 is told before a leg exists.
func TestDeclined(t *testing.T) {
	refusal := func(r adapter.RefusalReason) func(*bench) {
		return func(b *bench) { b.sink.Refuse(&adapter.Refusal{Reason: r, Text: "a test"}) }
	}
	change := func(f func(*voicepb.StreamingConfig)) *voicepb.StreamingConfig { return config(f) }
	for _, c := range []struct {
		name   string
		host   func(*bench)
		config *voicepb.StreamingConfig
		say    voicepb.StreamingStatus_StatusCode
		code   codes.Code
		count  string
	}{
		{"the host is full", refusal(adapter.RefusedFull), config(), noResource, codes.ResourceExhausted, countHost},
		{"the host is leaving", refusal(adapter.RefusedDraining), config(), comeAgain, codes.Unavailable, countHost},
		{"the host is gone", refusal(adapter.RefusedGone), config(), comeAgain, codes.Unavailable, countHost},
		{"no rule wants the call", refusal(adapter.RefusedNoRoute), config(), serverError, codes.FailedPrecondition, countHost},
		{"no call id", nil, change(func(c *voicepb.StreamingConfig) { c.VccCallId = "" }), serverError, codes.InvalidArgument, countConfig},
		{"a call id with a line break", nil, change(func(c *voicepb.StreamingConfig) { c.VccCallId = "1\n2" }), serverError, codes.InvalidArgument, countConfig},
		{"a call id that is too long", nil, change(func(c *voicepb.StreamingConfig) { c.VccCallId = strings.Repeat("1", 129) }), serverError, codes.InvalidArgument, countConfig},
		{"AMR", nil, change(func(c *voicepb.StreamingConfig) { c.VoiceConfig.Encoding = voicepb.VoiceConfig_AMR }), serverError, codes.InvalidArgument, countFormat},
		{"AMR-WB", nil, change(func(c *voicepb.StreamingConfig) { c.VoiceConfig.Encoding = voicepb.VoiceConfig_AMR_WB }), serverError, codes.InvalidArgument, countFormat},
		{"an encoding of the future", nil, change(func(c *voicepb.StreamingConfig) { c.VoiceConfig.Encoding = 9 }), serverError, codes.InvalidArgument, countFormat},
		{"a rate that no speech has", nil, change(func(c *voicepb.StreamingConfig) { c.VoiceConfig.SampleRateHertz = 96000 }), serverError, codes.InvalidArgument, countFormat},
		{"a negative rate", nil, change(func(c *voicepb.StreamingConfig) { c.VoiceConfig.SampleRateHertz = -8000 }), serverError, codes.InvalidArgument, countFormat},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := run(t, testConfig())
			if c.host != nil {
				c.host(b)
			}
			_, err := sim.OpenStream(t.Context(), b.conn, sim.StreamOptions{Config: c.config})
			e, ok := errors.AsType[*sim.StreamError](err)
			if !ok || e.Status != c.say || e.Code != c.code || e.Text == "" {
				t.Errorf("the stream was told %v; want %v, %v and words", err, c.say, c.code)
			}
			b.wantCount(t, c.count, 1)
			if n := len(b.sink.Legs()); n != 0 {
				t.Errorf("the host has %d legs; want none", n)
			}
		})
	}
}

// TestNoConfig is a stream that begins with something else, or with nothing.
func TestNoConfig(t *testing.T) {
	t.Run("audio first", func(t *testing.T) {
		b := run(t, testConfig())
		s, err := sim.OpenStream(t.Context(), b.conn, sim.StreamOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Vanish()
		send(t, s, make([]byte, 320))
		if e := wantEnd(t, s); e.Status != serverError || e.Code != codes.InvalidArgument {
			t.Errorf("the stream was told %v", e)
		}
		b.wantCount(t, countConfig, 1)
	})
	t.Run("nothing", func(t *testing.T) {
		cfg := testConfig()
		cfg.Limits.ConfigTimeout = adapter.Duration(100 * time.Millisecond)
		b := run(t, cfg)
		s, err := sim.OpenStream(t.Context(), b.conn, sim.StreamOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Vanish()
		if e := wantEnd(t, s); e.Status != tooLate || e.Code != codes.DeadlineExceeded {
			t.Errorf("the stream was told %v", e)
		}
		b.wantCount(t, countNoConfig, 1)
	})
}

// TestEnds is how streams end, and what both sides learn of it.
func TestEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*testing.T, *bench, *sim.Stream, *adaptertest.Leg)
		want adapter.EndKind
		say  voicepb.StreamingStatus_StatusCode // success: nothing is said
		code codes.Code
	}{
		{"the call ends", func(t *testing.T, _ *bench, s *sim.Stream, _ *adaptertest.Leg) { say(t, s, callEnded) }, adapter.EndHangup, hangUpPlease, codes.OK},
		{"the client disconnects", func(t *testing.T, _ *bench, s *sim.Stream, _ *adaptertest.Leg) { say(t, s, disconnect) }, adapter.EndHangup, hangUpPlease, codes.OK},
		{"it disconnects with 2001", func(t *testing.T, _ *bench, s *sim.Stream, _ *adaptertest.Leg) { say(t, s, 2001) }, adapter.EndHangup, hangUpPlease, codes.OK},
		{"the host ends the leg", func(_ *testing.T, _ *bench, _ *sim.Stream, l *adaptertest.Leg) {
			l.Order(adapter.Control{Kind: adapter.ControlEnd, Reason: "a test"})
		}, adapter.EndOrdered, hangUpPlease, codes.OK},
		{"the host leaves", func(_ *testing.T, _ *bench, _ *sim.Stream, l *adaptertest.Leg) {
			l.Order(adapter.Control{Kind: adapter.ControlEnd, Reason: "a test", Reconnect: true})
		}, adapter.EndOrdered, comeAgain, codes.OK},
		{"the adapter stops", func(_ *testing.T, b *bench, _ *sim.Stream, _ *adaptertest.Leg) { b.stop() }, adapter.EndShutdown, comeAgain, codes.OK},
		{"a message is too long", func(t *testing.T, _ *bench, s *sim.Stream, _ *adaptertest.Leg) { send(t, s, make([]byte, 4<<20)) }, adapter.EndProtocol, success, codes.ResourceExhausted},
		{"nonsense, again and again", func(_ *testing.T, _ *bench, s *sim.Stream, _ *adaptertest.Leg) {
			again := &voicepb.StreamingVoiceRequest{StreamingRequest: &voicepb.StreamingVoiceRequest_StreamingConfig{StreamingConfig: config()}}
			for range maxBadMessages + 1 {
				_ = s.Raw(again) // until the stream has ended
			}
		}, adapter.EndProtocol, serverError, codes.InvalidArgument},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := run(t, testConfig())
			s, l := b.open(t, config())
			c.do(t, b, s, l)
			if got := l.WaitClosed(t); got.Kind != c.want || got.Text == "" {
				t.Errorf("the leg ended with %q (%s); want %q", got.Kind, got.Text, c.want)
			}
			if e := wantEnd(t, s); e.Status != c.say || e.Code != c.code {
				t.Errorf("the stream was told %v; want %v, %v", e, c.say, c.code)
			}
		})
	}
}

func TestHalfCloseIsAGoodbye(t *testing.T) {
	b := run(t, testConfig())
	s, l := b.open(t, config())
	if err := s.Hangup(t.Context(), success); err != nil {
		t.Errorf("Hangup: %v", err)
	}
	if got := l.WaitClosed(t); got.Kind != adapter.EndHangup {
		t.Errorf("the leg ended with %q; want %q", got.Kind, adapter.EndHangup)
	}
}

func TestIdleStreamIsLost(t *testing.T) {
	cfg := testConfig()
	cfg.Limits.IdleTimeout = adapter.Duration(100 * time.Millisecond)
	b := run(t, cfg)
	s, l := b.open(t, config())
	if got := l.WaitClosed(t); got.Kind != adapter.EndLost {
		t.Errorf("the leg ended with %q; want %q", got.Kind, adapter.EndLost)
	}
	if e := wantEnd(t, s); e.Status != tooLate || e.Code != codes.DeadlineExceeded {
		t.Errorf("the stream was told %v", e)
	}
}

// TestPause is the only way to slow Five9 down.
func TestPause(t *testing.T) {
	b := run(t, testConfig())
	s, l := b.open(t, config())
	linear, muLaw := speech(4)
	l.Order(adapter.Control{Kind: adapter.ControlPause, Reason: "card data"})
	l.Order(adapter.Control{Kind: adapter.ControlResume, Reason: "it is over"})
	l.Order(adapter.Control{Kind: "of the future"})
	send(t, s, linear) // it may be on its way while the pause is
	for sent := false; !sent; {
		var err error
		if sent, err = s.Send(linear); err != nil {
			t.Fatal(err)
		}
	}
	say(t, s, callEnded)
	wantEnd(t, s)
	want := []voicepb.StreamingStatus_StatusCode{start, pause, start, hangUpPlease}
	if got := s.Codes(); !slices.Equal(got, want) {
		t.Errorf("the client was told %v; want %v", got, want)
	}
	if got := l.MuLaw("customer"); !bytes.HasSuffix(got, muLaw) {
		t.Errorf("the audio after the pause is missing: %d samples", len(got))
	}
}

// TestHastyClient sends without leave, faster than real time, in odd pieces, without
// times, half-closes and is gone: every sample is heard.
func TestHastyClient(t *testing.T) {
	b := run(t, testConfig())
	s, err := sim.OpenStream(t.Context(), b.conn, sim.StreamOptions{Config: config(), Hasty: true, Untimed: true})
	if err != nil {
		t.Fatal(err)
	}
	linear, muLaw := speech(500)
	for rest, n := linear, 1; len(rest) > 0; n = n*7%1601 + 1 {
		n = min(n, len(rest))
		send(t, s, rest[:n])
		rest = rest[n:]
	}
	if err := s.Hangup(t.Context(), success); err != nil {
		t.Fatal(err)
	}
	l := b.sink.WaitLeg(t, 0)
	l.WaitClosed(t)
	if !bytes.Equal(l.MuLaw("customer"), muLaw) {
		t.Errorf("%d samples were heard; want the %d that were sent", l.Samples("customer"), len(muLaw))
	}
	if got := s.Codes(); len(got) != 1 || got[0] != start {
		t.Errorf("the client was told %v; want %v once", got, start)
	}
}

// TestFormats is the audio that Five9 may send one day.
func TestFormats(t *testing.T) {
	for _, c := range []struct {
		name string
		v    *voicepb.VoiceConfig
		want string
		warn bool
	}{
		{"today's", &voicepb.VoiceConfig{Encoding: voicepb.VoiceConfig_LINEAR16, SampleRateHertz: 8000}, "linear16/8000", false},
		{"16 kHz", &voicepb.VoiceConfig{Encoding: voicepb.VoiceConfig_LINEAR16, SampleRateHertz: 16000}, "linear16/16000", false},
		{"24 kHz", &voicepb.VoiceConfig{Encoding: voicepb.VoiceConfig_LINEAR16, SampleRateHertz: 24000}, "linear16/24000", false},
		{"mu-law", &voicepb.VoiceConfig{Encoding: voicepb.VoiceConfig_MULAW, SampleRateHertz: 8000}, "mulaw/8000", false},
		{"no encoding", &voicepb.VoiceConfig{SampleRateHertz: 8000}, "linear16/8000", true},
		{"no rate", &voicepb.VoiceConfig{Encoding: voicepb.VoiceConfig_MULAW}, "mulaw/8000", true},
		{"nothing at all", nil, "linear16/8000", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := run(t, testConfig())
			s, l := b.open(t, config(func(m *voicepb.StreamingConfig) { m.VoiceConfig = c.v }))
			send(t, s, make([]byte, 320))
			l.WaitFrames(t, 1)
			if got := l.Segments("customer")[0].Track.Format.String(); got != c.want {
				t.Errorf("the format is %s; want %s", got, c.want)
			}
			if warned := len(l.Notes()) > 0; warned != c.warn {
				t.Errorf("notes %v; want a warning: %v", l.Notes(), c.warn)
			}
		})
	}
}

// TestVoices is who speaks on which leg.
func TestVoices(t *testing.T) {
	for _, c := range []struct {
		leg   voicepb.StreamingConfig_CallLeg
		agent string
		track media.TrackID
		want  adapter.Speaker
	}{
		{sim.Customer, "4001", "customer", adapter.Speaker{ID: "customer", Role: adapter.RoleEndUser, Evidence: "call_leg CUSTOMER"}},
		{sim.Agent, "4001", "agent", adapter.Speaker{ID: "agent 4001", Role: adapter.RoleHumanAgent, Evidence: "call_leg AGENT"}},
		{sim.Agent, "", "agent", adapter.Speaker{ID: "agent", Role: adapter.RoleHumanAgent, Evidence: "call_leg AGENT"}},
		{sim.Supervisor, "", "supervisor", adapter.Speaker{ID: "supervisor", Role: adapter.RoleOther, Evidence: "call_leg SUPERVISOR"}},
		{7, "", "leg-7", adapter.Speaker{ID: "leg-7", Role: adapter.RoleOther, Evidence: "call_leg 7, which is unknown"}},
	} {
		t.Run(fmt.Sprint(c.track, c.agent), func(t *testing.T) {
			b := run(t, testConfig())
			s, l := b.open(t, config(func(m *voicepb.StreamingConfig) { m.CallLeg, m.AgentId = c.leg, c.agent }))
			send(t, s, make([]byte, 320))
			l.WaitFrames(t, 1)
			if got := l.Segments(c.track); len(got) != 1 || got[0].Track.Speaker != c.want {
				t.Errorf("track %s has %+v; want %+v", c.track, got, c.want)
			}
		})
	}
}

// TestTooMany keeps strangers from taking all the room, and says so to the rest.
func TestTooMany(t *testing.T) {
	cfg := testConfig()
	cfg.Limits.MaxStreams = 2
	b := run(t, cfg)
	b.open(t, config())
	b.open(t, config(func(c *voicepb.StreamingConfig) { c.CallLeg = sim.Agent }))
	_, err := sim.OpenStream(t.Context(), b.conn, sim.StreamOptions{Config: config()})
	if e, ok := errors.AsType[*sim.StreamError](err); !ok || e.Status != noResource || e.Code != codes.ResourceExhausted {
		t.Errorf("the third stream was told %v", err)
	}
	b.wantCount(t, countFull, 1)
}

// TestStrangersLeaveRoom opens more streams that prove nothing than are let in.
func TestStrangersLeaveRoom(t *testing.T) {
	b := run(t, testConfig())
	var first []*sim.Stream
	for range maxUnproved {
		s, err := sim.OpenStream(t.Context(), b.conn, sim.StreamOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Vanish()
		first = append(first, s)
	}
	// The one that is too many is told so; which one it is, the network decides.
	late, err := sim.OpenStream(t.Context(), b.conn, sim.StreamOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer late.Vanish()
	b.wantCount(t, countFull, 1)
	for _, s := range first {
		s.Vanish()
	}
	for { // their places come back one after the other
		s, err := sim.OpenStream(t.Context(), b.conn, sim.StreamOptions{Config: config()})
		if err == nil {
			s.Vanish()
			return
		}
		if e, ok := errors.AsType[*sim.StreamError](err); !ok || e.Status != noResource {
			t.Fatal(err)
		}
	}
}

// TestClientThatNeverReads neither takes our words nor keeps us from hearing it.
func TestClientThatNeverReads(t *testing.T) {
	b := run(t, testConfig())
	conn, err := grpc.NewClient("passthrough:///"+b.addr(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithInitialWindowSize(64<<10))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	rpc, err := voicepb.NewVoiceClient(conn).StreamingVoice(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := rpc.Send(&voicepb.StreamingVoiceRequest{StreamingRequest: &voicepb.StreamingVoiceRequest_StreamingConfig{StreamingConfig: config()}}); err != nil {
		t.Fatal(err)
	}
	l := b.sink.WaitLeg(t, 0)
	linear, muLaw := speech(100)
	for i := 0; i < len(linear); i += 320 {
		if i < 16*320 { // more might not find their way while the machine is busy
			l.Order(adapter.Control{Kind: adapter.ControlPause, Reason: strings.Repeat("x", 1000)})
		}
		if err := rpc.Send(&voicepb.StreamingVoiceRequest{StreamingRequest: &voicepb.StreamingVoiceRequest_AudioContent{AudioContent: linear[i : i+320]}}); err != nil {
			t.Fatal(err)
		}
		l.WaitFrames(t, i/320+1)
	}
	if err := rpc.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if got := l.WaitClosed(t); got.Kind != adapter.EndHangup || !bytes.Equal(l.MuLaw("customer"), muLaw) {
		t.Errorf("the leg ended with %q after %d samples", got.Kind, l.Samples("customer"))
	}
}
