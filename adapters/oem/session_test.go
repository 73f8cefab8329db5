package oem

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/patchbay/patchbay/adapters/oem/sdp"
	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/adapter/adaptertest"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/media/probe"
)

const typeSDP = "Content-Type: application/sdp"

// blocks returns n numbered blocks of a coded stream, from first on.
func blocks(stream uint16, first, n int) (audio []byte) {
	for i := range n {
		audio = probe.AppendBlock(audio, stream, uint32(first+i))
	}
	return audio
}

// play sends numbered blocks on a line and waits until the leg has them.
func (r *rig) play(u *uac, line int, leg *adaptertest.Leg, id media.TrackID, first, n int) {
	r.Helper()
	before := leg.Samples(id)
	if err := u.lines[line].play(blocks(uint16(line), first, n)); err != nil {
		r.Fatal(err)
	}
	leg.WaitSamples(r, id, before+int64(160*n))
}

// hangUp ends the dialog and waits for the leg's end.
func (r *rig) hangUp(u *uac, leg *adaptertest.Leg) {
	r.Helper()
	m, err := u.ask(r.Context(), "BYE", "", "")
	r.must(200, m, err)
	r.ends(leg, adapter.EndHangup)
}

func (r *rig) ends(leg *adaptertest.Leg, want adapter.EndKind) {
	r.Helper()
	if got := leg.WaitClosed(r); got.Kind != want {
		r.Errorf("the leg ended with %q (%s); want %q", got.Kind, got.Text, want)
	}
}

// section returns a line of an answer.
func (r *rig) section(m *message, i int) sdp.Section {
	r.Helper()
	d, err := sdp.Parse(m.body)
	if err != nil || i >= len(d.Sections) {
		r.Fatalf("the answer has no line %d: %v\n%s", i, err, m.body)
	}
	return d.Sections[i]
}

// multipart puts SDP and metadata into one body.
func multipart(description, metadata string) (contentType, body string) {
	return "Content-Type: multipart/mixed;boundary=cut",
		"--cut\r\nContent-Type: application/sdp\r\n\r\n" + description +
			"\r\n--cut\r\nContent-Type: application/rs-metadata+xml\r\nContent-Disposition: recording-session\r\n\r\n" + metadata + "\r\n--cut--\r\n"
}

// metadata is a document with two parties, the first of whom is heard on the first label.
func metadata(first, second string) string {
	party := func(n int, aor string) string {
		return fmt.Sprintf(`<participant participant_id="p%d"><nameID aor="%s"/></participant><stream stream_id="s%d"><label>%d</label></stream>`+
			`<participantstreamassoc participant_id="p%d"><send>s%d</send></participantstreamassoc>`, n, aor, n, n, n, n)
	}
	return `<recording xmlns="urn:ietf:params:xml:ns:recording:1"><datamode>complete</datamode>` + party(1, first) + party(2, second) + `</recording>`
}

// A call: its lines are tracks of one leg, each hears its own audio, and the answer is
// what a recording client must get.
func TestCall(t *testing.T) {
	r := newRig(t, nil)
	u := r.dial("one@192.0.2.1")
	m, err := u.begin(t.Context(), twoLines("one", "10 20"), "Call-Info: <http://dialogflow.googleapis.com/v2beta1/projects/p/locations/global/conversations/CID-1>;purpose=Goog-ContactCenter-Conversation")
	r.must(200, m, err)
	if !strings.Contains(m.get("Contact"), "+sip.srs") {
		t.Errorf("Contact: %s; want +sip.srs in it", m.get("Contact"))
	}
	for i, label := range []string{"one", "10 20"} {
		if s := r.section(m, i); s.Label != label || s.Direction != sdp.RecvOnly || s.Port%2 != 0 || s.Address.String() != "127.0.0.1" {
			t.Errorf("line %d of the answer is %+v", i, s)
		}
	}
	leg := r.sink.WaitLeg(t, 0)
	r.play(u, 0, leg, "one", 0, 10)
	r.play(u, 1, leg, "line-2", 0, 10) // a label with a blank is no name
	info := leg.Info()
	if !info.Named || info.Conversation != "projects/p/locations/global/conversations/CID-1" || info.Principal != (adapter.Principal{Account: "sbc", Method: adapter.MethodAddress}) {
		t.Errorf("the leg is %+v", info)
	}
	r.hangUp(u, leg)
}

// What a message names counts from peers alone that proved themselves.
func TestStrangers(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Trunks, c.Insecure = []Trunk{}, true })
	u := r.dial("two@192.0.2.1")
	m, err := u.begin(t.Context(), twoLines("1"), "Call-Info: <http://dialogflow.googleapis.com/v2beta1/projects/p/conversations/CID-1>;purpose=Goog-ContactCenter-Conversation")
	r.must(200, m, err)
	leg := r.sink.WaitLeg(t, 0)
	if info := leg.Info(); info.Named || strings.Contains(info.Conversation, "CID-1") || info.Principal.Method != adapter.MethodNone {
		t.Errorf("the leg is %+v", info)
	}
	r.hangUp(u, leg)
}

// Hold, its end, and a stream that moves, joins or ends: the same tracks go on.
func TestChanges(t *testing.T) {
	r := newRig(t, nil)
	u := r.dial("three@192.0.2.1")
	m, err := u.begin(t.Context(), twoLines("1"))
	r.must(200, m, err)
	leg := r.sink.WaitLeg(t, 0)
	r.play(u, 0, leg, "1", 0, 5)
	port := r.section(m, 0).Port

	held := strings.Replace(twoLines("1"), "a=sendonly", "a=inactive", 1)
	m, err = u.invite(t.Context(), held, typeSDP)
	r.must(200, m, err)
	if s := r.section(m, 0); s.Direction != sdp.Inactive || s.Port != port {
		t.Errorf("the answer to a hold is %+v; want inactive, on port %d", s, port)
	}
	m, err = u.invite(t.Context(), twoLines("1", "2"), typeSDP) // resumes, and a second party joins
	r.must(200, m, err)
	if s := r.section(m, 0); s.Direction != sdp.RecvOnly || s.Port != port {
		t.Errorf("the answer after a hold is %+v; want recvonly, on port %d", s, port)
	}
	r.play(u, 0, leg, "1", 5, 5)
	r.play(u, 1, leg, "2", 0, 5)
	ended := strings.Replace(twoLines("1", "2"), "m=audio 6002", "m=audio 0", 1)
	m, err = u.invite(t.Context(), ended, typeSDP)
	r.must(200, m, err)
	if s := r.section(m, 1); s.Port != 0 {
		t.Errorf("the answer to a line that ends is %+v; want port 0", s)
	}
	r.play(u, 0, leg, "1", 10, 5)
	m, err = u.ask(t.Context(), "UPDATE", "", "") // refreshes, and nothing else
	r.must(200, m, err)
	r.hangUp(u, leg)
	var kinds []string
	for _, n := range leg.Notes() {
		if n.Kind == adapter.NoteHold || n.Kind == adapter.NoteResume {
			kinds = append(kinds, string(n.Kind)+" "+string(n.Track))
		}
	}
	if got := strings.Join(kinds, ", "); got != "hold 1, resume 1" {
		t.Errorf("notes: %s", got)
	}
}

// New metadata re-labels a track while it goes on; odd metadata changes nothing.
func TestRolesFollowMetadata(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Trunks[0].Roles.Agents.Domains = []string{"agents.example.com"} })
	u := r.dial("four@192.0.2.1")
	kind, body := multipart(twoLines("1", "2"), metadata("sip:1000@agents.example.com", "sip:+15550100001@example.com"))
	m, err := u.invite(t.Context(), body, kind)
	r.must(200, m, err)
	leg := r.sink.WaitLeg(t, 0)
	r.play(u, 0, leg, "1", 0, 5)
	r.play(u, 1, leg, "2", 0, 5)
	m, err = u.ask(t.Context(), "UPDATE", metadata("sip:+15550100001@example.com", "sip:1000@agents.example.com"), "", "Content-Type: application/rs-metadata")
	r.must(200, m, err)
	if len(m.body) > 0 {
		t.Errorf("the answer to an UPDATE without SDP has a body: %s", m.body)
	}
	r.play(u, 0, leg, "1", 5, 5)
	m, err = u.ask(t.Context(), "UPDATE", "<recording><", "", "Content-Type: application/rs-metadata+xml")
	r.must(200, m, err)
	r.play(u, 0, leg, "1", 10, 5)
	r.hangUp(u, leg)
	var said []string
	for _, s := range leg.Segments("1") {
		said = append(said, string(s.Track.Speaker.Role))
	}
	if got := strings.Join(said, ", "); got != "human_agent, end_user" {
		t.Errorf("track 1 was the voice of %s", got)
	}
	if got := leg.MuLaw("1"); string(got) != string(blocks(0, 0, 15)) {
		t.Errorf("track 1 has %d samples; want blocks 0 to 14", len(got))
	}
}

// CUCM wants our offer; when it records on for another call the dialog gets another leg.
func TestForks(t *testing.T) {
	r := newRig(t, nil)
	near := r.dial("near@192.0.2.1")
	near.from = "sip:5000@192.0.2.1;x-nearend;x-refci=41;x-nearendclusterid=c1;x-nearendaddr=5000"
	answer := strings.Replace(twoLines("x"), "a=label:x\r\n", "", 1)
	m, err := near.ask(t.Context(), "INVITE", "", answer)
	r.must(200, m, err)
	if s := r.section(m, 0); s.Label != "" || s.Direction != sdp.RecvOnly {
		t.Errorf("our offer is %+v", s)
	}
	if err := near.connect(m.body); err != nil {
		t.Fatal(err)
	}
	first := r.sink.WaitLeg(t, 0)
	r.play(near, 0, first, "near", 0, 5)
	far := r.dial("far@192.0.2.1")
	far.from = "sip:5000@192.0.2.1;x-farend;x-refci=41;x-nearendclusterid=c1;x-nearendaddr=5000"
	m, err = far.ask(t.Context(), "INVITE", "", answer)
	r.must(200, m, err)
	other := r.sink.WaitLeg(t, 1)
	if first.CallID() != other.CallID() || first.Info().LegKey == other.Info().LegKey || first.Info().Conversation != other.Info().Conversation {
		t.Errorf("the forks are %+v and %+v; want one call, two legs", first.Info(), other.Info())
	}
	if s := first.Segments("near")[0].Track.Speaker; s.Role != adapter.RoleHumanAgent || s.Assumed {
		t.Errorf("the near end is %+v; want the agent for sure", s)
	}

	near.from = "sip:5000@192.0.2.1;x-nearend;x-refci=42;x-nearendclusterid=c1;x-nearendaddr=5000"
	m, err = near.ask(t.Context(), "INVITE", "", answer)
	r.must(200, m, err)
	next := r.sink.WaitLeg(t, 2)
	r.ends(first, adapter.EndHangup)
	if next.CallID() == first.CallID() {
		t.Error("x-refci changed, and the call is the same")
	}
	if got := next.Info().Claims[claimContinues]; got != first.Info().CallKey {
		t.Errorf("the call continues %q; want %q", got, first.Info().CallKey)
	}
	r.play(near, 0, next, "near", 5, 5)
	r.hangUp(near, next)
	r.hangUp(far, other)
}

func TestRefusals(t *testing.T) {
	withKey := strings.Replace(twoLines("1"), "RTP/AVP", "RTP/SAVP", 1) + "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n"
	for name, c := range map[string]struct {
		change  func(*Config)
		refuse  adapter.RefusalReason
		offer   string
		kind    string
		status  int
		warning string
	}{
		"unknown codec":     {offer: strings.Replace(twoLines("1"), "RTP/AVP 0 101", "RTP/AVP 18", 1), status: 488, warning: "PCMU"},
		"no description":    {offer: "hello", status: 400},
		"another body":      {offer: "hello", kind: "text/plain", status: 415},
		"SRTP needed":       {change: func(c *Config) { c.Trunks[0].SRTP = "required" }, offer: twoLines("1"), status: 488, warning: "SRTP"},
		"key in the clear":  {offer: withKey, status: 488, warning: "TLS"},
		"mixed":             {change: func(c *Config) { c.Trunks[0].Mixed = MixedRefuse }, kind: "mixed", status: 488},
		"no ports":          {change: func(c *Config) { c.Media.Ports = "42000-42003"; c.Limits.MaxStreams = 3 }, offer: twoLines("1", "2", "3"), status: 503},
		"not on the list":   {change: func(c *Config) { c.Trunks[0].Addresses = []string{"192.0.2.7"} }, offer: twoLines("1"), status: 403},
		"full":              {refuse: adapter.RefusedFull, offer: twoLines("1"), status: 486},
		"draining":          {refuse: adapter.RefusedDraining, offer: twoLines("1"), status: 503},
		"no route":          {refuse: adapter.RefusedNoRoute, offer: twoLines("1"), status: 404},
		"another's":         {refuse: adapter.RefusedNotYours, offer: twoLines("1"), status: 403},
		"no room for calls": {change: func(c *Config) { c.Limits.MaxCalls = 0 }, status: -1},
	} {
		t.Run(name, func(t *testing.T) {
			if c.status < 0 {
				cfg := testConfig()
				c.change(&cfg)
				if _, err := New(cfg); adapter.KindOf(err) != adapter.KindConfig {
					t.Errorf("New = %v; want a refusal", err)
				}
				return
			}
			r := newRig(t, c.change)
			if c.refuse != "" {
				r.sink.Refuse(&adapter.Refusal{Reason: c.refuse, Text: "the test host refuses"})
			}
			kind, body := typeSDP, c.offer
			switch c.kind {
			case "":
			case "mixed":
				kind, body = multipart(twoLines("1"), `<recording_metadata><recording><session id="s"/><stream id="t" session="s"><mode>mixed</mode><label>1</label></stream></recording></recording_metadata>`)
			default:
				kind = "Content-Type: " + c.kind
			}
			u := r.dial("refused@192.0.2.1")
			m, err := u.invite(t.Context(), body, kind)
			r.must(c.status, m, err)
			if !strings.Contains(m.get("Warning"), c.warning) || c.status >= 486 && c.status != 488 && m.get("Retry-After") == "" {
				t.Errorf("the refusal is %v", m.lines)
			}
			if n := len(r.sink.Legs()); n > 0 {
				t.Errorf("%d legs were opened", n)
			}
		})
	}
}

// A refused change leaves the call as it was.
func TestRefusedChange(t *testing.T) {
	r := newRig(t, nil)
	u := r.dial("five@192.0.2.1")
	m, err := u.begin(t.Context(), twoLines("1"))
	r.must(200, m, err)
	leg := r.sink.WaitLeg(t, 0)
	m, err = u.invite(t.Context(), strings.Replace(twoLines("1"), "RTP/AVP 0 101", "RTP/AVP 18", 1), typeSDP)
	r.must(488, m, err)
	r.play(u, 0, leg, "1", 0, 5)
	r.hangUp(u, leg)
}

// The host pauses a call, and the system is asked to send nothing meanwhile.
func TestPause(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Trunks[0].PauseByOffer = true })
	u := r.dial("six@192.0.2.1")
	m, err := u.begin(t.Context(), twoLines("1"))
	r.must(200, m, err)
	leg := r.sink.WaitLeg(t, 0)
	r.play(u, 0, leg, "1", 0, 5)
	for _, step := range []struct {
		order adapter.ControlKind
		want  sdp.Direction
		say   string
	}{{adapter.ControlPause, sdp.Inactive, "a=inactive"}, {adapter.ControlResume, sdp.RecvOnly, "a=sendonly"}} {
		leg.Order(adapter.Control{Kind: step.order, Reason: "card number"})
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		select {
		case offer := <-u.offers:
			if s := r.section(offer, 0); s.Direction != step.want || s.Label != "1" {
				t.Errorf("%s: the offer is %+v", step.order, s)
			}
			u.reply(offer, 200, []byte(strings.Replace(twoLines("1"), "a=sendonly", step.say, 1)))
		case <-ctx.Done():
			t.Fatalf("%s: no re-INVITE came", step.order)
		}
	}
	leg.WaitNote(t, adapter.NoteResume)
	r.play(u, 0, leg, "1", 5, 5)
	r.hangUp(u, leg)
}

// A call that says nothing any more ends, unless it is on hold.
func TestIdle(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Media.Idle = adapter.Duration(time.Second) })
	held, silent := r.dial("held@192.0.2.1"), r.dial("silent@192.0.2.1")
	m, err := held.begin(t.Context(), strings.Replace(twoLines("1"), "a=sendonly", "a=inactive", 1))
	r.must(200, m, err)
	m, err = silent.begin(t.Context(), twoLines("1"))
	r.must(200, m, err)
	r.ends(r.sink.WaitLeg(t, 1), adapter.EndLost)
	select {
	case <-silent.ended:
	case <-time.After(patience):
		t.Error("the system got no BYE")
	}
	r.hangUp(held, r.sink.WaitLeg(t, 0))
}

// Once the host is leaving, OPTIONS says so too, and systems look elsewhere.
func TestDraining(t *testing.T) {
	r := newRig(t, nil)
	pinger := r.dial("ping@192.0.2.1")
	m, err := pinger.ask(t.Context(), "OPTIONS", "", "")
	r.must(200, m, err)
	u := r.dial("seven@192.0.2.1")
	m, err = u.begin(t.Context(), twoLines("1"))
	r.must(200, m, err)
	leg := r.sink.WaitLeg(t, 0)
	leg.Order(adapter.Control{Kind: adapter.ControlEnd, Reason: "the host is shutting down", Reconnect: true})
	r.ends(leg, adapter.EndOrdered)
	m, err = pinger.ask(t.Context(), "OPTIONS", "", "")
	if r.must(503, m, err); m.get("Retry-After") == "" {
		t.Errorf("the answer is %v; want Retry-After in it", m.lines)
	}
}
