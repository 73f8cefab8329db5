package emulator

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	dialogflow "cloud.google.com/go/dialogflow/apiv2beta1"
	pb "cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"go.uber.org/goleak"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/media/probe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	parent          = "projects/local/locations/global"
	demoProfileName = parent + "/conversationProfiles/demo"
)

// rig is an emulator with Google's v2beta1 clients, over memory.
type rig struct {
	*testing.T
	s        *Server
	opt      []option.ClientOption
	convs    *dialogflow.ConversationsClient
	parts    *dialogflow.ParticipantsClient
	profiles *dialogflow.ConversationProfilesClient
	answers  *dialogflow.AnswerRecordsClient
}

// inBubble runs a test against an emulator in fake time.
func inBubble(t *testing.T, change func(*Config), test func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cfg := DefaultConfig()
		if change != nil {
			change(&cfg)
		}
		s, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		ln := bufconn.Listen(1 << 20)
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error)
		go func() { served <- s.Serve(ctx, ln) }()
		r := &rig{T: t, s: s, opt: []option.ClientOption{
			option.WithEndpoint("passthrough:///emulator"),
			option.WithoutAuthentication(),
			option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
			option.WithGRPCDialOption(grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return ln.DialContext(ctx) })),
			option.WithTelemetryDisabled(),
		}}
		r.connect()
		test(r)
		for _, c := range []io.Closer{r.convs, r.parts, r.profiles, r.answers} {
			_ = c.Close()
		}
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve = %v after its context ended; want nil", err)
		}
	})
}

func (r *rig) connect() {
	r.Helper()
	var errs [4]error
	ctx := r.Context()
	r.convs, errs[0] = dialogflow.NewConversationsClient(ctx, r.opt...)
	r.parts, errs[1] = dialogflow.NewParticipantsClient(ctx, r.opt...)
	r.profiles, errs[2] = dialogflow.NewConversationProfilesClient(ctx, r.opt...)
	r.answers, errs[3] = dialogflow.NewAnswerRecordsClient(ctx, r.opt...)
	if err := errors.Join(errs[:]...); err != nil {
		r.Fatal(err)
	}
}

// conversation creates a conversation with a customer and an agent.
func (r *rig) conversation(id string) (conv, customer, agent string) {
	r.Helper()
	c, err := r.convs.CreateConversation(r.Context(), &pb.CreateConversationRequest{Parent: parent, ConversationId: id,
		Conversation: &pb.Conversation{ConversationProfile: demoProfileName, ConversationStage: pb.Conversation_HUMAN_ASSIST_STAGE}})
	if err != nil {
		r.Fatal(err)
	}
	return c.GetName(), r.join(c.GetName(), pb.Participant_END_USER), r.join(c.GetName(), pb.Participant_HUMAN_AGENT)
}

func (r *rig) join(conv string, role pb.Participant_Role) string {
	r.Helper()
	p, err := r.parts.CreateParticipant(r.Context(), &pb.CreateParticipantRequest{Parent: conv, Participant: &pb.Participant{Role: role}})
	if err != nil {
		r.Fatal(err)
	}
	return p.GetName()
}

// messages lists the stored messages, newest first.
func (r *rig) messages(conv string) (list []*pb.Message) {
	r.Helper()
	it := r.convs.ListMessages(r.Context(), &pb.ListMessagesRequest{Parent: conv})
	for {
		m, err := it.Next()
		if errors.Is(err, iterator.Done) {
			return list
		}
		if err != nil {
			r.Fatal(err)
		}
		list = append(list, m)
	}
}

// stream is one StreamingAnalyzeContent and what came back, gathered by a
// goroutine that ends with it.
type stream struct {
	r *rig
	pb.Participants_StreamingAnalyzeContentClient
	done chan struct{}
	got  []*pb.StreamingAnalyzeContentResponse // read it after done, or after settle
	at   []time.Duration                       // when each came, since open
	err  error
	from time.Time
}

func config(participant string) *pb.StreamingAnalyzeContentRequest {
	return &pb.StreamingAnalyzeContentRequest{Participant: participant, Config: &pb.StreamingAnalyzeContentRequest_AudioConfig{AudioConfig: &pb.InputAudioConfig{
		AudioEncoding: pb.AudioEncoding_AUDIO_ENCODING_MULAW, SampleRateHertz: 8000, LanguageCode: "en-US",
	}}}
}

func extended(participant string) *pb.StreamingAnalyzeContentRequest {
	c := config(participant)
	c.EnableExtendedStreaming, c.OutputMultipleUtterances = true, true
	return c
}

func audio(b []byte) *pb.StreamingAnalyzeContentRequest {
	return &pb.StreamingAnalyzeContentRequest{Input: &pb.StreamingAnalyzeContentRequest_InputAudio{InputAudio: b}}
}

// open starts a stream with its first messages.
func (r *rig) open(first ...*pb.StreamingAnalyzeContentRequest) *stream {
	r.Helper()
	c, err := r.parts.StreamingAnalyzeContent(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	st := &stream{r: r, Participants_StreamingAnalyzeContentClient: c, done: make(chan struct{}), from: time.Now()}
	go func() {
		defer close(st.done)
		for {
			resp, err := c.Recv()
			if err != nil {
				st.err = err
				return
			}
			st.got, st.at = append(st.got, resp), append(st.at, time.Since(st.from))
		}
	}()
	for _, m := range first {
		if err := c.Send(m); err != nil && !errors.Is(err, io.EOF) {
			r.Fatal(err)
		}
	}
	return st
}

// play sends audio in messages of 100 ms at speed times real time, from now on.
// It stops early when the stream has ended.
func (st *stream) play(b []byte, f media.Format, speed float64) {
	st.r.Helper()
	step := int(f.Bytes(f.SamplesIn(100 * time.Millisecond)))
	tick := time.NewTicker(time.Duration(float64(100*time.Millisecond) / speed))
	defer tick.Stop()
	for len(b) > 0 {
		n := min(step, len(b))
		if err := st.Send(audio(b[:n])); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			st.r.Fatal(err)
		}
		b = b[n:]
		<-tick.C
	}
}

// end half-closes and waits; err is nil after a clean end.
func (st *stream) end() error {
	st.r.Helper()
	if err := st.CloseSend(); err != nil {
		st.r.Fatal(err)
	}
	return st.wait()
}

func (st *stream) wait() error {
	<-st.done
	if errors.Is(st.err, io.EOF) {
		return nil
	}
	return st.err
}

// settle waits until everything sent so far is answered.
func (st *stream) settle() { synctest.Wait() }

func (st *stream) finals() (list []*pb.StreamingRecognitionResult) {
	for _, r := range st.got {
		if isFinal(r.GetRecognitionResult()) {
			list = append(list, r.GetRecognitionResult())
		}
	}
	return list
}

func isFinal(r *pb.StreamingRecognitionResult) bool {
	return r.GetIsFinal() && r.GetMessageType() == pb.StreamingRecognitionResult_TRANSCRIPT
}

// kinds describes each response in a word.
func (st *stream) kinds() (list []string) {
	for _, r := range st.got {
		switch {
		case isFinal(r.GetRecognitionResult()):
			list = append(list, "final")
		case r.GetRecognitionResult().GetMessageType() == pb.StreamingRecognitionResult_TRANSCRIPT:
			list = append(list, "interim")
		case r.GetRecognitionResult() != nil:
			list = append(list, strings.ToLower(r.GetRecognitionResult().GetMessageType().String()))
		case r.GetMessage() != nil:
			list = append(list, "message")
		case r.GetDebuggingInfo() != nil:
			list = append(list, "debug")
		default:
			list = append(list, "suggestions")
		}
	}
	return list
}

// without drops the interims, whose number is no matter of interest.
func without(list []string, drop string) (out []string) {
	for _, k := range list {
		if k != drop {
			out = append(out, k)
		}
	}
	return out
}

func blocks(stream uint16, from, to uint32) (b []byte) {
	for n := from; n < to; n++ {
		b = probe.AppendBlock(b, stream, n)
	}
	return b
}

func silence(d time.Duration) []byte {
	return []byte(strings.Repeat("\xff", int(media.Telephony.SamplesIn(d))))
}

func tones(words ...string) []byte {
	return media.AppendEncoded(nil, media.MuLaw, probe.AppendTones(nil, 8000, words...))
}

// wantRule fails the test unless an error has a code and names a rule.
func wantRule(t *testing.T, err error, code codes.Code, rule Rule) {
	t.Helper()
	if status.Code(err) != code || !strings.Contains(status.Convert(err).Message(), "[rule "+string(rule)+"]") {
		t.Errorf("error = %v; want %v and rule %s", err, code, rule)
	}
}
