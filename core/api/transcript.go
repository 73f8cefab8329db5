package api

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/patchbay/patchbay/core/event"
)

// Transcript is what was said in a call.
type Transcript struct {
	Call  string `json:"call" doc:"Patchbay's id of the call."`
	Lines []Line `json:"lines" nullable:"false" doc:"In order of time on the call's clock."`
}

// Line is one utterance, as it was recognised or as Agent Assist stored it.
type Line struct {
	Kind       LineKind        `json:"kind" enum:"final,message" doc:"final: as recognised. message: as Agent Assist stored it; both are there for most utterances."`
	ID         string          `json:"id" doc:"Id of the utterance within the call, or full name of the message."`
	Seq        uint64          `json:"seq" doc:"Of the event that it comes from."`
	Start      time.Time       `json:"start" doc:"On the call's clock."`
	End        time.Time       `json:"end,omitzero" doc:"Unknown for messages."`
	Speaker    string          `json:"speaker,omitempty"`
	Role       string          `json:"role,omitempty" enum:"end_user,human_agent,other"`
	StoredRole string          `json:"stored_role,omitempty" enum:"end_user,human_agent,other" doc:"The role under which Agent Assist keeps it, where role has been corrected since: what it has stored stays as it is."`
	Text       string          `json:"text"`
	Language   string          `json:"language,omitempty"`
	Confidence float32         `json:"confidence,omitempty" doc:"0 to 1; 0 means unknown."`
	Sentiment  *float32        `json:"sentiment,omitempty" doc:"-1 to 1, of messages."`
	Redaction  event.Redaction `json:"redaction" enum:"none,masked"`
	Revision   int             `json:"revision"`
}

// LineKind is where a line's text comes from.
type LineKind string

// The kinds of lines.
const (
	LineFinal   LineKind = "final"
	LineMessage LineKind = "message"
)

func (s *Server) addTranscript(spec huma.API) {
	huma.Register(spec, operation("get-transcript", http.MethodGet, "/v1/calls/{id}/transcript", "calls", "Read what was said",
		"Final results and stored messages, each in its latest revision, under the role of its speaker as it is known by now.", http.StatusNotFound), s.getTranscript)
}

type transcriptInput struct {
	CallPath
	Kind string `query:"kind" enum:"final,message" doc:"Only lines of this kind."`
}

type transcriptOutput struct{ Body Transcript }

func (s *Server) getTranscript(_ context.Context, in *transcriptInput) (*transcriptOutput, error) {
	c, err := s.find(in.ID)
	if err != nil {
		return nil, err
	}
	lines := linesOf(c.Events().Since(0, 0))
	if in.Kind != "" {
		lines = slices.DeleteFunc(lines, func(l Line) bool { return string(l.Kind) != in.Kind })
	}
	return &transcriptOutput{Body: Transcript{Call: c.ID(), Lines: lines}}, nil
}

// linesOf returns what the events of a call say was said.
func linesOf(events []event.Event) []Line {
	type key struct {
		kind LineKind
		id   string
	}
	latest := make(map[key]int)
	lines := []Line{}
	labels := event.LabelsOf(events)
	for _, e := range events {
		l, ok := lineOf(e, labels)
		if !ok {
			continue
		}
		i, known := latest[key{l.Kind, l.ID}]
		switch {
		case !known:
			latest[key{l.Kind, l.ID}] = len(lines)
			lines = append(lines, l)
		case l.Revision >= lines[i].Revision:
			lines[i] = l
		}
	}
	slices.SortStableFunc(lines, func(a, b Line) int {
		return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.Seq, b.Seq))
	})
	return lines
}

func lineOf(e event.Event, labels event.Labels) (Line, bool) {
	l := Line{Seq: e.Seq, Redaction: e.Redaction, Revision: e.Revision}
	if e.Track != nil {
		if l.Speaker, l.Role = labels.Of(*e.Track); l.Role != e.Track.Role {
			l.StoredRole = e.Track.Role
		}
	}
	switch {
	case e.Kind == event.TranscriptFinal && e.Transcript != nil:
		t := e.Transcript
		l.Kind, l.ID, l.Start, l.End = LineFinal, t.Utterance, t.Start, t.End
		l.Text, l.Language, l.Confidence = t.Text, t.Language, t.Confidence
	case e.Kind == event.MessageStored && e.Message != nil:
		m := e.Message
		l.Kind, l.ID, l.Start = LineMessage, m.Name, m.Sent
		l.Text, l.Language, l.Sentiment = m.Text, m.Language, m.Sentiment
	default:
		return Line{}, false
	}
	return l, true
}
