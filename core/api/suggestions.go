package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/patchbay/patchbay/core/assist"
	"github.com/patchbay/patchbay/core/event"
)

// SuggestionList is what Agent Assist offered in a call.
type SuggestionList struct {
	Call        string       `json:"call" doc:"Patchbay's id of the call."`
	Suggestions []Suggestion `json:"suggestions" nullable:"false" doc:"In the order in which they came."`
}

// Suggestion is one answer of one feature, in its latest revision.
type Suggestion struct {
	event.Suggestion
	Seq       uint64          `json:"seq" doc:"Of the event that it comes from."`
	Offered   time.Time       `json:"offered"`
	Speaker   string          `json:"speaker,omitempty" doc:"Whose utterance it answers."`
	Feedback  *event.Feedback `json:"feedback,omitempty" doc:"What the agent did with it so far."`
	Redaction event.Redaction `json:"redaction" enum:"none,masked"`
	Revision  int             `json:"revision"`
}

// FeedbackBody is what the agent did with a suggestion. Fields that are not sent
// stay as they are.
type FeedbackBody struct {
	Displayed   bool   `json:"displayed,omitempty" doc:"The agent saw it."`
	Clicked     bool   `json:"clicked,omitempty" doc:"The agent used it."`
	Correctness string `json:"correctness,omitempty" enum:"correct,partly_correct,incorrect" doc:"How right it was."`
}

// FeedbackTimeout bounds how long Agent Assist may take for feedback.
const FeedbackTimeout = 10 * time.Second

func (s *Server) addSuggestions(spec huma.API) {
	huma.Register(spec, operation("list-suggestions", http.MethodGet, "/v1/calls/{id}/suggestions", "suggestions", "List suggestions",
		"Features that failed are among the events alone.", http.StatusNotFound), s.listSuggestions)
	op := operation("give-feedback", http.MethodPost, "/v1/calls/{id}/suggestions/{suggestion}/feedback", "suggestions", "Say what became of a suggestion",
		"Agent Assist learns from it (its answer record is updated), and the call's other readers see it; once the call has ended, Agent Assist alone.",
		http.StatusNotFound, http.StatusConflict, http.StatusBadGateway, http.StatusGatewayTimeout)
	op.DefaultStatus = http.StatusNoContent
	op.BodyReadTimeout = bodyTimeout(FeedbackTimeout)
	huma.Register(spec, op, s.giveFeedback)
}

// bodyTimeout is how long a request's body may take when its handler takes d at
// most. The deadline outlives the body, and past it the request counts as broken,
// so it must lie behind the handler's own.
func bodyTimeout(d time.Duration) time.Duration { return d + 5*time.Second }

type listSuggestionsOutput struct{ Body SuggestionList }

func (s *Server) listSuggestions(_ context.Context, in *CallPath) (*listSuggestionsOutput, error) {
	c, err := s.find(in.ID)
	if err != nil {
		return nil, err
	}
	return &listSuggestionsOutput{Body: SuggestionList{Call: c.ID(), Suggestions: suggestionsOf(c.Events().Since(0, 0))}}, nil
}

// suggestionsOf returns what the events of a call say was offered.
func suggestionsOf(events []event.Event) []Suggestion {
	latest := make(map[string]int)
	out := []Suggestion{}
	for _, e := range events {
		switch {
		case e.Kind == event.SuggestionOffered && e.Suggestion != nil:
			offered := Suggestion{Suggestion: *e.Suggestion, Seq: e.Seq, Offered: e.Time, Redaction: e.Redaction, Revision: e.Revision}
			if e.Track != nil {
				offered.Speaker = e.Track.Speaker
			}
			i, known := latest[offered.ID]
			switch {
			case !known:
				latest[offered.ID] = len(out)
				out = append(out, offered)
			case offered.Revision >= out[i].Revision:
				offered.Feedback = out[i].Feedback
				out[i] = offered
			}
		case e.Kind == event.SuggestionFeedback && e.Feedback != nil:
			if i, known := latest[e.Feedback.Suggestion]; known {
				out[i].Feedback = addFeedback(out[i].Feedback, *e.Feedback)
			}
		}
	}
	return out
}

func addFeedback(old *event.Feedback, f event.Feedback) *event.Feedback {
	if old != nil {
		f.Clicked = f.Clicked || old.Clicked
		f.Displayed = f.Displayed || old.Displayed
		if f.Correct == "" {
			f.Correct = old.Correct
		}
	}
	return &f
}

type feedbackInput struct {
	CallPath
	Suggestion string `path:"suggestion" maxLength:"512" doc:"Id of the suggestion within the call."`
	Body       FeedbackBody
}

func (s *Server) giveFeedback(ctx context.Context, in *feedbackInput) (*struct{}, error) {
	c, err := s.find(in.ID)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, FeedbackTimeout)
	defer cancel()
	err = c.Feedback(ctx, event.Feedback{Suggestion: in.Suggestion, Displayed: in.Body.Displayed, Clicked: in.Body.Clicked, Correct: in.Body.Correctness})
	switch {
	case err == nil:
		return nil, nil
	case errors.Is(err, assist.ErrUnknownSuggestion):
		return nil, problem(http.StatusNotFound, "the call has no suggestion %q", shorten(in.Suggestion))
	case errors.Is(err, assist.ErrNoAnswerRecord):
		return nil, problem(http.StatusConflict, "Agent Assist takes no feedback on suggestion %q: it has no answer record", shorten(in.Suggestion))
	case errors.Is(err, assist.ErrFeedback):
		return nil, problem(http.StatusUnprocessableEntity, "the feedback says nothing; send displayed, clicked or correctness")
	case ctx.Err() != nil:
		return nil, problem(http.StatusGatewayTimeout, "Agent Assist did not take the feedback within %v; try again", FeedbackTimeout)
	default:
		return nil, problem(http.StatusBadGateway, "Agent Assist did not take the feedback: %s", oneLine(err.Error()))
	}
}
