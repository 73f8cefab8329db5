package twilio

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/patchbay/patchbay/adapters/twilio/sim"
	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/adapter/adaptertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testAccount = "AC00000000000000000000000000000001"
	otherTest   = "AC00000000000000000000000000000002"
	testToken   = "0123456789abcdef0123456789abcdef"
	otherToken  = "fedcba9876543210fedcba9876543210"
	testSecret  = "a-secret-of-the-first-kind"
	newSecret   = "a-secret-of-the-second-kind"
	testPublic  = "https://voice.example.com/twilio"
)

func testConfig() Config {
	cfg := DefaultConfig()
	cfg.PublicURL = testPublic
	cfg.Accounts = []Account{
		{SID: testAccount, AuthToken: testToken},
		{SID: otherTest, AuthToken: otherToken},
	}
	return cfg
}

// bench is an adapter that runs on a loopback port with a fake host.
type bench struct {
	*Adapter
	env  *adaptertest.Env
	sink *adaptertest.Sink
	stop func() // ends Run and waits for it

	counted chan struct{} // something was counted since the last look
}

func run(t *testing.T, cfg Config, change ...func(*adapter.Env)) *bench {
	t.Helper()
	a, err := New(cfg)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	b := &bench{Adapter: a, env: adaptertest.NewEnv(t, listenerHTTP), sink: adaptertest.NewSink(), counted: make(chan struct{}, 1)}
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
	t.Cleanup(func() {
		b.stop()
		b.sink.Check(t)
	})
	return b
}

// url is where the adapter really listens.
func (b *bench) url() string { return "http://" + b.env.Addr(listenerHTTP) }

// options are those of a customer's own stream, signed.
func (b *bench) options() sim.Options {
	return sim.Options{
		Stream: "wss://voice.example.com/twilio/stream", Connect: b.url(),
		Account: testAccount, AuthToken: testToken,
		Duration: 200 * time.Millisecond, Speed: 10,
	}
}

// streamOptions are those of one stream.
func (b *bench) streamOptions() sim.StreamOptions {
	return sim.StreamOptions{
		URL: "wss://voice.example.com/twilio/stream", Connect: b.url(),
		Account: testAccount, AuthToken: testToken, Call: sim.SID("CA"),
		Tracks: both,
	}
}

// open opens a stream and waits for its leg.
func (b *bench) open(t *testing.T, o sim.StreamOptions) (*sim.Stream, *adaptertest.Leg) {
	t.Helper()
	n := len(b.sink.Legs())
	s, err := sim.OpenStream(t.Context(), o)
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

// takeAlone takes a message that came alone, so that its audio is handed on at once.
func (s *stream) takeAlone(ctx context.Context, b []byte, at time.Time) error {
	if err := s.take(ctx, b, at); err != nil {
		return err
	}
	return s.handOn(at)
}
