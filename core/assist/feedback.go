package assist

import (
	"context"
	"errors"
	"fmt"

	"cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/patchbay/patchbay/core/event"
)

// Errors of Feedback.
var (
	ErrUnknownSuggestion = errors.New("assist: no such suggestion in this call")
	ErrNoAnswerRecord    = errors.New("assist: this suggestion takes no feedback: it has no answer record")
	ErrFeedback          = errors.New("assist: feedback is not valid")
)

// The words of event.Feedback.Correct.
var correctness = map[string]dialogflowpb.AnswerFeedback_CorrectnessLevel{
	"correct":        dialogflowpb.AnswerFeedback_FULLY_CORRECT,
	"partly_correct": dialogflowpb.AnswerFeedback_PARTIALLY_CORRECT,
	"incorrect":      dialogflowpb.AnswerFeedback_NOT_CORRECT,
}

// Feedback tells Google what the agent did with a suggestion, and publishes it. It
// adds to what was said before: a click stays a click. It works after Run too, as
// long as the pool is open. It fails with ErrUnknownSuggestion, ErrNoAnswerRecord
// or ErrFeedback without asking Google, else with Google's error.
func (s *Session) Feedback(ctx context.Context, f event.Feedback) error {
	level, known := correctness[f.Correct]
	if f.Correct != "" && !known {
		return fmt.Errorf("%w: correctness = %q; use correct, partly_correct or incorrect", ErrFeedback, f.Correct)
	}
	if !f.Clicked && !f.Displayed && !known {
		return fmt.Errorf("%w: it says nothing; set clicked, displayed or correctness", ErrFeedback)
	}
	record, err := s.answers.feedback(f, level)
	if err != nil {
		return err
	}
	clients, err := s.pool.client(ctx, s.conv.Google)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	_, err = clients.answers.UpdateAnswerRecord(ctx, &dialogflowpb.UpdateAnswerRecordRequest{
		AnswerRecord: record,
		UpdateMask:   &fieldmaskpb.FieldMask{Paths: []string{"answer_feedback"}},
	})
	if err != nil {
		return fmt.Errorf("assist: feedback on %s: %w", f.Suggestion, err)
	}
	s.publish(event.Event{Kind: event.SuggestionFeedback, Feedback: &f})
	return nil
}

// feedback merges f into what is known of its suggestion, and returns the record
// with all of it: the update replaces the whole feedback.
func (a *answers) feedback(f event.Feedback, level dialogflowpb.AnswerFeedback_CorrectnessLevel) (*dialogflowpb.AnswerRecord, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	known, ok := a.suggestions.values[f.Suggestion]
	switch {
	case !ok:
		return nil, fmt.Errorf("%w: %q", ErrUnknownSuggestion, f.Suggestion)
	case known.record == "":
		return nil, ErrNoAnswerRecord
	}
	fb, now := known.feedback, timestamppb.Now()
	if (f.Displayed || f.Clicked) && !fb.Displayed {
		fb.Displayed, fb.DisplayTime = true, now
	}
	if f.Clicked && !fb.Clicked {
		fb.Clicked, fb.ClickTime = true, now
	}
	if f.Correct != "" {
		fb.CorrectnessLevel = level
	}
	return &dialogflowpb.AnswerRecord{Name: known.record, AnswerFeedback: proto.CloneOf(fb)}, nil
}
