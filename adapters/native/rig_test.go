package native

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	dialogflowv2 "cloud.google.com/go/dialogflow/apiv2"
	dialogflow "cloud.google.com/go/dialogflow/apiv2beta1"
	pb "cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"go.uber.org/goleak"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/assist"
	"github.com/patchbay/patchbay/core/call"
	"github.com/patchbay/patchbay/core/emulator"
	"github.com/patchbay/patchbay/core/emulator/hear"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/media/probe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testToken   = "a token for tests, and for them alone"
	testAccount = "acme"
	parent      = "projects/local/locations/global"
	profileName = parent + "/conversationProfiles/demo"
)

func testConfig() Config {
	c := DefaultConfig()
	c.Clients = []Client{{Account: testAccount, Tokens: []adapter.Secret{testToken}}}
	return c
}

// rig is the way of a call in one process and in fake time: Google's client, the adapter, the host,
// the emulator.
type rig struct {
	*testing.T
	em      *emulator.Server
	calls   *call.Manager
	counts  sync.Map
	dial    func(context.Context) (net.Conn, error)
	parts   *dialogflow.ParticipantsClient
	convs   *dialogflow.ConversationsClient
	partsV2 *dialogflowv2.ParticipantsClient
}

type rigConfig struct {
	settings func(*Config)
	route    func(*call.Route)
	limits   func(*call.Limits)
	emulator func(*emulator.Config)
	options  assist.Options
}

func inBubble(t *testing.T, c rigConfig, test func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { newRig(t, c, test) })
}

func newRig(t *testing.T, c rigConfig, test func(t *testing.T, r *rig)) {
	cfg := emulator.DefaultConfig()
	cfg.Recognizer = hear.Coded{}
	if c.emulator != nil {
		c.emulator(&cfg)
	}
	em, err := emulator.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	google := bufconn.Listen(1 << 20)
	running.Go(func() {
		if err := em.Serve(ctx, google); err != nil {
			t.Error(err)
		}
	})
	route := call.Route{Google: assist.Google{Project: "local", Location: "global", Endpoint: "passthrough:///emulator", Insecure: true},
		Profile: "demo", Relay: []string{assist.AllowCalls}}
	if c.route != nil {
		c.route(&route)
	}
	limits := call.DefaultLimits()
	if c.limits != nil {
		c.limits(&limits)
	}
	c.options.Dial = func(ctx context.Context, _ string) (net.Conn, error) { return google.DialContext(ctx) }
	pool := assist.NewPool(c.options)
	calls := call.NewManager(call.Config{Routes: []call.Route{route}, Limits: limits}, pool, slog.New(slog.DiscardHandler))

	settings := testConfig()
	if c.settings != nil {
		c.settings(&settings)
	}
	a, err := New(settings)
	if err != nil {
		t.Fatal(err)
	}
	door := bufconn.Listen(1 << 20)
	r := &rig{T: t, em: em, calls: calls, dial: door.DialContext}
	adapterCtx, stopAdapter := context.WithCancel(ctx)
	var serving sync.WaitGroup
	serving.Go(func() {
		err := a.Run(adapterCtx, adapter.Env{Name: "native", Log: slog.New(slog.DiscardHandler),
			Listen: func(string) (net.Listener, error) { return door, nil },
			Count: func(kind string) {
				n, _ := r.counts.LoadOrStore(kind, new(atomic.Int64))
				n.(*atomic.Int64).Add(1)
			}}, calls.Sink("native"))
		if err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	r.parts, err = dialogflow.NewParticipantsClient(ctx, r.client(testToken)...)
	if err != nil {
		t.Fatal(err)
	}
	r.convs, err = dialogflow.NewConversationsClient(ctx, r.client(testToken)...)
	if err != nil {
		t.Fatal(err)
	}
	r.partsV2, err = dialogflowv2.NewParticipantsClient(ctx, r.client(testToken)...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { // also when the test fails
		_, _, _ = r.parts.Close(), r.convs.Close(), r.partsV2.Close()
		stopAdapter()
		serving.Wait()
		ended, cut := context.WithTimeout(ctx, time.Minute)
		calls.Shutdown(ended)
		cut()
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
		cancel()
		running.Wait()
	}()
	test(t, r)
}

// bearer puts a token on every call, over a connection in memory.
type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}
func (bearer) RequireTransportSecurity() bool { return false }

// client are the options of Google's own client: an endpoint and a token.
func (r *rig) client(token string) []option.ClientOption {
	opts := []option.ClientOption{
		option.WithEndpoint("passthrough:///patchbay"), option.WithoutAuthentication(), option.WithTelemetryDisabled(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
		option.WithGRPCDialOption(grpc.WithContextDialer(r.dialer)),
	}
	if token != "" {
		opts = append(opts, option.WithGRPCDialOption(grpc.WithPerRPCCredentials(bearer(token))))
	}
	return opts
}

func (r *rig) dialer(ctx context.Context, _ string) (net.Conn, error) { return r.dial(ctx) }

// conversation creates a conversation with a customer and an agent, as a client does.
func (r *rig) conversation(id string) (conv, customer, agent string) {
	r.Helper()
	c, err := r.convs.CreateConversation(r.Context(), &pb.CreateConversationRequest{Parent: parent, ConversationId: id,
		Conversation: &pb.Conversation{ConversationProfile: profileName, ConversationStage: pb.Conversation_HUMAN_ASSIST_STAGE}})
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

// stream is one StreamingAnalyzeContent and what came back, gathered by a goroutine.
type stream struct {
	r *rig
	pb.Participants_StreamingAnalyzeContentClient
	done chan struct{}
	got  []*pb.StreamingAnalyzeContentResponse // read it after done
	err  error

	id     uint16        // of the coded audio
	n      uint32        // blocks sent
	spoken int           // in this stream
	pause  time.Duration // between two messages; 0 is real time
}

func config(participant string) *pb.StreamingAnalyzeContentRequest {
	return &pb.StreamingAnalyzeContentRequest{
		Participant: participant, EnableExtendedStreaming: true, OutputMultipleUtterances: true,
		Config: &pb.StreamingAnalyzeContentRequest_AudioConfig{AudioConfig: &pb.InputAudioConfig{
			AudioEncoding: pb.AudioEncoding_AUDIO_ENCODING_MULAW, SampleRateHertz: 8000, LanguageCode: "en-US",
		}}}
}

func (r *rig) open(id uint16, first *pb.StreamingAnalyzeContentRequest) *stream {
	r.Helper()
	c, err := r.parts.StreamingAnalyzeContent(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	st := &stream{r: r, Participants_StreamingAnalyzeContentClient: c, done: make(chan struct{}), id: id}
	go func() {
		defer close(st.done)
		for {
			resp, err := c.Recv()
			if err != nil {
				st.err = err
				return
			}
			st.got = append(st.got, resp)
		}
	}()
	if err := c.Send(first); err != nil && !errors.Is(err, io.EOF) {
		r.Fatal(err)
	}
	return st
}

// say sends coded blocks in real time, a second of silence after every four.
func (st *stream) say(d time.Duration) {
	st.r.Helper()
	for at := time.Duration(0); at < d; at += 100 * time.Millisecond {
		time.Sleep(cmp.Or(st.pause, 100*time.Millisecond))
		var b []byte
		for range 5 {
			if st.spoken++; st.spoken%250 < 200 {
				b = probe.AppendBlock(b, st.id, st.n)
				st.n++
			} else {
				b = append(b, silent[:]...)
			}
		}
		err := st.Send(&pb.StreamingAnalyzeContentRequest{Input: &pb.StreamingAnalyzeContentRequest_InputAudio{InputAudio: b}})
		if err != nil {
			if errors.Is(err, io.EOF) {
				return
			}
			st.r.Fatal(err)
		}
	}
}

var silent = func() (b [probe.BlockSamples]byte) {
	for i := range b {
		b[i] = media.Telephony.Silence()
	}
	return b
}()

// end half-closes and waits; nil after a clean end.
func (st *stream) end() error {
	st.r.Helper()
	if err := st.CloseSend(); err != nil {
		st.r.Fatal(err)
	}
	<-st.done
	if errors.Is(st.err, io.EOF) {
		return nil
	}
	return st.err
}

// counted returns a counter of the adapter.
func (r *rig) counted(kind string) int64 {
	n, ok := r.counts.Load(kind)
	if !ok {
		return 0
	}
	return n.(*atomic.Int64).Load()
}

// ledgers checks that the audio of every track is accounted for, and returns how many
// streams Agent Assist had of it.
func (r *rig) ledgers(settled bool) (streams int) {
	r.Helper()
	synctest.Wait()
	for _, c := range r.calls.Calls() {
		info := c.Info()
		for _, tr := range info.Tracks {
			if err := tr.Ledger.Balanced(); err != nil {
				r.Errorf("track %s: %v", tr.Track, err)
			}
			if settled && (!tr.Ledger.Settled() || len(tr.Ledger.Discarded) > 0) {
				r.Errorf("track %s: %+v; want everything settled and nothing discarded", tr.Track, tr.Ledger)
			}
		}
		for _, tr := range info.Session.Tracks {
			streams += tr.Streams
		}
	}
	return streams
}

// heardOnce checks that a participant's streams heard each of n blocks, and none twice.
func (r *rig) heardOnce(participant string, id uint16, n uint32) {
	r.Helper()
	heard := map[uint32]int{}
	for b, times := range r.em.Blocks(participant) {
		if b.Stream == id {
			heard[b.N] += times
		}
	}
	for i := range n {
		if heard[i] != 1 {
			r.Errorf("block %d was heard %d times; want once", i, heard[i])
		}
	}
	if len(heard) != int(n) {
		r.Errorf("%d blocks were heard; want %d", len(heard), n)
	}
}

// words returns the blocks of all finals, and fails when one comes twice or out of order.
func words(t *testing.T, finals []string) (n uint32) {
	t.Helper()
	for _, f := range finals {
		for _, word := range strings.Fields(f) {
			var first, last uint32
			if k, _ := fmt.Sscanf(word, "%d-%d", &first, &last); k != 2 {
				continue
			}
			if first != n {
				t.Errorf("a final begins with block %d; want %d", first, n)
			}
			n = last + 1
		}
	}
	return n
}

func texts(recs []*pb.StreamingRecognitionResult) (out []string) {
	for _, r := range recs {
		out = append(out, r.GetTranscript())
	}
	return out
}

func (st *stream) finals() (list []*pb.StreamingRecognitionResult) {
	for _, m := range st.got {
		if rec := m.GetRecognitionResult(); rec.GetIsFinal() && rec.GetMessageType() == pb.StreamingRecognitionResult_TRANSCRIPT {
			list = append(list, rec)
		}
	}
	return list
}
