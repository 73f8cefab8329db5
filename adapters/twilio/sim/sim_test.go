package sim

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/media/probe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	account = "AC00000000000000000000000000000001"
	token   = "12345"
	public  = "wss://voice.example.com/media/stream"
)

// said is a message as a server reads it.
type said struct {
	Event          string
	SequenceNumber string
	StreamSid      string
	Start          struct {
		StreamSid, AccountSid, CallSid string
		Tracks                         []string
		CustomParameters               map[string]string
	}
	Media struct{ Track, Chunk, Timestamp, Payload string }
	Stop  struct{ AccountSid, CallSid string }
}

// server takes streams and keeps what they say.
type server struct {
	*httptest.Server
	mu       sync.Mutex
	messages []said
	closes   []int
	answer   func(*websocket.Conn) // called after start
	status   int                   // instead of an upgrade
	streams  sync.WaitGroup
}

func newServer(t *testing.T) *server {
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "voice.example.com" || r.Header.Get("X-Twilio-Signature") != Sign(token, public, nil) || s.status != 0 {
			http.Error(w, "no", max(s.status, http.StatusForbidden))
			return
		}
		s.streams.Add(1)
		defer s.streams.Done()
		up := websocket.Upgrader{}
		conn, err := up.Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		for {
			kind, b, err := conn.ReadMessage()
			if err != nil {
				if ce, ok := errors.AsType[*websocket.CloseError](err); ok {
					s.mu.Lock()
					s.closes = append(s.closes, ce.Code)
					s.mu.Unlock()
				}
				return
			}
			var m said
			if err := json.Unmarshal(b, &m); err != nil || kind != websocket.TextMessage {
				t.Errorf("message %q of kind %d: %v", b, kind, err)
			}
			s.mu.Lock()
			s.messages = append(s.messages, m)
			s.mu.Unlock()
			if m.Event == "start" && s.answer != nil {
				s.answer(conn)
			}
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) options() Options {
	return Options{Stream: public, Connect: s.URL, Account: account, AuthToken: token, Secret: "s3cret", Parameters: map[string]string{"a": "b"},
		Duration: 60 * time.Millisecond, Speed: 4}
}

// TestMessages checks every field of a short call against the documentation.
func TestMessages(t *testing.T) {
	s := newServer(t)
	report, err := Run(t.Context(), s.options())
	if err != nil || report.Calls[0].Error != "" {
		t.Fatal(report, err)
	}
	s.streams.Wait()
	call := report.Calls[0].Call
	var order []string
	for i, m := range s.messages {
		order = append(order, m.Event)
		if i > 0 && (m.SequenceNumber != strconv.Itoa(i) || m.StreamSid != s.messages[1].StreamSid) {
			t.Errorf("message %d has sequence number %s of stream %s", i, m.SequenceNumber, m.StreamSid)
		}
		if m.Event != "media" {
			continue
		}
		n := (i - 2) / 2
		track := []string{"inbound", "outbound"}[(i-2)%2]
		want := probe.AppendBlock(nil, uint16((i-2)%2), uint32(n))
		audio, err := base64.StdEncoding.DecodeString(m.Media.Payload)
		if err != nil || m.Media.Track != track || m.Media.Chunk != strconv.Itoa(n+1) || m.Media.Timestamp != strconv.Itoa(n*20) || !bytes.Equal(audio, want) {
			t.Errorf("media %d = %+v", i, m.Media)
		}
	}
	if got := strings.Join(order, " "); got != "connected start media media media media media media stop" {
		t.Errorf("messages = %s", got)
	}
	start, stop := s.messages[1].Start, s.messages[len(s.messages)-1].Stop
	if start.AccountSid != account || start.CallSid != call || len(start.Tracks) != 2 || start.CustomParameters["patchbay_secret"] != "s3cret" || start.CustomParameters["a"] != "b" {
		t.Errorf("start = %+v", start)
	}
	if stop.AccountSid != account || stop.CallSid != call || len(s.closes) != 1 || s.closes[0] != websocket.CloseNormalClosure {
		t.Errorf("stop = %+v, closes %v", stop, s.closes)
	}
	for _, track := range report.Calls[0].Tracks {
		if track.Frames != 3 || track.Samples != 480 {
			t.Errorf("report = %+v", track)
		}
	}
}

func TestServerFaults(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*server, *Options)
		want   string
	}{
		{"refused upgrade", func(s *server, _ *Options) { s.status = http.StatusServiceUnavailable }, "Twilio error 31920: the handshake was answered with HTTP 503"},
		{"wrong signature", func(_ *server, o *Options) { o.Signature = "x" }, "HTTP 403"},
		{"unsigned", func(_ *server, o *Options) { o.Unsigned = true }, "HTTP 403"},
		{"nobody there", func(_ *server, o *Options) { o.Connect = "http://127.0.0.1:1" }, "Twilio error 31902"},
		{"server closes", func(s *server, _ *Options) {
			s.answer = func(c *websocket.Conn) {
				_ = c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1013, "try again later"), time.Now().Add(time.Second))
			}
		}, "Twilio error 31921: the server closed with 1013 try again later"},
		{"server speaks", func(s *server, _ *Options) {
			s.answer = func(c *websocket.Conn) { _ = c.WriteMessage(websocket.TextMessage, []byte("{}")) }
		}, "Twilio error 31924"},
		{"server vanishes", func(s *server, _ *Options) { s.answer = func(c *websocket.Conn) { _ = c.NetConn().Close() } }, "Twilio error 3190"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newServer(t)
			o := s.options()
			o.Duration, o.Speed = time.Minute, 1 // the fault ends it
			tc.change(s, &o)
			report, err := Run(t.Context(), o)
			if err != nil || !strings.Contains(report.Calls[0].Error, tc.want) {
				t.Errorf("Run = %+v, %v; want %q", report, err, tc.want)
			}
		})
	}
}

func TestTwiMLIsObeyed(t *testing.T) {
	for _, tc := range []struct{ name, twiml, verbs, fault string }{
		{"dial", `<Response><Say>Hello</Say><Dial><Number>+1</Number></Dial></Response>`, "Say Hello|Dial +1", ""},
		{"hang up", `<Response><Hangup/><Dial>1</Dial></Response>`, "Hangup", ""},
		{"no TwiML", `<html/>`, "", "12100"},
		{"no XML", `hello`, "", "12100"},
		{"stream over ws", `<Response><Start><Stream url="ws://example.com/s"/></Start></Response>`, "Start ", "31922"},
		{"stream with a query", `<Response><Start><Stream url="wss://example.com/s?a=1"/></Start></Response>`, "Start ", "31920"},
		{"track", `<Response><Start><Stream url="wss://example.com/s" track="all"/></Start></Response>`, "Start ", "31941"},
		{"endless parameter", `<Response><Start><Stream url="wss://example.com/s"><Parameter name="n" value="` + strings.Repeat("x", 499) + `"/></Stream></Start></Response>`, "Start ", "12200"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(tc.twiml)) }))
			defer web.Close()
			var verbs []string
			report, err := Run(t.Context(), Options{Webhook: web.URL, Account: account, AuthToken: token, Duration: time.Millisecond, Observe: func(s Step) {
				if s.Kind == StepVerb {
					verbs = append(verbs, s.Text)
				}
			}})
			if err != nil || strings.Join(verbs, "|") != tc.verbs || (tc.fault == "") != (report.Calls[0].Error == "") || !strings.Contains(report.Calls[0].Error, tc.fault) {
				t.Errorf("Run = %+v, %v after %q; want fault %q after %s", report, err, verbs, tc.fault, tc.verbs)
			}
		})
	}
}

func TestCancelSaysGoodbye(t *testing.T) {
	s := newServer(t)
	ctx, cancel := context.WithCancel(t.Context())
	s.answer = func(*websocket.Conn) { cancel() }
	o := s.options()
	o.Duration = time.Hour
	if _, err := Run(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v", err)
	}
	s.streams.Wait()
	if last := s.messages[len(s.messages)-1]; last.Event != "stop" {
		t.Errorf("the last message is %+v; want stop", last)
	}
}

func TestCommand(t *testing.T) {
	s := newServer(t)
	t.Setenv("TEST_TWILIO_TOKEN", token)
	recording := filepath.Join(t.TempDir(), "call.wav")
	f, err := os.Create(recording)
	if err != nil {
		t.Fatal(err)
	}
	left, right := probe.AppendTones(nil, 8000, "amber"), probe.AppendTones(nil, 8000, "basil")
	if err := errors.Join(media.WriteWAV(f, media.WAV{Rate: 8000, Channels: [][]int16{left, right}}, media.Linear16), f.Close()); err != nil {
		t.Fatal(err)
	}
	args := []string{"--stream", public, "--connect", s.URL, "--account", account, "--auth-token", "env:TEST_TWILIO_TOKEN", "--speed", "10"}
	with := func(more ...string) []string { return append(args[:len(args):len(args)], more...) }
	for _, tc := range []struct {
		name       string
		args       []string
		code       int
		out, err   string
		wantFrames int64
	}{
		{"help", []string{"--help"}, 0, "--drop-chunk", "", 0},
		{"recording", with("--wav", recording, "--json"), 0, "", "1 call, 0 failed", 22}, // 11 blocks of 20 ms a track
		{"tones", with("--tones", "amber,basil/cedar", "--duration", "100ms", "--json"), 0, "", "1 call, 0 failed", 10},
		{"one track", with("--track", "inbound_track", "--duration", "100ms", "--json"), 0, "", "1 call, 0 failed", 5},
		{"lost chunk counts as sent", with("--drop-chunk", "2", "--duration", "100ms", "--json"), 0, "", "1 call, 0 failed", 10},
		{"refused", with("--unsigned", "--duration", "100ms", "--json"), 1, "31920", "1 call, 1 failed", 0},
		{"no such flag", []string{"--nonsense"}, 2, "", "See --help", 0},
		{"no account", []string{"--stream", public}, 2, "", "no account", 0},
		{"two doors", with("--voice", "https://example.com"), 2, "", "either a voice webhook or a stream", 0},
		{"two sounds", with("--coded", "--tones", "amber"), 2, "", "exclude", 0},
		{"no word", with("--tones", "nonsense"), 2, "", "is none of", 0},
		{"secret on the command line", []string{"--auth-token", token}, 2, "", "refer to the secret by env", 0},
		{"secret that is not set", []string{"--auth-token", "env:TEST_NOT_SET"}, 2, "", "not set", 0},
		{"stray word", with("x"), 2, "", "unexpected argument", 0},
		{"no recording", with("--wav", "/nowhere.wav"), 2, "", "no such file", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out, errs bytes.Buffer
			code := Main(t.Context(), tc.args, &out, &errs)
			if code != tc.code || !strings.Contains(out.String(), tc.out) || !strings.Contains(errs.String(), tc.err) {
				t.Errorf("Main = %d\n%s\n%s\nwant %d with %q and %q", code, &out, &errs, tc.code, tc.out, tc.err)
			}
			if tc.wantFrames == 0 {
				return
			}
			var report adapter.SimReport
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			if err := json.Unmarshal([]byte(lines[len(lines)-1]), &report); err != nil {
				t.Fatal(err)
			}
			frames := int64(0)
			for _, track := range report.Calls[0].Tracks {
				frames += track.Frames
			}
			if frames != tc.wantFrames {
				t.Errorf("sent %d chunks; want %d", frames, tc.wantFrames)
			}
		})
	}
}

// TestPaceIsRealTime sends half a second in at least nearly half a second.
func TestPaceIsRealTime(t *testing.T) {
	s := newServer(t)
	o := s.options()
	o.Duration, o.Speed = 500*time.Millisecond, 1
	begin := time.Now()
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took < 480*time.Millisecond {
		t.Errorf("half a second of audio took %v", took)
	}
}

// BenchmarkChunk is what one chunk of audio costs the simulator, its socket included.
func BenchmarkChunk(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		up := websocket.Upgrader{}
		conn, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.Copy(io.Discard, conn.NetConn())
	}))
	defer server.Close()
	stream, err := OpenStream(b.Context(), StreamOptions{URL: public, Connect: server.URL, Account: account, Call: SID("CA"), Tracks: []media.TrackID{Inbound}})
	if err != nil {
		b.Fatal(err)
	}
	defer stream.Vanish()
	audio := probe.AppendBlock(nil, 0, 0)
	b.ReportAllocs()
	for b.Loop() {
		if err := stream.Send(Inbound, audio); err != nil {
			b.Fatal(err)
		}
	}
}
