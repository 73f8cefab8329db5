package sim

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	pb "cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
)

// call is one simulated call.
type call struct {
	*engine
	number int
	id     string // of the conversation
	key    string // LegInfo.CallKey
	legs   [2]*leg

	mu   sync.Mutex
	errs []error
}

// leg is one speaker's streams.
type leg struct {
	*call
	who         Speaker
	participant string // full name, or the track's name
	frames      int64
	samples     int64
}

func newCall(e *engine, number int) *call {
	c := &call{engine: e, number: number, id: "sim-" + strings.ToLower(rand.Text()[:16])}
	c.key = c.parent() + "/conversations/" + c.id
	if e.API == Ingest {
		c.key = "ingest:" + c.id
	}
	for who := range c.legs {
		c.legs[who] = &leg{call: c, who: Speaker(who), participant: Speaker(who).String()}
	}
	return c
}

func (c *call) fail(err error) {
	if err == nil {
		return
	}
	c.observe(c.id, StepError, err.Error())
	c.mu.Lock()
	defer c.mu.Unlock()
	c.errs = append(c.errs, err)
}

func (c *call) report() adapter.SimCall {
	r := adapter.SimCall{Call: c.key}
	if err := errors.Join(c.errs...); err != nil {
		r.Error = err.Error()
	}
	for _, l := range c.legs {
		r.Tracks = append(r.Tracks, adapter.SimTrack{Track: media.TrackID(l.participant[strings.LastIndex(l.participant, "/")+1:]), Frames: l.frames, Samples: l.samples})
	}
	return r
}

func (c *call) run(ctx context.Context) {
	c.observe(c.id, StepBegin, string(c.API))
	defer c.observe(c.id, StepEnd, "")
	if c.API == Ingest {
		c.fail(c.ingest(ctx))
		return
	}
	conn, err := c.conn()
	if err != nil {
		c.fail(err)
		return
	}
	if err := c.setUp(ctx, conn); err != nil {
		c.fail(err)
		return
	}
	var speaking sync.WaitGroup
	for _, l := range c.legs {
		speaking.Go(func() { c.fail(l.speak(ctx)) })
	}
	speaking.Wait()
	if !c.Abrupt {
		c.fail(c.unary(ctx, conn, "Conversations/CompleteConversation", &pb.CompleteConversationRequest{Name: c.key}, &pb.Conversation{}))
	}
}

// method is the full name of a method in the version that the options choose. The
// messages of both versions agree in all that is used here.
func (c *call) method(name string) string {
	version := "v2beta1"
	if c.API == V2 {
		version = "v2"
	}
	return "/google.cloud.dialogflow." + version + "." + name
}

func (c *call) unary(ctx context.Context, conn *grpc.ClientConn, name string, in, out any) error {
	if err := conn.Invoke(ctx, c.method(name), in, out); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// setUp makes the conversation and its participants, as a client does.
func (c *call) setUp(ctx context.Context, conn *grpc.ClientConn) error {
	err := c.unary(ctx, conn, "Conversations/CreateConversation", &pb.CreateConversationRequest{Parent: c.parent(), ConversationId: c.id,
		Conversation: &pb.Conversation{ConversationProfile: c.profile(), ConversationStage: pb.Conversation_HUMAN_ASSIST_STAGE}}, &pb.Conversation{})
	for who, l := range c.legs {
		role := [...]pb.Participant_Role{pb.Participant_END_USER, pb.Participant_HUMAN_AGENT}[who]
		var p pb.Participant
		if err == nil {
			err = c.unary(ctx, conn, "Participants/CreateParticipant", &pb.CreateParticipantRequest{Parent: c.key, Participant: &pb.Participant{Role: role}}, &p)
			l.participant = p.GetName()
		}
	}
	return err
}

// speak sends all that a speaker says, in one stream or in several.
func (l *leg) speak(ctx context.Context) error {
	perStream := int(l.Turn / messageTime)
	for n := 0; ; {
		first := n
		more, err := l.stream(ctx, func() bool {
			if l.messages() > 0 && n >= l.messages() || perStream > 0 && n-first >= perStream {
				return false
			}
			n++
			return true
		})
		if err != nil || !more || n == first {
			return err
		}
	}
}

// stream opens one stream and sends what next allows. more is false when the audio has
// come to its end.
func (l *leg) stream(ctx context.Context, next func() bool) (more bool, err error) {
	conn, err := l.conn()
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	name := "Participants/StreamingAnalyzeContent"
	if l.API == Bidi {
		name = "Participants/BidiStreamingAnalyzeContent"
	}
	st, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, l.method(name))
	if err != nil {
		return false, err
	}
	received := make(chan error, 1)
	go func() { received <- l.receive(st) }()
	err = st.SendMsg(l.first())
	if err == nil {
		more, err = l.play(func(b []byte) error { return st.SendMsg(l.audio(b)) }, next)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		cancel()
		return false, errors.Join(err, <-received)
	}
	if l.Abrupt && !more {
		cancel()
		return false, unlessCanceled(<-received)
	}
	if err := st.CloseSend(); err != nil {
		return false, err
	}
	if err := <-received; err != nil {
		return false, fmt.Errorf("%s of the %v: %w", name, l.who, err)
	}
	return more, nil
}

// unlessCanceled leaves out what an abrupt end is expected to bring.
func unlessCanceled(err error) error {
	if status.Code(err) == codes.Canceled {
		return nil
	}
	return err
}

// play sends audio at its pace until next or the audio says that it is over.
func (l *leg) play(send func([]byte) error, next func() bool) (more bool, err error) {
	var buf []byte
	first := int(l.frames)
	player := l.pacer.Add(func(n int) bool {
		if !next() {
			more = l.messages() == 0 || int(l.frames) < l.messages()
			return false
		}
		var ok bool
		if buf, ok = l.Audio(buf[:0], l.number, l.who, first+n); !ok {
			return false
		}
		if err = send(buf); err != nil {
			return false
		}
		l.frames++
		l.samples += int64(len(buf))
		return true
	})
	<-player.Done()
	return more, err
}

func (l *leg) first() any {
	if l.API == Bidi {
		return &pb.BidiStreamingAnalyzeContentRequest{Request: &pb.BidiStreamingAnalyzeContentRequest_Config_{Config: &pb.BidiStreamingAnalyzeContentRequest_Config{
			Participant: l.participant, Config: &pb.BidiStreamingAnalyzeContentRequest_Config_VoiceSessionConfig_{
				VoiceSessionConfig: &pb.BidiStreamingAnalyzeContentRequest_Config_VoiceSessionConfig{
					InputAudioEncoding: pb.AudioEncoding_AUDIO_ENCODING_MULAW, InputAudioSampleRateHertz: int32(media.Telephony.Rate)}}}}}
	}
	return &pb.StreamingAnalyzeContentRequest{
		Participant: l.participant, EnableExtendedStreaming: true, OutputMultipleUtterances: true,
		Config: &pb.StreamingAnalyzeContentRequest_AudioConfig{AudioConfig: &pb.InputAudioConfig{
			AudioEncoding: pb.AudioEncoding_AUDIO_ENCODING_MULAW, SampleRateHertz: int32(media.Telephony.Rate)}},
	}
}

func (l *leg) audio(b []byte) any {
	if l.API == Bidi {
		return &pb.BidiStreamingAnalyzeContentRequest{Request: &pb.BidiStreamingAnalyzeContentRequest_Input_{Input: &pb.BidiStreamingAnalyzeContentRequest_Input{
			Input: &pb.BidiStreamingAnalyzeContentRequest_Input_Audio{Audio: b}}}}
	}
	return &pb.StreamingAnalyzeContentRequest{Input: &pb.StreamingAnalyzeContentRequest_InputAudio{InputAudio: b}}
}

// receive reads what comes back until the stream ends; nil is a clean end.
func (l *leg) receive(st grpc.ClientStream) error {
	for {
		var rec *pb.StreamingRecognitionResult
		var suggestions int
		var err error
		if l.API == Bidi {
			var m pb.BidiStreamingAnalyzeContentResponse
			err = st.RecvMsg(&m)
			rec, suggestions = m.GetRecognitionResult(), len(m.GetAnalyzeContentResponse().GetHumanAgentSuggestionResults())
		} else {
			var m pb.StreamingAnalyzeContentResponse
			err = st.RecvMsg(&m)
			rec, suggestions = m.GetRecognitionResult(), len(m.GetHumanAgentSuggestionResults())
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case rec.GetIsFinal() && rec.GetMessageType() == pb.StreamingRecognitionResult_TRANSCRIPT:
			l.observe(l.id, StepFinal, fmt.Sprintf("%v at %v: %s", l.who, rec.GetSpeechEndOffset().AsDuration(), rec.GetTranscript()))
		case suggestions > 0:
			l.observe(l.id, StepSuggestion, fmt.Sprintf("%d", suggestions))
		}
	}
}
