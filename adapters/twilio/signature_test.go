package twilio

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/patchbay/patchbay/adapters/twilio/sim"
	"github.com/patchbay/patchbay/core/adapter"
)

// The vectors of Twilio's documentation and of its reference signers, with auth
// token 12345.
var vectors = []struct {
	name, url string
	params    url.Values
	signature string
}{
	{"webhook", "https://mycompany.com/myapp.php?foo=1&bar=2", url.Values{
		"CallSid": {"CA1234567890ABCDE"}, "Caller": {"+14158675309"}, "Digits": {"1234"}, "From": {"+14158675309"}, "To": {"+18005551212"},
	}, "RSOYDt4T1cUTdK1PDd93/VVr8B8="},
	{"repeated keys", "https://mycompany.com/myapp.php?foo=1&bar=2", url.Values{
		"Digits": {"5678", "1234", "1234"}, "Sid": {"CA123"}, "SidAccount": {"AC123"},
	}, "IK+Dwps556ElfBT0I3Rgjkr1wJU="},
	{"no parameters", "https://customer.example/cb", nil, "+xE6fKV5OcQGR58lHUAbQmwfuO8="},
	{"upgrade", "wss://mycompany.com/media", nil, "okykUWKkAOgQseVjzERZh4soLeU="},
	{"the same over https", "https://mycompany.com/media", nil, "767ALDRNA8VrAN2kKcJ/ivLgcfQ="},
}

func vectorVerifier() verifier {
	return newVerifier([]Account{{SID: "other", AuthToken: "54321"}, {SID: "vector", AuthToken: "12345"}})
}

func TestVectors(t *testing.T) {
	v := vectorVerifier()
	for _, tc := range vectors {
		t.Run(tc.name, func(t *testing.T) {
			if got := v.signed(tc.url, tc.params, tc.signature); !slices.Equal(got, []string{"vector"}) {
				t.Errorf("signed(%s) = %v; want [vector]", tc.url, got)
			}
			if got := sim.Sign("12345", tc.url, tc.params); got != tc.signature {
				t.Errorf("sim.Sign(%s) = %s; want %s", tc.url, got, tc.signature)
			}
		})
	}
}

// TestPeculiarities keeps what was found out about signatures: which spellings of
// a URL are the same to us, and which never are.
func TestPeculiarities(t *testing.T) {
	const upgrade = "okykUWKkAOgQseVjzERZh4soLeU=" // of wss://mycompany.com/media
	for _, tc := range []struct {
		name, configured, signed string
		want                     bool
	}{
		{"exact", "wss://mycompany.com/media", "wss://mycompany.com/media", true},
		{"https is not wss", "https://mycompany.com/media", "wss://mycompany.com/media", false},
		{"wss is not https", "wss://mycompany.com/media", "https://mycompany.com/media", false},
		{"a slash at the end counts", "wss://mycompany.com/media/", "wss://mycompany.com/media", false},
		{"wss signed with the default port", "wss://mycompany.com/media", "wss://mycompany.com:443/media", true},
		{"wss configured with the default port", "wss://mycompany.com:443/media", "wss://mycompany.com/media", true},
		{"wss with a port of its own", "wss://mycompany.com:8443/media", "wss://mycompany.com:8443/media", true},
		{"wss with another port", "wss://mycompany.com/media", "wss://mycompany.com:8443/media", false},
		{"https signed with the default port", "https://mycompany.com/voice", "https://mycompany.com:443/voice", true},
		{"https configured with the default port", "https://mycompany.com:443/voice", "https://mycompany.com/voice", true},
		{"https with a port of its own, signed without", "https://mycompany.com:8443/voice", "https://mycompany.com/voice", true},
		{"query", "https://mycompany.com/voice?a=1", "https://mycompany.com/voice", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			signature := sim.Sign("12345", tc.signed, nil)
			if tc.signed == "wss://mycompany.com/media" && signature != upgrade {
				t.Fatalf("sim.Sign = %s; want %s", signature, upgrade)
			}
			if got := len(vectorVerifier().signed(tc.configured, nil, signature)) == 1; got != tc.want {
				t.Errorf("signature over %s fits %s = %v; want %v", tc.signed, tc.configured, got, tc.want)
			}
		})
	}
}

func TestWrongSignatures(t *testing.T) {
	v := vectorVerifier()
	good := vectors[0]
	for name, signature := range map[string]string{
		"empty": "", "garbage": "x", "of another token": sim.Sign("99999", good.url, good.params),
		"of other parameters": sim.Sign("12345", good.url, nil), "longer": good.signature + "=",
	} {
		if got := v.signed(good.url, good.params, signature); len(got) != 0 {
			t.Errorf("%s signature: signed by %v; want nobody", name, got)
		}
	}
}

func TestAccountsMaySignAlike(t *testing.T) {
	v := newVerifier([]Account{{SID: "a", AuthToken: "12345"}, {SID: "b", AuthToken: "12345"}})
	if got := v.signed(vectors[2].url, nil, vectors[2].signature); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("signed = %v; want both accounts", got)
	}
}

func TestReadParameters(t *testing.T) {
	body := []byte(`{"CallSid":"CA1","Duration":12,"Nested":{"x":1}}`)
	sum := sha256.Sum256(body)
	digest := "bodySHA256=" + hex.EncodeToString(sum[:])
	for _, tc := range []struct {
		name, contentType, query string
		body                     []byte
		call                     string
		covered, ok              bool
	}{
		{"form", "application/x-www-form-urlencoded; charset=UTF-8", "a=b", []byte("CallSid=CA1&From=%2B1"), "CA1", true, true},
		{"JSON with its digest", "application/json", digest, body, "CA1", false, true},
		{"JSON with another digest", "application/json", digest, []byte(`{"CallSid":"CA2"}`), "", false, false},
		{"JSON without a digest", "application/json", "", body, "", false, false},
		{"broken form", "application/x-www-form-urlencoded", "", []byte("a=%zz"), "", false, false},
		{"form without its type", "", "", []byte("CallSid=CA1"), "", false, false},
		{"nothing", "", "", nil, "", false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			said, covered, err := readParameters(tc.contentType, tc.query, tc.body)
			if (err == nil) != tc.ok || said.Get("CallSid") != tc.call || covered.Has("CallSid") != tc.covered {
				t.Errorf("readParameters = %v, %v, %v; want CallSid %q, covered %v, ok %v", said, covered, err, tc.call, tc.covered, tc.ok)
			}
		})
	}
}

// FuzzFormSignature compares our wrapper around twilio-go with the signer of the
// simulator, which is written from the documentation alone: they agree on every
// form, and on none that was changed.
func FuzzFormSignature(f *testing.F) {
	f.Add("Digits=5678&Digits=1234&Digits=1234&Sid=CA123", "1234567890abcdef")
	f.Add("a=1&ab=2&A=3&=4", "t")
	f.Add("a=%C3%A4&b=+&c=%00", "token")
	f.Fuzz(func(t *testing.T, form, token string) {
		params, err := url.ParseQuery(form)
		if err != nil {
			return
		}
		const u = "https://voice.example.com/twilio/voice"
		v := newVerifier([]Account{{SID: "a", AuthToken: adapter.Secret(token)}})
		signature := sim.Sign(token, u, params)
		if len(v.signed(u, params, signature)) != 1 {
			t.Errorf("the signature over %q does not fit", form)
		}
		changed := url.Values{}
		for k, values := range params {
			changed[k] = slices.Clone(values)
		}
		changed.Add("Added", strings.Repeat("z", len(form)+1)) // longer than any value, so no double
		if len(v.signed(u, changed, signature)) != 0 {
			t.Errorf("the signature over %q fits another form too", form)
		}
	})
}
