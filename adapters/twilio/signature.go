package twilio

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/url"
	"slices"
	"strings"

	"github.com/twilio/twilio-go/client"
)

// signatureHeader carries base64(HMAC-SHA1(auth token, URL and sorted parameters)).
const signatureHeader = "X-Twilio-Signature"

// verifier checks Twilio's signatures with the auth token of every account, so
// that several accounts may share one URL.
type verifier []signer

type signer struct {
	account   string
	validator client.RequestValidator
}

func newVerifier(accounts []Account) verifier {
	v := make(verifier, len(accounts))
	for i, a := range accounts {
		v[i] = signer{a.SID, client.NewRequestValidator(string(a.AuthToken))}
	}
	return v
}

// signed returns the accounts whose token made signature over u and params:
// none if it is wrong, several if accounts share a token.
func (v verifier) signed(u string, params url.Values, signature string) []string {
	flat := flatten(params)
	var accounts []string
	for i := range v { // all of them, whichever matches: the time says nothing
		ok := false
		for _, candidate := range spellings(u) {
			ok = v[i].validator.Validate(candidate, flat, signature) || ok
		}
		if ok {
			accounts = append(accounts, v[i].account)
		}
	}
	return accounts
}

// flatten prepares parameters for twilio-go, which takes one value a key and
// signs key+value. Twilio's signers sort repeated values, drop doubles and write
// the key before each; so the key goes between the values here.
func flatten(params url.Values) map[string]string {
	flat := make(map[string]string, len(params))
	for key, values := range params {
		sorted := slices.Compact(slices.Sorted(slices.Values(values)))
		flat[key] = strings.Join(sorted, key)
	}
	return flat
}

// spellings returns u as configured and the forms of it that may have been
// signed instead: with and without the default port. twilio-go adds :443 to https
// alone and thinks that the port of wss is 80, so wss gets its own here.
func spellings(u string) []string {
	out := []string{u}
	parsed, err := url.Parse(u)
	if err != nil {
		return out
	}
	port := map[string]string{"https": "443", "wss": "443", "http": "80", "ws": "80"}[parsed.Scheme]
	switch parsed.Port() {
	case "":
		parsed.Host += ":" + port
		out = append(out, parsed.String())
	case port:
		parsed.Host = parsed.Hostname()
		out = append(out, parsed.String())
	}
	return out
}

var errBody = errors.New("the body is neither a form nor the JSON whose digest was signed")

// readParameters returns what a webhook or callback says, and which of it the
// signature covers beside the URL: the fields of a form, or nothing for a JSON
// body, whose SHA-256 is in the (signed) query as bodySHA256.
func readParameters(contentType, rawQuery string, body []byte) (said, covered url.Values, err error) {
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return nil, nil, fmt.Errorf("query: %w", err)
	}
	if digest := query.Get("bodySHA256"); digest != "" {
		sum := sha256.Sum256(body)
		if subtle.ConstantTimeCompare([]byte(hex.EncodeToString(sum[:])), []byte(strings.ToLower(digest))) != 1 {
			return nil, nil, errBody
		}
		said, err = readJSON(body)
		return said, nil, err
	}
	if media, _, err := mime.ParseMediaType(contentType); len(body) > 0 && (err != nil || media != "application/x-www-form-urlencoded") {
		return nil, nil, errBody
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, nil, fmt.Errorf("form: %w", err)
	}
	return form, form, nil
}

// readJSON takes the scalars of a flat object.
func readJSON(body []byte) (url.Values, error) {
	var fields map[string]any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&fields); err != nil {
		return nil, errBody
	}
	said := url.Values{}
	for k, v := range fields {
		switch v := v.(type) {
		case string:
			said.Set(k, v)
		case json.Number:
			said.Set(k, v.String())
		}
	}
	return said, nil
}
