package call

import (
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/emulator"
	"github.com/patchbay/patchbay/core/event"
)

// The account of all calls goes on when a call has ended and is forgotten; an
// observer was told what the log holds.
func TestAudioOutlivesCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		told := map[Meta][]event.Kind{}
		h := newHost(t, func(c *Config) {
			c.Limits.KeepEnded = 0
			c.Observe = func(m Meta) func(event.Event) {
				return func(e event.Event) {
					mu.Lock()
					defer mu.Unlock()
					told[m] = append(told[m], e.Kind)
				}
			}
		})
		var sum Audio
		for i, key := range []string{"CAone", "CAtwo"} {
			l := h.open(t, key, "leg")
			inbound := join(t, l, "inbound", customer, 1)
			other := join(t, l, "other", adapter.Speaker{ID: "third", Role: adapter.RoleOther, Evidence: "test"}, 2)
			say(t, 2*time.Second, inbound, other)
			c, ok := h.Find(key)
			if !ok {
				t.Fatalf("Find(%q) = nothing", key)
			}
			closeLeg(t, l, adapter.EndHangup)
			if got := h.Audio(); got.Arrived < sum.Arrived+3.99 {
				t.Errorf("call %d: %.2f s arrived before its end; want those of earlier calls too", i, got.Arrived)
			}
			all := untilEnded(t, c)
			synctest.Wait()
			sum = h.Audio()
			settled := sum.Recognised + sum.Silent + sum.Unrecognised
			if want := float64(2 * (i + 1)); math.Abs(sum.Arrived-2*want) > 1e-6 || math.Abs(settled-want) > 1e-6 || math.Abs(sum.Discarded[DiscardThirdVoice]-want) > 1e-6 {
				t.Errorf("after call %d the account is %+v; want %v s settled and as many discarded", i, sum, want)
			}
			mu.Lock()
			m := Meta{ID: c.ID(), Adapter: "test", Tenant: DefaultTenant, Conversation: key}
			for _, e := range all { // the log forgets interims, an observer hears them
				if !slices.Contains(told[m], e.Kind) {
					t.Errorf("the observer was not told of %s; it was told %v", e.Kind, told)
				}
			}
			if kinds := told[m]; len(kinds) == 0 || kinds[0] != event.CallStarted || kinds[len(kinds)-1] != event.CallEnded {
				t.Errorf("the observer was told %v; want a call from its start to its end", kinds)
			}
			mu.Unlock()
			if _, ok := h.Find(key); ok {
				t.Error("the ended call is not forgotten, so the test shows nothing")
			}
		}
	})
}

func TestLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, nil)
		if _, err := h.emulator.Inject(emulator.Plan{Faults: []emulator.Fault{{Kind: emulator.FaultDown, For: time.Minute}}}); err != nil {
			t.Fatal(err)
		}
		if lag := h.Lag(); lag != (Lag{}) {
			t.Errorf("Lag without calls = %+v; want none", lag)
		}
		l := h.open(t, "CAlag", "leg")
		say(t, 3*time.Second, join(t, l, "inbound", customer, 1), join(t, l, "outbound", agent, 2))
		lag := h.Lag()
		if lag.Tracks != 2 || lag.Most != 3*time.Second || lag.Sum != 6*time.Second || lag.Age < 3*time.Second || lag.Age > 3100*time.Millisecond {
			t.Errorf("Lag = %+v; want 3 s on each of two tracks", lag)
		}
		closeLeg(t, l, adapter.EndHangup)
	})
}
