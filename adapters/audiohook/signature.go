package audiohook

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/dunglas/httpsfv"

	"github.com/patchbay/patchbay/core/adapter"
)

// The headers of an upgrade.
const (
	headerOrganization = "Audiohook-Organization-Id"
	headerSession      = "Audiohook-Session-Id"
	headerCorrelation  = "Audiohook-Correlation-Id"
	headerKey          = "X-Api-Key"
	headerInput        = "Signature-Input"
	headerSignature    = "Signature"
)

// What a signature must cover: the request's path and query, the host, and the headers
// that say whose session it is.
const (
	componentTarget    = "@request-target"
	componentAuthority = "@authority"
	componentHost      = "host"
)

var componentHeaders = []string{"audiohook-organization-id", "audiohook-session-id", "audiohook-correlation-id", "x-api-key"}

const (
	algorithm    = "hmac-sha256"
	minNonce     = 22      // characters: 128 bits in base64
	maxSignature = 4 << 10 // bytes of Signature-Input
	keyBytes     = 32      // of the key that unknown API keys are checked with
	maxNonces    = 50_000  // in each half of the cache
	minSecret    = 16      // bytes of a client secret
)

// upgrade is what an upgrade request claims, as far as signatures are about it.
type upgrade struct {
	target    string // path and query
	authority string // host without the default port, in lower case
	header    http.Header
}

// signed returns what a signature is made over: the request as Genesys made it.
func (a *Adapter) signed(r *http.Request, secure bool) upgrade {
	u := upgrade{target: r.RequestURI, authority: r.Host, header: r.Header}
	port := ":80"
	if secure {
		port = ":443"
	}
	if p := a.public; p != nil {
		u.authority, port = p.Host, ":443"
		if p.Scheme == "ws" {
			port = ":80"
		}
		if p.Path != "" {
			u.target = p.EscapedPath()
			if r.URL.RawQuery != "" {
				u.target += "?" + r.URL.RawQuery
			}
		}
	} else if !secure && strings.HasSuffix(u.authority, ":443") {
		port = ":443" // a proxy ends TLS
	}
	u.authority = strings.TrimSuffix(strings.ToLower(u.authority), port)
	return u
}

// parsePublic reads Config.PublicURL. It fails with words for people.
func parsePublic(s string) (*url.URL, error) {
	if s == "" {
		return nil, nil
	}
	u, err := url.Parse(s)
	switch {
	case err != nil, u.Hostname() == "":
		return nil, errors.New("it is not a whole URL")
	case u.Scheme != "wss" && u.Scheme != "ws":
		return nil, errors.New("its scheme must be wss, as in the connection URI")
	case u.User != nil, u.Fragment != "":
		return nil, errors.New("a connection URI has neither a user nor a fragment")
	case u.RawQuery != "" || u.ForceQuery:
		return nil, errors.New("the query is taken from each request; leave it out")
	}
	return u, nil
}

// refusal is why an upgrade is refused. The reason stays in our log.
type refusal struct {
	count  string
	detail string
}

func refused(count, detail string) *refusal { return &refusal{count, detail} }

// credential is a Key of an Account, ready for use.
type credential struct {
	organization string
	apiKey       [sha256.Size]byte // its hash, so that lengths tell nothing
	secret       []byte            // nil: unsigned
	unsigned     bool
}

// verifier checks who comes.
type verifier struct {
	keys   []credential
	nobody []byte // the key of those that are unknown: a check takes the same time
	host   bool   // Config.SignedHost
	age    time.Duration
	skew   time.Duration
	nonces nonces
}

func newVerifier(c Config) (*verifier, error) {
	v := &verifier{host: c.SignedHost, age: time.Duration(c.Limits.SignatureAge), skew: time.Duration(c.Limits.ClockSkew), nobody: make([]byte, keyBytes)}
	if _, err := rand.Read(v.nobody); err != nil {
		return nil, err
	}
	for _, account := range c.Accounts {
		for _, k := range account.Keys {
			secret, err := decodeSecret(k.ClientSecret)
			if err != nil {
				return nil, err
			}
			v.keys = append(v.keys, credential{organization: strings.ToLower(account.Organization), apiKey: sha256.Sum256([]byte(k.APIKey)), secret: secret, unsigned: k.Unsigned})
		}
	}
	return v, nil
}

// decodeSecret reads a client secret, which Genesys takes in base64.
func decodeSecret(s adapter.Secret) ([]byte, error) {
	b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(string(s), "="))
	if err != nil {
		return nil, errors.New("it is no base64")
	}
	return b, nil
}

// prove finds out which organization an upgrade comes from, or why it stays outside.
func (v *verifier) prove(u upgrade, now time.Time) (adapter.Principal, *refusal) {
	for _, name := range []string{headerOrganization, headerSession, headerCorrelation} {
		if values := u.header.Values(name); len(values) != 1 || !isUUID(values[0]) {
			return adapter.Principal{}, refused(countHeader, name+" is missing or no UUID")
		}
	}
	if len(u.header.Values(headerKey)) != 1 {
		return adapter.Principal{}, refused(countKey, "X-API-KEY is missing or there twice")
	}
	found := v.find(u.header.Get(headerKey), strings.ToLower(u.header.Get(headerOrganization)))
	inputs, signatures := u.header.Values(headerInput), u.header.Values(headerSignature)
	if len(inputs)+len(signatures) == 0 {
		switch {
		case found == nil:
			return adapter.Principal{}, refused(countKey, "the API key is none of the organization's")
		case !found.unsigned:
			return adapter.Principal{}, refused(countSignature, "it carries no signature; enter the client secret at Genesys, or set unsigned for the key. A proxy may have removed Signature and Signature-Input")
		}
		return adapter.Principal{Account: found.organization, Method: adapter.MethodToken}, nil
	}
	key := v.nobody
	if found != nil && found.secret != nil {
		key = found.secret
	}
	nonce, no := v.check(u, key, now)
	switch {
	case found == nil:
		return adapter.Principal{}, refused(countKey, "the API key is none of the organization's")
	case found.secret == nil:
		return adapter.Principal{}, refused(countSignature, "it is signed, but the key has no client_secret here")
	case no != nil:
		return adapter.Principal{}, no
	}
	switch v.nonces.use(nonce, now, v.age+2*v.skew) {
	case nonceUsed:
		return adapter.Principal{}, refused(countReplay, "its signature was used before")
	case nonceNoRoom:
		return adapter.Principal{}, refused(countFull, "too many signatures in a few seconds to remember them all")
	}
	return adapter.Principal{Account: found.organization, Method: adapter.MethodSignature}, nil
}

// find returns the organization's credential with an API key. How long it takes tells
// nothing about keys.
func (v *verifier) find(apiKey, organization string) *credential {
	sum := sha256.Sum256([]byte(apiKey))
	var found *credential
	for i := range v.keys {
		k := &v.keys[i]
		if subtle.ConstantTimeCompare(sum[:], k.apiKey[:]) == 1 && k.organization == organization {
			found = k
		}
	}
	return found
}

// signature is one of a request's, read.
type signature struct {
	list    httpsfv.InnerList
	sum     []byte
	nonce   string
	alg     string
	keyID   string
	created int64
	expires int64
}

// check verifies the request's signature with a key and returns its nonce.
func (v *verifier) check(u upgrade, key []byte, now time.Time) (nonce string, no *refusal) {
	s, detail := readSignature(u.header)
	if detail != "" {
		return "", refused(countSignature, detail)
	}
	if detail := s.timely(now, v.age, v.skew); detail != "" {
		return "", refused(countSignature, detail)
	}
	base, detail := s.base(u, v.host)
	if detail != "" {
		return "", refused(countSignature, detail)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(base)
	if !hmac.Equal(mac.Sum(nil), s.sum) {
		return "", refused(countSignature, "it fits neither the client secret nor this request; compare the secret at Genesys. A proxy must leave path and host as they are, or public_url must say what they were")
	}
	return s.keyID + " " + s.nonce, nil
}

// readSignature reads the one signature whose keyid is the request's API key. detail
// says why there is none.
func readSignature(h http.Header) (s signature, detail string) {
	apiKey := h.Get(headerKey)
	if len(h.Get(headerInput)) > maxSignature || len(h.Values(headerInput)) != 1 || len(h.Values(headerSignature)) != 1 {
		return s, "Signature or Signature-Input is missing, there twice, or too long"
	}
	inputs, err := httpsfv.UnmarshalDictionary(h.Values(headerInput))
	if err != nil {
		return s, "Signature-Input is malformed"
	}
	sums, err := httpsfv.UnmarshalDictionary(h.Values(headerSignature))
	if err != nil {
		return s, "Signature is malformed"
	}
	for _, label := range inputs.Names() {
		member, _ := inputs.Get(label)
		list, ok := member.(httpsfv.InnerList)
		if !ok || list.Params == nil {
			return s, "Signature-Input is no list with parameters"
		}
		if id, _ := list.Params.Get("keyid"); id != apiKey {
			continue
		}
		sum, _ := sums.Get(label)
		item, _ := sum.(httpsfv.Item)
		if s.sum, ok = item.Value.([]byte); !ok {
			return s, "Signature has no bytes under the name that Signature-Input gives"
		}
		s.list = list
		return s, s.readParameters()
	}
	return s, "keyid is not the request's API key"
}

// readParameters takes the signature's parameters; unknown ones are refused.
func (s *signature) readParameters() (detail string) {
	params := s.list.Params
	for _, name := range params.Names() {
		value, _ := params.Get(name)
		var ok bool
		switch name {
		case "keyid":
			s.keyID, ok = value.(string)
		case "nonce":
			s.nonce, ok = value.(string)
		case "alg":
			s.alg, ok = value.(string)
			ok = ok && s.alg == algorithm
		case "created":
			s.created, ok = value.(int64)
		case "expires":
			s.expires, ok = value.(int64)
		}
		if !ok {
			return "parameter " + clip(name, 40) + " of the signature is unknown or has no usable value"
		}
	}
	if len(s.nonce) < minNonce {
		return "the signature's nonce is missing or too short"
	}
	return ""
}

// timely reports why a signature does not hold now. Its times are whole seconds.
func (s *signature) timely(now time.Time, age, skew time.Duration) (detail string) {
	at, most, drift := now.Unix(), int64(age/time.Second), int64(skew/time.Second)
	switch {
	case s.created <= 0:
		return "the signature says not when it was created"
	case s.created > at+drift:
		return "the signature is from the future; compare the clock of this machine"
	case s.created < at-most-drift:
		return "the signature is too old; compare the clock of this machine"
	case s.expires != 0 && s.expires < at-drift:
		return "the signature has expired"
	}
	return ""
}

// base builds what the signature was made over. The list of components is encoded
// again, so that there is one way only to write it.
func (s *signature) base(u upgrade, host bool) (base []byte, detail string) {
	var b bytes.Buffer
	var covered []string
	for _, item := range s.list.Items {
		name, ok := item.Value.(string)
		if !ok || item.Params != nil && len(item.Params.Names()) > 0 || slices.Contains(covered, name) {
			return nil, "a component of the signature has parameters or is there twice"
		}
		covered = append(covered, name)
		var value string
		switch {
		case name == componentTarget:
			value = u.target
		case name == componentAuthority, name == componentHost && host:
			value = u.authority
		case strings.HasPrefix(name, "@"), name == "signature", name == componentHost:
			return nil, "the signature covers " + clip(name, 40) + ", which is not supported"
		default:
			values := u.header.Values(name)
			if name != strings.ToLower(name) || len(values) != 1 {
				return nil, "the signature covers header " + clip(name, 40) + ", which is missing or there twice"
			}
			value = strings.TrimSpace(values[0])
		}
		b.WriteString(`"` + name + `": ` + value + "\n")
	}
	for _, name := range append([]string{componentTarget, componentAuthority}, componentHeaders...) {
		if !slices.Contains(covered, name) && (name != componentAuthority || !host || !slices.Contains(covered, componentHost)) {
			return nil, "the signature does not cover " + name
		}
	}
	list, err := httpsfv.Marshal(httpsfv.List{s.list})
	if err != nil {
		return nil, "Signature-Input is malformed"
	}
	b.WriteString(`"@signature-params": ` + list)
	return b.Bytes(), ""
}
