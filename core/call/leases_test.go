package call

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/assist"
	"github.com/patchbay/patchbay/core/event"
)

func pools(c *Config) {
	c.Pools = []NumberPool{
		{Name: "two", Numbers: []adapter.E164{"+15550160", "+15550161"}, TTL: time.Minute},
		{Name: "other", Numbers: []adapter.E164{"+15550170"}, Adapter: "sbc"},
	}
}

// TestLeasedNumber: the first call to the number gets the conversation, the next does not.
func TestLeasedNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, pools)
		lease, err := h.Lease("two", "CID-desk-1", 0, map[string]string{"case": "4711"})
		if err != nil || lease.Number != "+15550160" || time.Until(lease.Expires) != time.Minute {
			t.Fatalf("Lease = %+v, %v", lease, err)
		}
		call := func(key string, to adapter.E164) *Call {
			t.Helper()
			i := info(key, "leg")
			i.To = to
			l, err := h.Sink("test").Open(t.Context(), i)
			if err != nil {
				t.Fatal(err)
			}
			s := join(t, l, "in", customer, 1)
			say(t, 3*time.Second, s)
			c := h.find(t, key)
			closeLeg(t, l, adapter.EndHangup)
			untilEnded(t, c)
			return c
		}
		c := call("first", "0015550160")
		if i := c.Info(); !strings.HasSuffix(i.Conversation, "/conversations/CID-desk-1") || i.Attributes["case"] != "4711" {
			t.Errorf("the call has %s, %v; want the leased conversation and its attributes", i.Conversation, i.Attributes)
		}
		if len(h.Leases()) != 0 {
			t.Errorf("leases %v after the call", h.Leases())
		}
		if i := call("second", "+15550160").Info(); !strings.HasSuffix(i.Conversation, "/conversations/second") {
			t.Errorf("the second call has %s", i.Conversation)
		}
	})
}

func TestLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, pools)
		lease := func(pool, conversation string) Lease {
			t.Helper()
			l, err := h.Lease(pool, conversation, 0, nil)
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		one := lease("two", "conv-1")
		time.Sleep(30 * time.Second)
		if again := lease("two", "conv-1"); again.ID != one.ID || time.Until(again.Expires) != time.Minute {
			t.Errorf("the same conversation got %+v; want %+v, for longer", again, one)
		}
		two := lease("two", "conv-2")
		if two.Number == one.Number {
			t.Errorf("two conversations have %s", two.Number)
		}
		if _, err := h.Lease("two", "conv-3", 0, nil); !errors.Is(err, ErrPoolEmpty) {
			t.Errorf("a third = %v; want ErrPoolEmpty", err)
		}
		if !h.Release(two.ID) || h.Release(two.ID) || h.Release("nothing") {
			t.Error("Release: want it to work once")
		}
		time.Sleep(59 * time.Second) // conv-1 has a second left
		if got := h.Leases(); len(got) != 1 || got[0].Conversation != "conv-1" {
			t.Errorf("leases %v; want conv-1", got)
		}
		time.Sleep(time.Second)
		if got := h.Leases(); len(got) != 0 {
			t.Errorf("leases %v; want none: they have expired", got)
		}
		// The number that rests longest comes first.
		if l := lease("two", "conv-4"); l.Number != one.Number {
			t.Errorf("conv-4 has %s; want %s, which was leased first", l.Number, one.Number)
		}
		sbc := lease("other", "conv-5")
		for adapterName, want := range map[string]bool{"test": false, "sbc": true} {
			if _, ok := h.leases.Take(sbc.Number, adapterName, DefaultTenant); ok != want {
				t.Errorf("a call of adapter %s took the number: %t", adapterName, ok)
			}
		}
	})
}

func TestLeaseRefuses(t *testing.T) {
	cfg := Config{Routes: []Route{{Google: assist.Google{Project: "local", Location: "global"}}}}
	pools(&cfg)
	h := NewManager(cfg, nil, slog.New(slog.DiscardHandler))
	for _, tt := range []struct {
		name, pool, conversation string
		ttl                      time.Duration
		want                     error
	}{
		{"no pool", "three", "conv-1", 0, ErrNoPool},
		{"no id", "two", "1st", 0, ErrBadLease},
		{"no name", "two", "projects/local/things/conv-1", 0, ErrBadLease},
		{"a bad id in a name", "two", "projects/local/conversations/1st", 0, ErrBadLease},
		{"another project", "two", "projects/theirs/locations/global/conversations/conv-1", 0, ErrBadLease},
		{"too long", "two", "conv-1", 25 * time.Hour, ErrBadLease},
		{"a full name", "two", "projects/local/locations/global/conversations/conv-1", time.Hour, nil},
	} {
		if _, err := h.Lease(tt.pool, tt.conversation, tt.ttl, nil); !errors.Is(err, tt.want) {
			t.Errorf("%s: Lease = %v; want %v", tt.name, err, tt.want)
		}
	}
}

// TestNamedConversation: what a trusted peer names is used, by whichever kind of name,
// also where it exists.
func TestNamedConversation(t *testing.T) {
	full := "projects/local/locations/global/conversations/CID-1"
	for _, tt := range []struct {
		name      string
		change    func(*Config)
		info      func(*adapter.LegInfo)
		want      string // id of the conversation; empty: refused
		refused   adapter.RefusalReason
		isIgnored bool
	}{
		{"by id", nil, func(i *adapter.LegInfo) { i.Conversation = "CID-1" }, "CID-1", "", false},
		{"by full name", nil, func(i *adapter.LegInfo) { i.Conversation = full }, "CID-1", "", false},
		{"by full name without location", nil, func(i *adapter.LegInfo) { i.Conversation = "projects/local/conversations/CID-1" }, "CID-1", "", false},
		{"not named", nil, func(i *adapter.LegInfo) { i.Named, i.Conversation = false, "CID-1" }, "CID-1-2", "", false},
		{"in another project", nil, func(i *adapter.LegInfo) { i.Conversation = "projects/x/locations/global/conversations/CID-1" }, "", adapter.RefusedNotYours, false},
		{"in another location", nil, func(i *adapter.LegInfo) { i.Conversation = "projects/local/locations/europe-west1/conversations/CID-1" }, "", adapter.RefusedNotYours, false},
		{"no name", nil, func(i *adapter.LegInfo) { i.Conversation = "projects/local/CID-1" }, "", adapter.RefusedInvalid, false},
		{"elsewhere, ignored", func(c *Config) { c.Routes[0].Elsewhere = ElsewhereIgnore },
			func(i *adapter.LegInfo) { i.Conversation = "projects/x/conversations/CID-1" }, "pb-", "", true},
		{"by a field", func(c *Config) { c.Routes[0].ConversationClaim = "conv" },
			func(i *adapter.LegInfo) { i.Named, i.Claims = false, map[string]string{"conv": full} }, "CID-1", "", false},
		{"by a field, elsewhere", func(c *Config) { c.Routes[0].ConversationClaim = "conv" },
			func(i *adapter.LegInfo) {
				i.Named, i.Claims = false, map[string]string{"conv": "projects/x/conversations/CID-1"}
			}, "", adapter.RefusedNotYours, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t, tt.change)
				// Somebody made it: a call of an earlier host, which keeps it open.
				before := newHostAt(t, h.emulator, h.dial, func(c *Config) { c.Routes[0].KeepConversation = true })
				i := info("earlier", "leg")
				i.Conversation, i.Named = "CID-1", true
				l, err := before.Sink("test").Open(t.Context(), i)
				if err != nil {
					t.Fatal(err)
				}
				join(t, l, "in", customer, 1)
				say(t, 2*time.Second, join(t, l, "in", customer, 1))
				c := before.find(t, "earlier")
				closeLeg(t, l, adapter.EndHangup)
				untilEnded(t, c)
				if account, _ := h.emulator.Account().Conversation("CID-1"); account.Completed {
					t.Fatal("keep_conversation: the conversation is completed")
				}

				i = info("later", "leg")
				i.Named = true
				tt.info(&i)
				l, err = h.Sink("test").Open(t.Context(), i)
				if tt.want == "" {
					if r, ok := refusalOf(err); !ok || r.Reason != tt.refused {
						t.Errorf("Open = %v; want refused with %s", err, tt.refused)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				known := adapter.ConversationOf(l)
				say(t, 3*time.Second, join(t, l, "in", customer, 2))
				c = h.find(t, "later")
				closeLeg(t, l, adapter.EndHangup)
				events := untilEnded(t, c)
				got := c.conversationID()
				if !strings.HasPrefix(got, tt.want) || tt.want != "pb-" && got != tt.want {
					t.Errorf("the call is in %s; want %s", got, tt.want)
				}
				if tt.want != "CID-1-2" && !strings.HasSuffix(known, "/conversations/"+got) {
					t.Errorf("the leg says %s; want %s", known, got)
				}
				if account, _ := h.emulator.Account().Conversation(got); !account.Completed || len(account.Participants) != 1 {
					t.Errorf("the conversation is %+v; want it completed, with one participant", account)
				}
				warned := false
				for _, e := range events {
					warned = warned || e.Problem != nil && e.Problem.Code == "conversation_ignored"
				}
				if warned != tt.isIgnored {
					t.Errorf("warned that a name was ignored: %t", warned)
				}
			})
		})
	}
}

// TestTwoCallsInOneConversation: each has participants of its own, and the last one
// completes it.
func TestTwoCallsInOneConversation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, nil)
		open := func(key string, stream uint16) (adapter.Leg, *speaker) {
			i := info(key, "leg")
			i.Conversation, i.Named = "CID-1", true
			l, err := h.Sink("test").Open(t.Context(), i)
			if err != nil {
				t.Fatal(err)
			}
			return l, join(t, l, "in", agent, stream)
		}
		one, first := open("one", 1)
		say(t, 3*time.Second, first)
		two, second := open("two", 2)
		say(t, 5*time.Second, first, second)
		closeLeg(t, one, adapter.EndHangup)
		untilEnded(t, h.find(t, "one"))
		account, _ := h.emulator.Account().Conversation("CID-1")
		if account.Completed || len(account.Participants) != 2 {
			t.Errorf("after the first call the conversation is %+v; want it open, with two participants", account)
		}
		say(t, 3*time.Second, second)
		closeLeg(t, two, adapter.EndHangup)
		untilEnded(t, h.find(t, "two"))
		if account, _ = h.emulator.Account().Conversation("CID-1"); !account.Completed {
			t.Error("after the last call the conversation is open")
		}
		for stream, s := range map[uint16]*speaker{1: first, 2: second} {
			if got := h.rolesHeard("CID-1", "HUMAN_AGENT", stream); len(got) != int(s.n) {
				t.Errorf("of stream %d %d blocks were heard once; want %d", stream, len(got), s.n)
			}
		}
		if len(h.inUse) != 0 {
			t.Errorf("conversations in use: %v; want none", h.inUse)
		}
	})
}

// TestConversationOfAnotherTenant: no peer names a conversation away from its tenant.
func TestConversationOfAnotherTenant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, func(c *Config) {
			c.TenantOf = func(_, account string) (string, bool) { return account, true }
		})
		l := h.open(t, "CA1", "leg")
		i := info("CA2", "leg")
		i.Conversation, i.Named, i.Principal.Account = "CA1", true, "theirs"
		if _, err := h.Sink("test").Open(t.Context(), i); !errors.Is(err, adapter.ErrRefused) {
			t.Errorf("Open = %v; want a refusal", err)
		} else if r, _ := refusalOf(err); r.Reason != adapter.RefusedNotYours {
			t.Errorf("refused with %s; want %s", r.Reason, adapter.RefusedNotYours)
		}
		// A later leg of the call names another: the call stays where it is.
		i = info("CA1", "second")
		i.Conversation, i.Named = "CID-9", true
		second, err := h.Sink("test").Open(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		c := h.find(t, "CA1")
		closeLeg(t, second, adapter.EndHangup)
		closeLeg(t, l, adapter.EndHangup)
		warned := false
		for _, e := range untilEnded(t, c) {
			warned = warned || e.Kind == event.Warning && e.Problem.Code == "conversation_ignored"
		}
		if !warned || c.conversationID() != "CA1" {
			t.Errorf("the call is in %s, warned: %t", c.conversationID(), warned)
		}
	})
}
