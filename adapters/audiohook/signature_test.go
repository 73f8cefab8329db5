package audiohook

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/patchbay/patchbay/adapters/audiohook/sim"
	"github.com/patchbay/patchbay/core/adapter"
)

// The published examples (Genesys' documentation and reference implementation).
const (
	exampleTarget    = "/api/v1/voicebiometrics/ws"
	exampleHost      = "audiohook.example.com"
	exampleSession   = "30b0e395-84d3-4570-ac13-9a62d8f514c0"
	exampleCreated   = 1641013200
	exampleSignature = "sig1=:NZBwyBHRRyRoeLqy1IzOa9VYBuI8TgMFt2GRDkDuJh4=:"
	exampleInput     = `sig1=("@request-target" "@authority" "audiohook-organization-id" "audiohook-session-id" "audiohook-correlation-id" "x-api-key");keyid="SGVsbG8sIEkgYW0gdGhlIEFQSSBrZXkh";nonce="VGhpc0lzQVVuaXF1ZU5vbmNl";alg="hmac-sha256";created=1641013200;expires=3282026430`
	hostSignature    = "sig1=:zupMJUMfd/kMuvKc5zhRyfJPE3jTROuz1S1hn8SCTpE=:"
)

// example is the upgrade of the published examples.
func example() (upgrade, time.Time) {
	h := http.Header{}
	h.Set(headerOrganization, testOrganization)
	h.Set(headerSession, exampleSession)
	h.Set(headerCorrelation, "e160e428-53e2-487c-977d-96989bf5c99d")
	h.Set(headerKey, testKey)
	h.Set(headerInput, exampleInput)
	h.Set(headerSignature, exampleSignature)
	return upgrade{target: exampleTarget, authority: exampleHost, header: h}, time.Unix(exampleCreated+2, 0)
}

func testVerifier(t *testing.T, change ...func(*Config)) *verifier {
	t.Helper()
	cfg := testConfig()
	for _, f := range change {
		f(&cfg)
	}
	v, err := newVerifier(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestPublishedSignatures checks both published examples, and that each bit of the
// request that they cover matters.
func TestPublishedSignatures(t *testing.T) {
	signedHost := func(c *Config) { c.SignedHost = true }
	hostInput := strings.Replace(exampleInput, `"@authority"`, `"host"`, 1)
	for _, tc := range []struct {
		name   string
		cfg    func(*Config)
		change func(*upgrade, http.Header)
		at     time.Duration // since the example's moment
		count  string        // of the refusal; empty is none
	}{
		{name: "as published"},
		{name: "with blanks around values", change: func(_ *upgrade, h http.Header) { h.Set(headerKey, testKey); h[headerInput][0] += " " }},
		{name: "host in the place of the authority", cfg: signedHost, change: func(_ *upgrade, h http.Header) {
			h.Set(headerInput, hostInput)
			h.Set(headerSignature, hostSignature)
		}},
		{name: "host, which is not configured", count: countSignature, change: func(_ *upgrade, h http.Header) {
			h.Set(headerInput, hostInput)
			h.Set(headerSignature, hostSignature)
		}},
		{name: "the authority, where host is allowed, too", cfg: signedHost},
		{name: "as old as it may be", at: 10 * time.Second},
		{name: "too old", at: 13 * time.Second, count: countSignature},
		{name: "from a clock that is ahead", at: -5 * time.Second},
		{name: "from the future", at: -6 * time.Second, count: countSignature},
		{name: "another path", count: countSignature, change: func(u *upgrade, _ http.Header) { u.target += "/" }},
		{name: "a query", count: countSignature, change: func(u *upgrade, _ http.Header) { u.target += "?x=1" }},
		{name: "another host", count: countSignature, change: func(u *upgrade, _ http.Header) { u.authority = "other.example.com" }},
		{name: "another session", count: countSignature, change: func(_ *upgrade, h http.Header) { h.Set(headerSession, "30b0e395-84d3-4570-ac13-9a62d8f514c1") }},
		{name: "another correlation", count: countSignature, change: func(_ *upgrade, h http.Header) { h.Set(headerCorrelation, exampleSession) }},
		{name: "another organization's key", count: countKey, change: func(_ *upgrade, h http.Header) { h.Set(headerOrganization, otherOrganization) }},
		{name: "another key", count: countSignature, change: func(_ *upgrade, h http.Header) { h.Set(headerKey, newKey) }},
		{name: "an unknown key", count: countKey, change: func(_ *upgrade, h http.Header) { h.Set(headerKey, "who is this") }},
		{name: "no key", count: countKey, change: func(_ *upgrade, h http.Header) { h.Del(headerKey) }},
		{name: "two keys", count: countKey, change: func(_ *upgrade, h http.Header) { h.Add(headerKey, testKey) }},
		{name: "no session", count: countHeader, change: func(_ *upgrade, h http.Header) { h.Del(headerSession) }},
		{name: "two sessions", count: countHeader, change: func(_ *upgrade, h http.Header) { h.Add(headerSession, exampleSession) }},
		{name: "no UUID", count: countHeader, change: func(_ *upgrade, h http.Header) { h.Set(headerOrganization, "acme") }},
		{name: "no signature", count: countSignature, change: func(_ *upgrade, h http.Header) { h.Del(headerInput); h.Del(headerSignature) }},
		{name: "half a signature", count: countSignature, change: func(_ *upgrade, h http.Header) { h.Del(headerInput) }},
		{name: "an empty signature", count: countSignature, change: func(_ *upgrade, h http.Header) { h.Set(headerSignature, "sig1=::") }},
		{name: "a cut signature", count: countSignature, change: func(_ *upgrade, h http.Header) {
			h.Set(headerSignature, "sig1=:NZBwyBHRRyRoeLqy1IzOa9VYBuI8TgMFt2GRDkDu:")
		}},
		{name: "two headers", count: countSignature, change: func(_ *upgrade, h http.Header) { h.Add(headerSignature, exampleSignature) }},
		{name: "garbage", count: countSignature, change: func(_ *upgrade, h http.Header) { h.Set(headerInput, `sig1=("@request-target`) }},
		{name: "no list", count: countSignature, change: func(_ *upgrade, h http.Header) { h.Set(headerInput, `sig1=1;keyid="`+testKey+`"`) }},
		{name: "another algorithm", count: countSignature, change: func(_ *upgrade, h http.Header) {
			h.Set(headerInput, strings.Replace(exampleInput, "hmac-sha256", "none", 1))
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var change []func(*Config)
			if tc.cfg != nil {
				change = append(change, tc.cfg)
			}
			v := testVerifier(t, change...)
			u, now := example()
			if tc.change != nil {
				tc.change(&u, u.header)
			}
			p, no := v.prove(u, now.Add(tc.at))
			switch {
			case tc.count == "" && (no != nil || p != adapter.Principal{Account: testOrganization, Method: adapter.MethodSignature}):
				t.Errorf("prove = %+v, %+v; want the first organization by signature", p, no)
			case tc.count != "" && (no == nil || no.count != tc.count || p != adapter.Principal{}):
				t.Errorf("prove = %+v, %+v; want a refusal as %s", p, no, tc.count)
			case no != nil && (strings.Contains(no.detail, testSecret) || strings.Contains(no.detail, testKey)):
				t.Errorf("the refusal shows a secret: %s", no.detail)
			}
		})
	}
}

// TestSignatureCovers signs itself, so that only what is looked at differs.
func TestSignatureCovers(t *testing.T) {
	all := []string{"@request-target", "/audiohook", "@authority", exampleHost, "audiohook-organization-id", testOrganization,
		"audiohook-session-id", exampleSession, "audiohook-correlation-id", "e160e428-53e2-487c-977d-96989bf5c99d", "x-api-key", testKey}
	without := func(i int) []string { return append(append([]string{}, all[:2*i]...), all[2*i+2:]...) }
	now := time.Unix(1_700_000_000, 0)
	for name, tc := range map[string]struct {
		pairs []string
		nonce string
		edit  func(input string) string
		ok    bool
	}{
		"all":                      {pairs: all, ok: true},
		"in another order":         {pairs: append(append([]string{}, all[6:]...), all[:6]...), ok: true},
		"a header beside":          {pairs: append(append([]string{}, all...), "user-agent", "Genesys"), ok: true},
		"a header that is missing": {pairs: append(append([]string{}, all...), "x-other", "1")},
		"not the target":           {pairs: without(0)},
		"not the host":             {pairs: without(1)},
		"not the organization":     {pairs: without(2)},
		"not the session":          {pairs: without(3)},
		"not the correlation":      {pairs: without(4)},
		"not the key":              {pairs: without(5)},
		"one twice":                {pairs: append(append([]string{}, all...), "x-api-key", testKey)},
		"an unknown derived one":   {pairs: append(append([]string{}, all...), "@method", "GET")},
		"a short nonce":            {pairs: all, nonce: "0123456789"},
		"an unknown parameter":     {pairs: all, edit: func(s string) string { return s + `;tag="x"` }},
		"a component's parameter":  {pairs: all, edit: func(s string) string { return strings.Replace(s, `"x-api-key"`, `"x-api-key";sf`, 1) }},
		"expired":                  {pairs: all, edit: func(s string) string { return strings.Replace(s, "expires=1700000030", "expires=1699999990", 1) }},
		"no time of creation":      {pairs: all, edit: func(s string) string { return strings.Replace(s, ";created=1700000000", "", 1) }},
		"another's keyid":          {pairs: all, edit: func(s string) string { return strings.Replace(s, testKey, newKey, 1) }},
	} {
		t.Run(name, func(t *testing.T) {
			v := testVerifier(t)
			nonce := tc.nonce
			if nonce == "" {
				nonce = "0123456789012345678901"
			}
			input, signature := sim.Sign(testKey, secretBytes(t, testSecret), nonce, now, tc.pairs...)
			if tc.edit != nil {
				input = tc.edit(input)
			}
			u, _ := example()
			u.target = "/audiohook"
			u.header.Set("User-Agent", "Genesys")
			u.header.Set(headerInput, input)
			u.header.Set(headerSignature, signature)
			if _, no := v.prove(u, now); (no == nil) != tc.ok {
				t.Errorf("prove = %+v; want ok %v", no, tc.ok)
			}
		})
	}
}

// TestReplay uses a signature twice.
func TestReplay(t *testing.T) {
	v := testVerifier(t)
	u, now := example()
	if _, no := v.prove(u, now); no != nil {
		t.Fatal(no)
	}
	for _, after := range []time.Duration{0, time.Second, 7 * time.Second} {
		if _, no := v.prove(u, now.Add(after)); no == nil || no.count != countReplay {
			t.Errorf("after %v it is taken again: %+v", after, no)
		}
	}
	// A signature that is wrong uses up no nonce.
	u.header.Set(headerSignature, hostSignature)
	w := testVerifier(t)
	if _, no := w.prove(u, now); no == nil {
		t.Fatal("a wrong signature was taken")
	}
	u.header.Set(headerSignature, exampleSignature)
	if _, no := w.prove(u, now); no != nil {
		t.Errorf("a wrong signature has used up the nonce: %+v", no)
	}
}

func TestNonces(t *testing.T) {
	var n nonces
	now := time.Unix(1_700_000_000, 0)
	const life = 16 * time.Second
	if n.use("a", now, life) != nonceFresh || n.use("a", now.Add(life-1), life) != nonceUsed {
		t.Error("a nonce is forgotten too early")
	}
	if n.use("b", now.Add(life-1), life) != nonceFresh || n.use("b", now.Add(2*life-2), life) != nonceUsed {
		t.Error("a nonce is forgotten too early, across the halves")
	}
	if n.use("a", now.Add(3*life), life) != nonceFresh {
		t.Error("a nonce is remembered for too long")
	}
	for i := range maxNonces {
		n.use("x"+time.Duration(i).String(), now.Add(5*life), life)
	}
	if n.use("one more", now.Add(5*life), life) != nonceNoRoom {
		t.Error("nonces without end are remembered")
	}
	if n.use("one more", now.Add(6*life), life) != nonceFresh || len(n.newer)+len(n.older) > 2*maxNonces {
		t.Error("there is no room after a while")
	}
}

func TestKeysRotate(t *testing.T) {
	b := run(t, testConfig())
	for _, k := range []struct{ organization, key, secret string }{
		{testOrganization, testKey, testSecret}, {testOrganization, newKey, newSecret}, {otherOrganization, otherKey, otherSecret},
	} {
		o := b.options(t)
		o.Organization, o.APIKey, o.ClientSecret = k.organization, k.key, secretBytes(t, k.secret)
		_, leg := b.open(t, o)
		if p := leg.Info().Principal; p.Account != k.organization || p.Method != adapter.MethodSignature {
			t.Errorf("principal = %+v; want the signature of %s", p, k.organization)
		}
	}
}

func TestUnsigned(t *testing.T) {
	cfg := testConfig()
	cfg.Accounts[0].Keys = append(cfg.Accounts[0].Keys, Key{APIKey: loneKey, Unsigned: true})
	b := run(t, cfg)
	o := b.options(t)
	o.APIKey, o.ClientSecret = loneKey, nil
	_, leg := b.open(t, o)
	if p := leg.Info().Principal; p.Account != testOrganization || p.Method != adapter.MethodToken {
		t.Errorf("principal = %+v; want the key of the first organization", p)
	}
	signed := o
	signed.ClientSecret = secretBytes(t, testSecret)
	wantRefused(t, b, signed, http.StatusUnauthorized, "", countSignature)
	bare := b.options(t)
	bare.ClientSecret = nil
	wantRefused(t, b, bare, http.StatusUnauthorized, "", countSignature)
}

// TestSigned takes the signed request from what arrives.
func TestSigned(t *testing.T) {
	for _, tc := range []struct {
		public, host, uri string
		secure            bool
		target, authority string
	}{
		{"", "Audio.example.com", "/audiohook?x=1", true, "/audiohook?x=1", "audio.example.com"},
		{"", "audio.example.com:443", "/audiohook", true, "/audiohook", "audio.example.com"},
		{"", "audio.example.com:8443", "/audiohook", true, "/audiohook", "audio.example.com:8443"},
		{"", "audio.example.com:443", "/audiohook", false, "/audiohook", "audio.example.com"},
		{"", "127.0.0.1:80", "/audiohook", false, "/audiohook", "127.0.0.1"},
		{"wss://voice.example.com/ah", "backend:8080", "/audiohook?x=1", false, "/ah?x=1", "voice.example.com"},
		{"wss://voice.example.com:443", "backend:8080", "/audiohook", false, "/audiohook", "voice.example.com"},
		{"wss://voice.example.com:8443/", "backend:8080", "/audiohook", false, "/", "voice.example.com:8443"},
	} {
		cfg := testConfig()
		cfg.PublicURL = tc.public
		a, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodGet, tc.uri, nil)
		r.Host = tc.host
		if u := a.signed(r, tc.secure); u.target != tc.target || u.authority != tc.authority {
			t.Errorf("public_url %q, host %s: signed = %s of %s; want %s of %s", tc.public, tc.host, u.target, u.authority, tc.target, tc.authority)
		}
	}
}
