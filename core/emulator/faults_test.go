package emulator

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	pb "cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"github.com/googleapis/gax-go/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/patchbay/patchbay/core/media"
)

// orders makes a plan of faults in their text form.
func orders(t *testing.T, texts ...string) (p Plan) {
	t.Helper()
	for _, text := range texts {
		f, err := ParseFault(text)
		if err != nil {
			t.Fatal(err)
		}
		p.Faults = append(p.Faults, f)
	}
	return p
}

func (r *rig) inject(texts ...string) []int {
	r.Helper()
	ids, err := r.s.Inject(orders(r.T, texts...))
	if err != nil {
		r.Fatal(err)
	}
	return ids
}

// three are utterances of a second each, with as much silence behind each.
func three() (b []byte) {
	for i := range uint32(3) {
		b = append(append(b, blocks(1, i*50, i*50+50)...), silence(time.Second)...)
	}
	return b
}

// wantFault fails the test unless an error has a code and names a fault.
func wantFault(t *testing.T, err error, code codes.Code, kind FaultKind) {
	t.Helper()
	if status.Code(err) != code || !strings.Contains(status.Convert(err).Message(), "[fault "+string(kind)+"]") {
		t.Errorf("error = %v; want %v and fault %s", err, code, kind)
	}
}

func (r *rig) wantStruck(kind FaultKind, times int) {
	r.Helper()
	if got := r.s.Account().Faults; got[kind] != times {
		r.Errorf("the account of faults is %v; want %s %d times", got, kind, times)
	}
}

// heard returns the samples that the customer's streams received.
func (r *rig) heard(conversation string) int64 {
	c, _ := r.s.Account().Conversation(conversation)
	return c.Role("END_USER")[0].Samples
}

func TestStreamFaults(t *testing.T) {
	for _, tt := range []struct {
		order string
		code  codes.Code
		text  string        // in the error
		heard time.Duration // audio that was
		kinds string        // results before the end, without interims
	}{
		{"stream-end:UNAVAILABLE@2500ms", codes.Unavailable, "[fault stream-end]", 2500 * time.Millisecond, "final message suggestions suggestions suggestions"},
		{"stream-end:INTERNAL", codes.Internal, "[fault stream-end]", 0, ""},
		{"stream-end:DEADLINE_EXCEEDED@close", codes.DeadlineExceeded, "[fault stream-end]", 6 * time.Second, strings.TrimSpace(strings.Repeat("final message suggestions suggestions suggestions ", 3))},
		{"stream-end@500ms", codes.OK, "", 500 * time.Millisecond, "final message suggestions suggestions suggestions"},
		{"stream-end:UNAVAILABLE@10s", codes.OK, "", 6 * time.Second, strings.TrimSpace(strings.Repeat("final message suggestions suggestions suggestions ", 3))},
		{"cut@1s", codes.Unavailable, "error reading from server", time.Second, ""},
		{"complete@1s", codes.FailedPrecondition, "[rule conversation-open]", time.Second, ""},
		{"forget@1s", codes.NotFound, "[fault forget]", time.Second, ""},
		{"complete@close", codes.FailedPrecondition, "[rule conversation-open]", 6 * time.Second, strings.TrimSpace(strings.Repeat("final message suggestions suggestions suggestions ", 3))},
		{"stuck:ABORTED@1s,for=2s", codes.Aborted, "[fault stuck]", time.Second, ""},
		{"stuck@close,for=1m", codes.OK, "", 6 * time.Second, strings.TrimSpace(strings.Repeat("final message suggestions suggestions suggestions ", 3))},
		{"stream-end:INTERNAL@1s,role=HUMAN_AGENT", codes.OK, "", 6 * time.Second, strings.TrimSpace(strings.Repeat("final message suggestions suggestions suggestions ", 3))},
		{"stream-end:INTERNAL@1s,stream=2", codes.OK, "", 6 * time.Second, strings.TrimSpace(strings.Repeat("final message suggestions suggestions suggestions ", 3))},
		{"stream-end:INTERNAL@1s,conversation=other", codes.OK, "", 6 * time.Second, strings.TrimSpace(strings.Repeat("final message suggestions suggestions suggestions ", 3))},
	} {
		t.Run(tt.order, func(t *testing.T) {
			plan := orders(t, tt.order)
			inBubble(t, func(c *Config) { c.Faults = plan }, func(r *rig) {
				_, customer, _ := r.conversation("CAfault")
				st := r.open(extended(customer))
				st.play(three(), media.Telephony, 1)
				err := st.end()
				if status.Code(err) != tt.code || !strings.Contains(fmt.Sprint(err), tt.text) {
					r.Errorf("the stream ended with %v; want %v %s", err, tt.code, tt.text)
				}
				if got, want := r.heard("CAfault"), media.Telephony.SamplesIn(tt.heard); got != want {
					r.Errorf("heard %d samples; want %d", got, want)
				}
				if got := strings.Join(without(st.kinds(), "interim"), " "); got != tt.kinds {
					r.Errorf("came %q; want %q", got, tt.kinds)
				}
			})
		})
	}
}

// TestForgottenParticipant: it is gone for good, the others are not.
func TestForgottenParticipant(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		name, customer, agent := r.conversation("CAforget")
		r.inject("forget@1s,role=END_USER")
		st := r.open(extended(customer))
		st.play(blocks(1, 0, 100), media.Telephony, 1)
		wantFault(t, st.wait(), codes.NotFound, FaultForget)
		if err := r.open(extended(customer)).end(); status.Code(err) != codes.NotFound {
			r.Errorf("a second stream ended with %v; want NOT_FOUND", err)
		}
		list, err := r.parts.ListParticipants(r.Context(), &pb.ListParticipantsRequest{Parent: name}).Next()
		if err != nil || list.GetName() != agent {
			r.Errorf("ListParticipants() begins with %v, %v; want the agent", list.GetName(), err)
		}
		a, _ := r.s.Account().Conversation("CAforget")
		if p := a.Role("END_USER")[0]; p.Samples != 8000 || len(p.Languages) != 1 || p.Languages[0] != DefaultLanguage || len(r.s.Blocks(customer)) == 0 {
			r.Errorf("account %+v; want what it heard before", p)
		}
	})
}

// TestStuckForGood: only the client ends such a stream, and the participant is
// free for the next one.
func TestStuckForGood(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		_, customer, _ := r.conversation("CAstuck")
		r.inject("stuck@1s,stream=1")
		st := r.open(extended(customer))
		st.play(blocks(1, 0, 3000), media.Telephony, 1)
		st.settle()
		select {
		case <-st.done:
			r.Fatalf("the stream ended by itself with %v", st.err)
		default:
		}
		r.inject("restart") // as if the client gave up
		if err := st.wait(); status.Code(err) != codes.Unavailable {
			r.Errorf("after the connection was cut: %v", err)
		}
		if got := r.heard("CAstuck"); got != 8000 {
			r.Errorf("heard %d samples; want those of the first second", got)
		}
		next := r.open(extended(customer))
		next.play(blocks(1, 50, 100), media.Telephony, 1)
		if err := next.end(); err != nil || len(next.finals()) != 1 {
			r.Errorf("the next stream: %v, %d finals", err, len(next.finals()))
		}
	})
}

// TestResultFaults plays three utterances under each fault of results.
func TestResultFaults(t *testing.T) {
	const one = "final message suggestions suggestions suggestions "
	offsets := func(st *stream) (list []time.Duration) {
		for _, f := range st.finals() {
			list = append(list, f.GetSpeechEndOffset().AsDuration())
		}
		return list
	}
	for _, tt := range []struct {
		order string
		kinds string // without interims
		count int    // strikes
		check func(r *rig, st *stream)
	}{
		{"drop-final", strings.Repeat("message suggestions suggestions suggestions ", 3), 3, nil},
		{"drop-final,times=1", "message suggestions suggestions suggestions " + one + one, 1, nil},
		{"drop-final@2s-4s", one + "message suggestions suggestions suggestions " + one, 1, nil},
		{"drop-message", strings.Repeat("final suggestions suggestions suggestions ", 3), 3, func(r *rig, _ *stream) {
			if n := len(r.messages(parent + "/conversations/CAfault")); n != 3 {
				r.Errorf("%d messages are stored; want 3", n)
			}
		}},
		{"lose-message", strings.Repeat("final ", 3), 3, func(r *rig, _ *stream) {
			if n := len(r.messages(parent + "/conversations/CAfault")); n != 0 {
				r.Errorf("%d messages are stored; want none", n)
			}
		}},
		{"duplicate-final,times=2", "final " + one + "final " + one + one, 2, nil},
		{"duplicate-message", strings.Repeat("final message message suggestions suggestions suggestions ", 3), 3, func(r *rig, st *stream) {
			if a, b := st.got[slices.Index(st.kinds(), "message")].GetMessage(), st.got[slices.Index(st.kinds(), "message")+1].GetMessage(); a.GetName() != b.GetName() {
				r.Errorf("messages %s and %s; want one twice", a.GetName(), b.GetName())
			}
		}},
		{"unknown-result", strings.Repeat("99 "+one, 3), 3, func(r *rig, st *stream) {
			if got := st.got[slices.Index(st.kinds(), "99")].GetRecognitionResult(); len(got.ProtoReflect().GetUnknown()) == 0 {
				r.Errorf("%v has no unknown field", got)
			}
		}},
		{"offset-beyond,for=1h", strings.Repeat(one, 3), 3, func(r *rig, st *stream) {
			if got := offsets(st)[0]; got < time.Hour+time.Second {
				r.Errorf("the first final ends at %v; want an hour beyond what was sent", got)
			}
		}},
		{"offset-back,for=900ms,times=1", strings.Repeat(one, 3), 1, func(r *rig, st *stream) {
			if got := offsets(st); got[0] > 100*time.Millisecond || got[2] != 5*time.Second {
				r.Errorf("finals end at %v; want the first far back", got)
			}
		}},
		{"suggestion-error:INTERNAL", strings.Repeat(one, 3), 3, func(r *rig, st *stream) {
			for _, resp := range st.got {
				for _, s := range resp.GetHumanAgentSuggestionResults() {
					if codes.Code(s.GetError().GetCode()) != codes.Internal {
						r.Errorf("suggestion %v; want an error", s)
					}
				}
			}
		}},
		{"delay-final,for=1s", strings.Repeat(one, 3), 3, func(r *rig, st *stream) { r.wantAt(st, "final", 2500*time.Millisecond) }},
		{"delay-message,for=1s", strings.Repeat(one, 3), 3, func(r *rig, st *stream) {
			r.wantAt(st, "final", 1500*time.Millisecond)
			r.wantAt(st, "message", 2500*time.Millisecond)
		}},
		{"delay-suggestions,for=3s", "final message final message suggestions suggestions suggestions final message suggestions suggestions suggestions suggestions suggestions suggestions ", 3,
			func(r *rig, st *stream) { r.wantAt(st, "suggestions", 4500*time.Millisecond) }},
		{"delay-suggestions,for=1m,times=1", "final message final message final message " + strings.Repeat("suggestions ", 9), 1, nil},
		{"slow-send,for=2s", strings.Repeat(one, 3), 9, func(r *rig, st *stream) { r.wantAt(st, "final", 3500*time.Millisecond) }},
	} {
		t.Run(tt.order, func(t *testing.T) {
			inBubble(t, nil, func(r *rig) {
				_, customer, _ := r.conversation("CAfault")
				ids := r.inject(tt.order)
				st := r.open(extended(customer))
				st.play(three(), media.Telephony, 1)
				if err := st.end(); err != nil {
					r.Fatalf("the stream ended with %v", err)
				}
				if got := strings.Join(without(st.kinds(), "interim"), " "); got != strings.TrimSpace(tt.kinds) {
					r.Errorf("came %q; want %q", got, tt.kinds)
				}
				if tt.check != nil {
					tt.check(r, st)
				}
				r.wantStruck(r.s.Faults()[0].Fault.Kind, tt.count)
				if n := r.s.Withdraw(ids...); n != 1 || len(r.s.Faults()) != 0 {
					r.Errorf("Withdraw = %d, %v are left", n, r.s.Faults())
				}
				st = r.open(extended(customer))
				st.play(three(), media.Telephony, 1)
				if err := st.end(); err != nil || strings.Join(without(st.kinds(), "interim"), " ") != strings.TrimSpace(strings.Repeat(one, 3)) {
					r.Errorf("without the fault: %v, %v", st.kinds(), err)
				}
			})
		})
	}
}

// TestDropInterim: with chance 1 finals come without interims.
func TestDropInterim(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		_, customer, agent := r.conversation("CAinterims")
		r.inject("drop-interim,role=END_USER")
		for who, want := range map[string]string{customer: "final", agent: "interim interim interim final"} {
			st := r.open(extended(who))
			st.play(blocks(1, 0, 200), media.Telephony, 1)
			if err := st.end(); err != nil || strings.Join(without(without(st.kinds(), "suggestions"), "message"), " ") != want {
				r.Errorf("%s got %v, %v; want %s", who, st.kinds(), err, want)
			}
		}
		r.wantStruck(FaultDropInterim, 3)
	})
}

// wantAt checks when the first response of a kind came.
func (r *rig) wantAt(st *stream, kind string, want time.Duration) {
	r.Helper()
	if got := st.at[slices.Index(st.kinds(), kind)]; got < want-200*time.Millisecond || got > want+200*time.Millisecond {
		r.Errorf("the first %s came after %v; want about %v", kind, got, want)
	}
}

// TestSlowRead: a server that reads at half the pace hears everything, later.
func TestSlowRead(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		_, customer, _ := r.conversation("CAslow")
		r.inject("slow-read,for=200ms")
		st := r.open(extended(customer))
		st.play(three(), media.Telephony, 1)
		if err := st.end(); err != nil || len(st.finals()) != 3 {
			r.Fatalf("%v, %d finals", err, len(st.finals()))
		}
		if took := time.Since(st.from); took < 12*time.Second || took > 13*time.Second {
			r.Errorf("6 s of audio took %v; want twice that", took)
		}
		if got := r.heard("CAslow"); got != 6*8000 {
			r.Errorf("heard %d samples", got)
		}
	})
}

// TestBidiFaults: the joint is the same for bidirectional streams.
func TestBidiFaults(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		_, customer, _ := r.conversation("CAbidi")
		r.inject("drop-message,times=1", "delay-suggestions,for=1s", "stream-end:ABORTED@6s")
		b := r.bidi(customer, nil)
		for _, chunk := range [][]byte{blocks(1, 0, 50), silence(time.Second), blocks(1, 50, 100), silence(time.Second), silence(time.Second), silence(time.Second)} {
			b.audio(chunk)
			time.Sleep(time.Second)
		}
		wantFault(r.T, b.end(), codes.Aborted, FaultStreamEnd)
		var said []string
		for _, resp := range b.got {
			if a := resp.GetAnalyzeContentResponse(); a != nil {
				said = append(said, fmt.Sprintf("%s+%d", a.GetMessage().GetContent(), len(a.GetHumanAgentSuggestionResults())))
			}
		}
		if got := strings.Join(said, "|"); got != "+3|blocks 50-99+0|+3" {
			r.Errorf("came %q", got)
		}
	})
}

func TestRPCFaults(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		conv, customer, _ := r.conversation("CArpc")
		complete := func() error {
			_, err := r.convs.CompleteConversation(r.Context(), &pb.CompleteConversationRequest{Name: conv})
			return err
		}
		r.inject("rpc-error:PERMISSION_DENIED,method=CompleteConversation,times=1", "rpc-delay,for=3s,method=AnalyzeContent,conversation=CArpc,times=1",
			"rpc-error:INTERNAL,method=AnalyzeContent,conversation=another")
		wantFault(r.T, complete(), codes.PermissionDenied, FaultRPCError)
		from := time.Now()
		if _, err := r.parts.AnalyzeContent(r.Context(), say(customer, "hello", "")); err != nil || time.Since(from) != 3*time.Second {
			r.Errorf("AnalyzeContent: %v after %v; want 3 s", err, time.Since(from))
		}
		if len(r.messages(conv)) != 1 { // the conversation is open still
			r.Error("the message was not stored")
		}
		r.inject("rpc-lost:INTERNAL,method=CompleteConversation,times=1")
		wantFault(r.T, complete(), codes.Internal, FaultRPCLost)
		if c, err := r.convs.GetConversation(r.Context(), &pb.GetConversationRequest{Name: conv}); err != nil || c.GetLifecycleState() != pb.Conversation_COMPLETED {
			r.Errorf("after the lost answer: %v, %v; want it completed", c.GetLifecycleState(), err)
		}
		if err := complete(); err != nil {
			r.Errorf("the third time: %v", err)
		}
		if got, want := r.s.Account().Faults, map[FaultKind]int{FaultRPCError: 1, FaultRPCLost: 1, FaultRPCDelay: 1}; !maps.Equal(got, want) {
			r.Errorf("the account of faults is %v; want %v", got, want)
		}
	})
}

// get asks for a conversation once, without the client's own retries.
func (r *rig) get(conv string) error {
	_, err := r.convs.GetConversation(r.Context(), &pb.GetConversationRequest{Name: conv}, gax.WithRetry(func() gax.Retryer { return nil }))
	return err
}

// TestDown: every RPC fails, streams under way too, and later nothing does. At ten
// times real time.
func TestDown(t *testing.T) {
	inBubble(t, func(c *Config) { c.Speed = 10 }, func(r *rig) {
		conv, customer, _ := r.conversation("CAdown")
		r.inject("down@20s,for=30s,every=100s,times=2")
		from := time.Now()
		at := func(d time.Duration) { time.Sleep(time.Until(from.Add(d)) + time.Millisecond); synctest.Wait() }
		for turn := range 2 {
			start := 2*time.Second + time.Duration(turn)*10*time.Second
			at(start - 100*time.Millisecond)
			if err := r.get(conv); err != nil {
				r.Errorf("turn %d, before: %v", turn, err)
			}
			st := r.open(extended(customer))
			at(start)
			wantFault(r.T, st.wait(), codes.Unavailable, FaultDown)
			wantFault(r.T, r.get(conv), codes.Unavailable, FaultDown)
			wantFault(r.T, r.open(extended(customer)).wait(), codes.Unavailable, FaultDown)
			at(start + 2900*time.Millisecond)
			wantFault(r.T, r.get(conv), codes.Unavailable, FaultDown)
			at(start + 3*time.Second)
			if err := r.get(conv); err != nil {
				r.Errorf("turn %d, after: %v", turn, err)
			}
		}
		at(time.Minute)
		r.wantStruck(FaultDown, 2)
		r.inject("down,for=1h")
		wantFault(r.T, r.get(conv), codes.Unavailable, FaultDown)
		r.s.Withdraw()
		if err := r.get(conv); err != nil {
			r.Errorf("after Withdraw: %v", err)
		}
	})
}

// TestRestart: connections are cut and refused for a while; what was known is known.
func TestRestart(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		conv, customer, agent := r.conversation("CArestart")
		streams := []*stream{r.open(extended(customer)), r.open(extended(agent))}
		streams[0].play(blocks(1, 0, 50), media.Telephony, 1)
		r.inject("restart,for=5s")
		for _, st := range streams {
			if err := st.wait(); status.Code(err) != codes.Unavailable {
				r.Errorf("a stream ended with %v; want UNAVAILABLE", err)
			}
		}
		time.Sleep(2 * time.Second)
		if err := r.get(conv); status.Code(err) != codes.Unavailable {
			r.Errorf("GetConversation while it restarts: %v; want UNAVAILABLE", err)
		}
		time.Sleep(20 * time.Second) // the client's back-off
		if err := r.get(conv); err != nil {
			r.Errorf("GetConversation after the restart: %v", err)
		}
		st := r.open(extended(customer))
		st.play(blocks(1, 50, 100), media.Telephony, 1)
		if err := st.end(); err != nil {
			r.Error(err)
		}
		if got := r.heard("CArestart"); got != 2*8000 {
			r.Errorf("heard %d samples in both streams", got)
		}
		r.s.faults.mu.Lock()
		defer r.s.faults.mu.Unlock()
		if n := len(r.s.faults.wires); n > 4 {
			r.Errorf("%d connections are kept; want those of the four clients at most", n)
		}
	})
}

// TestSeed: the same seed and calls give the same faults, another seed others.
func TestSeed(t *testing.T) {
	run := func(seed uint64) (trace string) {
		plan := orders(t, "stream-end:UNAVAILABLE@1s-5s,chance=0.5", "drop-final,chance=0.3", "duplicate-message,chance=0.3", "rpc-error:INTERNAL,chance=0.3,method=GetParticipant")
		plan.Seed = seed
		inBubble(t, func(c *Config) { c.Faults = plan }, func(r *rig) {
			var all []*stream
			for i := range 4 {
				_, customer, agent := r.conversation(fmt.Sprintf("CA%d", 100+i))
				for _, p := range []string{customer, agent} {
					all = append(all, r.open(extended(p)))
				}
				for range 5 {
					_, err := r.parts.GetParticipant(r.Context(), &pb.GetParticipantRequest{Name: customer})
					trace += status.Code(err).String() + " "
				}
			}
			for chunk := range slices.Chunk(three(), 800) { // to all at the same time
				for _, st := range all {
					if err := st.Send(audio(chunk)); err != nil && !errors.Is(err, io.EOF) {
						r.Fatal(err)
					}
				}
				time.Sleep(100 * time.Millisecond)
			}
			for _, st := range all {
				trace += fmt.Sprint(st.end(), without(st.kinds(), "interim"), "\n")
			}
			trace += fmt.Sprint(r.s.Account().Faults)
		})
		return trace
	}
	first := run(7)
	if again := run(7); again != first {
		t.Errorf("seed 7 gave\n%s\nand then\n%s", first, again)
	}
	if other := run(8); other == first {
		t.Error("seeds 7 and 8 gave the same")
	}
	for _, kind := range []FaultKind{FaultStreamEnd, FaultDropFinal, FaultDuplicateMessage, FaultRPCError} {
		if !strings.Contains(first, string(kind)+":") {
			t.Errorf("%s never struck:\n%s", kind, first)
		}
	}
}
