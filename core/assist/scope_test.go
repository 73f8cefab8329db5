package assist

import (
	"slices"
	"strings"
	"testing"

	v2 "cloud.google.com/go/dialogflow/apiv2/dialogflowpb"
	pb "cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

func TestAllows(t *testing.T) {
	const beta, stable = "/google.cloud.dialogflow.v2beta1.", "/google.cloud.dialogflow.v2."
	for _, c := range []struct {
		list []string
		full string
		want bool
	}{
		{nil, beta + "Participants/AnalyzeContent", false},
		{[]string{"calls"}, beta + "Participants/StreamingAnalyzeContent", true},
		{[]string{"calls"}, stable + "AnswerRecords/UpdateAnswerRecord", true},
		{[]string{"calls"}, stable + "ConversationProfiles/GetConversationProfile", true},
		{[]string{"calls"}, stable + "ConversationProfiles/DeleteConversationProfile", false},
		{[]string{"calls"}, stable + "ConversationProfiles/SetSuggestionFeatureConfig", false},
		{[]string{"all"}, stable + "ConversationProfiles/DeleteConversationProfile", true},
		{[]string{"all"}, stable + "Agents/GetAgent", false},
		{[]string{"all"}, "/google.cloud.dialogflow.cx.v3.Agents/GetAgent", false},
		{[]string{"all"}, "/google.cloud.dialogflow.v2.Participants", true}, // ReadUnary knows no such method
		{[]string{"Participants"}, stable + "Participants/ListParticipants", true},
		{[]string{"Participants"}, stable + "Conversations/ListMessages", false},
		{[]string{"CreateParticipant"}, stable + "Participants/CreateParticipant", true},
		{[]string{"Participants/CreateParticipant"}, stable + "Participants/CreateParticipant", true},
		{[]string{"Conversations/CreateParticipant"}, stable + "Participants/CreateParticipant", false},
	} {
		if got := Allows(c.list, c.full); got != c.want {
			t.Errorf("Allows(%q, %s) = %t; want %t", c.list, c.full, got, c.want)
		}
	}
}

func TestRelays(t *testing.T) {
	for entry, want := range map[string]bool{
		"calls": true, "all": true, "Participants": true, "CreateParticipant": true, "Participants/CreateParticipant": true, "BatchCreateMessages": true,
		"CreateParticipants": false, "Conversations/CreateParticipant": false, "participants": false, "Agents": false, "": false,
	} {
		if got := Relays(entry); got != want {
			t.Errorf("Relays(%q) = %t; want %t", entry, got, want)
		}
	}
}

func TestReadUnary(t *testing.T) {
	const parent = "projects/p/locations/eu"
	for name, c := range map[string]struct {
		method  string
		request proto.Message
		names   []string
		routing string
	}{
		"by its parent": {"v2.Participants/CreateParticipant", &v2.CreateParticipantRequest{Parent: parent + "/conversations/c"},
			[]string{parent + "/conversations/c"}, "parent=projects%2Fp%2Flocations%2Feu%2Fconversations%2Fc"},
		"deep within": {"v2beta1.Conversations/CreateConversation", &pb.CreateConversationRequest{Parent: parent, Conversation: &pb.Conversation{ConversationProfile: "projects/other/conversationProfiles/x"}},
			[]string{parent, "projects/other/conversationProfiles/x"}, "parent=projects%2Fp%2Flocations%2Feu"},
		"in a nested path": {"v2.Participants/UpdateParticipant", &v2.UpdateParticipantRequest{Participant: &v2.Participant{Name: parent + "/conversations/c/participants/x"}},
			[]string{parent + "/conversations/c/participants/x"}, "participant.name=projects%2Fp%2Flocations%2Feu%2Fconversations%2Fc%2Fparticipants%2Fx"},
		"in a list": {"v2beta1.Conversations/BatchCreateMessages", &pb.BatchCreateMessagesRequest{Parent: parent, Requests: []*pb.CreateMessageRequest{{Parent: "projects/q/conversations/c"}}},
			[]string{parent, "projects/q/conversations/c"}, "parent=projects%2Fp%2Flocations%2Feu"},
		"in a map": {"v2beta1.Participants/AnalyzeContent", &pb.AnalyzeContentRequest{Participant: parent, AssistQueryParams: &pb.AssistQueryParameters{
			DocumentsMetadataFilters: map[string]string{"projects/k": "projects/v"}}}, []string{parent, "projects/k", "projects/v"}, "participant=projects%2Fp%2Flocations%2Feu"},
		"in a struct": {"v2.Participants/AnalyzeContent", &v2.AnalyzeContentRequest{Participant: parent, CxParameters: &structpb.Struct{Fields: map[string]*structpb.Value{"a": structpb.NewStringValue("projects/s")}}},
			[]string{parent, "projects/s"}, "participant=projects%2Fp%2Flocations%2Feu"},
		"with a host": {"v2.Conversations/GetConversation", &v2.GetConversationRequest{Name: "//dialogflow.googleapis.com/projects/h"}, []string{"projects/h"}, "name=%2F%2Fdialogflow.googleapis.com%2Fprojects%2Fh"},
		"words of people": {"v2.Participants/AnalyzeContent", &v2.AnalyzeContentRequest{Participant: parent,
			Input: &v2.AnalyzeContentRequest_TextInput{TextInput: &v2.TextInput{Text: "projects/ are what we do"}}}, []string{parent}, "participant=projects%2Fp%2Flocations%2Feu"},
	} {
		b, err := proto.Marshal(c.request)
		if err != nil {
			t.Fatal(err)
		}
		u, names, err := ReadUnary("/google.cloud.dialogflow."+c.method, b)
		slices.Sort(names)
		slices.Sort(c.names)
		if err != nil || !slices.Equal(names, c.names) || u.Routing != c.routing {
			t.Errorf("%s: names %q, routing %q, %v; want %q and %q", name, names, u.Routing, err, c.names, c.routing)
		}
	}
	unknown := append([]byte(nil), "\xfa\x3f\x0aprojects/z"...) // field 1023
	if _, _, err := ReadUnary("/google.cloud.dialogflow.v2.Participants/GetParticipant", unknown); err == nil || !strings.Contains(err.Error(), "does not know") {
		t.Errorf("an unknown field that names a project: %v; want a refusal", err)
	}
	for _, method := range []string{"v2.Participants/StreamingAnalyzeContent", "v2.Participants/Nothing", "v2.Agents/GetAgent", "v2.Participants", "v3.Participants/GetParticipant"} {
		if _, _, err := ReadUnary("/google.cloud.dialogflow."+method, nil); err == nil {
			t.Errorf("%s can be relayed", method)
		}
	}
}

func TestContains(t *testing.T) {
	g := Google{Project: "p", Location: "eu"}
	for name, want := range map[string]bool{
		"projects/p/locations/eu/conversations/c": true, "projects/p/conversations/c": true, "projects/p": true,
		"projects/p/locations/us/conversations/c": false, "projects/q/locations/eu": false, "projects/pp": false,
		"projects/-/locations/eu": false, "": false, "projects": false, "projects/p/locations/eu/../../q": false, "x/p": false,
	} {
		if got := g.Contains(name); got != want {
			t.Errorf("Contains(%q) = %t; want %t", name, got, want)
		}
	}
}

// Whatever a request holds: what it names is found, or it is refused.
func FuzzReadUnary(f *testing.F) {
	const method = "/google.cloud.dialogflow.v2beta1.Participants/AnalyzeContent"
	for _, m := range []*pb.AnalyzeContentRequest{
		{Participant: "projects/p/conversations/c/participants/x"},
		{AssistQueryParams: &pb.AssistQueryParameters{DocumentsMetadataFilters: map[string]string{"a": "projects/p"}}},
	} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_, names, err := ReadUnary(method, b)
		var m pb.AnalyzeContentRequest
		if err != nil || proto.Unmarshal(b, &m) != nil {
			return
		}
		for _, field := range []string{m.GetParticipant(), m.GetCxCurrentPage()} {
			if resourceForm.MatchString(field) && len(names) == 0 {
				t.Errorf("%q names something, and nothing was found", field)
			}
		}
	})
}
