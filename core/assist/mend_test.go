package assist

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/patchbay/patchbay/core/emulator"
	"github.com/patchbay/patchbay/core/event"
	"github.com/patchbay/patchbay/core/media"
)

// TestMended: what an operator must mend is said once, costs few requests, and when
// it is mended all that was said meanwhile is heard.
func TestMended(t *testing.T) {
	for _, code := range []codes.Code{codes.PermissionDenied, codes.Unauthenticated, codes.InvalidArgument, codes.Unimplemented} {
		t.Run(code.String(), func(t *testing.T) {
			down := &outage{err: status.Error(code, "injected")}
			inBubble(t, rigConfig{server: down.options()}, func(t *testing.T, r *rig) {
				down.from = time.Now().Add(30 * time.Second)
				down.to = down.from.Add(100 * time.Second)
				s, wait := r.run(t.Context(), r.conversation())
				customer := newVoice(t, "inbound", "end_user", 1, media.Telephony)
				agent := newVoice(t, "outbound", "human_agent", 2, media.Telephony)
				call(t, s, func(v *voice) { v.speak(t, 6*time.Minute) }, customer, agent)
				if err := wait(); err != nil {
					t.Fatalf("Run() = %v", err)
				}
				r.heard("call-1", customer)
				r.heard("call-1", agent)
				r.finals(customer)
				failures, again := r.events(event.Failure), 0
				for _, e := range r.events(event.Warning) {
					if e.Problem.Code == codeServedAgain {
						again++
					}
				}
				if len(failures) != 2 || again != 2 {
					t.Errorf("%d failures, %d times served again; want one a track", len(failures), again)
				}
				if down.attempts > 15 {
					t.Errorf("%d attempts in 100 s; want a few", down.attempts)
				}
			})
		})
	}
}

// TestSetUpMended: the set-up is refused until an operator mends it; the call is
// served from its first word.
func TestSetUpMended(t *testing.T) {
	for method, code := range map[string]codes.Code{"GetConversationProfile": codes.PermissionDenied, "CreateConversation": codes.InvalidArgument,
		"CreateParticipant": codes.PermissionDenied} {
		t.Run(method, func(t *testing.T) {
			var mended time.Time
			attempts := 0
			fault := grpc.UnaryInterceptor(unaryFault(func(m string) error {
				if m != method || time.Now().After(mended) {
					return nil
				}
				attempts++
				return status.Error(code, "injected")
			}))
			inBubble(t, rigConfig{server: []grpc.ServerOption{fault}}, func(t *testing.T, r *rig) {
				mended = time.Now().Add(100 * time.Second)
				s, wait := r.run(t.Context(), r.conversation())
				v := newVoice(t, "inbound", "end_user", 1, media.Telephony)
				call(t, s, func(v *voice) { v.speak(t, 4*time.Minute) }, v)
				if err := wait(); err != nil {
					t.Fatalf("Run() = %v", err)
				}
				r.heardOnce("call-1", v)
				if n := len(r.events(event.Failure)); n != 1 || attempts < 2 || attempts > 5 || s.Info().Problem != nil {
					t.Errorf("%d failures, %d attempts, problem %+v; want one, one a minute, none left", n, attempts, s.Info().Problem)
				}
			})
		})
	}
}

// TestOneProbeForAll: while nothing answers, many calls ask no more than one.
func TestOneProbeForAll(t *testing.T) {
	down := &outage{err: status.Error(codes.Unavailable, "down")}
	inBubble(t, rigConfig{server: down.options()}, func(t *testing.T, r *rig) {
		down.from = time.Now()
		down.to = down.from.Add(3 * time.Minute)
		var all sync.WaitGroup
		for i := range 30 {
			all.Go(func() {
				c := r.conversation()
				c.ID = fmt.Sprintf("call-%d", 100+i)
				s, wait := r.run(t.Context(), c)
				v := newVoice(t, "inbound", "end_user", 1, media.Telephony)
				call(t, s, func(v *voice) { v.speakInBulk(t, 20*time.Second) }, v) // ends long before
				if err := wait(); err != nil {
					t.Errorf("Run() = %v", err)
				}
				r.heardOnce(c.ID, v)
			})
		}
		time.Sleep(2 * time.Minute)
		if got := r.pool.Stats().Circuits(); len(got) != 1 || got[0].State != CircuitOpen || !strings.Contains(got[0].Error, "UNAVAILABLE") {
			t.Errorf("circuits %+v; want one, open", got)
		}
		all.Wait()
		if down.attempts > 30+60 {
			t.Errorf("%d attempts; want the first of each call, then one each few seconds", down.attempts)
		}
	})
}

// TestRefusedByQuota: the project's quota is smaller than we think. The governor
// learns it, and nothing is lost.
func TestRefusedByQuota(t *testing.T) {
	few := func(c *emulator.Config) { c.Limits.StreamStarts = 4 }
	inBubble(t, rigConfig{emulator: few}, func(t *testing.T, r *rig) {
		var all sync.WaitGroup
		for i := range 4 {
			all.Go(func() {
				c := r.conversation()
				c.ID = fmt.Sprintf("call-%d", 100+i)
				s, wait := r.run(t.Context(), c)
				customer := newVoice(t, "inbound", "end_user", 1, media.Telephony)
				agent := newVoice(t, "outbound", "human_agent", 2, media.Telephony)
				call(t, s, func(v *voice) { v.speakInBulk(t, 2*time.Minute) }, customer, agent)
				if err := wait(); err != nil {
					t.Errorf("Run() = %v", err)
				}
				r.heard(c.ID, customer)
				r.heard(c.ID, agent)
			})
		}
		all.Wait()
		// 8 starts at once, of which 4 are refused; then a try at 1, 3, 7, 15, 31, 63 s.
		if n := r.pool.Stats().QuotaRefusals.Load(); n < 4 || n > 20 {
			t.Errorf("%d refusals; want growing pauses", n)
		}
	})
}

// TestDeadCallOpensNothing: a call whose conversation is over, or gone, opens no
// further stream, on any of its tracks.
func TestDeadCallOpensNothing(t *testing.T) {
	var gone atomic.Bool
	lost := []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(unaryFault(func(m string) error {
			if gone.Load() && m == "GetConversation" {
				return status.Error(codes.NotFound, "no such conversation")
			}
			return nil
		})),
		(&streamFault{when: func(_, _ int) (bool, error) { return gone.Load(), status.Error(codes.NotFound, "no such conversation") }}).option(),
	}
	for name, kill := range map[string]func(*rig, *Session){
		"completed": func(r *rig, s *Session) { r.complete(s.Info().Conversation) },
		"gone":      func(*rig, *Session) { gone.Store(true) },
	} {
		t.Run(name, func(t *testing.T) {
			gone.Store(false)
			inBubble(t, rigConfig{server: lost}, func(t *testing.T, r *rig) {
				s, wait := r.run(t.Context(), r.conversation())
				customer := newVoice(t, "inbound", "end_user", 1, media.Telephony)
				agent := newVoice(t, "outbound", "human_agent", 2, media.Telephony)
				call(t, s, func(v *voice) {
					v.speak(t, 8*time.Second)
					if v == agent {
						kill(r, s)
					}
					v.speak(t, 60*time.Second)
				}, customer, agent)
				if err := wait(); err != nil {
					t.Fatalf("Run() = %v", err)
				}
				if n := r.pool.Stats().StreamsOpened.Load(); n != 2 {
					t.Errorf("%d streams; want those before", n)
				}
				if failures := r.events(event.Failure); len(failures) != 1 || !strings.HasPrefix(failures[0].Problem.Code, "conversation_") {
					t.Errorf("failures %+v; want one of the conversation", failures)
				}
				for _, v := range []*voice{customer, agent} {
					if l := v.tape.Ledger(); !l.Settled() || l.Balanced() != nil || l.Discarded[DiscardStreamRefused] == 0 {
						t.Errorf("%s: ledger %+v; want the rest discarded", v.track, l)
					}
				}
			})
		})
	}
}

// meddler changes what a server says on its streams.
func meddler(change func(*dialogflowpb.StreamingAnalyzeContentResponse) bool) grpc.ServerOption {
	return grpc.ChainStreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		return handler(srv, &meddledStream{ss, change})
	})
}

type meddledStream struct {
	grpc.ServerStream
	change func(*dialogflowpb.StreamingAnalyzeContentResponse) bool
}

func (s *meddledStream) SendMsg(m any) error {
	if resp, ok := m.(*dialogflowpb.StreamingAnalyzeContentResponse); ok && !s.change(resp) {
		return nil
	}
	return s.ServerStream.SendMsg(m)
}

// TestMissingMessages: finals whose message never comes are counted and, where that
// is switched on, written once the call is over; those that are there are not.
func TestMissingMessages(t *testing.T) {
	for _, on := range []bool{false, true} {
		t.Run(fmt.Sprintf("on %v", on), func(t *testing.T) {
			lost := 0
			lose := meddler(func(resp *dialogflowpb.StreamingAnalyzeContentResponse) bool {
				if resp.GetMessage() == nil {
					return true
				}
				lost++
				return lost%2 == 0 // the emulator has stored it all the same
			})
			var listed, written int
			list := grpc.ChainUnaryInterceptor(func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
				resp, err := handler(ctx, req)
				switch resp := resp.(type) {
				case *dialogflowpb.ListMessagesResponse: // as if two had not been stored
					listed++
					resp.Messages = resp.Messages[2:]
				case *dialogflowpb.BatchCreateMessagesResponse:
					for _, m := range req.(*dialogflowpb.BatchCreateMessagesRequest).GetRequests() {
						written++
						resp.Messages = append(resp.Messages, m.GetMessage()) // they were stored before
					}
				}
				return resp, err
			})
			inBubble(t, rigConfig{server: []grpc.ServerOption{lose, list}}, func(t *testing.T, r *rig) {
				c := r.conversation()
				c.StoreMissing = on
				s, wait := r.run(t.Context(), c)
				v := newVoice(t, "inbound", "end_user", 1, media.Telephony)
				call(t, s, func(v *voice) { v.speak(t, 50*time.Second) }, v)
				if err := wait(); err != nil {
					t.Fatalf("Run() = %v", err)
				}
				finals, messages := len(r.events(event.TranscriptFinal)), len(r.events(event.MessageStored))
				st := r.pool.Stats()
				if n := int(st.Unstored.Load()); n != finals-messages || n < 3 {
					t.Errorf("%d finals, %d messages, %d counted as missing", finals, messages, n)
				}
				switch {
				case !on && (listed != 0 || written != 0):
					t.Errorf("listed %d times, wrote %d; want nothing, it is off", listed, written)
				case on && (listed != 1 || written < 1 || written > 2 || int(st.Written.Load()) != written):
					t.Errorf("listed %d times, wrote %d, counted %d; want those that are not there", listed, written, st.Written.Load())
				}
			})
		})
	}
}

// TestContradictions: results that cannot be right are counted and never believed:
// a stream that breaks after them loses nothing.
func TestContradictions(t *testing.T) {
	offset := func(d time.Duration) func(*dialogflowpb.StreamingRecognitionResult) {
		return func(rec *dialogflowpb.StreamingRecognitionResult) { rec.SpeechEndOffset = durationpb.New(d) }
	}
	tests := map[string]func(*dialogflowpb.StreamingRecognitionResult){
		"beyond what was sent": offset(time.Hour),
		"before the stream":    offset(-time.Hour),
		"no offset":            func(rec *dialogflowpb.StreamingRecognitionResult) { rec.SpeechEndOffset = nil },
		"backwards": func(rec *dialogflowpb.StreamingRecognitionResult) {
			rec.SpeechEndOffset = durationpb.New(max(0, 5*time.Second-rec.GetSpeechEndOffset().AsDuration()/2))
		},
		"unknown kind":     func(rec *dialogflowpb.StreamingRecognitionResult) { rec.MessageType = 99 },
		"no kind":          func(rec *dialogflowpb.StreamingRecognitionResult) { rec.MessageType = 0 },
		"only finals":      nil,
		"nothing is final": func(rec *dialogflowpb.StreamingRecognitionResult) { rec.IsFinal = false },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			lie := meddler(func(resp *dialogflowpb.StreamingAnalyzeContentResponse) bool {
				rec := resp.GetRecognitionResult()
				switch {
				case rec.GetTranscript() == "":
				case change == nil:
					return rec.GetIsFinal()
				default:
					change(rec)
				}
				return true
			})
			fault := &streamFault{when: func(stream, messages int) (bool, error) {
				return stream < 3 && messages == 130+7*stream, status.Error(codes.Unavailable, "injected")
			}}
			inBubble(t, rigConfig{server: []grpc.ServerOption{lie, fault.option()}}, func(t *testing.T, r *rig) {
				s, wait := r.run(t.Context(), r.conversation())
				v := newVoice(t, "inbound", "end_user", 1, media.Telephony)
				call(t, s, func(v *voice) { v.speak(t, 40*time.Second) }, v)
				if err := wait(); err != nil {
					t.Fatalf("Run() = %v", err)
				}
				r.heard("call-1", v)
				st := r.pool.Stats()
				if n := st.Clamped.Load() + st.Contradictions.Load(); n == 0 && name != "nothing is final" && name != "no offset" {
					t.Error("nothing was counted")
				}
			})
		})
	}
}
