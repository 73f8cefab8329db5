package twilio

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	testStream = "MZ18ad3ab5a668481ce02b83e7395059f0"
	mediaJSON  = `{"event":"media","sequenceNumber":"4","media":{"track":"inbound","chunk":"2","timestamp":"5","payload":"no+JhoaJjpz/"},"streamSid":"` + testStream + `"}`
)

func TestDecode(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		want     func(*message) bool
	}{
		{"connected", `{"event":"connected","protocol":"Call","version":"1.0.0"}`, func(m *message) bool {
			return m.Event == eventConnected && m.Protocol == "Call" && m.Version == "1.0.0"
		}},
		{"start", `{"event":"start","sequenceNumber":"1","start":{"accountSid":"AC1","streamSid":"MZ1","callSid":"CA1","tracks":["inbound","outbound"],` +
			`"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},"customParameters":{"First":"Jane","n":7,"yes":true,"no":null,"obj":{"a":1}}},"streamSid":"MZ1"}`, func(m *message) bool {
			s := m.Start
			return m.Event == eventStart && m.StreamSID == "MZ1" && s.StreamSID == "MZ1" && s.AccountSID == "AC1" && s.CallSID == "CA1" &&
				len(s.Tracks) == 2 && s.Parameters["First"] == "Jane" && s.Parameters["n"] == "7" && s.Parameters["yes"] == "true" &&
				s.Parameters["no"] == "" && s.Parameters["obj"] == "" && s.Format.SampleRate == num(8000) && s.Format.Channels == num(1)
		}},
		{"media", mediaJSON, isMedia(4, 2, 5)},
		{"media with numbers", `{"event":"media","sequenceNumber":4,"media":{"track":"inbound","chunk":2,"timestamp":5,"payload":"no+JhoaJjpz/"},"streamSid":"` + testStream + `"}`, isMedia(4, 2, 5)},
		{"media with a new key", `{"event":"media","sequenceNumber":"4","media":{"track":"inbound","chunk":"2","timestamp":"5","payload":"no+JhoaJjpz/","gain":[1]},"streamSid":"` + testStream + `"}`, isMedia(4, 2, 5)},
		{"media with escapes", `{"event":"media","sequenceNumber":"4","media":{"track":"inbound","chunk":"2","timestamp":"5","payload":"no+JhoaJjpz\/"},"streamSid":"` + testStream + `"}`, isMedia(4, 2, 5)},
		{"media with white space", "{ \"event\" : \"media\", \"sequenceNumber\":\"4\",\n\"media\":{\"track\":\"inbound\",\"chunk\":\"2\",\"timestamp\":\"5\" ,\"payload\":\"no+JhoaJjpz/\"},\"streamSid\":\"" + testStream + "\"}\n", isMedia(4, 2, 5)},
		{"media with fractions", `{"event":"media","sequenceNumber":4,"media":{"track":"inbound","chunk":2,"timestamp":5.7,"payload":"no+JhoaJjpz/"},"streamSid":"` + testStream + `"}`, isMedia(4, 2, 5)},
		{"media with odd numbers", `{"event":"media","sequenceNumber":"x","media":{"track":"inbound","chunk":-2,"timestamp":"1e99","payload":"no+JhoaJjpz/"},"streamSid":"` + testStream + `"}`, func(m *message) bool {
			return m.Event == eventMedia && m.raw.sequence == none && m.raw.chunk == none && m.raw.timestamp == none
		}},
		{"dtmf", `{"event":"dtmf","streamSid":"MZ1","sequenceNumber":"5","dtmf":{"track":"inbound_track","digit":"1"}}`, func(m *message) bool {
			return m.Event == eventDTMF && m.DTMF.Track == "inbound_track" && m.DTMF.Digit == "1" && m.Sequence == num(5)
		}},
		{"dtmf as a number", `{"event":"dtmf","streamSid":"MZ1","dtmf":{"digit":1}}`, func(m *message) bool { return m.DTMF.Digit == "1" }},
		{"mark", `{"event":"mark","sequenceNumber":"4","streamSid":"MZ1","mark":{"name":"my label"}}`, func(m *message) bool {
			return m.Event == eventMark && m.Mark.Name == "my label"
		}},
		{"stop", `{"event":"stop","sequenceNumber":"5","streamSid":"MZ1","stop":{"accountSid":"AC1","callSid":"CA1"}}`, func(m *message) bool {
			return m.Event == eventStop && m.StreamSID == "MZ1" && m.Sequence == num(5)
		}},
		{"unknown event", `{"event":"novelty","x":{"y":[1,2]}}`, func(m *message) bool { return m.Event == "novelty" }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var m message
			if err := decode([]byte(tc.in), &m); err != nil || !tc.want(&m) {
				t.Errorf("decode(%s) = %+v, %v", tc.in, m, err)
			}
		})
	}
}

func isMedia(sequence, chunk, at int64) func(*message) bool {
	return func(m *message) bool {
		r := m.raw
		return m.Event == eventMedia && r.sequence == num(sequence) && r.chunk == num(chunk) && r.timestamp == num(at) &&
			string(r.streamSID) == testStream && string(r.track) == "inbound" && string(r.payload) == "no+JhoaJjpz/"
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, in := range []string{
		"", " ", "null", "[]", `"media"`, "7", "{", "{}", `{"event":""}`, `{"event":7}`, `{"event":"media"`, `{"event":"stop"}{}`, `{"event":"stop"} x`,
		`{"event":"media","media":7}`, `{"event":"start","start":"x"}`, "\x00", "\xff\xfe", strings.Repeat("[", 100_000),
	} {
		var m message
		if err := decode([]byte(in), &m); err == nil {
			t.Errorf("decode(%.40q) = %+v; want an error", in, m)
		}
	}
}

// TestDecodeForgets checks that nothing of one message shows in the next.
func TestDecodeForgets(t *testing.T) {
	var m message
	for _, in := range []string{mediaJSON, `{"event":"start","start":{"customParameters":{"a":"b"}}}`, `{"event":"stop"}`, `{"event":"media","media":{}}`} {
		if err := decode([]byte(in), &m); err != nil {
			t.Fatal(err)
		}
	}
	if m.Start.Parameters != nil || len(m.raw.payload) > 0 || m.raw.chunk.ok {
		t.Errorf("after an empty media message: %+v", m)
	}
}

func TestPlain(t *testing.T) {
	for c := range 256 {
		for at := range 19 {
			v := []byte("abcdefgh/0123456+~ ")
			v[at] = byte(c)
			if got, want := plain(v), c >= ' ' && c < 0x80 && c != '\\'; got != want {
				t.Errorf("plain(%q) = %v; want %v", v, got, want)
			}
		}
	}
}

func seed(f *testing.F) {
	f.Add([]byte(mediaJSON))
	f.Add([]byte(`{"event":"media","media":{"payload":"//8=","payload":"AA=="}}`))
	f.Add([]byte(`{"event":"media","Media":{"payload":"//8="}}`))
	f.Add([]byte(`{"event":"media","media":{"chunk":007}}`))
	f.Add([]byte(`{"event":"media","media":{"chunk":"007","timestamp":12 }}`))
	f.Add([]byte(`{"media":{"payload":"AA=="},"event":"media","event":"stop"}`))
	f.Add([]byte(`{"event":"media","media":{"chunk":1,},}`))
	f.Add([]byte(`{"event":"connected","protocol":"Call","version":"1.0.0"}`))
	f.Add([]byte(`{"event":"dtmf","dtmf":{"digit":"1"}}`))
	traces, err := filepath.Glob("testdata/*/in.jsonl")
	if err != nil || len(traces) == 0 {
		f.Fatalf("no traces in testdata: %v", err)
	}
	for _, path := range traces {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for line := range bytes.Lines(b) {
			f.Add(bytes.TrimSpace(line))
		}
	}
}

// FuzzScan holds the scanner of the frame path against encoding/json: what it
// accepts, both read alike.
func FuzzScan(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		var got rawMedia
		if !scanMedia(b, &got) {
			return
		}
		var want message
		if err := json.Unmarshal(b, &want); err != nil || want.Event != eventMedia {
			t.Fatalf("the scanner takes %q, encoding/json says %v, event %q", b, err, want.Event)
		}
		if string(got.streamSID) != string(want.StreamSID) || string(got.track) != string(want.Media.Track) || string(got.payload) != string(want.Media.Payload) ||
			got.sequence != want.Sequence || got.chunk != want.Media.Chunk || got.timestamp != want.Media.Timestamp {
			t.Fatalf("scanner and encoding/json differ on %q:\n%v\n%v", b, got, want)
		}
	})
}

// FuzzDecode checks every kind of message: what is accepted has an event, is JSON,
// and decodes the same after encoding/json has written it anew.
func FuzzDecode(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		var m message
		if decode(b, &m) != nil {
			return
		}
		if m.Event == "" || !json.Valid(b) {
			t.Fatalf("decode accepts %q as event %q", b, m.Event)
		}
		var anew bytes.Buffer
		if err := json.Indent(&anew, b, "", " "); err != nil {
			t.Fatal(err)
		}
		first := fmt.Sprintf("%+v", m)
		var again message
		if err := decode(anew.Bytes(), &again); err != nil {
			t.Fatalf("decode(%q) fails after indentation: %v", b, err)
		}
		if m.Event != eventMedia && fmt.Sprintf("%+v", again) != first {
			if m.Start.Format == nil { // a pointer prints as its address
				t.Fatalf("decode(%q) depends on white space:\n%s\n%+v", b, first, again)
			}
		}
		if m.Event == eventMedia && (string(m.raw.payload) != string(again.raw.payload) || m.raw.chunk != again.raw.chunk) {
			t.Fatalf("decode(%q) depends on white space", b)
		}
	})
}
