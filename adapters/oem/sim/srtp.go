package sim

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/pion/srtp/v3"
)

// suites are the SRTP suites by their SDP names (RFC 4568, 6188, 7714).
var suites = map[string]srtp.ProtectionProfile{
	"AES_CM_128_HMAC_SHA1_80": srtp.ProtectionProfileAes128CmHmacSha1_80,
	"AES_CM_128_HMAC_SHA1_32": srtp.ProtectionProfileAes128CmHmacSha1_32,
	"AES_256_CM_HMAC_SHA1_80": srtp.ProtectionProfileAes256CmHmacSha1_80,
	"AES_256_CM_HMAC_SHA1_32": srtp.ProtectionProfileAes256CmHmacSha1_32,
	"AEAD_AES_128_GCM":        srtp.ProtectionProfileAeadAes128Gcm,
	"AEAD_AES_256_GCM":        srtp.ProtectionProfileAeadAes256Gcm,
}

// Suites lists the SRTP suites.
func Suites() []string {
	var names []string
	for name := range suites {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// newKey makes a master key and salt.
func newKey(suite string) ([]byte, error) {
	key, salt, err := keyLengths(suite)
	if err != nil {
		return nil, err
	}
	b := make([]byte, key+salt)
	_, err = rand.Read(b)
	return b, err
}

func keyLengths(suite string) (key, salt int, err error) {
	profile, ok := suites[suite]
	if !ok {
		return 0, 0, fmt.Errorf("sim: unknown SRTP suite %q; use one of %s", suite, strings.Join(Suites(), " "))
	}
	if key, err = profile.KeyLen(); err != nil {
		return 0, 0, err
	}
	salt, err = profile.SaltLen()
	return key, salt, err
}

// newContext makes a cipher of a master key and salt.
func newContext(suite string, key []byte) (*srtp.Context, error) {
	k, s, err := keyLengths(suite)
	if err != nil {
		return nil, err
	}
	if len(key) != k+s {
		return nil, fmt.Errorf("sim: %s has keys of %d bytes, not %d", suite, k+s, len(key))
	}
	return srtp.CreateContext(key[:k], key[k:], suites[suite])
}

func cryptoAttribute(suite string, key []byte) string {
	return fmt.Sprintf("a=crypto:1 %s inline:%s\n", suite, base64.StdEncoding.EncodeToString(key))
}
