package call

import (
	"slices"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/event"
	"github.com/patchbay/patchbay/core/media"
)

// record puts an event, masked by now, into the log and tells it to the legs that want
// events as results.
func (c *Call) record(e event.Event) {
	c.events.Append(e)
	legs := c.listeners.Load()
	if legs == nil || len(*legs) == 0 {
		return
	}
	r := resultOf(e)
	if r == nil {
		return
	}
	if labels := c.labels.Load(); labels != nil && e.Track != nil {
		id, role := labels.Of(*e.Track)
		r.Speaker = adapter.Speaker{ID: id, Role: adapter.Role(role)}
	}
	for _, l := range *legs {
		own := *r
		if own.Leg == l.key && e.Transcript != nil {
			own.Offset = l.offset(e.Track.Number, e.Transcript.EndPos)
		}
		l.tell(adapter.Control{Kind: adapter.ControlResult, Result: &own})
	}
}

// listen adds a leg to those that want events. c.mu is held.
func (c *Call) listen(l *leg, form adapter.ResultForm) {
	if form != adapter.ResultsEvents {
		return
	}
	legs := []*leg{l}
	if old := c.listeners.Load(); old != nil {
		legs = append(legs, *old...)
	}
	c.listeners.Store(&legs)
}

// unlisten takes a leg away that has ended. c.mu is held.
func (c *Call) unlisten(l *leg) {
	old := c.listeners.Load()
	if old == nil || !slices.Contains(*old, l) {
		return
	}
	legs := slices.DeleteFunc(slices.Clone(*old), func(other *leg) bool { return other == l })
	c.listeners.Store(&legs)
}

// offset turns a position of the tape of the track with that number into the time since the leg's first sample.
func (l *leg) offset(number int, pos int64) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, ok := l.begins[number]
	if !ok || pos < b.pos {
		return 0
	}
	return media.Format{Encoding: media.MuLaw, Rate: b.rate}.Duration(pos - b.pos)
}

// resultOf is an event as adapters see it; nil for those that are not for them.
func resultOf(e event.Event) *adapter.Result {
	r := &adapter.Result{}
	if t := e.Track; t != nil {
		r.Leg, r.Track = t.Leg, media.TrackID(t.Track)
		r.Speaker = adapter.Speaker{ID: t.Speaker, Role: adapter.Role(t.Role)}
	}
	switch {
	case e.Transcript != nil:
		t := e.Transcript
		r.Kind = adapter.ResultInterim
		if e.Kind == event.TranscriptFinal {
			r.Kind = adapter.ResultFinal
		}
		r.Utterance, r.Text, r.Start, r.End, r.Language, r.Confidence = t.Utterance, t.Text, t.Start, t.End, t.Language, t.Confidence
	case e.Message != nil:
		r.Kind, r.Name, r.Text, r.Language, r.Start = adapter.ResultMessage, e.Message.Name, e.Message.Text, e.Message.Language, e.Message.Sent
	case e.Kind == event.SuggestionOffered && e.Suggestion != nil:
		s := e.Suggestion
		r.Kind, r.ID, r.Feature, r.Name = adapter.ResultSuggestion, s.ID, string(s.Feature), s.AnswerRecord
		r.Title, r.Text, r.URI, r.Confidence, r.Metadata = s.Title, s.Text, s.URI, s.Confidence, s.Metadata
	case e.Kind == event.Warning && e.Problem != nil:
		r.Kind, r.Text = adapter.ResultWarning, e.Problem.Text
	case e.Kind == event.Failure && e.Problem != nil:
		r.Kind, r.Text = adapter.ResultFailure, e.Problem.Text
	default:
		return nil
	}
	return r
}
