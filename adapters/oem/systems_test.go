package oem

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/patchbay/patchbay/adapters/oem/sim"
	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/adapter/adaptertest"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/media/probe"
)

// simulate plays a system against the rig and returns what it sent. Odd answers fail it.
func (r *rig) simulate(args ...string) adapter.SimReport {
	r.Helper()
	var out, errs bytes.Buffer
	if !slices.Contains(args, "--to") {
		args = append([]string{"--to", "sip:recorder@" + r.env.Addr(listenerUDP)}, args...)
	}
	if code := sim.Main(r.Context(), append(args, "--json"), &out, &errs); code != 0 {
		r.Errorf("simulate %s: exit code %d\n%s", strings.Join(args, " "), code, errs.String())
	}
	var report adapter.SimReport
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		r.Errorf("%v in %q", err, out.String())
	}
	return report
}

// hearing is what a leg got on a track: coded blocks, and who is said to speak.
type hearing struct {
	streams map[uint16]bool
	blocks  int64
	voices  []string // role and, where nobody stated it, "assumed"; in order
}

func hear(l *adaptertest.Leg, id media.TrackID) hearing {
	h := hearing{streams: map[uint16]bool{}}
	for _, s := range l.Segments(id) {
		voice := string(s.Track.Speaker.Role)
		if s.Track.Speaker.Assumed {
			voice += " assumed"
		}
		if !slices.Contains(h.voices, voice) {
			h.voices = append(h.voices, voice)
		}
	}
	var d probe.Decoder
	for _, s := range l.Segments(id) {
		for _, f := range s.Frames {
			d.Write(s.Track.Format, f.Payload, func(b probe.Block, _ int64) {
				h.streams[b.Stream] = true
				h.blocks++
			})
		}
	}
	return h
}

// TestSystems plays every system: every block of every voice arrives on a track of its own,
// under the call's key, and the voice is that of whom it should be.
func TestSystems(t *testing.T) {
	// What is said of the customer's and of the agent's voice in the end, and of both
	// together where they are mixed.
	const customer, agent, mixed = "end_user", "human_agent", "other"
	want := map[string][2]string{
		"broadworks": {mixed, mixed}, "metaswitch": {mixed, mixed}, "metaswitch-both": {mixed, mixed},
	}
	for _, name := range sim.Dialects() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			voices, ok := want[name]
			if !ok {
				voices = [2]string{customer, agent}
			}
			var both sync.WaitGroup
			for transport, listener := range map[string]string{"udp": listenerUDP, "tcp": listenerTCP} {
				r, sent := newRig(t, nil), adapter.SimReport{}
				both.Go(func() {
					to := "sip:recorder@" + r.env.Addr(listener) + ";transport=" + transport
					sent = r.simulate("--to", to, "--dialect", name, "--duration", "1500ms", "--hold", "800ms", "--hold-for", "100ms")
				})
				defer func() { r.wantHeard(sent, voices) }()
			}
			both.Wait()
		})
	}
}

// wantHeard checks that all that was sent is heard as one voice a track, by the right role.
func (r *rig) wantHeard(report adapter.SimReport, voices [2]string) {
	r.Helper()
	for _, l := range r.sink.Legs() {
		l.WaitClosed(r)
	}
	for _, c := range report.Calls {
		legs := r.sink.Calls()[adaptertest.CallID{Account: "sbc", Key: c.Call}]
		if len(legs) == 0 {
			r.Errorf("no leg of call %q; there are %v", c.Call, slices.Collect(maps.Keys(r.sink.Calls())))
		}
		for _, sent := range c.Tracks {
			var h hearing
			for _, l := range legs {
				if x := hear(l, sent.Track); x.blocks == sent.Frames {
					h = x
				}
			}
			if h.blocks == 0 || len(h.streams) != 1 {
				r.Errorf("call %s, track %s: sent %d blocks; %s", c.Call, sent.Track, sent.Frames, heardOf(legs))
				continue
			}
			who := slices.Collect(maps.Keys(h.streams))[0] % 4
			if said := h.voices[len(h.voices)-1]; !strings.HasPrefix(said, voices[min(who, 1)]) {
				r.Errorf("track %s is the %v's; it was said to be %v", sent.Track, sim.Speaker(who), h.voices)
			}
		}
	}
}

// heardOf describes legs for a failure.
func heardOf(legs []*adaptertest.Leg) string {
	var b strings.Builder
	for _, l := range legs {
		for _, id := range l.Tracks() {
			h := hear(l, id)
			_, _ = fmt.Fprintf(&b, "leg %s track %s heard %d blocks of %v, %d samples; ", l.Info().LegKey, id, h.blocks, slices.Collect(maps.Keys(h.streams)), l.Samples(id))
		}
	}
	return b.String()
}
