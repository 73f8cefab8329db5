package api

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/call"
	"github.com/patchbay/patchbay/core/event"
)

// One call from its first word to its end, as a desktop sees it.
func TestCallOverHTTP(t *testing.T) {
	h := newHost(t)
	p := h.dial("CA/1 é")
	p.say("inbound", "amber", "basil", "cedar")
	p.waitKind(event.MessageStored)
	offered := p.waitKind(event.SuggestionOffered)

	var list CallList
	h.get("/v1/calls", &list)
	if len(list.Calls) != 1 || list.Calls[0].ID != p.call.ID() || list.Calls[0].State != call.Active {
		t.Fatalf("calls = %s; want the one active call", pretty(list))
	}

	// By our id, by the vendor's (escaped), by the conversation's id and full name.
	var info call.Info
	h.get("/v1/calls/"+p.call.ID(), &info)
	if info.Key != "CA/1 é" || info.Adapter != "line" || info.Account != "AC1" || len(info.Tracks) != 2 || len(info.LegList) != 1 || len(info.Session.Participants) != 2 {
		t.Errorf("call = %s; want the call that was made", pretty(info))
	}
	for _, name := range []string{"CA/1 é", info.Session.Conversation, info.Session.Conversation[strings.LastIndex(info.Session.Conversation, "/")+1:]} {
		var again call.Info
		h.get("/v1/calls/"+url.PathEscape(name), &again)
		if again.ID != info.ID {
			t.Errorf("call by name %q = %s; want %s", name, again.ID, info.ID)
		}
	}

	var transcript Transcript
	h.get("/v1/calls/"+info.ID+"/transcript", &transcript)
	for _, kind := range []LineKind{LineFinal, LineMessage} {
		var only Transcript
		h.get("/v1/calls/"+info.ID+"/transcript?kind="+string(kind), &only)
		if len(only.Lines) != 1 || only.Lines[0].Kind != kind || only.Lines[0].Text != "amber basil cedar" || only.Lines[0].Role != "end_user" {
			t.Errorf("transcript, kind %s = %s; want the customer's three words", kind, pretty(only))
		}
	}
	if len(transcript.Lines) != 2 {
		t.Errorf("transcript = %s; want the final and the message", pretty(transcript))
	}

	var suggestions SuggestionList
	path := "/v1/calls/" + info.ID + "/suggestions"
	h.get(path, &suggestions)
	if len(suggestions.Suggestions) != 1 || suggestions.Suggestions[0].Text != "An answer" || suggestions.Suggestions[0].Feature != event.FeatureFAQ || suggestions.Suggestions[0].Feedback != nil {
		t.Fatalf("suggestions = %s; want one answer", pretty(suggestions))
	}
	resp, body := h.do(h.request(http.MethodPost, path+"/"+offered.Suggestion.ID+"/feedback", `{"displayed": true}`))
	if resp.StatusCode != http.StatusNoContent {
		t.Fatalf("feedback = %s %s; want 204", resp.Status, body)
	}
	resp, body = h.do(h.request(http.MethodPost, path+"/"+offered.Suggestion.ID+"/feedback", `{"clicked": true, "correctness": "correct"}`))
	if resp.StatusCode != http.StatusNoContent {
		t.Fatalf("feedback = %s %s; want 204", resp.Status, body)
	}
	h.get(path, &suggestions)
	want := event.Feedback{Suggestion: offered.Suggestion.ID, Displayed: true, Clicked: true, Correct: "correct"}
	if got := suggestions.Suggestions[0].Feedback; got == nil || *got != want {
		t.Errorf("feedback = %+v; want %+v", got, want)
	}
	told := 0
	for _, e := range p.call.Events().Since(0, 0) {
		if e.Kind == event.SuggestionFeedback {
			told++
		}
	}
	if told != 2 {
		t.Errorf("%d feedback events for 2 requests", told)
	}

	p.hangUp()
	p.waitKind(event.CallEnded)
	h.get("/v1/calls?state=ended", &list)
	if len(list.Calls) != 1 {
		t.Errorf("ended calls = %s; want the one", pretty(list))
	}
	h.get("/v1/calls?state=active", &list)
	if len(list.Calls) != 0 {
		t.Errorf("active calls = %s; want none", pretty(list))
	}
}

func TestErrorsAreProblems(t *testing.T) {
	h := newHost(t)
	h.adapters.set(AdapterStatus{Name: "line", Plugin: "line", State: AdapterReady})
	p := h.dial("CA1")
	p.waitKind(event.ConversationReady)
	long := strings.Repeat("x", 600)
	for _, tc := range []struct {
		name, method, path, body string
		status                   int
		detail                   string // a part of it
	}{
		{"no such path", "GET", "/v2/calls", "", 404, "/openapi.json"},
		{"wrong method", "DELETE", "/v1/calls", "", 405, "DELETE is not possible here"},
		{"no such call", "GET", "/v1/calls/nobody", "", 404, `there is no call "nobody"`},
		{"name too long", "GET", "/v1/calls/" + long, "", 422, "path.id"},
		{"no such state", "GET", "/v1/calls?state=dead", "", 422, "query.state"},
		{"transcript of nobody", "GET", "/v1/calls/nobody/transcript", "", 404, "no call"},
		{"no such kind", "GET", "/v1/calls/CA1/transcript?kind=x", "", 422, "query.kind"},
		{"suggestions of nobody", "GET", "/v1/calls/nobody/suggestions", "", 404, "no call"},
		{"events of nobody", "GET", "/v1/calls/nobody/events", "", 404, "no call"},
		{"list of nobody", "GET", "/v1/calls/nobody/events.json", "", 404, "no call"},
		{"after is no number", "GET", "/v1/calls/CA1/events?after=x", "", 422, "query.after"},
		{"limit too high", "GET", "/v1/calls/CA1/events.json?limit=99999", "", 422, "query.limit"},
		{"feedback to nobody", "POST", "/v1/calls/nobody/suggestions/s-1/feedback", `{"clicked":true}`, 404, "no call"},
		{"feedback on nothing", "POST", "/v1/calls/CA1/suggestions/s-9/feedback", `{"clicked":true}`, 404, `no suggestion "s-9"`},
		{"empty feedback", "POST", "/v1/calls/CA1/suggestions/s-9/feedback", `{}`, 422, "says nothing"},
		{"unknown correctness", "POST", "/v1/calls/CA1/suggestions/s-9/feedback", `{"correctness":"so so"}`, 422, "body.correctness"},
		{"unknown field", "POST", "/v1/calls/CA1/suggestions/s-9/feedback", `{"click":true}`, 422, "body.click"},
		{"not JSON", "POST", "/v1/calls/CA1/suggestions/s-9/feedback", `{`, 400, "body"},
		{"no body", "POST", "/v1/calls/CA1/suggestions/s-9/feedback", ``, 400, "body is required"},
		{"body too large", "POST", "/v1/adapters/line/attach", `{"call":"` + strings.Repeat("x", MaxBodyBytes) + `"}`, 413, "too large"},
		{"pause of nobody", "POST", "/v1/calls/nobody/pause", `{}`, 404, "no call"},
		{"resume of nobody", "POST", "/v1/calls/nobody/resume", `{}`, 404, "no call"},
		{"a reason without end", "POST", "/v1/calls/CA1/pause", `{"reason":"` + long + `"}`, 422, "body.reason"},
		{"role of nobody", "POST", "/v1/calls/nobody/tracks/1/role", `{"role":"other"}`, 404, "no call"},
		{"role of no track", "POST", "/v1/calls/CA1/tracks/9/role", `{"role":"other"}`, 404, `no such track "9"`},
		{"no such role", "POST", "/v1/calls/CA1/tracks/1/role", `{"role":"boss"}`, 422, "body.role"},
		{"no role", "POST", "/v1/calls/CA1/tracks/1/role", `{}`, 422, "role"},
		{"attach to no adapter", "POST", "/v1/adapters/nobody/attach", `{"call":"CA1"}`, 404, `no adapter "nobody"`},
		{"attach without a call", "POST", "/v1/adapters/line/attach", `{}`, 422, "call"},
		{"adapter cannot attach", "POST", "/v1/adapters/line/attach", `{"call":"CA1"}`, 501, "line cannot attach"},
		{"adapter cannot detach", "POST", "/v1/adapters/line/detach", `{"call":"CA1"}`, 501, "line cannot detach"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			resp, body := h.do(h.request(tc.method, tc.path, tc.body))
			if resp.StatusCode != tc.status {
				t.Fatalf("%s %s = %s %s; want %d", tc.method, tc.path, resp.Status, body, tc.status)
			}
			if got := problemOf(t, resp, body); !strings.Contains(got, tc.detail) {
				t.Errorf("detail = %q; want it to say %q", got, tc.detail)
			}
		})
	}
	p.hangUp()
}

// Somebody says who speaks; the transcript follows, and says what Agent Assist keeps.
func TestRoleOverHTTP(t *testing.T) {
	h := newHost(t)
	p := h.dial("CA1")
	p.say("inbound", "amber", "basil")
	p.waitKind(event.MessageStored)
	resp, body := h.do(h.request("POST", "/v1/calls/CA1/tracks/inbound/role", `{"role":"human_agent","reason":"I hear it"}`))
	var track call.TrackInfo
	if err := json.Unmarshal(body, &track); err != nil || resp.StatusCode != http.StatusOK || track.Role != "human_agent" || track.Number != 3 || len(track.Earlier) != 1 {
		t.Fatalf("correction = %s %s (%v); want track 3, which continues track 1", resp.Status, body, err)
	}
	p.say("inbound", "cedar")
	p.wait("the words after the correction", func(e event.Event) bool { return e.Kind == event.MessageStored && e.Track.Number == 3 })
	var transcript Transcript
	h.get("/v1/calls/CA1/transcript", &transcript)
	for _, l := range transcript.Lines {
		stored := ""
		if l.Text != "cedar" {
			stored = "end_user"
		}
		if l.Role != "human_agent" || l.StoredRole != stored {
			t.Errorf("line %s; want the agent's, stored as %q", pretty(l), stored)
		}
	}
	if len(transcript.Lines) != 4 {
		t.Errorf("transcript = %s; want two finals and two messages", pretty(transcript))
	}
	var info call.Info
	h.get("/v1/calls/CA1", &info)
	if first := info.Tracks[0]; first.Role != "human_agent" || first.StoredRole != "end_user" || !strings.Contains(first.Evidence, "I hear it") {
		t.Errorf("track 1 = %s; want the agent's, stored as the customer's", pretty(first))
	}
	e := p.waitKind(event.RoleCorrected)
	if c := e.Correction; c == nil || !c.Person || c.Role != "human_agent" || len(c.Earlier) != 1 || c.Earlier[0] != 1 {
		t.Errorf("the event says %s", pretty(e))
	}
	p.hangUp()
}

func TestOnlyJSONIsRead(t *testing.T) {
	h := newHost(t)
	r := h.request(http.MethodPost, "/v1/adapters/line/attach", "call=CA1")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, body := h.do(r)
	if got := problemOf(t, resp, body); resp.StatusCode != http.StatusUnsupportedMediaType || !strings.Contains(got, "x-www-form-urlencoded") {
		t.Errorf("a form = %s %q; want 415 that names it", resp.Status, got)
	}
}

func TestRequestValuesStayOutOfProblems(t *testing.T) {
	h := newHost(t)
	h.adapters.set(AdapterStatus{Name: "line", State: AdapterReady, Abilities: []string{AbilityAttach}})
	_, body := h.do(h.request("POST", "/v1/adapters/line/attach", `{"call":"CA1","claims":{"pin":4711}}`))
	if strings.Contains(string(body), "4711") {
		t.Errorf("the answer %s repeats what was sent", body)
	}
}

func TestLinesOf(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	final := func(seq uint64, id string, start, revision int, text string) event.Event {
		return event.Event{Seq: seq, Kind: event.TranscriptFinal, Revision: revision, Transcript: &event.Transcript{Utterance: id, Text: text, Start: at(start)}}
	}
	stored := func(seq uint64, name string, start int, text string) event.Event {
		return event.Event{Seq: seq, Kind: event.MessageStored, Message: &event.Message{Name: name, Text: text, Sent: at(start)}}
	}
	interim := event.Event{Seq: 9, Kind: event.TranscriptInterim, Transcript: &event.Transcript{Utterance: "u9", Text: "not yet"}}
	for _, tc := range []struct {
		name   string
		events []event.Event
		want   string
	}{
		{"nothing", nil, ""},
		{"order of the call's clock", []event.Event{final(1, "a", 20, 0, "late"), final(2, "b", 10, 0, "early")}, "early|late"},
		{"final before its message", []event.Event{final(1, "a", 10, 0, "final"), stored(2, "m", 10, "message")}, "final|message"},
		{"latest revision", []event.Event{final(1, "a", 10, 0, "raw"), final(2, "a", 10, 1, "masked")}, "masked"},
		{"an old revision that comes late", []event.Event{final(1, "a", 10, 1, "masked"), final(2, "a", 10, 0, "raw")}, "masked"},
		{"interims are nobody's last word", []event.Event{interim, final(10, "a", 1, 0, "final")}, "final"},
		{"an utterance and a message of the same name", []event.Event{final(1, "x", 1, 0, "final"), stored(2, "x", 2, "message")}, "final|message"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []string
			for _, l := range linesOf(tc.events) {
				got = append(got, l.Text)
			}
			if s := strings.Join(got, "|"); s != tc.want {
				t.Errorf("linesOf = %q; want %q", s, tc.want)
			}
		})
	}
}

func TestSuggestionsOf(t *testing.T) {
	offered := func(id string, revision int, text string) event.Event {
		return event.Event{Kind: event.SuggestionOffered, Revision: revision, Suggestion: &event.Suggestion{ID: id, Text: text}}
	}
	told := func(f event.Feedback) event.Event { return event.Event{Kind: event.SuggestionFeedback, Feedback: &f} }
	got := suggestionsOf([]event.Event{
		offered("s-1", 0, "raw"), offered("s-2", 0, "two"),
		told(event.Feedback{Suggestion: "s-1", Displayed: true, Correct: "incorrect"}),
		offered("s-1", 1, "masked"),
		told(event.Feedback{Suggestion: "s-1", Clicked: true}),
		told(event.Feedback{Suggestion: "s-7", Clicked: true}),
		{Kind: event.SuggestionFailed, Suggestion: &event.Suggestion{ID: "s-3", Error: "no"}},
	})
	if len(got) != 2 || got[0].Text != "masked" || got[1].Text != "two" || got[1].Feedback != nil {
		t.Fatalf("suggestionsOf = %s; want the masked one and two", pretty(got))
	}
	want := event.Feedback{Suggestion: "s-1", Displayed: true, Clicked: true, Correct: "incorrect"}
	if f := got[0].Feedback; f == nil || *f != want {
		t.Errorf("feedback = %+v; want %+v", f, want)
	}
}

func TestAdapters(t *testing.T) {
	h := newHost(t)
	all := []string{AbilityAttach, AbilityDetach}
	h.adapters.set(AdapterStatus{Name: "eu/1", Plugin: "line", State: AdapterReady, Abilities: all})
	var list AdapterList
	h.get("/v1/adapters", &list)
	if len(list.Adapters) != 1 || list.Adapters[0].Name != "eu/1" || list.Adapters[0].State != AdapterReady {
		t.Errorf("adapters = %s; want the one", pretty(list))
	}

	resp, body := h.do(h.request("POST", "/v1/adapters/eu%2F1/attach", `{"account":"AC1","call":"CA1","claims":{"queue":"sales"}}`))
	if resp.StatusCode != http.StatusOK || !strings.Contains(string(body), `"stream":"MZ1"`) {
		t.Fatalf("attach = %s %s; want stream MZ1", resp.Status, body)
	}
	resp, body = h.do(h.request("POST", "/v1/adapters/eu%2F1/detach", `{"call":"CA1","stream":"MZ1"}`))
	if resp.StatusCode != http.StatusNoContent {
		t.Fatalf("detach = %s %s; want 204", resp.Status, body)
	}
	if a := h.adapters.attached; len(a) != 1 || a[0].Account != "AC1" || a[0].Call != "CA1" || a[0].Claims["queue"] != "sales" {
		t.Errorf("the adapter got %+v", a)
	}
	if d := h.adapters.detached; len(d) != 1 || d[0] != (adapter.DetachRequest{Call: "CA1", Stream: "MZ1"}) {
		t.Errorf("the adapter got %+v", d)
	}
}

func TestAdapterErrors(t *testing.T) {
	h := newHost(t)
	kind := func(k adapter.Kind, text string) error {
		return &adapter.Error{Op: "line.Attach", Call: "CA1", Kind: k, Err: errText(text)}
	}
	for _, tc := range []struct {
		name   string
		err    error
		status int
	}{
		{"config", kind(adapter.KindConfig, "no such account\nname one"), 422},
		{"unavailable", kind(adapter.KindUnavailable, "the vendor is down"), 503},
		{"vendor", kind(adapter.KindVendor, "the vendor said 404"), 502},
		{"internal", kind(adapter.KindInternal, "our bug"), 500},
		{"anything else", errText("oh"), 500},
		{"refused", &adapter.Refusal{Reason: adapter.RefusedDraining, Text: "shutting down"}, 503},
		{"closed", adapter.ErrClosed, 503},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h.adapters.set(AdapterStatus{Name: "eu", State: AdapterReady, Abilities: []string{AbilityAttach, AbilityDetach}})
			h.adapters.fail(tc.err)
			for _, verb := range []string{"attach", "detach"} {
				resp, body := h.do(h.request("POST", "/v1/adapters/eu/"+verb, `{"call":"CA1"}`))
				if resp.StatusCode != tc.status {
					t.Errorf("%s = %s; want %d", verb, resp.Status, tc.status)
				}
				problemOf(t, resp, body)
			}
		})
	}
	h.adapters.set(AdapterStatus{Name: "eu", State: AdapterStarting})
	resp, body := h.do(h.request("POST", "/v1/adapters/eu/attach", `{"call":"CA1"}`))
	if got := problemOf(t, resp, body); resp.StatusCode != 503 || !strings.Contains(got, "starting") {
		t.Errorf("attach at start = %s %q; want 503 that says starting", resp.Status, got)
	}
}

type errText string

func (e errText) Error() string { return string(e) }
