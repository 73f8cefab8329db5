package five9

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

const (
	maxConversationID = 64 // characters, as Google has it; the first is a letter
	maxPrefix         = 24 // of them, what is neither call nor domain
	callDigits        = 10 // to which Google's reference connector pads a call id with zeros
	hashDigits        = 24 // in the place of ids that are too long
)

// conversationID returns the id of a call's conversation. Ids that are numbers stand in
// it as Google's reference connector writes them, so that desktops made for it find
// the conversation. Any other can be read back: see escape. What is too long is
// replaced by a hash, and short is false.
func conversationID(template, domain, call string) (id string, short bool) {
	for _, shorten := range []func(string) string{func(s string) string { return s }, hash} {
		id = strings.NewReplacer(placeDomain, shorten(escape(domain)), placeCall, shorten(pad(call))).Replace(template)
		if len(id) <= maxConversationID {
			break
		}
		short = true
	}
	return id, !short
}

// pad writes a number with ten digits or more.
func pad(call string) string {
	if call == "" || strings.Trim(call, "0123456789") != "" {
		return escape(call)
	}
	n := strings.TrimLeft(call, "0")
	return strings.Repeat("0", max(0, callDigits-len(n))) + n
}

// escape writes what a conversation id cannot hold as _ and two hexadecimal digits a
// byte, _ itself included.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '-':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "_%02X", c)
		}
	}
	return b.String()
}

func hash(s string) string {
	if len(s) <= hashDigits {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])[:hashDigits]
}
