package siprec

import "testing"

func TestParseAddress(t *testing.T) {
	for in, want := range map[string]Address{
		`"A <b> \" c" <sip:+15550100101;phone-context=x@Host.example:5060;user=phone?x=y>;tag=1`: {"+15550100101", "host.example"},
		`<sip:4711@198.51.100.1`:              {"4711", "198.51.100.1"},
		`sips:user:secret@[2001:db8::1]:5061`: {"user", "2001:db8::1"},
		`tel:+1-555-010-0101;ext=2`:           {"+1-555-010-0101", ""},
		`8012@host`:                           {"8012", "host"},
		`5550100101`:                          {"5550100101", ""},
		`sip:192.0.2.1:5060;transport=tcp`:    {"", "192.0.2.1"},
		`sip:recorder.example.com`:            {"", "recorder.example.com"},
		`sip:4711`:                            {"4711", ""},
		`sip:a@b@c.example`:                   {"a@b", "c.example"},
		``:                                    {},
	} {
		if got := ParseAddress(in); got != want {
			t.Errorf("ParseAddress(%q) = %+v; want %+v", in, got, want)
		}
	}
}

func TestSameUser(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"+15550100101", "5550100101", true},
		{"+17602922410", "7602922410", true},
		{"0044 20 7946 0101", "+442079460101", true},
		{"02079460101", "+442079460101", true},
		{"+1 (555) 010-0101", "15550100101", true},
		{"4711", "4711", true},
		{"4711", "5550104711", false}, // an extension is no suffix of a number
		{"5550100101", "5550100102", false},
		{"Alice", "alice", true},
		{"alice", "4711", false},
		{"", "", false},
	} {
		if SameUser(c.a, c.b) != c.want || SameUser(c.b, c.a) != c.want {
			t.Errorf("SameUser(%q, %q) = %v; want %v", c.a, c.b, !c.want, c.want)
		}
	}
	if !(Address{"agent", "a.example"}).Same(Address{"AGENT", ""}) || (Address{"agent", "a.example"}).Same(Address{"agent", "b.example"}) {
		t.Error("hosts count between users that are no numbers")
	}
}

// FuzzAddress reads any address: what it finds stands in the text.
func FuzzAddress(f *testing.F) {
	f.Add(`"A" <sip:4711@h:1;p>;tag=1`, "4711")
	f.Add("tel:+1-555", "sip:@@")
	f.Fuzz(func(t *testing.T, text, other string) {
		a, b := ParseAddress(text), ParseAddress(other)
		if len(a.User)+len(a.Host) > len(text) {
			t.Errorf("ParseAddress(%q) = %+v", text, a)
		}
		if a.Same(b) != b.Same(a) || SameUser(a.User, b.User) != SameUser(b.User, a.User) || a.User != "" && !a.Same(a) {
			t.Errorf("%+v and %+v differ by their order", a, b)
		}
	})
}
