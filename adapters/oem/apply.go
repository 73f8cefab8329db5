package oem

import (
	"net/netip"
	"regexp"
	"strconv"
	"time"

	"github.com/patchbay/patchbay/adapters/oem/receiver"
	"github.com/patchbay/patchbay/adapters/oem/sdp"
	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
)

// apply makes the streams do what was agreed, and tells the host what has changed. With
// provisional, agreed is an offer of ours: audio may come already, and the answer comes
// by the ACK. c.mu is held.
func (c *session) apply(agreed *sdp.Agreement, provisional bool) error {
	before := c.agreed
	c.attribute(agreed)
	for _, st := range agreed.Streams {
		l := c.lines[st.Index]
		switch {
		case l == nil:
		case !st.Accepted:
			l.stream.Close()
			delete(c.lines, st.Index)
		default:
			if err := l.stream.Accept(c.media(st)); err != nil {
				return err
			}
		}
	}
	if provisional {
		return nil
	}
	c.agreed = agreed
	for _, change := range sdp.Changes(before, agreed) {
		l := c.lines[change.Index]
		switch {
		case l == nil:
		case change.Kind == sdp.ChangeHeld:
			c.note(adapter.Note{Kind: adapter.NoteHold, Track: l.id})
		case change.Kind == sdp.ChangeResumed:
			c.note(adapter.Note{Kind: adapter.NoteResume, Track: l.id})
		}
	}
	return nil
}

// attribute says on each line whose voice it is, as far as that is known by now. c.mu is
// held.
func (c *session) attribute(agreed *sdp.Agreement) {
	voices := c.voices(agreed)
	for _, st := range agreed.Streams {
		l := c.lines[st.Index]
		if l == nil {
			continue
		}
		if l.id == "" {
			l.id = c.trackID(st)
		}
		voice := voices[st.Index]
		if voice.Mixed && c.trunk.Mixed != MixedCustomer && !l.warned {
			l.warned = true
			c.note(adapter.Note{Kind: adapter.NoteWarning, Text: "one stream carries all voices, so Agent Assist does not hear it; have the system send a stream for each, or set mixed: customer for the trunk"})
		}
		want := whose{call: c.link.CallKey, leg: c.leg, speaker: c.trunk.voice(voice)}
		if now := l.whose.Load(); now == nil || *now != want {
			l.whose.Store(&want)
		}
	}
}

// media is what a stream may expect.
func (c *session) media(st sdp.Stream) receiver.Media {
	m := receiver.Media{
		Receive: st.Receive, RTCP: st.RTCP, Mux: st.Mux, Optional: st.Optional,
		Payloads: map[uint8]receiver.Payload{}, Sources: append([]netip.Prefix{receiver.Host(c.peer.Addr.Addr())}, c.trunk.media...),
	}
	if st.Remote.IsValid() && !st.Remote.Addr().IsUnspecified() {
		m.Sources = append(m.Sources, receiver.Host(st.Remote.Addr()))
	}
	for _, p := range st.Payloads {
		if known, ok := receiver.PayloadOf(string(p.Codec), p.Clock, p.Channels); ok {
			m.Payloads[p.Type] = known
		}
	}
	if st.Theirs != nil && st.Ours != nil {
		m.Keys = &receiver.Keys{Suite: receiver.Suite(st.Theirs.Suite), Own: masterKey(st.Ours.Keys[0])}
		for _, k := range st.Theirs.Keys {
			m.Keys.Sender = append(m.Keys.Sender, masterKey(k))
		}
	}
	return m
}

func masterKey(k sdp.Key) receiver.MasterKey {
	return receiver.MasterKey{Key: k.Master, Salt: k.Salt, MKI: k.MKI, Lifetime: k.Lifetime}
}

var trackForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$`)

// trackID names the track of a stream: by its label, by the end of CUCM's fork, or by its
// place.
func (c *session) trackID(st sdp.Stream) media.TrackID {
	switch {
	case c.fork != nil && c.fork.Near:
		return "near"
	case c.fork != nil && c.fork.Far:
		return "far"
	}
	id := media.TrackID(st.Label)
	if !trackForm.MatchString(st.Label) {
		id = media.TrackID("line-" + strconv.Itoa(st.Index+1))
	}
	for _, other := range c.lines {
		if other.id == id { // two lines with one label
			return id + media.TrackID("-"+strconv.Itoa(st.Index+1))
		}
	}
	return id
}

// closeLines ends all streams; what they still hold goes to the leg. c.mu is held.
func (c *session) closeLines() {
	for index, l := range c.lines {
		l.stream.Close()
		delete(c.lines, index)
	}
}

// idleSince returns for how long nothing has come from the peer; 0 while it is on hold.
func (c *session) idleSince(now time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	newest, held := c.signalled, true
	for _, l := range c.lines {
		st := l.stream.Stats()
		for _, at := range []time.Time{st.LastRTP, st.LastRTCP} {
			if at.After(newest) {
				newest = at
			}
		}
	}
	if c.agreed != nil {
		for _, st := range c.agreed.Streams {
			held = held && (!st.Accepted || !st.Receive)
		}
		if held {
			return 0
		}
	}
	return now.Sub(newest)
}
