package emulator

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	pb "cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/patchbay/patchbay/core/emulator/recordings"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/media/probe"
)

// TestExtendedStream sends 170 s of coded audio: each final comes with its
// message while the stream runs, and every block is heard once.
func TestExtendedStream(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		conv, customer, _ := r.conversation("CAextended")
		st := r.open(extended(customer))
		st.play(blocks(7, 0, 8500), media.Telephony, 1)
		st.settle()
		if len(st.finals()) < 30 {
			r.Errorf("%d finals before the half-close; want at least 30", len(st.finals()))
		}
		if err := st.end(); err != nil {
			r.Fatalf("the stream ended with %v", err)
		}
		var last time.Duration
		messages := 0
		for i, resp := range st.got {
			if res := resp.GetRecognitionResult(); res != nil {
				end := res.GetSpeechEndOffset().AsDuration()
				if end < last || end > st.at[i]+200*time.Millisecond {
					r.Errorf("result %d ends at %v, came at %v, the one before ended at %v", i, end, st.at[i], last)
				}
				last = end
			}
			if resp.GetMessage() != nil {
				messages++
				if final := st.got[i-1].GetRecognitionResult(); !final.GetIsFinal() || final.GetTranscript() != resp.GetMessage().GetContent() {
					r.Errorf("message %d does not follow its final", messages)
				}
			}
		}
		if last != 170*time.Second {
			r.Errorf("the last result ends at %v; want 170s", last)
		}
		if stored := len(r.messages(conv)); messages != len(st.finals()) || stored != messages {
			r.Errorf("%d finals, %d messages, %d stored", len(st.finals()), messages, stored)
		}
		c, ok := r.s.Account().Conversation("CAextended")
		if !ok {
			r.Fatal("no account of the conversation")
		}
		p := c.Role("END_USER")[0]
		want := BlockAccount{Stream: 7, Distinct: 8500, Last: 8499}
		if p.Samples != 170*8000 || p.Bytes != 170*8000 || p.Streams != 1 || len(p.Blocks) != 1 || p.Blocks[0] != want {
			r.Errorf("account = %+v", p)
		}
	})
}

func TestLimits(t *testing.T) {
	for _, c := range []struct {
		name  string
		first func(string) *pb.StreamingAnalyzeContentRequest
		after time.Duration
		code  codes.Code
		text  string
	}{
		{"extended", extended, 180 * time.Second, codes.OutOfRange, "180 seconds"},
		{"plain", config, 305 * time.Second, codes.OutOfRange, "Exceeded maximum allowed stream duration of 305 seconds"},
		{"chirp", func(p string) *pb.StreamingAnalyzeContentRequest {
			c := config(p)
			c.GetAudioConfig().Model = chirpModel
			return c
		}, 300 * time.Second, codes.Aborted, "Max duration of 5 minutes"},
	} {
		for _, speed := range []float64{1, 20} {
			t.Run(c.name, func(t *testing.T) {
				inBubble(t, func(cfg *Config) { cfg.Speed = speed }, func(r *rig) {
					_, customer, _ := r.conversation("CAlimit")
					st := r.open(c.first(customer))
					st.play(blocks(1, 0, uint32(c.after/(20*time.Millisecond))+500), media.Telephony, speed)
					err := st.wait()
					wantRule(r.T, err, c.code, RuleDuration)
					if !strings.Contains(status.Convert(err).Message(), c.text) {
						r.Errorf("error %v does not say %q", err, c.text)
					}
					took, want := time.Since(st.from), time.Duration(float64(c.after)/speed)
					if took < want-time.Second || took > want+time.Second {
						r.Errorf("at speed %v the stream ended after %v; want %v", speed, took, want)
					}
				})
			})
		}
	}
}

// TestPlainStream: results at once, messages and suggestions after half-close.
func TestPlainStream(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		conv, customer, _ := r.conversation("CAplain")
		first := config(customer)
		first.GetAudioConfig().EnableWordInfo = true
		first.GetAudioConfig().EnableVoiceActivityEvents = true
		first.EnableDebuggingInfo = true
		st := r.open(first)
		st.play(slices.Concat(silence(time.Second), tones("amber", "river"), silence(time.Second), tones("echo"), silence(200*time.Millisecond)), media.Telephony, 1)
		st.settle()
		if got, want := without(st.kinds(), "interim"), []string{"speech_activity_begin", "final", "speech_activity_end", "speech_activity_begin"}; !slices.Equal(got, want) {
			r.Errorf("before half-close: %v; want %v", got, want)
		}
		if len(r.messages(conv)) != 1 {
			r.Errorf("%d messages are stored; want the one of the final", len(r.messages(conv)))
		}
		if err := st.end(); err != nil {
			r.Fatal(err)
		}
		want := []string{"speech_activity_begin", "final", "speech_activity_end", "speech_activity_begin", "final", "speech_activity_end",
			"message", "suggestions", "suggestions", "suggestions", "message", "suggestions", "suggestions", "suggestions", "debug"}
		if got := without(st.kinds(), "interim"); !slices.Equal(got, want) {
			r.Errorf("at the end: %v; want %v", got, want)
		}
		final := st.finals()[0]
		if final.GetTranscript() != "amber river" || final.GetConfidence() == 0 || final.GetStability() != 0 || len(final.GetSpeechWordInfo()) != 2 {
			r.Errorf("final = %v", final)
		}
		if w := final.GetSpeechWordInfo()[1]; w.GetWord() != "river" || w.GetEndOffset().AsDuration() != final.GetSpeechEndOffset().AsDuration() {
			r.Errorf("second word = %v", w)
		}
		m := r.messages(conv)[1]
		if at := m.GetSendTime().AsTime().Sub(st.from); at < 900*time.Millisecond || at > 1100*time.Millisecond {
			r.Errorf("send_time is %v after the stream began; want about 1s, where the utterance starts", at)
		}
	})
}

func TestStreamRules(t *testing.T) {
	type streams = []*pb.StreamingAnalyzeContentRequest
	big := make([]byte, 25601)
	with := func(change func(*pb.StreamingAnalyzeContentRequest)) func(string) streams {
		return func(p string) streams {
			c := config(p)
			change(c)
			return streams{c}
		}
	}
	then := func(more ...*pb.StreamingAnalyzeContentRequest) func(string) streams {
		return func(p string) streams { return append(streams{config(p)}, more...) }
	}
	for _, c := range []struct {
		name string
		rule Rule
		code codes.Code
		send func(participant string) streams
	}{
		{"audio first", RuleFirstMessage, codes.InvalidArgument, func(p string) streams {
			a := audio([]byte{1, 2})
			a.Participant = p
			return streams{a}
		}},
		{"audio with the config", RuleFirstMessage, codes.InvalidArgument, with(func(c *pb.StreamingAnalyzeContentRequest) {
			c.Input = audio([]byte{1}).Input
		})},
		{"config twice", RuleConfigOnce, codes.InvalidArgument, then(config(""))},
		{"text on an audio stream", RuleAudioOnly, codes.InvalidArgument,
			then(&pb.StreamingAnalyzeContentRequest{Input: &pb.StreamingAnalyzeContentRequest_InputText{InputText: "x"}})},
		{"audio after the empty message", RuleAudioOnly, codes.InvalidArgument, then(&pb.StreamingAnalyzeContentRequest{}, audio([]byte{1}))},
		{"big chunk", RuleChunkSize, codes.InvalidArgument, then(audio(big))},
		{"A-law", RuleEncoding, codes.InvalidArgument, with(func(c *pb.StreamingAnalyzeContentRequest) {
			c.GetAudioConfig().AudioEncoding = pb.AudioEncoding_AUDIO_ENCODING_ALAW
		})},
		{"no rate", RuleSampleRate, codes.InvalidArgument, with(func(c *pb.StreamingAnalyzeContentRequest) { c.GetAudioConfig().SampleRateHertz = 0 })},
		{"no such model", RuleModel, codes.InvalidArgument, with(func(c *pb.StreamingAnalyzeContentRequest) { c.GetAudioConfig().Model = "elephant" })},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, nil, func(r *rig) {
				_, customer, _ := r.conversation("CArules")
				st := r.open(c.send(customer)...)
				wantRule(r.T, st.end(), c.code, c.rule)
			})
			inBubble(t, func(cfg *Config) { cfg.Off = []Rule{c.rule} }, func(r *rig) {
				_, customer, _ := r.conversation("CArules")
				st := r.open(c.send(customer)...)
				if err := st.end(); strings.Contains(status.Convert(err).Message(), "[rule "+string(c.rule)+"]") {
					r.Errorf("with the rule off: %v", err)
				}
			})
		})
	}
}

func TestStreamNeedsTheRightParticipant(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		conv, customer, _ := r.conversation("CAwho")
		wantRule(r.T, r.open(config(r.join(conv, pb.Participant_AUTOMATED_AGENT))).end(), codes.InvalidArgument, RuleStreamRole)
		if err := r.open(config(conv + "/participants/nobody")).end(); status.Code(err) != codes.NotFound {
			r.Errorf("unknown participant: %v; want NOT_FOUND", err)
		}
		if err := r.open(config("somebody")).end(); status.Code(err) != codes.InvalidArgument {
			r.Errorf("no name at all: %v; want INVALID_ARGUMENT", err)
		}
		wantRule(r.T, r.open().end(), codes.InvalidArgument, RuleFirstMessage)
		wantRule(r.T, r.open(config("projects/other/locations/global/conversations/c/participants/p")).end(), codes.PermissionDenied, RuleProject)

		running := r.open(config(customer), audio(silence(100*time.Millisecond)))
		running.settle()
		wantRule(r.T, r.open(config(customer)).end(), codes.FailedPrecondition, RuleOneStream)
		if err := running.end(); err != nil {
			r.Errorf("the first stream suffered from the second: %v", err)
		}
		if err := r.open(config(customer)).end(); err != nil {
			r.Errorf("a stream after the first one ended: %v", err)
		}

		running = r.open(config(customer), audio(silence(100*time.Millisecond)))
		running.settle()
		if _, err := r.convs.CompleteConversation(r.Context(), &pb.CompleteConversationRequest{Name: conv}); err != nil {
			r.Fatal(err)
		}
		wantRule(r.T, running.wait(), codes.FailedPrecondition, RuleConversationOpen)
		wantRule(r.T, r.open(config(customer)).end(), codes.FailedPrecondition, RuleConversationOpen)
	})
}

func TestPacing(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		_, customer, agent := r.conversation("CApace")
		st := r.open(config(customer), audio(silence(time.Second)))
		wantRule(r.T, st.wait(), codes.OutOfRange, RuleTooSlow)
		if took := time.Since(st.from); took != 10*time.Second {
			r.Errorf("too slow after %v; want 10s", took)
		}
		st = r.open(config(agent))
		st.play(silence(2*time.Minute), media.Telephony, 4) // after 20 s it is 60 s ahead
		wantRule(r.T, st.wait(), codes.OutOfRange, RuleTooFast)
		if took := time.Since(st.from); took < 19*time.Second || took > 21*time.Second {
			r.Errorf("too fast after %v; want 20s", took)
		}
	})
	inBubble(t, func(cfg *Config) { cfg.Off = []Rule{RuleTooSlow, RuleTooFast} }, func(r *rig) {
		_, customer, agent := r.conversation("CApace")
		st := r.open(config(customer), audio(silence(time.Second)))
		time.Sleep(time.Minute)
		if err := st.end(); err != nil {
			r.Errorf("slow with the rule off: %v", err)
		}
		st = r.open(config(agent))
		st.play(silence(2*time.Minute), media.Telephony, 100)
		if err := st.end(); err != nil {
			r.Errorf("fast with the rule off: %v", err)
		}
	})
}

func TestExtendedNeedsAssistStage(t *testing.T) {
	inBubble(t, func(cfg *Config) { cfg.Off = []Rule{RuleStage} }, func(r *rig) {
		c, err := r.convs.CreateConversation(r.Context(), &pb.CreateConversationRequest{Parent: parent,
			Conversation: &pb.Conversation{ConversationProfile: demoProfileName, ConversationStage: pb.Conversation_VIRTUAL_AGENT_STAGE}})
		if err != nil {
			r.Fatal(err)
		}
		wantRule(r.T, r.open(extended(r.join(c.GetName(), pb.Participant_END_USER))).end(), codes.InvalidArgument, RuleExtended)
	})
}

// TestExtendedHolds: without output_multiple_utterances nothing but results comes
// before the half-close.
func TestExtendedHolds(t *testing.T) {
	inBubble(t, func(cfg *Config) { cfg.Limits.ExtendedIdle = 4 * time.Second }, func(r *rig) {
		_, customer, agent := r.conversation("CAholds")
		first := extended(customer)
		first.OutputMultipleUtterances = false
		st := r.open(first)
		st.play(slices.Concat(tones("amber"), silence(time.Second)), media.Telephony, 1)
		st.settle()
		if got := without(st.kinds(), "interim"); !slices.Equal(got, []string{"final"}) {
			r.Errorf("before half-close: %v; want the final alone", got)
		}
		if err := st.end(); err != nil || !slices.Contains(st.kinds(), "message") {
			r.Errorf("after half-close: %v, %v", st.kinds(), err)
		}
		// The server ends an extended stream by itself once speech has stopped.
		st = r.open(extended(agent))
		st.play(slices.Concat(silence(6*time.Second), tones("amber"), silence(10*time.Second)), media.Telephony, 1)
		if err := st.wait(); err != nil {
			r.Errorf("idle extended stream: %v; want a clean end", err)
		}
		if last := st.at[len(st.at)-1]; last > 12*time.Second || !slices.Contains(st.kinds(), "message") {
			r.Errorf("idle extended stream: %v, last at %v", st.kinds(), last)
		}
	})
}

// TestLog: one line when a stream opens and one when it ends, without what was said.
func TestLog(t *testing.T) {
	var log bytes.Buffer
	inBubble(t, func(cfg *Config) { cfg.Logger = slog.New(slog.NewTextHandler(&log, nil)) }, func(r *rig) {
		_, customer, _ := r.conversation("CAlog")
		if err := r.open(extended(customer), audio(tones("amber", "river"))).end(); err != nil {
			r.Fatal(err)
		}
		wantRule(r.T, r.open(config(customer), config(customer)).end(), codes.InvalidArgument, RuleConfigOnce)
	})
	for text, want := range map[string]int{"conversation created": 1, "stream opened": 2, "stream closed": 2, "finals=1": 1, "config-once": 1, "amber": 0} {
		if got := strings.Count(log.String(), text); got != want {
			t.Errorf("%q occurs %d times in the log; want %d:\n%s", text, got, want, log.String())
		}
	}
}

func TestSingleUtterance(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		_, customer, _ := r.conversation("CAsingle")
		first := config(customer)
		first.GetAudioConfig().SingleUtterance = true
		st := r.open(first)
		st.play(slices.Concat(tones("amber"), silence(time.Second), tones("echo"), silence(time.Second)), media.Telephony, 1)
		if err := st.end(); err != nil {
			r.Fatal(err)
		}
		want := []string{"final", "end_of_single_utterance", "message", "suggestions", "suggestions", "suggestions"}
		if got := without(st.kinds(), "interim"); !slices.Equal(got, want) {
			r.Errorf("got %v; want %v", got, want)
		}
	})
}

func TestTextStream(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		conv, customer, _ := r.conversation("CAtext")
		text := func(s string) *pb.StreamingAnalyzeContentRequest {
			return &pb.StreamingAnalyzeContentRequest{Input: &pb.StreamingAnalyzeContentRequest_InputText{InputText: s}}
		}
		first := &pb.StreamingAnalyzeContentRequest{Participant: customer, Config: &pb.StreamingAnalyzeContentRequest_TextConfig{TextConfig: &pb.InputTextConfig{LanguageCode: "en"}}}
		st := r.open(first, text("my connection drops every few minutes"))
		if err := st.end(); err != nil || len(st.got) != 4 || len(r.messages(conv)) != 1 {
			r.Errorf("%v, %v", st.kinds(), err)
		}
		for name, st := range map[string]*stream{"no text": r.open(first), "three messages": r.open(first, text("a"), text("b"))} {
			if err := st.end(); status.Code(err) != codes.InvalidArgument {
				r.Errorf("%s: %v; want INVALID_ARGUMENT", name, err)
			}
		}
	})
}

// TestHandover cuts coded blocks between two streams: a block is heard even when
// its halves came in two streams, and a replay counts as duplicates.
func TestHandover(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		_, customer, _ := r.conversation("CAhandover")
		all := blocks(3, 0, 1000)
		cut := 400*160 + 77
		for _, part := range [][]byte{all[:cut], all[cut : cut+160*100], all[160*490 : 160*600], all[160*610:]} {
			st := r.open(extended(customer))
			st.play(part, media.Telephony, 1)
			if err := st.end(); err != nil {
				r.Fatal(err)
			}
		}
		c, _ := r.s.Account().Conversation("CAhandover")
		p := c.Role("END_USER")[0]
		want := BlockAccount{Stream: 3, Distinct: 990, Duplicates: 10, Missing: 10, Last: 999}
		if p.Streams != 4 || p.Blocks[0] != want {
			r.Errorf("account = %+v; want %+v over 4 streams", p, want)
		}
		heard := r.s.Blocks(customer)
		for n := uint32(0); n < 1000; n++ {
			want := 1
			if n >= 490 && n < 500 {
				want = 2
			} else if n >= 600 && n < 610 {
				want = 0
			}
			if got := heard[probe.Block{Stream: 3, N: n}]; got != want {
				r.Errorf("block %d was heard %d times; want %d", n, got, want)
			}
		}
	})
}

// TestRecordedCall plays the bundled calls in both channels at once and looks for
// the words, in order, and for suggestions while the call runs.
func TestRecordedCall(t *testing.T) {
	for _, name := range recordings.Names() {
		t.Run(name, func(t *testing.T) {
			rec, err := recordings.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			wav, err := rec.Audio()
			if err != nil {
				t.Fatal(err)
			}
			inBubble(t, func(cfg *Config) { cfg.Language = rec.Language }, func(r *rig) {
				conv, customer, agent := r.conversation("CArecorded")
				linear := media.Format{Encoding: media.Linear16, Rate: 8000}
				cc, ac := extended(customer), extended(agent)
				ac.GetAudioConfig().AudioEncoding = pb.AudioEncoding_AUDIO_ENCODING_LINEAR_16
				cc.GetAudioConfig().LanguageCode, ac.GetAudioConfig().LanguageCode = "", rec.Language
				cs, as := r.open(cc), r.open(ac)
				done := make(chan struct{})
				go func() {
					defer close(done)
					as.play(media.AppendEncoded(nil, media.Linear16, wav.Channels[1]), linear, 1)
				}()
				cs.play(media.AppendEncoded(nil, media.MuLaw, wav.Channels[0]), media.Telephony, 1)
				<-done
				cs.settle()
				kinds := map[string]int{}
				for i, resp := range cs.got {
					for _, res := range resp.GetHumanAgentSuggestionResults() {
						kinds["articles"] += len(res.GetSuggestArticlesResponse().GetArticleAnswers())
						kinds["faq"] += len(res.GetSuggestFaqAnswersResponse().GetFaqAnswers())
						kinds["replies"] += len(res.GetSuggestSmartRepliesResponse().GetSmartReplyAnswers())
					}
					if cs.at[i] > 60*time.Second {
						r.Errorf("response %d came at %v", i, cs.at[i])
					}
				}
				if kinds["articles"] < 3 || kinds["faq"] < 3 || kinds["replies"] < 3 {
					r.Errorf("suggestions during the call: %v; want at least 3 of each", kinds)
				}
				for _, st := range []*stream{cs, as} {
					if err := st.end(); err != nil {
						r.Error(err)
					}
				}
				var got, want []string
				for _, m := range slices.Backward(r.messages(conv)) {
					got = append(got, m.GetParticipantRole().String()+": "+m.GetContent())
				}
				for _, u := range rec.Utterances {
					role := map[string]string{recordings.Customer: "END_USER", recordings.Agent: "HUMAN_AGENT"}[u.Speaker]
					want = append(want, role+": "+u.Text())
				}
				slices.Sort(got)
				slices.Sort(want)
				if !slices.Equal(got, want) {
					r.Errorf("messages\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
			})
		})
	}
}
