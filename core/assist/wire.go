package assist

import (
	"context"
	"sync/atomic"

	"cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"github.com/googleapis/gax-go/v2"
	"google.golang.org/grpc"

	"github.com/patchbay/patchbay/core/media"
)

// wire is one stream to Agent Assist, whatever its transport. recv gives results
// in the form of StreamingAnalyzeContent.
type wire interface {
	send(audio []byte) error
	closeSend() error
	recv() (*dialogflowpb.StreamingAnalyzeContentResponse, error)
}

// wireConfig is what a stream must say first.
type wireConfig struct {
	transport   Transport
	participant string
	format      media.Format // as sent
	language    string
	model       string
	wordTimes   bool
	allFields   bool // of bidi's configuration, see bidiForm
	// request is a client's own first message; nil when we choose.
	request *dialogflowpb.StreamingAnalyzeContentRequest
}

// openWire opens a stream and sends its configuration. ctx bounds its whole life.
func openWire(ctx context.Context, l *lane, c wireConfig) (wire, error) {
	if c.transport == Bidi {
		return openBidi(ctx, l, c)
	}
	return openAnalyze(ctx, l, c)
}

type analyzeWire struct {
	stream dialogflowpb.Participants_StreamingAnalyzeContentClient
	audio  audioMessage
}

// streamOptions hold for all streams. gRPC keeps no copy of what was sent until the
// first answer, for a retry of its own: the tape has the audio, and retries are ours.
// (In one option, for gax takes the last one alone.)
var streamOptions = gax.WithGRPCOptions(grpc.MaxRetryRPCBufferSize(1), grpc.ForceCodecV2(analyzeCodec))

func openAnalyze(ctx context.Context, l *lane, c wireConfig) (wire, error) {
	stream, err := l.StreamingAnalyzeContent(ctx, streamOptions)
	if err != nil {
		return nil, err
	}
	// The first message carries no input. An error here shows at the first recv.
	if c.request != nil {
		return &analyzeWire{stream: stream}, ignoreEOF(stream.Send(c.clientRequest()))
	}
	return &analyzeWire{stream: stream}, ignoreEOF(stream.Send(&dialogflowpb.StreamingAnalyzeContentRequest{
		Participant: c.participant,
		Config: &dialogflowpb.StreamingAnalyzeContentRequest_AudioConfig{AudioConfig: &dialogflowpb.InputAudioConfig{
			AudioEncoding:             googleEncoding(c.format.Encoding),
			SampleRateHertz:           int32(c.format.Rate),
			LanguageCode:              c.language,
			Model:                     c.model,
			EnableWordInfo:            c.wordTimes,
			EnableVoiceActivityEvents: true,
		}},
		EnableExtendedStreaming:  c.transport == Extended,
		OutputMultipleUtterances: true,
	}))
}

func (w *analyzeWire) send(audio []byte) error {
	w.audio = audio
	return w.stream.SendMsg(&w.audio)
}

func (w *analyzeWire) closeSend() error { return w.stream.CloseSend() }

func (w *analyzeWire) recv() (*dialogflowpb.StreamingAnalyzeContentResponse, error) {
	return w.stream.Recv()
}

type bidiWire struct {
	stream dialogflowpb.Participants_BidiStreamingAnalyzeContentClient
}

// bidiForm is what a Google wants to see in the configuration of a bidirectional
// stream. Its page (Agent Assist, "Bidirectional API", March 2026) says that the input's
// two fields are optional, and samples send them alone; the API's definition says that
// the output's are required too. The first is tried first.
type bidiForm struct {
	all    atomic.Bool // send the output's fields too
	proven atomic.Bool // a stream has brought something
}

// otherForm reports whether the stream may have been refused for its configuration's
// form, and changes that, once a track.
func (t *track) otherForm() bool {
	f := &t.s.clients.bidi
	if t.transport() != Bidi || t.reformed || f.proven.Load() {
		return false
	}
	t.reformed = true
	f.all.CompareAndSwap(t.allFields, !t.allFields)
	t.decide(decision{what: didReform, text: "the stream's configuration is tried in its other form"})
	return true
}

func openBidi(ctx context.Context, l *lane, c wireConfig) (wire, error) {
	voice := &dialogflowpb.BidiStreamingAnalyzeContentRequest_Config_VoiceSessionConfig{
		InputAudioEncoding:        googleEncoding(c.format.Encoding),
		InputAudioSampleRateHertz: int32(c.format.Rate),
	}
	if c.allFields {
		voice.OutputAudioEncoding = dialogflowpb.OutputAudioEncoding_OUTPUT_AUDIO_ENCODING_MULAW
		voice.OutputAudioSampleRateHertz = int32(c.format.Rate)
	}
	stream, err := l.BidiStreamingAnalyzeContent(ctx, streamOptions)
	if err != nil {
		return nil, err
	}
	return &bidiWire{stream: stream}, ignoreEOF(stream.Send(&dialogflowpb.BidiStreamingAnalyzeContentRequest{
		Request: &dialogflowpb.BidiStreamingAnalyzeContentRequest_Config_{Config: &dialogflowpb.BidiStreamingAnalyzeContentRequest_Config{
			Participant: c.participant,
			Config: &dialogflowpb.BidiStreamingAnalyzeContentRequest_Config_VoiceSessionConfig_{
				VoiceSessionConfig: voice,
			},
		}},
	}))
}

func (w *bidiWire) send(audio []byte) error {
	return w.stream.Send(&dialogflowpb.BidiStreamingAnalyzeContentRequest{
		Request: &dialogflowpb.BidiStreamingAnalyzeContentRequest_Input_{Input: &dialogflowpb.BidiStreamingAnalyzeContentRequest_Input{
			Input: &dialogflowpb.BidiStreamingAnalyzeContentRequest_Input_Audio{Audio: audio},
		}},
	})
}

func (w *bidiWire) closeSend() error { return w.stream.CloseSend() }

func (w *bidiWire) recv() (*dialogflowpb.StreamingAnalyzeContentResponse, error) {
	resp, err := w.stream.Recv()
	if err != nil {
		return nil, err
	}
	out := &dialogflowpb.StreamingAnalyzeContentResponse{RecognitionResult: resp.GetRecognitionResult()}
	if a := resp.GetAnalyzeContentResponse(); a != nil {
		out.Message = a.GetMessage()
		out.HumanAgentSuggestionResults = a.GetHumanAgentSuggestionResults()
		out.EndUserSuggestionResults = a.GetEndUserSuggestionResults()
	}
	return out, nil
}

func googleEncoding(e media.Encoding) dialogflowpb.AudioEncoding {
	if e == media.MuLaw {
		return dialogflowpb.AudioEncoding_AUDIO_ENCODING_MULAW
	}
	return dialogflowpb.AudioEncoding_AUDIO_ENCODING_LINEAR_16
}

// wireFormat is the format in which audio of format f is sent: Agent Assist takes
// mu-law and linear16, A-law is decoded.
func wireFormat(f media.Format) media.Format {
	if f.Encoding == media.ALaw {
		f.Encoding = media.Linear16
	}
	return f
}
