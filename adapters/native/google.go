package native

import (
	"fmt"
	"regexp"
	"time"

	v2 "cloud.google.com/go/dialogflow/apiv2/dialogflowpb"
	pb "cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
)

// The messages of both versions share their field numbers, so a stream is read as
// v2beta1's and its responses are turned into v2's for clients of v2: what v2 does not
// know is left out. TestVersionsAgree watches over it.

// served is a method of Agent Assist; stream is nil where it is unary.
type served struct{ stream func(full string) protocol }

// methods are all that is served in Google's place, by full method.
var methods = methodTable(v2.File_google_cloud_dialogflow_v2_participant_proto, v2.File_google_cloud_dialogflow_v2_conversation_proto,
	v2.File_google_cloud_dialogflow_v2_conversation_profile_proto, v2.File_google_cloud_dialogflow_v2_answer_record_proto,
	pb.File_google_cloud_dialogflow_v2beta1_participant_proto, pb.File_google_cloud_dialogflow_v2beta1_conversation_proto,
	pb.File_google_cloud_dialogflow_v2beta1_conversation_profile_proto, pb.File_google_cloud_dialogflow_v2beta1_answer_record_proto)

func methodTable(files ...protoreflect.FileDescriptor) map[string]served {
	table := map[string]served{}
	for _, f := range files {
		for i := range f.Services().Len() {
			s := f.Services().Get(i)
			for j := range s.Methods().Len() {
				m := s.Methods().Get(j)
				full := fmt.Sprintf("/%s/%s", s.FullName(), m.Name())
				toV2 := f.Package() == "google.cloud.dialogflow.v2"
				switch {
				case m.Name() == "StreamingAnalyzeContent":
					table[full] = served{func(full string) protocol { return &analyze{google: google{method: full, v2: toV2}} }}
				case m.Name() == "BidiStreamingAnalyzeContent":
					table[full] = served{func(full string) protocol { return &bidi{google: google{method: full, v2: toV2}} }}
				case !m.IsStreamingClient() && !m.IsStreamingServer():
					table[full] = served{}
				}
			}
		}
	}
	return table
}

// google is what both ways to stream share.
type google struct {
	method string
	v2     bool
	audio  audio
	began  bool
}

func (*google) message() any              { return new(frame) }
func (*google) opened() any               { return nil }
func (*google) order(adapter.Control) any { return nil } // Google's protocol has no word for it
func (*google) closed() any               { return nil }

// participantForm is the full name of a participant.
var participantForm = regexp.MustCompile(`^(projects/[^/\s]+(?:/locations/[^/\s]+)?/conversations/([^/\s]+))/participants/([^/\s]+)$`)

// begin opens the leg of a participant's stream. request is the stream's own first
// message; nil leaves the form to the route.
func (g *google) begin(t *talk, participant string, format media.Format, language string, request []byte) *goodbye {
	name := participantForm.FindStringSubmatch(participant)
	if name == nil {
		return broken(countFirst, codes.InvalidArgument, "participant %.200q is no full name: projects/P/locations/L/conversations/C/participants/X", participant)
	}
	if err := format.Validate(); err != nil {
		return broken(countFirst, codes.InvalidArgument, "%v; send AUDIO_ENCODING_LINEAR_16 or AUDIO_ENCODING_MULAW at %d to %d Hz", err, media.MinRate, media.MaxRate)
	}
	g.began = true
	g.audio = audio{track: media.TrackID(name[3]), format: format}
	bye := t.open(adapter.LegInfo{
		CallKey: name[1], LegKey: name[3], Conversation: name[2],
		Client:  adapter.Client{Method: g.method, Conversation: name[1]},
		Results: adapter.ResultsRaw,
	})
	if bye != nil {
		return bye
	}
	return t.heard(t.leg.Join(g.audio.track, adapter.Track{
		Format: format, Language: language, Participant: participant, Request: request,
		Speaker: adapter.Speaker{ID: name[3], Role: adapter.RoleOther, Evidence: "the participant's own role"},
	}))
}

func formatOf(e pb.AudioEncoding, rate int32) media.Format {
	f := media.Format{Rate: int(rate)}
	switch e {
	case pb.AudioEncoding_AUDIO_ENCODING_MULAW:
		f.Encoding = media.MuLaw
	case pb.AudioEncoding_AUDIO_ENCODING_LINEAR_16:
		f.Encoding = media.Linear16
	}
	return f
}

// analyze is StreamingAnalyzeContent.
type analyze struct {
	google
	finalsOnly bool // v2's disable_interim_input_transcripts
}

// Field numbers of StreamingAnalyzeContentRequest, in both versions.
const inputAudioField = 5

// take implements protocol.
func (a *analyze) take(t *talk, m any, at time.Time) *goodbye {
	b := m.(*frame).b
	if !a.began {
		return a.first(t, b)
	}
	if payload, ok := only(b, inputAudioField); ok {
		return t.heard(a.audio.write(t.leg, payload, at))
	}
	var r pb.StreamingAnalyzeContentRequest
	if err := proto.Unmarshal(b, &r); err != nil {
		return broken(countMessage, codes.InvalidArgument, "a message is no StreamingAnalyzeContentRequest")
	}
	switch in := r.GetInput().(type) {
	case nil:
		if r.GetConfig() != nil || r.GetParticipant() != "" {
			return broken(countMessage, codes.InvalidArgument, "the configuration came a second time")
		}
		return nil // what some clients send before they half-close
	case *pb.StreamingAnalyzeContentRequest_InputAudio:
		return t.heard(a.audio.write(t.leg, in.InputAudio, at))
	case *pb.StreamingAnalyzeContentRequest_InputDtmf:
		return t.heard(t.leg.Note(adapter.Note{Kind: adapter.NoteDTMF, At: at, Text: digits(in.InputDtmf)}))
	}
	return broken(countMessage, codes.Unimplemented, "only audio is streamed; send text with AnalyzeContent")
}

// first reads the configuration.
func (a *analyze) first(t *talk, b []byte) *goodbye {
	var r pb.StreamingAnalyzeContentRequest
	if err := proto.Unmarshal(b, &r); err != nil {
		return broken(countMessage, codes.InvalidArgument, "the first message is no StreamingAnalyzeContentRequest")
	}
	config := r.GetAudioConfig()
	switch {
	case r.GetTextConfig() != nil:
		return broken(countFirst, codes.Unimplemented, "text streams are not served; send text with AnalyzeContent")
	case r.GetReplyAudioConfig() != nil || r.GetEnablePartialAutomatedAgentReply():
		return broken(countFirst, codes.Unimplemented, "virtual agents are not served: leave reply_audio_config and enable_partial_automated_agent_reply out")
	case config == nil:
		return broken(countFirst, codes.InvalidArgument, "the first message must hold participant and audio_config")
	case r.GetInput() != nil:
		return broken(countFirst, codes.InvalidArgument, "the first message must hold no input")
	case config.GetSingleUtterance():
		return broken(countFirst, codes.Unimplemented, "single_utterance is not served; half-close the stream after its first final")
	}
	if a.v2 {
		var twin v2.StreamingAnalyzeContentRequest
		if err := proto.Unmarshal(b, &twin); err == nil {
			a.finalsOnly = twin.GetAudioConfig().GetDisableInterimInputTranscripts()
		}
	}
	request, err := proto.Marshal(&r)
	if err != nil {
		return broken(countMessage, codes.InvalidArgument, "the first message cannot be read")
	}
	return a.begin(t, r.GetParticipant(), formatOf(config.GetAudioEncoding(), config.GetSampleRateHertz()), "", request)
}

// only returns a message's one field of bytes, if it holds that and nothing else: the
// shape of almost every message.
func only(b []byte, field protowire.Number) ([]byte, bool) {
	num, typ, n := protowire.ConsumeTag(b)
	if n < 0 || num != field || typ != protowire.BytesType {
		return nil, false
	}
	v, k := protowire.ConsumeBytes(b[n:])
	return v, k >= 0 && n+k == len(b)
}

// result implements protocol.
func (a *analyze) result(r *adapter.Result) (any, error) {
	if !a.v2 {
		return &frame{r.Raw}, nil
	}
	var m v2.StreamingAnalyzeContentResponse
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(r.Raw, &m); err != nil {
		return nil, err
	}
	if rec := m.GetRecognitionResult(); a.finalsOnly && rec.GetMessageType() == v2.StreamingRecognitionResult_TRANSCRIPT && !rec.GetIsFinal() {
		return nil, nil
	}
	return &m, nil
}

// bidi is BidiStreamingAnalyzeContent.
type bidi struct{ google }

// Field numbers of BidiStreamingAnalyzeContentRequest, in both versions.
const (
	bidiInputField = 2
	bidiAudioField = 1 // of Input
)

// take implements protocol.
func (d *bidi) take(t *talk, m any, at time.Time) *goodbye {
	b := m.(*frame).b
	if d.began {
		if input, ok := only(b, bidiInputField); ok {
			if payload, ok := only(input, bidiAudioField); ok {
				return t.heard(d.audio.write(t.leg, payload, at))
			}
		}
	}
	var r pb.BidiStreamingAnalyzeContentRequest
	if err := proto.Unmarshal(b, &r); err != nil {
		return broken(countMessage, codes.InvalidArgument, "a message is no BidiStreamingAnalyzeContentRequest")
	}
	if !d.began {
		return d.first(t, r.GetConfig())
	}
	switch in := r.GetInput().GetInput().(type) {
	case *pb.BidiStreamingAnalyzeContentRequest_Input_Audio:
		return t.heard(d.audio.write(t.leg, in.Audio, at))
	case *pb.BidiStreamingAnalyzeContentRequest_Input_Dtmf:
		return t.heard(t.leg.Note(adapter.Note{Kind: adapter.NoteDTMF, At: at, Text: digits(in.Dtmf)}))
	case *pb.BidiStreamingAnalyzeContentRequest_Input_Turn:
		return broken(countMessage, codes.Unimplemented, "turns are for virtual agents, which are not served")
	}
	if r.GetConfig() != nil {
		return broken(countMessage, codes.InvalidArgument, "the configuration came a second time")
	}
	return nil
}

// first reads the configuration. The form of the stream behind is the route's.
func (d *bidi) first(t *talk, c *pb.BidiStreamingAnalyzeContentRequest_Config) *goodbye {
	voice := c.GetVoiceSessionConfig()
	if voice == nil {
		return broken(countFirst, codes.InvalidArgument, "the first message must hold config with participant and voice_session_config")
	}
	return d.begin(t, c.GetParticipant(), formatOf(voice.GetInputAudioEncoding(), voice.GetInputAudioSampleRateHertz()), "", nil)
}

// result implements protocol.
func (d *bidi) result(r *adapter.Result) (any, error) {
	var m pb.StreamingAnalyzeContentResponse
	if err := proto.Unmarshal(r.Raw, &m); err != nil {
		return nil, err
	}
	out := &pb.BidiStreamingAnalyzeContentResponse{}
	switch rec := m.GetRecognitionResult(); {
	case rec != nil && rec.GetMessageType() != pb.StreamingRecognitionResult_TRANSCRIPT:
		return nil, nil // the client did not ask for events of speech
	case rec != nil:
		out.Response = &pb.BidiStreamingAnalyzeContentResponse_RecognitionResult{RecognitionResult: rec}
	case m.GetMessage() != nil || len(m.GetHumanAgentSuggestionResults())+len(m.GetEndUserSuggestionResults()) > 0:
		out.Response = &pb.BidiStreamingAnalyzeContentResponse_AnalyzeContentResponse{AnalyzeContentResponse: &pb.AnalyzeContentResponse{
			Message: m.GetMessage(), HumanAgentSuggestionResults: m.GetHumanAgentSuggestionResults(), EndUserSuggestionResults: m.GetEndUserSuggestionResults(),
		}}
	default:
		return nil, nil
	}
	if !d.v2 {
		return out, nil
	}
	b, err := proto.Marshal(out)
	if err != nil {
		return nil, err
	}
	twin := &v2.BidiStreamingAnalyzeContentResponse{}
	return twin, (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(b, twin)
}

// digits writes DTMF as people do.
func digits(e *pb.TelephonyDtmfEvents) string {
	const keys = "?123456789"
	out := ""
	for _, d := range e.GetDtmfEvents() {
		switch {
		case d >= pb.TelephonyDtmf_DTMF_ONE && d <= pb.TelephonyDtmf_DTMF_NINE:
			out += keys[d : d+1]
		case d == pb.TelephonyDtmf_DTMF_ZERO:
			out += "0"
		case d >= pb.TelephonyDtmf_DTMF_A && d <= pb.TelephonyDtmf_DTMF_D:
			out += string(rune('A' + d - pb.TelephonyDtmf_DTMF_A))
		case d == pb.TelephonyDtmf_DTMF_STAR:
			out += "*"
		case d == pb.TelephonyDtmf_DTMF_POUND:
			out += "#"
		}
	}
	return out
}
