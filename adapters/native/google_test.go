package native

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	v2 "cloud.google.com/go/dialogflow/apiv2/dialogflowpb"
	pb "cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/patchbay/patchbay/core/emulator"
	"github.com/patchbay/patchbay/core/media/probe"
)

// A call of ten minutes is one stream for the client, over many of Google's: every word
// comes once, with the offsets of the client's own audio.
func TestLongStream(t *testing.T) {
	inBubble(t, rigConfig{}, func(t *testing.T, r *rig) {
		conv, customer, agent := r.conversation("CAlong")
		a, b := r.open(1, config(customer)), r.open(2, config(agent))
		said := make(chan struct{})
		go func() { b.say(10 * time.Minute); close(said) }()
		a.say(10 * time.Minute)
		<-said
		for _, st := range []*stream{a, b} {
			if err := st.end(); err != nil {
				t.Fatal(err)
			}
			if got := words(t, texts(st.finals())); got != st.n {
				t.Errorf("the finals hold %d blocks; want %d", got, st.n)
			}
			wantOffsets(t, st)
		}
		r.heardOnce(customer, 1, a.n)
		r.heardOnce(agent, 2, b.n)
		if n := r.ledgers(true); n < 8 {
			t.Errorf("Agent Assist had %d streams; want at least 4 for each of the two", n)
		}
		c, err := r.convs.GetConversation(r.Context(), &pb.GetConversationRequest{Name: conv})
		if err != nil || c.GetLifecycleState() != pb.Conversation_IN_PROGRESS {
			t.Errorf("the conversation is %v, %v; want it in progress: it is the client's", c.GetLifecycleState(), err)
		}
		if n := len(r.calls.Calls()); n != 1 {
			t.Errorf("%d calls; want one", n)
		}
		info := r.calls.Calls()[0].Info()
		for i, role := range []string{"end_user", "human_agent"} {
			if info.Tracks[i].Role != role && info.Tracks[1-i].Role != role {
				t.Errorf("no track of a %s: %+v", role, info.Tracks)
			}
		}
	})
}

// wantOffsets checks that the end of each final is where its last block ends in the
// client's audio. Four seconds of blocks are followed by one of silence.
func wantOffsets(t *testing.T, st *stream) {
	t.Helper()
	last := time.Duration(-1)
	for _, f := range st.finals() {
		at := f.GetSpeechEndOffset().AsDuration()
		if at <= last {
			t.Errorf("a final ends at %v, the one before at %v", at, last)
		}
		last = at
		words := strings.Fields(f.GetTranscript())
		var first, n uint32
		if _, err := fmt.Sscanf(words[len(words)-1], "%d-%d", &first, &n); err != nil {
			t.Fatal(err)
		}
		spoken := n + 1
		pauses := (spoken) / 200 // of blocks 199, 399… the first second has one less: spoken counts from 1
		want := time.Duration(spoken+50*pauses) * 20 * time.Millisecond
		if d := at - want; d < -1500*time.Millisecond || d > 1500*time.Millisecond {
			t.Errorf("final %q ends at %v; want about %v", f.GetTranscript(), at, want)
		}
	}
}

// Faults of Agent Assist are none for the client.
func TestFaultsAreHidden(t *testing.T) {
	plan := emulator.Plan{Seed: 7}
	for _, order := range []string{"stream-end:UNAVAILABLE@20s-40s,times=3", "cut@50s,times=1", "duplicate-final,chance=0.2", "duplicate-message,chance=0.2"} {
		f, err := emulator.ParseFault(order)
		if err != nil {
			t.Fatal(err)
		}
		plan.Faults = append(plan.Faults, f)
	}
	inBubble(t, rigConfig{emulator: func(c *emulator.Config) { c.Faults = plan }}, func(t *testing.T, r *rig) {
		_, customer, _ := r.conversation("CAfaults")
		st := r.open(1, config(customer))
		st.say(3 * time.Minute)
		if err := st.end(); err != nil {
			t.Fatal(err)
		}
		if got := words(t, texts(st.finals())); got != st.n {
			t.Errorf("the finals hold %d blocks; want %d", got, st.n)
		}
		seen := map[string]bool{}
		interim := time.Duration(0)
		for _, m := range st.got {
			if name := m.GetMessage().GetName(); name != "" {
				if seen[name] {
					t.Errorf("message %s came twice", name)
				}
				seen[name] = true
			}
			if rec := m.GetRecognitionResult(); rec.GetMessageType() == pb.StreamingRecognitionResult_TRANSCRIPT {
				at := rec.GetSpeechEndOffset().AsDuration()
				if at+200*time.Millisecond < interim {
					t.Errorf("a result goes back from %v to %v", interim, at)
				}
				interim = max(interim, at)
			}
		}
		if n := r.ledgers(true); n < 4 {
			t.Errorf("%d streams; want some more, for the faults", n)
		}
	})
}

// Streams of one participant, one after another, are one track, and each counts from
// its own first sample.
func TestStreamsInTurn(t *testing.T) {
	inBubble(t, rigConfig{}, func(t *testing.T, r *rig) {
		_, customer, _ := r.conversation("CAturns")
		var n uint32
		var before *stream
		for turn := range 4 {
			first := config(customer)
			first.EnableExtendedStreaming = turn%2 == 0
			st := r.open(1, first)
			st.n = n
			st.say(7 * time.Second)
			n = st.n
			if err := st.CloseSend(); err != nil { // and the next stream begins at once
				t.Fatal(err)
			}
			if before != nil {
				<-before.done
				if !errors.Is(before.err, io.EOF) {
					t.Fatalf("stream %d ended with %v", turn-1, before.err)
				}
			}
			if before = st; turn == 3 {
				<-st.done
			}
			for _, f := range st.finals() {
				if at := f.GetSpeechEndOffset().AsDuration(); at > 7100*time.Millisecond {
					t.Errorf("stream %d has a final at %v", turn, at)
				}
			}
		}
		r.heardOnce(customer, 1, n)
		r.ledgers(true)
		calls := r.calls.Calls()
		if len(calls) != 1 || len(calls[0].Info().Tracks) != 1 || len(calls[0].Info().LegList) != 4 {
			t.Errorf("want one call of one track and four legs; got %+v", calls[0].Info())
		}
	})
}

// What an utterance brings comes on the stream that heard it.
func TestTurnsKeepTheirResults(t *testing.T) {
	inBubble(t, rigConfig{}, func(t *testing.T, r *rig) {
		_, customer, _ := r.conversation("CAown")
		var all []string
		var n uint32
		for range 3 {
			first := config(customer)
			first.EnableExtendedStreaming = false
			st := r.open(1, first)
			st.n = n
			st.say(6 * time.Second)
			if err := st.end(); err != nil {
				t.Fatal(err)
			}
			var said []string
			for _, m := range st.got {
				if m.GetMessage() != nil {
					said = append(said, m.GetMessage().GetContent())
				}
			}
			if fmt.Sprint(said) != fmt.Sprint(texts(st.finals())) {
				t.Errorf("messages %q, finals %q; want the same", said, texts(st.finals()))
			}
			all = append(all, said...)
			n = st.n
			time.Sleep(3 * time.Second)
		}
		if got := words(t, all); got != n {
			t.Errorf("the messages hold %d blocks; want %d", got, n)
		}
	})
}

func TestTakeover(t *testing.T) {
	inBubble(t, rigConfig{}, func(t *testing.T, r *rig) {
		_, customer, _ := r.conversation("CAtwice")
		old := r.open(1, config(customer))
		old.say(3 * time.Second)
		again := r.open(1, config(customer))
		again.n = old.n
		again.say(3 * time.Second)
		<-old.done
		if status.Code(old.err) != codes.Aborted {
			t.Errorf("the stream that was taken over ended with %v; want ABORTED", old.err)
		}
		if err := again.end(); err != nil {
			t.Error(err)
		}
		r.heardOnce(customer, 1, again.n)
		r.ledgers(true)
	})
}

// V2's own client gets v2's messages, without what v2 does not know.
func TestStreamV2(t *testing.T) {
	inBubble(t, rigConfig{}, func(t *testing.T, r *rig) {
		_, customer, _ := r.conversation("CAv2")
		c, err := r.partsV2.StreamingAnalyzeContent(r.Context())
		if err != nil {
			t.Fatal(err)
		}
		send := func(m *v2.StreamingAnalyzeContentRequest) {
			if err := c.Send(m); err != nil {
				t.Fatal(err)
			}
		}
		send(&v2.StreamingAnalyzeContentRequest{Participant: customer, EnableExtendedStreaming: true, OutputMultipleUtterances: true,
			Config: &v2.StreamingAnalyzeContentRequest_AudioConfig{AudioConfig: &v2.InputAudioConfig{
				AudioEncoding: v2.AudioEncoding_AUDIO_ENCODING_MULAW, SampleRateHertz: 8000, DisableInterimInputTranscripts: proto.Bool(true)}}})
		for n := uint32(0); n < 400; n += 5 {
			time.Sleep(100 * time.Millisecond)
			var b []byte
			for i := range uint32(5) {
				b = probe.AppendBlock(b, 1, n+i)
			}
			send(&v2.StreamingAnalyzeContentRequest{Input: &v2.StreamingAnalyzeContentRequest_InputAudio{InputAudio: b}})
		}
		if err := c.CloseSend(); err != nil {
			t.Fatal(err)
		}
		var finals []string
		messages := 0
		for {
			m, err := c.Recv()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			rec := m.GetRecognitionResult()
			if rec.GetMessageType() == v2.StreamingRecognitionResult_TRANSCRIPT && !rec.GetIsFinal() {
				t.Error("an interim came that was not wanted")
			}
			if rec.GetIsFinal() {
				finals = append(finals, rec.GetTranscript())
			}
			if len(rec.ProtoReflect().GetUnknown())+len(m.ProtoReflect().GetUnknown()) > 0 {
				t.Error("a result carries fields that v2 does not know")
			}
			if m.GetMessage() != nil {
				messages++
			}
		}
		if got := words(t, finals); got != 400 || messages != len(finals) {
			t.Errorf("%d blocks in %d finals, %d messages; want 400, and as many messages as finals", got, len(finals), messages)
		}
	})
}

func TestBidi(t *testing.T) {
	inBubble(t, rigConfig{}, func(t *testing.T, r *rig) {
		_, customer, _ := r.conversation("CAbidi")
		c, err := r.parts.BidiStreamingAnalyzeContent(r.Context())
		if err != nil {
			t.Fatal(err)
		}
		send := func(m *pb.BidiStreamingAnalyzeContentRequest) {
			if err := c.Send(m); err != nil {
				t.Fatal(err)
			}
		}
		send(&pb.BidiStreamingAnalyzeContentRequest{Request: &pb.BidiStreamingAnalyzeContentRequest_Config_{Config: &pb.BidiStreamingAnalyzeContentRequest_Config{
			Participant: customer, Config: &pb.BidiStreamingAnalyzeContentRequest_Config_VoiceSessionConfig_{
				VoiceSessionConfig: &pb.BidiStreamingAnalyzeContentRequest_Config_VoiceSessionConfig{
					InputAudioEncoding: pb.AudioEncoding_AUDIO_ENCODING_MULAW, InputAudioSampleRateHertz: 8000}}}}})
		input := func(in *pb.BidiStreamingAnalyzeContentRequest_Input) {
			send(&pb.BidiStreamingAnalyzeContentRequest{Request: &pb.BidiStreamingAnalyzeContentRequest_Input_{Input: in}})
		}
		for n := uint32(0); n < 400; n += 5 {
			time.Sleep(100 * time.Millisecond)
			var b []byte
			for i := range uint32(5) {
				b = probe.AppendBlock(b, 1, n+i)
			}
			input(&pb.BidiStreamingAnalyzeContentRequest_Input{Input: &pb.BidiStreamingAnalyzeContentRequest_Input_Audio{Audio: b}})
		}
		input(&pb.BidiStreamingAnalyzeContentRequest_Input{Input: &pb.BidiStreamingAnalyzeContentRequest_Input_Dtmf{
			Dtmf: &pb.TelephonyDtmfEvents{DtmfEvents: []pb.TelephonyDtmf{pb.TelephonyDtmf_DTMF_ONE, pb.TelephonyDtmf_DTMF_POUND}}}})
		if err := c.CloseSend(); err != nil {
			t.Fatal(err)
		}
		var finals []string
		messages := 0
		for {
			m, err := c.Recv()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if rec := m.GetRecognitionResult(); rec.GetIsFinal() {
				finals = append(finals, rec.GetTranscript())
			}
			if m.GetAnalyzeContentResponse().GetMessage() != nil {
				messages++
			}
		}
		if got := words(t, finals); got != 400 || messages != len(finals) {
			t.Errorf("%d blocks in %d finals, %d messages; want 400, and as many messages as finals", got, len(finals), messages)
		}
		for _, e := range r.calls.Calls()[0].Events().Since(0, 0) {
			if e.Note != nil && e.Note.Kind == "dtmf" && e.Note.Text == "1#" {
				return
			}
		}
		t.Error("the digits are not in the log")
	})
}

// Bad first messages end their own stream, with a status that says why.
func TestRefusedStreams(t *testing.T) {
	inBubble(t, rigConfig{}, func(t *testing.T, r *rig) {
		conv, customer, _ := r.conversation("CArefused")
		robot := r.join(conv, pb.Participant_AUTOMATED_AGENT)
		change := func(f func(*pb.StreamingAnalyzeContentRequest)) *pb.StreamingAnalyzeContentRequest {
			m := config(customer)
			f(m)
			return m
		}
		for name, c := range map[string]struct {
			first *pb.StreamingAnalyzeContentRequest
			code  codes.Code
			words string
		}{
			"nothing at all": {&pb.StreamingAnalyzeContentRequest{}, codes.InvalidArgument, "participant and audio_config"},
			"text": {change(func(m *pb.StreamingAnalyzeContentRequest) {
				m.Config = &pb.StreamingAnalyzeContentRequest_TextConfig{TextConfig: &pb.InputTextConfig{}}
			}), codes.Unimplemented, "AnalyzeContent"},
			"virtual agent":    {change(func(m *pb.StreamingAnalyzeContentRequest) { m.ReplyAudioConfig = &pb.OutputAudioConfig{} }), codes.Unimplemented, "virtual agents"},
			"input at once":    {change(func(m *pb.StreamingAnalyzeContentRequest) { m.Input = &pb.StreamingAnalyzeContentRequest_InputAudio{} }), codes.InvalidArgument, "no input"},
			"single utterance": {change(func(m *pb.StreamingAnalyzeContentRequest) { m.GetAudioConfig().SingleUtterance = true }), codes.Unimplemented, "single_utterance"},
			"a strange format": {change(func(m *pb.StreamingAnalyzeContentRequest) {
				m.GetAudioConfig().AudioEncoding = pb.AudioEncoding_AUDIO_ENCODING_OGG_OPUS
			}), codes.InvalidArgument, "LINEAR_16"},
			"no rate":          {change(func(m *pb.StreamingAnalyzeContentRequest) { m.GetAudioConfig().SampleRateHertz = 0 }), codes.InvalidArgument, "Hz"},
			"no full name":     {config("p-1"), codes.InvalidArgument, "full name"},
			"another project":  {config(strings.Replace(customer, "local", "theirs", 1)), codes.PermissionDenied, "project and location"},
			"another location": {config(strings.Replace(customer, "global", "eu", 1)), codes.PermissionDenied, "project and location"},
			"no such person":   {config(conv + "/participants/nobody"), codes.NotFound, ""},
			"a robot":          {config(robot), codes.InvalidArgument, "END_USER"},
			"no conversation":  {config(parent + "/conversations/none/participants/p"), codes.NotFound, ""},
			"refused by Google": {change(func(m *pb.StreamingAnalyzeContentRequest) {
				m.GetAudioConfig().SpeechContexts = nil
				m.EnableExtendedStreaming = true
				m.GetAudioConfig().LanguageCode = "xx-invalid-language"
			}), codes.OK, ""},
		} {
			st := r.open(1, c.first)
			st.say(time.Second)
			synctest.Wait()
			err := st.end()
			if status.Code(err) != c.code || !strings.Contains(status.Convert(err).Message(), c.words) {
				t.Errorf("%s: %v; want %v and %q", name, err, c.code, c.words)
			}
			time.Sleep(time.Minute) // so that each is a call of its own
		}
		st := r.open(1, config(customer)) // and it still serves
		st.say(2 * time.Second)
		if err := st.end(); err != nil {
			t.Error(err)
		}
	})
}

// A conversation that the client completes takes no more audio.
func TestCompleted(t *testing.T) {
	inBubble(t, rigConfig{}, func(t *testing.T, r *rig) {
		conv, customer, _ := r.conversation("CAover")
		st := r.open(1, config(customer))
		st.say(2 * time.Second)
		if _, err := r.convs.CompleteConversation(r.Context(), &pb.CompleteConversationRequest{Name: conv}); err != nil {
			t.Fatal(err)
		}
		st.say(time.Minute)
		if err := st.end(); status.Code(err) != codes.FailedPrecondition {
			t.Errorf("a stream of a completed conversation ended with %v; want FAILED_PRECONDITION", err)
		}
		time.Sleep(time.Minute)
		late := r.open(1, config(customer))
		late.say(time.Second)
		if err := late.end(); status.Code(err) != codes.FailedPrecondition {
			t.Errorf("a late stream ended with %v; want FAILED_PRECONDITION", err)
		}
	})
}

// A client that reads nothing loses its results and its stream, and none of its audio.
func TestClientThatDoesNotRead(t *testing.T) {
	inBubble(t, rigConfig{}, func(t *testing.T, r *rig) {
		_, customer, _ := r.conversation("CAdeaf")
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		c, err := r.parts.StreamingAnalyzeContent(ctx)
		if err != nil {
			t.Fatal(err)
		}
		st := &stream{r: r, Participants_StreamingAnalyzeContentClient: c, id: 1}
		if err := c.Send(config(customer)); err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() { // its sending stops too, once nobody takes it
			defer close(done)
			st.say(20 * time.Minute)
		}()
		for r.counted(countUnread) == 0 {
			time.Sleep(time.Second)
			if st := r.calls.Calls(); len(st) > 0 && st[0].Info().Ended != (time.Time{}) {
				t.Fatal("the call ended before its client was found not to read")
			}
		}
		for { // now it does
			if _, err = c.Recv(); err != nil {
				break
			}
		}
		if status.Code(err) != codes.ResourceExhausted {
			t.Errorf("the stream ended with %v; want RESOURCE_EXHAUSTED", err)
		}
		<-done
		time.Sleep(time.Minute)
		r.ledgers(true)
	})
}

// The streams' messages of both versions have the same fields, for what is turned from
// one into the other.
func TestVersionsAgree(t *testing.T) {
	seen := map[protoreflect.FullName]bool{}
	var compare func(a, b protoreflect.MessageDescriptor)
	compare = func(a, b protoreflect.MessageDescriptor) {
		if seen[b.FullName()] {
			return
		}
		seen[b.FullName()] = true
		for i := range b.Fields().Len() {
			want := b.Fields().Get(i)
			got := a.Fields().ByNumber(want.Number())
			if got == nil {
				continue // v2 alone has it
			}
			if got.Name() != want.Name() || got.Kind() != want.Kind() || got.Cardinality() != want.Cardinality() {
				t.Errorf("%s is %s %v in v2beta1", want.FullName(), got.Name(), got.Kind())
			} else if want.Message() != nil && !want.IsMap() && strings.HasPrefix(string(want.Message().FullName()), "google.cloud.dialogflow") {
				compare(got.Message(), want.Message())
			}
		}
	}
	for _, pair := range [][2]proto.Message{
		{&pb.StreamingAnalyzeContentRequest{}, &v2.StreamingAnalyzeContentRequest{}},
		{&pb.StreamingAnalyzeContentResponse{}, &v2.StreamingAnalyzeContentResponse{}},
		{&pb.BidiStreamingAnalyzeContentRequest{}, &v2.BidiStreamingAnalyzeContentRequest{}},
		{&pb.BidiStreamingAnalyzeContentResponse{}, &v2.BidiStreamingAnalyzeContentResponse{}},
	} {
		compare(pair[0].ProtoReflect().Descriptor(), pair[1].ProtoReflect().Descriptor())
	}
	if len(seen) < 20 {
		t.Errorf("%d messages were compared; want more", len(seen))
	}
}

// The short way to a message's audio says the same as the long one, or nothing.
func FuzzOnly(f *testing.F) {
	for _, m := range []*pb.StreamingAnalyzeContentRequest{
		{Input: &pb.StreamingAnalyzeContentRequest_InputAudio{InputAudio: []byte("audio")}},
		{Input: &pb.StreamingAnalyzeContentRequest_InputAudio{}},
		config("p"),
	} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, ok := only(b, inputAudioField)
		if !ok {
			return
		}
		var m pb.StreamingAnalyzeContentRequest
		if err := proto.Unmarshal(b, &m); err != nil {
			t.Fatalf("audio was taken of a message that is none: %v", err)
		}
		in, isAudio := m.GetInput().(*pb.StreamingAnalyzeContentRequest_InputAudio)
		if !isAudio || !reflect.DeepEqual(append([]byte{}, in.InputAudio...), append([]byte{}, got...)) || len(m.ProtoReflect().GetUnknown()) > 0 {
			t.Errorf("audio %q; the message holds %v", got, &m)
		}
	})
}
