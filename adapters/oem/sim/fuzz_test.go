package sim

import (
	"bufio"
	"bytes"
	"fmt"
	"testing"
)

// FuzzMessage: what is read of a datagram is the same when it comes on a stream, and its
// body is no longer than it says.
func FuzzMessage(f *testing.F) {
	f.Add([]byte("SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK1\r\nCSeq: 1 INVITE\r\nContent-Length: 3\r\n\r\nv=0"))
	f.Add([]byte("BYE sip:a@b SIP/2.0\r\nl: 0\r\nt: <sip:a@b>;tag=1\r\n\r\n"))
	f.Add([]byte("SIP/2.0 200\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n"))
	f.Add([]byte("OPTIONS sip:a SIP/2.0\r\nContent-Length: -1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseDatagram(b)
		if err != nil || m.value("Content-Length") == "" {
			return
		}
		if fmt.Sprint(len(m.body)) != m.value("Content-Length") && len(m.body) > 0 {
			t.Skip("a number with signs or zeros in front")
		}
		for _, h := range m.headers {
			if bytes.ContainsAny([]byte(h[0]), ":\r\n ") {
				t.Errorf("a header is called %q", h[0])
			}
		}
		head, _, _ := bytes.Cut(b, []byte("\r\n\r\n"))
		if bytes.Count(head, []byte("\n")) != bytes.Count(head, []byte("\r\n")) || bytes.HasPrefix(head, []byte("\r\n")) {
			return // streams end lines by LF alone
		}
		s, err := readMessage(bufio.NewReaderSize(bytes.NewReader(b), maxMessage))
		if err != nil || s.start != m.start || !bytes.Equal(s.body, m.body) {
			t.Errorf("on a stream: %v, %+v; want %+v", err, s, m)
		}
	})
}

// FuzzAnswer: a description that is read has ports that exist, and checking it against any
// offer says something or nothing, but does not fail.
func FuzzAnswer(f *testing.F) {
	offer := "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 101\r\na=label:1\r\na=sendonly\r\n"
	f.Add([]byte(offer))
	f.Add([]byte(offer + "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAA\r\n"))
	f.Add([]byte("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 0 RTP/AVP 0\r\n"))
	ours, err := readDescription([]byte(offer))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := readAnswer(b)
		if err != nil {
			return
		}
		odd := checkAnswer(ours, d)
		if len(d.media) != len(ours.media) && len(odd) == 0 {
			t.Errorf("%d m= lines are no trouble", len(d.media))
		}
		for _, m := range d.media {
			if target, err := aimAt(m); err == nil && target.kind.Rate == 0 {
				t.Error("aimed without a codec")
			}
		}
	})
}
