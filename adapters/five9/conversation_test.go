package five9

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// googleRule is what Dialogflow wants of a conversation id.
var googleRule = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_-]{2,63}$`)

func TestConversationID(t *testing.T) {
	for _, c := range []struct {
		template, domain, call, want string
		whole                        bool
	}{
		{DefaultConversationID, "131096", "7", "five9-0000000007", true},
		{DefaultConversationID, "131096", "0000000007", "five9-0000000007", true},
		{DefaultConversationID, "131096", "300000000012", "five9-300000000012", true},
		{DefaultConversationID, "131096", "0", "five9-0000000000", true},
		{DefaultConversationID, "131096", "F9-a", "five9-F9-a", true},
		{DefaultConversationID, "131096", "a_b/c", "five9-a_5Fb_2Fc", true},
		{"five9-{domain}-{call}", "131096", "7", "five9-131096-0000000007", true},
		{"five9-{domain}-{call}", "my domain", "7", "five9-my_20domain-0000000007", true},
		{DefaultConversationID, "", strings.Repeat("1", 64), "five9-6b1136b23fe452a49ff5f75c", false},
	} {
		got, whole := conversationID(c.template, c.domain, c.call)
		if got != c.want && c.whole || whole != c.whole || !googleRule.MatchString(got) {
			t.Errorf("conversationID(%q, %q, %q) = %q, %v; want %q, %v", c.template, c.domain, c.call, got, whole, c.want, c.whole)
		}
	}
}

// unescape is the inverse of escape.
func unescape(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '_' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", fmt.Errorf("%q ends too early", s)
		}
		n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			return "", err
		}
		b.WriteByte(byte(n))
		i += 2
	}
	return b.String(), nil
}

func FuzzConversationID(f *testing.F) {
	f.Add("131096", "300000000012")
	f.Add("a b", "F9_a/b:c")
	f.Add("", strings.Repeat("9", 128))
	f.Fuzz(func(t *testing.T, domain, call string) {
		if len(domain) > 128 || len(call) > 128 || call == "" {
			return // read refuses them
		}
		id, whole := conversationID("five9-{domain}-{call}", domain, call)
		if !googleRule.MatchString(id) {
			t.Errorf("conversationID(%q, %q) = %q, which breaks Google's rule", domain, call, id)
		}
		if again, _ := conversationID("five9-{domain}-{call}", domain, call); again != id {
			t.Errorf("conversationID(%q, %q) = %q and %q", domain, call, id, again)
		}
		if back, err := unescape(escape(call)); err != nil || back != call {
			t.Errorf("escape(%q) reads back as %q, %v", call, back, err)
		}
		if whole && !strings.HasSuffix(id, pad(call)) {
			t.Errorf("conversationID(%q, %q) = %q lacks the call", domain, call, id)
		}
	})
}
