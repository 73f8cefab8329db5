package call

import (
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/event"
)

// Legs of one call, a leg a speaker, come in any order and minutes apart, and go one
// after the other: the call ends with the last.
func TestLegsMinutesApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, order := range [][2]adapter.Speaker{{customer, agent}, {agent, customer}} {
			h := newHost(t, nil)
			one := h.open(t, "CA1", order[0].ID)
			c := h.find(t, "CA1")
			first := join(t, one, "audio", order[0], 1)
			say(t, 150*time.Second, first)
			two := h.open(t, "CA1", order[1].ID)
			second := join(t, two, "audio", order[1], 2)
			say(t, 30*time.Second, first, second)
			closeLeg(t, one, adapter.EndHangup)
			say(t, 30*time.Second, second)
			closeLeg(t, two, adapter.EndHangup)
			untilEnded(t, c)
			roles := map[string]string{"customer": "END_USER", "agent": "HUMAN_AGENT"}
			h.wantHeard(t, "CA1", roles[order[0].ID], 1, first.n)
			h.wantHeard(t, "CA1", roles[order[1].ID], 2, second.n)
			wantSettled(t, c)
			if n := h.Stats().Started; n != 1 {
				t.Errorf("%d calls; want 1", n)
			}
		}
	})
}

// heardTracks returns the legs whose tracks go to Agent Assist.
func heardTracks(c *Call) (legs []string) {
	for _, tr := range c.Info().Tracks {
		if tr.Heard {
			legs = append(legs, tr.Leg)
		}
	}
	return legs
}

// A vendor may stream a call twice. One copy is heard; when it goes, the other takes
// its place, and when it comes back, it waits in turn.
func TestCopiesOfASpeaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, nil)
		a, b := h.open(t, "CA1", "customer/sub-a"), h.open(t, "CA1", "customer/sub-b")
		c := h.find(t, "CA1")
		one, two := join(t, a, "audio", customer, 1), join(t, b, "audio", customer, 1)
		want := func(legs ...string) {
			t.Helper()
			if got := heardTracks(c); !slices.Equal(got, legs) {
				t.Errorf("%v are heard; want %v", got, legs)
			}
		}
		want("customer/sub-a")
		say(t, 5*time.Second, one, two)

		closeLeg(t, a, adapter.EndLost)
		say(t, 5*time.Second, two)
		if got := c.Info().Tracks[1]; !got.Heard {
			t.Error("the copy was not promoted when the first was lost")
		}

		a = h.open(t, "CA1", "customer/sub-a")
		again := join(t, a, "audio", customer, 1)
		again.n = two.n
		want("customer/sub-b")
		say(t, 5*time.Second, again, two)

		closeLeg(t, b, adapter.EndHangup)
		say(t, 5*time.Second, again)
		closeLeg(t, a, adapter.EndHangup)
		events := untilEnded(t, c)
		h.wantHeard(t, "CA1", "END_USER", 1, again.n)
		wantSettled(t, c)
		standbys := 0
		for _, e := range events {
			if e.Kind == event.Warning && e.Problem.Code == "standby" {
				standbys++
			}
		}
		if standbys != 2 {
			t.Errorf("the log tells %d times that a copy stands by; want 2", standbys)
		}
		for _, tr := range c.Info().Tracks {
			if d := tr.Ledger.Discarded[DiscardStandby]; d != 5*8000 {
				t.Errorf("leg %s: %d samples discarded while it stood by; want five seconds of both", tr.Leg, d)
			}
		}
	})
}

// Two agents are two speakers; neither stands by.
func TestTwoAgents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, nil)
		a, b := h.open(t, "CA1", "agent/1"), h.open(t, "CA1", "agent/2")
		c := h.find(t, "CA1")
		one := join(t, a, "audio", adapter.Speaker{ID: "agent 1", Role: adapter.RoleHumanAgent}, 1)
		two := join(t, b, "audio", adapter.Speaker{ID: "agent 2", Role: adapter.RoleHumanAgent}, 2)
		say(t, 5*time.Second, one, two)
		closeLeg(t, a, adapter.EndHangup)
		closeLeg(t, b, adapter.EndHangup)
		untilEnded(t, c)
		wantSettled(t, c)
		account, _ := h.emulator.Account().Conversation("CA1")
		if agents := account.Role("HUMAN_AGENT"); len(agents) != 2 {
			t.Errorf("%d participants are agents; want 2", len(agents))
		}
	})
}

// What the vendor tells of a call beside its audio is found by the call's further names.
func TestAttributes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, func(c *Config) {
			c.Routes[0].Match.Claims = map[string]string{"skill_id": "3001"}
		})
		i := info("131096:300000000012", "customer")
		i.Aliases, i.Claims = []string{"300000000012", "", "300000000012"}, map[string]string{"skill_id": "3001", "agent_id": "1"}
		l, err := h.Sink("test").Open(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		c := h.find(t, "300000000012")
		if _, ok := h.Find("S-77"); ok {
			t.Error("the session is known before the vendor told it")
		}
		if err := l.Note(adapter.Note{Kind: adapter.NoteMetadata, Fields: map[string]string{"Call.campaign_name": "sales", "agent_id": "2"}, Aliases: []string{"S-77"}}); err != nil {
			t.Fatal(err)
		}
		if h.find(t, "S-77") != c {
			t.Error("the session finds another call")
		}
		got := c.Info()
		if want := map[string]string{"skill_id": "3001", "agent_id": "2", "Call.campaign_name": "sales"}; !maps.Equal(got.Attributes, want) {
			t.Errorf("attributes %v; want %v", got.Attributes, want)
		}
		if want := []string{"300000000012", "S-77"}; !slices.Equal(got.Aliases, want) {
			t.Errorf("aliases %v; want %v", got.Aliases, want)
		}

		// A later call with the alias goes before.
		i.CallKey = "131097:300000000012"
		i.Conversation = i.CallKey
		other, err := h.Sink("test").Open(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		if h.find(t, "300000000012") == c || h.find(t, "131096:300000000012") != c {
			t.Error("an alias finds the older call, or the key another")
		}
		closeLeg(t, other, adapter.EndHangup)
		closeLeg(t, l, adapter.EndHangup)
		untilEnded(t, c)
	})
}

func TestAttributesAreBounded(t *testing.T) {
	var a attributes
	long := make([]byte, maxKey+1)
	a.learn(map[string]string{"": "x", "long": string(long), string(long): "x"}, []string{string(long)})
	if len(a.fields) != 0 || len(a.aliases) != 0 {
		t.Errorf("what is too long is kept: %v", a)
	}
	for i := range 2 * maxAttributes {
		name := "n" + string(rune('a'+i%26)) + time.Duration(i).String()
		a.learn(map[string]string{name: "x"}, []string{name})
	}
	if len(a.fields) != maxAttributes || len(a.aliases) != maxAliases {
		t.Errorf("%d attributes and %d aliases; want %d and %d", len(a.fields), len(a.aliases), maxAttributes, maxAliases)
	}
}

// Calls that are drained may go on elsewhere.
func TestDrainAsksLegsToReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, nil)
		l := h.open(t, "CA1", "leg")
		go func() {
			if c := <-l.Control(); c.Kind != adapter.ControlEnd || !c.Reconnect {
				t.Errorf("the leg was told %+v; want an end that lets it come again", c)
			}
			_ = l.Close(adapter.EndReason{Kind: adapter.EndOrdered})
		}()
		h.Shutdown(t.Context())
	})
}
