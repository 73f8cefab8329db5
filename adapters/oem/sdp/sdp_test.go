package sdp

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"

	pion "github.com/pion/sdp/v3"
)

// text joins the lines of a description.
func text(lines ...string) []byte { return []byte(strings.Join(lines, "\r\n") + "\r\n") }

// offer is a description with one audio line of Avaya's kind and what is added to it.
func offer(more ...string) []byte {
	return text(append([]string{
		"v=0", "o=src 1 1 IN IP4 198.51.100.7", "s=-", "c=IN IP4 198.51.100.7", "t=0 0",
		"m=audio 6004 RTP/AVP 0 8 18 101", "a=rtpmap:101 telephone-event/8000", "a=sendonly", "a=label:10",
	}, more...)...)
}

func parse(t *testing.T, b []byte) Description {
	t.Helper()
	d, err := Parse(b)
	if err != nil {
		t.Fatalf("Parse: %v\n%s", err, b)
	}
	return d
}

// choices opens ports from 20000 on.
func choices() Choices {
	next := 20000
	return Choices{
		Address: netip.MustParseAddr("192.0.2.1"), Session: 42,
		Port: func(int) (int, error) { next += 2; return next - 2, nil },
	}
}

func answer(t *testing.T, b []byte, previous *Agreement, c Choices) *Agreement {
	t.Helper()
	a, err := Answer(parse(t, b), previous, c)
	if err != nil {
		t.Fatalf("Answer: %v\n%s", err, b)
	}
	strict(t, a.Body)
	return a
}

// strict reads an answer with a reader that is not ours, and demands that nothing sends.
func strict(t *testing.T, body []byte) pion.SessionDescription {
	t.Helper()
	var d pion.SessionDescription
	if err := d.Unmarshal(body); err != nil {
		t.Fatalf("pion/sdp: %v\n%s", err, body)
	}
	for _, m := range d.MediaDescriptions {
		_, send := m.Attribute("sendonly")
		_, both := m.Attribute("sendrecv")
		if send || both {
			t.Errorf("the answer sends:\n%s", body)
		}
	}
	return d
}

func TestParseTolerant(t *testing.T) {
	for name, c := range map[string]struct {
		in                 []byte
		sections           int
		odd                string // of the first oddity
		held, plain, label string
	}{
		"as it should be":         {in: offer(), sections: 1},
		"no t=, no c= (OpenSIPS)": {in: text("v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "m=audio 4000 RTP/AVP 8 3", "a=sendonly"), sections: 1, odd: "no c="},
		"line feeds alone":        {in: bytes.ReplaceAll(offer(), []byte("\r"), nil), sections: 1},
		"returns alone":           {in: bytes.ReplaceAll(offer(), []byte("\n"), nil), sections: 1},
		"blank lines":             {in: bytes.ReplaceAll(append([]byte("\r\n\r\n"), offer()...), []byte("\r\n"), []byte("\r\n\r\n")), sections: 1},
		"byte order mark":         {in: append([]byte("\xef\xbb\xbf"), offer()...), sections: 1},
		"foreign boundary":        {in: append(offer(), "--unique-boundary-1\r\nContent-Type: x/y\r\n\r\nm=audio 1 RTP/AVP 0\r\n"...), sections: 1, odd: "is not SDP"},
		"no v=":                   {in: text("m=audio 6004 RTP/AVP 0"), sections: 1, odd: "no c="},
		"impossible port":         {in: text("v=0", "c=IN IP4 192.0.2.9", "m=audio 70000 RTP/AVP 0"), sections: 1, odd: "no port"},
		"words missing in m=":     {in: text("v=0", "c=IN IP4 192.0.2.9", "m=audio", "m="), sections: 2},
		"no media":                {in: text("v=0", "s=-"), sections: 0},
	} {
		t.Run(name, func(t *testing.T) {
			d := parse(t, c.in)
			if len(d.Sections) != c.sections {
				t.Errorf("%d sections; want %d", len(d.Sections), c.sections)
			}
			if (c.odd == "") != (len(d.Odd) == 0) || c.odd != "" && !strings.Contains(d.Odd[0], c.odd) {
				t.Errorf("odd = %q; want %q", d.Odd, c.odd)
			}
		})
	}
	for name, in := range map[string]string{"empty": "", "blanks": "\r\n \r\n", "XML": "<recording/>", "words": "hello"} {
		if _, err := Parse([]byte(in)); !errors.Is(err, ErrUnreadable) || Code(err) != 400 {
			t.Errorf("%s: Parse = %v, code %d; want ErrUnreadable, 400", name, err, Code(err))
		}
	}
	if _, err := Parse([]byte("v=0\n" + strings.Repeat("m=audio 4 RTP/AVP 0\n", MaxSections+1))); !errors.Is(err, ErrTooLong) {
		t.Errorf("Parse of too many m= lines = %v", err)
	}
}

func TestSectionFacts(t *testing.T) {
	d := parse(t, text("v=0", "o=x 1 2 IN IP4 198.51.100.1", "c=IN IP4 198.51.100.1", "a=inactive", "a=ptime:30",
		"m=audio 6004/2 RTP/AVP 9 111 96 97 98 19 13 3",
		"c=IN IP6 2001:db8::7", "a=label:16777227", "a=RTPMAP:111 OPUS/48000/2", "a=rtpmap:96 Telephone-Event/8000", "a=rtpmap:97 telephone-event/48000",
		"a=rtpmap:98 PCMU/16000", "a=rtpmap:19 CN/8000", "a=fmtp:96 0-16", "a=maxptime:40", "a=rtcp:7000 IN IP6 2001:db8::8", "a=rtcp-mux", "a=sendonly",
		"m=audio 6010 RTP/AVP 0", "a=direction:both", "a=rtcp:7001",
		"m=audio 6012 RTP/AVP 0", "c=IN IP4 media.example.com", "a=ptime:1000"))
	s := d.Sections[0]
	want := []Payload{
		{Type: 9, Codec: G722, Clock: 8000, Channels: 1}, {Type: 111, Codec: Opus, Clock: 48000, Channels: 2},
		{Type: 96, Codec: Event, Clock: 8000, Channels: 1, Fmtp: "0-16"}, {Type: 97, Codec: Event, Clock: 48000, Channels: 1},
		{Type: 98, Codec: "PCMU/16000", Clock: 16000, Channels: 1}, {Type: 19, Codec: Noise, Clock: 8000, Channels: 1},
		{Type: 13, Codec: Noise, Clock: 8000, Channels: 1}, {Type: 3, Codec: "GSM", Clock: 8000, Channels: 1},
	}
	if !slices.Equal(s.Payloads, want) {
		t.Errorf("payloads = %+v\nwant %+v", s.Payloads, want)
	}
	got := fmt.Sprintf("%v %v %v %v %v %v %v %v %v", s.Port, s.Address, s.RTCP, s.Mux, s.Label, s.Direction, s.Held, s.Ptime, s.MaxPtime)
	if w := "6004 2001:db8::7 [2001:db8::8]:7000 true 16777227 sendonly false 30ms 40ms"; got != w {
		t.Errorf("section 0 = %s\nwant %s", got, w)
	}
	s = d.Sections[1]
	if got, w := fmt.Sprintf("%v %v %v %v", s.Address, s.RTCP, s.Direction, s.Held), "198.51.100.1 198.51.100.1:7001 inactive true"; got != w {
		t.Errorf("section 1 = %s; want %s", got, w)
	}
	s = d.Sections[2]
	if s.Host != "media.example.com" || s.Address.IsValid() || s.RTCP.IsValid() || s.Ptime.Milliseconds() != 30 {
		t.Errorf("section 2 = %q %v %v %v", s.Host, s.Address, s.RTCP, s.Ptime)
	}
}

func TestHeld(t *testing.T) {
	one := func(origin, c, direction string) []byte {
		lines := []string{"v=0", "o=x 1 1 IN IP4 " + origin, "s=-", "t=0 0", "m=audio 6004 RTP/AVP 0"}
		if c != "" {
			lines = append(lines, "c=IN IP4 "+c)
		}
		if direction != "" {
			lines = append(lines, "a="+direction)
		}
		return text(lines...)
	}
	for name, c := range map[string]struct {
		in   []byte
		want string // the direction of our answer
	}{
		"sendonly":                             {one("198.51.100.7", "198.51.100.7", "sendonly"), "recvonly"},
		"sendrecv":                             {one("198.51.100.7", "198.51.100.7", "sendrecv"), "recvonly"},
		"no direction":                         {one("198.51.100.7", "198.51.100.7", ""), "recvonly"},
		"inactive":                             {one("198.51.100.7", "198.51.100.7", "inactive"), "inactive"},
		"recvonly":                             {one("198.51.100.7", "198.51.100.7", "recvonly"), "inactive"},
		"connection 0.0.0.0":                   {one("198.51.100.7", "0.0.0.0", "sendonly"), "inactive"},
		"connection 0.0.0.0, no direction":     {one("198.51.100.7", "0.0.0.0", ""), "inactive"},
		"origin 0.0.0.0 (Metaswitch)":          {one("0.0.0.0", "198.51.100.7", ""), "inactive"},
		"origin 0.0.0.0, no c= (OpenSIPS)":     {one("0.0.0.0", "", ""), "recvonly"},
		"origin 0.0.0.0, but it says it sends": {one("0.0.0.0", "198.51.100.7", "sendonly"), "recvonly"},
	} {
		a := answer(t, c.in, nil, choices())
		if !strings.Contains(string(a.Body), "\r\na="+c.want+"\r\n") || a.Streams[0].Receive != (c.want == "recvonly") {
			t.Errorf("%s: Receive = %v, answer:\n%swant %s", name, a.Streams[0].Receive, a.Body, c.want)
		}
	}
}

func TestAnswerText(t *testing.T) {
	in := text("v=0", "o=src 1 1 IN IP4 198.51.100.7", "s=-", "c=IN IP4 198.51.100.7", "t=0 0",
		"m=audio 6004 RTP/AVP 18 8 0 19 101", "a=rtpmap:19 CN/8000", "a=rtpmap:101 telephone-event/8000", "a=ptime:30", "a=rtcp-mux", "a=sendonly", "a=label:16777227",
		"m=video 7000 RTP/AVP 99", "a=rtpmap:99 H264/90000", "a=label:3",
		"m=message 7002 TCP/MSRP *",
		"m=audio 6006 RTP/AVP 111 100 102 101", "a=rtpmap:111 opus/48000/2", "a=rtpmap:100 telephone-event/8000", "a=rtpmap:102 telephone-event/48000", "a=rtpmap:101 telephone-event/8000", "a=sendonly", "a=label:b_leg",
		"m=audio 0 RTP/AVP 0",
		"m=audio 6008 RTP/AVP 18 3", "a=label:4")
	a := answer(t, in, nil, choices())
	want := text("v=0", "o=patchbay 42 1 IN IP4 192.0.2.1", "s=-", "c=IN IP4 192.0.2.1", "t=0 0",
		"m=audio 20000 RTP/AVP 0 101 19", "a=label:16777227", "a=rtpmap:0 PCMU/8000", "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15", "a=rtpmap:19 CN/8000", "a=ptime:30", "a=recvonly", "a=rtcp-mux",
		"m=video 0 RTP/AVP 99",
		"m=message 0 TCP/MSRP *",
		"m=audio 20002 RTP/AVP 111 102", "a=label:b_leg", "a=rtpmap:111 opus/48000/2", "a=rtpmap:102 telephone-event/48000", "a=fmtp:102 0-15", "a=recvonly",
		"m=audio 0 RTP/AVP 0",
		"m=audio 0 RTP/AVP 18 3")
	if !bytes.Equal(a.Body, want) {
		t.Errorf("answer:\n%s\nwant:\n%s", a.Body, want)
	}
	for i, refused := range []string{"", "video over RTP/AVP is not recorded", "message over TCP/MSRP is not recorded", "", "the stream is over", "no audio stream with a codec"} {
		if s := a.Streams[i]; s.Accepted != (refused == "") || !strings.HasPrefix(s.Refused, refused) {
			t.Errorf("stream %d: accepted %v, refused %q; want %q", i, s.Accepted, s.Refused, refused)
		}
	}
	first := a.Streams[0]
	if len(first.Payloads) != 4 || first.Remote.String() != "198.51.100.7:6004" || first.RTCP != first.Remote {
		t.Errorf("stream 0 = %+v", first)
	}
	if p, ok := first.Payload(8); !ok || p.Codec != PCMA {
		t.Error("an offered type that was not answered must stay known")
	}
	if _, ok := first.Payload(18); ok {
		t.Error("G.729 cannot be decoded, so it must not be known")
	}
}

func TestCodecs(t *testing.T) {
	for name, c := range map[string]struct {
		m      string
		codecs []Codec
		want   string
		code   int
	}{
		"ours before theirs":      {m: "9 8 0", want: "PCMU"},
		"wideband wanted":         {m: "0 8 9", codecs: []Codec{G722, PCMU}, want: "G722"},
		"wideband not offered":    {m: "0 8", codecs: []Codec{G722, PCMU}, want: "PCMU"},
		"G.722 alone (Webex)":     {m: "9", want: "G722"},
		"G.729 alone":             {m: "18", code: 488},
		"events alone":            {m: "101", code: 488},
		"not in the trunk's list": {m: "8", codecs: []Codec{PCMU}, code: 488},
	} {
		ch := choices()
		ch.Codecs = c.codecs
		ch.Port = func(int) (int, error) {
			if c.code != 0 {
				t.Errorf("%s: a port was opened for what is refused", name)
			}
			return 20000, nil
		}
		a, err := Answer(parse(t, text("v=0", "c=IN IP4 192.0.2.9", "m=audio 6004 RTP/AVP "+c.m, "a=rtpmap:101 telephone-event/8000")), nil, ch)
		switch {
		case c.code != 0:
			if err == nil || Code(err) != c.code || !errors.Is(err, ErrNoCommonCodec) {
				t.Errorf("%s: %v; want code %d", name, err, c.code)
			}
		case err != nil || a.Streams[0].Codec.Codec != Codec(c.want):
			t.Errorf("%s: %v %v; want %s", name, a, err, c.want)
		}
	}
}

func TestVersionsAndChanges(t *testing.T) {
	c := choices()
	two := offer("m=audio 6006 RTP/AVP 0 8", "a=sendonly", "a=label:20")
	at := func(from, to string) []byte { return bytes.ReplaceAll(two, []byte(from), []byte(to)) }
	last := answer(t, two, nil, c)
	if got := fmt.Sprint(Changes(nil, last)); got != "[{0 new} {1 new}]" {
		t.Errorf("first changes: %s", got)
	}
	for _, step := range []struct {
		name    string
		in      []byte
		version uint64
		want    string
	}{
		{"refresh", two, 1, "[]"},
		{"refresh with an older origin", at("o=src 1 1", "o=src 9 0"), 1, "[]"},
		{"hold", at("a=sendonly", "a=inactive"), 2, "[{0 held} {1 held}]"},
		{"held still", at("a=sendonly", "a=inactive"), 2, "[]"},
		{"held, and only unknown codecs (Metaswitch)", bytes.ReplaceAll(at("a=sendonly", "a=inactive"), []byte("RTP/AVP 0 8"), []byte("RTP/AVP 2")), 3, "[{0 codec} {1 codec}]"},
		{"resume", two, 4, "[{0 codec} {0 resumed} {1 codec} {1 resumed}]"},
		{"moved by two", at("6004", "6008"), 4, "[{0 moved}]"},
		{"moved back", two, 4, "[{0 moved}]"},
		{"other codec", at("RTP/AVP 0 8 18", "RTP/AVP 8"), 5, "[{0 codec}]"},
		{"joined", append(slices.Clone(two), "m=audio 6012 RTP/AVP 0\r\na=label:30\r\n"...), 6, "[{0 codec} {2 new}]"},
		{"ended", append(bytes.ReplaceAll(two, []byte("m=audio 6006"), []byte("m=audio 0")), "m=audio 6012 RTP/AVP 0\r\na=label:30\r\n"...), 7, "[{1 ended}]"},
	} {
		now := answer(t, step.in, last, c)
		if got := fmt.Sprint(Changes(last, now)); got != step.want || now.Version != step.version || now.Session != 42 {
			t.Errorf("%s: changes %s, version %d, session %d; want %s, %d", step.name, got, now.Version, now.Session, step.want, step.version)
		}
		for i, s := range now.Streams {
			if before := last.stream(i); before.Accepted && s.Accepted && before.Port != s.Port {
				t.Errorf("%s: the port of stream %d is %d; want %d kept", step.name, i, s.Port, before.Port)
			}
		}
		last = now
	}
	over := answer(t, bytes.ReplaceAll(bytes.ReplaceAll(two, []byte("6004"), []byte("0")), []byte("6006"), []byte("0")), last, c)
	if got := fmt.Sprint(Changes(last, over)); got != "[{0 ended} {2 ended}]" {
		t.Errorf("everything over: %s", got)
	}
}

const inline = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz" // the example key of RFC 4568

func TestSRTP(t *testing.T) {
	const good = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + inline + "|2^20|1:32"
	fingerprint := "a=fingerprint:sha-256 " + strings.Repeat("AB:", 31) + "AB"
	for name, c := range map[string]struct {
		protocol string
		lines    []string
		policy   Policy
		insecure bool
		suites   []Suite
		err      error
		keys     bool
		optional bool
		tag      int
	}{
		"SAVP":                            {protocol: "RTP/SAVP", lines: []string{good}, keys: true, tag: 1},
		"SAVPF":                           {protocol: "RTP/SAVPF", lines: []string{good}, keys: true, tag: 1},
		"SAVP on plain signalling":        {protocol: "RTP/SAVP", lines: []string{good}, insecure: true, err: ErrSRTPPlain},
		"SAVP without keys":               {protocol: "RTP/SAVP", err: ErrSRTPSuite},
		"SAVP, switched off":              {protocol: "RTP/SAVP", lines: []string{good}, policy: SRTPRefused, err: ErrSRTPRefused},
		"AVP with keys (Cisco)":           {protocol: "RTP/AVP", lines: []string{good}, keys: true, optional: true, tag: 1},
		"AVP with keys, plain signalling": {protocol: "RTP/AVP", lines: []string{good}, insecure: true},
		"AVP with keys, required":         {protocol: "RTP/AVP", lines: []string{good}, policy: SRTPRequired, keys: true, tag: 1},
		"AVP with keys, required, plain":  {protocol: "RTP/AVP", lines: []string{good}, policy: SRTPRequired, insecure: true, err: ErrSRTPPlain},
		"AVP with keys, switched off":     {protocol: "RTP/AVP", lines: []string{good}, policy: SRTPRefused},
		"AVP, required":                   {protocol: "RTP/AVP", policy: SRTPRequired, err: ErrSRTPRequired},
		"DTLS":                            {protocol: "UDP/TLS/RTP/SAVPF", lines: []string{fingerprint}, err: ErrDTLS},
		"DTLS or keys":                    {protocol: "RTP/SAVP", lines: []string{fingerprint, good}, keys: true, tag: 1},
		"first supported":                 {protocol: "RTP/SAVP", lines: []string{"a=crypto:1 F8_128_HMAC_SHA1_80 inline:" + inline, "a=crypto:7 aes_cm_128_hmac_sha1_32 inline:" + inline}, keys: true, tag: 7},
		"first allowed":                   {protocol: "RTP/SAVP", lines: []string{good, "a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:" + inline}, suites: []Suite{AES128SHA32}, keys: true, tag: 2},
		"none allowed":                    {protocol: "RTP/SAVP", lines: []string{good}, suites: []Suite{AES256GCM}, err: ErrSRTPSuite},
		"unencrypted RTCP is not ours":    {protocol: "RTP/SAVP", lines: []string{good + " UNENCRYPTED_SRTCP"}, err: ErrSRTPSuite},
		"window":                          {protocol: "RTP/SAVP", lines: []string{good + " WSH=128"}, keys: true, tag: 1},
		"short key":                       {protocol: "RTP/SAVP", lines: []string{"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAA"}, err: ErrSRTPSuite},
		"AES-256 key of the wrong length": {protocol: "RTP/SAVP", lines: []string{"a=crypto:1 AES_256_CM_HMAC_SHA1_80 inline:" + inline}, err: ErrSRTPSuite},
	} {
		t.Run(name, func(t *testing.T) {
			ch := choices()
			ch.SRTP, ch.Secure, ch.Suites = c.policy, !c.insecure, c.suites
			ch.Random = bytes.NewReader(bytes.Repeat([]byte{7}, 64))
			in := text(append([]string{"v=0", "c=IN IP4 192.0.2.9", "m=audio 6004 " + c.protocol + " 0"}, c.lines...)...)
			a, err := Answer(parse(t, in), nil, ch)
			if !errors.Is(err, c.err) || err != nil && Code(err) != 488 {
				t.Fatalf("Answer = %v; want %v", err, c.err)
			}
			if err != nil {
				return
			}
			s := a.Streams[0]
			if (s.Theirs != nil) != c.keys || (s.Ours != nil) != c.keys || s.Optional != c.optional {
				t.Fatalf("keys %v and %v, optional %v", s.Theirs, s.Ours, s.Optional)
			}
			if !strings.Contains(string(a.Body), "m=audio 20000 "+c.protocol+" 0\r\n") {
				t.Errorf("the protocol is not the offer's:\n%s", a.Body)
			}
			if !c.keys {
				if strings.Contains(string(a.Body), "crypto") {
					t.Errorf("a key in a plain answer")
				}
				return
			}
			again := parse(t, a.Body).Sections[0].Crypto
			if len(again) != 1 || again[0].Tag != c.tag || again[0].Suite != s.Theirs.Suite || !bytes.Equal(again[0].Keys[0].Master, bytes.Repeat([]byte{7}, 16)) {
				t.Errorf("the answer's crypto line reads back as %v", again)
			}
			raw, _ := base64.StdEncoding.DecodeString(inline)
			if k := s.Theirs.Keys[0]; !bytes.Equal(append(slices.Clone(k.Master), k.Salt...), raw) {
				t.Error("the peer's key was read wrongly")
			}
		})
	}
}

func TestKeyParameters(t *testing.T) {
	c, ok := parseCrypto("5 AES_CM_128_HMAC_SHA1_80 inline:" + inline + "|2^31|1:4;inline:" + inline + "|100|258:2")
	if !ok || c.Keys[0].Lifetime != 1<<31 || !bytes.Equal(c.Keys[0].MKI, []byte{0, 0, 0, 1}) || c.Keys[1].Lifetime != 100 || !bytes.Equal(c.Keys[1].MKI, []byte{1, 2}) {
		t.Errorf("parseCrypto = %v, %v", ok, c.Keys)
	}
	if c, ok := parseCrypto("5 AES_CM_128_HMAC_SHA1_80 inline:" + inline + "|7:128"); !ok || len(c.Keys[0].MKI) != 128 || c.Keys[0].MKI[127] != 7 {
		t.Error("a long MKI was not read")
	}
	for _, bad := range []string{"", "1", "x AES_CM_128_HMAC_SHA1_80 inline:" + inline, "1 AES_CM_128_HMAC_SHA1_80 prompt:" + inline,
		"1 AES_CM_128_HMAC_SHA1_80 inline:" + inline + ";inline:" + inline, "1 AES_CM_128_HMAC_SHA1_80 inline:" + inline + "|256:1",
		"1 AES_CM_128_HMAC_SHA1_80 inline:" + inline + "|2^64", "1 AES_CM_128_HMAC_SHA1_80 inline:" + inline + "|1:0"} {
		if _, ok := parseCrypto(bad); ok {
			t.Errorf("parseCrypto(%q) was taken", bad)
		}
	}
}

// A new key of the peer's is taken; ours stays, so that reports in flight can be read.
func TestKeysOfADialog(t *testing.T) {
	c := choices()
	c.Secure = true
	secure := func(key string) []byte {
		return text("v=0", "c=IN IP4 192.0.2.9", "m=audio 6004 RTP/SAVP 0", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:"+key)
	}
	first := answer(t, secure(inline), nil, c)
	second := answer(t, secure(strings.Replace(inline, "WV", "AA", 1)), first, c)
	if got := fmt.Sprint(Changes(first, second)); got != "[{0 keys}]" || second.Version != 1 || !sameKeys(first.Streams[0].Ours, second.Streams[0].Ours) {
		t.Errorf("changes %s, version %d", got, second.Version)
	}
}

func TestSecretsStayHidden(t *testing.T) {
	c := choices()
	c.Secure = true
	d := parse(t, text("v=0", "c=IN IP4 192.0.2.9", "m=audio 6004 RTP/SAVP 0", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:"+inline))
	a, err := Answer(d, nil, c)
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := base64.StdEncoding.DecodeString(inline)
	ours := a.Streams[0].Ours.Keys[0].Master
	secrets := []string{inline, fmt.Sprint(raw[:16])[1:40], fmt.Sprintf("%x", raw[:16]), fmt.Sprint(ours)[1:30], fmt.Sprintf("%x", ours), base64.StdEncoding.EncodeToString(ours)[:16]}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "d", d, "s", a.Streams[0], "a", a, "c", *a.Streams[0].Ours, "k", a.Streams[0].Ours.Keys[0])
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "d", d, "s", a.Streams[0], "a", a, "c", a.Streams[0].Ours, "k", a.Streams[0].Ours.Keys)
	js, _ := json.Marshal([]any{d, a.Streams, a.Streams[0].Ours})
	shown := []string{log.String(), string(js), Redact(a.Body), Redact([]byte("A=Crypto:1 x " + inline)), fmt.Sprint(c, a)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		shown = append(shown, fmt.Sprintf(verb, d), fmt.Sprintf(verb, a), fmt.Sprintf(verb, a.Streams), fmt.Sprintf(verb, a.Streams[0].Ours), fmt.Sprintf(verb, d.Sections[0].Crypto))
	}
	for _, s := range shown {
		for _, secret := range secrets {
			if strings.Contains(s, secret) {
				t.Errorf("a key shows in %.300s", s)
			}
		}
	}
	if !strings.Contains(Redact(a.Body), "m=audio") {
		t.Error("Redact leaves nothing")
	}
}

func TestDelayedOffer(t *testing.T) {
	c := choices()
	made, err := Offer(nil, c)
	if err != nil {
		t.Fatal(err)
	}
	want := text("v=0", "o=patchbay 42 1 IN IP4 192.0.2.1", "s=-", "c=IN IP4 192.0.2.1", "t=0 0", "m=audio 20000 RTP/AVP 0 8 9 101",
		"a=rtpmap:0 PCMU/8000", "a=rtpmap:8 PCMA/8000", "a=rtpmap:9 G722/8000", "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15", "a=recvonly")
	if !bytes.Equal(made.Body, want) {
		t.Errorf("offer:\n%swant:\n%s", made.Body, want)
	}
	cucm := text("v=0", "o=CiscoSystemsCCM-SIP 1 1 IN IP4 198.51.100.7", "s=SIP Call", "c=IN IP4 198.51.100.8", "t=0 0",
		"m=audio 18000 RTP/AVP 0 101", "a=rtpmap:0 PCMU/8000", "a=rtpmap:101 telephone-event/8000", "a=sendonly")
	now, err := made.Accept(parse(t, cucm), c)
	if err != nil {
		t.Fatal(err)
	}
	s := now.Streams[0]
	if !s.Receive || s.Codec.Codec != PCMU || s.Remote.String() != "198.51.100.8:18000" || s.Port != 20000 || len(s.Payloads) != 4 {
		t.Errorf("accepted: %+v", s)
	}
	// A re-INVITE without a description gets the current one as an offer.
	again, err := Offer(now, c)
	if err != nil || again.Version != 1 || !bytes.Equal(again.Body, made.Body) {
		t.Errorf("the offer again: %v\n%s", err, again.Body)
	}
	paused := c
	paused.Inactive = true
	pause, err := Offer(now, paused)
	if err != nil || pause.Version != 2 || !strings.Contains(string(pause.Body), "a=inactive") {
		t.Errorf("the pause: %v\n%s", err, pause.Body)
	}
	held, err := pause.Accept(parse(t, bytes.ReplaceAll(cucm, []byte("sendonly"), []byte("inactive"))), paused)
	if err != nil || fmt.Sprint(Changes(now, held)) != "[{0 held}]" {
		t.Errorf("paused: %v %v", Changes(now, held), err)
	}
	if back, err := Answer(parse(t, cucm), held, c); err != nil || back.Version != 3 || fmt.Sprint(Changes(held, back)) != "[{0 codec} {0 resumed}]" {
		t.Errorf("their offer after the pause: %v %v", back, err)
	}
	for name, refused := range map[string][]byte{"port 0": bytes.ReplaceAll(cucm, []byte("18000"), []byte("0")), "no line": text("v=0"), "G.729": bytes.ReplaceAll(cucm, []byte("AVP 0 101"), []byte("AVP 18"))} {
		if _, err := made.Accept(parse(t, refused), c); !errors.Is(err, ErrNoCommonCodec) {
			t.Errorf("%s: Accept = %v; want ErrNoCommonCodec", name, err)
		}
	}
}

// A held line whose codecs are unknown is on offer with those that we know, and a line
// that was refused stays refused.
func TestOfferWhileHeld(t *testing.T) {
	c := choices()
	now := answer(t, offer("m=video 7000 RTP/AVP 99"), nil, c)
	held := answer(t, text("v=0", "c=IN IP4 0.0.0.0", "m=audio 6004 RTP/AVP 2 101", "a=rtpmap:101 telephone-event/8000", "m=video 7000 RTP/AVP 99"), now, c)
	made, err := Offer(held, c)
	if err != nil || !strings.Contains(string(made.Body), "m=audio 20000 RTP/AVP 101 0 8\r\n") || !strings.Contains(string(made.Body), "m=video 0 RTP/AVP 99\r\n") {
		t.Errorf("Offer: %v\n%s", err, made.Body)
	}
	strict(t, made.Body)
	back, err := made.Accept(parse(t, offer("m=video 0 RTP/AVP 99")), c)
	if err != nil || back.Streams[1].Accepted || fmt.Sprint(Changes(held, back)) != "[{0 codec} {0 resumed}]" || back.Streams[0].Label != "10" {
		t.Errorf("Accept: %v %v", Changes(held, back), err)
	}
}

func TestSecureDelayedOffer(t *testing.T) {
	c := choices()
	c.SRTP = SRTPRequired
	if _, err := Offer(nil, c); !errors.Is(err, ErrSRTPPlain) {
		t.Errorf("Offer on plain signalling = %v", err)
	}
	c.Secure = true
	made, err := Offer(nil, c)
	if err != nil || !strings.Contains(string(made.Body), "RTP/SAVP 0 8 9 101") || made.Streams[0].Ours == nil {
		t.Fatalf("Offer = %v %v", made, err)
	}
	if _, err := made.Accept(parse(t, text("v=0", "c=IN IP4 192.0.2.9", "m=audio 5000 RTP/SAVP 0")), c); !errors.Is(err, ErrSRTPRequired) {
		t.Errorf("Accept without keys = %v", err)
	}
	now, err := made.Accept(parse(t, text("v=0", "c=IN IP4 192.0.2.9", "m=audio 5000 RTP/SAVP 0", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:"+inline)), c)
	if err != nil || now.Streams[0].Theirs == nil {
		t.Errorf("Accept = %v %v", now, err)
	}
}

func TestPortsRunOut(t *testing.T) {
	c := choices()
	none := errors.New("no port is left")
	c.Port = func(int) (int, error) { return 0, none }
	if _, err := Answer(parse(t, offer()), nil, c); !errors.Is(err, none) || Code(err) != 500 {
		t.Errorf("Answer = %v, code %d", err, Code(err))
	}
}

func TestStreamLimit(t *testing.T) {
	c := choices()
	c.MaxStreams = 2
	a := answer(t, offer("m=audio 6006 RTP/AVP 0", "m=audio 6008 RTP/AVP 0"), nil, c)
	if !a.Streams[1].Accepted || a.Streams[2].Accepted || a.Streams[2].Refused != "more than 2 streams" {
		t.Errorf("streams: %+v", a.Streams)
	}
}
