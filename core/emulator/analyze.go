package emulator

import (
	"context"
	"time"

	pb "cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// maxRequestID and keptRequests bound AnalyzeContent's idempotence.
const (
	maxRequestID = 36
	keptRequests = 1000
)

// AnalyzeContent stores a text message and answers with suggestions.
func (s *participants) AnalyzeContent(_ context.Context, r *pb.AnalyzeContentRequest) (*pb.AnalyzeContentResponse, error) {
	p, err := s.participant(r.GetParticipant())
	if err != nil {
		return nil, err
	}
	id := r.GetRequestId()
	if err := firstError(s.open(p.conv), s.spend(p.conv.project, ""), s.rule(RuleRequestID, shortASCII(id), codes.InvalidArgument,
		"request_id is not ASCII of at most %d characters", maxRequestID)); err != nil {
		return nil, err
	}
	input := r.GetTextInput()
	if input == nil {
		return nil, status.Error(codes.Unimplemented, "the emulator analyses text_input alone")
	}
	if input.GetText() == "" {
		return nil, invalid("text_input.text is empty")
	}
	p.analysing.Lock()
	defer p.analysing.Unlock()
	if done := p.requests[id]; id != "" && done != nil {
		return done, nil
	}
	sent := now()
	if t := r.GetMessageSendTime(); t != nil {
		sent = t.AsTime()
	}
	m := s.say(p, input.GetText(), s.language(p.conv, input.GetLanguageCode()), sent)
	human, endUser := s.suggest(p.conv, m)
	resp := &pb.AnalyzeContentResponse{Message: m, HumanAgentSuggestionResults: human, EndUserSuggestionResults: endUser}
	if id != "" && len(p.requests) < keptRequests {
		if p.requests == nil {
			p.requests = map[string]*pb.AnalyzeContentResponse{}
		}
		p.requests[id] = resp
	}
	return resp, nil
}

func shortASCII(id string) bool {
	for _, r := range id {
		if r < ' ' || r > '~' {
			return false
		}
	}
	return len(id) <= maxRequestID
}

// say stores what a participant said.
func (s *Server) say(p *participant, text, language string, sent time.Time) *pb.Message {
	m := &pb.Message{
		Content: text, LanguageCode: language, Participant: p.id, ParticipantRole: p.role, SendTime: timestamppb.New(sent),
	}
	p.conv.store(m, s.cfg.Limits.Messages)
	p.conv.mu.Lock()
	defer p.conv.mu.Unlock()
	p.books.messages++
	return m
}

// language settles which language is spoken: asked for, or the profile's.
func (s *Server) language(c *conversation, asked string) string {
	for _, l := range []string{asked, c.profile.GetSttConfig().GetLanguageCode(), c.profile.GetLanguageCode()} {
		if l != "" {
			return l
		}
	}
	return DefaultLanguage
}
