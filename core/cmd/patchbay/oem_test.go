package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/config"
	"github.com/patchbay/patchbay/core/emulator/hear"
	"github.com/patchbay/patchbay/core/event"
)

// TestFiftyRecordings: a hundred RTP streams at once through the real plugin; simulator,
// ledger and emulator agree about each block.
func TestFiftyRecordings(t *testing.T) {
	const calls = 50
	r := newRig(t, 1, nil)
	report := r.simulate(t, "oem", "--calls", fmt.Sprint(calls), "--duration", "6s", "--ramp", "1s").report(true)
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

// TestRecordingThroughABadNetwork: 5 % of the packets are lost, others overtake each
// other or come twice. What came is heard once, each lost sample is named in the ledger
// as filled, and nothing else is missing.
func TestRecordingThroughABadNetwork(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1, func(cfg *config.Config) { setPatience(t, cfg) })
	sent := r.simulate(t, "oem", "--duration", "12s", "--loss", "5%", "--reorder", "3", "--duplicate", "5%").report(true).Calls[0]
	c, ok := r.calls.Find(sent.Call)
	if !ok {
		t.Fatalf("call %s is unknown", sent.Call)
	}
	ended(t, c)
	info := c.Info()
	if len(info.Tracks) != 2 {
		t.Fatalf("%d tracks; want 2", len(info.Tracks))
	}
	account, _ := r.emulator.Account().Conversation(info.Conversation)
	for i, tr := range info.Tracks {
		var of adapter.SimTrack
		for _, s := range sent.Tracks {
			if string(s.Track) == tr.Track {
				of = s
			}
		}
		l := tr.Ledger
		if of.Lost == 0 || l.Received != of.Samples || l.Filled != of.Lost || l.Late != 0 || l.Duplicate == 0 || l.Balanced() != nil || !l.Settled() {
			t.Errorf("track %s: %d samples sent, %d lost; ledger %+v", tr.Track, of.Samples, of.Lost, l)
		}
		role, stream := "END_USER", uint16(0)
		if tr.Role == string(adapter.RoleHumanAgent) {
			role, stream = "HUMAN_AGENT", 1
		}
		heard := account.Role(role)
		if len(heard) != 1 || len(heard[0].Blocks) != 1 || heard[0].Blocks[0].Stream != stream ||
			int64(heard[0].Blocks[0].Distinct) != of.Samples/160 || heard[0].Blocks[0].Duplicates != 0 {
			t.Errorf("track %d: %s heard %+v; want the %d blocks of stream %d that came, once", i, role, heard, of.Samples/160, stream)
		}
	}
}

// TestTonesThroughABadNetwork: audio that is decoded on the way keeps its words, each where
// it was said, and the two voices stay together on the call's clock.
func TestTonesThroughABadNetwork(t *testing.T) {
	t.Parallel()
	for _, codec := range []string{"pcma", "g722", "opus"} {
		t.Run(codec, func(t *testing.T) {
			t.Parallel()
			r := newRigWith(t, hear.Tones{}, 1, func(cfg *config.Config) {
				setPatience(t, cfg)
				for i := range cfg.Routes {
					cfg.Routes[i].WordTimes = true
				}
			})
			sent := r.simulate(t, "oem", "--codec", codec, "--tones", "amber,basil/cedar,delta", "--duration", "6s",
				"--loss", "5%", "--reorder", "3", "--duplicate", "5%").report(true).Calls[0]
			c, ok := r.calls.Find(sent.Call)
			if !ok {
				t.Fatalf("call %s is unknown", sent.Call)
			}
			words := map[string][]event.Word{}
			for _, e := range ended(t, c) {
				if e.Kind == event.TranscriptFinal {
					words[e.Track.Role] = append(words[e.Track.Role], e.Transcript.Words...)
				}
			}
			said := map[string][]string{string(adapter.RoleEndUser): {"amber", "basil"}, string(adapter.RoleHumanAgent): {"cedar", "delta"}}
			for role, heard := range words {
				// A packet in twenty is lost, and a word has eight of them with sound.
				if most := int(6 * time.Second / wordTime); len(heard) < most*7/10 || len(heard) > most {
					t.Errorf("%s: %d words were heard; about %d were said", role, len(heard), most)
				}
			}
			// Both voices say their words at the same time: first with first, second with second.
			both := 0
			for _, w := range words[string(adapter.RoleEndUser)] {
				for _, v := range words[string(adapter.RoleHumanAgent)] {
					apart := v.Start.Sub(w.Start).Abs()
					if apart > wordTime/2 {
						continue
					}
					apart = min(apart, v.End.Sub(w.End).Abs()) // lost packets may have cut one end of a word
					both++
					if i := slices.Index(said[string(adapter.RoleEndUser)], w.Text); i < 0 || said[string(adapter.RoleHumanAgent)][i] != v.Text || apart > 40*time.Millisecond {
						t.Errorf("%s and %s were heard %v apart", w.Text, v.Text, apart)
					}
				}
			}
			if both < 10 {
				t.Errorf("%d words were heard of both voices; want many", both)
			}
		})
	}
}

// wordTime is the length of a tone word.
const wordTime = 220 * time.Millisecond

// TestSimultaneousForks: CUCM's two dialogs, and Five9's, meet in one conversation.
func TestSimultaneousForks(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1, nil)
	for i, dialect := range []string{"cucm", "five9-sip"} {
		sent := r.simulate(t, "oem", "--dialect", dialect, "--duration", "3s", "--first", fmt.Sprint(i)).report(true).Calls[0]
		c, ok := r.calls.Find(sent.Call)
		if !ok {
			t.Fatalf("call %s is unknown", sent.Call)
		}
		ended(t, c)
		if dialect == "cucm" { // the agent's dialog comes first
			slices.Reverse(sent.Tracks)
		}
		r.wantBlocks(t, c, sent, uint16(4*i))
	}
}

// TestMixedRecording: one stream with both voices is kept from Agent Assist, and the call
// says so; with mixed: customer it is heard as the customer.
func TestMixedRecording(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"", "customer"} {
		t.Run("mixed: "+policy, func(t *testing.T) {
			r := newRig(t, 1, func(cfg *config.Config) {
				if policy != "" {
					setTrunk(t, cfg, "mixed", policy)
				}
			})
			sent := r.simulate(t, "oem", "--dialect", "broadworks", "--plain", "--duration", "2s").report(true).Calls[0]
			c, ok := r.calls.Find(sent.Call)
			if !ok {
				t.Fatalf("call %s is unknown", sent.Call)
			}
			events := ended(t, c)
			info := c.Info()
			l := info.Tracks[0].Ledger
			if tapeOnly := l.Discarded["mixed"] == l.Received; tapeOnly != (policy == "") || l.Balanced() != nil {
				t.Errorf("the ledger is %+v", l)
			}
			if policy == "" && !hasNote(events, "mixed: customer") {
				t.Error("nothing says that the track is not heard, and what to do")
			}
		})
	}
}

// setTrunk changes the one trunk of the rig's recorder.
func setTrunk(t *testing.T, cfg *config.Config, key string, value any) {
	t.Helper()
	recorder(t, cfg)["trunks"].([]any)[0].(map[string]any)[key] = value
}

// setPatience lets the recorder wait longer for packets than it would, since a busy
// machine sends them late.
func setPatience(t *testing.T, cfg *config.Config) {
	t.Helper()
	recorder(t, cfg)["media"].(map[string]any)["jitter"] = "400ms"
}

// recorder returns the settings of the rig's recorder.
func recorder(t *testing.T, cfg *config.Config) config.Settings {
	t.Helper()
	for _, a := range cfg.Adapters {
		if a.Plugin == "oem" {
			return a.Settings
		}
	}
	t.Fatal("the rig has no recorder")
	return nil
}

func hasNote(events []event.Event, text string) bool {
	return slices.ContainsFunc(events, func(e event.Event) bool { return e.Note != nil && strings.Contains(e.Note.Text, text) })
}
