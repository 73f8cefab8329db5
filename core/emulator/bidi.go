package emulator

import (
	"context"
	"errors"
	"io"

	pb "cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"google.golang.org/grpc/codes"
)

// bidiStream is what BidiStreamingAnalyzeContent needs of its wire.
type bidiStream interface {
	Context() context.Context
	Recv() (*pb.BidiStreamingAnalyzeContentRequest, error)
	Send(*pb.BidiStreamingAnalyzeContentResponse) error
}

// BidiStreamingAnalyzeContent hears one participant and answers all the time
// (agent-assist.md §1.9).
func (s *participants) BidiStreamingAnalyzeContent(stream pb.Participants_BidiStreamingAnalyzeContentServer) error {
	return s.bidiAnalyze(stream)
}

func (s *participants) bidiAnalyze(stream bidiStream) (err error) {
	first, err := stream.Recv()
	if errors.Is(err, io.EOF) || err == nil && first.GetConfig() == nil {
		return invalid("the first message must hold config [rule %s]", RuleFirstMessage)
	}
	if err != nil {
		return err
	}
	cfg := first.GetConfig()
	p, err := s.participant(cfg.GetParticipant())
	if err != nil {
		return err
	}
	if err := firstError(s.open(p.conv), s.rule(RuleStreamRole, mayStream(p.role), codes.InvalidArgument,
		"participant %q is %v; only END_USER and HUMAN_AGENT stream", p.name, p.role)); err != nil {
		return err
	}
	leave, err := s.enterBidi(p.conv.project)
	if err != nil {
		return err
	}
	defer leave()
	stt, voice := p.conv.profile.GetSttConfig(), cfg.GetVoiceSessionConfig()
	format, err := s.format(stt, voice.GetInputAudioEncoding(), voice.GetInputAudioSampleRateHertz())
	if err != nil {
		return err
	}
	model := stt.GetModel()
	if model == "" {
		model = defaultModel
	}
	ses, err := s.begin(stream.Context(), p, settings{
		kind: "bidi", format: format, language: s.language(p.conv, ""), model: model, wordInfo: stt.GetEnableWordInfo(),
		limit: s.cfg.Limits.Bidi, tooLong: codes.OutOfRange,
	}, bidiOutput{stream})
	if err != nil {
		return err
	}
	defer func() { ses.end(err) }()
	return ses.run(stream.Context(), s.bidiAudio(stream))
}

func (s *Server) bidiAudio(stream bidiStream) func() ([]byte, error) {
	return func() ([]byte, error) {
		r, err := stream.Recv()
		if err != nil {
			return nil, err
		}
		if err := s.rule(RuleConfigOnce, r.GetConfig() == nil, codes.InvalidArgument, "configuration was sent a second time"); err != nil {
			return nil, err
		}
		switch in := r.GetInput().GetInput().(type) {
		case *pb.BidiStreamingAnalyzeContentRequest_Input_Audio:
			return in.Audio, nil
		case *pb.BidiStreamingAnalyzeContentRequest_Input_Turn:
			return nil, wrongInput("a turn")
		}
		return nil, nil // DTMF concerns virtual agents alone
	}
}

// bidiOutput answers in the shape of BidiStreamingAnalyzeContent.
type bidiOutput struct{ stream bidiStream }

func (o bidiOutput) recognised(r *pb.StreamingRecognitionResult) error {
	return o.stream.Send(&pb.BidiStreamingAnalyzeContentResponse{
		Response: &pb.BidiStreamingAnalyzeContentResponse_RecognitionResult{RecognitionResult: r},
	})
}

func (o bidiOutput) analysed(m *pb.Message, human, endUser []*pb.SuggestionResult) error {
	return o.stream.Send(&pb.BidiStreamingAnalyzeContentResponse{
		Response: &pb.BidiStreamingAnalyzeContentResponse_AnalyzeContentResponse{AnalyzeContentResponse: &pb.AnalyzeContentResponse{
			Message: m, HumanAgentSuggestionResults: human, EndUserSuggestionResults: endUser,
		}},
	})
}
