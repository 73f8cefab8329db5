package five9

import (
	"bytes"
	"io"
	"log/slog"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/net/http2"
	"google.golang.org/protobuf/proto"

	voicepb "github.com/patchbay/patchbay/adapters/five9/proto/five9/voicestream"
	"github.com/patchbay/patchbay/adapters/internal/report"
	"github.com/patchbay/patchbay/core/adapter/adaptertest"
)

// FuzzStream feeds a stream with any messages in any order: the contract holds, every
// whole sample that was sent on a live leg is heard once, and it ends.
func FuzzStream(f *testing.F) {
	pack := func(ms ...*voicepb.StreamingVoiceRequest) []byte {
		var b []byte
		for _, m := range ms {
			one, err := proto.Marshal(m)
			if err != nil {
				f.Fatal(err)
			}
			b = append(append(b, byte(len(one)>>8), byte(len(one))), one...)
		}
		return b
	}
	first := &voicepb.StreamingVoiceRequest{StreamingRequest: &voicepb.StreamingVoiceRequest_StreamingConfig{StreamingConfig: config()}}
	audio := func(n int) *voicepb.StreamingVoiceRequest {
		return &voicepb.StreamingVoiceRequest{StreamingRequest: &voicepb.StreamingVoiceRequest_AudioContent{AudioContent: make([]byte, n)}}
	}
	says := func(code voicepb.StreamingStatus_StatusCode) *voicepb.StreamingVoiceRequest {
		return &voicepb.StreamingVoiceRequest{StreamingRequest: &voicepb.StreamingVoiceRequest_StreamingStatus{StreamingStatus: &voicepb.StreamingStatus{Code: code}}}
	}
	f.Add(pack(first, audio(32), audio(1), audio(3), says(callEnded)))
	f.Add(pack(first, says(callHold), says(callResume), says(42), says(100), audio(24), says(2001)))
	f.Add(pack(audio(32)))
	f.Add(pack(first, first, &voicepb.StreamingVoiceRequest{}, audio(0)))
	log := slog.New(slog.DiscardHandler)
	f.Fuzz(func(t *testing.T, in []byte) {
		a, err := New(testConfig())
		if err != nil {
			t.Fatal(err)
		}
		sink := adaptertest.NewSink()
		s := newStream(a, &environment{sink: sink, log: log, report: report.New(log, func(string) {})}, caller{})
		var sent int64
		var bye *goodbye
		for at := time.Now(); len(in) >= 2 && bye == nil; at = at.Add(20 * time.Millisecond) {
			n := min(int(in[0])<<8|int(in[1]), len(in)-2)
			var m voicepb.StreamingVoiceRequest
			if proto.Unmarshal(in[2:2+n], &m) == nil {
				if s.leg != nil {
					sent += int64(len(m.GetAudioContent()))
				}
				bye = s.take(t.Context(), &m, at)
			}
			in = in[2+n:]
		}
		if bye == nil {
			bye = leaving()
		}
		s.finish(bye.reason)
		s.over()
		sink.Check(t)
		for _, l := range sink.Legs() {
			if want := s.guest.format.Samples(int(sent)); l.Samples(s.guest.track) != want {
				t.Errorf("%d samples were heard of %d", l.Samples(s.guest.track), want)
			}
			if _, closed := l.Closed(); !closed {
				t.Error("the leg stays open")
			}
		}
		if len(a.calls.byKey) > 0 && a.calls.waiting != len(a.calls.byKey) {
			t.Errorf("%d of %d calls wait for streams; want all", a.calls.waiting, len(a.calls.byKey))
		}
	})
}

// FuzzEvent reads any body: what it takes is text that the host can have.
func FuzzEvent(f *testing.F) {
	f.Add([]byte(`{"payload":{"attached_variables":{"Call.call_id":"7","Call.session_id":"S7","n":1,"b":true,"x":null,"l":[1]}}}`))
	f.Add([]byte(`{"payload":{"attached_variables":{"Call.call_id":7}}}`))
	f.Add([]byte(`{"callId":"7","domainId":131096,"callLeg":"Agent","status":"ERROR","failureType":"X","failureDetail":{"a":1}}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if call, variables, err := decodeEvent(body); err == nil {
			if !idForm.MatchString(call) {
				t.Errorf("call id %q was taken", call)
			}
			for name, value := range variables {
				if name == "" || value == "" || name == variableCall || !utf8.ValidString(name) || !utf8.ValidString(value) {
					t.Errorf("variable %q = %q was taken", name, value)
				}
			}
		}
		if e, err := decodeStreamEvent(body); err == nil && (e.Status == "" || !utf8.ValidString(string(e.Status)) || bytes.ContainsAny([]byte(e.words()), "\n\r")) {
			t.Errorf("stream event %+v was taken", e)
		}
	})
}

// FuzzSniff looks at any opening of a connection: nothing of it is lost, and little of
// it is read.
func FuzzSniff(f *testing.F) {
	f.Add(opening(f, "application/grpc"))
	f.Add(opening(f, "application/json", func(f *http2.Framer) error { return f.WritePing(false, [8]byte{}) }))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte(http2.ClientPreface + "\x00\x00\x00\x04\x01\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, in []byte) {
		conn := &rw{Reader: bytes.NewReader(in)}
		said, rpc, acked, err := sniff(conn)
		if err != nil {
			return
		}
		rest, _ := io.ReadAll(conn.Reader)
		if !bytes.Equal(append(bytes.Clone(said), rest...), in) || len(said) > maxSniffed {
			t.Errorf("%d bytes were kept and %d left of %d", len(said), len(rest), len(in))
		}
		if rpc && !acked || acked != bytes.HasPrefix(in, []byte(http2.ClientPreface)) || acked != bytes.Equal(conn.said.Bytes(), settings) {
			t.Errorf("sniff = %v, %v, having said % x", rpc, acked, conn.said.Bytes())
		}
		// What net/http gets is the same without one acknowledgement, if there is one.
		filtered, _ := io.ReadAll(&ackFilter{r: bytes.NewReader(in), left: int64(len(http2.ClientPreface))})
		if len(filtered) > len(in) || !bytes.HasPrefix(in, filtered[:min(len(filtered), len(http2.ClientPreface))]) {
			t.Errorf("the filter makes %d bytes of %d", len(filtered), len(in))
		}
	})
}
