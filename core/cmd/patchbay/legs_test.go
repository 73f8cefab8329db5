package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/call"
	"github.com/patchbay/patchbay/core/event"
)

// TestTwoHundredCalls: four hundred RPCs at once, a leg each, through the real plugin.
// The ledger and the emulator agree with the simulator about each block.
func TestTwoHundredCalls(t *testing.T) {
	const calls = 200
	r := newRig(t, 1, nil)
	report := r.simulate(t, "five9", "--calls", fmt.Sprint(calls), "--duration", "6s", "--ramp", "2s", "--chunk", "100ms").report(true)
	if len(report.Calls) != calls {
		t.Fatalf("%d calls were made; want %d", len(report.Calls), calls)
	}
	for i, sent := range report.Calls {
		c, ok := r.calls.Find(sent.Call)
		if !ok {
			t.Fatalf("call %s is unknown", sent.Call)
		}
		ended(t, c)
		r.wantBlocks(t, c, sent, uint16(4*i))
	}
}

// TestLegsMeet: legs that come a while apart, with events between, in one
// conversation that the vendor's desktop finds.
func TestLegsMeet(t *testing.T) {
	r := newRig(t, 1, nil)
	ways := [][]string{{"--legs", "customer,agent"}, {"--legs", "agent,customer"}, {"--late-events"}, {"--odd"}, {"--token-in", "metadata", "--untimed", "--hasty"}}
	var sims []*simulation
	for n, args := range ways {
		sims = append(sims, r.simulate(t, "five9", append(args, "--late", "1s", "--duration", "3s",
			"--call", fmt.Sprint(300000000000+n), "--var", "Call.campaign_name=sales")...))
	}
	for n, args := range ways {
		id := 300000000000 + n
		sent := sims[n].report(true).Calls[0]
		c, ok := r.calls.Find(fmt.Sprint("S", id))
		if !ok {
			t.Fatalf("%v: the session finds no call", args)
		}
		ended(t, c)
		slices.SortFunc(sent.Tracks, func(a, b adapter.SimTrack) int { return -strings.Compare(string(a.Track), string(b.Track)) })
		r.wantBlocks(t, c, sent, 0)
		i := c.Info()
		if want := fmt.Sprint("/five9-", id); !strings.HasSuffix(i.Conversation, want) || i.Attributes["Call.campaign_name"] != "sales" {
			t.Errorf("%v: the conversation is %s, with %v; want …%s", args, i.Conversation, i.Attributes, want)
		}
	}
}

// TestCopiesAreHeardOnce: a call that comes by two subscriptions at once.
func TestCopiesAreHeardOnce(t *testing.T) {
	r := newRig(t, 1, nil)
	sent := r.simulate(t, "five9", "--subscription", "one", "--subscription", "two", "--duration", "3s").report(true).Calls[0]
	c, ok := r.calls.Find(sent.Call)
	if !ok {
		t.Fatal("the call is unknown")
	}
	standing := 0
	for _, e := range ended(t, c) {
		if e.Kind == event.Warning && e.Problem.Code == "standby" {
			standing++
		}
	}
	i := c.Info()
	if len(i.Tracks) != 4 || standing != 2 {
		t.Errorf("%d tracks, %d of which stood by; want 4 and 2", len(i.Tracks), standing)
	}
	account, _ := r.emulator.Account().Conversation(i.Conversation)
	for _, role := range []string{"END_USER", "HUMAN_AGENT"} {
		// When the copy that is heard ends, the other takes its place; by as much as one is
		// behind or ahead, the last blocks are heard twice or not at all.
		if heard := account.Role(role); len(heard) != 1 || len(heard[0].Blocks) != 1 || heard[0].Blocks[0].Duplicates > 5 || heard[0].Blocks[0].Distinct < 145 {
			t.Errorf("%s heard %+v; want each of 150 blocks once, save up to five at the change", role, heard)
		}
	}
}

// TestOtherAdaptersGoOn: a hundred calls on each of two adapters; one's plugin is
// killed, and the other's calls keep an exact ledger.
func TestOtherAdaptersGoOn(t *testing.T) {
	const calls = 100
	r := newRig(t, 1, nil)
	other := r.simulate(t, "five9", "--calls", fmt.Sprint(calls), "--duration", "8s", "--chunk", "100ms", "--ramp", "1s")
	doomed := r.simulate(t, "twilio", "--calls", fmt.Sprint(calls), "--duration", "30s", "--ramp", "1s")
	within(t, 30*time.Second, "the calls do not come", func(ctx context.Context) error {
		for tick := time.Tick(20 * time.Millisecond); ; {
			n := 0
			for _, c := range r.calls.Calls() {
				if i := c.Info(); len(i.Tracks) == 2 && i.Tracks[0].Ledger.Received > 8000 && i.Tracks[1].Ledger.Received > 8000 {
					n++
				}
			}
			if n == 2*calls {
				return nil
			}
			select {
			case <-tick:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
	if err := syscall.Kill(r.plugins[0].Status().PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	doomed.report(false)
	for i, sent := range other.report(true).Calls {
		c, ok := r.calls.Find(sent.Call)
		if !ok {
			t.Fatalf("call %s is unknown", sent.Call)
		}
		ended(t, c)
		r.wantBlocks(t, c, sent, uint16(4*i))
	}
	for _, c := range r.calls.Calls() {
		if i := c.Info(); i.Adapter == "twilio" && i.State == call.Active && i.Legs > 0 {
			t.Errorf("call %s lives on without its plugin", i.ID)
		}
	}
}
