package call

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/patchbay/patchbay/core/assist"
	"github.com/patchbay/patchbay/core/event"
	"github.com/patchbay/patchbay/core/media"
)

// Explanation answers why a call has, or lacks, transcripts and suggestions.
type Explanation struct {
	Call     string    `json:"call" doc:"Patchbay's id of the call."`
	Verdict  string    `json:"verdict" doc:"The answer in one line."`
	Findings []Finding `json:"findings" nullable:"false" doc:"What was found on the way of the audio, in its direction."`
	Steps    []Step    `json:"steps" nullable:"false" doc:"What the host decided lately, and why; the oldest first."`
}

// Step is a decision of the flight recorder.
type Step struct {
	At    time.Time `json:"at"`
	About string    `json:"about,omitempty" doc:"The track, if it is about one."`
	event.Decision
}

// maxSteps is how many decisions an explanation shows.
const maxSteps = 20

// Finding is one observation about a call.
type Finding struct {
	Level Level  `json:"level" enum:"problem,notice,fine"`
	About string `json:"about,omitempty" doc:"The track or leg, if it is about one."`
	Text  string `json:"text"`
	Do    string `json:"do,omitempty" doc:"What would mend it."`
}

// Level says what a finding means for the transcript.
type Level string

// The levels of findings.
const (
	Trouble Level = "problem" // something is missing because of it
	Notice  Level = "notice"  // worth knowing
	Fine    Level = "fine"
)

// The thresholds of an explanation.
const (
	quietFor = 10 * time.Second // without any audio on a live track
	lagging  = 5 * time.Second  // of audio that waits to be sent
)

// Explain says why the call has, or lacks, transcripts and suggestions.
func (c *Call) Explain() Explanation { return explain(c.Info(), c.events.Since(0, 0), time.Now()) }

// explain looks at a call from the vendor's end to Agent Assist's.
func explain(i Info, events []event.Event, now time.Time) Explanation {
	x := &explainer{Info: i, now: now, results: count(events)}
	x.legs()
	x.conversation()
	for _, t := range i.Tracks {
		x.track(t)
	}
	x.suggestions()
	return Explanation{Call: i.ID, Verdict: x.verdict(), Findings: x.findings, Steps: steps(events)}
}

// steps returns the newest decisions.
func steps(events []event.Event) []Step {
	out := []Step{}
	for _, e := range slices.Backward(events) {
		if e.Decision == nil {
			continue
		}
		s := Step{At: e.Time, Decision: *e.Decision}
		if e.Track != nil {
			s.About = e.Track.Track
		}
		if out = append(out, s); len(out) == maxSteps {
			break
		}
	}
	slices.Reverse(out)
	return out
}

type explainer struct {
	Info
	now      time.Time
	results  results
	findings []Finding
}

func (x *explainer) add(level Level, about, text, do string) {
	x.findings = append(x.findings, Finding{Level: level, About: about, Text: text, Do: do})
}

// results are what came back, as the log has it.
type results struct {
	finals      map[int]int // by number of the track
	lastFinal   time.Time
	suggestions int
	failed      map[event.Feature]string // feature → the last error
	problems    []event.Problem          // failures and warnings, each code once
}

func count(events []event.Event) results {
	r := results{finals: map[int]int{}, failed: map[event.Feature]string{}}
	seen := map[string]bool{}
	for _, e := range events {
		switch {
		case e.Kind == event.TranscriptFinal && e.Track != nil:
			r.finals[e.Track.Number]++
			r.lastFinal = e.Time
		case e.Kind == event.SuggestionOffered:
			r.suggestions++
		case e.Kind == event.SuggestionFailed && e.Suggestion != nil:
			r.failed[e.Suggestion.Feature] = e.Suggestion.Error
		case e.Problem != nil && !seen[e.Problem.Code+e.Problem.Text]:
			seen[e.Problem.Code+e.Problem.Text] = true
			r.problems = append(r.problems, *e.Problem)
		}
	}
	return r
}

func (x *explainer) legs() {
	for _, l := range x.LegList {
		switch l.Reason {
		case "", "hangup", "ordered", "shutdown", "takeover":
		default:
			x.add(Notice, l.Key, fmt.Sprintf("the leg ended as %s: %s", l.Reason, l.Text), "look at the adapter's log of that time")
		}
	}
	if len(x.Tracks) == 0 {
		x.add(Trouble, "", "the vendor opened a connection but sent no audio", "check at the vendor which tracks the stream carries, and whether the call is answered")
	}
	if x.Paused != "" {
		x.add(Trouble, "", "the call is paused, so its audio is withheld: "+x.Paused, "resume it: patchbay calls resume "+x.ID)
	}
}

func (x *explainer) conversation() {
	switch p := x.Session.Problem; {
	case p != nil:
		x.add(Trouble, "", p.Text, "")
	case x.Session.Conversation == "":
		x.add(Trouble, "", "the conversation is not set up yet", "wait a moment; if it lasts, is Agent Assist reachable from here?")
	}
	for _, p := range x.results.problems {
		if x.Session.Problem == nil || p.Text != x.Session.Problem.Text {
			x.add(Notice, "", p.Text, "")
		}
	}
}

func (x *explainer) track(t TrackInfo) {
	l, about := t.Ledger, t.Track
	f := media.Format{Encoding: media.MuLaw, Rate: t.Rate}
	seconds := func(n int64) time.Duration { return f.Duration(n).Round(100 * time.Millisecond) }
	if t.Assumed {
		x.add(Notice, about, fmt.Sprintf("nobody said who speaks; %s is assumed (%s)", t.Role, t.Evidence), fmt.Sprintf("set routes[].roles or the adapter's own setting; for this call: patchbay calls role %s @%d customer (or agent)", x.ID, t.Number))
	}
	if l.Arrived == 0 {
		x.add(Trouble, about, "the track was announced, but no audio came", "check the track at the vendor")
		return
	}
	if idle := x.now.Sub(t.LastAudio); x.State == Active && x.Legs > 0 && !t.LastAudio.IsZero() && idle > quietFor {
		x.add(Notice, about, fmt.Sprintf("no audio for %v, though the leg is live", idle.Round(time.Second)), "is the call on hold, or the stream stopped at the vendor?")
	}
	if l.Lost > 0 {
		x.add(Notice, about, fmt.Sprintf("%v of audio never came, in %d gaps; silence is in its place", seconds(l.Lost), l.Gaps), "look for loss between the vendor and this host")
	}
	for _, reason := range slices.Sorted(maps.Keys(l.Discarded)) {
		why, do := discardWords(reason)
		x.add(Trouble, about, fmt.Sprintf("%v of audio was given up: %s", seconds(l.Discarded[reason]), why), do)
	}
	if l.Withheld > 0 {
		x.add(Notice, about, fmt.Sprintf("%v of audio was withheld by a pause", seconds(l.Withheld)), "")
	}
	if waits := f.Duration(l.Pending); waits > lagging {
		x.add(Trouble, about, fmt.Sprintf("%v of audio waits to be sent", waits.Round(100*time.Millisecond)), "see the stream's state")
	}
	x.stream(t)
	finals := x.results.finals[t.Number]
	switch {
	case finals > 0:
		x.add(Fine, about, fmt.Sprintf("%s of %s in %v of audio", plural(finals, "utterance"), t.Role, seconds(l.Received)), "")
	case l.Sent > 0 && l.Silent > l.Sent*9/10:
		x.add(Trouble, about, "the audio is silent", "the vendor sends silence: wrong track, muted, or not connected through")
	case l.Sent > 0:
		x.add(Trouble, about, fmt.Sprintf("%v of audio was sent and nothing recognised", seconds(l.Sent)), "check language and model of the route and the profile; listen to a recording of the track")
	}
}

// stream says how the track's way to Agent Assist is.
func (x *explainer) stream(t TrackInfo) {
	for _, s := range x.Session.Tracks {
		if s.Track.Number != t.Number {
			continue
		}
		switch {
		case s.State == assist.StateRetrying:
			x.add(Trouble, t.Track, "the stream broke and is tried again: "+s.Error, "")
		case s.State == assist.StateRefused:
			x.add(Trouble, t.Track, "Agent Assist refuses the stream: "+s.Error, "")
		case s.Error != "":
			x.add(Notice, t.Track, fmt.Sprintf("of %s one broke last with: %s", plural(s.Streams, "stream"), s.Error), "")
		}
	}
}

func discardWords(reason string) (why, do string) {
	switch reason {
	case DiscardThirdVoice:
		return "a third voice that nobody asked for", "routes[].third_voice: participant hears it"
	case DiscardMixed:
		return "both voices are on one track", "have the vendor send a track for each speaker; or say in the adapter's settings, or with patchbay calls role, as whom to hear it"
	case DiscardStandby:
		return "the same speaker is heard on another track", ""
	case DiscardCallEnded:
		return "the call was over before its results came", "is Agent Assist slow or unreachable?"
	case "buffer_full":
		return "it waited too long for Agent Assist", "limits.memory_per_track bounds how much waits; why was it not sent?"
	case "long_gap":
		return "a gap in the vendor's audio was too long to fill", ""
	case assist.DiscardNoConversation:
		return "the conversation could not be set up", "see its problem"
	default:
		return reason, ""
	}
}

func (x *explainer) suggestions() {
	for _, feature := range slices.Sorted(maps.Keys(x.results.failed)) {
		x.add(Trouble, "", fmt.Sprintf("the feature %s failed: %s", feature, x.results.failed[feature]), "look at the profile's configuration of it")
	}
	if x.results.suggestions > 0 {
		x.add(Fine, "", plural(x.results.suggestions, "suggestion"), "")
	} else if len(x.results.finals) > 0 {
		x.add(Notice, "", "no suggestions came", "do the profile's features answer inline, and for what was said?")
	}
}

// verdict is the answer in one line.
func (x *explainer) verdict() string {
	finals := 0
	for _, n := range x.results.finals {
		finals += n
	}
	var troubles []string
	for _, f := range x.findings {
		if f.Level == Trouble {
			troubles = append(troubles, strings.TrimSpace(f.About+" "+f.Text))
		}
	}
	switch {
	case finals == 0 && len(troubles) > 0:
		return "No transcript: " + troubles[0]
	case finals == 0:
		return "No transcript yet: nothing stands in its way"
	case len(troubles) > 0:
		return fmt.Sprintf("%s, and not everything is well: %s", plural(finals, "utterance"), troubles[0])
	default:
		return fmt.Sprintf("%s and %s: all is well", plural(finals, "utterance"), plural(x.results.suggestions, "suggestion"))
	}
}

// plural returns a number with what it counts.
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
