package siprec

import "strings"

// Address is what an address in any style names: "Name" <sip:user@host;p>;tag=1,
// tel:+1-555-0100, user@host, bare digits.
type Address struct {
	User string // without parameters and password
	Host string // without port; empty for tel: and bare users
}

// maxAddress is the longest address that is read, in bytes.
const maxAddress = 1024

// ParseAddress reads an address. What it cannot read is empty.
func ParseAddress(text string) Address {
	if len(text) > maxAddress {
		return Address{}
	}
	s := URI(strings.ToValidUTF8(text, ""))
	scheme, rest, ok := strings.Cut(s, ":")
	scheme = strings.ToLower(strings.TrimSpace(scheme))
	if ok = ok && isScheme(scheme); ok {
		s = rest
	}
	var a Address
	user, host, hasHost := strings.Cut(s, "@")
	if !hasHost && strings.HasPrefix(scheme, "sip") && ok && strings.Trim(user, "+0123456789") != "" {
		user, host, hasHost = "", user, true // a URI without a user
	}
	if hasHost {
		// The last @ ends the user: some write an address into it.
		if i := strings.LastIndexByte(s, '@'); i > len(user) {
			user, host = s[:i], s[i+1:]
		}
		host, _, _ = strings.Cut(host, ";")
		host, _, _ = strings.Cut(host, "?")
		a.Host = strings.ToLower(cutPort(strings.TrimSpace(host)))
	}
	user, _, _ = strings.Cut(user, ";")
	user, _, _ = strings.Cut(user, "?")
	user, _, _ = strings.Cut(user, ":")
	a.User = strings.TrimSpace(user)
	return a
}

func isScheme(s string) bool {
	switch s {
	case "sip", "sips", "tel", "im", "pres", "xmpp", "mailto":
		return true
	}
	return false
}

// cutPort removes the port from a host.
func cutPort(host string) string {
	if strings.HasPrefix(host, "[") {
		inside, _, _ := strings.Cut(host[1:], "]")
		return inside
	}
	host, _, _ = strings.Cut(host, ":")
	return host
}

// URI returns the URI of an address header as written: what stands in angle brackets, else
// all without the header's parameters where a scheme says that it is a URI. A missing > is
// forgiven.
func URI(header string) string {
	quoted := false
	for i := 0; i < len(header); i++ {
		switch header[i] {
		case '\\':
			if quoted {
				i++
			}
		case '"':
			quoted = !quoted
		case '<':
			if !quoted {
				inside, _, _ := strings.Cut(header[i+1:], ">")
				return strings.TrimSpace(inside)
			}
		}
	}
	return strings.TrimSpace(header)
}

// Digits returns the digits of a number, or nothing if the text is not one: only digits
// and what people put between them.
func Digits(number string) string {
	var b strings.Builder
	for _, c := range number {
		switch {
		case c >= '0' && c <= '9':
			b.WriteRune(c)
		case strings.ContainsRune("+-.() /", c):
		default:
			return ""
		}
	}
	return b.String()
}

// minSuffix is how many digits two numbers must share at their end to be the same with
// and without a country code.
const minSuffix = 7

// maxCountry is how many digits a country code with trunk prefix may have.
const maxCountry = 5

// SameUser reports whether two users are the same: numbers by their digits, whatever
// the country code and punctuation, others without case.
func SameUser(a, b string) bool {
	if a == "" || b == "" {
		return false
	}
	x, y := Digits(a), Digits(b)
	if x == "" || y == "" {
		return strings.EqualFold(a, b)
	}
	if len(x) < len(y) {
		x, y = y, x
	}
	if x == y {
		return true
	}
	y = strings.TrimLeft(y, "0") // a trunk prefix
	return len(y) >= minSuffix && len(x)-len(y) <= maxCountry && strings.HasSuffix(x, y)
}

// Same reports whether two addresses name the same party. Hosts count only between
// users that are no numbers: every system writes its own address there.
func (a Address) Same(b Address) bool {
	if !SameUser(a.User, b.User) {
		return false
	}
	return Digits(a.User) != "" || a.Host == "" || b.Host == "" || a.Host == b.Host
}
