package sim

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

var errChallenge = errors.New("sim: a challenge that this client cannot answer")

// authorize answers the strongest challenge of a 401 or 407 by RFC 7616: the header line
// to add to the request.
func authorize(m *message, user, password, method, uri string) (string, error) {
	challenge, answer := "WWW-Authenticate", "Authorization"
	if m.status() == 407 {
		challenge, answer = "Proxy-Authenticate", "Proxy-Authorization"
	}
	best, sum := "", hashMD5
	for _, v := range m.values(challenge) {
		switch algorithm := strings.ToUpper(challengeParam(v, "algorithm")); {
		case algorithm == "SHA-256":
			best, sum = v, hashSHA256
		case best == "" && (algorithm == "" || algorithm == "MD5"):
			best = v
		}
	}
	rest, ok := strings.CutPrefix(best, "Digest ")
	if !ok {
		return "", fmt.Errorf("%w: %q", errChallenge, m.values(challenge))
	}
	realm, nonce := challengeParam(rest, "realm"), challengeParam(rest, "nonce")
	line := fmt.Sprintf(`%s: Digest username="%s", realm="%s", nonce="%s", uri="%s"`, answer, user, realm, nonce, uri)
	ha1 := sum(user + ":" + realm + ":" + password)
	ha2 := sum(method + ":" + uri)
	if qop := challengeParam(rest, "qop"); qop == "" {
		line += fmt.Sprintf(`, response="%s"`, sum(ha1+":"+nonce+":"+ha2))
	} else {
		cnonce := rand.Text()
		line += fmt.Sprintf(`, qop=auth, nc=00000001, cnonce="%s", response="%s"`, cnonce, sum(ha1+":"+nonce+":00000001:"+cnonce+":auth:"+ha2))
	}
	if a := challengeParam(rest, "algorithm"); a != "" {
		line += ", algorithm=" + a
	}
	if opaque := challengeParam(rest, "opaque"); opaque != "" {
		line += fmt.Sprintf(`, opaque="%s"`, opaque)
	}
	return line, nil
}

func hashMD5(s string) string {
	h := md5.Sum([]byte(s))
	return hex.EncodeToString(h[:])
}

func hashSHA256(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

// challengeParam finds a parameter of a challenge; quoted values may hold commas.
func challengeParam(s, name string) string {
	s = strings.TrimPrefix(s, "Digest ")
	for s != "" {
		n, rest, ok := strings.Cut(s, "=")
		if !ok {
			return ""
		}
		var value string
		if strings.HasPrefix(rest, `"`) {
			value, rest, _ = strings.Cut(rest[1:], `"`)
		} else if i := strings.IndexByte(rest, ','); i >= 0 {
			value, rest = rest[:i], rest[i:]
		} else {
			value, rest = rest, ""
		}
		if strings.EqualFold(strings.TrimSpace(n), name) {
			return strings.TrimSpace(value)
		}
		s = strings.TrimLeft(rest, ", ")
	}
	return ""
}
