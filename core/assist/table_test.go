package assist

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/patchbay/patchbay/core/emulator"
	"github.com/patchbay/patchbay/core/event"
	"github.com/patchbay/patchbay/core/media"
)

// calls counts the unary RPCs that reach a server.
type calls struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *calls) option() grpc.ServerOption {
	c.n = make(map[string]int)
	return grpc.ChainUnaryInterceptor(unaryFault(func(method string) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.n[method]++
		return nil
	}))
}

func (c *calls) of(method string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[method]
}

// TestFailureTable: what a stream's end with each code leads to. Whatever it is,
// nothing is lost, nothing is final twice, and the account adds up.
func TestFailureTable(t *testing.T) {
	type answer struct {
		pause    [2]time.Duration // until the next stream
		failures int              // an operator is told, and told again when it is mended
		looks    bool             // at the conversation
	}
	const tick = 110 * time.Millisecond // the stream's next audio
	var (
		atOnce   = answer{pause: [2]time.Duration{0, tick}}
		backsOff = answer{pause: [2]time.Duration{150 * time.Millisecond, 400 * time.Millisecond}}
		waits    = answer{pause: [2]time.Duration{time.Second, 1600 * time.Millisecond}}
		looks    = answer{pause: backsOff.pause, looks: true}
		stops    = answer{pause: [2]time.Duration{48 * time.Second, 73 * time.Second}, failures: 1}
	)
	table := map[codes.Code]answer{
		codes.OK:                 atOnce,
		codes.OutOfRange:         atOnce,
		codes.Aborted:            atOnce,
		codes.Unavailable:        backsOff,
		codes.DeadlineExceeded:   backsOff,
		codes.Canceled:           backsOff,
		codes.Internal:           backsOff,
		codes.Unknown:            backsOff,
		codes.DataLoss:           backsOff,
		codes.Unauthenticated:    backsOff, // and stops when it stays so: TestDoubts
		codes.ResourceExhausted:  waits,
		codes.FailedPrecondition: looks,
		codes.NotFound:           looks,
		codes.InvalidArgument:    stops,
		codes.PermissionDenied:   stops,
		codes.Unimplemented:      stops,
		codes.AlreadyExists:      stops, // of no meaning here: nobody knows what would mend it
	}
	for _, transport := range []Transport{Extended, Bidi} {
		for code := codes.OK; code <= codes.Unauthenticated; code++ {
			t.Run(fmt.Sprintf("%s %v", transport, code), func(t *testing.T) {
				want, ok := table[code]
				if !ok {
					t.Fatalf("the table has no row for %v", code)
				}
				fault := &streamFault{when: func(stream, messages int) (bool, error) {
					return stream == 1 && messages == 60, status.Error(code, "injected")
				}}
				counted := &calls{}
				inBubble(t, rigConfig{server: []grpc.ServerOption{counted.option(), fault.option()}}, func(t *testing.T, r *rig) {
					c := r.conversation()
					c.Transport = transport
					s, wait := r.run(t.Context(), c)
					v := newVoice(t, "inbound", "end_user", 1, media.Telephony)
					call(t, s, func(v *voice) { v.speak(t, 2*time.Minute) }, v)
					if err := wait(); err != nil {
						t.Fatalf("Run() = %v", err)
					}
					r.heard("call-1", v)
					r.finals(v)
					ended, opened := r.events(event.StreamEnded)[0], r.events(event.StreamOpened)[1]
					if word := codeName(status.Error(code, "")); code != codes.OK && ended.Stream.Cause != word {
						t.Errorf("the first stream ended as %s; want %s", ended.Stream.Cause, word)
					}
					if pause := opened.Time.Sub(ended.Time); pause < want.pause[0] || pause > want.pause[1] {
						t.Errorf("the next stream opened after %v; want %v to %v", pause, want.pause[0], want.pause[1])
					}
					if l := v.tape.Ledger(); l.Replayed != opened.Stream.Replay {
						t.Errorf("%d samples replayed, the event says %d", l.Replayed, opened.Stream.Replay)
					}
					again := slices.ContainsFunc(r.events(event.Warning), func(e event.Event) bool { return e.Problem.Code == codeServedAgain })
					if n := len(r.events(event.Failure)); n != want.failures || again != (n > 0) {
						t.Errorf("%d failures, told when it was mended: %v; want %d", n, again, want.failures)
					}
					if looked := counted.of("GetConversation") > 0; looked != want.looks {
						t.Errorf("looked at the conversation: %v; want %v", looked, want.looks)
					}
				})
			})
		}
	}
}

// TestParticipantForgotten: one that Google does not know any more is made again, and
// the other speaker notices nothing.
func TestParticipantForgotten(t *testing.T) {
	for _, transport := range []Transport{Extended, Bidi} {
		t.Run(string(transport), func(t *testing.T) {
			counted := &calls{}
			forget, err := emulator.ParseFault("forget@6s,role=END_USER,times=1")
			if err != nil {
				t.Fatal(err)
			}
			inBubble(t, rigConfig{server: []grpc.ServerOption{counted.option()}, emulator: func(c *emulator.Config) {
				c.Faults.Faults = []emulator.Fault{forget}
			}}, func(t *testing.T, r *rig) {
				c := r.conversation()
				c.Transport = transport
				s, wait := r.run(t.Context(), c)
				customer := newVoice(t, "inbound", "end_user", 1, media.Telephony)
				agent := newVoice(t, "outbound", "human_agent", 2, media.Telephony)
				call(t, s, func(v *voice) { v.speak(t, 30*time.Second) }, customer, agent)
				if err := wait(); err != nil {
					t.Fatalf("Run() = %v", err)
				}
				r.heardOnce("call-1", agent)
				r.finals(agent)
				r.finals(customer)
				a, _ := r.em.Account().Conversation("call-1")
				customers := a.Role("END_USER")
				if len(customers) != 2 || counted.of("CreateParticipant") != 3 || counted.of("ListParticipants") != 1 {
					t.Fatalf("%d customers, %d made, %d lists; want a second customer after one look", len(customers), counted.of("CreateParticipant"), counted.of("ListParticipants"))
				}
				heard := make(map[uint32]bool)
				for _, p := range customers {
					for b := range r.em.Blocks(p.Name) {
						heard[b.N] = true
					}
				}
				if l := customer.tape.Ledger(); len(heard) != int(customer.n) || !l.Settled() || l.Balanced() != nil || len(l.Discarded) > 0 {
					t.Errorf("heard %d of %d blocks, ledger %+v", len(heard), customer.n, l)
				}
				if ready := r.events(event.ParticipantReady); len(ready) != 3 || ready[2].Track.Participant != customers[1].Name {
					t.Errorf("participants %+v; want the new one at last", ready)
				}
				if n := len(r.events(event.Failure)); n != 0 {
					t.Errorf("%d failures; want none", n)
				}
			})
		})
	}
}

// TestBidiForms: whichever of the two forms of the configuration a Google takes, calls
// are served with many rotations, and the other form is tried no more than it must.
func TestBidiForms(t *testing.T) {
	for name, takes := range map[string]func(voice *dialogflowpb.BidiStreamingAnalyzeContentRequest_Config_VoiceSessionConfig) bool{
		"input alone": func(voice *dialogflowpb.BidiStreamingAnalyzeContentRequest_Config_VoiceSessionConfig) bool {
			return voice.GetOutputAudioEncoding() == 0 && voice.GetOutputAudioSampleRateHertz() == 0
		},
		"all fields": func(voice *dialogflowpb.BidiStreamingAnalyzeContentRequest_Config_VoiceSessionConfig) bool {
			return voice.GetOutputAudioEncoding() != 0 && voice.GetOutputAudioSampleRateHertz() != 0
		},
		"neither": func(*dialogflowpb.BidiStreamingAnalyzeContentRequest_Config_VoiceSessionConfig) bool { return false },
	} {
		t.Run(name, func(t *testing.T) {
			var refused atomic.Int32
			check := grpc.ChainStreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
				w := &bidiForms{ServerStream: ss, takes: takes}
				err := handler(srv, w)
				if w.refused {
					refused.Add(1)
					return status.Error(codes.InvalidArgument, "voice_session_config")
				}
				return err
			})
			marks := map[Transport]Marks{Bidi: {Soft: 40 * time.Second, Hard: 50 * time.Second}}
			inBubble(t, rigConfig{server: []grpc.ServerOption{check}, options: Options{Marks: marks}}, func(t *testing.T, r *rig) {
				c := r.conversation()
				c.Transport = Bidi
				s, wait := r.run(t.Context(), c)
				customer := newVoice(t, "inbound", "end_user", 1, media.Telephony)
				agent := newVoice(t, "outbound", "human_agent", 2, media.Telephony)
				call(t, s, func(v *voice) { v.speak(t, 4*time.Minute) }, customer, agent)
				if err := wait(); err != nil {
					t.Fatalf("Run() = %v", err)
				}
				failures := r.events(event.Failure)
				if name == "neither" {
					if len(failures) != 2 || !strings.Contains(failures[0].Problem.Text, "transport") {
						t.Errorf("failures %+v; want one a track that names the transport", failures)
					}
					return
				}
				r.heardOnce("call-1", customer, agent)
				r.finals(customer)
				if want := []string{"planned", "planned", "planned", "planned", "planned", "end"}; !slices.Equal(r.causes("inbound")[refused.Load()/2:], want) {
					t.Errorf("streams ended %v; want %v", r.causes("inbound"), want)
				}
				if most := map[string]int32{"input alone": 0, "all fields": 2}[name]; refused.Load() > most || len(failures) > 0 {
					t.Errorf("%d streams refused, failures %+v; want at most %d and none", refused.Load(), failures, most)
				}
			})
		})
	}
}

// bidiForms refuses configurations of a form that it does not take.
type bidiForms struct {
	grpc.ServerStream
	takes   func(*dialogflowpb.BidiStreamingAnalyzeContentRequest_Config_VoiceSessionConfig) bool
	refused bool
}

func (s *bidiForms) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	if cfg := m.(*dialogflowpb.BidiStreamingAnalyzeContentRequest).GetConfig(); cfg != nil && !s.takes(cfg.GetVoiceSessionConfig()) {
		s.refused = true
		return context.Canceled
	}
	return nil
}

// TestReplayedInterims: what a replay brings again does not take words off the screen.
// Offsets decide: the words may be others.
func TestReplayedInterims(t *testing.T) {
	fault := &streamFault{when: func(stream, messages int) (bool, error) {
		return stream < 4 && messages == 35, status.Error(codes.Unavailable, "injected")
	}}
	inBubble(t, rigConfig{server: []grpc.ServerOption{fault.option()}}, func(t *testing.T, r *rig) {
		var shown []event.Event
		s := r.pool.NewSession(r.conversation(), func(e event.Event) {
			if e.Kind == event.TranscriptInterim || e.Kind == event.TranscriptFinal {
				shown = append(shown, e)
			}
			r.log.Append(e)
		}, nil)
		done := make(chan error, 1)
		go func() { done <- s.Run(t.Context()) }()
		v := newVoice(t, "inbound", "end_user", 1, media.Telephony)
		call(t, s, func(v *voice) { v.speak(t, 20*time.Second) }, v)
		if err := <-done; err != nil {
			t.Fatalf("Run() = %v", err)
		}
		r.heard("call-1", v)
		r.finals(v)
		var last int64
		interims := 0
		for _, e := range shown {
			if e.Transcript.EndPos < last {
				t.Errorf("%s of %s up to %d after one up to %d", e.Kind, e.Transcript.Utterance, e.Transcript.EndPos, last)
			}
			last = e.Transcript.EndPos
			if e.Kind == event.TranscriptInterim {
				interims++
			}
		}
		if replayed := v.tape.Ledger().Replayed; replayed == 0 || int64(interims) >= r.pool.Stats().Interims.Load() {
			t.Errorf("%d samples replayed, %d of %d interims shown; want some held back", replayed, interims, r.pool.Stats().Interims.Load())
		}
	})
}
