package assist

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/patchbay/patchbay/core/emulator"
	"github.com/patchbay/patchbay/core/event"
	"github.com/patchbay/patchbay/core/media"
)

// TestCuts: without a final the cut falls into a pause, without a pause it is forced.
func TestCuts(t *testing.T) {
	talk := func(t *testing.T, v *voice, d time.Duration) {
		tick := time.NewTicker(ptime)
		defer tick.Stop()
		for at := time.Duration(0); at < d; at += ptime {
			<-tick.C
			v.write(t, true)
		}
	}
	tests := []struct {
		name  string
		speak func(*testing.T, *voice)
		want  []string
		marks [2]time.Duration // where the first cut falls
	}{
		{"pause", func(t *testing.T, v *voice) { v.speak(t, 200*time.Second) }, []string{"planned", "end"}, [2]time.Duration{160 * time.Second, 166 * time.Second}},
		{"forced", func(t *testing.T, v *voice) { talk(t, v, 200*time.Second) }, []string{"forced", "end"}, [2]time.Duration{169 * time.Second, 170 * time.Second}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			deaf := func(c *emulator.Config) { c.Recognizer = neverFinal }
			inBubble(t, rigConfig{emulator: deaf}, func(t *testing.T, r *rig) {
				s, wait := r.run(t.Context(), r.conversation())
				v := newVoice(t, "inbound", "end_user", 1, media.Telephony)
				call(t, s, func(v *voice) { tt.speak(t, v) }, v)
				if err := wait(); err != nil {
					t.Fatalf("Run() = %v", err)
				}
				r.heardOnce("call-1", v)
				if causes := r.causes("inbound"); !slices.Equal(causes, tt.want) {
					t.Errorf("streams ended %v; want %v", causes, tt.want)
				}
				cut := media.Telephony.Duration(r.events(event.StreamEnded)[0].Stream.ToPos)
				if cut < tt.marks[0] || cut > tt.marks[1] {
					t.Errorf("the first cut is at %v; want %v to %v", cut, tt.marks[0], tt.marks[1])
				}
			})
		})
	}
}

// TestParked: a leg that went away gives its last results at once, and costs a
// stream only when speech returns.
func TestParked(t *testing.T) {
	inBubble(t, rigConfig{}, func(t *testing.T, r *rig) {
		s, wait := r.run(t.Context(), r.conversation())
		v := newVoice(t, "inbound", "end_user", 1, media.Telephony)
		s.Add(v.asTrack())
		v.speak(t, 8*time.Second) // ends in the middle of speech
		v.tape.Park()
		parked := time.Now()
		time.Sleep(time.Second)
		synctest.Wait()
		finals := r.events(event.TranscriptFinal)
		if last := finals[len(finals)-1]; last.Time.Sub(parked) > 100*time.Millisecond || last.Transcript.EndPos != 8*8000 {
			t.Errorf("the last final came %v after the leg went, up to %d; want at once, up to the end", last.Time.Sub(parked), last.Transcript.EndPos)
		}
		time.Sleep(time.Hour)
		if n := s.Info().Tracks[0].Streams; n != 1 {
			t.Errorf("a silent hour cost %d streams; want the one before", n)
		}
		v.join(t, media.Telephony)
		v.speak(t, 8*time.Second)
		v.tape.End()
		s.Finish()
		if err := wait(); err != nil {
			t.Fatalf("Run() = %v", err)
		}
		r.heardOnce("call-1", v)
		r.finals(v)
		if causes := r.causes("inbound"); !slices.Equal(causes, []string{"parked", "end"}) {
			t.Errorf("streams ended %v; want parked, end", causes)
		}
	})
}

// TestFormats: mu-law and linear16 pass, A-law is decoded, and a call may change
// its format.
func TestFormats(t *testing.T) {
	alaw, linear := media.Format{Encoding: media.ALaw, Rate: 8000}, media.Format{Encoding: media.Linear16, Rate: 8000}
	tests := []struct {
		name    string
		formats []media.Format
		causes  []string
	}{
		{"A-law", []media.Format{alaw}, []string{"end"}},
		{"linear16", []media.Format{linear}, []string{"end"}},
		{"mu-law, linear16, A-law, mu-law", []media.Format{media.Telephony, linear, alaw, media.Telephony}, []string{"format", "format", "format", "end"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, rigConfig{}, func(t *testing.T, r *rig) {
				s, wait := r.run(t.Context(), r.conversation())
				v := newVoice(t, "inbound", "end_user", 1, tt.formats[0])
				call(t, s, func(v *voice) {
					for i, f := range tt.formats {
						if i > 0 {
							v.join(t, f)
						}
						v.speak(t, 6*time.Second)
					}
				}, v)
				if err := wait(); err != nil {
					t.Fatalf("Run() = %v", err)
				}
				r.heardOnce("call-1", v)
				if causes := r.causes("inbound"); !slices.Equal(causes, tt.causes) {
					t.Errorf("streams ended %v; want %v", causes, tt.causes)
				}
			})
		})
	}
}

// TestPlainTransport gives transcripts at once, messages at each half-close.
func TestPlainTransport(t *testing.T) {
	inBubble(t, rigConfig{}, func(t *testing.T, r *rig) {
		c := r.conversation()
		c.Transport = Streaming
		s, wait := r.run(t.Context(), c)
		v := newVoice(t, "inbound", "end_user", 1, media.Telephony)
		call(t, s, func(v *voice) { v.speak(t, 5*time.Minute) }, v)
		if err := wait(); err != nil {
			t.Fatalf("Run() = %v", err)
		}
		r.heardOnce("call-1", v)
		r.finals(v)
		if causes := r.causes("inbound"); !slices.Equal(causes, []string{"planned", "end"}) {
			t.Errorf("streams ended %v; want planned, end", causes)
		}
		finals, messages := r.events(event.TranscriptFinal), r.events(event.MessageStored)
		if late := finals[0].Time.Sub(finals[0].Transcript.End); late > 2*time.Second {
			t.Errorf("the first final came after %v; want at once", late)
		}
		if len(messages) != len(finals) || messages[0].Time.Sub(finals[0].Time) < 3*time.Minute {
			t.Errorf("%d messages for %d finals, the first after %v; want as many, at the half-close", len(messages), len(finals), messages[0].Time.Sub(finals[0].Time))
		}
	})
}

// TestBidiTransport has fewer rotations.
func TestBidiTransport(t *testing.T) {
	inBubble(t, rigConfig{}, func(t *testing.T, r *rig) {
		c := r.conversation()
		c.Transport = Bidi
		s, wait := r.run(t.Context(), c)
		v := newVoice(t, "inbound", "end_user", 1, media.Telephony)
		call(t, s, func(v *voice) { v.speak(t, 15*time.Minute) }, v)
		if err := wait(); err != nil {
			t.Fatalf("Run() = %v", err)
		}
		r.heardOnce("call-1", v)
		r.finals(v)
		if causes := r.causes("inbound"); !slices.Equal(causes, []string{"planned", "end"}) {
			t.Errorf("streams ended %v; want planned, end", causes)
		}
		if finals, messages := len(r.events(event.TranscriptFinal)), len(r.events(event.MessageStored)); finals == 0 || finals != messages {
			t.Errorf("%d finals and %d messages; want as many", finals, messages)
		}
	})
}

// TestTimeScale: audio comes eight times as fast, and the emulator counts so.
func TestTimeScale(t *testing.T) {
	fast := func(c *emulator.Config) { c.Speed = 8 }
	inBubble(t, rigConfig{emulator: fast, options: Options{TimeScale: 8}}, func(t *testing.T, r *rig) {
		s, wait := r.run(t.Context(), r.conversation())
		customer := newVoice(t, "inbound", "end_user", 1, media.Telephony)
		agent := newVoice(t, "outbound", "human_agent", 2, media.Telephony)
		call(t, s, func(v *voice) {
			v.speakAt(t, 6*time.Minute, 8)
			v.tape.Withhold(true) // the emulator waits no longer than 10/8 s
			before := v.n
			v.speakAt(t, time.Minute, 8)
			v.n = before
			v.tape.Withhold(false)
			v.speakAt(t, 10*time.Second, 8)
		}, customer, agent)
		if err := wait(); err != nil {
			t.Fatalf("Run() = %v", err)
		}
		r.heardOnce("call-1", customer, agent)
		if causes := r.causes("inbound"); !slices.Equal(causes, []string{"planned", "planned", "parked", "end"}) {
			t.Errorf("streams ended %v; want two rotations and a pause", causes)
		}
	})
}

// TestCatchUp: Agent Assist is down for the first two minutes of a call. The audio
// waits and is sent faster than real time, as far as the service allows.
func TestCatchUp(t *testing.T) {
	var up time.Time
	down := grpc.ChainUnaryInterceptor(unaryFault(func(string) error {
		if time.Now().Before(up) {
			return status.Error(codes.Unavailable, "injected")
		}
		return nil
	}))
	inBubble(t, rigConfig{server: []grpc.ServerOption{down}}, func(t *testing.T, r *rig) {
		up = time.Now().Add(2 * time.Minute)
		s, wait := r.run(t.Context(), r.conversation())
		v := newVoice(t, "inbound", "end_user", 1, media.Telephony)
		call(t, s, func(v *voice) { v.speak(t, 5*time.Minute) }, v)
		if err := wait(); err != nil {
			t.Fatalf("Run() = %v", err)
		}
		r.heardOnce("call-1", v)
		r.finals(v)
		finals := r.events(event.TranscriptFinal)
		last := finals[len(finals)-1]
		if late := last.Time.Sub(last.Transcript.End); late > 75*time.Second {
			t.Errorf("at the end finals are %v late; want the call to have caught up", late)
		}
		if warnings := r.events(event.Warning); len(warnings) != 1 || warnings[0].Problem.Code != codeUnreachable {
			t.Errorf("warnings %+v; want one of %s", warnings, codeUnreachable)
		}
	})
}

// TestOneSpeakerTwoTracks: two tracks of one speaker share a participant, which
// has one stream at a time (the emulator insists).
func TestOneSpeakerTwoTracks(t *testing.T) {
	inBubble(t, rigConfig{}, func(t *testing.T, r *rig) {
		s, wait := r.run(t.Context(), r.conversation())
		first := newVoice(t, "first", "end_user", 1, media.Telephony)
		second := newVoice(t, "second", "end_user", 2, media.Telephony)
		same := func(v *voice) Track {
			track := v.asTrack()
			track.Ref.Speaker = "customer"
			return track
		}
		s.Add(same(first))
		first.speak(t, 10*time.Second)
		s.Add(same(second))
		var both sync.WaitGroup
		both.Go(func() { first.speak(t, 5*time.Second); first.tape.End() })
		both.Go(func() { second.speak(t, 20*time.Second); second.tape.End() })
		both.Wait()
		s.Finish()
		if err := wait(); err != nil {
			t.Fatalf("Run() = %v", err)
		}
		r.heardOnce("call-1", first, second)
		if info := s.Info(); len(info.Participants) != 1 {
			t.Errorf("Info().Participants = %+v; want one", info.Participants)
		}
	})
}

// TestRoleCorrected: a role cannot change at Google's; the speaker goes on as
// another participant.
func TestRoleCorrected(t *testing.T) {
	inBubble(t, rigConfig{}, func(t *testing.T, r *rig) {
		s, wait := r.run(t.Context(), r.conversation())
		before := newVoice(t, "before", "end_user", 1, media.Telephony)
		after := newVoice(t, "after", "human_agent", 2, media.Telephony)
		for _, v := range []*voice{before, after} {
			track := v.asTrack()
			track.Ref.Speaker = "alice"
			s.Add(track)
			v.speak(t, 6*time.Second)
			v.tape.End()
		}
		s.Finish()
		if err := wait(); err != nil {
			t.Fatalf("Run() = %v", err)
		}
		r.heardOnce("call-1", before, after)
		if info := s.Info(); len(info.Participants) != 2 || info.Participants[0].Role != "end_user" || info.Participants[1].Name == "" {
			t.Errorf("Info().Participants = %+v; want one a role", info.Participants)
		}
	})
}

// TestManyCalls needs more streams than a connection carries.
func TestManyCalls(t *testing.T) {
	many := func(c *emulator.Config) { c.Quotas = false }
	inBubble(t, rigConfig{emulator: many, options: Options{StreamsPerConnection: 10}}, func(t *testing.T, r *rig) {
		var calls sync.WaitGroup
		for i := range 30 {
			calls.Go(func() {
				c := r.conversation()
				c.ID = fmt.Sprintf("call-%d", 100+i)
				s, wait := r.run(t.Context(), c)
				customer := newVoice(t, "inbound", "end_user", 1, media.Telephony)
				agent := newVoice(t, "outbound", "human_agent", 2, media.Telephony)
				call(t, s, func(v *voice) { v.speak(t, 10*time.Second) }, customer, agent)
				if err := wait(); err != nil {
					t.Errorf("Run() = %v", err)
				}
				r.heardOnce(c.ID, customer, agent)
			})
		}
		calls.Wait()
		client, err := r.pool.client(t.Context(), r.conversation().Google)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(client.lanes); n < 6 || n > 9 {
			t.Errorf("%d connections for 60 streams of 10 each; want 6 or a few more", n)
		}
		if st := r.pool.Stats(); st.StreamsOpen.Load() != 0 || st.StreamsOpened.Load() != 60 || st.Sessions.Load() != 0 || st.Conversations.Load() != 30 {
			t.Errorf("stats: %d streams open of %d, %d sessions of %d conversations", st.StreamsOpen.Load(), st.StreamsOpened.Load(), st.Sessions.Load(), st.Conversations.Load())
		}
	})
}

// TestWordTimes: finals carry words when they are asked for.
func TestWordTimes(t *testing.T) {
	inBubble(t, rigConfig{}, func(t *testing.T, r *rig) {
		c := r.conversation()
		c.WordTimes = true
		s, wait := r.run(t.Context(), c)
		v := newVoice(t, "inbound", "end_user", 1, media.Telephony)
		call(t, s, func(v *voice) { v.speak(t, 10*time.Second) }, v)
		if err := wait(); err != nil {
			t.Fatalf("Run() = %v", err)
		}
		for _, e := range r.events(event.TranscriptFinal) {
			words := e.Transcript.Words
			if len(words) == 0 || !e.Transcript.Start.Equal(words[0].Start) || words[len(words)-1].End.After(e.Transcript.End) {
				t.Errorf("final of %v to %v with words %+v", e.Transcript.Start, e.Transcript.End, words)
			}
		}
		if began, ended := len(r.events(event.SpeechBegan)), len(r.events(event.SpeechEnded)); began == 0 || began != ended {
			t.Errorf("speech began %d times and ended %d times", began, ended)
		}
	})
}

// unaryFault fails unary calls before they reach the server.
func unaryFault(fail func(method string) error) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		if err := fail(info.FullMethod[strings.LastIndexByte(info.FullMethod, '/')+1:]); err != nil {
			return nil, err
		}
		return handler(ctx, req)
	}
}
