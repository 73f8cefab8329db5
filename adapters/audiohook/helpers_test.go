package audiohook

import (
	"context"
	"encoding/base64"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/patchbay/patchbay/adapters/audiohook/sim"
	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/adapter/adaptertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The first organization has the credentials of Genesys' published example; none of
// them is a secret.
const (
	testOrganization  = "d7934305-0972-4844-938e-9060eef73d05"
	otherOrganization = "1f2a3b4c-0972-4844-938e-9060eef73d06"
	testKey           = "SGVsbG8sIEkgYW0gdGhlIEFQSSBrZXkh"
	testSecret        = "TXlTdXBlclNlY3JldEtleVRlbGxOby0xITJAMyM0JDU="
	newKey            = "another-api-key-of-the-first"
	newSecret         = "YW5vdGhlci1zZWNyZXQtb2YtdGhlLWZpcnN0LW9yZw=="
	otherKey          = "the-api-key-of-the-other-organization"
	otherSecret       = "dGhlLXNlY3JldC1vZi10aGUtb3RoZXItb3JnYW5pemF0aW9u"
	loneKey           = "a-key-that-goes-without-a-signature"
	testURL           = "wss://audiohook.example.com/audiohook"
)

func testConfig() Config {
	cfg := DefaultConfig()
	cfg.Accounts = []Account{
		{Organization: testOrganization, Keys: []Key{{APIKey: testKey, ClientSecret: testSecret}, {APIKey: newKey, ClientSecret: newSecret}}},
		{Organization: otherOrganization, Keys: []Key{{APIKey: otherKey, ClientSecret: otherSecret}}},
	}
	cfg.Limits.RefusalDelay = adapter.Duration(10 * time.Millisecond)
	cfg.Limits.HandshakeTimeout = adapter.Duration(adaptertest.Patience) // a busy machine fails no test
	cfg.Limits.OpenTimeout = adapter.Duration(adaptertest.Patience)
	return cfg
}

func secretBytes(tb testing.TB, s string) []byte {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		tb.Fatal(err)
	}
	return b
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

// options are those of a signed session of the first organization.
func (b *bench) options(t *testing.T) sim.SessionOptions {
	return sim.SessionOptions{
		URL: testURL, Connect: b.url(), Organization: testOrganization, APIKey: testKey, ClientSecret: secretBytes(t, testSecret),
		From: "tel:+15550100001", To: "tel:+15550100002", Language: "en-us",
		OpenTimeout: adaptertest.Patience, CloseTimeout: adaptertest.Patience, PingInterval: adaptertest.Patience,
	}
}

// open opens a session and waits for its leg.
func (b *bench) open(t *testing.T, o sim.SessionOptions) (*sim.Session, *adaptertest.Leg) {
	t.Helper()
	n := len(b.sink.Legs())
	s, err := sim.Open(t.Context(), o)
	if err != nil {
		t.Fatalf("Open: %v", err)
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
