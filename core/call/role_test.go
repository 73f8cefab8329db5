package call

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/assist"
	"github.com/patchbay/patchbay/core/event"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/media/probe"
)

// rolesHeard returns the blocks of a stream that participants in a role heard.
func (h *host) rolesHeard(conversation, role string, stream uint16) (blocks []uint32) {
	account, _ := h.emulator.Account().Conversation(conversation)
	for _, p := range account.Role(role) {
		for b, n := range h.emulator.Blocks(p.Name) {
			if b.Stream == stream && n == 1 {
				blocks = append(blocks, b.N)
			}
		}
	}
	slices.Sort(blocks)
	return blocks
}

// spoke returns how many lines of each track's number have which role, corrected.
func spoke(events []event.Event) map[string]int {
	labels, out := event.LabelsOf(events), map[string]int{}
	for _, e := range events {
		if e.Kind == event.TranscriptFinal {
			_, role := labels.Of(*e.Track)
			out[fmt.Sprintf("%s %s", e.Track.Track, role)]++
		}
	}
	return out
}

// TestPersonCorrectsARole: the adapter notices nothing, no sample is lost, and what it
// says later of the speaker does not count.
func TestPersonCorrectsARole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, nil)
		l := h.open(t, "CA1", "leg")
		c := h.find(t, "CA1")
		in, out := join(t, l, "label-1", customer, 1), join(t, l, "label-2", agent, 2)
		say(t, 10*time.Second, in, out)
		cut := in.n
		for track, role := range map[string]adapter.Role{"label-1": adapter.RoleHumanAgent, "2": adapter.RoleEndUser} {
			info, err := c.CorrectRole(track, role, "I hear it")
			if err != nil || info.Role != string(role) || len(info.Earlier) != 1 || info.Evidence != "corrected by a person: I hear it" || info.Assumed || !info.Heard {
				t.Fatalf("CorrectRole(%s) = %+v, %v", track, info, err)
			}
		}
		say(t, 10*time.Second, in, out)
		in2, out2 := join(t, l, "label-1", customer, 1), join(t, l, "label-2", agent, 2) // a new segment
		in2.n, out2.n = in.n, out.n
		say(t, 5*time.Second, in2, out2)
		closeLeg(t, l, adapter.EndHangup)
		events := untilEnded(t, c)
		wantSettled(t, c)
		for _, want := range []struct {
			role     string
			stream   uint16
			from, to uint32
		}{
			{"END_USER", 1, 0, cut}, {"HUMAN_AGENT", 1, cut, in2.n},
			{"HUMAN_AGENT", 2, 0, cut}, {"END_USER", 2, cut, out2.n},
		} {
			got := h.rolesHeard("CA1", want.role, want.stream)
			if len(got) != int(want.to-want.from) || got[0] != want.from {
				t.Errorf("%s heard %d blocks of stream %d; want %d to %d", want.role, len(got), want.stream, want.from, want.to)
			}
		}
		var arrived int64
		for _, tr := range c.Info().Tracks {
			arrived += tr.Ledger.Arrived
			if tr.Ledger.Lost+tr.Ledger.Late+tr.Ledger.Duplicate > 0 || len(tr.Ledger.Discarded) > 0 {
				t.Errorf("track %d: %+v; want nothing lost", tr.Number, tr.Ledger)
			}
			if old := tr.Number <= 2; old != (tr.StoredRole != "") || old == (len(tr.Earlier) > 0) {
				t.Errorf("track %+v: stored as %q, continues %v", tr.TrackRef, tr.StoredRole, tr.Earlier)
			}
		}
		if want := 2 * int64(in2.n) * 160; arrived != want {
			t.Errorf("%d samples arrived; want %d", arrived, want)
		}
		if got := spoke(events); len(got) != 2 || got["label-1 human_agent"] < 3 || got["label-2 end_user"] < 3 {
			t.Errorf("the log is shown as %v; want one role a track", got)
		}
		if _, err := c.CorrectRole("1", adapter.RoleOther, ""); !errors.Is(err, ErrOver) {
			t.Errorf("CorrectRole after the end = %v", err)
		}
	})
}

func TestWordsOfPeopleHold(t *testing.T) {
	assumed := adapter.Speaker{ID: "someone", Role: adapter.RoleEndUser, Evidence: "default", Assumed: true}
	stated := adapter.Speaker{ID: "someone", Role: adapter.RoleEndUser, Evidence: "metadata"}
	for _, tt := range []struct {
		name string
		then adapter.Speaker
		want adapter.Role
	}{
		{"against the adapter", stated, adapter.RoleHumanAgent},
		{"against a default for somebody else", adapter.Speaker{ID: "other", Role: adapter.RoleEndUser, Assumed: true}, adapter.RoleHumanAgent},
		{"not for somebody else whose role is known", adapter.Speaker{ID: "other", Role: adapter.RoleEndUser}, adapter.RoleEndUser},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t, nil)
				l := h.open(t, "CA1", "leg")
				c := h.find(t, "CA1")
				join(t, l, "x", assumed, 1)
				if _, err := c.CorrectRole("x", adapter.RoleHumanAgent, ""); err != nil {
					t.Fatal(err)
				}
				closeLeg(t, l, adapter.EndLost)
				l = h.open(t, "CA1", "leg") // the leg comes back
				join(t, l, "x", tt.then, 1)
				tracks := c.Info().Tracks
				if got := tracks[len(tracks)-1]; got.Role != string(tt.want) {
					t.Errorf("the track is %+v; want role %s", got.TrackRef, tt.want)
				}
				closeLeg(t, l, adapter.EndHangup)
				untilEnded(t, c)
				wantSettled(t, c)
			})
		})
	}
}

func TestCorrectRoleRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, func(c *Config) { c.Limits.TracksPerCall = 3 })
		one, two := h.open(t, "CA1", "one"), h.open(t, "CA1", "two")
		c := h.find(t, "CA1")
		join(t, one, "in", customer, 1)
		join(t, two, "in", agent, 2)
		for _, tt := range []struct {
			track string
			role  adapter.Role
			want  error
		}{
			{"in", adapter.RoleOther, ErrAmbiguous},
			{"3", adapter.RoleOther, ErrNoTrack},
			{"@3", adapter.RoleOther, ErrNoTrack},
			{"@", adapter.RoleOther, ErrNoTrack},
			{"out", adapter.RoleOther, ErrNoTrack},
			{"1", adapter.RoleEndUser, nil}, // confirmed
			{"1", adapter.RoleHumanAgent, nil},
			{"1", adapter.RoleEndUser, ErrManyTracks}, // 1 is 3 by now
			{"@3", adapter.RoleHumanAgent, nil},
		} {
			if _, err := c.CorrectRole(tt.track, tt.role, ""); !errors.Is(err, tt.want) {
				t.Errorf("CorrectRole(%s, %s) = %v; want %v", tt.track, tt.role, err, tt.want)
			}
		}
		closeLeg(t, one, adapter.EndHangup)
		closeLeg(t, two, adapter.EndHangup)
		untilEnded(t, c)
	})
}

// TestNumbersAsNames: SIPREC's labels are numbers, and no correction hits another track.
func TestNumbersAsNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, nil)
		l := h.open(t, "CA1", "leg")
		c := h.find(t, "CA1")
		join(t, l, "2", customer, 1) // number 1
		join(t, l, "1", agent, 2)    // number 2
		join(t, l, "10", adapter.Speaker{ID: "boss", Role: adapter.RoleOther}, 3)
		for _, tt := range []struct {
			name string
			want string // the vendor's name
			err  error
		}{{"1", "", ErrAmbiguous}, {"2", "", ErrAmbiguous}, {"@1", "2", nil}, {"@2", "1", nil}, {"10", "10", nil}, {"3", "10", nil}} {
			got, err := c.CorrectRole(tt.name, adapter.RoleHumanAgent, "")
			if !errors.Is(err, tt.err) || got.Track != tt.want {
				t.Errorf("CorrectRole(%s) = track %q, %v; want %q, %v", tt.name, got.Track, err, tt.want, tt.err)
			}
		}
		closeLeg(t, l, adapter.EndHangup)
		untilEnded(t, c)
	})
}

// TestSpeakersChange: somebody else comes to the line; what was said before was right.
func TestSpeakersChange(t *testing.T) {
	for _, tt := range []struct {
		name    string
		was, is adapter.Speaker
		want    bool
	}{
		{"transfer to another agent", agent, adapter.Speaker{ID: "second", Role: adapter.RoleHumanAgent}, false},
		{"the machine hands over", adapter.Speaker{ID: "ivr", Role: adapter.RoleOther}, agent, false},
		{"the customer was the agent", customer, agent, true},
		{"the same person", customer, adapter.Speaker{ID: "customer", Role: adapter.RoleOther}, true},
		{"a guess was wrong", adapter.Speaker{ID: "x", Role: adapter.RoleOther, Assumed: true}, agent, true},
	} {
		if got := wrong(tt.was, tt.is); got != tt.want {
			t.Errorf("%s: wrong = %t", tt.name, got)
		}
	}
}

func TestMixedVoicesAreNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, func(c *Config) { c.Routes[0].ThirdVoice = ThirdVoiceParticipant })
		l := h.open(t, "CA1", "leg")
		c := h.find(t, "CA1")
		s := join(t, l, "mix", adapter.Speaker{ID: "both", Role: adapter.RoleOther, Mixed: true}, 7)
		say(t, 4*time.Second, s)
		tape := s.n
		if _, err := c.CorrectRole("mix", adapter.RoleEndUser, "better than nothing"); err != nil {
			t.Fatal(err)
		}
		say(t, 4*time.Second, s)
		closeLeg(t, l, adapter.EndHangup)
		untilEnded(t, c)
		wantSettled(t, c)
		if d := c.Info().Tracks[0].Ledger.Discarded[DiscardMixed]; d != int64(tape)*160 {
			t.Errorf("%d samples discarded as mixed; want %d", d, tape*160)
		}
		if got := h.rolesHeard("CA1", "END_USER", 7); len(got) != int(s.n-tape) {
			t.Errorf("the customer's participant heard %d blocks; want those since the correction, %d", len(got), s.n-tape)
		}
	})
}

// TestCorrectionsInAHurry: frames come while roles change, and none is lost.
func TestCorrectionsInAHurry(t *testing.T) {
	h := newHost(t, nil)
	l := h.open(t, "CA1", "leg")
	c := h.find(t, "CA1")
	join(t, l, "in", customer, 1)
	const frames = 3000
	var writer sync.WaitGroup
	writer.Go(func() {
		buf := make([]byte, 160)
		for n := range frames {
			buf = probe.AppendBlock(buf[:0], 1, uint32(n))
			if err := l.Write(media.Frame{Track: "in", Pos: int64(n) * 160, Arrived: time.Now(), Payload: buf}); err != nil {
				t.Errorf("Write = %v", err)
				return
			}
		}
	})
	for n := range 20 {
		role := []adapter.Role{adapter.RoleHumanAgent, adapter.RoleEndUser}[n%2]
		if _, err := c.CorrectRole("in", role, ""); err != nil {
			t.Fatal(err)
		}
	}
	writer.Wait()
	var received int64
	for _, tr := range c.Info().Tracks {
		received += tr.Ledger.Received
		if tr.Ledger.Lost+tr.Ledger.Duplicate+tr.Ledger.Late > 0 {
			t.Errorf("track %d: %+v", tr.Number, tr.Ledger)
		}
	}
	if received != frames*160 {
		t.Errorf("%d samples received; want %d", received, frames*160)
	}
	closeLeg(t, l, adapter.EndHangup)
}

// TestLateFramesAfterACorrection: what belongs before the cut is late, and whatever
// straddles it gives its rest.
func TestLateFramesAfterACorrection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, nil)
		l := h.open(t, "CA1", "leg")
		c := h.find(t, "CA1")
		join(t, l, "in", customer, 1)
		write := func(pos int64, n int) {
			t.Helper()
			if err := l.Write(media.Frame{Track: "in", Pos: pos, Arrived: time.Now(), Payload: make([]byte, n)}); err != nil {
				t.Fatal(err)
			}
		}
		write(0, 160)
		if _, err := c.CorrectRole("in", adapter.RoleHumanAgent, ""); err != nil {
			t.Fatal(err)
		}
		write(0, 160)
		write(80, 160)
		write(400, 160)
		led := c.Info().Tracks[1].Ledger
		if led.Arrived != 480 || led.Late != 240 || led.Received != 240 || led.Lost != 160 {
			t.Errorf("ledger %+v; want 240 late, 240 received, 160 lost", led)
		}
		closeLeg(t, l, adapter.EndHangup)
		untilEnded(t, c)
	})
}

// TestCorrectionsSurviveACrash: roles are as people said, before and after.
func TestCorrectionsSurviveACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		h := newSpooledHost(t, dir, nil)
		l := h.open(t, "CA1", "leg")
		c := h.find(t, "CA1")
		in := join(t, l, "in", customer, 1)
		say(t, 8*time.Second, in)
		if _, err := c.CorrectRole("in", adapter.RoleHumanAgent, "I hear it"); err != nil {
			t.Fatal(err)
		}
		say(t, 8*time.Second, in)
		left := h.crash(t, dir)
		next := h.successor(t, left, 1, nil)
		c = next.find(t, "CA1")
		again := join(t, next.open(t, "CA1", "leg"), "in", customer, 1)
		again.n = in.n
		say(t, 8*time.Second, again)
		tracks := c.Info().Tracks
		if last := tracks[len(tracks)-1]; last.Role != "human_agent" || !strings.Contains(last.Evidence, "I hear it") || !slices.Equal(last.Earlier, []int{1}) {
			t.Errorf("after the crash the track is %+v", last)
		}
		if info, err := c.CorrectRole("1", adapter.RoleEndUser, ""); err != nil || !slices.Equal(info.Earlier, []int{1, 2}) {
			t.Errorf("corrected back: %+v, %v", info, err)
		}
		closeLeg(t, again.leg, adapter.EndHangup)
		if got := spoke(untilEnded(t, c)); len(got) != 1 || got["in end_user"] == 0 {
			t.Errorf("the log is shown as %v; want one role", got)
		}
		account, _ := h.emulator.Account().Conversation("CA1")
		if len(account.Participants) != 2 {
			t.Errorf("%d participants; want one a role", len(account.Participants))
		}
	})
}

// TestClientsKeepTheirRoles: a foreign conversation is its client's.
func TestClientsKeepTheirRoles(t *testing.T) {
	c := &Call{callParams: callParams{conversation: assist.Conversation{Foreign: "projects/p/conversations/c"}}, state: Active}
	if _, err := c.CorrectRole("1", adapter.RoleOther, ""); !errors.Is(err, ErrNotOurs) {
		t.Errorf("CorrectRole = %v; want ErrNotOurs", err)
	}
}

// TestResultsCountFromTheLegsStart: a correction does not move the offsets that the
// adapter is told.
func TestResultsCountFromTheLegsStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, nil)
		i := info("CA1", "leg")
		i.Results = adapter.ResultsEvents
		l, err := h.Sink("test").Open(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		c := h.find(t, "CA1")
		var results []adapter.Result
		var reader sync.WaitGroup
		reader.Go(func() {
			for control := range l.Control() {
				if r := control.Result; r != nil && r.Kind == adapter.ResultFinal {
					results = append(results, *r)
				}
			}
		})
		in := join(t, l, "in", customer, 1)
		say(t, 20*time.Second, in)
		if _, err := c.CorrectRole("in", adapter.RoleHumanAgent, ""); err != nil {
			t.Fatal(err)
		}
		say(t, 20*time.Second, in)
		time.Sleep(10 * time.Second)
		closeLeg(t, l, adapter.EndHangup)
		untilEnded(t, c)
		reader.Wait()
		last := time.Duration(0)
		for _, r := range results {
			if r.Offset < last {
				t.Errorf("offset %v follows %v", r.Offset, last)
			}
			last = r.Offset
		}
		if n := len(results); n < 4 || results[n-1].Offset < 35*time.Second || results[n-1].Speaker.Role != adapter.RoleHumanAgent {
			t.Errorf("results %+v; want them to 40 s, at last the agent's", results)
		}
	})
}
