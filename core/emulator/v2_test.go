package emulator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	dialogflowv2 "cloud.google.com/go/dialogflow/apiv2"
	v2 "cloud.google.com/go/dialogflow/apiv2/dialogflowpb"
	dialogflow "cloud.google.com/go/dialogflow/apiv2beta1"
	pb "cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// TestGoogleClientsOverTCP drives one conversation with Google's clients of both
// versions, as any program would: an endpoint and no credentials.
func TestGoogleClientsOverTCP(t *testing.T) {
	s, err := New(DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	served := make(chan error)
	go func() { served <- s.Serve(ctx, ln) }()
	defer func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	opts := []option.ClientOption{
		option.WithEndpoint(ln.Addr().String()),
		option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
	}
	convs, err := dialogflowv2.NewConversationsClient(ctx, opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = convs.Close() }()
	parts, err := dialogflowv2.NewParticipantsClient(ctx, opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = parts.Close() }()
	profiles, err := dialogflowv2.NewConversationProfilesClient(ctx, opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = profiles.Close() }()
	answers, err := dialogflowv2.NewAnswerRecordsClient(ctx, opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answers.Close() }()
	beta, err := dialogflow.NewParticipantsClient(ctx, opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = beta.Close() }()

	p, err := profiles.GetConversationProfile(ctx, &v2.GetConversationProfileRequest{Name: demoProfileName})
	if err != nil || len(p.GetHumanAgentAssistantConfig().GetHumanAgentSuggestionConfig().GetFeatureConfigs()) != 3 {
		t.Fatalf("GetConversationProfile = %v, %v", p, err)
	}
	c, err := convs.CreateConversation(ctx, &v2.CreateConversationRequest{Parent: parent, ConversationId: "CAboth",
		Conversation: &v2.Conversation{ConversationProfile: p.GetName(), ConversationStage: v2.Conversation_HUMAN_ASSIST_STAGE}})
	if err != nil {
		t.Fatal(err)
	}
	join := func(p *v2.Participant) (*v2.Participant, error) {
		return parts.CreateParticipant(ctx, &v2.CreateParticipantRequest{Parent: c.GetName(), Participant: p})
	}
	customer, err := join(&v2.Participant{Role: v2.Participant_END_USER, ObfuscatedExternalUserId: "ab12", SipRecordingMediaLabel: "1"})
	if err != nil || customer.GetSipRecordingMediaLabel() != "1" {
		t.Fatalf("CreateParticipant = %v, %v; want the label that only v2 has", customer, err)
	}
	_, err = join(&v2.Participant{Role: v2.Participant_HUMAN_AGENT, ObfuscatedExternalUserId: "ab12"})
	wantRule(t, err, codes.InvalidArgument, RuleUserIDRole)
	agent, err := join(&v2.Participant{Role: v2.Participant_HUMAN_AGENT})
	if err != nil {
		t.Fatal(err)
	}
	agent, err = parts.UpdateParticipant(ctx, &v2.UpdateParticipantRequest{UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"sip_recording_media_label"}},
		Participant: &v2.Participant{Name: agent.GetName(), SipRecordingMediaLabel: "2"}})
	if err != nil || agent.GetSipRecordingMediaLabel() != "2" {
		t.Errorf("UpdateParticipant = %v, %v", agent, err)
	}

	st, err := parts.StreamingAnalyzeContent(ctx)
	if err != nil {
		t.Fatal(err)
	}
	send := func(m *v2.StreamingAnalyzeContentRequest) {
		t.Helper()
		if err := st.Send(m); err != nil {
			t.Fatal(err)
		}
	}
	send(&v2.StreamingAnalyzeContentRequest{Participant: customer.GetName(), EnableExtendedStreaming: true, OutputMultipleUtterances: true,
		Config: &v2.StreamingAnalyzeContentRequest_AudioConfig{AudioConfig: &v2.InputAudioConfig{AudioEncoding: v2.AudioEncoding_AUDIO_ENCODING_MULAW, SampleRateHertz: 8000, DisableInterimInputTranscripts: proto.Bool(true)}}})
	for _, b := range [][]byte{tones("amber", "river"), silence(time.Second), blocks(1, 0, 100), silence(time.Second)} {
		send(&v2.StreamingAnalyzeContentRequest{Input: &v2.StreamingAnalyzeContentRequest_InputAudio{InputAudio: b}})
	}
	if err := st.CloseSend(); err != nil {
		t.Fatal(err)
	}
	var finals, said []string
	for {
		resp, err := st.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(resp.GetRecognitionResult().ProtoReflect().GetUnknown()) > 0 {
			t.Error("a v2 result carries fields that v2 does not know")
		}
		if resp.GetRecognitionResult().GetIsFinal() {
			finals = append(finals, resp.GetRecognitionResult().GetTranscript())
		}
		if res := resp.GetRecognitionResult(); res.GetMessageType() == v2.StreamingRecognitionResult_TRANSCRIPT && !res.GetIsFinal() {
			t.Errorf("an interim came that was not wanted: %v", res)
		}
		if m := resp.GetMessage(); m != nil {
			said = append(said, m.GetContent())
		}
	}
	if want := "[amber river blocks 0-49 50-99]"; fmt.Sprint(finals) != want || fmt.Sprint(said) != want {
		t.Errorf("finals %v, messages %v; want %s", finals, said, want)
	}

	text, err := parts.AnalyzeContent(ctx, &v2.AnalyzeContentRequest{Participant: customer.GetName(),
		Input: &v2.AnalyzeContentRequest_TextInput{TextInput: &v2.TextInput{Text: "my connection drops every few minutes", LanguageCode: "en"}}})
	if err != nil {
		t.Fatal(err)
	}
	record := text.GetHumanAgentSuggestionResults()[0].GetSuggestArticlesResponse().GetArticleAnswers()[0].GetAnswerRecord()
	a, err := answers.UpdateAnswerRecord(ctx, &v2.UpdateAnswerRecordRequest{UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"answer_feedback.clicked"}},
		AnswerRecord: &v2.AnswerRecord{Name: record, AnswerFeedback: &v2.AnswerFeedback{Clicked: true}}})
	if err != nil || !a.GetAnswerFeedback().GetClicked() || a.GetAgentAssistantRecord().GetArticleSuggestionAnswer() == nil || len(a.ProtoReflect().GetUnknown()) > 0 {
		t.Errorf("UpdateAnswerRecord = %v, %v", a, err)
	}
	clicked := 0
	for a, err := range answers.ListAnswerRecords(ctx, &v2.ListAnswerRecordsRequest{Parent: parent}).All() {
		if err != nil {
			t.Fatal(err)
		}
		if a.GetAnswerFeedback().GetClicked() {
			clicked++
		}
	}
	if clicked != 1 {
		t.Errorf("%d records are clicked; want 1", clicked)
	}

	// The same conversation through v2beta1.
	n := 0
	for p, err := range beta.ListParticipants(ctx, &pb.ListParticipantsRequest{Parent: c.GetName()}).All() {
		if n++; err != nil || p.GetRole() == pb.Participant_ROLE_UNSPECIFIED {
			t.Fatal(p, err)
		}
	}
	if n != 2 {
		t.Errorf("v2beta1 sees %d participants; want 2", n)
	}
	messages := 0
	for _, err := range convs.ListMessages(ctx, &v2.ListMessagesRequest{Parent: c.GetName()}).All() {
		if messages++; err != nil {
			t.Fatal(err)
		}
	}
	if messages != 3 {
		t.Errorf("%d messages; want 3", messages)
	}
	if c, err = convs.CompleteConversation(ctx, &v2.CompleteConversationRequest{Name: c.GetName()}); err != nil || c.GetLifecycleState() != v2.Conversation_COMPLETED {
		t.Errorf("CompleteConversation = %v, %v", c, err)
	}
	_, err = convs.GenerateSuggestions(ctx, &v2.GenerateSuggestionsRequest{Conversation: c.GetName()})
	if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "GenerateSuggestions") {
		t.Errorf("an RPC that is not offered: %v; want UNIMPLEMENTED and its name", err)
	}
}

// TestVersionsAreWireCompatible is what v2.go rests on: fields of one number have
// one name and type, but for the differences named here.
func TestVersionsAreWireCompatible(t *testing.T) {
	known := map[protoreflect.FullName]bool{
		"google.cloud.dialogflow.v2.HumanAgentAssistantConfig.SuggestionTriggerSettings.no_smalltalk": true, // a name alone
		"google.cloud.dialogflow.v2.AnswerRecord.answer_feedback":                                     true, // converted by hand
		"google.cloud.dialogflow.v2.AgentAssistantFeedback.SummarizationFeedback.start_time":          true, // a name alone
		"google.cloud.dialogflow.v2.AgentAssistantFeedback.SummarizationFeedback.submit_time":         true, // a name alone
	}
	seen := map[protoreflect.FullName]bool{}
	var compare func(a, b protoreflect.MessageDescriptor)
	compare = func(a, b protoreflect.MessageDescriptor) {
		if seen[a.FullName()] || !strings.HasPrefix(string(a.FullName()), "google.cloud.dialogflow.v2.") {
			return
		}
		seen[a.FullName()] = true
		for i := range a.Fields().Len() {
			f := a.Fields().Get(i)
			g := b.Fields().ByNumber(f.Number())
			if g == nil || known[f.FullName()] {
				continue // v2beta1 keeps what it does not know
			}
			if f.Name() != g.Name() || f.Kind() != g.Kind() || f.Cardinality() != g.Cardinality() {
				t.Errorf("%s is %v in v2 and %s %v in v2beta1", f.FullName(), f.Kind(), g.Name(), g.Kind())
			}
			if f.Message() != nil && g.Message() != nil {
				compare(f.Message(), g.Message())
			}
		}
		for i := range b.Fields().Len() {
			g := b.Fields().Get(i)
			if f := a.Fields().ByName(g.Name()); f != nil && f.Number() != g.Number() && !known[f.FullName()] {
				t.Errorf("%s has another number in v2beta1", f.FullName())
			}
		}
	}
	files := [][2]protoreflect.FileDescriptor{
		{v2.File_google_cloud_dialogflow_v2_conversation_proto, pb.File_google_cloud_dialogflow_v2beta1_conversation_proto},
		{v2.File_google_cloud_dialogflow_v2_participant_proto, pb.File_google_cloud_dialogflow_v2beta1_participant_proto},
		{v2.File_google_cloud_dialogflow_v2_conversation_profile_proto, pb.File_google_cloud_dialogflow_v2beta1_conversation_profile_proto},
		{v2.File_google_cloud_dialogflow_v2_answer_record_proto, pb.File_google_cloud_dialogflow_v2beta1_answer_record_proto},
	}
	for _, pair := range files {
		for i := range pair[0].Messages().Len() {
			m := pair[0].Messages().Get(i)
			if twin := pair[1].Messages().ByName(m.Name()); twin != nil {
				compare(m, twin)
			}
		}
	}
	if len(seen) < 80 {
		t.Errorf("compared %d messages; want all", len(seen))
	}
}
