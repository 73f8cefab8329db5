package emulator

import (
	"context"
	"slices"
	"strings"

	pb "cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
)

// The numbers of suggestions and of their context (agent-assist.md §3).
const (
	defaultResults = 10
	mostResults    = 20
	defaultContext = 20
	mostContext    = 50
)

type featureConfig = pb.HumanAgentAssistantConfig_SuggestionFeatureConfig

// suggest answers a stored message with one result for each feature of the
// profile that the message triggers, in the profile's order.
func (s *Server) suggest(c *conversation, m *pb.Message) (human, endUser []*pb.SuggestionResult) {
	assist := c.profile.GetHumanAgentAssistantConfig()
	return s.results(c, m, assist.GetHumanAgentSuggestionConfig()), s.results(c, m, assist.GetEndUserSuggestionConfig())
}

func (s *Server) results(c *conversation, m *pb.Message, cfg *pb.HumanAgentAssistantConfig_SuggestionConfig) (list []*pb.SuggestionResult) {
	for _, f := range cfg.GetFeatureConfigs() {
		if triggers(f, m) {
			list = append(list, s.result(c, m, f))
		}
	}
	return list
}

// triggers reports whether a message sets off a feature (§3, trigger events).
func triggers(f *featureConfig, m *pb.Message) bool {
	customer := m.GetParticipantRole() == pb.Participant_END_USER
	settings := f.GetSuggestionTriggerSettings()
	if settings.GetOnlyEndUser() && !customer || settings.GetNoSmallTalk() && smallTalk(m.GetContent()) {
		return false
	}
	switch f.GetSuggestionTriggerEvent() {
	case pb.TriggerEvent_END_OF_UTTERANCE:
		return true
	case pb.TriggerEvent_AGENT_MESSAGE:
		return m.GetParticipantRole() == pb.Participant_HUMAN_AGENT
	case pb.TriggerEvent_TRIGGER_EVENT_UNSPECIFIED, pb.TriggerEvent_CUSTOMER_MESSAGE:
		return customer
	}
	return false
}

// smallTalk takes messages of at most three words for small talk.
func smallTalk(text string) bool { return len(strings.Fields(text)) <= 3 }

// result runs one feature. A feature that the emulator lacks fails alone, in its
// result, as in the API.
func (s *Server) result(c *conversation, m *pb.Message, f *featureConfig) *pb.SuggestionResult {
	switch t := f.GetSuggestionFeature().GetType(); t {
	case pb.SuggestionFeature_ARTICLE_SUGGESTION:
		return &pb.SuggestionResult{SuggestionResponse: &pb.SuggestionResult_SuggestArticlesResponse{SuggestArticlesResponse: &pb.SuggestArticlesResponse{
			ArticleAnswers: s.articles(c, m, f), LatestMessage: m.GetName(), ContextSize: 1,
		}}}
	case pb.SuggestionFeature_FAQ:
		return &pb.SuggestionResult{SuggestionResponse: &pb.SuggestionResult_SuggestFaqAnswersResponse{SuggestFaqAnswersResponse: &pb.SuggestFaqAnswersResponse{
			FaqAnswers: s.faqs(c, m, f), LatestMessage: m.GetName(), ContextSize: 1,
		}}}
	case pb.SuggestionFeature_SMART_REPLY:
		return &pb.SuggestionResult{SuggestionResponse: &pb.SuggestionResult_SuggestSmartRepliesResponse{SuggestSmartRepliesResponse: &pb.SuggestSmartRepliesResponse{
			SmartReplyAnswers: s.replies(c, m, f), LatestMessage: m.GetName(), ContextSize: 1,
		}}}
	default:
		return &pb.SuggestionResult{SuggestionResponse: &pb.SuggestionResult_Error{Error: &status.Status{
			Code: int32(codes.Unimplemented), Message: "the emulator has no feature " + t.String(),
		}}}
	}
}

// limits returns how many results a feature gives and how sure they must be.
func limits(f *featureConfig) (results int, confidence float32) {
	q := f.GetQueryConfig()
	if results = int(q.GetMaxResults()); results <= 0 {
		results = defaultResults
	}
	return min(results, mostResults), q.GetConfidenceThreshold()
}

func (s *Server) articles(c *conversation, m *pb.Message, f *featureConfig) (list []*pb.ArticleAnswer) {
	n, least := limits(f)
	for _, h := range s.knowledge.Articles(m.GetLanguageCode(), m.GetContent(), n) {
		if h.Confidence < least {
			continue
		}
		a := &pb.ArticleAnswer{Title: h.Title, Uri: h.URI, Snippets: h.Snippets, Metadata: map[string]string{}}
		a.AnswerRecord = s.record(c, &pb.AgentAssistantRecord{Answer: &pb.AgentAssistantRecord_ArticleSuggestionAnswer{ArticleSuggestionAnswer: a}})
		list = append(list, a)
	}
	return list
}

func (s *Server) faqs(c *conversation, m *pb.Message, f *featureConfig) (list []*pb.FaqAnswer) {
	n, least := limits(f)
	for _, h := range s.knowledge.FAQs(m.GetLanguageCode(), m.GetContent(), n) {
		if h.Confidence < least {
			continue
		}
		a := &pb.FaqAnswer{Question: h.Question, Answer: h.Answer, Source: h.Source, Confidence: h.Confidence}
		a.AnswerRecord = s.record(c, &pb.AgentAssistantRecord{Answer: &pb.AgentAssistantRecord_FaqAnswer{FaqAnswer: a}})
		list = append(list, a)
	}
	return list
}

func (s *Server) replies(c *conversation, m *pb.Message, f *featureConfig) (list []*pb.SmartReplyAnswer) {
	n, least := limits(f)
	for _, h := range s.knowledge.Replies(m.GetLanguageCode(), m.GetContent(), n) {
		if h.Confidence < least {
			continue
		}
		a := &pb.SmartReplyAnswer{Reply: h.Text, Confidence: h.Confidence}
		a.AnswerRecord = s.record(c, &pb.AgentAssistantRecord{}) // the API has no record kind for replies
		list = append(list, a)
	}
	return list
}

// SuggestArticles looks articles up on demand.
func (s *participants) SuggestArticles(_ context.Context, r *pb.SuggestArticlesRequest) (*pb.SuggestArticlesResponse, error) {
	d, err := s.onDemand(r.GetParent(), r.GetLatestMessage(), r.GetContextSize(), pb.SuggestionFeature_ARTICLE_SUGGESTION)
	if err != nil {
		return nil, err
	}
	return &pb.SuggestArticlesResponse{ArticleAnswers: s.articles(d.c, d.text, d.feature), LatestMessage: d.latest, ContextSize: d.size}, nil
}

// SuggestFaqAnswers looks questions and answers up on demand.
func (s *participants) SuggestFaqAnswers(_ context.Context, r *pb.SuggestFaqAnswersRequest) (*pb.SuggestFaqAnswersResponse, error) {
	d, err := s.onDemand(r.GetParent(), r.GetLatestMessage(), r.GetContextSize(), pb.SuggestionFeature_FAQ)
	if err != nil {
		return nil, err
	}
	return &pb.SuggestFaqAnswersResponse{FaqAnswers: s.faqs(d.c, d.text, d.feature), LatestMessage: d.latest, ContextSize: d.size}, nil
}

// SuggestSmartReplies looks replies up on demand.
func (s *participants) SuggestSmartReplies(_ context.Context, r *pb.SuggestSmartRepliesRequest) (*pb.SuggestSmartRepliesResponse, error) {
	d, err := s.onDemand(r.GetParent(), r.GetLatestMessage(), r.GetContextSize(), pb.SuggestionFeature_SMART_REPLY)
	if err != nil {
		return nil, err
	}
	if t := r.GetCurrentTextInput().GetText(); t != "" {
		d.text = &pb.Message{Content: t, LanguageCode: d.text.GetLanguageCode()}
	}
	return &pb.SuggestSmartRepliesResponse{SmartReplyAnswers: s.replies(d.c, d.text, d.feature), LatestMessage: d.latest, ContextSize: d.size}, nil
}

// demand is what a suggestion on demand is about.
type demand struct {
	c       *conversation
	text    *pb.Message // the context as one message
	latest  string
	size    int32
	feature *featureConfig
}

func (s *participants) onDemand(parent, latest string, size int32, t pb.SuggestionFeature_Type) (demand, error) {
	p, err := s.participant(parent)
	if err != nil {
		return demand{}, err
	}
	d := demand{c: p.conv, feature: feature(p.conv.profile, t)}
	if err := firstError(s.open(p.conv),
		s.rule(RuleContextSize, size >= 0 && size <= mostContext, codes.InvalidArgument, "context_size is %d; want 0 to %d", size, mostContext),
		s.rule(RuleFeature, d.feature != nil, codes.FailedPrecondition, "the conversation's profile has no feature %v", t)); err != nil {
		return demand{}, err
	}
	if size <= 0 {
		size = defaultContext
	}
	list := p.conv.newest()
	if latest != "" {
		i := slices.IndexFunc(list, func(m *pb.Message) bool { return m.GetName() == latest })
		if i < 0 {
			return demand{}, notFound("latest_message %.300q does not exist", latest)
		}
		list = list[i:]
	}
	list = list[:min(len(list), int(size))]
	d.size, d.text = int32(len(list)), &pb.Message{}
	for i, m := range list {
		if i == 0 {
			d.latest, d.text.LanguageCode = m.GetName(), m.GetLanguageCode()
		}
		d.text.Content += m.GetContent() + "\n"
	}
	return d, nil
}

// feature returns a profile's configuration of a kind of suggestion, or nil.
func feature(p *pb.ConversationProfile, t pb.SuggestionFeature_Type) *featureConfig {
	assist := p.GetHumanAgentAssistantConfig()
	for _, cfg := range []*pb.HumanAgentAssistantConfig_SuggestionConfig{assist.GetHumanAgentSuggestionConfig(), assist.GetEndUserSuggestionConfig()} {
		for _, f := range cfg.GetFeatureConfigs() {
			if f.GetSuggestionFeature().GetType() == t {
				return f
			}
		}
	}
	return nil
}
