package config

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// Bytes is an amount of memory, written "512KiB", "2MiB" or "1GiB".
type Bytes int64

var byteUnits = []struct {
	name string
	size Bytes
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

var errBytes = errors.New("not an amount of memory")

// String writes the largest unit that divides the amount.
func (b Bytes) String() string {
	for _, u := range byteUnits {
		if b != 0 && b%u.size == 0 {
			return strconv.FormatInt(int64(b/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10) + "B"
}

// MarshalText writes the amount as String does.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText reads a whole number with a unit: B, KiB, MiB or GiB.
func (b *Bytes) UnmarshalText(text []byte) error {
	s, size := string(text), Bytes(1)
	for _, u := range byteUnits {
		if cut, ok := strings.CutSuffix(s, u.name); ok {
			s, size = cut, u.size
			break
		}
	}
	if size == 1 {
		cut, ok := strings.CutSuffix(s, "B")
		if !ok {
			return errBytes
		}
		s = cut
	}
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/int64(size) {
		return errBytes
	}
	*b = Bytes(n) * size
	return nil
}
