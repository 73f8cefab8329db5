package twilio

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/patchbay/patchbay/adapters/twilio/sim"
	"github.com/patchbay/patchbay/core/adapter"
)

// runWithAPI runs an adapter whose REST API is the simulator's.
func runWithAPI(t *testing.T, change ...func(*Config)) (*bench, *sim.API) {
	t.Helper()
	var api *sim.API
	rest := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { api.ServeHTTP(w, r) }))
	t.Cleanup(rest.Close)
	cfg := testConfig()
	cfg.APIURL = rest.URL
	for _, f := range change {
		f(&cfg)
	}
	b := run(t, cfg)
	o := b.options()
	o.Webhook = testPublic // whose host is reached by Connect
	o.Duration, o.Speed = time.Minute, 1
	api = sim.NewAPI(o)
	t.Cleanup(api.Close)
	return b, api
}

func TestAttachDetach(t *testing.T) {
	b, api := runWithAPI(t)
	call := api.Answer()
	stream, err := b.Attach(t.Context(), adapter.AttachRequest{
		Account: testAccount, Call: call, Claims: map[string]string{"ticket": "42", paramRoleInbound: "agent"},
	})
	if err != nil || !streamSID.MatchString(stream) {
		t.Fatalf("Attach = %q, %v", stream, err)
	}
	leg := b.sink.WaitLeg(t, 0)
	leg.WaitFrames(t, 4)
	if info := leg.Info(); info.CallKey != call || info.Claims["ticket"] != "42" || info.Claims[claimStream] != stream || info.Claims[paramToken] != "" {
		t.Errorf("info = %+v; want the call with the request's claims", info)
	}
	if s := leg.Segments(sim.Inbound)[0].Track.Speaker; s.Role != adapter.RoleHumanAgent {
		t.Errorf("inbound speaker = %+v; want the agent", s)
	}
	if err := b.Detach(t.Context(), adapter.DetachRequest{Account: testAccount, Call: call}); err != nil {
		t.Fatalf("Detach = %v", err)
	}
	if got := leg.WaitClosed(t); got.Kind != adapter.EndHangup {
		t.Errorf("the leg ended with %+v; want hangup", got)
	}
	if sent := api.Hangup(call); sent.Error != "" || sent.Tracks[0].Samples != leg.Samples(sim.Inbound) {
		t.Errorf("the API sent %+v; heard %d samples", sent, leg.Samples(sim.Inbound))
	}
	err = b.Detach(t.Context(), adapter.DetachRequest{Account: testAccount, Call: call})
	if adapter.KindOf(err) != adapter.KindConfig || !strings.Contains(err.Error(), "nothing is attached") {
		t.Errorf("Detach again = %v", err)
	}
}

// TestAttachTwiceTakesOver streams the same call leg again: one leg replaces the other.
func TestAttachTwiceTakesOver(t *testing.T) {
	b, api := runWithAPI(t)
	call := api.Answer()
	request := adapter.AttachRequest{Account: testAccount, Call: call}
	if _, err := b.Attach(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	first := b.sink.WaitLeg(t, 0)
	first.WaitFrames(t, 1)
	second, err := b.Attach(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	leg := b.sink.WaitLeg(t, 1)
	if got := first.WaitClosed(t); got.Kind != adapter.EndOrdered {
		t.Errorf("the first leg ended with %+v; want ordered", got)
	}
	leg.WaitFrames(t, 2)
	if first.Info().LegKey != leg.Info().LegKey || first.CallID() != leg.CallID() {
		t.Errorf("legs are %+v and %+v; want the same", first.Info(), leg.Info())
	}
	if err := b.Detach(t.Context(), adapter.DetachRequest{Account: testAccount, Call: call, Stream: second}); err != nil {
		t.Errorf("Detach = %v", err)
	}
	leg.WaitClosed(t)
}

func TestAttachFails(t *testing.T) {
	b, api := runWithAPI(t)
	call := api.Answer()
	for _, tc := range []struct {
		name    string
		request adapter.AttachRequest
		kind    adapter.Kind
		words   string
	}{
		{"no account named of two", adapter.AttachRequest{Call: call}, adapter.KindConfig, "(none named)"},
		{"strange account", adapter.AttachRequest{Account: "AC9", Call: call}, adapter.KindConfig, "not listed"},
		{"no Call SID", adapter.AttachRequest{Account: testAccount, Call: "../x"}, adapter.KindConfig, "no Call SID"},
		{"no such call", adapter.AttachRequest{Account: testAccount, Call: sim.SID("CA")}, adapter.KindConfig, "error 20404"},
		{"credentials of another account", adapter.AttachRequest{Account: otherTest, Call: call}, adapter.KindConfig, "check the account's auth_token"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := b.Attach(t.Context(), tc.request)
			if adapter.KindOf(err) != tc.kind || !strings.Contains(err.Error(), tc.words) || strings.Contains(err.Error(), testToken) {
				t.Errorf("Attach = %v (%v); want %v with %q", err, adapter.KindOf(err), tc.kind, tc.words)
			}
		})
	}
	if n := len(b.tokens.byKey); n != 0 {
		t.Errorf("%d tokens are left of failed requests", n)
	}
	_, err := b.Attach(ended(t), adapter.AttachRequest{Account: testAccount, Call: call})
	if adapter.KindOf(err) != adapter.KindUnavailable {
		t.Errorf("Attach with an ended context = %v", err)
	}
	b.stop()
	_, err = b.Attach(t.Context(), adapter.AttachRequest{Account: testAccount, Call: call})
	if adapter.KindOf(err) != adapter.KindUnavailable {
		t.Errorf("Attach after Run = %v", err)
	}
}

func ended(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// TestAPIKey signs in with an API key where one is configured.
func TestAPIKey(t *testing.T) {
	const key = "SK00000000000000000000000000000007"
	var user, password string
	rest := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ = r.BasicAuth()
		http.Error(w, "<html>", http.StatusBadGateway) // and no JSON
	}))
	defer rest.Close()
	cfg := testConfig()
	cfg.APIURL = rest.URL
	cfg.Accounts[0].APIKey, cfg.Accounts[0].APISecret = key, "keysecret"
	b := run(t, cfg)
	_, err := b.Attach(t.Context(), adapter.AttachRequest{Account: testAccount, Call: sim.SID("CA")})
	if user != key || password != "keysecret" || adapter.KindOf(err) != adapter.KindUnavailable {
		t.Errorf("signed in as %s; Attach = %v", user, err)
	}
}

// TestCallStatusAttaches sends the callback of an answered call, twice.
func TestCallStatusAttaches(t *testing.T) {
	b, api := runWithAPI(t)
	call := api.Answer()
	callback := testPublic + "/call-status?participant=agent-7&call_key=CF1&role_inbound=agent"
	for _, status := range []string{"ringing", "in-progress", "in-progress"} {
		if err := api.CallBack(t.Context(), callback, call, status); err != nil {
			t.Fatal(err)
		}
	}
	leg := b.sink.WaitLeg(t, 0)
	leg.WaitFrames(t, 2)
	b.wantCount(t, countAttach, 1)
	info := leg.Info()
	if info.CallKey != "CF1" || info.From != "+15550100001" || !strings.HasSuffix(info.LegKey, "/agent-7") || len(b.sink.Legs()) != 1 {
		t.Errorf("info = %+v of %d legs", info, len(b.sink.Legs()))
	}
	if err := api.CallBack(t.Context(), callback, call, "completed"); err != nil {
		t.Fatal(err)
	}
	if got := b.attached.of(call); len(got) != 0 {
		t.Errorf("streams %v are remembered of a completed call", got)
	}
	form := callForm(sim.SID("CA")) // no such call: the callback is answered all the same
	form.Set("CallStatus", "in-progress")
	if status, _ := b.post(t, "/call-status", form, sign("/call-status", form)); status != http.StatusNoContent {
		t.Errorf("callback: %d; want 204", status)
	}
	b.wantCount(t, countAttachFailed, 1)
	if status, _ := b.post(t, "/call-status", form, ""); status != http.StatusForbidden {
		t.Errorf("unsigned callback: %d; want 403", status)
	}
}

func TestStreamStatus(t *testing.T) {
	b := run(t, testConfig())
	for event, kind := range map[string]string{
		"stream-started": countStreamStarted, "stream-stopped": countStreamStopped, "stream-error": countStreamError, "stream-novelty": countUnknown,
	} {
		form := url.Values{"AccountSid": {testAccount}, "CallSid": {sim.SID("CA")}, "StreamSid": {sim.SID("MZ")}, "StreamEvent": {event}, "StreamError": {"31920\nhandshake"}}
		if status, _ := b.post(t, "/status", form, sign("/status", form)); status != http.StatusNoContent {
			t.Errorf("%s: %d; want 204", event, status)
		}
		b.wantCount(t, kind, 1)
	}
}

func TestAttachmentsAreBounded(t *testing.T) {
	var m attachments
	first := sim.SID("CA")
	m.remember(first, "MZ1")
	for range maxAttached {
		m.remember(sim.SID("CA"), "MZ2")
	}
	if len(m.byCall) != maxAttached || len(m.order) != maxAttached || m.of(first) != nil {
		t.Errorf("%d calls are remembered, the oldest: %v", len(m.byCall), m.of(first))
	}
	last := m.order[len(m.order)-1]
	m.remember(last, "MZ3")
	m.forget(last, "MZ2")
	if got := m.of(last); len(got) != 1 || got[0] != "MZ3" {
		t.Errorf("of = %v; want MZ3", got)
	}
	m.forget(last, "MZ3")
	if !m.claim(last) || m.claim(last) {
		t.Error("a forgotten call can be claimed once")
	}
}
