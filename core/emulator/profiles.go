package emulator

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"

	pb "cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// profileSet holds the conversation profiles. Stored profiles are never changed,
// only replaced.
type profileSet struct {
	mu     sync.Mutex
	byName map[string]*pb.ConversationProfile
	order  []string
	next   int
	max    int
	cfg    Config
}

// newProfileSet makes the configured profiles in every project and location.
func newProfileSet(cfg Config) *profileSet {
	set := &profileSet{byName: map[string]*pb.ConversationProfile{}, cfg: cfg, max: cfg.Limits.Profiles + len(cfg.Projects)*len(cfg.Locations)*len(cfg.Profiles)}
	for _, project := range cfg.Projects {
		for _, location := range cfg.Locations {
			for _, id := range cfg.Profiles {
				set.put(demoProfile(resource{project: project, location: location}, id, cfg.Language))
			}
		}
	}
	return set
}

// demoProfile asks for articles, FAQ answers and smart replies, inline, on every
// message of the customer.
func demoProfile(in resource, id, language string) *pb.ConversationProfile {
	at := timestamppb.New(now())
	feature := func(t pb.SuggestionFeature_Type, results int32) *pb.HumanAgentAssistantConfig_SuggestionFeatureConfig {
		return &pb.HumanAgentAssistantConfig_SuggestionFeatureConfig{
			SuggestionFeature: &pb.SuggestionFeature{Type: t},
			QueryConfig:       &pb.HumanAgentAssistantConfig_SuggestionQueryConfig{MaxResults: results},
		}
	}
	return &pb.ConversationProfile{
		Name: in.parent() + "/conversationProfiles/" + id, DisplayName: id, LanguageCode: language, CreateTime: at, UpdateTime: at,
		SttConfig: &pb.SpeechToTextConfig{Model: defaultModel},
		HumanAgentAssistantConfig: &pb.HumanAgentAssistantConfig{
			HumanAgentSuggestionConfig: &pb.HumanAgentAssistantConfig_SuggestionConfig{
				FeatureConfigs: []*pb.HumanAgentAssistantConfig_SuggestionFeatureConfig{
					feature(pb.SuggestionFeature_ARTICLE_SUGGESTION, 2), feature(pb.SuggestionFeature_FAQ, 1), feature(pb.SuggestionFeature_SMART_REPLY, 2),
				},
			},
		},
	}
}

func (set *profileSet) put(p *pb.ConversationProfile) {
	set.mu.Lock()
	defer set.mu.Unlock()
	if set.byName[p.GetName()] == nil {
		set.order = append(set.order, p.GetName())
	}
	set.byName[p.GetName()] = p
}

func (set *profileSet) get(r resource) (*pb.ConversationProfile, error) {
	name := r.parent() + "/conversationProfiles/" + r.ids[0]
	set.mu.Lock()
	defer set.mu.Unlock()
	if p := set.byName[name]; p != nil {
		return p, nil
	}
	// With the rules project and location off, every place has the profiles.
	elsewhere := !slices.Contains(set.cfg.Projects, r.project) || !slices.Contains(set.cfg.Locations, r.location)
	if elsewhere && slices.Contains(set.cfg.Profiles, r.ids[0]) {
		return demoProfile(r, r.ids[0], set.cfg.Language), nil
	}
	return nil, notFound("conversation profile %.300q does not exist", name)
}

// profiles serves google.cloud.dialogflow.v2beta1.ConversationProfiles.
type profiles struct {
	pb.UnimplementedConversationProfilesServer
	*Server
}

func (s *profiles) find(name string) (*pb.ConversationProfile, error) {
	r, err := s.resolve(name, "conversationProfiles")
	if err != nil {
		return nil, err
	}
	return s.Server.profiles.get(r)
}

// GetConversationProfile returns one profile.
func (s *profiles) GetConversationProfile(_ context.Context, r *pb.GetConversationProfileRequest) (*pb.ConversationProfile, error) {
	return s.find(r.GetName())
}

// ListConversationProfiles lists the profiles of a location in order of creation.
func (s *profiles) ListConversationProfiles(_ context.Context, r *pb.ListConversationProfilesRequest) (*pb.ListConversationProfilesResponse, error) {
	res, err := s.resolve(r.GetParent())
	if err != nil {
		return nil, err
	}
	set := s.Server.profiles
	set.mu.Lock()
	var list []*pb.ConversationProfile
	for _, name := range set.order {
		if strings.HasPrefix(name, res.parent()+"/") {
			list = append(list, set.byName[name])
		}
	}
	set.mu.Unlock()
	page, next, err := pageOf(list, r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	return &pb.ListConversationProfilesResponse{ConversationProfiles: page, NextPageToken: next}, nil
}

// CreateConversationProfile adds a profile under an id of the server's choice.
func (s *profiles) CreateConversationProfile(_ context.Context, r *pb.CreateConversationProfileRequest) (*pb.ConversationProfile, error) {
	res, err := s.resolve(r.GetParent())
	if err != nil {
		return nil, err
	}
	p := proto.CloneOf(r.GetConversationProfile())
	if p.GetDisplayName() == "" {
		return nil, invalid("conversation_profile.display_name is required")
	}
	if p.GetLanguageCode() == "" {
		p.LanguageCode = DefaultLanguage
	}
	set := s.Server.profiles
	set.mu.Lock()
	set.next++
	tooMany := len(set.order) >= set.max
	p.Name = res.parent() + "/conversationProfiles/profile-" + strconv.Itoa(set.next)
	set.mu.Unlock()
	if tooMany {
		return nil, full("conversation profiles", s.cfg.Limits.Profiles)
	}
	p.CreateTime = timestamppb.New(now())
	p.UpdateTime = p.GetCreateTime()
	set.put(p)
	return p, nil
}

// UpdateConversationProfile changes the masked fields. Conversations that exist
// keep the profile that they began with.
func (s *profiles) UpdateConversationProfile(_ context.Context, r *pb.UpdateConversationProfileRequest) (*pb.ConversationProfile, error) {
	old, err := s.find(r.GetConversationProfile().GetName())
	if err != nil {
		return nil, err
	}
	p, err := updated(s.Server, old, r.GetConversationProfile(), r.GetUpdateMask(), "name", "create_time", "update_time")
	if err != nil {
		return nil, err
	}
	p.UpdateTime = timestamppb.New(now())
	s.Server.profiles.put(p)
	return p, nil
}

// DeleteConversationProfile removes a profile.
func (s *profiles) DeleteConversationProfile(_ context.Context, r *pb.DeleteConversationProfileRequest) (*emptypb.Empty, error) {
	p, err := s.find(r.GetName())
	if err != nil {
		return nil, err
	}
	set := s.Server.profiles
	set.mu.Lock()
	defer set.mu.Unlock()
	delete(set.byName, p.GetName())
	set.order = slices.DeleteFunc(set.order, func(n string) bool { return n == p.GetName() })
	return &emptypb.Empty{}, nil
}
