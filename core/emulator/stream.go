package emulator

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	pb "cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/patchbay/patchbay/core/media"
)

const (
	defaultModel = "telephony"
	chirpModel   = "chirp_3"
)

// models are those that Google documents for transcription (agent-assist.md §1.4,
// and the older models of Speech-to-Text).
var models = []string{
	defaultModel, chirpModel, "chirp", "chirp_2", "default", "phone_call", "video", "command_and_search",
	"latest_long", "latest_short", "long", "short", "telephony_short", "medical_conversation", "medical_dictation",
}

// analyzeStream is what StreamingAnalyzeContent needs of its wire, in v2beta1's words.
type analyzeStream interface {
	Context() context.Context
	Recv() (*pb.StreamingAnalyzeContentRequest, error)
	Send(*pb.StreamingAnalyzeContentResponse) error
}

// StreamingAnalyzeContent hears one participant (agent-assist.md §1).
func (s *participants) StreamingAnalyzeContent(stream pb.Participants_StreamingAnalyzeContentServer) error {
	return s.streamingAnalyze(stream)
}

func (s *participants) streamingAnalyze(stream analyzeStream) (err error) {
	first, err := stream.Recv()
	if errors.Is(err, io.EOF) {
		return invalid("the stream ended before its first message [rule %s]", RuleFirstMessage)
	}
	if err != nil {
		return err
	}
	p, err := s.participant(first.GetParticipant())
	if err != nil {
		return err
	}
	if err := firstError(s.spend(p.conv.project, s.model(p, first)), s.mayBegin(p, first)); err != nil {
		return err
	}
	if first.GetTextConfig() != nil {
		return s.streamText(stream, p, first)
	}
	set, err := s.settings(p, first)
	if err != nil {
		return err
	}
	out := &streamOutput{stream: stream, conv: p.conv, model: set.model}
	ses, err := s.begin(stream.Context(), p, set, out)
	if err != nil {
		return err
	}
	defer func() { ses.end(err) }()
	if audio := first.GetInputAudio(); len(audio) > 0 { // the rule first-message is off
		if err := ses.feed(audio); err != nil {
			return err
		}
	}
	if err := ses.run(stream.Context(), s.audioOf(stream)); err != nil {
		return err
	}
	if first.GetEnableDebuggingInfo() {
		return stream.Send(&pb.StreamingAnalyzeContentResponse{DebuggingInfo: ses.debug()})
	}
	return nil
}

// mayBegin checks who streams, and what a first message holds.
func (s *Server) mayBegin(p *participant, first *pb.StreamingAnalyzeContentRequest) error {
	return firstError(
		s.rule(RuleFirstMessage, first.GetConfig() != nil && first.GetInput() == nil, codes.InvalidArgument,
			"the first message must have audio_config or text_config and no input"),
		s.rule(RuleStreamRole, mayStream(p.role), codes.InvalidArgument, "participant %q is %v; only END_USER and HUMAN_AGENT stream", p.name, p.role),
		s.open(p.conv))
}

// model settles the speech model: asked for, the profile's, or the default.
func (s *Server) model(p *participant, first *pb.StreamingAnalyzeContentRequest) string {
	for _, m := range []string{first.GetAudioConfig().GetModel(), p.conv.profile.GetSttConfig().GetModel()} {
		if m != "" {
			return m
		}
	}
	return defaultModel
}

// settings reads the first message of an audio stream.
func (s *Server) settings(p *participant, first *pb.StreamingAnalyzeContentRequest) (settings, error) {
	a, l := first.GetAudioConfig(), s.cfg.Limits
	stt := p.conv.profile.GetSttConfig()
	format, err := s.format(stt, a.GetAudioEncoding(), a.GetSampleRateHertz())
	if err != nil {
		return settings{}, err
	}
	set := settings{
		kind: "plain", format: format, language: s.language(p.conv, a.GetLanguageCode()), model: s.model(p, first),
		wordInfo: a.GetEnableWordInfo() || stt.GetEnableWordInfo(), activity: a.GetEnableVoiceActivityEvents(), single: a.GetSingleUtterance(),
		hold: s.on(RuleHoldResults), limit: l.Plain, tooLong: codes.OutOfRange,
	}
	if err := s.rule(RuleModel, slices.Contains(models, set.model), codes.InvalidArgument,
		"there is no speech model %.100q; use %s or %s", set.model, defaultModel, chirpModel); err != nil {
		return settings{}, err
	}
	if set.model == chirpModel {
		set.limit, set.tooLong = l.Chirp, codes.Aborted
	}
	if first.GetEnableExtendedStreaming() {
		stage := p.conv.stage
		if err := s.rule(RuleExtended, stage == pb.Conversation_HUMAN_ASSIST_STAGE, codes.InvalidArgument,
			"enable_extended_streaming needs HUMAN_ASSIST_STAGE; the conversation is in %v", stage); err != nil {
			return settings{}, err
		}
		set.kind, set.limit, set.tooLong, set.idle = "extended", l.Extended, codes.OutOfRange, l.ExtendedIdle
		// Without output_multiple_utterances the API joins all utterances into one
		// message, which it can only give at the end.
		set.hold = set.hold && !first.GetOutputMultipleUtterances()
	}
	return set, nil
}

// format settles the audio format: asked for, or the profile's.
func (s *Server) format(stt *pb.SpeechToTextConfig, e pb.AudioEncoding, rate int32) (media.Format, error) {
	if e == pb.AudioEncoding_AUDIO_ENCODING_UNSPECIFIED {
		e = stt.GetAudioEncoding()
	}
	if rate == 0 {
		rate = stt.GetSampleRateHertz()
	}
	f := media.Format{Rate: int(rate)}
	switch {
	case e == pb.AudioEncoding_AUDIO_ENCODING_LINEAR_16:
		f.Encoding = media.Linear16
	case e == pb.AudioEncoding_AUDIO_ENCODING_MULAW:
		f.Encoding = media.MuLaw
	case e == pb.AudioEncoding_AUDIO_ENCODING_ALAW && !s.on(RuleEncoding):
		f.Encoding = media.ALaw
	default:
		return f, invalid("audio encoding %v cannot be transcribed; use AUDIO_ENCODING_LINEAR_16 or AUDIO_ENCODING_MULAW [rule %s]", e, RuleEncoding)
	}
	if err := f.Validate(); err != nil {
		if s.on(RuleSampleRate) {
			return f, invalid("sample_rate_hertz is %d; want %d to %d [rule %s]", rate, media.MinRate, media.MaxRate, RuleSampleRate)
		}
		f.Rate = media.MinRate
	}
	return f, nil
}

// audioOf returns the audio of one message after the other, in which a message
// with nothing may come last (agent-assist.md §1.1).
func (s *Server) audioOf(stream analyzeStream) func() ([]byte, error) {
	ended := false
	return func() ([]byte, error) {
		r, err := stream.Recv()
		if err != nil {
			return nil, err
		}
		_, isAudio := r.GetInput().(*pb.StreamingAnalyzeContentRequest_InputAudio)
		empty := r.GetInput() == nil && r.GetConfig() == nil
		err = firstError(
			s.rule(RuleConfigOnce, r.GetConfig() == nil, codes.InvalidArgument, "configuration was sent a second time"),
			s.rule(RuleAudioOnly, isAudio || empty, codes.InvalidArgument, "after audio_config every message must hold input_audio; this one holds %T", r.GetInput()),
			s.rule(RuleAudioOnly, !ended || empty, codes.InvalidArgument, "input_audio came after a message that ended the input"))
		ended = ended || empty
		return r.GetInputAudio(), err
	}
}

// streamText answers a stream of two messages: text_config, then input_text.
func (s *Server) streamText(stream analyzeStream, p *participant, first *pb.StreamingAnalyzeContentRequest) error {
	second, err := stream.Recv()
	if errors.Is(err, io.EOF) || err == nil && second.GetInputText() == "" {
		return invalid("after text_config one message with input_text must follow")
	}
	if err != nil {
		return err
	}
	if _, err := stream.Recv(); err == nil {
		return invalid("a text stream has two messages; a third came")
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	m := s.say(p, second.GetInputText(), s.language(p.conv, first.GetTextConfig().GetLanguageCode()), now())
	human, endUser := s.suggest(p.conv, m)
	return (&streamOutput{stream: stream, conv: p.conv}).analysed(m, human, endUser)
}

// streamOutput answers in the shape of StreamingAnalyzeContent.
type streamOutput struct {
	stream analyzeStream
	conv   *conversation
	model  string
}

func (o *streamOutput) recognised(r *pb.StreamingRecognitionResult) error {
	return o.stream.Send(&pb.StreamingAnalyzeContentResponse{RecognitionResult: r, SpeechModel: o.model})
}

// analysed sends the message, then the suggestions: grouped in one response when
// the profile says so, else each in its own.
func (o *streamOutput) analysed(m *pb.Message, human, endUser []*pb.SuggestionResult) error {
	if m != nil {
		if err := o.stream.Send(&pb.StreamingAnalyzeContentResponse{Message: m}); err != nil {
			return err
		}
	}
	assist := o.conv.profile.GetHumanAgentAssistantConfig()
	for _, group := range grouped(human, assist.GetHumanAgentSuggestionConfig()) {
		if err := o.stream.Send(&pb.StreamingAnalyzeContentResponse{HumanAgentSuggestionResults: group}); err != nil {
			return err
		}
	}
	for _, group := range grouped(endUser, assist.GetEndUserSuggestionConfig()) {
		if err := o.stream.Send(&pb.StreamingAnalyzeContentResponse{EndUserSuggestionResults: group}); err != nil {
			return err
		}
	}
	return nil
}

func grouped(list []*pb.SuggestionResult, cfg *pb.HumanAgentAssistantConfig_SuggestionConfig) (groups [][]*pb.SuggestionResult) {
	if cfg.GetGroupSuggestionResponses() && len(list) > 0 {
		return [][]*pb.SuggestionResult{list}
	}
	for i := range list {
		groups = append(groups, list[i:i+1])
	}
	return groups
}

// debug is what enable_debugging_info asks for.
func (ses *session) debug() *pb.CloudConversationDebuggingInfo {
	var first time.Duration
	if !ses.firstAudio.IsZero() {
		first = ses.s.cfg.emulated(ses.firstAudio.Sub(ses.opened))
	}
	return &pb.CloudConversationDebuggingInfo{
		AudioDataChunks: int32(ses.chunks), FirstAudioDuration: durationpb.New(first), SingleUtterance: ses.single,
		SpeechFinalResultsEndTimes: ses.finals, ResultEndTimeOffset: ses.offset(ses.lastEnd),
		ClientHalfCloseTimeOffset: durationpb.New(ses.s.cfg.emulated(now().Sub(ses.opened))),
	}
}

// wrongInput is the error for an input that a bidirectional stream cannot take here.
func wrongInput(what string) error {
	return status.Errorf(codes.Unimplemented, "the emulator takes audio on this stream, not %s", what)
}
