package call

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/assist"
	"github.com/patchbay/patchbay/core/event"
	"github.com/patchbay/patchbay/core/tape"
)

func TestExplain(t *testing.T) {
	now := time.Date(2026, 3, 1, 10, 5, 0, 0, time.UTC)
	ref := event.TrackRef{Leg: "leg", Track: "inbound", Speaker: "customer", Role: "end_user"}
	good := func() (Info, []event.Event) {
		i := Info{Summary: Summary{ID: "c1", State: Active, Legs: 1}, LegList: []LegInfo{{Key: "leg"}},
			Session: assist.Info{Conversation: "projects/p/conversations/c", Tracks: []assist.TrackInfo{{Track: ref, State: assist.StateStreaming, Streams: 1}}},
			Tracks: []TrackInfo{{TrackRef: ref, Rate: 8000, Heard: true, LastAudio: now.Add(-time.Second),
				Ledger: tape.Ledger{Arrived: 80000, Received: 80000, Sent: 79000, Recognised: 70000, InFlight: 9000, Pending: 1000}}}}
		return i, []event.Event{
			{Kind: event.TranscriptFinal, Track: &ref, Transcript: &event.Transcript{}},
			{Kind: event.SuggestionOffered, Suggestion: &event.Suggestion{}},
		}
	}
	failure := func(text string) event.Event {
		return event.Event{Kind: event.Failure, Problem: &event.Problem{Code: "x", Text: text}}
	}
	tests := []struct {
		name    string
		change  func(i *Info, events *[]event.Event)
		verdict string
		finding string // a part of one finding's text
	}{
		{"all is well", func(*Info, *[]event.Event) {}, "1 utterance and 1 suggestion: all is well", "1 utterance of end_user in 10s of audio"},
		{"too early to say", func(i *Info, e *[]event.Event) { *e = nil; i.Tracks[0].Ledger.Sent = 0 }, "No transcript yet: nothing stands in its way", ""},
		{"no track", func(i *Info, e *[]event.Event) { i.Tracks, *e = nil, nil }, "No transcript: the vendor opened a connection but sent no audio", ""},
		{"no audio", func(i *Info, e *[]event.Event) { i.Tracks[0].Ledger, *e = tape.Ledger{}, nil }, "No transcript: inbound the track was announced", ""},
		{"silence", func(i *Info, e *[]event.Event) { i.Tracks[0].Ledger.Silent, *e = 79000, nil }, "No transcript: inbound the audio is silent", ""},
		{"not recognised", func(i *Info, e *[]event.Event) { *e = nil }, "No transcript: inbound 9.9s of audio was sent and nothing recognised", ""},
		{"no conversation", func(i *Info, e *[]event.Event) {
			i.Session.Problem = &event.Problem{Text: "profile missing"}
			*e = []event.Event{failure("profile missing")}
		}, "No transcript: profile missing", ""},
		{"not set up yet", func(i *Info, e *[]event.Event) { i.Session.Conversation, *e = "", nil }, "No transcript: the conversation is not set up yet", ""},
		{"paused", func(i *Info, e *[]event.Event) { i.Paused = "consent" }, "1 utterance, and not everything is well: the call is paused", "withheld: consent"},
		{"third voice", func(i *Info, e *[]event.Event) {
			i.Tracks[0].Ledger.Discarded = map[string]int64{DiscardThirdVoice: 8000}
		}, "1 utterance, and", "1s of audio was given up: a third voice"},
		{"stream broke", func(i *Info, e *[]event.Event) {
			i.Session.Tracks[0].State, i.Session.Tracks[0].Error = assist.StateRetrying, "UNAVAILABLE"
		}, "1 utterance, and", "tried again: UNAVAILABLE"},
		{"stream refused", func(i *Info, e *[]event.Event) {
			i.Session.Tracks[0].State, i.Session.Tracks[0].Error, *e = assist.StateRefused, "PERMISSION_DENIED", nil
		}, "No transcript: inbound Agent Assist refuses the stream: PERMISSION_DENIED", ""},
		{"a backlog", func(i *Info, e *[]event.Event) { i.Tracks[0].Ledger.Pending = 80000 }, "1 utterance, and", "10s of audio waits"},
		{"gaps", func(i *Info, e *[]event.Event) { i.Tracks[0].Ledger.Lost, i.Tracks[0].Ledger.Gaps = 1600, 3 }, "1 utterance and", "200ms of audio never came, in 3 gaps"},
		{"quiet leg", func(i *Info, e *[]event.Event) { i.Tracks[0].LastAudio = now.Add(-time.Minute) }, "1 utterance and", "no audio for 1m0s, though the leg is live"},
		{"assumed role", func(i *Info, e *[]event.Event) { i.Tracks[0].Assumed = true }, "1 utterance and", "nobody said who speaks"},
		{"crashed leg", func(i *Info, e *[]event.Event) { i.LegList[0].Reason, i.LegList[0].Text = "crash", "plugin died" }, "1 utterance and", "the leg ended as crash: plugin died"},
		{"a feature failed", func(i *Info, e *[]event.Event) {
			*e = append(*e, event.Event{Kind: event.SuggestionFailed, Suggestion: &event.Suggestion{Feature: event.FeatureFAQ, Error: "no knowledge base"}})
		}, "1 utterance, and", "the feature faq failed: no knowledge base"},
		{"no suggestions", func(i *Info, e *[]event.Event) { *e = (*e)[:1] }, "1 utterance and 0", "no suggestions came"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			i, events := good()
			tt.change(&i, &events)
			x := explain(i, events, now)
			if !strings.HasPrefix(x.Verdict, tt.verdict) {
				t.Errorf("verdict %q; want %q", x.Verdict, tt.verdict)
			}
			var all []string
			for _, f := range x.Findings {
				all = append(all, f.Text)
			}
			if !strings.Contains(strings.Join(all, "\n"), tt.finding) {
				t.Errorf("findings\n%s\nwant one with %q", strings.Join(all, "\n"), tt.finding)
			}
		})
	}
}

// TestExplainSteps: the newest decisions are shown, the oldest first.
func TestExplainSteps(t *testing.T) {
	var events []event.Event
	for i := range 3 * maxSteps {
		events = append(events, event.Event{Kind: event.Decided, Track: &event.TrackRef{Track: "inbound"}, Decision: &event.Decision{What: "opened", Stream: i}},
			event.Event{Kind: event.TranscriptFinal, Transcript: &event.Transcript{}})
	}
	got := explain(Info{}, events, time.Now()).Steps
	if len(got) != maxSteps || got[0].Stream != 2*maxSteps || got[maxSteps-1].Stream != 3*maxSteps-1 || got[0].About != "inbound" {
		t.Errorf("steps %+v; want the newest %d", got, maxSteps)
	}
	if got := explain(Info{}, nil, time.Now()).Steps; got == nil {
		t.Error("without decisions the steps are null; want an empty list")
	}
}

// TestNotesOfTheVendor: a language and a hold reach the audio that they are about.
func TestNotesOfTheVendor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, nil)
		l := h.open(t, "CA1", "leg")
		in, out := join(t, l, "inbound", customer, 1), join(t, l, "outbound", agent, 2)
		say(t, 5*time.Second, in, out)
		for _, n := range []adapter.Note{{Kind: adapter.NoteLanguage, Track: "inbound", Text: "de-DE"}, {Kind: adapter.NoteLanguage, Track: "outbound", Text: "?"}} {
			if err := l.Note(n); err != nil {
				t.Fatal(err)
			}
		}
		say(t, 5*time.Second, in, out)
		if err := l.Note(adapter.Note{Kind: adapter.NoteHold}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Minute)
		in.pos, out.pos = in.pos+20*60*8000, out.pos+20*60*8000
		if err := l.Note(adapter.Note{Kind: adapter.NoteResume}); err != nil {
			t.Fatal(err)
		}
		say(t, 5*time.Second, in, out)
		c := h.find(t, "CA1")
		closeLeg(t, l, adapter.EndHangup)
		untilEnded(t, c)
		account, _ := h.emulator.Account().Conversation("CA1")
		if got := account.Role("END_USER")[0].Languages; !slices.Equal(got, []string{"en-US", "de-DE", "de-DE"}) {
			t.Errorf("the customer's streams were in %v; want German from the note on", got)
		}
		if got := account.Role("HUMAN_AGENT")[0].Languages; !slices.Equal(got, []string{"en-US", "en-US"}) {
			t.Errorf("the agent's streams were in %v; want English", got)
		}
		for _, tr := range c.Info().Tracks {
			if l := tr.Ledger; l.Lost != 0 || len(l.Discarded) != 0 || l.Balanced() != nil {
				t.Errorf("%s: ledger %+v; want no loss", tr.Track, l)
			}
		}
		x := c.Explain()
		for _, f := range x.Findings {
			if f.Level == Trouble {
				t.Errorf("finding %+v; want no trouble", f)
			}
		}
		if len(x.Steps) < 10 {
			t.Errorf("%d steps %+v; want what became of the streams", len(x.Steps), x.Steps)
		}
	})
}

// TestExplainRealCalls asks of calls that really went through.
func TestExplainRealCalls(t *testing.T) {
	for profile, want := range map[string]string{"demo": "utterance", "missing": `No transcript: `} {
		t.Run(profile, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t, func(c *Config) { c.Routes[0].Profile = profile })
				l := h.open(t, "CA1", "leg")
				say(t, 12*time.Second, join(t, l, "inbound", customer, 1))
				c := h.find(t, "CA1")
				closeLeg(t, l, adapter.EndHangup)
				untilEnded(t, c)
				if x := c.Explain(); !strings.Contains(x.Verdict, want) || profile != "demo" && !strings.Contains(x.Verdict, profile) {
					t.Errorf("verdict %q; want %q in it", x.Verdict, want)
				}
			})
		})
	}
}
