package emulator

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	pb "cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"google.golang.org/api/iterator"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// TestUnaryRules breaks each rule of the unary calls, then once more with the
// rule switched off.
func TestUnaryRules(t *testing.T) {
	create := func(r *rig, parent, profile, id string) error {
		_, err := r.convs.CreateConversation(r.Context(), &pb.CreateConversationRequest{Parent: parent, ConversationId: id,
			Conversation: &pb.Conversation{ConversationProfile: profile}})
		return err
	}
	join := func(r *rig, p *pb.Participant) error {
		conv, _, _ := r.conversation("CAunary")
		_, err := r.parts.CreateParticipant(r.Context(), &pb.CreateParticipantRequest{Parent: conv, Participant: p})
		return err
	}
	for _, c := range []struct {
		name string
		rule Rule
		code codes.Code
		call func(r *rig) error
	}{
		{"other project", RuleProject, codes.PermissionDenied, func(r *rig) error {
			return create(r, "projects/other/locations/global", "projects/other/locations/global/conversationProfiles/demo", "")
		}},
		{"other location", RuleLocation, codes.InvalidArgument, func(r *rig) error {
			return create(r, "projects/local/locations/europe-west1", "projects/local/locations/europe-west1/conversationProfiles/demo", "")
		}},
		{"digit first", RuleConversationID, codes.InvalidArgument, func(r *rig) error { return create(r, parent, demoProfileName, "1abc") }},
		{"too short", RuleConversationID, codes.InvalidArgument, func(r *rig) error { return create(r, parent, demoProfileName, "ab") }},
		{"too long", RuleConversationID, codes.InvalidArgument, func(r *rig) error {
			return create(r, parent, demoProfileName, "a"+strings.Repeat("b", 64))
		}},
		{"no profile", RuleProfileExists, codes.InvalidArgument, func(r *rig) error { return create(r, parent, "", "abc") }},
		{"virtual agent", RuleStage, codes.InvalidArgument, func(r *rig) error {
			_, err := r.convs.CreateConversation(r.Context(), &pb.CreateConversationRequest{Parent: parent, Conversation: &pb.Conversation{
				ConversationProfile: demoProfileName, ConversationStage: pb.Conversation_VIRTUAL_AGENT_STAGE}})
			return err
		}},
		{"no role", RuleParticipantRole, codes.InvalidArgument, func(r *rig) error { return join(r, &pb.Participant{}) }},
		{"long user id", RuleUserID, codes.InvalidArgument, func(r *rig) error {
			return join(r, &pb.Participant{Role: pb.Participant_END_USER, ObfuscatedExternalUserId: strings.Repeat("x", 257)})
		}},
		{"no mask", RuleUpdateMask, codes.InvalidArgument, func(r *rig) error {
			_, customer, _ := r.conversation("CAunary")
			_, err := r.parts.UpdateParticipant(r.Context(), &pb.UpdateParticipantRequest{Participant: &pb.Participant{Name: customer, ObfuscatedExternalUserId: "x"}})
			return err
		}},
		{"big batch", RuleBatchSize, codes.InvalidArgument, func(r *rig) error {
			conv, customer, _ := r.conversation("CAunary")
			_, err := r.convs.BatchCreateMessages(r.Context(), batch(conv, customer, 301))
			return err
		}},
		{"long request id", RuleRequestID, codes.InvalidArgument, func(r *rig) error {
			_, customer, _ := r.conversation("CAunary")
			_, err := r.parts.AnalyzeContent(r.Context(), say(customer, "hello", strings.Repeat("x", 37)))
			return err
		}},
		{"big context", RuleContextSize, codes.InvalidArgument, func(r *rig) error {
			_, customer, _ := r.conversation("CAunary")
			_, err := r.parts.SuggestArticles(r.Context(), &pb.SuggestArticlesRequest{Parent: customer, ContextSize: 51})
			return err
		}},
		{"completed", RuleConversationOpen, codes.FailedPrecondition, func(r *rig) error {
			conv, customer, _ := r.conversation("CAunary")
			r.complete(conv)
			_, err := r.parts.AnalyzeContent(r.Context(), say(customer, "hello", ""))
			return err
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, nil, func(r *rig) { wantRule(r.T, c.call(r), c.code, c.rule) })
			inBubble(t, func(cfg *Config) { cfg.Off = []Rule{c.rule} }, func(r *rig) {
				if err := c.call(r); strings.Contains(fmt.Sprint(err), "[rule") {
					r.Errorf("with the rule off: %v", err)
				}
			})
		})
	}
}

func (r *rig) complete(conv string) *pb.Conversation {
	r.Helper()
	c, err := r.convs.CompleteConversation(r.Context(), &pb.CompleteConversationRequest{Name: conv})
	if err != nil {
		r.Fatal(err)
	}
	return c
}

func say(participant, text, requestID string) *pb.AnalyzeContentRequest {
	return &pb.AnalyzeContentRequest{Participant: participant, RequestId: requestID,
		Input: &pb.AnalyzeContentRequest_TextInput{TextInput: &pb.TextInput{Text: text, LanguageCode: "en"}}}
}

func batch(conv, participant string, n int) *pb.BatchCreateMessagesRequest {
	b := &pb.BatchCreateMessagesRequest{Parent: conv}
	for i := range n {
		b.Requests = append(b.Requests, &pb.CreateMessageRequest{Parent: conv, Message: &pb.Message{
			Content: fmt.Sprint("message ", i), Participant: participant, SendTime: timestamppb.New(time.Unix(int64(i), 0)),
		}})
	}
	return b
}

func TestConversationLife(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		conv, customer, _ := r.conversation("CAlife")
		again := &pb.CreateConversationRequest{Parent: parent, ConversationId: "CAlife", Conversation: &pb.Conversation{ConversationProfile: demoProfileName}}
		if _, err := r.convs.CreateConversation(r.Context(), again); status.Code(err) != codes.AlreadyExists {
			r.Errorf("the same id again: %v; want ALREADY_EXISTS", err)
		}
		again.ConversationId, again.Conversation.ConversationProfile = "CAother", parent+"/conversationProfiles/none"
		if _, err := r.convs.CreateConversation(r.Context(), again); status.Code(err) != codes.NotFound {
			r.Errorf("unknown profile: %v; want NOT_FOUND", err)
		}
		// The profile is frozen: a change shows in new conversations alone.
		if _, err := r.profiles.UpdateConversationProfile(r.Context(), &pb.UpdateConversationProfileRequest{
			ConversationProfile: &pb.ConversationProfile{Name: demoProfileName, DisplayName: "changed"},
			UpdateMask:          &fieldmaskpb.FieldMask{Paths: []string{"display_name"}},
		}); err != nil {
			r.Fatal(err)
		}
		c, err := r.convs.GetConversation(r.Context(), &pb.GetConversationRequest{Name: "projects/local/conversations/CAlife"})
		if err != nil || c.GetInitialConversationProfile().GetDisplayName() != "demo" || c.GetConversationStage() != pb.Conversation_HUMAN_ASSIST_STAGE ||
			c.GetLifecycleState() != pb.Conversation_IN_PROGRESS || c.GetName() != conv {
			r.Errorf("GetConversation by its short name = %v, %v", c, err)
		}
		ends := r.complete(conv).GetEndTime().AsTime()
		time.Sleep(time.Second)
		if c := r.complete(conv); c.GetLifecycleState() != pb.Conversation_COMPLETED || !c.GetEndTime().AsTime().Equal(ends) {
			r.Errorf("completed again: %v; want the first end %v", c, ends)
		}
		if _, err := r.parts.GetParticipant(r.Context(), &pb.GetParticipantRequest{Name: customer}); err != nil {
			r.Errorf("a completed conversation cannot be read: %v", err)
		}
		r.conversation("CArunning")
		for filter, want := range map[string]string{"": "CAlife CArunning", `lifecycle_state = "COMPLETED"`: "CAlife", "lifecycle_state = IN_PROGRESS": "CArunning"} {
			var got []string
			it := r.convs.ListConversations(r.Context(), &pb.ListConversationsRequest{Parent: parent, Filter: filter, PageSize: 1})
			for {
				c, err := it.Next()
				if errors.Is(err, iterator.Done) {
					break
				}
				if err != nil {
					r.Fatal(err)
				}
				got = append(got, c.GetName()[strings.LastIndex(c.GetName(), "/")+1:])
			}
			if strings.Join(got, " ") != want {
				r.Errorf("ListConversations(%q) = %v; want %s", filter, got, want)
			}
		}
	})
}

func TestConversationExpires(t *testing.T) {
	inBubble(t, func(cfg *Config) { cfg.Speed = 24 }, func(r *rig) {
		conv, _, _ := r.conversation("CAold")
		time.Sleep(time.Hour - time.Second)
		for _, want := range []pb.Conversation_LifecycleState{pb.Conversation_IN_PROGRESS, pb.Conversation_COMPLETED} {
			c, err := r.convs.GetConversation(r.Context(), &pb.GetConversationRequest{Name: conv})
			if err != nil || c.GetLifecycleState() != want {
				r.Errorf("state = %v, %v; want %v", c.GetLifecycleState(), err, want)
			}
			time.Sleep(2 * time.Second)
		}
	})
}

func TestPurge(t *testing.T) {
	inBubble(t, func(cfg *Config) { cfg.Limits.Completed, cfg.Limits.Live = 2, 3 }, func(r *rig) {
		var first string
		for i := range 5 {
			conv, _, _ := r.conversation(fmt.Sprint("CApurge", i))
			r.complete(conv)
			if i == 0 {
				first = conv
			}
		}
		r.conversation("CAlive1")
		if _, err := r.convs.GetConversation(r.Context(), &pb.GetConversationRequest{Name: first}); status.Code(err) != codes.NotFound {
			r.Errorf("the oldest completed conversation: %v; want NOT_FOUND", err)
		}
		if n := len(r.s.Account().Conversations); n != 3 {
			r.Errorf("%d conversations are kept; want 2 completed and 1 live", n)
		}
		r.conversation("CAlive2")
		r.conversation("CAlive3")
		_, err := r.convs.CreateConversation(r.Context(), &pb.CreateConversationRequest{Parent: parent, Conversation: &pb.Conversation{ConversationProfile: demoProfileName}})
		if status.Code(err) != codes.ResourceExhausted {
			r.Errorf("one conversation too many: %v; want RESOURCE_EXHAUSTED", err)
		}
	})
}

func TestParticipants(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		conv, customer, agent := r.conversation("CAparts")
		var names []string
		for p, err := range r.parts.ListParticipants(r.Context(), &pb.ListParticipantsRequest{Parent: conv}).All() {
			if err != nil {
				r.Fatal(err)
			}
			names = append(names, p.GetName())
		}
		if strings.Join(names, " ") != customer+" "+agent {
			r.Errorf("ListParticipants = %v", names)
		}
		update := func(path string, p *pb.Participant) (*pb.Participant, error) {
			p.Name = agent
			return r.parts.UpdateParticipant(r.Context(), &pb.UpdateParticipantRequest{Participant: p, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{path}}})
		}
		p, err := update("agent_desktop_source", &pb.Participant{AgentDesktopSource: pb.Participant_TWILIO, ObfuscatedExternalUserId: "not in the mask"})
		if err != nil || p.GetAgentDesktopSource() != pb.Participant_TWILIO || p.GetObfuscatedExternalUserId() != "" || p.GetRole() != pb.Participant_HUMAN_AGENT {
			r.Errorf("UpdateParticipant = %v, %v", p, err)
		}
		for _, path := range []string{"role", "name", "nonsense", "documents_metadata_filters.x"} {
			if _, err := update(path, &pb.Participant{Role: pb.Participant_END_USER}); status.Code(err) != codes.InvalidArgument {
				r.Errorf("mask %s: %v; want INVALID_ARGUMENT", path, err)
			}
		}
	})
}

func TestMessages(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		conv, customer, _ := r.conversation("CAmsg")
		for range 2 { // the second time all are duplicates
			resp, err := r.convs.BatchCreateMessages(r.Context(), batch(conv, customer, 250))
			if err != nil {
				r.Fatal(err)
			}
			if n := len(resp.GetMessages()); n != 250 && n != 0 {
				r.Errorf("%d messages were created; want 250, then none", n)
			}
		}
		time.Sleep(time.Minute)
		middle := time.Now()
		time.Sleep(time.Minute)
		if _, err := r.parts.AnalyzeContent(r.Context(), say(customer, "the last one", "")); err != nil {
			r.Fatal(err)
		}
		list := r.messages(conv)
		if len(list) != 251 || list[0].GetContent() != "the last one" || list[250].GetContent() != "message 0" ||
			list[0].GetParticipant() != "p-1" || list[0].GetParticipantRole() != pb.Participant_END_USER {
			r.Errorf("%d messages, first %v", len(list), list[0])
		}
		for filter, want := range map[string]int{
			fmt.Sprintf("create_time > %q", middle.Format(time.RFC3339Nano)):                     1,
			fmt.Sprintf("create_time_epoch_microseconds <= %d", middle.UnixMicro()):              250,
			fmt.Sprintf("create_time > %q AND create_time < %[1]q", middle.Format(time.RFC3339)): 0,
		} {
			n := 0
			for _, err := range r.convs.ListMessages(r.Context(), &pb.ListMessagesRequest{Parent: conv, Filter: filter, PageSize: 7}).All() {
				if err != nil {
					r.Fatal(err)
				}
				n++
			}
			if n != want {
				r.Errorf("ListMessages(%s) gave %d; want %d", filter, n, want)
			}
		}
		for _, filter := range []string{"content = x", "create_time", "create_time > yesterday", "create_time_epoch_microseconds > x"} {
			if _, err := r.convs.ListMessages(r.Context(), &pb.ListMessagesRequest{Parent: conv, Filter: filter}).Next(); status.Code(err) != codes.InvalidArgument {
				r.Errorf("filter %q: %v; want INVALID_ARGUMENT", filter, err)
			}
		}
	})
}

func TestAnalyzeContent(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		conv, customer, agent := r.conversation("CAanalyze")
		resp, err := r.parts.AnalyzeContent(r.Context(), say(customer, "My internet connection drops every few minutes", "id-1"))
		if err != nil {
			r.Fatal(err)
		}
		results := resp.GetHumanAgentSuggestionResults()
		if len(results) != 3 || len(results[0].GetSuggestArticlesResponse().GetArticleAnswers()) == 0 ||
			len(results[1].GetSuggestFaqAnswersResponse().GetFaqAnswers()) == 0 || len(results[2].GetSuggestSmartRepliesResponse().GetSmartReplyAnswers()) == 0 {
			r.Errorf("suggestions = %v; want articles, FAQ answers and replies in this order", results)
		}
		again, err := r.parts.AnalyzeContent(r.Context(), say(customer, "My internet connection drops every few minutes", "id-1"))
		if err != nil || again.GetMessage().GetName() != resp.GetMessage().GetName() || len(r.messages(conv)) != 1 {
			r.Errorf("the same request id again: %v, %v", again.GetMessage(), err)
		}
		if resp, err := r.parts.AnalyzeContent(r.Context(), say(agent, "The connection drops, you say", "")); err != nil || len(resp.GetHumanAgentSuggestionResults()) != 0 {
			r.Errorf("an agent's message: %v, %v; want no suggestions", resp, err)
		}
		articles, err := r.parts.SuggestArticles(r.Context(), &pb.SuggestArticlesRequest{Parent: agent})
		if err != nil || len(articles.GetArticleAnswers()) == 0 || articles.GetContextSize() != 2 || articles.GetLatestMessage() == "" {
			r.Errorf("SuggestArticles = %v, %v", articles, err)
		}
		if faqs, err := r.parts.SuggestFaqAnswers(r.Context(), &pb.SuggestFaqAnswersRequest{Parent: agent, LatestMessage: resp.GetMessage().GetName()}); err != nil || len(faqs.GetFaqAnswers()) == 0 || faqs.GetContextSize() != 1 {
			r.Errorf("SuggestFaqAnswers = %v, %v", faqs, err)
		}
		if replies, err := r.parts.SuggestSmartReplies(r.Context(), &pb.SuggestSmartRepliesRequest{Parent: agent, CurrentTextInput: &pb.TextInput{Text: "about a technician"}}); err != nil || len(replies.GetSmartReplyAnswers()) == 0 {
			r.Errorf("SuggestSmartReplies = %v, %v", replies, err)
		}
		if _, err := r.parts.SuggestKnowledgeAssist(r.Context(), &pb.SuggestKnowledgeAssistRequest{Parent: agent}); status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "SuggestKnowledgeAssist") {
			r.Errorf("an RPC that is not offered: %v; want UNIMPLEMENTED and its name", err)
		}
	})
}

func TestFeedback(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		_, customer, _ := r.conversation("CAfeedback")
		resp, err := r.parts.AnalyzeContent(r.Context(), say(customer, "My internet connection drops every few minutes", ""))
		if err != nil {
			r.Fatal(err)
		}
		name := resp.GetHumanAgentSuggestionResults()[0].GetSuggestArticlesResponse().GetArticleAnswers()[0].GetAnswerRecord()
		a, err := r.answers.UpdateAnswerRecord(r.Context(), &pb.UpdateAnswerRecordRequest{
			AnswerRecord: &pb.AnswerRecord{Name: name, AnswerFeedback: &pb.AnswerFeedback{
				Displayed: true,
				DetailFeedback: &pb.AnswerFeedback_AgentAssistantDetailFeedback{AgentAssistantDetailFeedback: &pb.AgentAssistantFeedback{
					KnowledgeSearchFeedback: &pb.AgentAssistantFeedback_KnowledgeSearchFeedback{AnswerCopied: true},
				}},
			}},
			UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"answer_feedback"}},
		})
		if err != nil || !a.GetAnswerFeedback().GetDisplayed() || !a.GetAnswerFeedback().GetClicked() {
			r.Errorf("UpdateAnswerRecord = %v, %v; want displayed, and clicked because it was copied", a, err)
		}
		n := 0
		for a, err := range r.answers.ListAnswerRecords(r.Context(), &pb.ListAnswerRecordsRequest{Parent: parent}).All() {
			if err != nil {
				r.Fatal(err)
			}
			if n++; a.GetName() == name && (!a.GetAnswerFeedback().GetClicked() || a.GetAgentAssistantRecord().GetArticleSuggestionAnswer().GetTitle() == "") {
				r.Errorf("the listed record lacks answer or feedback: %v", a)
			}
		}
		if n < 3 {
			r.Errorf("%d answer records; want one for each answer", n)
		}
	})
}

// TestProfileFeatures: triggers, thresholds, grouping and a feature that fails.
func TestProfileFeatures(t *testing.T) {
	type config = pb.HumanAgentAssistantConfig_SuggestionFeatureConfig
	feature := func(t pb.SuggestionFeature_Type, e pb.TriggerEvent) *config {
		return &config{SuggestionFeature: &pb.SuggestionFeature{Type: t}, SuggestionTriggerEvent: e}
	}
	inBubble(t, nil, func(r *rig) {
		p, err := r.profiles.CreateConversationProfile(r.Context(), &pb.CreateConversationProfileRequest{Parent: parent, ConversationProfile: &pb.ConversationProfile{
			DisplayName: "special",
			HumanAgentAssistantConfig: &pb.HumanAgentAssistantConfig{
				HumanAgentSuggestionConfig: &pb.HumanAgentAssistantConfig_SuggestionConfig{GroupSuggestionResponses: true, FeatureConfigs: []*config{
					feature(pb.SuggestionFeature_KNOWLEDGE_ASSIST, pb.TriggerEvent_END_OF_UTTERANCE),
					feature(pb.SuggestionFeature_FAQ, pb.TriggerEvent_AGENT_MESSAGE),
					feature(pb.SuggestionFeature_SMART_REPLY, pb.TriggerEvent_MANUAL_CALL),
				}},
				EndUserSuggestionConfig: &pb.HumanAgentAssistantConfig_SuggestionConfig{FeatureConfigs: []*config{{
					SuggestionFeature:         &pb.SuggestionFeature{Type: pb.SuggestionFeature_ARTICLE_SUGGESTION},
					SuggestionTriggerSettings: &pb.HumanAgentAssistantConfig_SuggestionTriggerSettings{NoSmallTalk: true, OnlyEndUser: true},
					QueryConfig:               &pb.HumanAgentAssistantConfig_SuggestionQueryConfig{ConfidenceThreshold: 0.99},
				}}},
			},
		}})
		if err != nil {
			r.Fatal(err)
		}
		c, err := r.convs.CreateConversation(r.Context(), &pb.CreateConversationRequest{Parent: parent, Conversation: &pb.Conversation{ConversationProfile: p.GetName()}})
		if err != nil {
			r.Fatal(err)
		}
		customer, agent := r.join(c.GetName(), pb.Participant_END_USER), r.join(c.GetName(), pb.Participant_HUMAN_AGENT)
		for _, tc := range []struct {
			who, text      string
			human, endUser int
		}{
			{customer, "my connection drops every few minutes", 1, 1},
			{customer, "oh yes", 1, 0},
			{agent, "does your connection drop every few minutes", 2, 0},
		} {
			resp, err := r.parts.AnalyzeContent(r.Context(), say(tc.who, tc.text, ""))
			if err != nil {
				r.Fatal(err)
			}
			human, endUser := resp.GetHumanAgentSuggestionResults(), resp.GetEndUserSuggestionResults()
			if len(human) != tc.human || len(endUser) != tc.endUser {
				r.Errorf("%q: %v, %v; want %d and %d results", tc.text, human, endUser, tc.human, tc.endUser)
				continue
			}
			if e := human[0].GetError(); e.GetCode() != int32(codes.Unimplemented) || !strings.Contains(e.GetMessage(), "KNOWLEDGE_ASSIST") {
				r.Errorf("%q: the feature that the emulator lacks gave %v", tc.text, human[0])
			}
			if tc.endUser > 0 && len(endUser[0].GetSuggestArticlesResponse().GetArticleAnswers()) != 0 {
				r.Errorf("%q: answers below the threshold: %v", tc.text, endUser[0])
			}
		}
		st := r.open(extended(agent), audio(tones("amber", "river")), audio(silence(time.Second)))
		if err := st.end(); err != nil || len(st.got[len(st.got)-1].GetHumanAgentSuggestionResults()) != 2 {
			r.Errorf("grouped suggestions: %v, %v", st.kinds(), err)
		}
		if _, err := r.parts.SuggestFaqAnswers(r.Context(), &pb.SuggestFaqAnswersRequest{Parent: customer}); err != nil {
			r.Errorf("SuggestFaqAnswers: %v", err)
		}
		err = r.profiles.DeleteConversationProfile(r.Context(), &pb.DeleteConversationProfileRequest{Name: p.GetName()})
		if _, gone := r.profiles.GetConversationProfile(r.Context(), &pb.GetConversationProfileRequest{Name: p.GetName()}); err != nil || status.Code(gone) != codes.NotFound {
			r.Errorf("delete: %v; then get: %v", err, gone)
		}
		n := 0
		for _, err := range r.profiles.ListConversationProfiles(r.Context(), &pb.ListConversationProfilesRequest{Parent: parent}).All() {
			if n++; err != nil {
				r.Fatal(err)
			}
		}
		if n != 1 {
			r.Errorf("%d profiles are left; want demo alone", n)
		}
	})
	inBubble(t, nil, func(r *rig) {
		_, err := r.profiles.UpdateConversationProfile(r.Context(), &pb.UpdateConversationProfileRequest{
			ConversationProfile: &pb.ConversationProfile{Name: demoProfileName}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"human_agent_assistant_config"}}})
		if err != nil {
			r.Fatal(err)
		}
		_, customer, _ := r.conversation("CAbare")
		_, err = r.parts.SuggestArticles(r.Context(), &pb.SuggestArticlesRequest{Parent: customer})
		wantRule(r.T, err, codes.FailedPrecondition, RuleFeature)
	})
}

func TestContextReferences(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		conv, _, _ := r.conversation("CAcontext")
		for i, mode := range []pb.Conversation_ContextReference_UpdateMode{pb.Conversation_ContextReference_APPEND, pb.Conversation_ContextReference_APPEND, pb.Conversation_ContextReference_OVERWRITE} {
			resp, err := r.convs.IngestContextReferences(r.Context(), &pb.IngestContextReferencesRequest{Conversation: conv, ContextReferences: map[string]*pb.Conversation_ContextReference{
				"crm": {UpdateMode: mode, ContextContents: []*pb.Conversation_ContextReference_ContextContent{{Content: "{}", ContentFormat: pb.Conversation_ContextReference_ContextContent_JSON}}},
			}})
			if err != nil {
				r.Fatal(err)
			}
			if got, want := len(resp.GetIngestedContextReferences()["crm"].GetContextContents()), []int{1, 2, 1}[i]; got != want {
				r.Errorf("after %v there are %d contents; want %d", mode, got, want)
			}
		}
	})
}

func TestQuotas(t *testing.T) {
	small := func(cfg *Config) {
		cfg.Limits.StreamStarts, cfg.Limits.ChirpStarts, cfg.Limits.BidiStreams, cfg.Speed = 3, 1, 1, 10
	}
	inBubble(t, small, func(r *rig) {
		_, customer, agent := r.conversation("CAquota")
		for i := range 5 {
			_, err := r.parts.AnalyzeContent(r.Context(), say(customer, "hello", ""))
			if want := map[bool]codes.Code{true: codes.OK, false: codes.ResourceExhausted}[i < 3]; status.Code(err) != want {
				r.Errorf("request %d: %v; want %v", i, err, want)
			}
		}
		time.Sleep(6*time.Second - time.Millisecond) // almost a minute, at ten times real time
		if err := r.open(config(customer)).end(); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "[quota stream-starts]") {
			r.Errorf("a stream on top: %v; want RESOURCE_EXHAUSTED and quota stream-starts", err)
		}
		time.Sleep(time.Millisecond)
		chirp := config(customer)
		chirp.GetAudioConfig().Model = chirpModel
		if err := r.open(chirp).end(); err != nil {
			r.Errorf("in the next window: %v", err)
		}
		for range 3 { // refused ones are not charged to the other quota
			if err := r.open(chirp).end(); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "[quota chirp-starts]") {
				r.Errorf("a second chirp stream: %v; want RESOURCE_EXHAUSTED and quota chirp-starts", err)
			}
		}
		if err := r.open(config(customer)).end(); err != nil {
			r.Errorf("a stream beside the chirp streams: %v", err)
		}
		first := r.bidi(customer, nil)
		synctest.Wait()
		if err := r.bidi(agent, nil).end(); status.Code(err) != codes.ResourceExhausted {
			r.Errorf("a second bidi stream: %v; want RESOURCE_EXHAUSTED", err)
		}
		if err := first.end(); err != nil {
			r.Errorf("the first bidi stream: %v", err)
		}
		if err := r.bidi(agent, nil).end(); err != nil {
			r.Errorf("a bidi stream after the first ended: %v", err)
		}
	})
	inBubble(t, func(cfg *Config) { small(cfg); cfg.Quotas = false }, func(r *rig) {
		_, customer, _ := r.conversation("CAquota")
		for range 10 {
			if _, err := r.parts.AnalyzeContent(r.Context(), say(customer, "hello", "")); err != nil {
				r.Fatal(err)
			}
		}
	})
}
