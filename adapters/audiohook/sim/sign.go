package sim

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// signatureLife is how long a signature of ours holds.
const signatureLife = 30 * time.Second

// component is a part of a request that is signed.
type component struct{ name, value string }

// Sign returns Signature-Input and Signature for the components of a request, as pairs
// of a name and a value in their order: an HTTP Message Signature with HMAC-SHA256 (RFC
// 9421; parameters in the order of Genesys' example).
func Sign(apiKey string, secret []byte, nonce string, created time.Time, pairs ...string) (input, signature string) {
	var components []component
	for i := 0; i+1 < len(pairs); i += 2 {
		components = append(components, component{pairs[i], pairs[i+1]})
	}
	var names []string
	var base strings.Builder
	for _, c := range components {
		names = append(names, `"`+c.name+`"`)
		_, _ = fmt.Fprintf(&base, "%q: %s\n", c.name, c.value)
	}
	list := fmt.Sprintf(`(%s);keyid="%s";nonce="%s";alg="hmac-sha256";created=%d;expires=%d`,
		strings.Join(names, " "), apiKey, nonce, created.Unix(), created.Add(signatureLife).Unix())
	base.WriteString(`"@signature-params": ` + list)
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(base.String()))
	return "sig1=" + list, "sig1=:" + base64.StdEncoding.EncodeToString(mac.Sum(nil)) + ":"
}

// UUID returns a random UUID.
func UUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	b[6] = b[6]&0x0F | 0x40
	b[8] = b[8]&0x3F | 0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// NullUUID is what a probe has in the place of its ids.
const NullUUID = "00000000-0000-0000-0000-000000000000"
