package roles

import (
	"strings"

	"github.com/patchbay/patchbay/adapters/oem/siprec"
)

// address knows a party by number, user or domain.
func (m Match) address(a siprec.Address) bool {
	for _, pattern := range m.Numbers {
		if glob(pattern, a.User) {
			return true
		}
		if d := siprec.Digits(a.User); d != "" && glob(strings.TrimPrefix(pattern, "+"), d) {
			return true
		}
	}
	for _, pattern := range m.Domains {
		if a.Host != "" && glob(pattern, a.Host) {
			return true
		}
	}
	return false
}

// extension knows a party by how long its number is.
func (m Match) extension(a siprec.Address) bool {
	n := len(siprec.Digits(a.User))
	return n > 0 && m.Extensions.Max > 0 && n >= m.Extensions.Min && n <= m.Extensions.Max
}

// glob compares without case; * stands for any characters.
func glob(pattern, s string) bool {
	words := strings.Split(strings.ToLower(pattern), "*")
	s = strings.ToLower(s)
	if len(words) == 1 {
		return s == words[0]
	}
	if !strings.HasPrefix(s, words[0]) {
		return false
	}
	s = s[len(words[0]):]
	for _, w := range words[1 : len(words)-1] {
		i := strings.Index(s, w)
		if i < 0 {
			return false
		}
		s = s[i+len(w):]
	}
	return strings.HasSuffix(s, words[len(words)-1])
}
