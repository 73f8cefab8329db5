package assist

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/patchbay/patchbay/core/emulator"
	"github.com/patchbay/patchbay/core/event"
	"github.com/patchbay/patchbay/core/media"
)

// TestSetUpFails: each failure for good names Google's error and our setting, and
// the audio of the call does not pile up.
func TestSetUpFails(t *testing.T) {
	tests := []struct {
		name  string
		fault func(method string) error
		conv  func(*Conversation)
		code  string
		words []string
	}{
		{"unknown profile", nil, func(c *Conversation) { c.Profile = "nobody" },
			codeProfile, []string{"NOT_FOUND", `routes[].profile = "nobody"`, "google.location"}},
		{"foreign project", nil, func(c *Conversation) { c.Google.Project = "theirs" },
			codePermission, []string{"PERMISSION_DENIED", "roles/dialogflow.agentAssistClient", "theirs"}},
		{"bad id", nil, func(c *Conversation) { c.ID = "4711" },
			codeInvalid, []string{`"4711"`, "want a letter"}},
		{"API not enabled", fails("GetConversationProfile", withReason(codes.PermissionDenied, "SERVICE_DISABLED")), nil,
			codeAPIDisabled, []string{"gcloud services enable dialogflow.googleapis.com --project local"}},
		{"quota project", fails("GetConversationProfile", withReason(codes.PermissionDenied, "USER_PROJECT_DENIED")), func(c *Conversation) { c.Google.QuotaProject = "payer" },
			codeQuotaProject, []string{`google.quota_project = "payer"`, "serviceUsageConsumer"}},
		{"token", fails("GetConversationProfile", status.Error(codes.Unauthenticated, "expired")), nil,
			codeUnauthentic, []string{"google.credentials"}},
		{"location", fails("CreateConversation", status.Error(codes.InvalidArgument, "wrong location")), nil,
			codeInvalid, []string{`google.location = "global"`, "wrong location"}},
		{"state", fails("CreateConversation", status.Error(codes.FailedPrecondition, "no")), nil,
			codeFailed, []string{"routes[].profile"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var options []grpc.ServerOption
			if tt.fault != nil {
				options = append(options, grpc.UnaryInterceptor(unaryFault(tt.fault)))
			}
			inBubble(t, rigConfig{server: options}, func(t *testing.T, r *rig) {
				c := r.conversation()
				if tt.conv != nil {
					tt.conv(&c)
				}
				s, wait := r.run(t.Context(), c)
				v := newVoice(t, "inbound", "end_user", 1, media.Telephony)
				call(t, s, func(v *voice) { v.speak(t, 10*time.Second) }, v)
				err := wait()
				if err == nil {
					t.Fatal("Run() = nil; want the error")
				}
				failures := r.events(event.Failure)
				if len(failures) != 1 || failures[0].Problem.Code != tt.code {
					t.Fatalf("failures %+v; want one of %s", failures, tt.code)
				}
				text := failures[0].Problem.Text
				for _, word := range tt.words {
					if !strings.Contains(text, word) || !strings.Contains(err.Error(), word) {
						t.Errorf("failure %q; want %q in it", text, word)
					}
				}
				if strings.Contains(text, "\n") {
					t.Errorf("failure %q has more than one line", text)
				}
				if l := v.tape.Ledger(); !l.Settled() || l.Balanced() != nil || l.Discarded[DiscardNoConversation] != 10*8000 {
					t.Errorf("ledger %+v; want all of it discarded", l)
				}
				if info := s.Info(); info.Problem == nil || info.Problem.Code != tt.code {
					t.Errorf("Info().Problem = %+v; want %s", info.Problem, tt.code)
				}
			})
		})
	}
}

func fails(method string, err error) func(string) error {
	return func(m string) error {
		if m == method {
			return err
		}
		return nil
	}
}

func withReason(c codes.Code, reason string) error {
	s, err := status.New(c, "no").WithDetails(&errdetails.ErrorInfo{Reason: reason, Domain: "googleapis.com"})
	if err != nil {
		return err
	}
	return s.Err()
}

// TestConversationExists: a running conversation with our profile that a trusted
// peer named is joined with its participants; any other is left alone.
func TestConversationExists(t *testing.T) {
	tests := []struct {
		name    string
		profile string
		join    bool
		named   bool
		before  func(*rig, string)
		want    string
		renamed bool
	}{
		{"running", "demo", true, false, func(*rig, string) {}, "call-1", false},
		{"running, not named to us", "demo", false, false, func(*rig, string) {}, "call-1-2", true},
		{"completed", "demo", true, false, func(r *rig, name string) { r.complete(name) }, "call-1-2", true},
		{"other profile", "other", true, false, func(*rig, string) {}, "call-1-2", true},
		{"other profile, named by a peer", "other", true, true, func(*rig, string) {}, "call-1", false},
		{"completed, named by a peer", "demo", true, true, func(r *rig, name string) { r.complete(name) }, "call-1-2", true},
	}
	profiles := func(c *emulator.Config) { c.Profiles = []string{"demo", "other"} }
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, rigConfig{emulator: profiles}, func(t *testing.T, r *rig) {
				name := r.exists("call-1", tt.profile, dialogflowpb.Participant_END_USER)
				tt.before(r, name)
				c := r.conversation()
				c.Join, c.Named = tt.join, tt.named
				s, wait := r.run(t.Context(), c)
				v := newVoice(t, "inbound", "end_user", 1, media.Telephony)
				call(t, s, func(v *voice) { v.speak(t, 6*time.Second) }, v)
				if err := wait(); err != nil {
					t.Fatalf("Run() = %v", err)
				}
				r.heardOnce(tt.want, v)
				account, _ := r.em.Account().Conversation(tt.want)
				if len(account.Participants) != 1 {
					t.Errorf("%d participants; want one", len(account.Participants))
				}
				if got := s.Info().Conversation; !strings.HasSuffix(got, "/"+tt.want) {
					t.Errorf("conversation %s; want %s", got, tt.want)
				}
				warnings := r.events(event.Warning)
				if renamed := len(warnings) == 1 && warnings[0].Problem.Code == codeRenamed; renamed != tt.renamed {
					t.Errorf("warnings %+v; want renamed %v", warnings, tt.renamed)
				}
			})
		})
	}
}

// exists creates a conversation with one participant.
func (r *rig) exists(id, profile string, role dialogflowpb.Participant_Role) (name string) {
	r.t.Helper()
	g := r.conversation().Google
	c, err := r.pool.client(r.t.Context(), g)
	if err != nil {
		r.t.Fatal(err)
	}
	conversation, err := c.conversations.CreateConversation(r.t.Context(), &dialogflowpb.CreateConversationRequest{Parent: g.parent(), ConversationId: id,
		Conversation: &dialogflowpb.Conversation{ConversationProfile: g.parent() + "/conversationProfiles/" + profile}})
	if err != nil {
		r.t.Fatal(err)
	}
	l, done, err := c.lane(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	defer done()
	if _, err := l.CreateParticipant(r.t.Context(), &dialogflowpb.CreateParticipantRequest{Parent: conversation.GetName(), Participant: &dialogflowpb.Participant{Role: role}}); err != nil {
		r.t.Fatal(err)
	}
	return conversation.GetName()
}

func TestAllNamesTaken(t *testing.T) {
	inBubble(t, rigConfig{}, func(t *testing.T, r *rig) {
		long := "c" + strings.Repeat("x", 63)
		r.complete(r.exists(long, "demo", dialogflowpb.Participant_END_USER))
		for n := '2'; n <= '9'; n++ {
			r.complete(r.exists(long[:62]+"-"+string(n), "demo", dialogflowpb.Participant_END_USER))
		}
		c := r.conversation()
		c.ID = long
		s, wait := r.run(t.Context(), c)
		s.Finish()
		if err := wait(); err == nil {
			t.Error("Run() = nil; want an error")
		}
		if failures := r.events(event.Failure); len(failures) != 1 || failures[0].Problem.Code != codeTaken {
			t.Errorf("failures %+v; want %s", failures, codeTaken)
		}
	})
}

// TestLostAnswers: the server does what it is asked for and the answer gets lost;
// nothing is made twice.
func TestLostAnswers(t *testing.T) {
	var mu sync.Mutex
	lost := map[string]int{"CreateConversation": 1, "CreateParticipant": 2, "CompleteConversation": 1}
	lose := grpc.UnaryInterceptor(func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		resp, err := handler(ctx, req)
		mu.Lock()
		defer mu.Unlock()
		method := info.FullMethod[strings.LastIndexByte(info.FullMethod, '/')+1:]
		if lost[method] > 0 && err == nil {
			lost[method]--
			return nil, status.Error(codes.Unavailable, "the answer got lost")
		}
		return resp, err
	})
	inBubble(t, rigConfig{server: []grpc.ServerOption{lose}}, func(t *testing.T, r *rig) {
		s, wait := r.run(t.Context(), r.conversation())
		customer := newVoice(t, "inbound", "end_user", 1, media.Telephony)
		agent := newVoice(t, "outbound", "human_agent", 2, media.Telephony)
		other := newVoice(t, "third", "human_agent", 3, media.Telephony)
		call(t, s, func(v *voice) { v.speak(t, 6*time.Second) }, customer, agent, other)
		if err := wait(); err != nil {
			t.Fatalf("Run() = %v", err)
		}
		r.heardOnce("call-1", customer, agent, other)
		account, _ := r.em.Account().Conversation("call-1")
		if len(account.Participants) != 3 || !account.Completed {
			t.Errorf("%d participants, completed %v; want one a speaker, completed", len(account.Participants), account.Completed)
		}
		for _, p := range account.Participants {
			if len(p.Blocks) != 1 {
				t.Errorf("participant %s heard %d speakers; want one", p.Name, len(p.Blocks))
			}
		}
	})
}

// TestUnreachable: the call ends before Agent Assist is reached.
func TestUnreachable(t *testing.T) {
	down := grpc.UnaryInterceptor(unaryFault(func(string) error { return status.Error(codes.Unavailable, "down") }))
	inBubble(t, rigConfig{server: []grpc.ServerOption{down}}, func(t *testing.T, r *rig) {
		s, wait := r.run(t.Context(), r.conversation())
		v := newVoice(t, "inbound", "end_user", 1, media.Telephony)
		call(t, s, func(v *voice) { v.speak(t, 20*time.Second) }, v)
		if err := wait(); err == nil {
			t.Error("Run() = nil; want an error")
		}
		if failures := r.events(event.Failure); len(failures) != 1 || failures[0].Problem.Code != codeUnreachable {
			t.Errorf("failures %+v; want %s", failures, codeUnreachable)
		}
		if l := v.tape.Ledger(); !l.Settled() || l.Discarded[DiscardNoConversation] != 20*8000 {
			t.Errorf("ledger %+v; want all of it discarded", l)
		}
	})
}

// TestRoleOther: a third voice is no participant of Agent Assist's.
func TestRoleOther(t *testing.T) {
	inBubble(t, rigConfig{}, func(t *testing.T, r *rig) {
		s, wait := r.run(t.Context(), r.conversation())
		v := newVoice(t, "ivr", "other", 1, media.Telephony)
		call(t, s, func(v *voice) { v.speak(t, 6*time.Second) }, v)
		if err := wait(); err != nil {
			t.Fatalf("Run() = %v", err)
		}
		if l := v.tape.Ledger(); l.Discarded[DiscardNoParticipant] != 6*8000 {
			t.Errorf("ledger %+v; want all of it discarded", l)
		}
	})
}

func TestCredentials(t *testing.T) {
	missing := Conversation{Google: Google{Project: "p", Credentials: t.TempDir() + "/no.json"}, Profile: "demo", ID: "call-1"}
	pool := NewPool(Options{})
	defer func() {
		if err := pool.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	}()
	var events []event.Event
	s := pool.NewSession(missing, func(e event.Event) { events = append(events, e) }, nil)
	s.Finish()
	if err := s.Run(t.Context()); !errors.Is(err, errCredentials) {
		t.Errorf("Run() = %v; want %v", err, errCredentials)
	}
	if len(events) != 1 || events[0].Problem.Code != codeNoCredentials {
		t.Errorf("events %+v; want %s", events, codeNoCredentials)
	}
}

func TestValidate(t *testing.T) {
	good := Conversation{Google: Google{Project: "p"}, Profile: "demo", ID: "CA0123"}
	if err := good.Validate(); err != nil {
		t.Errorf("Validate() = %v; want nil", err)
	}
	tests := []struct {
		name   string
		change func(*Conversation)
		want   string
	}{
		{"no project", func(c *Conversation) { c.Google.Project = "" }, "google.project"},
		{"project as a path", func(c *Conversation) { c.Google.Project = "projects/p" }, "plain ids"},
		{"no profile", func(c *Conversation) { c.Profile = "" }, "routes[].profile: missing"},
		{"profile elsewhere", func(c *Conversation) { c.Profile = "projects/p/locations/us/conversationProfiles/x" }, "google.location to match"},
		{"transport", func(c *Conversation) { c.Transport = "fast" }, `routes[].transport = "fast"`},
		{"id", func(c *Conversation) { c.ID = "x" }, "3 to 64"},
		{"insecure", func(c *Conversation) { c.Google.Insecure = true }, "google.endpoint"},
		{"insecure with a key", func(c *Conversation) {
			c.Google = Google{Project: "p", Insecure: true, Endpoint: "e:1", Credentials: "k"}
		}, "in the clear"},
	}
	for _, tt := range tests {
		c := good
		tt.change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Validate() = %v; want %q in it", tt.name, err, tt.want)
		}
	}
}

func TestAddress(t *testing.T) {
	tests := []struct {
		google Google
		want   string
	}{
		{Google{}, "dialogflow.googleapis.com:443"},
		{Google{Location: "global"}, "dialogflow.googleapis.com:443"},
		{Google{Location: "europe-west2"}, "europe-west2-dialogflow.googleapis.com:443"},
		{Google{Location: "us", Endpoint: "127.0.0.1:9000"}, "127.0.0.1:9000"},
	}
	for _, tt := range tests {
		if got := tt.google.address(); got != tt.want {
			t.Errorf("address of %+v = %s; want %s", tt.google, got, tt.want)
		}
	}
}

// TestCheckLive runs the live check against the emulator.
func TestCheckLive(t *testing.T) {
	tests := []struct {
		name  string
		conv  func(*Conversation)
		fault func(string) error
		ok    bool
		steps []string
		fix   string
	}{
		{"all well", nil, nil, true, []string{"profile", "features", "speech", "capacity", "conversation", "stream of the end user", "stream of the human agent", "completion"}, ""},
		{"no profile", func(c *Conversation) { c.Profile = "nobody" }, nil, false, []string{"profile"}, "routes[].profile"},
		{"configuration", func(c *Conversation) { c.Transport = "x" }, nil, false, []string{"configuration"}, "keys"},
		{"role", nil, fails("CreateParticipant", status.Error(codes.PermissionDenied, "no")), false,
			[]string{"profile", "features", "speech", "capacity", "conversation", "stream of the end user", "stream of the human agent", "completion"}, clientRole},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var options []grpc.ServerOption
			if tt.fault != nil {
				options = append(options, grpc.UnaryInterceptor(unaryFault(tt.fault)))
			}
			inBubble(t, rigConfig{server: options}, func(t *testing.T, r *rig) {
				c := r.conversation()
				if tt.conv != nil {
					tt.conv(&c)
				}
				var steps []Step
				var names []string
				err := r.pool.CheckLive(t.Context(), c, codedSpeech, func(s Step) { steps, names = append(steps, s), append(names, s.Name) })
				if (err == nil) != tt.ok || !slices.Equal(names, tt.steps) {
					t.Errorf("CheckLive() = %v with steps %v; want ok %v, %v", err, names, tt.ok, tt.steps)
				}
				fixed := tt.fix == ""
				for _, s := range steps {
					if !s.OK && s.Fix == "" || s.Detail == "" {
						t.Errorf("step %+v; want what was found, and a fix when it failed", s)
					}
					fixed = fixed || !s.OK && strings.Contains(s.Fix, tt.fix)
				}
				if !fixed {
					t.Errorf("steps %+v; want a fix with %q", steps, tt.fix)
				}
				if tt.ok {
					if account, _ := r.em.Account().Conversation(c.ID); !account.Completed || len(account.Participants) != 2 {
						t.Errorf("account %+v; want completed with two participants", account)
					}
				}
			})
		})
	}
}
