package five9

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	voicepb "github.com/patchbay/patchbay/adapters/five9/proto/five9/voicestream"
	"github.com/patchbay/patchbay/adapters/five9/sim"
	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/adapter/adaptertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testDomain  = "131096"
	otherDomain = "131097"
	testToken   = "a-trust-token-of-the-first-domain"
	newToken    = "a-newer-token-of-the-first-domain"
	otherToken  = "a-trust-token-of-the-other-domain"
	testKey     = "api-key-of-the-first-domain"
)

func testConfig() Config {
	cfg := DefaultConfig()
	cfg.ConversationID = "five9-{domain}-{call}"
	cfg.Subscriptions = []Subscription{
		{Name: "main", Domain: testDomain, TrustTokens: []adapter.Secret{testToken, newToken}, APIKeys: []adapter.Secret{testKey}},
		{Name: "other", Domain: otherDomain, ID: "sub-7", TrustTokens: []adapter.Secret{otherToken}},
	}
	return cfg
}

// bench is an adapter that runs on a loopback port with a fake host.
type bench struct {
	*Adapter
	env  *adaptertest.Env
	sink *adaptertest.Sink
	conn *grpc.ClientConn
	stop func() // ends Run and waits for it

	counted chan struct{} // something was counted since the last look
}

func run(t *testing.T, cfg Config, change ...func(*adapter.Env)) *bench {
	t.Helper()
	a, err := New(cfg)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	b := &bench{Adapter: a, env: adaptertest.NewEnv(t, listenerGRPC), sink: adaptertest.NewSink(), counted: make(chan struct{}, 1)}
	env := b.env.Env
	env.Count = func(kind string) {
		b.env.Count(kind)
		select {
		case b.counted <- struct{}{}:
		default:
		}
	}
	for _, f := range change {
		f(&env)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx, env, b.sink) }()
	stopped := false
	b.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run = %v; want nil", err)
			}
		case <-time.After(adaptertest.Patience):
			t.Error("Run did not return")
		}
	}
	if b.conn, err = sim.Dial(b.addr(), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.stop()
		if err := b.conn.Close(); err != nil {
			t.Error(err)
		}
		b.sink.Check(t)
	})
	return b
}

// addr is where the adapter listens.
func (b *bench) addr() string { return b.env.Addr(listenerGRPC) }

// config is that of the customer's leg of a call.
func config(change ...func(*voicepb.StreamingConfig)) *voicepb.StreamingConfig {
	c := &voicepb.StreamingConfig{
		VoiceConfig: &voicepb.VoiceConfig{Encoding: voicepb.VoiceConfig_LINEAR16, SampleRateHertz: 8000},
		VccCallId:   "300000000012", DomainId: testDomain, CampaignId: "2001", AgentId: "4001", SkillId: "3001",
		CallLeg: sim.Customer, TrustToken: testToken, SubscriptionId: "sub-1",
	}
	for _, f := range change {
		f(c)
	}
	return c
}

// open opens a stream and waits for its leg.
func (b *bench) open(t *testing.T, c *voicepb.StreamingConfig) (*sim.Stream, *adaptertest.Leg) {
	t.Helper()
	n := len(b.sink.Legs())
	s, err := sim.OpenStream(t.Context(), b.conn, sim.StreamOptions{Config: c})
	if err != nil {
		t.Fatalf("OpenStream: %v", err)
	}
	t.Cleanup(s.Vanish)
	return s, b.sink.WaitLeg(t, n)
}

// wantCount waits until a kind was counted n times.
func (b *bench) wantCount(t *testing.T, kind string, n int) {
	t.Helper()
	timeout := time.NewTimer(adaptertest.Patience)
	defer timeout.Stop()
	for b.env.Counts()[kind] < n {
		select {
		case <-b.counted:
		case <-timeout.C:
			t.Fatalf("waited for %d of %s; so far: %v", n, kind, b.env.Counts())
		}
	}
	if got := b.env.Counts()[kind]; got != n {
		t.Errorf("count of %s = %d; want %d (all: %v)", kind, got, n, b.env.Counts())
	}
}

// wantEnd waits for the server's end of a stream and returns how it was.
func wantEnd(t *testing.T, s *sim.Stream) *sim.StreamError {
	t.Helper()
	select {
	case <-s.Ended():
	case <-time.After(adaptertest.Patience):
		t.Fatal("the server does not end the stream")
	}
	e, ok := errors.AsType[*sim.StreamError](s.Err())
	if !ok {
		t.Fatalf("the stream ended with %v; want the server's words", s.Err())
	}
	return e
}
