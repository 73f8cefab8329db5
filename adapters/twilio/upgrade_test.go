package twilio

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/patchbay/patchbay/adapters/twilio/sim"
	"github.com/patchbay/patchbay/core/adapter"
)

// wantRefused checks that the stream, opened or not, is turned away with code
// (an HTTP status or a close code), and that the host hears nothing of it.
func wantRefused(t *testing.T, b *bench, o sim.StreamOptions, code, kind string) {
	t.Helper()
	legs, before := len(b.sink.Legs()), b.env.Counts()[kind]
	s, err := sim.OpenStream(t.Context(), o)
	if err == nil {
		<-s.Ended()
		err = s.Err()
	}
	if failed, ok := errors.AsType[*sim.StreamError](err); !ok || !strings.Contains(failed.Text, code) {
		t.Errorf("the stream ended with %v; want a refusal with %s", err, code)
	}
	b.wantCount(t, kind, before+1)
	if got := len(b.sink.Legs()); got != legs {
		t.Errorf("the host has %d legs; want %d", got, legs)
	}
}

func TestUpgradeSignature(t *testing.T) {
	b := run(t, testConfig())
	o := b.streamOptions()
	s, leg := b.open(t, o)
	if p := leg.Info().Principal; p.Account != testAccount || p.Method != adapter.MethodSignature {
		t.Errorf("principal = %+v; want the signature of %s", p, testAccount)
	}
	if err := s.Stop(t.Context(), testAccount); err != nil {
		t.Error(err)
	}
	if got := leg.WaitClosed(t); got.Kind != adapter.EndHangup {
		t.Errorf("the leg ended with %+v; want hangup", got)
	}

	second := b.streamOptions() // another account on the same path
	second.Account, second.AuthToken = otherTest, otherToken
	if _, leg := b.open(t, second); leg.Info().Principal.Account != otherTest {
		t.Errorf("principal = %+v; want %s", leg.Info().Principal, otherTest)
	}

	wrong := o
	wrong.Signature = "AAAAAAAAAAAAAAAAAAAAAAAAAAA="
	wantRefused(t, b, wrong, "403", countSignature)
	unsigned := o
	unsigned.AuthToken = ""
	wantRefused(t, b, unsigned, "403", countUnsigned)
	crossed := o // signed by one account, start of another
	crossed.Account = otherTest
	wantRefused(t, b, crossed, "1008", countAccount)
	overHTTPS := o
	overHTTPS.Signature = sim.Sign(testToken, "https://voice.example.com/twilio/stream", nil)
	wantRefused(t, b, overHTTPS, "403", countSignature)
}

func TestUpgradeSignatureIfPresent(t *testing.T) {
	cfg := testConfig()
	cfg.UpgradeSignature = SignatureIfPresent
	cfg.Accounts[0].StreamSecrets = []adapter.Secret{testSecret}
	b := run(t, cfg)
	o := b.streamOptions()
	o.AuthToken, o.Parameters = "", map[string]string{paramSecret: testSecret, "campaign": "spring"}
	_, leg := b.open(t, o)
	info := leg.Info()
	if p := info.Principal; p.Account != testAccount || p.Method != adapter.MethodToken {
		t.Errorf("principal = %+v; want a token of %s", p, testAccount)
	}
	if _, ok := info.Claims[paramSecret]; ok || info.Claims["campaign"] != "spring" {
		t.Errorf("claims = %v; want the campaign without the secret", info.Claims)
	}

	none := o
	none.Parameters = nil
	wantRefused(t, b, none, "1008", countSecret)
	none.Account = otherTest // has no secrets, so nothing at all proves it
	wantRefused(t, b, none, "1008", countUnsigned)
	bad := o
	bad.Parameters = map[string]string{paramSecret: newSecret}
	wantRefused(t, b, bad, "1008", countSecret)
	stranger := o
	stranger.Account = "AC00000000000000000000000000000009"
	wantRefused(t, b, stranger, "1008", countAccount)
	wrong := o
	wrong.Signature = "AAAAAAAAAAAAAAAAAAAAAAAAAAA="
	wantRefused(t, b, wrong, "403", countSignature)
}

func TestStreamSecretsRotate(t *testing.T) {
	cfg := testConfig()
	cfg.Accounts[0].StreamSecrets = []adapter.Secret{testSecret, newSecret}
	b := run(t, cfg)
	for _, secret := range []string{testSecret, newSecret} {
		o := b.streamOptions()
		o.Parameters = map[string]string{paramSecret: secret}
		if _, leg := b.open(t, o); leg.Info().Principal.Method != adapter.MethodSignature {
			t.Errorf("principal = %+v", leg.Info().Principal)
		}
	}
	wantRefused(t, b, b.streamOptions(), "1008", countSecret) // signed, but secretless
	foreign := b.streamOptions()                              // another account's stream with this one's secret
	foreign.Account, foreign.AuthToken = otherTest, otherToken
	foreign.Parameters = map[string]string{paramSecret: testSecret}
	wantRefused(t, b, foreign, "1008", countSecret)
}

func TestInsecure(t *testing.T) {
	cfg := testConfig()
	cfg.Insecure = true
	b := run(t, cfg)
	o := b.streamOptions()
	o.AuthToken = ""
	if _, leg := b.open(t, o); leg.Info().Principal != (adapter.Principal{Method: adapter.MethodNone}) {
		t.Errorf("principal = %+v; want none", leg.Info().Principal)
	}
	wrong := o
	wrong.Signature = "AAAAAAAAAAAAAAAAAAAAAAAAAAA="
	wantRefused(t, b, wrong, "403", countSignature)

	cfg.Accounts = nil
	b = run(t, cfg)
	o = b.streamOptions()
	b.open(t, o) // a signature that nothing can check
}

func TestStartMustBeUsable(t *testing.T) {
	b := run(t, testConfig())
	o := b.streamOptions()
	o.Call = "CA123"
	wantRefused(t, b, o, "1008", countStart)
	o = b.streamOptions()
	o.SID = "MZ123"
	wantRefused(t, b, o, "1008", countStart)
	o = b.streamOptions()
	o.Account = "ACxyz"
	wantRefused(t, b, o, "1008", countStart)
}

func TestHostRefuses(t *testing.T) {
	b := run(t, testConfig())
	for reason, code := range map[adapter.RefusalReason]string{
		adapter.RefusedFull: "1013", adapter.RefusedDraining: "1013", adapter.RefusedNoRoute: "1008",
	} {
		b.sink.Refuse(&adapter.Refusal{Reason: reason, Text: "test"})
		wantRefused(t, b, b.streamOptions(), code, countHost)
	}
}

func TestTooManyStreams(t *testing.T) {
	cfg := testConfig()
	cfg.Limits.MaxStreams = 1
	b := run(t, cfg)
	s, _ := b.open(t, b.streamOptions())
	wantRefused(t, b, b.streamOptions(), "503", countFull)
	if err := s.Stop(t.Context(), testAccount); err != nil {
		t.Error(err)
	}
	for { // the place is free as soon as the adapter has seen Twilio's close
		again, err := sim.OpenStream(t.Context(), b.streamOptions())
		if err == nil {
			again.Vanish()
			return
		}
		if !strings.Contains(err.Error(), "503") {
			t.Fatal(err)
		}
	}
}

func TestNoStartInTime(t *testing.T) {
	cfg := testConfig()
	cfg.Limits.StartTimeout = adapter.Duration(100 * time.Millisecond)
	b := run(t, cfg)
	header := map[string][]string{"X-Twilio-Signature": {sim.Sign(testToken, "wss://voice.example.com/twilio/stream", nil)}}
	conn, res, err := websocket.DefaultDialer.DialContext(t.Context(), strings.Replace(b.url(), "http", "ws", 1)+"/twilio/stream", header)
	if err != nil {
		t.Fatal(err, res)
	}
	defer conn.Close()
	if _, _, err := conn.ReadMessage(); !websocket.IsCloseError(err, websocket.ClosePolicyViolation) {
		t.Errorf("the connection ended with %v; want close 1008", err)
	}
	b.wantCount(t, countTimeout, 1)
}

func TestIdleStreamIsLost(t *testing.T) {
	cfg := testConfig()
	cfg.Limits.IdleTimeout = adapter.Duration(100 * time.Millisecond)
	b := run(t, cfg)
	_, leg := b.open(t, b.streamOptions())
	if got := leg.WaitClosed(t); got.Kind != adapter.EndLost || !strings.Contains(got.Text, "idle_timeout") {
		t.Errorf("the leg ended with %+v; want lost", got)
	}
}

// TestBadInput sends what Twilio would not; each ends at most its own stream.
func TestBadInput(t *testing.T) {
	b := run(t, testConfig())
	good, goodLeg := b.open(t, b.streamOptions())
	for _, tc := range []struct {
		name string
		send func(*sim.Stream) error
		kind string
		ends adapter.EndKind // of the leg; empty when the stream goes on
	}{
		{"binary", func(s *sim.Stream) error { return s.SayRaw(websocket.BinaryMessage, []byte{1, 2}) }, countBinary, ""},
		{"garbage", func(s *sim.Stream) error { return s.SayRaw(websocket.TextMessage, []byte("\x00{")) }, countJSON, ""},
		{"oversize", func(s *sim.Stream) error {
			return s.SayRaw(websocket.TextMessage, make([]byte, DefaultMaxMessageBytes+1))
		}, countOversize, adapter.EndProtocol},
		{"nonsense without end", func(s *sim.Stream) error {
			for range maxBadMessages + 1 {
				if err := s.SayRaw(websocket.TextMessage, []byte("x")); err != nil {
					return err
				}
			}
			return nil
		}, "", adapter.EndProtocol},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, leg := b.open(t, b.streamOptions())
			before := b.env.Counts()[tc.kind]
			if err := tc.send(s); err != nil {
				t.Fatal(err)
			}
			if tc.kind != "" {
				b.wantCount(t, tc.kind, before+1)
			}
			if tc.ends != "" {
				if got := leg.WaitClosed(t); got.Kind != tc.ends {
					t.Errorf("the leg ended with %+v; want %s", got, tc.ends)
				}
				<-s.Ended()
				return
			}
			leg.WaitNote(t, adapter.NoteWarning)
			if err := s.Send(sim.Inbound, make([]byte, 160)); err != nil {
				t.Error(err)
			}
			leg.WaitFrames(t, 1)
		})
	}
	if err := good.Send(sim.Inbound, make([]byte, 160)); err != nil {
		t.Error(err)
	}
	goodLeg.WaitFrames(t, 1)
}
