package oem

import (
	"bytes"
	"context"
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"github.com/patchbay/patchbay/adapters/oem/sdp"
	"github.com/patchbay/patchbay/adapters/oem/sim"
	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/adapter/adaptertest"
)

// SIP over TLS with a client certificate, and the audio by SRTP in each suite.
func TestSecure(t *testing.T) {
	ca, strangers := adaptertest.NewAuthority(t), adaptertest.NewAuthority(t)
	secure := func(t *testing.T) (*rig, string) {
		r := newRig(t, func(c *Config) {
			c.Trunks = []Trunk{{Name: "sbc", Certificates: []string{"sbc.example.com"}, SRTP: "required"}}
			c.ClientCA = ca.File
		}, &tls.Config{Certificates: []tls.Certificate{ca.Certificate("recorder.example.com")}})
		return r, "sip:recorder@" + r.env.Addr(listenerTLS) + ";transport=tls"
	}
	r, to := secure(t)
	cert, key := ca.Sign("sbc.example.com")
	mine := []string{"--to", to, "--ca", ca.File, "--cert", cert, "--key", key, "--duration", "600ms"}
	for i, suite := range sdp.Suites {
		sent := r.simulate(append(mine, "--srtp", string(suite))...).Calls[0]
		leg := r.sink.WaitLeg(t, i)
		r.ends(leg, adapter.EndHangup)
		if p := leg.Info().Principal; p != (adapter.Principal{Account: "sbc", Method: adapter.MethodMTLS}) {
			t.Errorf("%s: the principal is %+v", suite, p)
		}
		for _, track := range sent.Tracks {
			if h := hear(leg, track.Track); h.blocks != track.Frames || len(h.streams) != 1 {
				t.Errorf("%s: track %s heard %d blocks of %v; %d were sent", suite, track.Track, h.blocks, h.streams, track.Frames)
			}
		}
	}

	wrongCert, wrongKey := ca.Sign("other.example.com")
	foreignCert, foreignKey := strangers.Sign("sbc.example.com")
	for what, args := range map[string][]string{
		"no certificate":     {"--ca", ca.File},
		"another name":       {"--ca", ca.File, "--cert", wrongCert, "--key", wrongKey},
		"another authority":  {"--ca", ca.File, "--cert", foreignCert, "--key", foreignKey},
		"audio in the clear": mine[2:8],
	} {
		t.Run(what, func(t *testing.T) {
			r, to := secure(t)
			refusedCall(t, append([]string{"--to", to}, args...)...)
			if n := len(r.sink.Legs()); n > 0 {
				t.Errorf("%d legs were opened", n)
			}
		})
	}
}

// refusedCall plays a system that must fail, without a word of secrets.
func refusedCall(t *testing.T, args ...string) {
	t.Helper()
	var out, errs bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second) // some are refused by silence
	defer cancel()
	if code := sim.Main(ctx, append(args, "--duration", "200ms"), &out, &errs); code != 1 {
		t.Errorf("exit code %d\n%s", code, errs.String())
	}
	for _, secret := range []string{"inline:", "correct horse", "battery staple"} {
		if strings.Contains(errs.String(), secret) {
			t.Errorf("%q stands in the output", secret)
		}
	}
}

// A password proves a trunk by digest.
func TestDigest(t *testing.T) {
	t.Setenv("TEST_SIP_PASSWORD", "correct horse")
	t.Setenv("TEST_SIP_WRONG", "battery staple")
	for _, row := range []struct {
		digest string
		ok     bool
	}{{"recorder:env:TEST_SIP_PASSWORD", true}, {"recorder:env:TEST_SIP_WRONG", false}, {"nobody:env:TEST_SIP_PASSWORD", false}} {
		t.Run(row.digest, func(t *testing.T) {
			r := newRig(t, func(c *Config) {
				c.Trunks = []Trunk{{Name: "pbx", Users: []User{{Name: "recorder", Password: "correct horse"}}}}
			})
			to := "sip:recorder@" + r.env.Addr(listenerUDP)
			if row.ok {
				r.simulate("--to", to, "--digest", row.digest, "--duration", "200ms")
				if p := r.sink.WaitLeg(t, 0).Info().Principal; p != (adapter.Principal{Account: "pbx", Method: adapter.MethodToken}) {
					t.Errorf("the principal is %+v", p)
				}
				return
			}
			refusedCall(t, "--to", to, "--digest", row.digest)
			if n := len(r.sink.Legs()); n > 0 {
				t.Errorf("%d legs were opened", n)
			}
		})
	}
}
