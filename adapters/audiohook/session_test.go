package audiohook

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/patchbay/patchbay/adapters/audiohook/sim"
	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/adapter/adaptertest"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/media/probe"
)

// blocks is coded audio of a stream.
func blocks(stream uint16, first, n int) []byte {
	var b []byte
	for i := range n {
		b = probe.AppendBlock(b, stream, uint32(first+i))
	}
	return b
}

// TestBothVoices: each channel's audio arrives bit for bit, on its own track.
func TestBothVoices(t *testing.T) {
	for _, order := range [][]media.TrackID{{sim.External, sim.Internal}, {sim.Internal, sim.External}} {
		for _, format := range []string{"PCMU", "L16"} {
			t.Run(fmt.Sprint(order, format), func(t *testing.T) {
				cfg := testConfig()
				cfg.L16 = L16Big
				b := run(t, cfg)
				o := b.options(t)
				o.BigEndian = true
				o.Media = []sim.Media{{Type: "audio", Format: format, Channels: order, Rate: 8000}}
				s, leg := b.open(t, o)
				want := map[media.TrackID][]byte{order[0]: blocks(1, 0, 20), order[1]: blocks(2, 0, 20)}
				for i := 0; i < 3200; i += 640 {
					if err := s.Send(want[order[0]][i:i+640], want[order[1]][i:i+640]); err != nil {
						t.Fatal(err)
					}
				}
				if err := s.Close(t.Context(), "end"); err != nil {
					t.Error(err)
				}
				leg.WaitClosed(t)
				for id, audio := range want {
					if !bytes.Equal(leg.MuLaw(id), audio) {
						t.Errorf("%s: the audio differs", id)
					}
				}
			})
		}
	}
}

func TestStartPaused(t *testing.T) {
	b := run(t, testConfig())
	pausing := &pausingSink{Sink: b.sink}
	cfg := testConfig()
	b2 := runWith(t, cfg, pausing)
	s, err := sim.Open(t.Context(), b2.options(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Vanish)
	leg := b.sink.WaitLeg(t, 0)
	leg.WaitNote(t, adapter.NotePause) // Genesys has confirmed
	if !s.Paused() || s.Pauses() != 1 {
		t.Errorf("the session is paused %v, after %d orders; want one, with opened", s.Paused(), s.Pauses())
	}
	if err := s.Send(make([]byte, 800), make([]byte, 800)); err != nil { // time passes
		t.Error(err)
	}
	leg.Order(adapter.Control{Kind: adapter.ControlResume, Reason: "consent"})
	if n := leg.WaitNote(t, adapter.NoteGap); n.Samples != 800 {
		t.Errorf("the gap has %d samples; want 800", n.Samples)
	}
	leg.WaitNote(t, adapter.NoteResume)
	if err := s.Send(make([]byte, 160), make([]byte, 160)); err != nil {
		t.Error(err)
	}
	leg.WaitSamples(t, "internal", 160)
	if f := leg.Segments("internal")[0].Frames[0]; f.Pos != 800 {
		t.Errorf("the first audio is at %d; want 800", f.Pos)
	}
}

// TestPauses: whoever pauses, each sample has its place.
func TestPauses(t *testing.T) {
	b := run(t, testConfig())
	s, leg := b.open(t, b.options(t))
	send := func(first, n int) {
		if err := s.Send(blocks(1, first, n), blocks(2, first, n)); err != nil {
			t.Fatal(err)
		}
	}
	waitPaused := func(want bool) {
		t.Helper()
		if err := s.Await(t.Context(), func() bool { return s.Paused() == want }); err != nil {
			t.Fatal(err)
		}
	}
	send(0, 10)
	leg.WaitSamples(t, "external", 1600)
	leg.Order(adapter.Control{Kind: adapter.ControlPause, Reason: "card"})
	waitPaused(true)
	send(10, 10) // not sent
	leg.Order(adapter.Control{Kind: adapter.ControlResume})
	waitPaused(false)
	send(20, 10)
	if err := s.Pause(); err != nil { // Genesys' own
		t.Fatal(err)
	}
	send(30, 5)
	leg.Order(adapter.Control{Kind: adapter.ControlPause, Reason: "card"})
	if err := s.Await(t.Context(), func() bool { return s.Pauses() == 2 }); err != nil {
		t.Fatal(err)
	}
	if err := s.Resume(); err != nil { // ours goes on
		t.Fatal(err)
	}
	send(35, 5)
	leg.Order(adapter.Control{Kind: adapter.ControlResume})
	waitPaused(false)
	send(40, 10)
	leg.WaitSamples(t, "internal", 3*1600)
	var at []int64
	for _, f := range leg.Segments("internal")[0].Frames {
		at = append(at, f.Pos)
	}
	if fmt.Sprint(at) != "[0 3200 6400]" {
		t.Errorf("frames are at %v; want 0, 3200 and 6400", at)
	}
	var notes []string
	for _, n := range leg.Notes() {
		notes = append(notes, fmt.Sprint(n.Kind, n.Samples))
	}
	if got := strings.Join(notes, " "); got != "pause0 gap1600 resume0 pause0 gap1600 resume0" {
		t.Errorf("notes = %s", got)
	}
	if got := b.env.Counts()[countPosition]; got != 0 {
		t.Errorf("%d positions differ from Genesys'", got)
	}
}

// TestResults: transcripts go back while the call runs, and the last of them after
// close, before closed.
func TestResults(t *testing.T) {
	cfg := testConfig()
	cfg.Transcripts, cfg.Suggestions = TranscriptsFinal, true
	b := run(t, cfg)
	late := &lateSink{Sink: b.sink, finish: make(chan *lateLeg, 1)}
	b2 := runWith(t, cfg, late)
	s, err := sim.Open(t.Context(), b2.options(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Vanish)
	leg := b.sink.WaitLeg(t, 0)
	if leg.Info().Results != adapter.ResultsEvents {
		t.Errorf("results = %q; want events", leg.Info().Results)
	}
	leg.Order(adapter.Control{Kind: adapter.ControlResult, Result: &adapter.Result{Kind: adapter.ResultFinal, Leg: leg.Info().LegKey, Track: "external", Text: "hello", Utterance: "1-1"}})
	closed := make(chan error, 1)
	go func() { closed <- s.Close(t.Context(), "end") }()
	l := <-late.finish // close came
	if _, over := leg.Closed(); over {
		t.Error("the leg is closed before its last results have come")
	}
	l.control <- adapter.Control{Kind: adapter.ControlResult, Result: &adapter.Result{Kind: adapter.ResultFinal, Leg: leg.Info().LegKey, Track: "internal", Text: "goodbye", Utterance: "2-1"}}
	l.control <- adapter.Control{Kind: adapter.ControlDone}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if end := leg.WaitClosed(t); end.Kind != adapter.EndHangup {
		t.Errorf("the leg ended with %+v", end)
	}
	entities := s.Entities()
	if len(entities) != 2 || !strings.Contains(string(entities[0].Data), `"hello"`) || !strings.Contains(string(entities[1].Data), `"goodbye"`) {
		t.Errorf("entities = %s; want hello, goodbye", entities)
	}
}

// TestResultsThatDoNotCome: the host may be slow, Genesys gets its closed in time.
func TestResultsThatDoNotCome(t *testing.T) {
	cfg := testConfig()
	cfg.Transcripts = TranscriptsFinal
	cfg.Limits.CloseTimeout = adapter.Duration(100 * time.Millisecond)
	b := run(t, cfg)
	b2 := runWith(t, cfg, &lateSink{Sink: b.sink, finish: make(chan *lateLeg, 1)})
	s, err := sim.Open(t.Context(), b2.options(t))
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if err := s.Close(t.Context(), "end"); err != nil || time.Since(begun) > 3*time.Second {
		t.Errorf("Close = %v after %v; want closed after 100 ms", err, time.Since(begun))
	}
	if end := b.sink.WaitLeg(t, 0).WaitClosed(t); end.Kind != adapter.EndHangup {
		t.Errorf("the leg ended with %+v", end)
	}
}

// TestRateLimit: a strict Genesys gets fewer messages once it says so.
func TestRateLimit(t *testing.T) {
	cfg := testConfig()
	cfg.Transcripts = TranscriptsFinal
	cfg.Limits.EventInterval = adapter.Duration(10 * time.Millisecond)
	b := run(t, cfg)
	o := b.options(t)
	o.MessagesPerSecond = 5
	s, leg := b.open(t, o)
	const results = 120
	for i := range results {
		leg.OrderWait(t, adapter.Control{Kind: adapter.ControlResult, Result: &adapter.Result{Kind: adapter.ResultFinal, Leg: leg.Info().LegKey, Track: "external", Text: "word", Utterance: fmt.Sprint(i)}})
	}
	b.wantCount(t, countLimited, 1)
	if err := s.Close(t.Context(), "end"); err != nil {
		t.Error(err)
	}
	limited, unheeded := s.Limited()
	if limited != 1 || unheeded > 1 { // one may have been on its way
		t.Errorf("%d messages were too many, %d came in spite of that; want 1 and at most 1", limited, unheeded)
	}
	if got := len(s.Entities()) + b.env.Counts()[countEvent]; got != results {
		t.Errorf("%d results were sent or counted as dropped; want %d", got, results)
	}
}

// TestContinued: a session that breaks is continued by another, whatever the chain.
func TestContinued(t *testing.T) {
	b := run(t, testConfig())
	o := b.options(t)
	o.Conversation, o.Participant = sim.UUID(), sim.UUID()
	first, leg := b.open(t, o)
	key := leg.Info().LegKey
	chain := []string{first.ID()}
	for range 3 {
		o.Session, o.Continued = "", chain[len(chain)-1:] // the last one alone
		s, next := b.open(t, o)
		if next.Info().LegKey != key || next.CallID() != leg.CallID() {
			t.Errorf("session %d is leg %s of %v; want %s of %v", len(chain), next.Info().LegKey, next.CallID(), key, leg.CallID())
		}
		chain = append(chain, s.ID())
	}
	other := o
	other.Session, other.Conversation = "", sim.UUID()
	if _, next := b.open(t, other); next.CallID() == leg.CallID() || next.Info().LegKey == key && next.CallID() == leg.CallID() {
		t.Error("a session of another conversation takes the leg over")
	}
	foreign := o
	foreign.Session, foreign.Organization, foreign.APIKey, foreign.ClientSecret = "", otherOrganization, otherKey, secretBytes(t, otherSecret)
	if _, next := b.open(t, foreign); next.CallID() == leg.CallID() {
		t.Error("a session of another organization takes the leg over")
	}
}

// TestLeaving: a host that leaves asks for another session, and hears this one until
// Genesys closes it.
func TestLeaving(t *testing.T) {
	b := run(t, testConfig())
	s, leg := b.open(t, b.options(t))
	leg.Order(adapter.Control{Kind: adapter.ControlEnd, Reason: "the host is shutting down", Reconnect: true})
	if err := s.Await(t.Context(), s.Reconnect); err != nil {
		t.Fatal(err)
	}
	if err := s.Send(blocks(1, 0, 1), blocks(2, 0, 1)); err != nil {
		t.Error(err)
	}
	if err := s.Close(t.Context(), "reconnect"); err != nil {
		t.Error(err)
	}
	if end := leg.WaitClosed(t); end.Kind != adapter.EndLost || leg.Samples("internal") != 160 {
		t.Errorf("the leg ended with %+v after %d samples; want lost, so that the call waits, after 160", end, leg.Samples("internal"))
	}
}

// TestBadInput sends what Genesys would not; each ends its own session and no other.
func TestBadInput(t *testing.T) {
	b := run(t, testConfig())
	good, goodLeg := b.open(t, b.options(t))
	for _, tc := range []struct {
		name   string
		send   func(*sim.Session) error
		silent bool // before open
		kind   string
		reason string // of our disconnect; empty: the connection just ends
	}{
		{name: "garbage", kind: countProtocol, reason: reasonError, send: func(s *sim.Session) error { return s.Raw(websocket.TextMessage, []byte("\x00{")) }},
		{name: "a text over 64 KiB", kind: countOversize, reason: reasonError, send: func(s *sim.Session) error { return s.Raw(websocket.TextMessage, make([]byte, maxText+1)) }},
		{name: "audio over the limit", kind: countOversize, send: func(s *sim.Session) error {
			return s.Raw(websocket.BinaryMessage, make([]byte, DefaultMaxAudioBytes+1))
		}},
		{name: "audio before opened", silent: true, kind: countEarly, reason: reasonError, send: func(s *sim.Session) error { return s.Raw(websocket.BinaryMessage, make([]byte, 320)) }},
		{name: "deep nesting", silent: true, kind: countProtocol, reason: reasonError, send: func(s *sim.Session) error {
			return s.Raw(websocket.TextMessage, []byte(strings.Repeat("[", 60_000)))
		}},
		{name: "open of nothing", silent: true, kind: countOpen, reason: reasonError, send: func(s *sim.Session) error { return s.Say("open", map[string]any{"media": 1}) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := b.options(t)
			var s *sim.Session
			var leg *adaptertest.Leg
			if o.Silent = tc.silent; tc.silent {
				var err error
				if s, err = sim.Open(t.Context(), o); err != nil {
					t.Fatal(err)
				}
			} else {
				s, leg = b.open(t, o)
			}
			before := b.env.Counts()[tc.kind]
			if err := tc.send(s); err != nil {
				t.Fatal(err)
			}
			b.wantCount(t, tc.kind, before+1)
			<-s.Ended()
			if e, ok := errors.AsType[*sim.Error](s.Err()); !ok || e.Reason != tc.reason {
				t.Errorf("the session ended with %v; want disconnect %q", s.Err(), tc.reason)
			}
			if leg != nil {
				if end := leg.WaitClosed(t); end.Kind != adapter.EndProtocol {
					t.Errorf("the leg ended with %+v; want protocol", end)
				}
			}
		})
	}
	if err := good.Send(make([]byte, 160), make([]byte, 160)); err != nil {
		t.Error(err)
	}
	goodLeg.WaitFrames(t, 1)
}

// TestFlood: a client that asks for pongs without end and reads none is dropped.
func TestFlood(t *testing.T) {
	b := run(t, testConfig())
	good, goodLeg := b.open(t, b.options(t))
	o := b.options(t)
	now := time.Now()
	o.Session = sim.UUID()
	input, signature := sim.Sign(testKey, o.ClientSecret, "0123456789012345678901", now, "@request-target", DefaultPath, "@authority", "audiohook.example.com",
		"audiohook-organization-id", testOrganization, "audiohook-session-id", o.Session, "audiohook-correlation-id", o.Session, "x-api-key", testKey)
	conn, res, err := websocket.DefaultDialer.DialContext(t.Context(), strings.Replace(b.url(), "http", "ws", 1)+DefaultPath, http.Header{
		"Host": {"audiohook.example.com"}, headerOrganization: {testOrganization}, headerSession: {o.Session}, headerCorrelation: {o.Session},
		headerKey: {testKey}, headerInput: {input}, headerSignature: {signature}})
	if err != nil {
		t.Fatal(err, res)
	}
	defer conn.Close()
	for seq := 1; ; seq++ {
		_ = conn.SetWriteDeadline(time.Now().Add(adaptertest.Patience))
		if conn.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `{"version":"2","type":"ping","id":"%s","seq":%d,"serverseq":0,"position":"PT0S","parameters":{}}`, o.Session, seq)) != nil {
			break
		}
	}
	b.wantCount(t, countStuck, 1)
	if err := good.Send(make([]byte, 160), make([]byte, 160)); err != nil {
		t.Error(err)
	}
	goodLeg.WaitFrames(t, 1)
}

func TestIdleSessionIsLost(t *testing.T) {
	cfg := testConfig()
	cfg.Limits.IdleTimeout = adapter.Duration(100 * time.Millisecond)
	b := run(t, cfg)
	s, leg := b.open(t, b.options(t))
	if end := leg.WaitClosed(t); end.Kind != adapter.EndLost || !strings.Contains(end.Text, "idle_timeout") {
		t.Errorf("the leg ended with %+v; want lost", end)
	}
	<-s.Ended()
	b.wantCount(t, countIdle, 1)
}

// TestPings: the first after a while, the second at once, with the time of the first.
func TestPings(t *testing.T) {
	b := run(t, testConfig())
	o := b.options(t)
	o.FirstPing, o.PingInterval = 10*time.Millisecond, 30*time.Millisecond
	s, _ := b.open(t, o)
	if err := s.Await(t.Context(), func() bool { return s.RTT() > 0 }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context(), "end"); err != nil {
		t.Error(err)
	}
}

// TestTLS: the certificate is the host's, and the signature knows the port.
func TestTLS(t *testing.T) {
	donor := httptest.NewTLSServer(nil)
	defer donor.Close()
	b := run(t, testConfig(), func(e *adapter.Env) {
		e.TLS = &tls.Config{Certificates: donor.TLS.Certificates, MinVersion: tls.VersionTLS12}
	})
	o := b.options(t)
	o.URL = "wss://" + b.env.Addr(listenerHTTP) + DefaultPath
	o.Connect = ""
	pool := x509.NewCertPool()
	pool.AddCert(donor.Certificate())
	o.TLS = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	s, leg := b.open(t, o)
	if err := s.Send(blocks(1, 0, 1), blocks(2, 0, 1)); err != nil {
		t.Error(err)
	}
	if err := s.Close(t.Context(), "end"); err != nil {
		t.Error(err)
	}
	leg.WaitClosed(t)
	if leg.Samples("external") != 160 {
		t.Error("the audio is missing")
	}
}

// TestFiftyCalls: two sessions each at once, through the simulator's calls.
func TestFiftyCalls(t *testing.T) {
	b := run(t, testConfig())
	r, err := sim.Run(t.Context(), sim.Options{URL: testURL, Connect: b.url(), APIKey: testKey, ClientSecret: secretBytes(t, testSecret),
		Calls: 50, Sessions: 2, Probe: true, Duration: 2 * time.Second, Speed: 10, Patience: adaptertest.Patience})
	if err != nil {
		t.Fatal(err)
	}
	calls := b.sink.Calls()
	if len(calls) != 50 {
		t.Errorf("the host has %d calls; want 50", len(calls))
	}
	for i, c := range r.Calls {
		if c.Error != "" {
			t.Errorf("call %d: %s", i, c.Error)
		}
		legs := calls[adaptertest.CallID{Account: testOrganization, Key: c.Call}]
		if len(legs) != 2 {
			t.Errorf("call %d has %d legs; want 2", i, len(legs))
			continue
		}
		for _, l := range legs {
			l.WaitClosed(t)
			for _, id := range []media.TrackID{sim.External, sim.Internal} {
				if !bytes.Equal(l.MuLaw(id), blocks(sim.CodedStream(i, id), 0, 100)) {
					t.Errorf("call %d: %s differs", i, id)
				}
			}
		}
	}
	b.wantCount(t, countProbe, 50)
}
