package twilio

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/patchbay/patchbay/adapters/twilio/sim"
	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/adapter/adaptertest"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/media/probe"
)

// heard counts the coded blocks of a track, by stream and number.
func heard(leg *adaptertest.Leg, id media.TrackID) map[probe.Block]int {
	blocks := map[probe.Block]int{}
	var d probe.Decoder
	d.Write(media.Telephony, leg.MuLaw(id), func(b probe.Block, _ int64) { blocks[b]++ })
	return blocks
}

// TestFiftyCalls makes fifty calls at a time: every coded block of every call
// arrives once, in its call and on its track.
func TestFiftyCalls(t *testing.T) {
	b := run(t, testConfig())
	o := b.options()
	o.Calls, o.Duration, o.Speed, o.Ramp = 50, 2*time.Second, 4, 100*time.Millisecond
	report, err := sim.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	legs := map[string]*adaptertest.Leg{}
	for _, leg := range b.sink.Legs() {
		leg.WaitClosed(t)
		legs[leg.Info().CallKey] = leg
	}
	for i, call := range report.Calls {
		leg := legs[call.Call]
		if call.Error != "" || leg == nil || len(call.Tracks) != 2 {
			t.Fatalf("call %d: %+v, leg %v", i, call, leg)
		}
		for _, track := range call.Tracks {
			blocks := heard(leg, track.Track)
			if track.Frames != 100 || len(blocks) != 100 {
				t.Errorf("call %d, %s: sent %d, heard %d blocks; want 100", i, track.Track, track.Frames, len(blocks))
			}
			for n := range uint32(100) {
				if got := blocks[probe.Block{Stream: sim.CodedStream(i, track.Track), N: n}]; got != 1 {
					t.Errorf("call %d, %s: block %d was heard %d times", i, track.Track, n, got)
				}
			}
		}
	}
}

// TestLostChunk loses one chunk on purpose: the counts differ, and the position
// says where.
func TestLostChunk(t *testing.T) {
	b := run(t, testConfig())
	o := b.options()
	o.DropChunk = 4
	report, err := sim.Run(t.Context(), o)
	if err != nil || report.Calls[0].Error != "" {
		t.Fatal(report, err)
	}
	leg := b.sink.WaitLeg(t, 0)
	leg.WaitClosed(t)
	var heard, gap int64 // gap: where audio is missing
	for _, f := range leg.Segments(sim.Inbound)[0].Frames {
		if f.Pos != heard && gap == 0 {
			gap = heard
			heard += 160
		}
		if f.Pos != heard {
			t.Errorf("a frame has position %d; want %d", f.Pos, heard)
		}
		heard += int64(len(f.Payload))
	}
	if sent := report.Calls[0].Tracks[0].Frames; sent != 10 || heard != 10*160 || gap != 3*160 {
		t.Errorf("sent %d frames, heard to %d, a gap at %d; want 10, 1600 and 480", sent, heard, gap)
	}
	b.wantCount(t, countSequence, 1)
}

func TestAbruptEndIsLost(t *testing.T) {
	b := run(t, testConfig())
	o := b.options()
	o.Abrupt = true
	if report, err := sim.Run(t.Context(), o); err != nil || report.Calls[0].Error != "" {
		t.Fatal(report, err)
	}
	if got := b.sink.WaitLeg(t, 0).WaitClosed(t); got.Kind != adapter.EndLost {
		t.Errorf("the leg ended with %+v; want lost", got)
	}
}

// TestSameStreamAgain is what look-alikes do after a lost connection: the new one
// takes over, even before the old one is known to be gone.
func TestSameStreamAgain(t *testing.T) {
	b := run(t, testConfig())
	o := b.streamOptions()
	o.SID = sim.SID("MZ")
	old, oldLeg := b.open(t, o)
	again, leg := b.open(t, o)
	if got := oldLeg.WaitClosed(t); got.Kind != adapter.EndOrdered {
		t.Errorf("the old leg ended with %+v", got)
	}
	<-old.Ended()
	if err := again.Send(sim.Inbound, make([]byte, 160)); err != nil {
		t.Fatal(err)
	}
	leg.WaitFrames(t, 1)
}

// TestConference joins one inbound stream for each participant into one call.
func TestConference(t *testing.T) {
	b := run(t, testConfig())
	for i, role := range []string{"customer", "agent", "agent"} {
		o := b.streamOptions()
		o.Tracks = []media.TrackID{sim.Inbound}
		o.Parameters = map[string]string{paramCallKey: "CF1", paramParticipant: fmt.Sprintf("p%d", i), paramRoleInbound: role, paramConversation: "CA-customer"}
		s, leg := b.open(t, o)
		if err := s.Send(sim.Inbound, make([]byte, 160)); err != nil {
			t.Fatal(err)
		}
		leg.WaitFrames(t, 1)
		if speaker := leg.Segments(sim.Inbound)[0].Track.Speaker; speaker.ID != fmt.Sprintf("p%d", i) {
			t.Errorf("speaker = %+v", speaker)
		}
		if leg.Info().Conversation != "CA-customer" {
			t.Errorf("info = %+v", leg.Info())
		}
	}
	if calls := b.sink.Calls(); len(calls) != 1 || len(b.sink.Legs()) != 3 {
		t.Errorf("%d calls with %d legs; want 1 with 3", len(calls), len(b.sink.Legs()))
	}
}

func TestSpeakers(t *testing.T) {
	for _, tc := range []struct {
		name, setting string
		params        map[string]string
		in, out       string
		warnings      int
	}{
		{"default", "", nil, "customer end_user assumed", "agent human_agent assumed", 0},
		{"setting", InboundAgent, nil, "agent human_agent", "customer end_user", 0},
		{"setting that says the default", InboundCustomer, nil, "customer end_user", "agent human_agent", 0},
		{"parameter", InboundCustomer, map[string]string{"role_inbound": "Agent"}, "agent human_agent", "customer end_user", 0},
		{"unknown role", "", map[string]string{"role_inbound": "boss"}, "customer end_user assumed", "agent human_agent assumed", 1},
		{"both parameters", "", map[string]string{"role_inbound": "agent", "role_outbound": "other"}, "agent human_agent", "other other", 0},
		{"participant", "", map[string]string{"participant": "bob", "role_inbound": "agent"}, "bob human_agent", "bob hears other assumed", 0},
		{"conference without a name", "", map[string]string{"call_key": "CF1"}, "CA1 end_user assumed", "CA1 hears other assumed", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var g guest
			a := &Adapter{cfg: Config{Inbound: tc.setting}}
			got := a.speakers(&g, tc.params, "CA1")
			show := func(s adapter.Speaker) string {
				if s.Evidence == "" {
					t.Errorf("speaker %+v has no evidence", s)
				}
				if s.Assumed {
					return s.ID + " " + string(s.Role) + " assumed"
				}
				return s.ID + " " + string(s.Role)
			}
			if in, out := show(got[trackInbound]), show(got[trackOutbound]); in != tc.in || out != tc.out || len(g.warnings) != tc.warnings {
				t.Errorf("speakers = %s, %s, %d warnings; want %s, %s, %d", in, out, len(g.warnings), tc.in, tc.out, tc.warnings)
			}
		})
	}
}

// TestKeysAreChecked checks what parameters may make of a call's identity.
func TestKeysAreChecked(t *testing.T) {
	for _, tc := range []struct {
		name, key, conversation   string
		wantKey, wantConversation string
		warnings                  int
	}{
		{"none", "", "", "CA1", "CA1", 0},
		{"key", "CF12", "", "CF12", "CF12", 0},
		{"key that is no conversation id", "7", "", "7", "CA1", 0},
		{"both", "CF12", "task-9", "CF12", "task-9", 0},
		{"bad key", "a b", "", "CA1", "CA1", 1},
		{"bad conversation", "", "9x", "CA1", "CA1", 1},
		{"endless key", strings.Repeat("k", 200), "", "CA1", "CA1", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			params := map[string]string{}
			if tc.key != "" {
				params[paramCallKey] = tc.key
			}
			if tc.conversation != "" {
				params[paramConversation] = tc.conversation
			}
			var g guest
			g.describe(params, adapter.Principal{}, "CA1", ticket{})
			if g.info.CallKey != tc.wantKey || g.info.Conversation != tc.wantConversation || len(g.warnings) != tc.warnings {
				t.Errorf("describe = %+v, %q; want key %s, conversation %s, %d warnings", g.info, g.warnings, tc.wantKey, tc.wantConversation, tc.warnings)
			}
		})
	}
}

// syncBuffer collects log lines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// TestLogsKeepSecrets looks for what must not be in the log of a whole call and of
// refusals.
func TestLogsKeepSecrets(t *testing.T) {
	var log syncBuffer
	cfg := testConfig()
	cfg.Accounts[0].StreamSecrets = []adapter.Secret{testSecret}
	b := run(t, cfg, func(e *adapter.Env) {
		e.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	o := b.streamOptions()
	o.Parameters = map[string]string{paramSecret: newSecret, "from": "+15550177777", "to": "+15550188888"}
	wantRefused(t, b, o, "1008", countSecret)
	o.Parameters[paramSecret] = testSecret
	s, leg := b.open(t, o)
	if err := s.Stop(t.Context(), testAccount); err != nil {
		t.Error(err)
	}
	leg.WaitClosed(t)
	o.AuthToken = ""
	wantRefused(t, b, o, "403", countUnsigned)
	b.stop()
	text := log.String()
	for _, secret := range []string{testSecret, newSecret, testToken, "5550177777", "5550188888"} {
		if strings.Contains(text, secret) {
			t.Errorf("the log shows %s:\n%s", secret, text)
		}
	}
	for _, want := range []string{"stream opened", "stream ended", "upgrade_signature", "refused_secret"} {
		if !strings.Contains(text, want) {
			t.Errorf("the log lacks %q:\n%s", want, text)
		}
	}
}
