package emulator

import (
	"context"
	"sync/atomic"

	v2 "cloud.google.com/go/dialogflow/apiv2/dialogflowpb"
	pb "cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
)

// The v2 services are the v2beta1 ones behind a conversion. The messages of both
// versions share their field numbers, with one exception: AnswerRecord keeps its
// feedback in field 2 in v2 and in field 3 in v2beta1. What v2beta1 does not know
// travels through it as unknown fields (sip_recording_media_label); what v2 does
// not know is dropped (stability).

// convert copies a message into its twin of the other version.
func convert(dst, src proto.Message) error {
	b, err := proto.Marshal(src)
	if err != nil {
		return invalid("unreadable message: %v", err)
	}
	toV2 := dst.ProtoReflect().Descriptor().ParentFile().Package() == "google.cloud.dialogflow.v2"
	if err := (proto.UnmarshalOptions{DiscardUnknown: toV2}).Unmarshal(b, dst); err != nil {
		return invalid("unreadable message: %v", err)
	}
	return nil
}

// relay converts a request, calls the implementation and converts its answer.
func relay[Req, Resp, Out proto.Message](ctx context.Context, in proto.Message, req Req, call func(context.Context, Req) (Resp, error), out Out) (Out, error) {
	var none Out
	if err := convert(req, in); err != nil {
		return none, err
	}
	resp, err := call(ctx, req)
	if err != nil {
		return none, err
	}
	if err := convert(out, resp); err != nil {
		return none, err
	}
	return out, nil
}

// conversationsV2 serves google.cloud.dialogflow.v2.Conversations.
type conversationsV2 struct {
	v2.UnimplementedConversationsServer
	core conversations
}

func (s *conversationsV2) CreateConversation(ctx context.Context, r *v2.CreateConversationRequest) (*v2.Conversation, error) {
	return relay(ctx, r, &pb.CreateConversationRequest{}, s.core.CreateConversation, &v2.Conversation{})
}

func (s *conversationsV2) GetConversation(ctx context.Context, r *v2.GetConversationRequest) (*v2.Conversation, error) {
	return relay(ctx, r, &pb.GetConversationRequest{}, s.core.GetConversation, &v2.Conversation{})
}

func (s *conversationsV2) ListConversations(ctx context.Context, r *v2.ListConversationsRequest) (*v2.ListConversationsResponse, error) {
	return relay(ctx, r, &pb.ListConversationsRequest{}, s.core.ListConversations, &v2.ListConversationsResponse{})
}

func (s *conversationsV2) CompleteConversation(ctx context.Context, r *v2.CompleteConversationRequest) (*v2.Conversation, error) {
	return relay(ctx, r, &pb.CompleteConversationRequest{}, s.core.CompleteConversation, &v2.Conversation{})
}

func (s *conversationsV2) IngestContextReferences(ctx context.Context, r *v2.IngestContextReferencesRequest) (*v2.IngestContextReferencesResponse, error) {
	return relay(ctx, r, &pb.IngestContextReferencesRequest{}, s.core.IngestContextReferences, &v2.IngestContextReferencesResponse{})
}

func (s *conversationsV2) ListMessages(ctx context.Context, r *v2.ListMessagesRequest) (*v2.ListMessagesResponse, error) {
	return relay(ctx, r, &pb.ListMessagesRequest{}, s.core.ListMessages, &v2.ListMessagesResponse{})
}

// participantsV2 serves google.cloud.dialogflow.v2.Participants.
type participantsV2 struct {
	v2.UnimplementedParticipantsServer
	core participants
}

// userIDRole is v2's rule that only customers have a user id.
func (s *participantsV2) userIDRole(role v2.Participant_Role, id string) error {
	return s.core.rule(RuleUserIDRole, id == "" || role == v2.Participant_END_USER, codes.InvalidArgument,
		"obfuscated_external_user_id is for END_USER participants in v2; this one is %v", role)
}

func (s *participantsV2) CreateParticipant(ctx context.Context, r *v2.CreateParticipantRequest) (*v2.Participant, error) {
	if err := s.userIDRole(r.GetParticipant().GetRole(), r.GetParticipant().GetObfuscatedExternalUserId()); err != nil {
		return nil, err
	}
	return relay(ctx, r, &pb.CreateParticipantRequest{}, s.core.CreateParticipant, &v2.Participant{})
}

func (s *participantsV2) GetParticipant(ctx context.Context, r *v2.GetParticipantRequest) (*v2.Participant, error) {
	return relay(ctx, r, &pb.GetParticipantRequest{}, s.core.GetParticipant, &v2.Participant{})
}

func (s *participantsV2) ListParticipants(ctx context.Context, r *v2.ListParticipantsRequest) (*v2.ListParticipantsResponse, error) {
	return relay(ctx, r, &pb.ListParticipantsRequest{}, s.core.ListParticipants, &v2.ListParticipantsResponse{})
}

func (s *participantsV2) UpdateParticipant(ctx context.Context, r *v2.UpdateParticipantRequest) (*v2.Participant, error) {
	p, err := s.core.participant(r.GetParticipant().GetName())
	if err != nil {
		return nil, err
	}
	if err := s.userIDRole(v2.Participant_Role(p.role), r.GetParticipant().GetObfuscatedExternalUserId()); err != nil {
		return nil, err
	}
	return relay(ctx, r, &pb.UpdateParticipantRequest{}, s.core.UpdateParticipant, &v2.Participant{})
}

func (s *participantsV2) AnalyzeContent(ctx context.Context, r *v2.AnalyzeContentRequest) (*v2.AnalyzeContentResponse, error) {
	return relay(ctx, r, &pb.AnalyzeContentRequest{}, s.core.AnalyzeContent, &v2.AnalyzeContentResponse{})
}

func (s *participantsV2) SuggestArticles(ctx context.Context, r *v2.SuggestArticlesRequest) (*v2.SuggestArticlesResponse, error) {
	return relay(ctx, r, &pb.SuggestArticlesRequest{}, s.core.SuggestArticles, &v2.SuggestArticlesResponse{})
}

func (s *participantsV2) SuggestFaqAnswers(ctx context.Context, r *v2.SuggestFaqAnswersRequest) (*v2.SuggestFaqAnswersResponse, error) {
	return relay(ctx, r, &pb.SuggestFaqAnswersRequest{}, s.core.SuggestFaqAnswers, &v2.SuggestFaqAnswersResponse{})
}

func (s *participantsV2) SuggestSmartReplies(ctx context.Context, r *v2.SuggestSmartRepliesRequest) (*v2.SuggestSmartRepliesResponse, error) {
	return relay(ctx, r, &pb.SuggestSmartRepliesRequest{}, s.core.SuggestSmartReplies, &v2.SuggestSmartRepliesResponse{})
}

func (s *participantsV2) StreamingAnalyzeContent(stream v2.Participants_StreamingAnalyzeContentServer) error {
	return s.core.streamingAnalyze(&analyzeStreamV2{Participants_StreamingAnalyzeContentServer: stream})
}

func (s *participantsV2) BidiStreamingAnalyzeContent(stream v2.Participants_BidiStreamingAnalyzeContentServer) error {
	return s.core.bidiAnalyze(bidiStreamV2{stream})
}

// analyzeStreamV2 shows a v2 stream as one of v2beta1.
type analyzeStreamV2 struct {
	v2.Participants_StreamingAnalyzeContentServer
	finalsOnly atomic.Bool // disable_interim_input_transcripts, which v2beta1 lacks
}

func (s *analyzeStreamV2) Recv() (*pb.StreamingAnalyzeContentRequest, error) {
	r, err := s.Participants_StreamingAnalyzeContentServer.Recv()
	if err != nil {
		return nil, err
	}
	if a := r.GetAudioConfig(); a != nil {
		s.finalsOnly.Store(a.GetDisableInterimInputTranscripts())
	}
	out := &pb.StreamingAnalyzeContentRequest{}
	return out, convert(out, r)
}

func (s *analyzeStreamV2) Send(r *pb.StreamingAnalyzeContentResponse) error {
	if res := r.GetRecognitionResult(); s.finalsOnly.Load() && res.GetMessageType() == pb.StreamingRecognitionResult_TRANSCRIPT && !res.GetIsFinal() {
		return nil
	}
	out := &v2.StreamingAnalyzeContentResponse{}
	if err := convert(out, r); err != nil {
		return err
	}
	return s.Participants_StreamingAnalyzeContentServer.Send(out)
}

// bidiStreamV2 shows a v2 stream as one of v2beta1.
type bidiStreamV2 struct {
	v2.Participants_BidiStreamingAnalyzeContentServer
}

func (s bidiStreamV2) Recv() (*pb.BidiStreamingAnalyzeContentRequest, error) {
	r, err := s.Participants_BidiStreamingAnalyzeContentServer.Recv()
	if err != nil {
		return nil, err
	}
	out := &pb.BidiStreamingAnalyzeContentRequest{}
	return out, convert(out, r)
}

func (s bidiStreamV2) Send(r *pb.BidiStreamingAnalyzeContentResponse) error {
	out := &v2.BidiStreamingAnalyzeContentResponse{}
	if err := convert(out, r); err != nil {
		return err
	}
	return s.Participants_BidiStreamingAnalyzeContentServer.Send(out)
}

// profilesV2 serves google.cloud.dialogflow.v2.ConversationProfiles.
type profilesV2 struct {
	v2.UnimplementedConversationProfilesServer
	core profiles
}

func (s *profilesV2) GetConversationProfile(ctx context.Context, r *v2.GetConversationProfileRequest) (*v2.ConversationProfile, error) {
	return relay(ctx, r, &pb.GetConversationProfileRequest{}, s.core.GetConversationProfile, &v2.ConversationProfile{})
}

func (s *profilesV2) ListConversationProfiles(ctx context.Context, r *v2.ListConversationProfilesRequest) (*v2.ListConversationProfilesResponse, error) {
	return relay(ctx, r, &pb.ListConversationProfilesRequest{}, s.core.ListConversationProfiles, &v2.ListConversationProfilesResponse{})
}

func (s *profilesV2) CreateConversationProfile(ctx context.Context, r *v2.CreateConversationProfileRequest) (*v2.ConversationProfile, error) {
	return relay(ctx, r, &pb.CreateConversationProfileRequest{}, s.core.CreateConversationProfile, &v2.ConversationProfile{})
}

func (s *profilesV2) UpdateConversationProfile(ctx context.Context, r *v2.UpdateConversationProfileRequest) (*v2.ConversationProfile, error) {
	return relay(ctx, r, &pb.UpdateConversationProfileRequest{}, s.core.UpdateConversationProfile, &v2.ConversationProfile{})
}

func (s *profilesV2) DeleteConversationProfile(ctx context.Context, r *v2.DeleteConversationProfileRequest) (*emptypb.Empty, error) {
	return relay(ctx, r, &pb.DeleteConversationProfileRequest{}, s.core.DeleteConversationProfile, &emptypb.Empty{})
}

// answersV2 serves google.cloud.dialogflow.v2.AnswerRecords.
type answersV2 struct {
	v2.UnimplementedAnswerRecordsServer
	core answers
}

func (s *answersV2) ListAnswerRecords(ctx context.Context, r *v2.ListAnswerRecordsRequest) (*v2.ListAnswerRecordsResponse, error) {
	req := &pb.ListAnswerRecordsRequest{}
	if err := convert(req, r); err != nil {
		return nil, err
	}
	resp, err := s.core.ListAnswerRecords(ctx, req)
	if err != nil {
		return nil, err
	}
	out := &v2.ListAnswerRecordsResponse{NextPageToken: resp.GetNextPageToken()}
	for _, a := range resp.GetAnswerRecords() {
		converted, err := answerToV2(a)
		if err != nil {
			return nil, err
		}
		out.AnswerRecords = append(out.AnswerRecords, converted)
	}
	return out, nil
}

func (s *answersV2) UpdateAnswerRecord(ctx context.Context, r *v2.UpdateAnswerRecordRequest) (*v2.AnswerRecord, error) {
	feedback := &pb.AnswerFeedback{}
	if err := convert(feedback, r.GetAnswerRecord().GetAnswerFeedback()); err != nil {
		return nil, err
	}
	resp, err := s.core.UpdateAnswerRecord(ctx, &pb.UpdateAnswerRecordRequest{
		AnswerRecord: &pb.AnswerRecord{Name: r.GetAnswerRecord().GetName(), AnswerFeedback: feedback}, UpdateMask: r.GetUpdateMask(),
	})
	if err != nil {
		return nil, err
	}
	return answerToV2(resp)
}

// answerToV2 moves the feedback to where v2 has it.
func answerToV2(a *pb.AnswerRecord) (*v2.AnswerRecord, error) {
	out := &v2.AnswerRecord{}
	if err := convert(out, a); err != nil {
		return nil, err
	}
	if a.GetAnswerFeedback() == nil {
		return out, nil
	}
	out.AnswerFeedback = &v2.AnswerFeedback{}
	return out, convert(out.AnswerFeedback, a.GetAnswerFeedback())
}
