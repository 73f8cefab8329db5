package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/patchbay/patchbay/core/assist"
	"github.com/patchbay/patchbay/core/call"
	"github.com/patchbay/patchbay/core/event"
	"github.com/patchbay/patchbay/core/tape"
)

func noEnvironment(string) (string, bool) { return "", false }

var callBegan = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(d time.Duration) time.Time { return callBegan.Add(d) }

// aCall is what happens in a small call.
func aCall() []event.Event {
	customer := &event.TrackRef{Leg: "MZ1", Track: "inbound", Speaker: "c", Role: "end_user"}
	agent := &event.TrackRef{Leg: "MZ1", Track: "outbound", Speaker: "a", Role: "human_agent"}
	third := &event.TrackRef{Leg: "MZ1", Track: "third", Speaker: "x", Role: "other"}
	said := func(kind event.Kind, t *event.TrackRef, s time.Duration, text string) event.Event {
		return event.Event{Kind: kind, Time: at(s + time.Second), Track: t, Transcript: &event.Transcript{Text: text, Start: at(s)}}
	}
	offer := func(s event.Suggestion) event.Event {
		return event.Event{Kind: event.SuggestionOffered, Time: at(4 * time.Second), Suggestion: &s}
	}
	return []event.Event{
		{Kind: event.CallStarted, Time: at(0), State: &event.State{Adapter: "eu"}},
		{Kind: event.TrackJoined, Time: at(0), Track: customer, State: &event.State{Leg: "MZ1"}},
		{Kind: event.StreamOpened, Time: at(0), Track: customer, Stream: &event.Stream{Number: 1}},
		said(event.TranscriptInterim, customer, 1500*time.Millisecond, "my shoes"),
		said(event.TranscriptFinal, customer, 1500*time.Millisecond, "My shoes\ndo not fit."),
		{Kind: event.MessageStored, Time: at(3 * time.Second), Message: &event.Message{Text: "My shoes do not fit."}},
		offer(event.Suggestion{ID: "s-1", Feature: event.FeatureFAQ, Title: "How to return?", Text: "Within 30 days.", URI: "https://example.com", HeardAt: at(3200 * time.Millisecond)}),
		offer(event.Suggestion{ID: "s-2", Feature: event.FeatureSmartReply, Text: "I can help."}),
		offer(event.Suggestion{ID: "s-3", Feature: event.FeatureArticle, Title: "Returns", Text: strings.Repeat("long ", 100)}),
		{Kind: event.SuggestionFailed, Time: at(4 * time.Second), Suggestion: &event.Suggestion{Feature: event.FeatureGenerator, Error: "quota"}},
		{Kind: event.SuggestionFeedback, Time: at(5 * time.Second), Feedback: &event.Feedback{Suggestion: "s-1", Clicked: true, Correct: "partly_correct"}},
		said(event.TranscriptFinal, agent, 65*time.Second, "Let me \x1b[31msee\u202e."),
		said(event.TranscriptFinal, third, 66*time.Second, "Hm."),
		{Kind: event.VendorNote, Time: at(67 * time.Second), Note: &event.Note{Kind: "hold"}},
		{Kind: event.Warning, Time: at(68 * time.Second), Problem: &event.Problem{Code: "x", Text: "odd"}},
		{Kind: event.Failure, Time: at(69 * time.Second), Problem: &event.Problem{Code: "x", Text: "bad"}},
		{Kind: event.LegEnded, Time: at(70 * time.Second), State: &event.State{Leg: "CA1/MZ1", Reason: "hangup"}},
		{Kind: event.CallEnded, Time: at(70 * time.Second), State: &event.State{Reason: "completed"}},
	}
}

func TestRender(t *testing.T) {
	var out bytes.Buffer
	r := newRenderer(&out, noEnvironment)
	for _, e := range aCall() {
		r.render(e)
	}
	r.close()
	want := `00:00.0  ·         call started on eu
00:00.0  ·         track inbound is the customer
00:01.5  customer  My shoes do not fit.
                   ↳ FAQ How to return? — Within 30 days. (0.8 s) https://example.com
                   ↳ reply I can help.
                   ↳ article Returns — ` + strings.Repeat("long ", 27) + `long…
                   ↳ generator failed: quota
                   ↳ feedback clicked, partly correct (s-1)
01:05.0  agent     Let me [31msee.
01:06.0  other     Hm.
01:07.0  note      hold
01:08.0  warning   odd
01:09.0  failure   bad
01:10.0  ·         leg MZ1 ended (hangup)
01:10.0  ·         call ended: completed
`
	if out.String() != want {
		t.Errorf("render =\n%s\nwant\n%s", out.String(), want)
	}
	if r.err != nil {
		t.Error(r.err)
	}
}

// What was shown is not shown again, and how long it took stands once a batch.
func TestRenderSuggestionsOnce(t *testing.T) {
	var out bytes.Buffer
	r := newRenderer(&out, noEnvironment)
	offer := func(title, text string, heard time.Duration) {
		r.render(event.Event{Kind: event.SuggestionOffered, Time: at(heard + time.Second), Suggestion: &event.Suggestion{Feature: event.FeatureArticle, Title: title, Text: text, HeardAt: at(heard)}})
	}
	offer("Returns", "Within 30 days.", 0)
	offer("Refunds", "In a week.", 0)
	offer("Returns", "Within 30 days.", 5*time.Second)
	offer("Returns", "In the shop.", 5*time.Second)
	const indent = "                   "
	want := indent + "↳ article Returns — Within 30 days. (1.0 s)\n" + indent + "↳ article Refunds — In a week.\n" + indent + "↳ article Returns — In the shop. (1.0 s)\n"
	if out.String() != want {
		t.Errorf("render =\n%s\nwant\n%s", out.String(), want)
	}
	for i := range 3 * mostOffers {
		offer("Returns", strings.Repeat("x", i), 0)
	}
	if n := len(r.offered); n > mostOffers {
		t.Errorf("%d offers are remembered; want at most %d", n, mostOffers)
	}
}

// On a terminal text wraps by words in its own column, at the width that the
// terminal has by then.
func TestRenderWraps(t *testing.T) {
	var out bytes.Buffer
	r := newRenderer(&out, noEnvironment)
	columns := 50
	r.columns = func() int { return columns }
	say := func(text string) {
		r.render(event.Event{Kind: event.TranscriptFinal, Time: at(0), Transcript: &event.Transcript{Text: text, Start: at(0)}})
	}
	offer := func(s event.Suggestion) {
		r.render(event.Event{Kind: event.SuggestionOffered, Time: at(time.Second), Suggestion: &s})
	}
	say("My internet connection drops every few minutes.")
	offer(event.Suggestion{Feature: event.FeatureFAQ, Title: "Why does it drop?", Text: "Most often the router lost the line, so restart it.", URI: "https://example.com"})
	offer(event.Suggestion{Feature: event.FeatureArticle, Title: "Drops", Text: "Restart it.", URI: "https://example.com"})
	offer(event.Suggestion{Feature: event.FeatureArticle, Title: "Drops", Text: "Do.", URI: "https://example.com/" + strings.Repeat("x", 20), HeardAt: at(0)})
	columns = 44
	say("接続が切れます接続が切れます接続が切れます")
	columns = 30 // too narrow for columns
	say("My internet connection drops.")
	want := `00:00.0  ?         My internet connection drops
                   every few minutes.
                   ↳ FAQ Why does it drop? — Most
                     often the router lost the…
                   ↳ article Drops — Restart it.
                     https://example.com
                   ↳ article Drops — Do. (1.0 s)
00:00.0  ?         接続が切れます接続が切れ
                   ます接続が切れます
00:00.0  ?         My internet connection drops.
`
	if out.String() != want {
		t.Errorf("render =\n%s\nwant\n%s", out.String(), want)
	}
}

// On a terminal an interim stands until the next line takes its place, and never
// wraps.
func TestRenderInterims(t *testing.T) {
	var out bytes.Buffer
	r := newRenderer(&out, noEnvironment)
	columns := 60
	r.columns = func() int { return columns }
	interim := func(text string) {
		r.render(event.Event{Kind: event.TranscriptInterim, Time: at(0), Transcript: &event.Transcript{Text: text, Start: at(0)}})
	}
	interim("my")
	interim(strings.Repeat("word ", 40) + "last")
	r.render(event.Event{Kind: event.TranscriptFinal, Time: at(0), Transcript: &event.Transcript{Text: "mine", Start: at(0)}})
	interim("so")
	columns = 20
	interim("no room for this")
	r.close()
	parts := strings.Split(out.String(), eraseLine)
	if len(parts) != 6 || parts[3] != "00:00.0  ?         mine\n" || parts[5] != "" {
		t.Fatalf("written: %q", parts)
	}
	if n := cells(parts[2]); n > 59 || n < 55 || !strings.HasSuffix(parts[2], "last") {
		t.Errorf("interim %q has %d cells; want a few less than 60 and the newest words", parts[2], n)
	}
}

func TestRenderColours(t *testing.T) {
	var plain, coloured bytes.Buffer
	p, c := newRenderer(&plain, noEnvironment), newRenderer(&coloured, noEnvironment)
	c.colour = true
	for _, e := range aCall() {
		p.render(e)
		c.render(e)
	}
	if strings.Contains(plain.String(), "\x1b") {
		t.Errorf("without colours: %q", plain.String())
	}
	stripped := coloured.String()
	for _, style := range []string{styleBold, styleDim, styleRed, styleGreen, styleYellow, styleMagenta, styleCyan, styleReset} {
		stripped = strings.ReplaceAll(stripped, style, "")
	}
	if stripped != plain.String() {
		t.Errorf("colours change more than colours:\n%s\n%s", stripped, plain.String())
	}
	for _, want := range []string{styleCyan + "customer", styleGreen + "agent", styleRed + "failure"} {
		if !strings.Contains(coloured.String(), want) {
			t.Errorf("no %q in %q", want, coloured.String())
		}
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestRenderRemembersTheError(t *testing.T) {
	r := newRenderer(brokenWriter{}, noEnvironment)
	r.render(aCall()[0])
	if r.err == nil {
		t.Error("a broken pipe went unnoticed")
	}
}

func TestPrintCall(t *testing.T) {
	info := call.Info{
		Summary: call.Summary{ID: "abc", Key: "CA1", Adapter: "eu", Account: "AC1", Tenant: "default", Conversation: "projects/p/locations/global/conversations/CA1",
			State: call.Active, Started: callBegan},
		To: "+15550100", Profile: "demo", Route: 2,
		LegList: []call.LegInfo{{Key: "MZ1", Started: callBegan}},
		Tracks: []call.TrackInfo{{
			TrackRef: event.TrackRef{Number: 1, Leg: "MZ1", Track: "inbound", Speaker: "c", Role: "end_user"}, Evidence: "default", Assumed: true, Format: "mulaw", Rate: 8000, Heard: true,
			Ledger: tape.Ledger{Recognised: 60000, Silent: 19900, Pending: 100, Lost: 800, Late: 160, Discarded: map[string]int64{"buffer_full": 0}},
		}, {
			TrackRef: event.TrackRef{Number: 2, Leg: "MZ1", Track: "third", Speaker: "x", Role: "other"}, Format: "mulaw", Rate: 8000,
		}},
		Session: assist.Info{Transport: assist.Extended,
			Participants: []assist.Participant{{Speaker: "c", Role: "end_user", Name: "projects/p/participants/P1"}},
			Tracks:       []assist.TrackInfo{{Track: event.TrackRef{Number: 1, Leg: "MZ1", Track: "inbound", Speaker: "c"}, State: assist.StateStreaming, Streams: 2}}},
	}
	var out, narrow bytes.Buffer
	if err := errors.Join(printCall(&out, false, 0, info, at(72*time.Second)), printCall(&narrow, false, 80, info, at(72*time.Second))); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(narrow.String()) {
		if n := cells(strings.TrimSuffix(line, "\n")); n > 80 {
			t.Errorf("on 80 columns a line has %d: %q", n, line)
		}
	}
	for _, want := range []string{
		"call abc  active  since ", "(1m12s)", "CA1 on eu · account AC1 · tenant default", "numbers       +15550100\n", "demo · routes[2] · transport extended\n",
		"customer  c  P1\n", "MZ1 from ", " live\n", "customer  @1 inbound · mulaw 8000 Hz · streaming (stream 2)\n            default (assumed)\n",
		"10.0 s  █████████████████████░░░░░░·  recognised 75 %, silent 25 %, pending <1 %", "late 0.02 s, lost 0.10 s",
		"other     @2 third · mulaw 8000 Hz · not heard\n", "no audio yet",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestBar(t *testing.T) {
	for _, l := range []tape.Ledger{
		{}, {Pending: 1}, {Recognised: 1, Silent: 1, Unrecognised: 1, Withheld: 1, InFlight: 1, Pending: 1, Discarded: map[string]int64{"a": 1, "b": 1}},
		{Recognised: 1 << 40, Silent: 1}, {Recognised: 1, Silent: 1 << 40, Pending: 1},
	} {
		states := ledgerStates(l)
		var total int64
		for _, s := range states {
			total += s.samples
		}
		got := bar(states, total)
		if n := len([]rune(got)); n != barWidth {
			t.Errorf("bar(%+v) = %q has %d characters; want %d", l, got, n, barWidth)
		}
		for _, s := range states {
			if strings.ContainsRune(got, s.glyph) != (s.samples > 0) {
				t.Errorf("bar(%+v) = %q; wrong about %s", l, got, s.name)
			}
		}
	}
}

func TestPrintCalls(t *testing.T) {
	var out bytes.Buffer
	calls := []call.Summary{
		{ID: "new", State: call.Active, Started: callBegan, Adapter: "eu", Key: strings.Repeat("x", 60), Conversation: "projects/p/conversations/C9"},
		{ID: "old", State: call.Ended, Started: callBegan, Ended: at(65 * time.Second), Key: "a\x1bb"},
	}
	var narrow bytes.Buffer
	if err := printCalls(&narrow, false, 50, calls[:1], at(0)); err != nil || !strings.Contains(narrow.String(), "xx…\n") || cells(narrow.String()) > 2*51 {
		t.Errorf("on 50 columns: %v, %q", err, narrow.String())
	}
	if err := printCalls(&out, true, 0, calls, at(10*time.Second)); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[0], styleBold+"CALL") || !strings.Contains(lines[1], " 10s ") || !strings.Contains(lines[1], " C9") ||
		!strings.HasPrefix(lines[2], styleDim+"old") || !strings.Contains(lines[2], "1m5s") || !strings.Contains(lines[2], "a b") {
		t.Errorf("table = %q", lines)
	}
}
