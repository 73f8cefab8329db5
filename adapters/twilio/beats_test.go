package twilio

import (
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/patchbay/patchbay/adapters/twilio/sim"
	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/adapter/adaptertest"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/media/probe"
)

// TestBeatLosesNothing plays calls in real time: the beat reads most of them, and every
// coded block is heard once.
func TestBeatLosesNothing(t *testing.T) {
	b := run(t, testConfig())
	o := b.options()
	o.Calls, o.Duration, o.Speed, o.Ramp = 10, 2*time.Second, 1, 100*time.Millisecond
	report, err := sim.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	legs := map[string]*adaptertest.Leg{}
	for _, leg := range b.sink.Legs() {
		leg.WaitClosed(t)
		legs[leg.Info().CallKey] = leg
	}
	for i, call := range report.Calls {
		for _, id := range []media.TrackID{sim.Inbound, sim.Outbound} {
			blocks := heard(legs[call.Call], id)
			for n := range uint32(100) {
				if got := blocks[probe.Block{Stream: sim.CodedStream(i, id), N: n}]; got != 1 {
					t.Errorf("call %d, %s: block %d was heard %d times", i, id, n, got)
				}
			}
		}
	}
	if got := b.rounds(); canPoll && got < 50 {
		t.Errorf("the beat read %d rounds of about 190", got)
	}
}

// TestOffTheBeat is whatever may come on a stream that the beat reads: somebody looks at
// it, the stream goes on or ends as it would have, and no sample is missing.
func TestOffTheBeat(t *testing.T) {
	for _, c := range []struct {
		name string
		send func(*testing.T, *bench, *sim.Stream, *adaptertest.Leg) error
		kind string // counted
		ends adapter.EndKind
	}{
		{"dtmf", func(_ *testing.T, _ *bench, s *sim.Stream, _ *adaptertest.Leg) error {
			return s.Say(map[string]any{"event": "dtmf", "streamSid": s.SID, "dtmf": map[string]any{"track": "inbound_track", "digit": "7"}})
		}, "", ""},
		{"binary", func(_ *testing.T, _ *bench, s *sim.Stream, _ *adaptertest.Leg) error {
			return s.SayRaw(websocket.BinaryMessage, []byte{1})
		}, countBinary, ""},
		{"in fragments", func(_ *testing.T, _ *bench, s *sim.Stream, _ *adaptertest.Leg) error {
			return s.Say(map[string]any{"event": "unheard of", "text": strings.Repeat("x", 3000)})
		}, countUnknown, ""},
		{"larger than the reader", func(_ *testing.T, _ *bench, s *sim.Stream, _ *adaptertest.Leg) error {
			return s.Say(map[string]any{"event": "unheard of", "text": strings.Repeat("x", 3*readerSize)})
		}, countUnknown, ""},
		{"no JSON", func(_ *testing.T, _ *bench, s *sim.Stream, _ *adaptertest.Leg) error {
			return s.SayRaw(websocket.TextMessage, []byte("{"))
		}, countJSON, ""},
		{"nothing for long", func(_ *testing.T, _ *bench, _ *sim.Stream, _ *adaptertest.Leg) error {
			<-time.After(2 * roundTime) // the silence
			return nil
		}, "", ""},
		{"the connection goes", func(_ *testing.T, _ *bench, s *sim.Stream, _ *adaptertest.Leg) error {
			s.Vanish()
			return nil
		}, "", adapter.EndLost},
		{"stop", func(t *testing.T, _ *bench, s *sim.Stream, _ *adaptertest.Leg) error {
			return s.Stop(t.Context(), testAccount)
		}, "", adapter.EndHangup},
		{"the host ends the leg", func(_ *testing.T, _ *bench, _ *sim.Stream, leg *adaptertest.Leg) error {
			leg.Order(adapter.Control{Kind: adapter.ControlEnd, Reason: "a test"})
			return nil
		}, "", adapter.EndOrdered},
		{"the adapter stops", func(_ *testing.T, b *bench, _ *sim.Stream, _ *adaptertest.Leg) error {
			b.stop()
			return nil
		}, "", adapter.EndShutdown},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := run(t, testConfig())
			s, leg := b.open(t, b.streamOptions())
			sent := int64(0)
			play := func() {
				t.Helper()
				for range 5 {
					for _, id := range both {
						if err := s.Send(id, make([]byte, 160)); err != nil {
							t.Fatal(err)
						}
					}
					sent += 160
				}
				for _, id := range both {
					leg.WaitSamples(t, id, sent)
				}
			}
			play()
			for canPoll && b.rounds() == 0 {
				play()
			}
			if err := c.send(t, b, s, leg); err != nil {
				t.Fatal(err)
			}
			if c.kind != "" {
				b.wantCount(t, c.kind, 1)
			}
			if c.ends != "" {
				if got := leg.WaitClosed(t); got.Kind != c.ends {
					t.Errorf("the leg ended with %+v; want %s", got, c.ends)
				}
				<-s.Ended()
				return
			}
			play()
			play()
			if c.name == "dtmf" {
				leg.WaitNote(t, adapter.NoteDTMF)
			}
			for _, id := range both {
				if n := len(leg.Segments(id)); n != 1 || leg.Samples(id) != sent {
					t.Errorf("%s has %d segments with %d samples; want 1 with %d", id, n, leg.Samples(id), sent)
				}
			}
		})
	}
}

// rounds returns how many rounds the beat has read.
func (b *bench) rounds() (n int64) {
	for _, beat := range b.beats {
		n += beat.rounds.Load()
	}
	return n
}

// TestRhythm plays the messages of a stream to somebody who looks when the rhythm says:
// looks must be few, and a round must be found soon after its last message came.
func TestRhythm(t *testing.T) {
	const frame = 20 * time.Millisecond
	for _, c := range []struct {
		name   string
		speed  int
		apart  time.Duration             // of the two tracks' messages
		jitter func(n int) time.Duration // of message n
		silent bool                      // the second track sends its first message only
		looks  float64                   // for each round, at most
		late   float64                   // share of the rounds that were found more than a beat after their last message
	}{
		{name: "both together", speed: 1, looks: 1.2, late: 0.1},
		{name: "ten milliseconds apart", speed: 1, apart: 10 * time.Millisecond, looks: 1.2, late: 0.55},
		{name: "ten times as fast", speed: 10, looks: 2, late: 0.1},
		{name: "one track is silent", speed: 1, silent: true, looks: 1.2, late: 0.1},
		{name: "messages are late now and then", speed: 1, looks: 2.5, late: 0.65, jitter: func(n int) time.Duration {
			return time.Duration(n%7) * 2 * time.Millisecond
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			const messages = 1000
			epoch := time.Now()
			begin := epoch.Add(3 * time.Millisecond)
			var came [2][]time.Time
			for track := range came {
				for n := range messages {
					at := begin.Add(time.Duration(n)*frame/time.Duration(c.speed) + time.Duration(track)*c.apart/time.Duration(c.speed))
					if c.jitter != nil {
						at = at.Add(c.jitter(n))
					}
					if last := len(came[track]) - 1; last >= 0 && at.Before(came[track][last]) {
						at = came[track][last] // TCP keeps the order
					}
					if track == 0 || !c.silent || n == 0 {
						came[track] = append(came[track], at)
					}
				}
			}
			var r rhythm
			var fresh [2]int64
			var next, since [2]int // since: messages at the last round
			looks, rounds, lates := 0, 0, 0
			due := roundBeats
			for next[0] < messages {
				now := epoch.Add(time.Duration(due) * beat)
				looks++
				for track := range came {
					for ; next[track] < len(came[track]) && !came[track][next[track]].After(now); next[track]++ {
						fresh[track] += 160
					}
				}
				what, then := r.seen(due, fresh[:])
				if what == lookAway {
					t.Fatalf("the stream counts as stalled at %v", now.Sub(begin))
				}
				if due = then; what == lookAgain {
					continue
				}
				for track := range came {
					if whole := since[track] + 4; whole < next[track] {
						rounds++
						if now.Sub(came[track][whole]) > beat {
							lates++
						}
					}
					since[track] = next[track]
				}
			}
			if each := float64(looks) / float64(messages/5); each > c.looks {
				t.Errorf("%.2f looks for each round; want %.2f at most", each, c.looks)
			}
			if float64(lates) > c.late*float64(rounds) || rounds == 0 {
				t.Errorf("%d of %d rounds were found more than a beat after their last message; want %v of them at most", lates, rounds, c.late)
			}
		})
	}
	var r rhythm
	what := lookAgain
	for n := int64(0); what == lookAgain && n < 100; {
		what, n = r.seen(n, []int64{160, 160})
	}
	if what != lookAway {
		t.Error("a stream that brings nothing does not count as stalled")
	}
}
