package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/call"
	"github.com/patchbay/patchbay/core/event"
)

// TestBothVoicesOfOneSocket: fifty AudioHook sessions, each with both voices in one
// stream of frames. The ledger and the emulator agree with the simulator about each
// block, and the transcripts go back before the sessions are closed.
func TestBothVoicesOfOneSocket(t *testing.T) {
	const calls = 50
	r := newRig(t, 1, nil)
	report := r.simulate(t, "audiohook", "--calls", fmt.Sprint(calls), "--duration", "6s", "--ramp", "1s", "--probe").report(true)
	if len(report.Calls) != calls {
		t.Fatalf("%d calls were made; want %d", len(report.Calls), calls)
	}
	for i, sent := range report.Calls {
		c, ok := r.calls.Find(sent.Call)
		if !ok {
			t.Fatalf("call %s is unknown", sent.Call)
		}
		ended(t, c)
		r.wantBlocks(t, c, sent, uint16(2*i))
		if want := "/a" + sent.Call; !strings.HasSuffix(c.Info().Conversation, want) {
			t.Errorf("the conversation is %s; want …%s", c.Info().Conversation, want)
		}
	}
	if n := len(r.calls.Calls()); n != calls {
		t.Errorf("there are %d calls; want %d, and none of the probes", n, calls)
	}
}

// TestGenesysHearsItself: what was recognised comes back to the session in whose audio
// it was.
func TestGenesysHearsItself(t *testing.T) {
	r := newRig(t, 1, nil)
	s := r.simulate(t, "audiohook", "--duration", "3s", "--events")
	sent := s.report(true).Calls[0]
	c, ok := r.calls.Find(sent.Call)
	if !ok {
		t.Fatal("the call is unknown")
	}
	finals := 0
	for _, e := range ended(t, c) {
		if e.Kind == event.TranscriptFinal {
			finals++
		}
	}
	told := strings.Count(s.stdout.String(), `"isFinal":true`)
	if finals == 0 || told != finals || !strings.Contains(s.stdout.String(), `"channel":"external"`) || !strings.Contains(s.stdout.String(), `"channel":"internal"`) {
		t.Errorf("Genesys was told of %d finals of %d:\n%s", told, finals, s.stdout.String())
	}
}

// TestPausedByGenesys: what a pause leaves out is withheld, not lost, on both voices;
// a session that continues a broken one goes on in the same tracks.
func TestPausedByGenesys(t *testing.T) {
	r := newRig(t, 1, nil)
	paused := r.simulate(t, "audiohook", "--duration", "5s", "--pause-after", "2s", "--pause-for", "1s")
	broken := r.simulate(t, "audiohook", "--duration", "5s", "--drop-after", "2s", "--continue", "--first", "10")
	find := func(s *simulation) *call.Call {
		c, ok := r.calls.Find(s.report(true).Calls[0].Call)
		if !ok {
			t.Fatal("the call is unknown")
		}
		ended(t, c)
		return c
	}
	for _, tr := range find(paused).Info().Tracks {
		if l := tr.Ledger; l.Received != 32000 || l.Filled != 8000 || l.Withheld != 8000 || l.Lost != 0 || l.Balanced() != nil || !l.Settled() {
			t.Errorf("track %s: ledger %+v; want 32000 received, 8000 withheld, none lost", tr.Track, l)
		}
	}
	c := find(broken)
	if n := len(c.Info().Tracks); n != 2 {
		t.Errorf("%d tracks; want 2, of both sessions", n)
	}
	account, _ := r.emulator.Account().Conversation(c.Info().Conversation)
	for _, role := range []string{"END_USER", "HUMAN_AGENT"} {
		heard := account.Role(role)
		if len(heard) != 1 || len(heard[0].Blocks) != 1 || heard[0].Blocks[0].Distinct != 250 || heard[0].Blocks[0].Duplicates > 0 {
			t.Errorf("%s heard %+v; want each of 250 blocks once", role, heard)
		}
	}
}

// TestPausedByHost: Genesys sends nothing while the host has paused the call, and what
// it left out is withheld, too.
func TestPausedByHost(t *testing.T) {
	r := newRig(t, 1, nil)
	s := r.simulate(t, "audiohook", "--duration", "5s")
	c := r.await(t, "no call", func(i call.Info) bool {
		return len(i.Tracks) == 2 && i.Tracks[0].Ledger.Received > 8000 && i.Tracks[1].Ledger.Received > 8000
	})
	noted := func(kind string) {
		t.Helper()
		within(t, 10*time.Second, "Genesys did not "+kind, func(ctx context.Context) error {
			for seq := uint64(0); ; {
				events, err := c.Events().Next(ctx, seq, 0)
				if err != nil {
					return err
				}
				for _, e := range events {
					if seq = e.Seq; e.Kind == event.VendorNote && e.Note.Kind == kind {
						return nil
					}
				}
			}
		})
	}
	if err := c.Pause("card data"); err != nil {
		t.Fatal(err)
	}
	noted(string(adapter.NotePause))
	within(t, 10*time.Second, "time does not pass", func(ctx context.Context) error {
		select {
		case <-time.After(500 * time.Millisecond): // in which Genesys holds back two frames
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	if err := c.Resume(""); err != nil {
		t.Fatal(err)
	}
	noted(string(adapter.NoteResume))
	sent := s.report(true).Calls[0]
	ended(t, c)
	for i, tr := range c.Info().Tracks {
		l := tr.Ledger
		if l.Received != sent.Tracks[i].Samples || l.Received+l.Filled != 40000 || l.Filled == 0 || l.Withheld < l.Filled || l.Lost != 0 || l.Balanced() != nil || !l.Settled() {
			t.Errorf("track %s: ledger %+v; want %d received, the rest of 40000 withheld, none lost", tr.Track, l, sent.Tracks[i].Samples)
		}
	}
}
