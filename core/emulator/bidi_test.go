package emulator

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	pb "cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

type bidi struct {
	r *rig
	pb.Participants_BidiStreamingAnalyzeContentClient
	done chan struct{}
	got  []*pb.BidiStreamingAnalyzeContentResponse
	err  error
}

// bidi opens a bidirectional stream; without a config it asks for mu-law at 8 kHz.
func (r *rig) bidi(participant string, voice *pb.BidiStreamingAnalyzeContentRequest_Config_VoiceSessionConfig) *bidi {
	r.Helper()
	c, err := r.parts.BidiStreamingAnalyzeContent(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	if voice == nil {
		voice = &pb.BidiStreamingAnalyzeContentRequest_Config_VoiceSessionConfig{
			InputAudioEncoding: pb.AudioEncoding_AUDIO_ENCODING_MULAW, InputAudioSampleRateHertz: 8000}
	}
	b := &bidi{r: r, Participants_BidiStreamingAnalyzeContentClient: c, done: make(chan struct{})}
	go func() {
		defer close(b.done)
		for {
			resp, err := c.Recv()
			if err != nil {
				b.err = err
				return
			}
			b.got = append(b.got, resp)
		}
	}()
	b.send(&pb.BidiStreamingAnalyzeContentRequest{Request: &pb.BidiStreamingAnalyzeContentRequest_Config_{Config: &pb.BidiStreamingAnalyzeContentRequest_Config{
		Participant: participant, Config: &pb.BidiStreamingAnalyzeContentRequest_Config_VoiceSessionConfig_{VoiceSessionConfig: voice}}}})
	return b
}

func (b *bidi) send(m *pb.BidiStreamingAnalyzeContentRequest) {
	b.r.Helper()
	if err := b.Send(m); err != nil && !errors.Is(err, io.EOF) {
		b.r.Fatal(err)
	}
}

func (b *bidi) audio(payload []byte) {
	b.r.Helper()
	b.send(&pb.BidiStreamingAnalyzeContentRequest{Request: &pb.BidiStreamingAnalyzeContentRequest_Input_{Input: &pb.BidiStreamingAnalyzeContentRequest_Input{
		Input: &pb.BidiStreamingAnalyzeContentRequest_Input_Audio{Audio: payload}}}})
}

func (b *bidi) end() error {
	if err := b.CloseSend(); err != nil {
		b.r.Fatal(err)
	}
	<-b.done
	if errors.Is(b.err, io.EOF) {
		return nil
	}
	return b.err
}

func TestBidi(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		conv, customer, agent := r.conversation("CAbidi")
		b := r.bidi(customer, nil)
		b.audio(tones("amber", "river"))
		time.Sleep(time.Second)
		b.audio(silence(time.Second))
		b.audio(tones("echo"))
		if err := b.end(); err != nil {
			r.Fatal(err)
		}
		var said []string
		for _, resp := range b.got {
			if a := resp.GetAnalyzeContentResponse(); a != nil {
				said = append(said, a.GetMessage().GetContent())
				if len(a.GetHumanAgentSuggestionResults()) != 3 {
					r.Errorf("suggestions = %v; want one for each feature", a.GetHumanAgentSuggestionResults())
				}
			}
		}
		if strings.Join(said, "|") != "amber river|echo" || len(r.messages(conv)) != 2 {
			r.Errorf("heard %q, stored %d", said, len(r.messages(conv)))
		}

		b = r.bidi(agent, nil)
		for range 1900 { // the limit is 30 minutes
			b.audio(silence(time.Second))
			time.Sleep(time.Second)
		}
		wantRule(r.T, b.end(), codes.OutOfRange, RuleDuration)

		b = r.bidi(agent, &pb.BidiStreamingAnalyzeContentRequest_Config_VoiceSessionConfig{})
		if err := b.end(); status.Code(err) != codes.InvalidArgument {
			r.Errorf("no encoding in stream or profile: %v; want INVALID_ARGUMENT", err)
		}
		b = r.bidi(agent, nil)
		b.send(&pb.BidiStreamingAnalyzeContentRequest{Request: &pb.BidiStreamingAnalyzeContentRequest_Config_{Config: &pb.BidiStreamingAnalyzeContentRequest_Config{}}})
		wantRule(r.T, b.end(), codes.InvalidArgument, RuleConfigOnce)
	})
}
