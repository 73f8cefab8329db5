package assist

import (
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/patchbay/patchbay/core/emulator"
	"github.com/patchbay/patchbay/core/event"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/media/probe"
)

// noise writes comfort noise of about -61 dBFS in real time.
func (v *voice) noise(t *testing.T, d time.Duration) {
	rng := rand.New(rand.NewPCG(uint64(v.id), 1))
	samples := make([]int16, probe.BlockSamples)
	tick := time.NewTicker(ptime)
	defer tick.Stop()
	var payload []byte
	for range d / ptime {
		<-tick.C
		for i := range samples {
			samples[i] = int16(rng.IntN(101) - 50)
		}
		payload = media.AppendEncoded(payload[:0], v.format.Encoding, samples)
		if err := v.writer.Write(media.Frame{Pos: v.pos, Arrived: time.Now(), Payload: payload}); err != nil {
			t.Error(err)
		}
		v.pos += probe.BlockSamples
	}
}

// TestHold: twenty minutes of hold, whatever the vendor sends meanwhile, are no error
// and cost each track one start when speech returns, of which no block is missing.
func TestHold(t *testing.T) {
	const hold = 20 * time.Minute
	tests := []struct {
		name      string
		transport Transport
		emulator  func(*emulator.Config)
		hold      func(*testing.T, *voice)
		unsent    time.Duration // of what the vendor sent meanwhile
	}{
		{name: "nothing comes", hold: func(_ *testing.T, _ *voice) { time.Sleep(hold) }},
		{name: "nothing comes and positions go on", hold: func(_ *testing.T, v *voice) {
			v.tape.Hold(true)
			time.Sleep(hold)
			v.pos += media.Telephony.SamplesIn(hold)
			v.tape.Hold(false)
		}},
		{name: "comfort noise", hold: func(t *testing.T, v *voice) { v.noise(t, hold) }, unsent: hold - DefaultParkAfter - time.Second},
		{name: "comfort noise, bidi", transport: Bidi, hold: func(t *testing.T, v *voice) { v.noise(t, hold) }, unsent: hold - DefaultParkAfter - time.Second},
		{name: "silence", hold: func(t *testing.T, v *voice) { v.quiet(t, hold) }, unsent: hold - DefaultParkAfter - time.Second},
		{name: "the service ends silent streams", emulator: func(c *emulator.Config) { c.Limits.ExtendedIdle = 5 * time.Second },
			hold: func(t *testing.T, v *voice) { v.noise(t, hold) }, unsent: hold - 7*time.Second},
		{name: "nothing, then silence before speech", hold: func(t *testing.T, v *voice) {
			time.Sleep(hold / 2)
			v.quiet(t, hold/2)
		}, unsent: hold/2 - time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, rigConfig{emulator: tt.emulator}, func(t *testing.T, r *rig) {
				c := r.conversation()
				c.Transport = tt.transport
				s, wait := r.run(t.Context(), c)
				customer := newVoice(t, "inbound", "end_user", 1, media.Telephony)
				agent := newVoice(t, "outbound", "human_agent", 2, media.Telephony)
				var began atomic.Pointer[time.Time]
				call(t, s, func(v *voice) {
					v.speak(t, 9*time.Second)
					tt.hold(t, v)
					if n := s.Info().Tracks[0]; n.State != StateParked || n.Streams != 1 {
						t.Errorf("before speech returns the track is %+v; want parked after one stream", n)
					}
					now := time.Now()
					began.Store(&now)
					v.speak(t, 9*time.Second)
				}, customer, agent)
				if err := wait(); err != nil {
					t.Fatalf("Run() = %v", err)
				}
				r.heardOnce("call-1", customer, agent)
				for _, v := range []*voice{customer, agent} {
					r.finals(v)
					l := v.tape.Ledger()
					if unsent := media.Telephony.Duration(l.Received + l.Filled - l.Sent + l.Replayed); unsent < tt.unsent || l.Lost > 0 {
						t.Errorf("%s: %v were not sent, ledger %+v; want at least %v", v.track, unsent, l, tt.unsent)
					}
					opened := slices.DeleteFunc(r.events(event.StreamOpened), func(e event.Event) bool { return e.Track.Track != v.track })
					if len(opened) != 2 || opened[1].Time.Sub(*began.Load()) > 300*time.Millisecond {
						t.Fatalf("%s: %d streams, the last %v after speech returned; want two, at once", v.track, len(opened), opened[len(opened)-1].Time.Sub(*began.Load()))
					}
				}
				if bad := r.events(event.Failure, event.Warning); len(bad) > 0 {
					t.Errorf("events %+v; want no failure and no warning", bad)
				}
			})
		})
	}
}

// TestHoldSwitchedOff: silence is sent as it comes where that is wanted.
func TestHoldSwitchedOff(t *testing.T) {
	inBubble(t, rigConfig{options: Options{ParkAfter: -1}}, func(t *testing.T, r *rig) {
		s, wait := r.run(t.Context(), r.conversation())
		v := newVoice(t, "inbound", "end_user", 1, media.Telephony)
		call(t, s, func(v *voice) {
			v.speak(t, 9*time.Second)
			v.quiet(t, 8*time.Minute)
		}, v)
		if err := wait(); err != nil {
			t.Fatalf("Run() = %v", err)
		}
		r.heardOnce("call-1", v)
		if l := v.tape.Ledger(); l.Sent != l.Received {
			t.Errorf("ledger %+v; want all of it sent", l)
		}
		if causes := r.causes("inbound"); slices.Contains(causes, string(causeParked)) || len(causes) < 3 {
			t.Errorf("streams ended %v; want rotations", causes)
		}
	})
}

// TestHangUpWhileParked: what is left then is silent, and no stream opens for it.
func TestHangUpWhileParked(t *testing.T) {
	inBubble(t, rigConfig{}, func(t *testing.T, r *rig) {
		s, wait := r.run(t.Context(), r.conversation())
		v := newVoice(t, "inbound", "end_user", 1, media.Telephony)
		call(t, s, func(v *voice) {
			v.speak(t, 9*time.Second)
			v.noise(t, 5*time.Minute)
		}, v)
		if err := wait(); err != nil {
			t.Fatalf("Run() = %v", err)
		}
		r.heardOnce("call-1", v)
		if n := len(r.causes("inbound")); n != 1 {
			t.Errorf("%d streams; want one", n)
		}
	})
}

// TestDecisions: the flight recorder tells of a parked track what became of it.
func TestDecisions(t *testing.T) {
	inBubble(t, rigConfig{}, func(t *testing.T, r *rig) {
		s, wait := r.run(t.Context(), r.conversation())
		v := newVoice(t, "inbound", "end_user", 1, media.Telephony)
		call(t, s, func(v *voice) {
			v.speak(t, 9*time.Second)
			v.noise(t, 5*time.Minute)
			v.speak(t, 9*time.Second)
		}, v)
		if err := wait(); err != nil {
			t.Fatalf("Run() = %v", err)
		}
		var got []string
		for _, e := range r.events(event.Decided) {
			d := e.Decision
			got = append(got, d.What)
			if d.Text == "" || d.What == didResume && d.Seconds < 200 || d.What == didHear && d.Stream == 0 {
				t.Errorf("decision %+v", d)
			}
		}
		if want := []string{didOpen, didHear, didRotate, didPark, didResume, didOpen, didHear, didRotate}; !slices.Equal(got, want) {
			t.Errorf("decisions %v; want %v", got, want)
		}
	})
}
