package assist

import (
	"strings"

	"cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"

	"github.com/patchbay/patchbay/core/event"
)

// Whom a suggestion is for.
const (
	forAgent = "human_agent"
	forUser  = "end_user"
)

// suggest publishes the answers in results, each once, and the features that failed.
func (s *Session) suggest(r *results, list []*dialogflowpb.SuggestionResult, whom string) {
	features := s.features[0]
	if whom == forUser {
		features = s.features[1]
	}
	for i, result := range list {
		if err := result.GetError(); err != nil {
			feature := event.FeatureUnknown
			if len(list) == len(features) { // one result a feature, in the profile's order
				feature = features[i]
			}
			r.fresh = true
			s.pool.stats.SuggestionErrors.Add(1)
			r.t.log.Warn("assist: a suggestion feature failed", "feature", feature, "code", err.GetCode())
			s.publish(event.Event{Kind: event.SuggestionFailed, Track: r.t.trackRef(),
				Suggestion: &event.Suggestion{Feature: feature, For: whom, Error: err.GetMessage()}})
			continue
		}
		for _, g := range suggestions(result) {
			s.offer(r, g, whom)
		}
	}
}

func (s *Session) offer(r *results, g event.Suggestion, whom string) {
	key := g.AnswerRecord
	if key == "" {
		key = strings.Join([]string{string(g.Feature), whom, g.Message, g.Title, g.Text, g.URI}, "\x00")
	}
	var isNew bool
	if g.ID, isNew = s.answers.suggestion(key, g.AnswerRecord); !isNew {
		return
	}
	r.fresh = true
	g.For = whom
	if g.HeardAt = s.answers.heardAt(g.Message); g.HeardAt.IsZero() {
		g.HeardAt = r.last
	}
	s.pool.stats.Suggestions.Add(1)
	s.publish(event.Event{Kind: event.SuggestionOffered, Track: r.t.trackRef(), Suggestion: &g})
}

// suggestions returns the answers of one feature.
func suggestions(result *dialogflowpb.SuggestionResult) (out []event.Suggestion) {
	add := func(g event.Suggestion) { out = append(out, g) }
	switch r := result.GetSuggestionResponse().(type) {
	case *dialogflowpb.SuggestionResult_SuggestArticlesResponse:
		for _, a := range r.SuggestArticlesResponse.GetArticleAnswers() {
			add(event.Suggestion{Feature: event.FeatureArticle, Title: a.GetTitle(), Text: lines(a.GetSnippets()...),
				URI: a.GetUri(), Metadata: a.GetMetadata(), AnswerRecord: a.GetAnswerRecord(), Message: r.SuggestArticlesResponse.GetLatestMessage()})
		}
	case *dialogflowpb.SuggestionResult_SuggestFaqAnswersResponse:
		for _, a := range r.SuggestFaqAnswersResponse.GetFaqAnswers() {
			add(event.Suggestion{Feature: event.FeatureFAQ, Title: a.GetQuestion(), Text: a.GetAnswer(), URI: a.GetSource(),
				Confidence: a.GetConfidence(), Metadata: a.GetMetadata(), AnswerRecord: a.GetAnswerRecord(), Message: r.SuggestFaqAnswersResponse.GetLatestMessage()})
		}
	case *dialogflowpb.SuggestionResult_SuggestSmartRepliesResponse:
		for _, a := range r.SuggestSmartRepliesResponse.GetSmartReplyAnswers() {
			add(event.Suggestion{Feature: event.FeatureSmartReply, Text: a.GetReply(), Confidence: a.GetConfidence(),
				AnswerRecord: a.GetAnswerRecord(), Message: r.SuggestSmartRepliesResponse.GetLatestMessage()})
		}
	case *dialogflowpb.SuggestionResult_SuggestKnowledgeAssistResponse:
		return knowledge(r.SuggestKnowledgeAssistResponse)
	case *dialogflowpb.SuggestionResult_GenerateSuggestionsResponse:
		for _, a := range r.GenerateSuggestionsResponse.GetGeneratorSuggestionAnswers() {
			add(event.Suggestion{Feature: event.FeatureGenerator, Title: base(a.GetSourceGenerator()), Text: generated(a.GetGeneratorSuggestion()),
				AnswerRecord: a.GetAnswerRecord(), Message: r.GenerateSuggestionsResponse.GetLatestMessage()})
		}
	case *dialogflowpb.SuggestionResult_GenerateCompanionSuggestionsResponse:
		return companion(r.GenerateCompanionSuggestionsResponse)
	case *dialogflowpb.SuggestionResult_SuggestDialogflowAssistsResponse:
		return dialogflowAssists(event.FeatureDialogflow, r.SuggestDialogflowAssistsResponse)
	case *dialogflowpb.SuggestionResult_SuggestEntityExtractionResponse:
		return dialogflowAssists(event.FeatureEntities, r.SuggestEntityExtractionResponse)
	default:
		if len(result.ProtoReflect().GetUnknown()) > 0 {
			add(event.Suggestion{Feature: event.FeatureUnknown, Title: "a kind of suggestion that this version of patchbay does not know"})
		}
	}
	return out
}

func knowledge(r *dialogflowpb.SuggestKnowledgeAssistResponse) (out []event.Suggestion) {
	a, message := r.GetKnowledgeAssistAnswer(), r.GetLatestMessage()
	if query, answer := a.GetSuggestedQuery().GetQueryText(), a.GetSuggestedQueryAnswer(); query != "" || answer.GetAnswerText() != "" {
		g := event.Suggestion{Feature: event.FeatureKnowledgeAssist, Title: query, Text: answer.GetAnswerText(), AnswerRecord: a.GetAnswerRecord(), Message: message}
		if snippets := answer.GetGenerativeSource().GetSnippets(); len(snippets) > 0 {
			g.URI = snippets[0].GetUri()
		}
		out = append(out, g)
	}
	for _, more := range r.GetAdditionalSuggestedQueryResults() {
		out = append(out, event.Suggestion{Feature: event.FeatureKnowledgeAssist, Title: more.GetSuggestedQuery().GetQueryText(),
			AnswerRecord: more.GetAnswerRecord(), Message: message})
	}
	return out
}

// generated is the text of a generator's answer, whatever its form.
func generated(g *dialogflowpb.GeneratorSuggestion) string {
	switch g := g.GetSuggestion().(type) {
	case *dialogflowpb.GeneratorSuggestion_FreeFormSuggestion:
		return g.FreeFormSuggestion.GetResponse()
	case *dialogflowpb.GeneratorSuggestion_SummarySuggestion:
		var sections []string
		for _, s := range g.SummarySuggestion.GetSummarySections() {
			sections = append(sections, s.GetSection()+": "+s.GetSummary())
		}
		return lines(sections...)
	case *dialogflowpb.GeneratorSuggestion_AgentCoachingSuggestion:
		var advice []string
		for _, i := range g.AgentCoachingSuggestion.GetApplicableInstructions() {
			advice = append(advice, i.GetDisplayName())
		}
		for _, a := range g.AgentCoachingSuggestion.GetAgentActionSuggestions() {
			advice = append(advice, a.GetAgentAction())
		}
		for _, r := range g.AgentCoachingSuggestion.GetSampleResponses() {
			advice = append(advice, r.GetResponseText())
		}
		return lines(advice...)
	}
	return ""
}

func companion(r *dialogflowpb.GenerateCompanionSuggestionsResponse) (out []event.Suggestion) {
	for _, g := range r.GetCompanionSuggestion().GetGuidances() {
		out = append(out, event.Suggestion{Feature: event.FeatureCompanion, Title: g.GetSuggestedAction(), Text: lines(g.GetSuggestedReply(), g.GetExplanation()),
			Message: r.GetLatestMessage()})
	}
	if len(out) > 0 { // they share an answer record: feedback goes through the first
		out[0].AnswerRecord = r.GetAnswerRecord()
	}
	return out
}

func dialogflowAssists(feature event.Feature, r *dialogflowpb.SuggestDialogflowAssistsResponse) (out []event.Suggestion) {
	for _, a := range r.GetDialogflowAssistAnswers() {
		g := event.Suggestion{Feature: feature, AnswerRecord: a.GetAnswerRecord(), Message: r.GetLatestMessage()}
		switch a := a.GetResult().(type) {
		case *dialogflowpb.DialogflowAssistAnswer_QueryResult:
			g.Title, g.Text = a.QueryResult.GetIntent().GetDisplayName(), a.QueryResult.GetFulfillmentText()
			g.Confidence = a.QueryResult.GetIntentDetectionConfidence()
		case *dialogflowpb.DialogflowAssistAnswer_IntentSuggestion:
			g.Title, g.Text = a.IntentSuggestion.GetDisplayName(), a.IntentSuggestion.GetDescription()
		}
		out = append(out, g)
	}
	return out
}

// lines joins what is not empty.
func lines(parts ...string) string {
	var full []string
	for _, p := range parts {
		if p != "" {
			full = append(full, p)
		}
	}
	return strings.Join(full, "\n")
}

// base is the last part of a resource name.
func base(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }
