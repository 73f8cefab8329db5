package call

import (
	"context"
	"encoding/json"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/assist"
	"github.com/patchbay/patchbay/core/event"
	"github.com/patchbay/patchbay/core/tape/spool"
)

// openSpool returns a running spool; stop ends it.
func openSpool(t *testing.T, dir string) (s *spool.Spool, stop func()) {
	t.Helper()
	key, err := spool.NewKey(make([]byte, spool.KeyBytes))
	if err != nil {
		t.Fatal(err)
	}
	s, err = spool.Open(spool.Config{Dir: dir, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	return s, func() {
		cancel()
		running.Wait()
	}
}

func newSpooledHost(t *testing.T, dir string, change func(*Config)) *host {
	t.Helper()
	s, stop := openSpool(t, dir)
	h := newHost(t, func(c *Config) {
		c.Spool = s
		if change != nil {
			change(c)
		}
	})
	t.Cleanup(stop) // before the host is shut down: what it does then reaches no disk that matters
	return h
}

// crash returns what a killed host leaves on the disk, and cuts it off.
func (h *host) crash(t *testing.T, dir string) (left string) {
	t.Helper()
	left = t.TempDir()
	if err := os.CopyFS(left, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	h.cut()
	synctest.Wait()
	return left
}

// successor returns a host that goes on with what lies in dir.
func (h *host) successor(t *testing.T, dir string, calls int, change func(*Config)) *host {
	t.Helper()
	s, stop := openSpool(t, dir)
	next := newHostAt(t, h.emulator, h.dial, func(c *Config) {
		c.Spool = s
		if change != nil {
			change(c)
		}
	})
	t.Cleanup(stop)
	if n := next.Recover(t.Context()); n != calls {
		t.Fatalf("Recover() = %d; want %d", n, calls)
	}
	return next
}

// leftTrack is what a host left of a track.
type leftTrack struct {
	name    string // as the adapter calls it
	end     int64  // position after what its file has
	settled int64  // as a successor reads the journal
}

// written returns what the spool in dir has, by the number of the track.
func written(t *testing.T, dir string) map[int]leftTrack {
	t.Helper()
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	s, stop := openSpool(t, copied)
	defer stop()
	out := make(map[int]leftTrack)
	for _, r := range s.Recovered() {
		var h tapeHead
		if err := json.Unmarshal(r.Meta, &h); err != nil {
			t.Fatal(err)
		}
		out[h.Ref.Number] = leftTrack{name: h.Ref.Track, end: r.End}
	}
	for _, j := range s.Journals() {
		p, err := readJournal(j)
		if err != nil {
			t.Fatal(err)
		}
		for number, l := range out {
			l.settled, _ = p.settled(number)
			out[number] = l
		}
	}
	return out
}

// heard returns how often each block of a stream was heard.
func (h *host) heard(t *testing.T, conversation string, stream uint16) map[uint32]int {
	t.Helper()
	account, ok := h.emulator.Account().Conversation(conversation)
	if !ok {
		t.Fatalf("the emulator knows no conversation %s", conversation)
	}
	out := make(map[uint32]int)
	for _, p := range account.Participants {
		for b, n := range h.emulator.Blocks(p.Name) {
			if b.Stream == stream {
				out[b.N] += n
			}
		}
	}
	return out
}

func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != "lock" {
			names = append(names, d.Name())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestCrashLosesNothingThatWasWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		h := newSpooledHost(t, dir, nil)
		l := h.open(t, "CA1", "leg")
		in, out := join(t, l, "inbound", customer, 1), join(t, l, "outbound", agent, 2)
		say(t, 21*time.Second, in, out)
		h.cut() // some is settled by now, the rest waits
		say(t, 9500*time.Millisecond, in, out)
		id := h.find(t, "CA1").ID()
		left := h.crash(t, dir)
		tracks := written(t, left)
		if l := tracks[1]; len(tracks) != 2 || l.end < in.pos-8000 || l.settled == 0 || l.settled >= l.end {
			t.Fatalf("the spool has %+v, of %d samples; the test wants some of each", tracks, in.pos)
		}

		next := h.successor(t, left, 1, nil)
		c := next.find(t, "CA1")
		events := untilEnded(t, c)
		if c.ID() != id || c.Summary().State != Ended {
			t.Errorf("the call is %+v; want %s, ended", c.Summary(), id)
		}
		for number, l := range tracks {
			heard := h.heard(t, "CA1", uint16(number))
			for b := range uint32(l.end / 160) {
				switch n := heard[b]; {
				case n == 0:
					t.Errorf("block %d of track %d was written and is not heard", b, number)
				case n > 1 && int64(b+1)*160 <= l.settled:
					t.Errorf("block %d of track %d was settled and is heard %d times", b, number, n)
				}
			}
		}
		account, _ := h.emulator.Account().Conversation("CA1")
		if len(account.Participants) != 2 || !account.Completed {
			t.Errorf("the conversation has %d participants, completed: %t; want 2, true", len(account.Participants), account.Completed)
		}
		wantSettled(t, c)
		wantRising(t, events)
		time.Sleep(5 * time.Second)
		if names := files(t, left); len(names) > 0 {
			t.Errorf("files %v are left", names)
		}
		if n := next.successorFinds(t, left); n != 0 {
			t.Errorf("%d calls are found after the end", n)
		}
	})
}

// successorFinds returns how many calls a copy of dir has.
func (h *host) successorFinds(t *testing.T, dir string) int {
	t.Helper()
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	s, stop := openSpool(t, copied)
	defer stop()
	return len(s.Journals())
}

// wantRising checks that events have rising numbers, and each utterance one final.
func wantRising(t *testing.T, events []event.Event) {
	t.Helper()
	finals := make(map[string]int)
	for i, e := range events {
		if i > 0 && e.Seq <= events[i-1].Seq {
			t.Errorf("event %d follows %d", e.Seq, events[i-1].Seq)
		}
		if e.Kind == event.TranscriptFinal {
			finals[e.Transcript.Utterance]++
		}
	}
	for u, n := range finals {
		if n > 1 {
			t.Errorf("utterance %s has %d finals", u, n)
		}
	}
}

func TestLegsComeBackAfterACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		h := newSpooledHost(t, dir, nil)
		l := h.open(t, "CA1", "leg")
		in, out := join(t, l, "inbound", customer, 1), join(t, l, "outbound", agent, 2)
		if err := l.Note(adapter.Note{Kind: adapter.NoteMetadata, Fields: map[string]string{"campaign": "sales"}, Aliases: []string{"S-77"}}); err != nil {
			t.Fatal(err)
		}
		say(t, 20*time.Second, in, out)
		left := h.crash(t, dir)
		tracks := written(t, left)

		next := h.successor(t, left, 1, nil)
		if c := next.find(t, "S-77"); c.Info().Attributes["campaign"] != "sales" {
			t.Errorf("after the crash the attributes are %v", c.Info().Attributes)
		}
		time.Sleep(10 * time.Second)
		again := next.open(t, "CA1", "leg")
		in2, out2 := join(t, again, "inbound", customer, 1), join(t, again, "outbound", agent, 2)
		in2.n, out2.n = in.n, out.n
		say(t, 20*time.Second, in2, out2)
		closeLeg(t, again, adapter.EndHangup)
		c := next.find(t, "CA1")
		wantRising(t, untilEnded(t, c))
		for stream, last := range map[uint16]uint32{1: in2.n, 2: out2.n} {
			heard := h.heard(t, "CA1", stream)
			for b := range last {
				l, end := tracks[int(stream)], int64(b+1)*160
				lost := end > l.end && b < in.n // in memory when it crashed
				if n := heard[b]; n == 0 && !lost || n > 1 && (end <= l.settled || b >= in.n) {
					t.Errorf("block %d of stream %d is heard %d times", b, stream, n)
				}
			}
		}
		account, _ := h.emulator.Account().Conversation("CA1")
		if len(account.Participants) != 2 {
			t.Errorf("the conversation has %d participants; want 2", len(account.Participants))
		}
		if n := len(h.emulator.Account().Conversations); n != 1 {
			t.Errorf("%d conversations; want 1", n)
		}
		wantSettled(t, c)
	})
}

// complete ends a conversation as somebody else.
func (h *host) complete(t *testing.T, name string) {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///emulator", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return h.dial(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := dialogflowpb.NewConversationsClient(conn).CompleteConversation(t.Context(), &dialogflowpb.CompleteConversationRequest{Name: name}); err != nil {
		t.Fatal(err)
	}
}

func TestRecover(t *testing.T) {
	tests := []struct {
		name   string
		before func(t *testing.T, h *host)
		calls  int
		change func(*Config)
		after  func(t *testing.T, h *host, events []event.Event)
	}{
		{"before the conversation was there", func(t *testing.T, h *host) {
			h.cut()
			l := h.open(t, "CA1", "leg")
			say(t, 5*time.Second, join(t, l, "inbound", customer, 1))
		}, 1, nil, func(t *testing.T, h *host, _ []event.Event) {
			if n := len(h.heard(t, "CA1", 1)); n < 200 {
				t.Errorf("%d blocks are heard of the 250, at least 200 of which were written", n)
			}
		}},
		{"paused stays paused", func(t *testing.T, h *host) {
			l := h.open(t, "CA1", "leg")
			s := join(t, l, "inbound", customer, 1)
			say(t, 5*time.Second, s)
			if err := h.find(t, "CA1").Pause("card"); err != nil {
				t.Fatal(err)
			}
			say(t, 2*time.Second, s)
		}, 1, nil, func(t *testing.T, h *host, _ []event.Event) {
			if got := h.find(t, "CA1").Summary().Paused; got != "card" {
				t.Errorf("paused for %q; want card", got)
			}
			if n := len(h.heard(t, "CA1", 1)); n > 250 {
				t.Errorf("%d blocks are heard; 250 were said before the pause", n)
			}
		}},
		{"too old", func(t *testing.T, h *host) {
			l := h.open(t, "CA1", "leg")
			who := join(t, l, "inbound", customer, 1)
			say(t, 5*time.Second, who)
			h.cut()
			say(t, 5*time.Second, who)
		}, 1, func(c *Config) { c.Limits.RecoverAge = time.Second }, func(t *testing.T, h *host, _ []event.Event) {
			account, _ := h.emulator.Account().Conversation("CA1")
			if !account.Completed {
				t.Error("the conversation is not completed")
			}
			if d := h.find(t, "CA1").Info().Tracks[0].Ledger.Discarded[DiscardTooOld]; d == 0 {
				t.Error("no audio is discarded as too old")
			}
		}},
		{"its project has no route any more", func(t *testing.T, h *host) {
			l := h.open(t, "CA1", "leg")
			say(t, 5*time.Second, join(t, l, "inbound", customer, 1))
		}, 0, func(c *Config) { c.Routes[0].Google.Project = "other" }, nil},
		{"ended", func(t *testing.T, h *host) {
			l := h.open(t, "CA1", "leg")
			say(t, 5*time.Second, join(t, l, "inbound", customer, 1))
			closeLeg(t, l, adapter.EndHangup)
			untilEnded(t, h.find(t, "CA1"))
		}, 0, nil, nil},
		{"completed by somebody else", func(t *testing.T, h *host) {
			l := h.open(t, "CA1", "leg")
			say(t, 5*time.Second, join(t, l, "inbound", customer, 1))
			h.cut()
			h.complete(t, "projects/local/locations/global/conversations/CA1")
		}, 1, nil, func(t *testing.T, h *host, events []event.Event) {
			if !slices.ContainsFunc(events, func(e event.Event) bool {
				return e.Kind == event.Failure && strings.Contains(e.Problem.Text, "completed by somebody else")
			}) {
				t.Error("nothing says that somebody else completed the conversation")
			}
			if n := len(h.emulator.Account().Conversations); n != 1 {
				t.Errorf("%d conversations; want 1", n)
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				h := newSpooledHost(t, dir, nil)
				tt.before(t, h)
				next := h.successor(t, h.crash(t, dir), tt.calls, tt.change)
				if tt.after == nil {
					return
				}
				c := next.find(t, "CA1")
				events := untilEnded(t, c)
				wantSettled(t, c)
				tt.after(t, next, events)
			})
		})
	}
}

// An event that no journal takes is missing after a crash, and nothing else.
func TestHugeEventIsLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		h := newSpooledHost(t, dir, nil)
		l := h.open(t, "CA1", "leg")
		c := h.find(t, "CA1")
		c.publish(event.Event{Kind: event.SuggestionOffered, Suggestion: &event.Suggestion{ID: "huge", Text: strings.Repeat("x", spool.MaxJournalRecord)}})
		say(t, 10*time.Second, join(t, l, "inbound", customer, 1))
		next := h.successor(t, h.crash(t, dir), 1, nil).find(t, "CA1")
		finals := 0
		for _, e := range untilEnded(t, next) {
			if e.Kind == event.TranscriptFinal {
				finals++
			}
			if e.Kind == event.SuggestionOffered && e.Suggestion.ID == "huge" {
				t.Error("the huge event is there")
			}
		}
		if finals == 0 {
			t.Error("no final is there")
		}
		if n := len(c.Events().Since(0, 0)); n < 5 {
			t.Errorf("readers of the first host saw %d events; want all", n)
		}
	})
}

// A host that is stopped in mid-call leaves the calls of a route that reattaches to its
// successor, which goes on in the same conversation.
func TestStoppedHostLeavesItsCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		reattach := func(c *Config) {
			c.Routes[0].Reattach = true
			c.Reattach = func(context.Context, string, adapter.AttachRequest) error { asked++; return nil }
		}
		dir := t.TempDir()
		s, stop := openSpool(t, dir)
		h := newHost(t, func(c *Config) {
			c.Spool = s
			reattach(c)
		})
		l := h.open(t, "CA1", "leg")
		in, out := join(t, l, "inbound", customer, 1), join(t, l, "outbound", agent, 2)
		say(t, 10*time.Second, in, out)
		c := h.find(t, "CA1")
		go func() {
			for order := range l.Control() {
				if order.Kind == adapter.ControlEnd {
					_ = l.Close(adapter.EndReason{Kind: adapter.EndOrdered})
				}
			}
		}()
		h.Shutdown(t.Context())
		stop()
		for _, e := range untilEnded(t, c) {
			if e.Kind == event.CallEnded || e.Kind == event.ConversationDone {
				t.Errorf("the first host says %s", e.Kind)
			}
		}
		if account, _ := h.emulator.Account().Conversation("CA1"); account.Completed {
			t.Error("the first host completed the conversation")
		}

		next := h.successor(t, dir, 1, reattach)
		time.Sleep(2 * time.Second)
		again := next.open(t, "CA1", "leg")
		in2, out2 := join(t, again, "inbound", customer, 1), join(t, again, "outbound", agent, 2)
		in2.n, out2.n = in.n, out.n
		say(t, 10*time.Second, in2, out2)
		closeLeg(t, again, adapter.EndHangup)
		c = next.find(t, "CA1")
		wantRising(t, untilEnded(t, c))
		next.wantHeard(t, "CA1", "END_USER", 1, in2.n)
		next.wantHeard(t, "CA1", "HUMAN_AGENT", 2, out2.n)
		wantSettled(t, c)
		account, _ := h.emulator.Account().Conversation("CA1")
		if len(account.Participants) != 2 || !account.Completed || len(h.emulator.Account().Conversations) != 1 || asked != 1 {
			t.Errorf("%d participants, completed %t, %d conversations, asked %d times; want 2, true, 1, 1",
				len(account.Participants), account.Completed, len(h.emulator.Account().Conversations), asked)
		}
		time.Sleep(2 * time.Second) // a cycle of the spool
		if n := next.successorFinds(t, dir); n != 0 {
			t.Errorf("%d calls are found after the end", n)
		}
	})
}

// What Agent Assist could not take before the host was stopped, the successor sends.
func TestStoppedHostLeavesItsAudio(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reattach := func(c *Config) {
			c.Routes[0].Reattach = true
			c.Reattach = func(context.Context, string, adapter.AttachRequest) error { return nil }
		}
		dir := t.TempDir()
		s, stop := openSpool(t, dir)
		h := newHost(t, func(c *Config) {
			c.Spool = s
			reattach(c)
		})
		l := h.open(t, "CA1", "leg")
		in := join(t, l, "inbound", customer, 1)
		say(t, 10*time.Second, in)
		h.cut()
		say(t, 10*time.Second, in)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		h.Shutdown(ctx) // the leg does not heed its order either
		stop()
		c := h.successor(t, dir, 1, reattach).find(t, "CA1")
		untilEnded(t, c)
		heard := h.heard(t, "CA1", 1)
		for b := range in.n {
			if heard[b] == 0 {
				t.Errorf("block %d is not heard", b)
			}
		}
		wantSettled(t, c)
	})
}

// A call goes on by the route that it had, never by one that is for others.
func TestRecoveredCallKeepsItsRoute(t *testing.T) {
	google := assist.Google{Project: "p"}
	p := &predecessor{head: head{Adapter: "a", Account: "acc", Tenant: "acme", Project: "p"}}
	for _, tt := range []struct {
		name  string
		match Match
		want  bool
	}{
		{"everybody's", Match{}, true},
		{"its own", Match{Adapter: "a", Tenant: "acme", Account: "acc"}, true},
		{"another adapter's", Match{Adapter: "b"}, false},
		{"another tenant's", Match{Tenant: "other"}, false},
		{"another account's", Match{Account: "other"}, false},
	} {
		if got := p.fits(Route{Match: tt.match, Google: google}); got != tt.want {
			t.Errorf("%s: fits = %t; want %t", tt.name, got, tt.want)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		two := func(c *Config) { // the second is the call's: its number decides
			c.Routes = append([]Route{c.Routes[0]}, c.Routes...)
			c.Routes[0].Match.To = "+15550999"
		}
		dir := t.TempDir()
		h := newSpooledHost(t, dir, two)
		l := h.open(t, "CA1", "leg")
		say(t, 5*time.Second, join(t, l, "inbound", customer, 1))
		c := h.successor(t, h.crash(t, dir), 1, two).find(t, "CA1")
		if got := c.Info().Route; got != 1 {
			t.Errorf("the call goes on by route %d; want 1", got)
		}
		untilEnded(t, c)
	})
}
