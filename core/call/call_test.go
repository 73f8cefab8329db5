package call

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc/test/bufconn"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/assist"
	"github.com/patchbay/patchbay/core/emulator"
	"github.com/patchbay/patchbay/core/event"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/media/probe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// host is a manager in front of an emulator, in one bubble of fake time.
type host struct {
	*Manager
	emulator *emulator.Server
	dial     func(context.Context) (net.Conn, error) // the emulator
	cut      func()                                  // cuts the host off from it, for good
}

func newHost(t *testing.T, change func(*Config)) *host {
	t.Helper()
	em, err := emulator.New(emulator.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	ln := bufconn.Listen(1 << 20)
	server := em.GRPC()
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(ln); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		server.Stop()
		serving.Wait()
	})
	return newHostAt(t, em, ln.DialContext, change)
}

// newHostAt returns a host in front of an emulator that runs.
func newHostAt(t *testing.T, em *emulator.Server, dial func(context.Context) (net.Conn, error), change func(*Config)) *host {
	t.Helper()
	cfg := Config{
		Routes: []Route{{Google: assist.Google{Project: "local", Location: "global", Endpoint: "passthrough:///emulator", Insecure: true}, Profile: "demo"}},
		Limits: DefaultLimits(),
	}
	if change != nil {
		change(&cfg)
	}
	var line lines
	pool := assist.NewPool(assist.Options{Dial: func(ctx context.Context, _ string) (net.Conn, error) { return line.dial(ctx, dial) }})
	m := NewManager(cfg, pool, slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		m.Shutdown(t.Context()) // its context has ended by now: whatever still runs is cut off
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	})
	return &host{m, em, dial, line.cut}
}

// lines are a host's connections.
type lines struct {
	mu   sync.Mutex
	open []net.Conn
	dead bool
}

func (l *lines) dial(ctx context.Context, dial func(context.Context) (net.Conn, error)) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		return nil, errors.New("cut off")
	}
	c, err := dial(ctx)
	if err == nil {
		l.open = append(l.open, c)
	}
	return c, err
}

func (l *lines) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dead = true
	for _, c := range l.open {
		_ = c.Close()
	}
}

func info(key, leg string) adapter.LegInfo {
	return adapter.LegInfo{CallKey: key, LegKey: leg, Conversation: key, To: "+15550100",
		Principal: adapter.Principal{Account: "acc", Method: adapter.MethodToken}}
}

func (h *host) open(t *testing.T, key, leg string) adapter.Leg {
	t.Helper()
	l, err := h.Sink("test").Open(t.Context(), info(key, leg))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// speaker sends coded blocks on one track.
type speaker struct {
	leg    adapter.Leg
	track  media.TrackID
	stream uint16
	n      uint32 // next block
	pos    int64
}

var (
	customer = adapter.Speaker{ID: "customer", Role: adapter.RoleEndUser, Evidence: "test"}
	agent    = adapter.Speaker{ID: "agent", Role: adapter.RoleHumanAgent, Evidence: "test"}
)

func join(t *testing.T, l adapter.Leg, track media.TrackID, who adapter.Speaker, stream uint16) *speaker {
	t.Helper()
	if err := l.Join(track, adapter.Track{Format: media.Telephony, Speaker: who}); err != nil {
		t.Fatal(err)
	}
	return &speaker{leg: l, track: track, stream: stream}
}

// say sends d of blocks on all tracks in (fake) real time.
func say(t *testing.T, d time.Duration, speakers ...*speaker) {
	t.Helper()
	buf := make([]byte, 0, 160)
	for range d / (20 * time.Millisecond) {
		time.Sleep(20 * time.Millisecond)
		for _, s := range speakers {
			buf = probe.AppendBlock(buf[:0], s.stream, s.n)
			if err := s.leg.Write(media.Frame{Track: s.track, Pos: s.pos, Arrived: time.Now(), Payload: buf}); err != nil {
				t.Fatal(err)
			}
			s.n++
			s.pos += 160
		}
	}
}

func closeLeg(t *testing.T, l adapter.Leg, kind adapter.EndKind) {
	t.Helper()
	if err := l.Close(adapter.EndReason{Kind: kind}); err != nil {
		t.Fatal(err)
	}
}

// untilEnded reads a call's log to its end.
func untilEnded(t *testing.T, c *Call) []event.Event {
	t.Helper()
	var all []event.Event
	var seq uint64
	for {
		events, err := c.Events().Next(t.Context(), seq, 0)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, events...)
		seq = all[len(all)-1].Seq
	}
}

func kinds(events []event.Event) []event.Kind {
	var out []event.Kind
	for _, e := range events {
		if len(out) == 0 || out[len(out)-1] != e.Kind {
			out = append(out, e.Kind)
		}
	}
	return out
}

func (h *host) find(t *testing.T, name string) *Call {
	t.Helper()
	c, ok := h.Find(name)
	if !ok {
		t.Fatalf("Find(%q) found nothing", name)
	}
	return c
}

// wantHeard checks that the participants in a role heard each block of a stream once.
func (h *host) wantHeard(t *testing.T, conversation, role string, stream uint16, blocks uint32) {
	t.Helper()
	account, ok := h.emulator.Account().Conversation(conversation)
	if !ok {
		t.Fatalf("the emulator knows no conversation %s", conversation)
	}
	var distinct, duplicates, other int
	for _, p := range account.Role(role) {
		for _, b := range p.Blocks {
			if b.Stream == stream {
				distinct += b.Distinct
				duplicates += b.Duplicates
			} else {
				other += b.Distinct
			}
		}
	}
	if distinct != int(blocks) || duplicates != 0 || other != 0 {
		t.Errorf("%s heard %d blocks, %d of them twice, and %d of somebody else; want %d once", role, distinct, duplicates, other, blocks)
	}
}

// wantSettled checks that every track's account is in balance and nothing is open.
func wantSettled(t *testing.T, c *Call) {
	t.Helper()
	for _, tr := range c.Info().Tracks {
		if err := tr.Ledger.Balanced(); err != nil || !tr.Ledger.Settled() {
			t.Errorf("track %s: %+v, %v; want it settled and in balance", tr.Track, tr.Ledger, err)
		}
	}
}

func TestCallIsHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, nil)
		l := h.open(t, "CA1", "leg")
		c := h.find(t, "CA1")
		in, out := join(t, l, "inbound", customer, 1), join(t, l, "outbound", agent, 2)
		say(t, 20*time.Second, in, out)
		if err := l.Note(adapter.Note{Kind: adapter.NoteDTMF, Text: "5"}); err != nil {
			t.Fatal(err)
		}
		closeLeg(t, l, adapter.EndHangup)
		closeLeg(t, l, adapter.EndLost) // the second time it does nothing
		events := untilEnded(t, c)
		h.wantHeard(t, "CA1", "END_USER", 1, in.n)
		h.wantHeard(t, "CA1", "HUMAN_AGENT", 2, out.n)
		wantSettled(t, c)
		for _, tr := range c.Info().Tracks {
			if tr.Ledger.Arrived != in.pos || tr.Ledger.Recognised < in.pos*9/10 || len(tr.Ledger.Discarded) > 0 {
				t.Errorf("track %s: %+v; want %d arrived and nearly all recognised", tr.Track, tr.Ledger, in.pos)
			}
		}
		got := kinds(events)
		for _, want := range []event.Kind{event.CallStarted, event.LegJoined, event.TrackJoined, event.ConversationReady, event.ParticipantReady,
			event.StreamOpened, event.TranscriptFinal, event.MessageStored, event.VendorNote, event.LegEnded, event.CallEnding, event.ConversationDone, event.CallEnded} {
			if !slices.Contains(got, want) {
				t.Errorf("no %s among %v", want, got)
			}
		}
		if got[0] != event.CallStarted || got[len(got)-1] != event.CallEnded {
			t.Errorf("the log begins with %s and ends with %s", got[0], got[len(got)-1])
		}
		synctest.Wait() // the manager counts the end after the log's
		if s := c.Summary(); s.State != Ended || s.Ended.IsZero() || h.Stats().Live != 0 {
			t.Errorf("Summary() = %+v, %d live; want it ended", s, h.Stats().Live)
		}
		if _, err := h.emulator.Account().Conversation("CA1"); !err {
			t.Error("conversation is unknown")
		}
	})
}

func TestLegsWithOneKeyAreOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, nil)
		one, two := h.open(t, "CA1", "customer"), h.open(t, "CA1", "agent")
		c := h.find(t, "CA1")
		a, b := join(t, one, "inbound", customer, 1), join(t, two, "inbound", agent, 2)
		say(t, 5*time.Second, a, b)
		closeLeg(t, one, adapter.EndHangup)
		say(t, 10*time.Second, b) // longer than the grace period
		closeLeg(t, two, adapter.EndHangup)
		untilEnded(t, c)
		if n := h.Stats().Started; n != 1 {
			t.Errorf("%d calls; want 1", n)
		}
		h.wantHeard(t, "CA1", "END_USER", 1, a.n)
		h.wantHeard(t, "CA1", "HUMAN_AGENT", 2, b.n)
		wantSettled(t, c)
	})
}

func TestTakeOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, nil)
		old := h.open(t, "CA1", "leg")
		s := join(t, old, "inbound", customer, 1)
		say(t, 3*time.Second, s)
		l := h.open(t, "CA1", "leg")
		if c, ok := <-old.Control(); !ok || c.Kind != adapter.ControlEnd {
			t.Errorf("the old leg was told %+v; want an end", c)
		}
		if _, ok := <-old.Control(); ok {
			t.Error("the old leg's control is still open")
		}
		if err := old.Write(media.Frame{Track: "inbound", Pos: s.pos, Payload: make([]byte, 160)}); !errors.Is(err, adapter.ErrClosed) {
			t.Errorf("Write on the old leg = %v; want ErrClosed", err)
		}
		again := join(t, l, "inbound", customer, 1)
		again.n = s.n
		say(t, 3*time.Second, again)
		c := h.find(t, "CA1")
		closeLeg(t, old, adapter.EndLost) // late; it must not end the new leg
		say(t, 30*time.Second, again)
		closeLeg(t, l, adapter.EndHangup)
		untilEnded(t, c)
		h.wantHeard(t, "CA1", "END_USER", 1, again.n)
		wantSettled(t, c)
		if n := len(c.Info().Tracks); n != 1 {
			t.Errorf("%d tracks; want the take-over to continue the one", n)
		}
	})
}

func TestLostLegComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, nil)
		l := h.open(t, "CA1", "leg")
		s := join(t, l, "inbound", customer, 1)
		say(t, 3*time.Second, s)
		closeLeg(t, l, adapter.EndCrash)
		time.Sleep(DefaultLimits().LostGrace - time.Second)
		l = h.open(t, "CA1", "leg")
		again := join(t, l, "inbound", customer, 1)
		again.n = s.n
		say(t, 3*time.Second, again)
		c := h.find(t, "CA1")
		closeLeg(t, l, adapter.EndHangup)
		untilEnded(t, c)
		h.wantHeard(t, "CA1", "END_USER", 1, again.n)
		wantSettled(t, c)

		// After its end the key names a new call, in a conversation with a suffix.
		l = h.open(t, "CA1", "leg")
		next := h.find(t, "CA1")
		if next == c {
			t.Fatal("the call that ended took a leg")
		}
		say(t, time.Second, join(t, l, "inbound", customer, 3))
		closeLeg(t, l, adapter.EndHangup)
		events := untilEnded(t, next)
		if got := next.Info().Conversation; !strings.HasSuffix(got, "/CA1-2") {
			t.Errorf("the conversation is %s; want CA1-2", got)
		}
		if !slices.ContainsFunc(events, func(e event.Event) bool { return e.Problem != nil && e.Problem.Code == "conversation_renamed" }) {
			t.Error("nothing says that the conversation was renamed")
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	small := func(c *Config) {
		c.Limits.Calls, c.Limits.LegsPerCall = 2, 1
		c.Routes[0].Match = Match{Adapter: "test", To: "+15550100", Claims: map[string]string{"queue": "help"}}
		c.Routes = append(c.Routes, c.Routes[0])
		c.Routes[1].Match, c.Routes[1].MaxCalls = Match{Adapter: "small"}, 1
		c.Routes[1].ProfileClaim, c.Routes[1].Profiles = "profile", []string{"demo"}
		c.TenantOf = func(name, account string) (string, bool) { return "acme", name == "small" || account == "acc" }
	}
	with := func(change func(*adapter.LegInfo)) adapter.LegInfo {
		i := info("CA9", "leg")
		i.Claims = map[string]string{"queue": "help"}
		change(&i)
		return i
	}
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, small)
		for _, tt := range []struct {
			name, adapter string
			info          adapter.LegInfo
			want          adapter.RefusalReason // empty: admitted
		}{
			{"no key", "test", with(func(i *adapter.LegInfo) { i.CallKey = "" }), adapter.RefusedInvalid},
			{"no leg key", "test", with(func(i *adapter.LegInfo) { i.LegKey = "" }), adapter.RefusedInvalid},
			{"a key without end", "test", with(func(i *adapter.LegInfo) { i.CallKey = strings.Repeat("x", 1000) }), adapter.RefusedInvalid},
			{"nobody's account", "test", with(func(i *adapter.LegInfo) { i.Principal.Account = "other" }), adapter.RefusedNoRoute},
			{"another number", "test", with(func(i *adapter.LegInfo) { i.To = "+15550199" }), adapter.RefusedNoRoute},
			{"without the claim", "test", with(func(i *adapter.LegInfo) { i.Claims = nil }), adapter.RefusedNoRoute},
			{"a profile that is not listed", "small", with(func(i *adapter.LegInfo) { i.Claims["profile"] = "secret" }), adapter.RefusedNoRoute},
			{"the first", "small", with(func(i *adapter.LegInfo) { i.Claims["profile"] = "demo" }), ""},
			{"a second leg", "small", with(func(i *adapter.LegInfo) { i.LegKey = "two" }), adapter.RefusedFull},
			{"a second on the route", "small", with(func(i *adapter.LegInfo) { i.CallKey = "CA8" }), adapter.RefusedFull},
			{"on the other route", "test", with(func(i *adapter.LegInfo) { i.CallKey = "CA8" }), ""},
			{"a third call", "test", with(func(i *adapter.LegInfo) { i.CallKey = "CA7" }), adapter.RefusedFull},
		} {
			_, err := h.Sink(tt.adapter).Open(t.Context(), tt.info)
			if tt.want == "" && err == nil {
				continue
			}
			if r, ok := refusalOf(err); !ok || r.Reason != tt.want || !errors.Is(err, adapter.ErrRefused) {
				t.Errorf("%s: Open = %v; want refused with %q", tt.name, err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "+15550199") {
				t.Errorf("%s: the refusal shows the number: %v", tt.name, err)
			}
		}
		if got := h.Stats(); got.Refused[adapter.RefusedFull] != 3 || got.Live != 2 {
			t.Errorf("Stats() = %+v; want 3 refused as full, 2 live", got)
		}
	})
}

func TestRolesAreSwapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, nil)
		l := h.open(t, "CA1", "leg")
		a, b := join(t, l, "inbound", customer, 1), join(t, l, "outbound", agent, 2)
		say(t, 4*time.Second, a, b)
		c := h.find(t, "CA1")
		// The adapter learns that it was the other way round.
		a2, b2 := join(t, l, "inbound", agent, 3), join(t, l, "outbound", customer, 4)
		say(t, 6*time.Second, a2, b2)
		closeLeg(t, l, adapter.EndHangup)
		events := untilEnded(t, c)
		wantSettled(t, c)
		account, _ := h.emulator.Account().Conversation("CA1")
		for role, streams := range map[string][]uint16{"END_USER": {1, 4}, "HUMAN_AGENT": {2, 3}} {
			for _, p := range account.Role(role) {
				for _, b := range p.Blocks {
					if !slices.Contains(streams, b.Stream) || b.Duplicates+b.Missing > 0 {
						t.Errorf("%s heard %+v; want streams %v", role, b, streams)
					}
				}
				if len(p.Blocks) != 2 {
					t.Errorf("%s heard %d voices; want 2", role, len(p.Blocks))
				}
			}
		}
		n := 0
		for _, e := range events {
			if e.Kind == event.RoleCorrected {
				n++
			}
		}
		if n != 2 {
			t.Errorf("%d corrections in the log; want 2", n)
		}
	})
}

func TestThirdVoice(t *testing.T) {
	for _, policy := range []ThirdVoice{ThirdVoiceIgnore, ThirdVoiceParticipant} {
		t.Run(string(policy), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t, func(c *Config) { c.Routes[0].ThirdVoice = policy })
				l := h.open(t, "CA1", "leg")
				s := join(t, l, "supervisor", adapter.Speaker{ID: "boss", Role: adapter.RoleOther}, 7)
				say(t, 4*time.Second, s)
				c := h.find(t, "CA1")
				closeLeg(t, l, adapter.EndHangup)
				untilEnded(t, c)
				wantSettled(t, c)
				if policy == ThirdVoiceParticipant {
					h.wantHeard(t, "CA1", "HUMAN_AGENT", 7, s.n)
					return
				}
				h.wantHeard(t, "CA1", "HUMAN_AGENT", 7, 0)
				if d := c.Info().Tracks[0].Ledger.Discarded[DiscardThirdVoice]; d != s.pos {
					t.Errorf("%d samples discarded as third voice; want %d", d, s.pos)
				}
			})
		})
	}
}

func TestPauseWithholds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, nil)
		l := h.open(t, "CA1", "leg")
		s := join(t, l, "inbound", customer, 1)
		say(t, 3*time.Second, s)
		note := func(k adapter.NoteKind) {
			if err := l.Note(adapter.Note{Kind: k}); err != nil {
				t.Fatal(err)
			}
		}
		note(adapter.NotePause)
		before := s.n
		say(t, 20*time.Second, s)
		secret := s.n - before
		note(adapter.NoteResume)
		say(t, 3*time.Second, s)
		c := h.find(t, "CA1")
		closeLeg(t, l, adapter.EndHangup)
		untilEnded(t, c)
		wantSettled(t, c)
		h.wantHeard(t, "CA1", "END_USER", 1, s.n-secret)
		if w := c.Info().Tracks[0].Ledger.Withheld; w != int64(secret)*160 {
			t.Errorf("withheld %d; want %d", w, int64(secret)*160)
		}
	})
}

// TestPauseByOrder: a call that starts paused is heard once it is resumed, and not
// while it is paused again; the vendor's own pause stays.
func TestPauseByOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, func(c *Config) { c.Routes[0].StartPaused = true })
		l := h.open(t, "CA1", "leg")
		s := join(t, l, "inbound", customer, 1)
		c := h.find(t, "CA1")
		told := func(want adapter.ControlKind) {
			t.Helper()
			if got := <-l.Control(); got.Kind != want {
				t.Errorf("the leg was told %+v; want %s", got, want)
			}
		}
		do := func(order func(string) error) {
			t.Helper()
			if err := order("test"); err != nil {
				t.Fatal(err)
			}
		}
		told(adapter.ControlPause)
		say(t, 10*time.Second, s)
		first := s.n
		do(c.Resume)
		told(adapter.ControlResume)
		say(t, 5*time.Second, s)
		heard := s.n - first
		do(c.Pause)
		do(c.Pause) // no second event, no second order
		told(adapter.ControlPause)
		say(t, 5*time.Second, s)
		if err := l.Note(adapter.Note{Kind: adapter.NotePause}); err != nil {
			t.Fatal(err)
		}
		do(c.Resume)
		say(t, 5*time.Second, s) // withheld by the vendor's word
		if got := c.Summary().Paused; got != "" {
			t.Errorf("Paused = %q; want it resumed", got)
		}
		closeLeg(t, l, adapter.EndHangup)
		events := untilEnded(t, c)
		wantSettled(t, c)
		h.wantHeard(t, "CA1", "END_USER", 1, heard)
		if w := c.Info().Tracks[0].Ledger.Withheld; w != int64(s.n-heard)*160 {
			t.Errorf("withheld %d; want %d", w, int64(s.n-heard)*160)
		}
		n := 0
		for _, e := range events {
			if e.Kind == event.CallPaused || e.Kind == event.CallResumed {
				n++
			}
		}
		if n != 3 {
			t.Errorf("%d changes in the log; want 3", n)
		}
		if err := c.Pause("late"); !errors.Is(err, ErrOver) {
			t.Errorf("Pause after the end = %v; want ErrOver", err)
		}
	})
}

// TestQuietLegWarns: silence that nobody announced is warned of once, until audio
// comes again; hold is no reason.
func TestQuietLegWarns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, nil)
		l := h.open(t, "CA1", "leg")
		s := join(t, l, "inbound", customer, 1)
		say(t, 2*time.Second, s)
		time.Sleep(time.Minute) // nothing comes: the first warning
		say(t, 6*time.Second, s)
		if err := l.Note(adapter.Note{Kind: adapter.NoteHold}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if err := l.Note(adapter.Note{Kind: adapter.NoteResume}); err != nil {
			t.Fatal(err)
		}
		say(t, 6*time.Second, s)
		time.Sleep(time.Minute) // the second
		c := h.find(t, "CA1")
		closeLeg(t, l, adapter.EndHangup)
		n := 0
		for _, e := range untilEnded(t, c) {
			if e.Problem != nil && e.Problem.Code == "no_audio" {
				n++
			}
		}
		if n != 2 {
			t.Errorf("%d warnings of a quiet leg; want 2", n)
		}
		h.wantHeard(t, "CA1", "END_USER", 1, s.n)
		wantSettled(t, c)
	})
}

func TestConversationFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, func(c *Config) { c.Routes[0].Profile = "missing" })
		l := h.open(t, "CA1", "leg")
		s := join(t, l, "inbound", customer, 1)
		say(t, 5*time.Second, s)
		c := h.find(t, "CA1")
		closeLeg(t, l, adapter.EndHangup)
		events := untilEnded(t, c)
		wantSettled(t, c)
		i := slices.IndexFunc(events, func(e event.Event) bool { return e.Kind == event.Failure })
		if i < 0 || !strings.Contains(events[i].Problem.Text, "profile") {
			t.Fatalf("no failure that names the profile among %v", kinds(events))
		}
		if l := c.Info().Tracks[0].Ledger; l.Discarded[assist.DiscardNoConversation] != s.pos {
			t.Errorf("Ledger = %+v; want all discarded for want of a conversation", l)
		}
		if last := events[len(events)-1]; last.State.Reason != "failed" {
			t.Errorf("the call ended as %q; want failed", last.State.Reason)
		}
	})
}

func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, nil)
		polite, rude := h.open(t, "CA1", "leg"), h.open(t, "CA2", "leg")
		a, b := join(t, polite, "inbound", customer, 1), join(t, rude, "inbound", customer, 2)
		say(t, 3*time.Second, a, b)
		one, two := h.find(t, "CA1"), h.find(t, "CA2")
		var wg sync.WaitGroup
		wg.Go(func() {
			if c := <-polite.Control(); c.Kind != adapter.ControlEnd {
				t.Errorf("told %+v; want an end", c)
			}
			closeLeg(t, polite, adapter.EndOrdered)
		})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		begin := time.Now()
		h.Shutdown(ctx)
		wg.Wait()
		if d := time.Since(begin); d < 20*time.Second || d > 30*time.Second {
			t.Errorf("Shutdown took %v; want the 20 s that the rude leg was given, and little more", d)
		}
		untilEnded(t, one)
		untilEnded(t, two)
		if d := one.Summary().Ended.Sub(begin); d > 2*time.Second {
			t.Errorf("the polite leg's call took %v to end; want no grace period at a shutdown", d)
		}
		h.wantHeard(t, "CA1", "END_USER", 1, a.n)
		wantSettled(t, one)
		wantSettled(t, two)
		if _, err := h.Sink("test").Open(t.Context(), info("CA3", "leg")); !errors.Is(err, adapter.ErrRefused) {
			t.Errorf("Open = %v; want refused while draining", err)
		}
		if err := rude.Join("x", adapter.Track{Format: media.Telephony, Speaker: agent}); !errors.Is(err, adapter.ErrClosed) {
			t.Errorf("Join on a leg that was cut off = %v; want ErrClosed", err)
		}
	})
}

func TestVendorMistakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, func(c *Config) { c.Limits.TracksPerCall = 1 })
		l := h.open(t, "CA1", "leg")
		wantVendor := func(what string, err error) {
			t.Helper()
			if adapter.KindOf(err) != adapter.KindVendor {
				t.Errorf("%s = %v; want a vendor's error", what, err)
			}
		}
		wantVendor("Write before Join", l.Write(media.Frame{Track: "inbound", Payload: []byte{1}}))
		wantVendor("Join without a name", l.Join("", adapter.Track{Format: media.Telephony, Speaker: agent}))
		wantVendor("Join without a format", l.Join("inbound", adapter.Track{Speaker: agent}))
		join(t, l, "inbound", customer, 1)
		wantVendor("Write before the segment", l.Write(media.Frame{Track: "inbound", Pos: -5, Payload: []byte{1}}))
		wantVendor("one track too many", l.Join("outbound", adapter.Track{Format: media.Telephony, Speaker: agent}))
	})
}

func TestCleanConversationID(t *testing.T) {
	for _, tt := range []struct{ proposed, want string }{
		{"CA0123456789abcdef0123456789abcdef", "CA0123456789abcdef0123456789abcdef"},
		{"12ab", "a12ab"},
		{"a@b.example;tag=1", "aa-b-example-tag-1"},
		{"x", "ax-"},
		{"Ü", "a-" + "-"},
		{strings.Repeat("y", 80), "a" + strings.Repeat("y", 63)},
	} {
		got := cleanConversationID(tt.proposed)
		if got != tt.want || !conversationID.MatchString(got) {
			t.Errorf("cleanConversationID(%q) = %q; want %q", tt.proposed, got, tt.want)
		}
	}
	if a, b := cleanConversationID(""), cleanConversationID(""); a == b || !conversationID.MatchString(a) {
		t.Errorf("cleanConversationID(\"\") = %q, then %q; want two valid ones", a, b)
	}
}

func TestClaims(t *testing.T) {
	c := newClaims()
	for i, want := range []string{"id", "id-2", "id-3"} {
		if got := c.take("p", "id"); got != want {
			t.Errorf("take %d = %q; want %q", i, got, want)
		}
	}
	if got := c.take("other", "id"); got != "id" {
		t.Errorf("take in another project = %q; want id", got)
	}
	long := strings.Repeat("x", 64)
	c.take("p", long)
	if got := c.take("p", long); len(got) != 64 || !strings.HasSuffix(got, "-2") {
		t.Errorf("take of a long id = %q", got)
	}
}

// What went wrong in a call can be looked at longer than calls that went well.
func TestOddCallsAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, func(c *Config) { c.Limits.KeepEnded = 1 })
		for _, key := range []string{"CA-odd", "CA-1", "CA-2", "CA-3"} {
			l := h.open(t, key, "leg")
			s := join(t, l, "inbound", customer, 1)
			say(t, time.Second, s)
			if key == "CA-odd" {
				s.pos += 8000 // a second is lost
				say(t, time.Second, s)
			}
			c := h.find(t, key)
			closeLeg(t, l, adapter.EndHangup)
			untilEnded(t, c)
			synctest.Wait()
		}
		for key, want := range map[string]bool{"CA-odd": true, "CA-1": false, "CA-2": false, "CA-3": true} {
			if _, ok := h.Find(key); ok != want {
				t.Errorf("call %s is kept: %t; want %t", key, ok, want)
			}
		}
		time.Sleep(2 * time.Hour)
		l := h.open(t, "CA-4", "leg")
		closeLeg(t, l, adapter.EndHangup)
		if _, ok := h.Find("CA-odd"); !ok {
			t.Error("the odd call is forgotten after two hours")
		}
		if _, ok := h.Find("CA-3"); ok {
			t.Error("the call that went well is kept after two hours")
		}
	})
}
