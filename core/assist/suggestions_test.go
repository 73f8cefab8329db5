package assist

import (
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/patchbay/patchbay/core/emulator"
	"github.com/patchbay/patchbay/core/emulator/recordings"
	"github.com/patchbay/patchbay/core/event"
	"github.com/patchbay/patchbay/core/media"
)

func TestSuggestions(t *testing.T) {
	tests := []struct {
		name string
		in   *dialogflowpb.SuggestionResult
		want []event.Suggestion
	}{
		{"articles", &dialogflowpb.SuggestionResult{SuggestionResponse: &dialogflowpb.SuggestionResult_SuggestArticlesResponse{
			SuggestArticlesResponse: &dialogflowpb.SuggestArticlesResponse{LatestMessage: "m", ArticleAnswers: []*dialogflowpb.ArticleAnswer{
				{Title: "Router", Uri: "https://x", Snippets: []string{"a", "", "b"}, Metadata: map[string]string{"k": "v"}, AnswerRecord: "r1"}, {Title: "Cable", AnswerRecord: "r2"}}}}},
			[]event.Suggestion{{Feature: event.FeatureArticle, Title: "Router", Text: "a\nb", URI: "https://x", Metadata: map[string]string{"k": "v"}, AnswerRecord: "r1", Message: "m"},
				{Feature: event.FeatureArticle, Title: "Cable", AnswerRecord: "r2", Message: "m"}}},
		{"FAQ", &dialogflowpb.SuggestionResult{SuggestionResponse: &dialogflowpb.SuggestionResult_SuggestFaqAnswersResponse{
			SuggestFaqAnswersResponse: &dialogflowpb.SuggestFaqAnswersResponse{LatestMessage: "m", FaqAnswers: []*dialogflowpb.FaqAnswer{{Question: "q", Answer: "a", Confidence: 0.5, Source: "s", AnswerRecord: "r"}}}}},
			[]event.Suggestion{{Feature: event.FeatureFAQ, Title: "q", Text: "a", URI: "s", Confidence: 0.5, AnswerRecord: "r", Message: "m"}}},
		{"smart reply", &dialogflowpb.SuggestionResult{SuggestionResponse: &dialogflowpb.SuggestionResult_SuggestSmartRepliesResponse{
			SuggestSmartRepliesResponse: &dialogflowpb.SuggestSmartRepliesResponse{SmartReplyAnswers: []*dialogflowpb.SmartReplyAnswer{{Reply: "yes", Confidence: 0.9, AnswerRecord: "r"}}}}},
			[]event.Suggestion{{Feature: event.FeatureSmartReply, Text: "yes", Confidence: 0.9, AnswerRecord: "r"}}},
		{"knowledge assist", &dialogflowpb.SuggestionResult{SuggestionResponse: &dialogflowpb.SuggestionResult_SuggestKnowledgeAssistResponse{
			SuggestKnowledgeAssistResponse: &dialogflowpb.SuggestKnowledgeAssistResponse{LatestMessage: "m", KnowledgeAssistAnswer: &dialogflowpb.KnowledgeAssistAnswer{
				SuggestedQuery: &dialogflowpb.KnowledgeAssistAnswer_SuggestedQuery{QueryText: "q"}, AnswerRecord: "r",
				SuggestedQueryAnswer: &dialogflowpb.KnowledgeAssistAnswer_KnowledgeAnswer{AnswerText: "a", Source: &dialogflowpb.KnowledgeAssistAnswer_KnowledgeAnswer_GenerativeSource_{
					GenerativeSource: &dialogflowpb.KnowledgeAssistAnswer_KnowledgeAnswer_GenerativeSource{Snippets: []*dialogflowpb.KnowledgeAssistAnswer_KnowledgeAnswer_GenerativeSource_Snippet{{Uri: "u"}}}}}},
				AdditionalSuggestedQueryResults: []*dialogflowpb.KnowledgeAssistAnswer_AdditionalSuggestedQueryResult{{SuggestedQuery: &dialogflowpb.KnowledgeAssistAnswer_SuggestedQuery{QueryText: "q2"}, AnswerRecord: "r2"}}}}},
			[]event.Suggestion{{Feature: event.FeatureKnowledgeAssist, Title: "q", Text: "a", URI: "u", AnswerRecord: "r", Message: "m"},
				{Feature: event.FeatureKnowledgeAssist, Title: "q2", AnswerRecord: "r2", Message: "m"}}},
		{"generators", &dialogflowpb.SuggestionResult{SuggestionResponse: &dialogflowpb.SuggestionResult_GenerateSuggestionsResponse{
			GenerateSuggestionsResponse: &dialogflowpb.GenerateSuggestionsResponse{GeneratorSuggestionAnswers: []*dialogflowpb.GenerateSuggestionsResponse_GeneratorSuggestionAnswer{
				{SourceGenerator: "projects/p/locations/l/generators/sum", AnswerRecord: "r", GeneratorSuggestion: &dialogflowpb.GeneratorSuggestion{Suggestion: &dialogflowpb.GeneratorSuggestion_SummarySuggestion{
					SummarySuggestion: &dialogflowpb.SummarySuggestion{SummarySections: []*dialogflowpb.SummarySuggestion_SummarySection{{Section: "situation", Summary: "line down"}}}}}},
				{GeneratorSuggestion: &dialogflowpb.GeneratorSuggestion{Suggestion: &dialogflowpb.GeneratorSuggestion_FreeFormSuggestion{FreeFormSuggestion: &dialogflowpb.FreeFormSuggestion{Response: "free"}}}},
				{GeneratorSuggestion: &dialogflowpb.GeneratorSuggestion{Suggestion: &dialogflowpb.GeneratorSuggestion_AgentCoachingSuggestion{AgentCoachingSuggestion: &dialogflowpb.AgentCoachingSuggestion{
					AgentActionSuggestions: []*dialogflowpb.AgentCoachingSuggestion_AgentActionSuggestion{{AgentAction: "verify"}},
					SampleResponses:        []*dialogflowpb.AgentCoachingSuggestion_SampleResponse{{ResponseText: "your name?"}}}}}}}}}},
			[]event.Suggestion{{Feature: event.FeatureGenerator, Title: "sum", Text: "situation: line down", AnswerRecord: "r"},
				{Feature: event.FeatureGenerator, Text: "free"}, {Feature: event.FeatureGenerator, Text: "verify\nyour name?"}}},
		{"companion", &dialogflowpb.SuggestionResult{SuggestionResponse: &dialogflowpb.SuggestionResult_GenerateCompanionSuggestionsResponse{
			GenerateCompanionSuggestionsResponse: &dialogflowpb.GenerateCompanionSuggestionsResponse{AnswerRecord: "r", CompanionSuggestion: &dialogflowpb.CompanionSuggestion{
				Guidances: []*dialogflowpb.CompanionSuggestion_Guidance{{SuggestedReply: "say", SuggestedAction: "do", Explanation: "why"}, {SuggestedReply: "more"}}}}}},
			[]event.Suggestion{{Feature: event.FeatureCompanion, Title: "do", Text: "say\nwhy", AnswerRecord: "r"}, {Feature: event.FeatureCompanion, Text: "more"}}},
		{"dialogflow assist", &dialogflowpb.SuggestionResult{SuggestionResponse: &dialogflowpb.SuggestionResult_SuggestDialogflowAssistsResponse{
			SuggestDialogflowAssistsResponse: &dialogflowpb.SuggestDialogflowAssistsResponse{DialogflowAssistAnswers: []*dialogflowpb.DialogflowAssistAnswer{
				{AnswerRecord: "r", Result: &dialogflowpb.DialogflowAssistAnswer_QueryResult{QueryResult: &dialogflowpb.QueryResult{FulfillmentText: "f", Intent: &dialogflowpb.Intent{DisplayName: "i"}, IntentDetectionConfidence: 0.25}}},
				{Result: &dialogflowpb.DialogflowAssistAnswer_IntentSuggestion{IntentSuggestion: &dialogflowpb.IntentSuggestion{DisplayName: "i2", Description: "d"}}}}}}},
			[]event.Suggestion{{Feature: event.FeatureDialogflow, Title: "i", Text: "f", Confidence: 0.25, AnswerRecord: "r"}, {Feature: event.FeatureDialogflow, Title: "i2", Text: "d"}}},
		{"entities", &dialogflowpb.SuggestionResult{SuggestionResponse: &dialogflowpb.SuggestionResult_SuggestEntityExtractionResponse{
			SuggestEntityExtractionResponse: &dialogflowpb.SuggestDialogflowAssistsResponse{DialogflowAssistAnswers: []*dialogflowpb.DialogflowAssistAnswer{{AnswerRecord: "r"}}}}},
			[]event.Suggestion{{Feature: event.FeatureEntities, AnswerRecord: "r"}}},
		{"a feature without an answer", &dialogflowpb.SuggestionResult{}, nil},
		{"a kind of the future", unknownKind(t), []event.Suggestion{{Feature: event.FeatureUnknown, Title: "a kind of suggestion that this version of patchbay does not know"}}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, suggestions(tt.in)); diff != "" {
			t.Errorf("%s: suggestions() differ (-want +got):\n%s", tt.name, diff)
		}
	}
}

func unknownKind(t *testing.T) *dialogflowpb.SuggestionResult {
	t.Helper()
	b := protowire.AppendTag(nil, 4711, protowire.BytesType)
	var r dialogflowpb.SuggestionResult
	if err := proto.Unmarshal(protowire.AppendBytes(b, []byte("x")), &r); err != nil {
		t.Fatal(err)
	}
	return &r
}

// TestFeatureFails: one feature's error is an event of its own; which feature it is
// follows from the profile's order, where all answer at once.
func TestFeatureFails(t *testing.T) {
	var got []event.Event
	s := NewPool(Options{}).NewSession(Conversation{}, func(e event.Event) { got = append(got, e) }, nil)
	s.features = [2][]event.Feature{{event.FeatureArticle, event.FeatureFAQ}, nil}
	tr := newTrack(s, Track{Ref: event.TrackRef{Number: 1}}, newParticipant("end_user", ""))
	failed := &dialogflowpb.SuggestionResult{SuggestionResponse: &dialogflowpb.SuggestionResult_Error{Error: &status.Status{Code: 8, Message: "busy"}}}
	s.suggest(&tr.results, []*dialogflowpb.SuggestionResult{{}, failed}, forAgent)
	s.suggest(&tr.results, []*dialogflowpb.SuggestionResult{failed}, forAgent)
	if len(got) != 2 || got[0].Kind != event.SuggestionFailed || got[0].Suggestion.Feature != event.FeatureFAQ || got[1].Suggestion.Feature != event.FeatureUnknown || got[0].Suggestion.Error != "busy" {
		t.Errorf("events %+v; want the FAQ feature's failure, then an unknown one's", got)
	}
}

// TestOfferedOnce: what comes again, as after a replay, is not news.
func TestOfferedOnce(t *testing.T) {
	var got []string
	s := NewPool(Options{}).NewSession(Conversation{}, func(e event.Event) { got = append(got, e.Suggestion.Text) }, nil)
	tr := newTrack(s, Track{Ref: event.TrackRef{Number: 1}}, newParticipant("end_user", ""))
	for _, g := range []event.Suggestion{{Text: "a", AnswerRecord: "r1"}, {Text: "b", AnswerRecord: "r2"}, {Text: "c", AnswerRecord: "r1"},
		{Text: "d", Message: "m"}, {Text: "d", Message: "m"}, {Text: "d", Message: "n"}} {
		s.offer(&tr.results, g, forAgent)
	}
	if want := []string{"a", "b", "d", "d"}; !slices.Equal(got, want) {
		t.Errorf("offered %v; want %v", got, want)
	}
}

// TestHeardAt pairs stored messages with finals: by their words, else in order.
func TestHeardAt(t *testing.T) {
	at := func(n int) time.Time { return time.Unix(int64(n), 0) }
	s := NewPool(Options{}).NewSession(Conversation{}, nil, nil)
	r := &newTrack(s, Track{Ref: event.TrackRef{Number: 1}}, newParticipant("end_user", "")).results
	r.finals, r.last = []heard{{text: "a", at: at(1)}, {text: "b", at: at(2)}, {text: "c", at: at(3)}, {text: "d", at: at(4)}}, at(9)
	for _, tt := range []struct {
		content string
		want    int
	}{{" b ", 2}, {"sea", 3}, {"d", 4}, {"e", 9}} {
		if got := r.heardAt(tt.content); !got.Equal(at(tt.want)) {
			t.Errorf("heardAt(%q) = %d; want %d", tt.content, got.Unix(), tt.want)
		}
	}
	if n := s.pool.Stats().Unstored.Load(); n != 1 || len(s.missing) != 1 || s.missing[0].text != "a" {
		t.Errorf("%d finals without a message, %+v; want a", n, s.missing)
	}
}

// TestDemoRecording plays the bundled support call: words, suggestions while the
// call runs, each once, and feedback that reaches the answer records.
func TestDemoRecording(t *testing.T) {
	everything := func(c *emulator.Config) { c.Recognizer = nil }
	inBubble(t, rigConfig{emulator: everything}, func(t *testing.T, r *rig) {
		rec, err := recordings.Open("en")
		if err != nil {
			t.Fatal(err)
		}
		wav, err := rec.Audio()
		if err != nil {
			t.Fatal(err)
		}
		s, wait := r.run(t.Context(), r.conversation())
		customer := newVoice(t, "inbound", "end_user", 1, media.Telephony)
		agent := newVoice(t, "outbound", "human_agent", 2, media.Telephony)
		var ended time.Time
		call(t, s, func(v *voice) {
			v.play(t, wav.Channels[v.id-1])
			if v == agent {
				ended = time.Now()
			}
		}, customer, agent)
		if err := wait(); err != nil {
			t.Fatalf("Run() = %v", err)
		}
		offered := r.events(event.SuggestionOffered)
		early, ids := 0, map[string]bool{}
		for _, e := range offered {
			g := e.Suggestion
			if ids[g.AnswerRecord] {
				t.Errorf("suggestion %s was offered twice", g.AnswerRecord)
			}
			ids[g.AnswerRecord] = true
			if e.Time.Before(ended) {
				early++
			}
			if delay := e.Time.Sub(g.HeardAt); g.HeardAt.IsZero() || delay < 0 || delay > 3*time.Second {
				t.Errorf("suggestion %s (%s) came %v after its utterance was heard", g.ID, g.Feature, delay)
			}
		}
		if len(offered) < 3 || early < 3 {
			t.Fatalf("%d suggestions, %d of them during the call; want some", len(offered), early)
		}
		r.feedback(t, s, offered[0].Suggestion)
	})
}

func (r *rig) feedback(t *testing.T, s *Session, g *event.Suggestion) {
	t.Helper()
	ctx := t.Context()
	for _, f := range []event.Feedback{{Suggestion: g.ID, Clicked: true}, {Suggestion: g.ID, Correct: "partly_correct"}} {
		if err := s.Feedback(ctx, f); err != nil {
			t.Errorf("Feedback(%+v) = %v", f, err)
		}
	}
	for _, tt := range []struct {
		f    event.Feedback
		want error
	}{
		{event.Feedback{Suggestion: "s-999", Clicked: true}, ErrUnknownSuggestion},
		{event.Feedback{Suggestion: g.ID}, ErrFeedback},
		{event.Feedback{Suggestion: g.ID, Correct: "great"}, ErrFeedback},
	} {
		if err := s.Feedback(ctx, tt.f); !errors.Is(err, tt.want) {
			t.Errorf("Feedback(%+v) = %v; want %v", tt.f, err, tt.want)
		}
	}
	c, err := r.pool.client(ctx, r.conversation().Google)
	if err != nil {
		t.Fatal(err)
	}
	for it := c.answers.ListAnswerRecords(ctx, &dialogflowpb.ListAnswerRecordsRequest{Parent: r.conversation().Google.parent()}); ; {
		record, err := it.Next()
		if err != nil {
			t.Fatalf("the record %s was not found: %v", g.AnswerRecord, err)
		}
		if record.GetName() == g.AnswerRecord {
			if fb := record.GetAnswerFeedback(); !fb.GetClicked() || !fb.GetDisplayed() || fb.GetCorrectnessLevel() != dialogflowpb.AnswerFeedback_PARTIALLY_CORRECT {
				t.Errorf("feedback at Google's: %+v; want clicked, displayed and partly correct", fb)
			}
			return
		}
	}
}

func TestMemoryForgetsTheOldest(t *testing.T) {
	m := newMemory[string, int]()
	for i := range maxRemembered + 10 {
		if !m.add(strconv.Itoa(i), i) {
			t.Fatalf("add(%d) = false; want true", i)
		}
	}
	if m.add("20", 0) {
		t.Error("add of a known key = true; want false")
	}
	if _, ok := m.values["9"]; ok || len(m.values) != maxRemembered {
		t.Errorf("%d values, the oldest among them: %v; want %d, false", len(m.values), ok, maxRemembered)
	}
}
