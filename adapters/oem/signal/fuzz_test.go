package signal

import (
	"bufio"
	"bytes"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

func seeds(f *testing.F) [][]byte {
	f.Helper()
	var all [][]byte
	for _, file := range tortures(f) {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		_, b, _ = bytes.Cut(b, []byte("\n")) // what it is
		_, b, _ = bytes.Cut(b, []byte("\n")) // what is wanted
		all = append(all, bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n")))
	}
	return append(all, []byte("\r\n\r\n"), []byte("INVITE sip:x SIP/2.0\nv:SIP/2.0/UDP h\nCSeq:1 INVITE\n\n"), []byte{0}, []byte("SIP/2.0 200\r\n"))
}

// An answer to whatever can be told apart is a message that says the same transaction
// and dialog, and holds no line that the peer smuggled in.
func FuzzAnswer(f *testing.F) {
	for _, b := range seeds(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseDatagram(b)
		if err != nil || m.status > 0 {
			return
		}
		answer := answerTo(m, netip.MustParseAddrPort("198.51.100.7:5070"), 400, "", "tag").bytes()
		got, err := parseDatagram(answer)
		if err != nil || got.status != 400 {
			t.Fatalf("the answer cannot be read: %v\n%q", err, answer)
		}
		if lines := len(m.headers.Values("Via")) + 5; len(got.headers) > lines {
			t.Errorf("%d lines; want at most %d:\n%q", len(got.headers), lines, answer)
		}
		if m.flaw.status > 0 {
			return
		}
		if got.callID != m.callID || got.cseq != m.cseq || got.about != m.about || got.from.Tag() != m.from.Tag() || got.via.branch() != m.via.branch() {
			t.Errorf("the answer is to another request:\n%q\n%q", b, answer)
		}
		if got.to.Tag() == "" {
			t.Errorf("the answer has no To tag:\n%q", answer)
		}
	})
}

// However a stream is cut into pieces, the same messages come out of it.
func FuzzStream(f *testing.F) {
	for _, b := range seeds(f) {
		f.Add(b)
	}
	read := func(r *bufio.Reader) (all []string) {
		fr := framer{r: r, most: 1 << 12, begun: func() {}, pong: func() error { all = append(all, "ping"); return nil }}
		for {
			m, err := fr.next()
			if m != nil {
				all = append(all, m.method+" "+m.uri+" "+m.callID+" "+string(m.body)+" "+m.flaw.text)
			}
			if err != nil {
				return all
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		whole := read(bufio.NewReaderSize(bytes.NewReader(b), 4096))
		pieces := read(bufio.NewReaderSize(iotest.OneByteReader(bytes.NewReader(b)), 16))
		if strings.Join(whole, "|") != strings.Join(pieces, "|") {
			t.Errorf("in pieces %q; whole %q", pieces, whole)
		}
	})
}

// Whatever comes, before a call and within one, the server lives: the next call is
// answered, and when it stops nothing is left.
func FuzzServer(f *testing.F) {
	for _, b := range seeds(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			p := r.phone("198.51.100.7:5070")
			p.write(b)
			good := r.phone("198.51.100.8:5070")
			good.call()
			tag := r.fake.lastDialog().ID()
			p.write(bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("tag=1"), []byte("tag="+tag)), []byte("Call-ID: "), []byte("Call-ID: "+good.callID+"\r\nX: ")))
			stream := r.tcpPhone("198.51.100.9:5070")
			stream.write(b)
			time.Sleep(time.Second)
			good.bye()
			stream.hangup()
			r.end()
		})
	})
}

func FuzzAddress(f *testing.F) {
	for _, s := range []string{`"A \"b\"" <sip:a;x@b:5060;lr;transport=tcp?h=v>;tag=1;q="a;b"`, "sip:a@b;tag=2", "<sip:a;+sip.src", `<sip:a>, "b, c" <sip:d`, "<sips:[::1]:99>", `"`, "<,<>,"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a := ParseAddress(s)
		for _, p := range append(a.Params, a.URIParams()...) {
			if p.Name == "" || !p.Set && p.Value != "" {
				t.Errorf("ParseAddress(%q) has the parameter %+v", s, p)
			}
		}
		if got := strings.Join(Split(s), ","); strings.Count(got, ",") != strings.Count(s, ",") {
			t.Errorf("Split(%q) loses commas: %q", s, got)
		}
		if t2, ok := parseTarget(a.URI); ok && (t2.host == "" || strings.ContainsAny(t2.host, ";>? ") || t2.port < 0 || t2.port > 65535) {
			t.Errorf("parseTarget(%q) = %+v", a.URI, t2)
		}
	})
}
