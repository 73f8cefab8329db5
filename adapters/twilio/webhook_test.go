package twilio

import (
	"crypto/tls"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/patchbay/patchbay/adapters/internal/report"
	"github.com/patchbay/patchbay/adapters/twilio/sim"
	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/adapter/adaptertest"
)

// post sends a webhook as Twilio does and returns the answer.
func (b *bench) post(t *testing.T, path string, form url.Values, signature string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url()+"/twilio"+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Close = true
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if signature != "" {
		r.Header.Set("X-Twilio-Signature", signature)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(got)
}

func callForm(call string) url.Values {
	return url.Values{"AccountSid": {testAccount}, "CallSid": {call}, "From": {"+15550100001"}, "To": {"+15550100002"}, "CallStatus": {"ringing"}}
}

func sign(path string, form url.Values) string { return sim.Sign(testToken, testPublic+path, form) }

func voiceConfig() Config {
	cfg := testConfig()
	cfg.Voice.Dial = []string{"+15550100200"}
	return cfg
}

func TestWebhookEndToEnd(t *testing.T) {
	b := run(t, voiceConfig())
	var mu sync.Mutex
	var verbs []string
	o := b.options()
	o.Stream, o.Webhook = "", testPublic+"/voice?campaign=spring&role_inbound=agent"
	o.Observe = func(s sim.Step) {
		mu.Lock()
		defer mu.Unlock()
		if s.Kind == sim.StepVerb {
			verbs = append(verbs, s.Text)
		}
	}
	report, err := sim.Run(t.Context(), o)
	if err != nil || report.Calls[0].Error != "" {
		t.Fatalf("Run = %+v, %v", report, err)
	}
	if want := []string{"Start ", "Dial +15550100200"}; strings.Join(verbs, ",") != strings.Join(want, ",") {
		t.Errorf("the call obeyed %q; want %q", verbs, want)
	}
	leg := b.sink.WaitLeg(t, 0)
	if got := leg.WaitClosed(t); got.Kind != adapter.EndHangup {
		t.Errorf("the leg ended with %+v", got)
	}
	info := leg.Info()
	if info.From != "+15550100001" || info.To != "+15550100002" || info.CallKey != report.Calls[0].Call || info.Conversation != info.CallKey {
		t.Errorf("info = %+v; want the webhook's numbers and the Call SID", info)
	}
	if _, ok := info.Claims[paramToken]; ok || info.Claims["campaign"] != "spring" {
		t.Errorf("claims = %v; want the query's, without the token", info.Claims)
	}
	for _, track := range report.Calls[0].Tracks {
		if track.Frames != 10 || leg.Samples(track.Track) != track.Samples {
			t.Errorf("track %s: sent %d chunks, %d samples; heard %d", track.Track, track.Frames, track.Samples, leg.Samples(track.Track))
		}
		speaker := leg.Segments(track.Track)[0].Track.Speaker
		if want := map[string]adapter.Role{"inbound": adapter.RoleHumanAgent, "outbound": adapter.RoleEndUser}[string(track.Track)]; speaker.Role != want || speaker.Assumed {
			t.Errorf("track %s: speaker %+v; want %s by parameter", track.Track, speaker, want)
		}
	}
	b.wantCount(t, countStreamStarted, 1)
	b.wantCount(t, countStreamStopped, 1)
}

func TestWebhookRefuses(t *testing.T) {
	b := run(t, voiceConfig())
	call := sim.SID("CA")
	form := callForm(call)
	if status, _ := b.post(t, "/voice", form, ""); status != http.StatusForbidden {
		t.Errorf("unsigned: %d; want 403", status)
	}
	if status, _ := b.post(t, "/voice", form, sign("/voice/", form)); status != http.StatusForbidden {
		t.Errorf("signed over another URL: %d; want 403", status)
	}
	if status, _ := b.post(t, "/voice", form, sign("/voice", nil)); status != http.StatusForbidden {
		t.Errorf("signed without the form: %d; want 403", status)
	}
	other := callForm(call)
	other.Set("AccountSid", otherTest)
	if status, _ := b.post(t, "/voice", other, sign("/voice", other)); status != http.StatusForbidden {
		t.Errorf("signed by another account than it names: %d; want 403", status)
	}
	bad := callForm("CAxyz")
	if status, _ := b.post(t, "/voice", bad, sign("/voice", bad)); status != http.StatusBadRequest {
		t.Errorf("malformed CallSid: %d; want 400", status)
	}
	if status, _ := b.post(t, "/voice/", form, sign("/voice/", form)); status != http.StatusNotFound {
		t.Errorf("a slash at the end: %d; want 404", status)
	}
	huge := callForm(call)
	huge.Set("X", strings.Repeat("x", maxBody))
	if status, _ := b.post(t, "/voice", huge, sign("/voice", huge)); status != http.StatusBadRequest {
		t.Errorf("huge body: %d; want 400", status)
	}
	for kind, n := range map[string]int{countUnsigned: 1, countSignature: 2, countAccount: 1, countRequest: 2, countPath: 1} {
		b.wantCount(t, kind, n)
	}
	quiet := run(t, testConfig())
	if status, _ := quiet.post(t, "/voice", form, sign("/voice", form)); status != http.StatusNotFound {
		t.Errorf("not configured: %d; want 404", status)
	}
}

// TestWebhookToken checks what a token is good for: one stream of one call.
func TestWebhookToken(t *testing.T) {
	b := run(t, voiceConfig())
	call := sim.SID("CA")
	form := callForm(call)
	status, body := b.post(t, "/voice", form, sign("/voice", form))
	found := regexp.MustCompile(` value="([^"]+)"`).FindStringSubmatch(body) // attributes have no fixed order
	if status != http.StatusOK || found == nil {
		t.Fatalf("the webhook answers %d %s", status, body)
	}
	token := found[1]
	o := b.streamOptions()
	o.Parameters = map[string]string{paramToken: token}
	wantRefused(t, b, o, "1008", countSecret) // of another call
	o.Call, o.SID = call, sim.SID("MZ")
	s, leg := b.open(t, o)
	if err := s.Send(sim.Inbound, make([]byte, 160)); err != nil {
		t.Fatal(err)
	}
	leg.WaitFrames(t, 1)
	replay := o
	replay.SID = sim.SID("MZ")
	wantRefused(t, b, replay, "1008", countSecret) // by another stream
	s.Vanish()
	leg.WaitClosed(t)
	b.open(t, o) // the same stream again
}

// TestFallback stops the host: the call goes on by the fallback URL.
func TestFallback(t *testing.T) {
	fallback := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("ErrorCode") != "11200" {
			t.Errorf("the fallback was asked with %v", r.Form)
		}
		fmt.Fprint(w, `<Response><Dial>+15550100300</Dial></Response>`)
	}))
	defer fallback.Close()
	b := run(t, voiceConfig())
	o := b.options()
	o.Stream, o.Webhook, o.Fallback = "", testPublic+"/voice", fallback.URL
	b.stop()
	var mu sync.Mutex
	var steps []sim.StepKind
	var last string
	o.Observe = func(s sim.Step) {
		mu.Lock()
		defer mu.Unlock()
		steps = append(steps, s.Kind)
		if s.Kind == sim.StepVerb {
			last = s.Text
		}
	}
	report, err := sim.Run(t.Context(), o)
	if err != nil || report.Calls[0].Error != "" || len(report.Calls[0].Tracks) != 0 {
		t.Errorf("Run = %+v, %v; want a call without streams", report, err)
	}
	if want := []sim.StepKind{sim.StepError, sim.StepFallback, sim.StepVerb, sim.StepEnd}; fmt.Sprint(steps) != fmt.Sprint(want) || last != "Dial +15550100300" {
		t.Errorf("the call went %v, last %q; want %v, Dial", steps, last, want)
	}
	o.Fallback = "" // and without one it would not
	report, err = sim.Run(t.Context(), o)
	if err != nil || report.Calls[0].Error == "" {
		t.Errorf("without a fallback Run = %+v, %v; want an error", report, err)
	}
}

// TestWebhookWhenFull lets the call go on unheard.
func TestWebhookWhenFull(t *testing.T) {
	cfg := voiceConfig()
	cfg.Limits.MaxStreams = 1
	b := run(t, cfg)
	b.open(t, b.streamOptions())
	form := callForm(sim.SID("CA"))
	status, body := b.post(t, "/voice", form, sign("/voice", form))
	if status != http.StatusOK || strings.Contains(body, "<Start>") || !strings.Contains(body, "+15550100200") {
		t.Errorf("the webhook answers %d %s; want the call's TwiML without a stream", status, body)
	}
}

func TestAnswers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "flow.xml")
	if err := os.WriteFile(file, []byte("<?xml version=\"1.0\"?>\n<!-- ours -->\n<Response>\n  <Say>Hi &amp; welcome</Say>\n  <Hangup/>\n</Response>\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name  string
		voice Voice
		want  []string // element names and texts after the <Start>
	}{
		{"dial", Voice{Dial: []string{"+15550100200", "+15550100201"}, SIP: []string{"sip:a@example.com"}}, []string{"Dial", "Number", "+15550100200", "Number", "+15550100201", "Sip", "sip:a@example.com"}},
		{"queue", Voice{Queue: "support & sales"}, []string{"Enqueue", "support & sales"}},
		{"redirect", Voice{Redirect: "https://example.com/next?a=1&b=2"}, []string{"Redirect", "https://example.com/next?a=1&b=2"}},
		{"file", Voice{File: file}, []string{"Say", "Hi & welcome", "Hangup"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := testConfig()
			cfg.Voice = tc.voice
			a, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			doc, err := a.twiml.document("TOKEN")
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			d := xml.NewDecoder(strings.NewReader(doc))
			for {
				token, err := d.Token()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatalf("%v in %s", err, doc)
				}
				switch x := token.(type) {
				case xml.StartElement:
					got = append(got, x.Name.Local)
					for _, a := range x.Attr {
						if a.Name.Local == "url" && a.Value != "wss://voice.example.com/twilio/stream" || a.Name.Local == "value" && a.Value != "TOKEN" ||
							a.Name.Local == "track" && a.Value != TrackBoth || a.Name.Local == "statusCallback" && a.Value != testPublic+"/status" {
							t.Errorf("%s has %s = %q", x.Name.Local, a.Name.Local, a.Value)
						}
					}
				case xml.CharData:
					if s := strings.TrimSpace(string(x)); s != "" {
						got = append(got, s)
					}
				}
			}
			want := append([]string{"Response", "Start", "Stream", "Parameter"}, tc.want...)
			if strings.Join(got, "|") != strings.Join(want, "|") {
				t.Errorf("TwiML = %q; want %q", got, want)
			}
		})
	}
}

func FuzzSplitTwiML(f *testing.F) {
	f.Add([]byte("<Response><Dial>1</Dial></Response>"))
	f.Add([]byte("<!-- <Response> --><Response a='>'><Say/></Response>"))
	f.Add([]byte("<Response/><Response><Say/></Response>"))
	f.Fuzz(func(t *testing.T, b []byte) {
		tpl, err := splitTwiML(b)
		if err != nil {
			return
		}
		if tpl.head+tpl.tail != string(b) {
			t.Fatal("the author's text was changed")
		}
		var root struct {
			XMLName xml.Name
			First   []struct{ XMLName xml.Name } `xml:",any"`
		}
		if err := xml.Unmarshal([]byte(tpl.head+"<Start/>"+tpl.tail), &root); err != nil || root.XMLName.Local != "Response" || root.First[0].XMLName.Local != "Start" {
			t.Fatalf("with the stream's start, %q is %v, %v", b, root, err)
		}
	})
}

// TestTLS serves with a certificate of its own, as behind no proxy.
func TestTLS(t *testing.T) {
	ca := adaptertest.NewAuthority(t)
	b := run(t, voiceConfig(), func(e *adapter.Env) {
		e.TLS = &tls.Config{Certificates: []tls.Certificate{ca.Certificate("twilio.example.com")}, NextProtos: []string{"h2"}}
	})
	o := b.options()
	o.Stream, o.Webhook = "", testPublic+"/voice"
	o.Connect = strings.Replace(o.Connect, "http://", "https://", 1)
	o.TLS = &tls.Config{RootCAs: ca.Pool}
	report, err := sim.Run(t.Context(), o)
	if err != nil || report.Calls[0].Error != "" {
		t.Fatalf("Run = %+v, %v", report, err)
	}
	leg := b.sink.WaitLeg(t, 0)
	leg.WaitClosed(t)
	if leg.Frames() != 20 {
		t.Errorf("heard %d frames; want 20", leg.Frames())
	}
}

// BenchmarkVoiceWebhook is an answer to the voice webhook, signature included.
func BenchmarkVoiceWebhook(b *testing.B) {
	cfg := voiceConfig()
	a, err := New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	handler := newServer(a, &environment{log: log, report: report.New(log, func(string) {})}).routes()
	form := callForm(sim.SID("CA"))
	signature := sign("/voice", form)
	for b.Loop() {
		r := httptest.NewRequest(http.MethodPost, "/twilio/voice", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("X-Twilio-Signature", signature)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			b.Fatal(w.Code, w.Body)
		}
	}
}
