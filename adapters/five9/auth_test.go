package five9

import (
	"errors"
	"testing"

	"google.golang.org/grpc/codes"

	voicepb "github.com/patchbay/patchbay/adapters/five9/proto/five9/voicestream"
	"github.com/patchbay/patchbay/adapters/five9/sim"
	"github.com/patchbay/patchbay/core/adapter"
)

// TestTrust is the matrix of trust tokens: where they are, whose, and for what.
func TestTrust(t *testing.T) {
	insecure := func(c *Config) { c.Insecure = true }
	for _, c := range []struct {
		name         string
		cfg          func(*Config)
		field        string // in the config
		header       string // in the metadata
		domain, sub  string
		want         codes.Code
		count        string
		account, key string
	}{
		{name: "in the config", field: testToken, domain: testDomain, account: testDomain, key: "131096:7"},
		{name: "in the metadata", header: testToken, domain: testDomain, account: testDomain, key: "131096:7"},
		{name: "in both", field: testToken, header: testToken, domain: testDomain, account: testDomain, key: "131096:7"},
		{name: "the newer one", field: newToken, domain: testDomain, account: testDomain, key: "131096:7"},
		{name: "no domain is named", field: testToken, account: testDomain, key: "131096:7"},
		{name: "the other domain's", field: otherToken, domain: otherDomain, sub: "sub-7", account: otherDomain, key: "131097:7"},
		{name: "none", domain: testDomain, want: codes.Unauthenticated, count: countToken},
		{name: "wrong", field: "a-trust-token-of-nobody-at-all", domain: testDomain, want: codes.Unauthenticated, count: countToken},
		{name: "shorter", field: testToken[:len(testToken)-1], domain: testDomain, want: codes.Unauthenticated, count: countToken},
		{name: "longer", field: testToken + "x", domain: testDomain, want: codes.Unauthenticated, count: countToken},
		{name: "right in the config, wrong in the metadata", field: testToken, header: "wrong", domain: testDomain, want: codes.Unauthenticated, count: countToken},
		{name: "wrong in the config, right in the metadata", field: "wrong", header: testToken, domain: testDomain, want: codes.Unauthenticated, count: countToken},
		{name: "both right, of two domains", field: testToken, header: otherToken, domain: testDomain, want: codes.Unauthenticated, count: countToken},
		{name: "of another domain than the config names", field: testToken, domain: otherDomain, sub: "sub-7", want: codes.Unauthenticated, count: countToken},
		{name: "of another subscription", field: otherToken, domain: otherDomain, sub: "sub-8", want: codes.PermissionDenied, count: countSubscribed},
		{name: "none, and insecure", cfg: insecure, domain: testDomain, key: "131096:7"},
		{name: "none, no domain, and insecure", cfg: insecure, key: "-:7"},
		{name: "wrong, though insecure", cfg: insecure, field: "wrong", domain: testDomain, want: codes.Unauthenticated, count: countToken},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := testConfig()
			if c.cfg != nil {
				c.cfg(&cfg)
			}
			b := run(t, cfg)
			o := sim.StreamOptions{Config: config(func(m *voicepb.StreamingConfig) {
				m.VccCallId, m.TrustToken, m.DomainId, m.SubscriptionId = "7", c.field, c.domain, c.sub
			})}
			if c.header != "" {
				o.Metadata = map[string]string{tokenHeader: c.header}
			}
			s, err := sim.OpenStream(t.Context(), b.conn, o)
			if c.want != codes.OK {
				e, ok := errors.AsType[*sim.StreamError](err)
				if !ok || e.Code != c.want || e.Status != success || e.Text != "refused" {
					t.Errorf("the stream was told %v; want %v and no more", err, c.want)
				}
				b.wantCount(t, c.count, 1)
				if n := len(b.sink.Legs()); n != 0 {
					t.Errorf("the host has %d legs; want none", n)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Vanish()
			i := b.sink.WaitLeg(t, 0).Info()
			method := adapter.MethodToken
			if c.account == "" {
				method = adapter.MethodNone
			}
			if i.Principal.Account != c.account || i.Principal.Method != method || i.CallKey != c.key {
				t.Errorf("the leg is %q of %+v; want %q of %q", i.CallKey, i.Principal, c.key, c.account)
			}
			for name, value := range i.Claims {
				if value == testToken || value == newToken || value == otherToken {
					t.Errorf("claim %s holds the trust token", name)
				}
			}
		})
	}
}

func TestAddresses(t *testing.T) {
	for _, c := range []struct {
		name string
		nets []string
		want codes.Code
	}{
		{"listed", []string{"10.0.0.0/8", "127.0.0.0/8"}, codes.OK},
		{"a single one", []string{"127.0.0.1"}, codes.OK},
		{"not listed", []string{"10.0.0.0/8"}, codes.PermissionDenied},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := testConfig()
			cfg.Addresses = c.nets
			b := run(t, cfg)
			s, err := sim.OpenStream(t.Context(), b.conn, sim.StreamOptions{Config: config()})
			if c.want == codes.OK {
				if err != nil {
					t.Fatal(err)
				}
				s.Vanish()
				return
			}
			if e, ok := errors.AsType[*sim.StreamError](err); !ok || e.Code != c.want {
				t.Errorf("the stream was told %v; want %v", err, c.want)
			}
			b.wantCount(t, countAddress, 1)
		})
	}
}
