package receiver

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"log/slog"

	"github.com/pion/srtp/v3"
)

// Suite is an SRTP crypto suite, by its name in a=crypto.
type Suite string

// The suites of RFC 4568 §6.2, RFC 6188 and RFC 7714, strongest first; Suites has them in
// that order.
const (
	AEADAES256GCM   Suite = "AEAD_AES_256_GCM"
	AEADAES128GCM   Suite = "AEAD_AES_128_GCM"
	AES256CMSHA1_80 Suite = "AES_256_CM_HMAC_SHA1_80"
	AES256CMSHA1_32 Suite = "AES_256_CM_HMAC_SHA1_32"
	AES128CMSHA1_80 Suite = "AES_CM_128_HMAC_SHA1_80"
	AES128CMSHA1_32 Suite = "AES_CM_128_HMAC_SHA1_32"
)

// Suites returns all suites that a stream understands.
func Suites() []Suite {
	return []Suite{AEADAES256GCM, AEADAES128GCM, AES256CMSHA1_80, AES256CMSHA1_32, AES128CMSHA1_80, AES128CMSHA1_32}
}

var profiles = map[Suite]srtp.ProtectionProfile{
	AEADAES256GCM:   srtp.ProtectionProfileAeadAes256Gcm,
	AEADAES128GCM:   srtp.ProtectionProfileAeadAes128Gcm,
	AES256CMSHA1_80: srtp.ProtectionProfileAes256CmHmacSha1_80,
	AES256CMSHA1_32: srtp.ProtectionProfileAes256CmHmacSha1_32,
	AES128CMSHA1_80: srtp.ProtectionProfileAes128CmHmacSha1_80,
	AES128CMSHA1_32: srtp.ProtectionProfileAes128CmHmacSha1_32,
}

// Lengths returns the bytes of a suite's master key and salt. The inline parameter of
// a=crypto is the base64 form of the key followed by the salt. It reports false for a suite
// that a stream does not understand.
func (s Suite) Lengths() (key, salt int, ok bool) {
	profile, ok := profiles[s]
	if !ok {
		return 0, 0, false
	}
	key, errKey := profile.KeyLen()
	salt, errSalt := profile.SaltLen()
	return key, salt, errKey == nil && errSalt == nil
}

// NewKey makes a master key for s from the system's randomness.
func (s Suite) NewKey() (MasterKey, error) {
	key, salt, ok := s.Lengths()
	if !ok {
		return MasterKey{}, fmt.Errorf("%w: SRTP suite %q is not known", ErrMedia, s)
	}
	secret := make([]byte, key+salt)
	if _, err := rand.Read(secret); err != nil {
		return MasterKey{}, fmt.Errorf("receiver: make an SRTP key: %w", err)
	}
	return MasterKey{Key: secret[:key:key], Salt: secret[key:]}, nil
}

// MasterKey is one SRTP master key. It prints as nothing.
type MasterKey struct {
	Key, Salt []byte
	// MKI is the master key identifier, as it stands in packets (its length is part of
	// a=crypto); nil without one.
	MKI []byte
	// Lifetime is after how many packets the key should not be used any more; 0 when it was
	// not said. A sender that goes on is heard, and counted.
	Lifetime uint64
}

// Keys are the SRTP keys of a session.
type Keys struct {
	Suite  Suite
	Sender []MasterKey // of the peer; the first one, or that which a packet's MKI names
	Own    MasterKey   // of ours, for the reports that we send
}

const redacted = "[key]"

// String hides the key.
func (MasterKey) String() string { return redacted }

// GoString hides the key.
func (MasterKey) GoString() string { return redacted }

// LogValue hides the key.
func (MasterKey) LogValue() slog.Value { return slog.StringValue(redacted) }

// String names the suite alone.
func (k Keys) String() string { return string(k.Suite) + " " + redacted }

// GoString names the suite alone.
func (k Keys) GoString() string { return k.String() }

// LogValue names the suite alone.
func (k Keys) LogValue() slog.Value { return slog.StringValue(k.String()) }

func (k MasterKey) equal(o MasterKey) bool {
	return bytes.Equal(k.Key, o.Key) && bytes.Equal(k.Salt, o.Salt) && bytes.Equal(k.MKI, o.MKI)
}

func (k MasterKey) clone() MasterKey {
	k.Key, k.Salt, k.MKI = bytes.Clone(k.Key), bytes.Clone(k.Salt), bytes.Clone(k.MKI)
	return k
}
