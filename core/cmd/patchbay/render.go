package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/patchbay/patchbay/core/event"
)

// The layout of a line: when, who, what.
const (
	whoWidth = 9
	textFrom = len("00:00.0  ") + whoWidth + 1 // the column of what was said
)

// What is shown of a suggestion: lines on a terminal, cells of the one line elsewhere.
const (
	suggestionLines = 2
	suggestionCells = 160
)

// mostOffers is how many different suggestions a renderer remembers having shown.
const mostOffers = 500

// renderer prints the events of one call for people. It is not safe for concurrent use.
type renderer struct {
	w       io.Writer
	colour  bool
	columns func() int // of the terminal; 0: not a terminal, so nothing is wrapped or overwritten
	started time.Time  // of the call, or the first event that was seen
	interim bool       // an interim stands on the last line
	labels  event.Labels
	offered map[offer]bool
	timed   time.Time // what the suggestions answer whose time was shown last
	err     error     // the first of writing
}

// offer is what makes two suggestions the same to people.
type offer struct {
	feature     event.Feature
	title, text string
}

// newRenderer returns a renderer that writes to w. On a terminal, lines wrap at its
// width, and interim transcripts are shown and overwritten.
func newRenderer(w io.Writer, lookup func(string) (string, bool)) *renderer {
	return &renderer{
		w: w, colour: colourOn(w, lookup), offered: map[offer]bool{}, labels: event.Labels{},
		columns: func() int { return columnsOf(w, lookup) }, // windows change their size
	}
}

// render prints an event, if it is one that people want to see.
func (r *renderer) render(e event.Event) {
	if r.started.IsZero() {
		r.started = e.Time
	}
	if r.labels.Learn(e); e.Track != nil {
		who := *e.Track
		who.Speaker, who.Role = r.labels.Of(who)
		e.Track = &who
	}
	switch {
	case e.Transcript != nil:
		r.transcript(e)
	case e.Suggestion != nil:
		r.suggestion(e)
	case e.Kind == event.Failure && e.Problem != nil:
		r.line(e.Time, styleRed, "failure", span{"", e.Problem.Text})
	case e.Problem != nil:
		r.line(e.Time, styleYellow, string(e.Kind), span{"", e.Problem.Text})
	case e.Feedback != nil:
		r.below(span{styleDim, "feedback"}, nil, span{styleDim, strings.Join(feedbackWords(*e.Feedback), ", ") + " (" + e.Feedback.Suggestion + ")"})
	case e.Note != nil:
		r.line(e.Time, styleDim, "note", span{"", e.Note.Kind + " " + e.Note.Text})
	default:
		if text := stateText(e); text != "" {
			r.line(e.Time, styleDim, "·", span{styleDim, text})
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
		r.line(at, style, who, span{"", e.Transcript.Text})
		return
	}
	space := r.columns() - textFrom - 1 // a line that will be overwritten must not wrap
	if space <= 0 {
		return
	}
	r.interim = true
	text := tail(printable(e.Transcript.Text), space)
	r.write(eraseLine + r.styled(styleDim, fmt.Sprintf("%s  %-*s %s", r.clock(at), whoWidth, who, text)))
}

// suggestion prints a suggestion that has not been shown in this call. How long it
// took stands at one of those that came together.
func (r *renderer) suggestion(e event.Event) {
	s := e.Suggestion
	if s.Error != "" {
		r.below(span{styleYellow, featureLabel(s.Feature)}, nil, span{"", "failed: " + s.Error})
		return
	}
	o := offer{s.Feature, s.Title, s.Text}
	if r.offered[o] {
		return
	}
	if len(r.offered) >= mostOffers {
		clear(r.offered)
	}
	r.offered[o] = true
	title, text := s.Title, s.Text
	switch {
	case title == "" || title == text:
		title, text = text, ""
	case text != "":
		text = "— " + text
	}
	after := []span{{styleDim, s.URI}}
	timed := !s.HeardAt.IsZero() && !s.HeardAt.Equal(r.timed)
	if timed {
		after = []span{{styleDim, fmt.Sprintf("(%.1f s)", e.Time.Sub(s.HeardAt).Seconds())}, after[0]}
	}
	shown := r.below(span{styleMagenta, featureLabel(s.Feature)}, after, span{styleBold, title}, span{styleDim, text})
	if timed && shown > 0 {
		r.timed = s.HeardAt
	}
}

// line prints when, who and what, with what in a column of its own.
func (r *renderer) line(at time.Time, style, who string, what ...span) {
	r.close()
	prefix := r.styled(styleDim, r.clock(at)) + "  " + r.styled(style, fmt.Sprintf("%-*s", whoWidth, printable(who))) + " "
	r.write(hanging(r.colour, prefix, textFrom, flow(room(r.columns(), textFrom), plain(what)...)))
}

// below prints what belongs to the lines above: a label and text, shortened, and
// after it as much as there is room for, of which it returns the number.
func (r *renderer) below(label span, after []span, text ...span) (shown int) {
	r.close()
	const arrow = "↳ "
	from := textFrom + cells(arrow)
	space := room(r.columns(), from)
	spans := append([]span{label}, plain(text)...)
	var lines [][]span
	if space > 0 {
		lines = clip(flow(space, spans...), suggestionLines, space)
	} else {
		lines = clip(flow(suggestionCells, spans...), 1, suggestionCells)
	}
	for _, a := range plain(after) {
		last := len(lines) - 1
		switch n := cells(a.text); {
		case n == 0:
			continue
		case space == 0 || lineCells(lines[last])+1+n <= space:
			lines[last] = append(lines[last], a)
		case len(lines) < suggestionLines && n <= space:
			lines = append(lines, []span{a})
		default:
			continue
		}
		shown++
	}
	r.write(hanging(r.colour, strings.Repeat(" ", textFrom)+r.styled(label.style, arrow), from, lines))
	return shown
}

// clip cuts lines of at most columns cells down to the first n.
func clip(lines [][]span, n, columns int) [][]span {
	if len(lines) <= n {
		return lines
	}
	last := lines[n-1]
	end := &last[len(last)-1]
	if lineCells(last) >= columns { // the mark needs room
		if space := strings.LastIndexByte(end.text, ' '); space >= 0 {
			end.text = end.text[:space]
		} else {
			end.text = fitting(end.text, cells(end.text)-1)
		}
	}
	end.text += "…"
	return lines[:n]
}

// plain makes each span printable.
func plain(spans []span) []span {
	out := make([]span, len(spans))
	for i, s := range spans {
		out[i] = span{s.style, printable(s.text)}
	}
	return out
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
		return "leg " + base(e.State.Leg) + " joined"
	case event.LegEnded:
		return strings.TrimSuffix("leg "+base(e.State.Leg)+" ended ("+e.State.Reason+"): "+e.State.Text, ": ")
	case event.TrackJoined:
		return "track " + e.Track.Track + " is the " + who
	case event.RoleCorrected, event.ConversationReady, event.ConversationDone:
		return cmp.Or(e.State.Text, strings.ReplaceAll(string(e.Kind), ".", " ")+" "+base(e.State.Conversation))
	default:
		return ""
	}
}
