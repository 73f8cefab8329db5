package sim

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"slices"
)

// Sign returns the value of X-Twilio-Signature: base64 of HMAC-SHA1, keyed with
// the auth token, over the URL and each parameter's name and value, sorted by
// name, then value, doubles left out ("Webhooks security", 2026).
func Sign(authToken, u string, params url.Values) string {
	mac := hmac.New(sha1.New, []byte(authToken))
	mac.Write([]byte(u))
	names := make([]string, 0, len(params))
	for name := range params {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, value := range slices.Compact(slices.Sorted(slices.Values(params[name]))) {
			mac.Write([]byte(name + value))
		}
	}
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// SID returns a random SID: prefix ("CA", "MZ") and 32 hexadecimal digits.
func SID(prefix string) string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	return prefix + hex.EncodeToString(b[:])
}
