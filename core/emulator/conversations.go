package emulator

import (
	"context"
	"regexp"
	"strconv"
	"strings"
	"time"

	pb "cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// conversations serves google.cloud.dialogflow.v2beta1.Conversations.
type conversations struct {
	pb.UnimplementedConversationsServer
	*Server
}

var conversationID = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_-]{2,63}$`)

// CreateConversation begins a conversation and freezes its profile.
func (s *conversations) CreateConversation(_ context.Context, r *pb.CreateConversationRequest) (*pb.Conversation, error) {
	res, err := s.resolve(r.GetParent())
	if err != nil {
		return nil, err
	}
	profile, err := s.profileFor(res, r.GetConversation().GetConversationProfile())
	if err != nil {
		return nil, err
	}
	id := r.GetConversationId()
	if id == "" {
		id = "c" + strconv.FormatInt(s.newID(), 10) + "-" + strconv.FormatInt(now().UnixNano(), 36)
	}
	stage, err := s.stage(profile, r.GetConversation().GetConversationStage())
	if err := firstError(err, s.rule(RuleConversationID, conversationID.MatchString(id), codes.InvalidArgument,
		"conversation_id %.100q does not match [a-zA-Z][a-zA-Z0-9_-]* with 3 to 64 characters", id)); err != nil {
		return nil, err
	}
	if strings.Contains(id, "/") {
		return nil, invalid("conversation_id %.100q contains a slash", id)
	}
	res.ids = []string{id}
	c := &conversation{
		resource: res, name: res.parent() + "/conversations/" + id, profile: profile, stage: stage,
		start: now(), done: make(chan struct{}), contexts: map[string]*pb.Conversation_ContextReference{},
	}
	if err := s.add(c); err != nil {
		return nil, err
	}
	s.log.Info("conversation created", "conversation", c.name)
	return c.proto(), nil
}

// profileFor finds the profile that a new conversation names.
func (s *Server) profileFor(res resource, name string) (*pb.ConversationProfile, error) {
	if name == "" {
		if !s.on(RuleProfileExists) {
			return &pb.ConversationProfile{LanguageCode: s.cfg.Language}, nil
		}
		return nil, invalid("conversation.conversation_profile is required [rule %s]", RuleProfileExists)
	}
	r, err := s.resolve(name, "conversationProfiles")
	if err != nil {
		return nil, err
	}
	if r.parent() != res.parent() {
		return nil, invalid("conversation_profile %.300q is not in %s", name, res.parent())
	}
	p, err := s.profiles.get(r)
	if err != nil && !s.on(RuleProfileExists) {
		return &pb.ConversationProfile{Name: name, LanguageCode: s.cfg.Language}, nil
	}
	return p, err
}

// stage chooses the stage of a new conversation.
func (s *Server) stage(p *pb.ConversationProfile, asked pb.Conversation_ConversationStage) (pb.Conversation_ConversationStage, error) {
	agent := p.GetAutomatedAgentConfig() != nil
	switch {
	case asked == pb.Conversation_CONVERSATION_STAGE_UNSPECIFIED && agent:
		return pb.Conversation_VIRTUAL_AGENT_STAGE, nil
	case asked == pb.Conversation_CONVERSATION_STAGE_UNSPECIFIED:
		return pb.Conversation_HUMAN_ASSIST_STAGE, nil
	}
	return asked, s.rule(RuleStage, asked == pb.Conversation_HUMAN_ASSIST_STAGE || agent, codes.InvalidArgument,
		"VIRTUAL_AGENT_STAGE needs automated_agent_config in the profile; ask for HUMAN_ASSIST_STAGE")
}

// add registers a new conversation and starts its clock.
func (s *Server) add(c *conversation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conversations[c.name] != nil {
		return status.Errorf(codes.AlreadyExists, "conversation %q exists already", c.name)
	}
	s.purge()
	live := 0
	for _, o := range s.order {
		if !o.finished() {
			live++
		}
	}
	if live >= s.cfg.Limits.Live {
		return full("conversations in progress", s.cfg.Limits.Live)
	}
	c.expiry = time.AfterFunc(s.cfg.real(s.cfg.Limits.ConversationAge), func() {
		if s.on(RuleConversationExpiry) && c.complete() {
			s.log.Info("conversation completed by age", "conversation", c.name)
		}
	})
	s.conversations[c.name] = c
	s.order = append(s.order, c)
	return nil
}

// GetConversation returns one conversation.
func (s *conversations) GetConversation(_ context.Context, r *pb.GetConversationRequest) (*pb.Conversation, error) {
	c, err := s.conversation(r.GetName())
	if err != nil {
		return nil, err
	}
	return c.proto(), nil
}

// ListConversations lists conversations by age; the filter knows lifecycle_state.
func (s *conversations) ListConversations(_ context.Context, r *pb.ListConversationsRequest) (*pb.ListConversationsResponse, error) {
	res, err := s.resolve(r.GetParent())
	if err != nil {
		return nil, err
	}
	f, err := parseFilter(r.GetFilter())
	if err != nil {
		return nil, err
	}
	if err := f.only("lifecycle_state"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	order := append([]*conversation(nil), s.order...)
	s.mu.Unlock()
	var list []*pb.Conversation
	for _, c := range order {
		if c.parent() != res.parent() {
			continue
		}
		if p := c.proto(); f.text("lifecycle_state", p.GetLifecycleState().String()) {
			list = append(list, p)
		}
	}
	page, next, err := pageOf(list, r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	return &pb.ListConversationsResponse{Conversations: page, NextPageToken: next}, nil
}

// CompleteConversation ends a conversation and the streams in it. It may be repeated.
func (s *conversations) CompleteConversation(_ context.Context, r *pb.CompleteConversationRequest) (*pb.Conversation, error) {
	c, err := s.conversation(r.GetName())
	if err != nil {
		return nil, err
	}
	if c.complete() {
		s.log.Info("conversation completed", "conversation", c.name)
	}
	return c.proto(), nil
}

// IngestContextReferences stores context beside the conversation.
func (s *conversations) IngestContextReferences(_ context.Context, r *pb.IngestContextReferencesRequest) (*pb.IngestContextReferencesResponse, error) {
	c, err := s.conversation(r.GetConversation())
	if err != nil {
		return nil, err
	}
	if err := s.open(c); err != nil {
		return nil, err
	}
	const most, contents = 100, 100
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, ref := range r.GetContextReferences() {
		ref = proto.CloneOf(ref)
		if ref == nil {
			return nil, invalid("context reference %.100q is empty", name)
		}
		ref.CreateTime = timestamppb.New(now())
		old := c.contexts[name]
		if old == nil && len(c.contexts) >= most {
			return nil, full("context references in a conversation", most)
		}
		if old != nil && ref.GetUpdateMode() == pb.Conversation_ContextReference_APPEND {
			ref.ContextContents = append(append([]*pb.Conversation_ContextReference_ContextContent(nil), old.GetContextContents()...), ref.GetContextContents()...)
		}
		if len(ref.GetContextContents()) > contents {
			return nil, full("contents in a context reference", contents)
		}
		c.contexts[name] = ref
	}
	out := &pb.IngestContextReferencesResponse{IngestedContextReferences: map[string]*pb.Conversation_ContextReference{}}
	for k, v := range c.contexts {
		out.IngestedContextReferences[k] = proto.CloneOf(v)
	}
	return out, nil
}
