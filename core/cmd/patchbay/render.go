package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/mattn/go-isatty"

	"github.com/patchbay/patchbay/core/event"
)

// Styles of a terminal (ECMA-48 SGR).
const (
	styleBold    = "\x1b[1m"
	styleDim     = "\x1b[2m"
	styleRed     = "\x1b[31m"
	styleGreen   = "\x1b[32m"
	styleYellow  = "\x1b[33m"
	styleMagenta = "\x1b[35m"
	styleCyan    = "\x1b[36m"
	styleReset   = "\x1b[0m"
	eraseLine    = "\r\x1b[K"
)

// The layout of a line: when, who, what. A line that will be overwritten must not
// wrap.
const (
	lineWidth      = 79
	whoWidth       = 9
	suggestionText = 160 // characters of a suggestion that are shown
)

// isTerminal reports whether somebody looks at what is written to w.
func isTerminal(w io.Writer) bool {
	file, ok := w.(interface{ Fd() uintptr })
	return ok && isatty.IsTerminal(file.Fd())
}

// colourOn reports whether w should get colours: a terminal, unless the user set
// NO_COLOR (no-color.org).
func colourOn(w io.Writer, lookup func(string) (string, bool)) bool {
	no, _ := lookup("NO_COLOR")
	return isTerminal(w) && no == ""
}

// renderer prints the events of one call for people. It is not safe for concurrent use.
type renderer struct {
	w       io.Writer
	colour  bool
	live    bool      // w is a terminal: interims are shown and overwritten
	started time.Time // of the call, or the first event that was seen
	interim bool      // an interim stands on the last line
	err     error     // the first of writing
}

// newRenderer returns a renderer that writes to w. Interim transcripts are shown
// where w is a terminal.
func newRenderer(w io.Writer, colour bool) *renderer {
	return &renderer{w: w, colour: colour, live: isTerminal(w)}
}

// render prints an event, if it is one that people want to see.
func (r *renderer) render(e event.Event) {
	if r.started.IsZero() {
		r.started = e.Time
	}
	switch {
	case e.Transcript != nil:
		r.transcript(e)
	case e.Suggestion != nil:
		r.suggestion(e)
	case e.Kind == event.Failure && e.Problem != nil:
		r.line(e.Time, styleRed, "failure", e.Problem.Text)
	case e.Problem != nil:
		r.line(e.Time, styleYellow, string(e.Kind), e.Problem.Text)
	case e.Feedback != nil:
		r.below(styleDim, "feedback", strings.Join(feedbackWords(*e.Feedback), ", ")+" ("+e.Feedback.Suggestion+")")
	case e.Note != nil:
		r.line(e.Time, styleDim, "note", e.Note.Kind+" "+e.Note.Text)
	default:
		if text := stateText(e); text != "" {
			r.line(e.Time, styleDim, "·", text)
		}
	}
}

// close takes an interim off the last line. What was printed before stays.
func (r *renderer) close() {
	if r.interim {
		r.interim = false
		r.write(eraseLine)
	}
}

func (r *renderer) transcript(e event.Event) {
	at := e.Transcript.Start
	if at.IsZero() {
		at = e.Time
	}
	who, style := speakerOf(e.Track)
	if e.Kind == event.TranscriptFinal {
		r.line(at, style, who, e.Transcript.Text)
		return
	}
	if !r.live {
		return
	}
	r.interim = true
	prefix := fmt.Sprintf("%s  %-*s ", r.clock(at), whoWidth, who)
	text := tail(printable(e.Transcript.Text), lineWidth-len([]rune(prefix)))
	r.write(eraseLine + r.styled(styleDim, prefix+text))
}

func (r *renderer) suggestion(e event.Event) {
	s := e.Suggestion
	if s.Error != "" {
		r.below(styleYellow, featureLabel(s.Feature), "failed: "+s.Error)
		return
	}
	text := s.Text
	if s.Title != "" && s.Title != text {
		text = strings.TrimSuffix(s.Title+" — "+text, " — ")
	}
	text = head(printable(text), suggestionText)
	if s.URI != "" {
		text += "  " + s.URI
	}
	if !s.HeardAt.IsZero() {
		text += fmt.Sprintf("  (%.1f s)", e.Time.Sub(s.HeardAt).Seconds())
	}
	r.below(styleMagenta, featureLabel(s.Feature), text)
}

// line prints when, who and what.
func (r *renderer) line(at time.Time, style, who, text string) {
	who = fmt.Sprintf("%-*s", whoWidth, printable(who))
	r.print(r.styled(styleDim, r.clock(at)) + "  " + r.styled(style, who) + " " + printable(text))
}

// below prints what belongs to the lines above.
func (r *renderer) below(style, label, text string) {
	indent := strings.Repeat(" ", len("00:00.0  ")+whoWidth+1)
	r.print(indent + r.styled(style, "↳ "+label) + " " + printable(text))
}

func (r *renderer) print(line string) {
	r.close()
	r.write(line + "\n")
}

func (r *renderer) write(text string) {
	if r.err == nil {
		_, r.err = io.WriteString(r.w, text)
	}
}

// clock is the time since the call began, as minutes and seconds.
func (r *renderer) clock(at time.Time) string {
	d := max(0, at.Sub(r.started)).Truncate(100 * time.Millisecond)
	return fmt.Sprintf("%02d:%04.1f", int(d.Minutes()), (d % time.Minute).Seconds())
}

func (r *renderer) styled(style, text string) string { return styled(r.colour, style, text) }

func styled(colour bool, style, text string) string {
	if !colour || style == "" {
		return text
	}
	return style + text + styleReset
}

// speakerOf says who speaks on a track, and in which colour.
func speakerOf(t *event.TrackRef) (who, style string) {
	if t == nil {
		return "?", ""
	}
	switch t.Role {
	case "end_user":
		return "customer", styleCyan
	case "human_agent":
		return "agent", styleGreen
	default:
		return "other", styleYellow
	}
}

var featureLabels = map[event.Feature]string{
	event.FeatureSmartReply: "reply", event.FeatureFAQ: "FAQ", event.FeatureKnowledgeAssist: "knowledge",
	event.FeatureDialogflow: "dialogflow", event.FeatureEntities: "entities", event.FeatureUnknown: "suggestion",
}

func featureLabel(f event.Feature) string { return cmp.Or(featureLabels[f], printable(string(f))) }

func feedbackWords(f event.Feedback) []string {
	var words []string
	for _, w := range []struct {
		said bool
		word string
	}{{f.Displayed, "displayed"}, {f.Clicked, "clicked"}, {f.Correct != "", strings.ReplaceAll(f.Correct, "_", " ")}} {
		if w.said {
			words = append(words, w.word)
		}
	}
	return words
}

// stateText says what a step in a call's life means, or nothing for those that only
// programs want.
func stateText(e event.Event) string {
	if e.State == nil {
		return ""
	}
	who, _ := speakerOf(e.Track)
	switch e.Kind {
	case event.CallStarted:
		return "call started on " + e.State.Adapter
	case event.CallEnding:
		return "call ending: " + e.State.Text
	case event.CallEnded:
		return "call ended: " + e.State.Reason
	case event.LegJoined:
		return "leg " + e.State.Leg + " joined"
	case event.LegEnded:
		return strings.TrimSuffix("leg "+e.State.Leg+" ended ("+e.State.Reason+"): "+e.State.Text, ": ")
	case event.TrackJoined:
		return "track " + e.Track.Track + " is the " + who
	case event.RoleCorrected, event.ConversationReady, event.ConversationDone:
		return cmp.Or(e.State.Text, strings.ReplaceAll(string(e.Kind), ".", " ")+" "+e.State.Conversation)
	default:
		return ""
	}
}

// printable makes one line of text, without anything that could steer a terminal:
// what comes over the network was said or written by strangers.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r), unicode.IsControl(r), r == unicode.ReplacementChar:
			return ' '
		case unicode.Is(unicode.Bidi_Control, r):
			return -1
		default:
			return r
		}
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

// head and tail shorten text to n characters, from its end or its beginning.
func head(s string, n int) string {
	if runes := []rune(s); len(runes) > n {
		return string(runes[:n-1]) + "…"
	}
	return s
}

func tail(s string, n int) string {
	if runes := []rune(s); len(runes) > n {
		return "…" + string(runes[len(runes)-n+1:])
	}
	return s
}
