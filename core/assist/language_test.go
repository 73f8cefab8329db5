package assist

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/patchbay/patchbay/core/emulator"
	"github.com/patchbay/patchbay/core/event"
	"github.com/patchbay/patchbay/core/media"
)

// languages returns the language of each stream that the emulator heard from END_USER.
func (r *rig) languages() []string {
	r.t.Helper()
	a, ok := r.em.Account().Conversation("call-1")
	if !ok || len(a.Role("END_USER")) != 1 {
		r.t.Fatalf("the emulator has no customer in call-1")
	}
	return a.Role("END_USER")[0].Languages
}

// TestLanguageChanges: a change rotates the stream at its position; nothing is lost.
func TestLanguageChanges(t *testing.T) {
	const en, de, fr = "en-US", "de-DE", "fr-FR"
	set := func(s *Session, v *voice, tag string) { s.SetLanguage(v.asTrack().Ref, tag) }
	tests := []struct {
		name  string
		speak func(*testing.T, *Session, *voice)
		down  [2]time.Duration // Agent Assist does not answer meanwhile
		want  []string
		cuts  []time.Duration // where streams ended for a language
	}{
		{name: "in mid-call", want: []string{en, de, en}, cuts: []time.Duration{7 * time.Second, 12 * time.Second}, speak: func(t *testing.T, s *Session, v *voice) {
			v.speak(t, 7*time.Second)
			set(s, v, "de_DE")
			v.speak(t, 5*time.Second)
			set(s, v, en)
			v.speak(t, 5*time.Second)
		}},
		{name: "before the first audio", want: []string{de}, speak: func(t *testing.T, s *Session, v *voice) {
			set(s, v, de)
			v.speak(t, 7*time.Second)
		}},
		{name: "the same again", want: []string{de}, speak: func(t *testing.T, s *Session, v *voice) {
			set(s, v, de)
			v.speak(t, 7*time.Second)
			set(s, v, de)
			v.speak(t, 7*time.Second)
		}},
		{name: "twice at once", want: []string{en, fr}, cuts: []time.Duration{7 * time.Second}, speak: func(t *testing.T, s *Session, v *voice) {
			v.speak(t, 7*time.Second)
			set(s, v, de)
			set(s, v, fr)
			v.speak(t, 7*time.Second)
		}},
		{name: "twice within a message", want: []string{en, fr}, cuts: []time.Duration{7 * time.Second}, speak: func(t *testing.T, s *Session, v *voice) {
			v.speak(t, 7*time.Second)
			set(s, v, de)
			v.speak(t, 40*time.Millisecond)
			set(s, v, fr)
			v.speak(t, 7*time.Second)
		}},
		{name: "and back within a message", want: []string{en}, speak: func(t *testing.T, s *Session, v *voice) {
			v.speak(t, 7*time.Second)
			set(s, v, de)
			v.speak(t, 40*time.Millisecond)
			set(s, v, en)
			v.speak(t, 7*time.Second)
		}},
		{name: "while parked", want: []string{en, de}, speak: func(t *testing.T, s *Session, v *voice) {
			v.speak(t, 7*time.Second)
			v.quiet(t, 2*time.Minute)
			set(s, v, de)
			v.quiet(t, 5*time.Second)
			v.speak(t, 7*time.Second)
		}},
		{name: "no audio since", want: []string{en}, speak: func(t *testing.T, s *Session, v *voice) {
			v.speak(t, 7*time.Second)
			set(s, v, de)
		}},
		{name: "while nothing answers", want: []string{en, en, de}, cuts: []time.Duration{20 * time.Second}, down: [2]time.Duration{10 * time.Second, 40 * time.Second},
			speak: func(t *testing.T, s *Session, v *voice) {
				v.speak(t, 20*time.Second)
				set(s, v, de)
				v.speak(t, 40*time.Second)
			}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			down := &outage{err: status.Error(codes.Unavailable, "down")}
			inBubble(t, rigConfig{server: down.options()}, func(t *testing.T, r *rig) {
				down.from, down.to = time.Now().Add(tt.down[0]), time.Now().Add(tt.down[1])
				c := r.conversation()
				c.Language = en
				s, wait := r.run(t.Context(), c)
				v := newVoice(t, "inbound", "end_user", 1, media.Telephony)
				call(t, s, func(v *voice) { tt.speak(t, s, v) }, v)
				if err := wait(); err != nil {
					t.Fatalf("Run() = %v", err)
				}
				if again := r.heard("call-1", v); again > 0 && tt.down == [2]time.Duration{} {
					t.Errorf("%d blocks heard twice; want none", again)
				}
				r.finals(v)
				if got := r.languages(); !slices.Equal(got, tt.want) {
					t.Errorf("streams in %v; want %v", got, tt.want)
				}
				var cuts []time.Duration
				for _, e := range r.events(event.StreamEnded) {
					if e.Stream.Cause == string(causeLanguage) {
						cuts = append(cuts, media.Telephony.Duration(e.Stream.ToPos))
					}
				}
				if len(cuts) != len(tt.cuts) {
					t.Fatalf("cuts at %v; want %v", cuts, tt.cuts)
				}
				for i := range cuts {
					if off := cuts[i] - tt.cuts[i]; off.Abs() > chunk {
						t.Errorf("cuts at %v; want %v", cuts, tt.cuts)
					}
				}
				if bad := r.events(event.Failure); len(bad) > 0 {
					t.Errorf("events %+v; want no failure", bad)
				}
			})
		})
	}
}

// TestLanguageKept: what cannot be a language, what the transport cannot change and
// what Agent Assist refuses is a warning, and the track goes on as it was.
func TestLanguageKept(t *testing.T) {
	refusal := &streamFault{when: func(stream, _ int) (bool, error) {
		return stream == 2, status.Error(codes.InvalidArgument, "no such language")
	}}
	tests := []struct {
		name      string
		transport Transport
		tag       string
		server    []grpc.ServerOption
		want      string
	}{
		{name: "no tag", tag: "Klingon, please", want: "no BCP 47 tag"},
		{name: "empty", tag: "", want: "no BCP 47 tag"},
		{name: "bidi", transport: Bidi, tag: "de-DE", want: "takes it from the profile"},
		{name: "refused", tag: "xx-YY", server: []grpc.ServerOption{refusal.option()}, want: "goes on in the language before"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, rigConfig{server: tt.server}, func(t *testing.T, r *rig) {
				c := r.conversation()
				c.Transport = tt.transport
				s, wait := r.run(t.Context(), c)
				v := newVoice(t, "inbound", "end_user", 1, media.Telephony)
				call(t, s, func(v *voice) {
					v.speak(t, 7*time.Second)
					s.SetLanguage(v.asTrack().Ref, tt.tag)
					v.speak(t, 7*time.Second)
				}, v)
				if err := wait(); err != nil {
					t.Fatalf("Run() = %v", err)
				}
				r.heardOnce("call-1", v)
				r.finals(v)
				warnings := r.events(event.Warning)
				if len(warnings) != 1 || warnings[0].Problem.Code != codeLanguage || !strings.Contains(warnings[0].Problem.Text, tt.want) {
					t.Errorf("warnings %+v; want one with %q", warnings, tt.want)
				}
				if bad := r.events(event.Failure); len(bad) > 0 {
					t.Errorf("events %+v; want no failure", bad)
				}
				for _, got := range r.languages() {
					if got != emulator.DefaultLanguage {
						t.Errorf("streams in %v; want the profile's language alone", r.languages())
					}
				}
			})
		})
	}
}

func TestLanguageTag(t *testing.T) {
	for in, want := range map[string]string{"en-US": "en-US", " de_DE ": "de-DE", "cmn-Hans-CN": "cmn-Hans-CN", "AUTO": "auto", "es": "es",
		"": "", "e": "", "en US": "", "english language": "", "en-": ""} {
		got, err := languageTag(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("languageTag(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
}
