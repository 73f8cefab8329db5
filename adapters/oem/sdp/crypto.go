package sdp

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
)

// Suite is a crypto suite of SDES.
type Suite string

// The suites that can be used (RFC 4568 §6.2, RFC 6188, RFC 7714).
const (
	AES128SHA80 Suite = "AES_CM_128_HMAC_SHA1_80"
	AES128SHA32 Suite = "AES_CM_128_HMAC_SHA1_32"
	AES256SHA80 Suite = "AES_256_CM_HMAC_SHA1_80"
	AES256SHA32 Suite = "AES_256_CM_HMAC_SHA1_32"
	AES128GCM   Suite = "AEAD_AES_128_GCM"
	AES256GCM   Suite = "AEAD_AES_256_GCM"
)

// Suites lists the suites that can be used.
var Suites = []Suite{AES128SHA80, AES128SHA32, AES256SHA80, AES256SHA32, AES128GCM, AES256GCM}

// sizes returns the bytes of a suite's master key and salt; zeros for a suite that is
// not known.
func (s Suite) sizes() (key, salt int) {
	switch s {
	case AES128SHA80, AES128SHA32:
		return 16, 14
	case AES256SHA80, AES256SHA32:
		return 32, 14
	case AES128GCM:
		return 16, 12
	case AES256GCM:
		return 32, 12
	}
	return 0, 0
}

// Crypto is one a=crypto line of SDES. It shows nothing of its keys in any format.
type Crypto struct {
	Tag   int
	Suite Suite
	Keys  []Key // one as a rule; several have an MKI each
}

// Key is the key that one side encrypts with. It shows nothing of itself.
type Key struct {
	Master, Salt []byte
	// Lifetime is the number of packets that the key is good for; 0 where nothing is said.
	Lifetime uint64
	// MKI precedes the authentication tag of each packet, in this length; empty for none.
	MKI []byte
}

const hidden = "(secret)"

// Format hides the keys from every verb of fmt.
func (c Crypto) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "crypto %d %s %s", c.Tag, c.Suite, hidden)
}

// LogValue hides the keys.
func (c Crypto) LogValue() slog.Value { return slog.StringValue(string(c.Suite) + " " + hidden) }

// MarshalText hides the keys.
func (c Crypto) MarshalText() ([]byte, error) { return []byte(string(c.Suite) + " " + hidden), nil }

// Format hides the key from every verb of fmt.
func (Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// LogValue hides the key.
func (Key) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText hides the key.
func (Key) MarshalText() ([]byte, error) { return []byte(hidden), nil }

const (
	maxKeys = 8
	maxMKI  = 128 // bytes, RFC 4568 §6.1
)

// parseCrypto reads what stands behind "a=crypto:". A line whose suite or parameters
// cannot be honoured is not ok.
func parseCrypto(value string) (c Crypto, ok bool) {
	words := strings.Fields(value)
	if len(words) < 3 {
		return c, false
	}
	tag, err := strconv.Atoi(words[0])
	if err != nil || tag < 0 || tag > 999999999 {
		return c, false
	}
	c.Tag, c.Suite = tag, Suite(strings.ToUpper(words[1]))
	master, salt := c.Suite.sizes()
	if master == 0 {
		return c, false
	}
	for _, word := range words[3:] {
		// A window is a hint; a leading minus allows to ignore a parameter. Any other
		// parameter changes what is on the wire.
		if name := strings.ToUpper(word); !strings.HasPrefix(name, "WSH=") && !strings.HasPrefix(name, "-") {
			return c, false
		}
	}
	params := strings.Split(strings.TrimSuffix(words[2], ";"), ";")
	if len(params) > maxKeys {
		return c, false
	}
	for _, p := range params {
		key, ok := parseKey(p, master, salt)
		if !ok || len(params) > 1 && len(key.MKI) == 0 {
			return c, false
		}
		c.Keys = append(c.Keys, key)
	}
	return c, true
}

// parseKey reads "inline:BASE64|lifetime|MKI:length".
func parseKey(s string, master, salt int) (k Key, ok bool) {
	method, rest, _ := strings.Cut(s, ":")
	if !strings.EqualFold(method, "inline") {
		return k, false
	}
	words := strings.Split(rest, "|")
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(words[0], "="))
	if err != nil || len(raw) != master+salt {
		return k, false
	}
	k.Master, k.Salt = raw[:master:master], raw[master:]
	for _, word := range words[1:] {
		number, length, isMKI := strings.Cut(word, ":")
		if isMKI {
			k.MKI, ok = parseMKI(number, length)
		} else {
			k.Lifetime, ok = parseLifetime(word)
		}
		if !ok {
			return k, false
		}
	}
	return k, true
}

func parseLifetime(s string) (uint64, bool) {
	if power, ok := strings.CutPrefix(s, "2^"); ok {
		n, err := strconv.ParseUint(power, 10, 6)
		return 1 << n, err == nil
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil && n > 0
}

func parseMKI(number, length string) ([]byte, bool) {
	size, err := strconv.Atoi(length)
	value, err2 := strconv.ParseUint(number, 10, 64)
	if err != nil || err2 != nil || size < 1 || size > maxMKI || size < 8 && value>>(8*size) != 0 {
		return nil, false
	}
	b := make([]byte, max(size, 8))
	binary.BigEndian.PutUint64(b[len(b)-8:], value)
	return b[len(b)-size:], true
}

// newCrypto makes a key of our own.
func newCrypto(tag int, suite Suite, random io.Reader) (*Crypto, error) {
	master, salt := suite.sizes()
	raw := make([]byte, master+salt)
	if _, err := io.ReadFull(random, raw); err != nil {
		return nil, fmt.Errorf("sdp: no random bytes for a key: %w", err)
	}
	return &Crypto{Tag: tag, Suite: suite, Keys: []Key{{Master: raw[:master:master], Salt: raw[master:]}}}, nil
}

// line writes the a=crypto line of a key of ours.
func (c *Crypto) line() string {
	k := c.Keys[0]
	both := append(append(make([]byte, 0, len(k.Master)+len(k.Salt)), k.Master...), k.Salt...)
	return fmt.Sprintf("a=crypto:%d %s inline:%s", c.Tag, c.Suite, base64.StdEncoding.EncodeToString(both))
}
