package networks

import (
	"testing"

	"github.com/patchbay/patchbay/core/adapter"
)

func TestParse(t *testing.T) {
	for in, want := range map[string]string{
		"10.1.2.3/8": "10.0.0.0/8", "192.0.2.7": "192.0.2.7/32", "::ffff:192.0.2.7": "192.0.2.7/32", "2001:db8::/32": "2001:db8::/32", "2001:db8::1": "2001:db8::1/128",
		"": "", "10.0.0.0/33": "", "example.com": "", "10.0.0.1:80": "",
	} {
		p, err := Parse(in)
		if (err == nil) != (want != "") || err == nil && p.String() != want {
			t.Errorf("Parse(%q) = %v, %v; want %q", in, p, err, want)
		}
	}
	var ps adapter.Problems
	Check(&ps, "addresses", []string{"10.0.0.0/8", "here"})
	if len(ps) != 1 || ps[0].Key != "addresses[1]" {
		t.Errorf("Check = %v; want a problem with addresses[1]", ps)
	}
}
