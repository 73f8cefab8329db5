package sim

import (
	"bytes"
	"strings"
	"testing"
)

// TestCommandLine is what the command says of lines that it cannot obey.
func TestCommandLine(t *testing.T) {
	for _, c := range []struct {
		args, want string
		code       int
	}{
		{"--help", "Plays a telephone system", 0},
		{"--dialects", "webex-calling", 0},
		{"", "no target is named", 2},
		{"--to sip:x --calls -1", "a number is negative", 2},
		{"--to 127.0.0.1", "no SIP URI", 2},
		{"--to sip:127.0.0.1;transport=ws", "none of udp, tcp, tls", 2},
		{"--to sip:127.0.0.1;transport=tcp --tls", "names a transport already", 2},
		{"--to sip:127.0.0.1 --dialect nortel", "none of the dialects avaya", 2},
		{"--to sip:127.0.0.1 --codec g729", "none of the codecs", 2},
		{"--to sip:127.0.0.1 --codec g722 --coded", "does not survive g722", 2},
		{"--to sip:127.0.0.1 --codec opus --ptime 40ms", "the Opus packets last 20ms", 2},
		{"--to sip:127.0.0.1 --ptime 25ms", "10 to 60 ms", 2},
		{"--to sip:127.0.0.1 --srtp ROT13", "none of the SRTP suites", 2},
		{"--to sip:127.0.0.1 --loss much", "no share", 2},
		{"--to sip:127.0.0.1 --loss 100%", "between 0 and 1", 2},
		{"--to sip:127.0.0.1 --speed 2", "real time", 2},
		{"--to sip:127.0.0.1 --digest me", "USER:env:NAME", 2},
		{"--to sip:127.0.0.1 --digest me:secret", "env:NAME or file:PATH", 2},
		{"--to sip:127.0.0.1 --header nonsense", "Name: value", 2},
		{"--to sip:127.0.0.1 --media-ip here", "--media-ip", 2},
		{"--to sip:127.0.0.1 --media-ip ::1", "IPv4 alone", 2},
		{"--to sip:127.0.0.1 --tones cheese", "is none of amber", 2},
		{"--to sip:127.0.0.1 --tls --ca nowhere.pem", "nowhere.pem", 2},
		{"--to sip:127.0.0.1 more", `unexpected argument "more"`, 2},
		{"--to sip:127.0.0.1:1;transport=tcp", "127.0.0.1:1 over tcp", 1},
	} {
		var out, errs bytes.Buffer
		code := Main(t.Context(), strings.Fields(c.args), &out, &errs)
		if said := out.String() + errs.String(); code != c.code || !strings.Contains(said, c.want) {
			t.Errorf("simulate %s: exit code %d and %q; want %d and %q", c.args, code, said, c.code, c.want)
		}
	}
}
