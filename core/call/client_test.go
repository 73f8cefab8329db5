package call

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
)

const clientMethod = "/google.cloud.dialogflow.v2beta1.Participants/StreamingAnalyzeContent"

// clientConversation makes a conversation with a customer, as a client would.
func (h *host) clientConversation(t *testing.T, id string) (conversation, customer string) {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///emulator", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return h.dial(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	const parent = "projects/local/locations/global"
	c, err := dialogflowpb.NewConversationsClient(conn).CreateConversation(t.Context(), &dialogflowpb.CreateConversationRequest{Parent: parent, ConversationId: id,
		Conversation: &dialogflowpb.Conversation{ConversationProfile: parent + "/conversationProfiles/demo", ConversationStage: dialogflowpb.Conversation_HUMAN_ASSIST_STAGE}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := dialogflowpb.NewParticipantsClient(conn).CreateParticipant(t.Context(), &dialogflowpb.CreateParticipantRequest{Parent: c.GetName(),
		Participant: &dialogflowpb.Participant{Role: dialogflowpb.Participant_END_USER}})
	if err != nil {
		t.Fatal(err)
	}
	return c.GetName(), p.GetName()
}

// openClient opens a client's stream for a participant.
func (h *host) openClient(t *testing.T, conversation, participant string) (adapter.Leg, *speaker) {
	t.Helper()
	i := info(conversation, "customer")
	i.Client = adapter.Client{Method: clientMethod, Conversation: conversation}
	i.Results = adapter.ResultsRaw
	l, err := h.Sink("test").Open(t.Context(), i)
	if err != nil {
		t.Fatal(err)
	}
	request, err := proto.Marshal(&dialogflowpb.StreamingAnalyzeContentRequest{
		EnableExtendedStreaming: true, OutputMultipleUtterances: true,
		Config: &dialogflowpb.StreamingAnalyzeContentRequest_AudioConfig{AudioConfig: &dialogflowpb.InputAudioConfig{}}})
	if err != nil {
		t.Fatal(err)
	}
	err = l.Join("audio", adapter.Track{Format: media.Telephony, Participant: participant, Request: request,
		Speaker: adapter.Speaker{ID: "customer", Role: adapter.RoleOther, Evidence: "test"}})
	if err != nil {
		t.Fatal(err)
	}
	return l, &speaker{leg: l, track: "audio", stream: 1}
}

// relaying adds a route that lets clients in, behind one for others.
func relaying(c *Config) {
	others, ours := c.Routes[0], c.Routes[0]
	others.Match.Adapter = "others"
	ours.Relay = []string{"calls"}
	c.Routes = []Route{others, ours}
}

// A client's conversation survives a crash of the host as others do, and stays the
// client's: nobody makes a participant, and nobody completes it.
func TestClientAfterACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		h := newSpooledHost(t, dir, relaying)
		conversation, customer := h.clientConversation(t, "CAcrash")
		_, s := h.openClient(t, conversation, customer)
		say(t, 21*time.Second, s)
		h.cut() // some is settled by now, the rest waits
		say(t, 9500*time.Millisecond, s)
		left := h.crash(t, dir)
		spooled := written(t, left)[1].end / 160

		next := h.successor(t, left, 1, relaying)
		l, again := next.openClient(t, conversation, customer)
		again.n = s.n
		say(t, 5*time.Second, again)
		if err := l.Note(adapter.Note{Kind: adapter.NoteFinish}); err != nil {
			t.Fatal(err)
		}
		results := 0
		for c := range l.Control() {
			if c.Kind == adapter.ControlResult {
				results++
				var m dialogflowpb.StreamingAnalyzeContentResponse
				if err := proto.Unmarshal(c.Result.Raw, &m); err != nil {
					t.Fatal(err)
				}
				if at := m.GetRecognitionResult().GetSpeechEndOffset().AsDuration(); at > 5100*time.Millisecond {
					t.Errorf("a result at %v; the client's stream is 5 s long", at)
				}
			}
			if c.Kind == adapter.ControlDone {
				closeLeg(t, l, adapter.EndHangup)
			}
		}
		if results == 0 {
			t.Error("no results came")
		}
		c := next.find(t, conversation)
		untilEnded(t, c)
		wantSettled(t, c)
		heard := next.heard(t, conversation, 1)
		for b := range again.n {
			if heard[b] == 0 && (b < uint32(spooled) || b >= s.n) {
				t.Errorf("block %d is not heard", b)
			}
		}
		account, _ := h.emulator.Account().Conversation(conversation)
		if len(account.Participants) != 1 || account.Completed {
			t.Errorf("the conversation has %d participants, completed: %t; want 1, false", len(account.Participants), account.Completed)
		}
	})
}

// A client reaches no conversation and no participant but its own.
func TestClientIsConfined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, relaying)
		open := func(method, conversation string) error {
			i := info(conversation, "customer")
			i.Client = adapter.Client{Method: method, Conversation: conversation}
			l, err := h.Sink("test").Open(t.Context(), i)
			if err == nil {
				closeLeg(t, l, adapter.EndHangup)
			}
			return err
		}
		const ours = "projects/local/locations/global/conversations/CA1"
		for name, err := range map[string]error{
			"another project":  open(clientMethod, "projects/theirs/locations/global/conversations/CA1"),
			"another location": open(clientMethod, "projects/local/locations/eu/conversations/CA1"),
			"no conversation":  open(clientMethod, "projects/local/locations/global"),
			"another service":  open("/google.cloud.dialogflow.v2.Agents/GetAgent", ours),
		} {
			if r, ok := refusalOf(err); !ok || r.Reason != adapter.RefusedNotYours {
				t.Errorf("%s: %v; want %s", name, err, adapter.RefusedNotYours)
			}
		}
		conversation, customer := h.clientConversation(t, "CA2")
		l, _ := h.openClient(t, conversation, customer)
		for name, participant := range map[string]string{"of another conversation": ours + "/participants/p-1", "of none": "", "a prefix": conversation + "0/participants/p-1"} {
			if err := l.Join("other", adapter.Track{Format: media.Telephony, Participant: participant, Speaker: customerOf("x")}); err == nil {
				t.Errorf("a participant %s is taken", name)
			}
		}
		plain := info(conversation, "plain")
		if _, err := h.Sink("test").Open(t.Context(), plain); err == nil {
			t.Error("a leg that is no client's joins a client's call")
		}
		closeLeg(t, l, adapter.EndHangup)
	})
}

func customerOf(id string) adapter.Speaker {
	return adapter.Speaker{ID: id, Role: adapter.RoleEndUser, Evidence: "test"}
}
