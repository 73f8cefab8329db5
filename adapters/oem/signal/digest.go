package signal

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/icholy/digest"
)

const (
	nonceLife = 5 * time.Minute
	maxNonces = 8192
)

// algorithms in our order of preference (RFC 8760 §2.3).
var algorithms = []string{"SHA-256", "MD5"}

// digester checks the digests of users. A nonce names its time and is signed, so nothing
// is kept until one is used; then its highest count is, so that no answer counts twice.
type digester struct {
	realm string
	key   [32]byte
	note  func(kind string)

	mu   sync.Mutex
	used map[string]nonceUse
}

type nonceUse struct {
	count int
	until time.Time
}

func newDigester(realm string, note func(string)) *digester {
	d := &digester{realm: realm, note: note, used: map[string]nonceUse{}}
	_, _ = rand.Read(d.key[:]) // never fails
	return d
}

// nonce makes one for now.
func (d *digester) nonce(now time.Time) string {
	b := make([]byte, 16, 48)
	binary.BigEndian.PutUint64(b, uint64(now.UnixMilli()))
	_, _ = rand.Read(b[8:])
	return base64.RawURLEncoding.EncodeToString(append(b, d.sign(b)...))
}

func (d *digester) sign(b []byte) []byte {
	mac := hmac.New(sha256.New, d.key[:])
	mac.Write(b)
	return mac.Sum(nil)[:16]
}

// age returns how old a nonce of ours is.
func (d *digester) age(nonce string, now time.Time) (time.Duration, bool) {
	b, err := base64.RawURLEncoding.DecodeString(nonce)
	if err != nil || len(b) != 32 || !hmac.Equal(b[16:], d.sign(b[:16])) {
		return 0, false
	}
	return now.Sub(time.UnixMilli(int64(binary.BigEndian.Uint64(b)))), true
}

// challenge adds what asks for a digest, one line for each algorithm.
func (d *digester) challenge(to *draft, stale bool) {
	nonce := d.nonce(time.Now())
	for _, a := range algorithms {
		c := digest.Challenge{Realm: d.realm, Nonce: nonce, Algorithm: a, QOP: []string{"auth"}, Stale: stale}
		to.add("WWW-Authenticate", c.String())
	}
}

// answers returns the credentials of m for our realm.
func (d *digester) answers(m *message) []*digest.Credentials {
	var all []*digest.Credentials
	for _, name := range []string{"Authorization", "Proxy-Authorization"} {
		for _, v := range m.headers.Values(name) {
			if c, err := digest.ParseCredentials(v); err == nil && c.Realm == d.realm {
				all = append(all, c)
			}
		}
	}
	return all
}

// stale tells whether m's digest was right but for a nonce that is over, or used: the
// peer may answer a new one without asking its user.
func (d *digester) stale(m *message, users []User) bool {
	for _, c := range d.answers(m) {
		if _, ours := d.age(c.Nonce, time.Now()); ours && right(c, m.method, users) != "" {
			return true
		}
	}
	return false
}

// user returns which of users m's digest proves, or "". It takes the count of the nonce,
// so it is asked once for each request.
func (d *digester) user(m *message, users []User) string {
	for _, c := range d.answers(m) {
		age, ours := d.age(c.Nonce, time.Now())
		if !ours || age < 0 || age > nonceLife {
			continue
		}
		if u := right(c, m.method, users); u != "" && d.use(c, age) {
			return u
		}
	}
	return ""
}

// use takes a count of a nonce; an answer without qop has but one.
func (d *digester) use(c *digest.Credentials, age time.Duration) bool {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if c.Nc <= d.used[c.Nonce].count && d.used[c.Nonce].count > 0 || c.QOP != "" && c.Nc < 1 {
		return false
	}
	if len(d.used) >= maxNonces {
		for n, u := range d.used {
			if now.After(u.until) {
				delete(d.used, n)
			}
		}
		if len(d.used) >= maxNonces {
			return false
		}
	}
	d.used[c.Nonce] = nonceUse{count: max(c.Nc, 1), until: now.Add(nonceLife - age)}
	return true
}

// right returns the user whose password made c. The digest covers the URI that c names,
// which on its way here may have been rewritten, so it is not compared with ours.
func right(c *digest.Credentials, method string, users []User) string {
	if c.QOP != "" && c.QOP != "auth" || !slices.Contains(append(algorithms, ""), strings.ToUpper(c.Algorithm)) {
		return ""
	}
	chal := &digest.Challenge{Realm: c.Realm, Nonce: c.Nonce, Algorithm: c.Algorithm, Opaque: c.Opaque}
	if c.QOP != "" {
		chal.QOP = []string{c.QOP}
	}
	for _, u := range users {
		if u.Name != c.Username {
			continue
		}
		want, err := digest.Digest(chal, digest.Options{Method: method, URI: c.URI, Count: c.Nc, Username: u.Name, Password: u.Password, Cnonce: c.Cnonce})
		if err == nil && subtle.ConstantTimeCompare([]byte(want.Response), []byte(strings.ToLower(c.Response))) == 1 {
			return u.Name
		}
	}
	return ""
}
