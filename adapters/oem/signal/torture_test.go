package signal

import (
	"context"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var marks = regexp.MustCompile(`\{(hex|repeat|length)(?::([^}:]*))?(?::([^}]*))?\}`)

// torture reads a message of testdata/torture: lines that begin with # say what it is and
// what must come of it; line ends become CRLF; {hex:…}, {repeat:n:…} and {length} stand
// for bytes, repetitions and the length of the body.
func torture(t *testing.T, file string) (msg []byte, want string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for strings.HasPrefix(text, "#") {
		var l string
		l, text, _ = strings.Cut(text, "\n")
		if w, ok := strings.CutPrefix(l, "# want "); ok {
			want = w
		}
	}
	text = strings.ReplaceAll(text, "\n", "\r\n")
	expand := func(s string, length int) string {
		return marks.ReplaceAllStringFunc(s, func(m string) string {
			p := marks.FindStringSubmatch(m)
			switch p[1] {
			case "hex":
				b, err := hex.DecodeString(p[2])
				if err != nil {
					t.Fatal(err)
				}
				return string(b)
			case "repeat":
				n, err := strconv.Atoi(p[2])
				if err != nil {
					t.Fatal(err)
				}
				return strings.Repeat(p[3], n)
			}
			return strconv.Itoa(length)
		})
	}
	head, body, _ := strings.Cut(text, "\r\n\r\n")
	body = expand(body, 0)
	return []byte(expand(head, len(body)) + "\r\n\r\n" + body), want
}

func tortures(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/torture/*.sip")
	if err != nil || len(files) < 45 {
		t.Fatalf("%d messages, %v; want those of RFC 4475", len(files), err)
	}
	return files
}

func TestTorture(t *testing.T) {
	for _, file := range tortures(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".sip"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				msg, want := torture(t, file)
				r := newRig(t)
				if want == "handler" {
					want = "415"
					r.fake.decide(func(context.Context, *Dialog, *Request) (Session, Answer) { return nil, Answer{Status: 415} })
				}
				p := r.phone("198.51.100.7:5070")
				p.write(msg)
				got, err := p.next(time.Second)
				switch {
				case want == "none" && err == nil:
					t.Fatalf("got %q; want silence", got)
				case want != "none" && !strings.HasPrefix(got, "SIP/2.0 "+want+" "):
					t.Fatalf("got %q, %v; want %s", got, err, want)
				}
				if d := r.fake.lastDialog(); want == "200" && d != nil {
					p.write([]byte("ACK sip:x SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bKack\r\nFrom: " + line(got, "From") +
						"\r\nTo: " + line(got, "To") + "\r\nCall-ID: " + line(got, "Call-ID") + "\r\nCSeq: 1 ACK\r\n\r\n"))
					synctest.Wait()
					if n := len(r.fake.seen()); n != 2 {
						t.Errorf("the ACK did not reach its dialog: %q", r.fake.seen())
					}
					d.Bye("")
					p.answer(p.want("BYE"), "200 OK")
				}
				r.fake.decide(nil)
				good := r.phone("198.51.100.8:5070")
				good.call()
				good.bye()
				r.end()
			})
		})
	}
}

// The same on a stream: whatever comes of a message, the next connection is served.
func TestTortureOnStreams(t *testing.T) {
	for _, file := range tortures(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".sip"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				msg, _ := torture(t, file)
				r := newRig(t)
				p := r.tcpPhone("198.51.100.7:5070")
				p.write(msg)
				time.Sleep(time.Second)
				good := r.tcpPhone("198.51.100.8:5070")
				good.call()
				good.bye()
				good.hangup()
				p.hangup()
				r.end()
			})
		})
	}
}
