package linking

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
)

var (
	idForm       = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_-]{2,63}$`)
	projectForm  = regexp.MustCompile(`^[a-z0-9][a-z0-9.:-]{0,62}$`)
	locationForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	prefixForm   = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_-]{0,23}$`)
)

const (
	maxID      = 64
	hashDigits = 32
)

// ValidID reports whether Agent Assist takes an id for a conversation.
func ValidID(id string) bool { return idForm.MatchString(id) }

// ConversationID makes a valid id of a prefix, which begins with a letter, and any text,
// the same for the same text.
// Letters, digits and - stay; others become _ and two hexadecimal digits, so that
// different texts have different ids. What is too long, or too short, gets a hash.
func ConversationID(prefix, text string) string {
	var b strings.Builder
	b.WriteString(prefix)
	for i := range len(text) {
		switch c := text[i]; {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '-':
			b.WriteByte(c)
		default:
			_, _ = fmt.Fprintf(&b, "_%02X", c)
		}
		if b.Len() > maxID {
			break
		}
	}
	if id := b.String(); len(id) <= maxID && ValidID(id) && text != "" {
		return id
	}
	sum := sha256.Sum256([]byte(text))
	return prefix[:min(len(prefix), maxID-hashDigits)] + hex.EncodeToString(sum[:])[:hashDigits]
}

// ParseName reads a conversation's full name, bare or at the end of a URL of Google's:
// [http[s]://host/][version/]projects/P[/locations/L]/conversations/C.
func ParseName(text string) (Name, bool) {
	var n Name
	text = strings.TrimSpace(text)
	if i := strings.Index(text, "://"); i >= 0 {
		if scheme := strings.ToLower(text[:i]); scheme != "http" && scheme != "https" {
			return n, false
		}
		_, text, _ = strings.Cut(text[i+3:], "/")
	}
	text, _, _ = strings.Cut(text, "?")
	words := strings.Split(strings.Trim(text, "/"), "/")
	if len(words) > 0 && strings.HasPrefix(words[0], "v2") {
		n.Version, words = words[0], words[1:]
	}
	switch {
	case len(words) == 4 && words[0] == "projects" && words[2] == "conversations":
		n.Project, n.Conversation = words[1], words[3]
	case len(words) == 6 && words[0] == "projects" && words[2] == "locations" && words[4] == "conversations":
		n.Project, n.Location, n.Conversation = words[1], words[3], words[5]
	default:
		return n, false
	}
	ok := projectForm.MatchString(n.Project) && ValidID(n.Conversation) &&
		(n.Location == "" || locationForm.MatchString(n.Location))
	return n, ok
}
