package call

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/assist"
	"github.com/patchbay/patchbay/core/event"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/tape"
)

// trackKey identifies a track within its call. A leg that takes over another with
// the same key continues its tracks.
type trackKey struct {
	leg   string
	track media.TrackID
}

// track is one speaker's audio and who hears it.
type track struct {
	ref     event.TrackRef
	speaker adapter.Speaker
	format  media.Format
	rate    int // of the first segment; the account of all calls goes by it
	tape    *tape.Tape
	joined  time.Time
	session assist.Track
	earlier []int   // numbers of tracks that had the wrong role, and were this one in truth
	paused  bool    // the vendor said so
	quiet   bool    // a warning said that nothing comes
	client  *client // whose own stream it is; nil in conversations of ours
	heard   bool    // the session reads it
	standby bool    // it would, but for another track of the speaker
	added   bool    // the session knows it
}

// about returns the track as events name it.
func (t *track) about() *event.TrackRef {
	ref := t.ref
	return &ref
}

// lastAudio returns when the track's newest audio arrived, or when it was joined.
func (t *track) lastAudio() time.Time {
	if at := t.tape.LastArrival(); at.After(t.joined) {
		return at
	}
	return t.joined
}

// join begins a segment of a track. A track whose speaker changed continues as
// another one, under another participant.
func (c *Call) join(l *leg, id media.TrackID, t adapter.Track) error {
	if err := t.Format.Validate(); err != nil {
		return vendorError("Join", l, err)
	}
	if err := c.checkClient(t); err != nil {
		return vendorError("Join", l, err)
	}
	if role, ok := c.roles[id]; ok && role != t.Speaker.Role && c.conversation.Foreign == "" {
		t.Speaker = adapter.Speaker{ID: string(role), Role: role, Evidence: fmt.Sprintf("routes[%d].roles", c.route), Mixed: t.Speaker.Mixed}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.live[l.key] != l {
		return adapter.ErrClosed
	}
	key := trackKey{l.key, id}
	t.Speaker = c.heed(key, t.Speaker)
	before := c.tracks[key]
	tr := before
	if tr != nil && (tr.speaker.ID != t.Speaker.ID || tr.speaker.Role != t.Speaker.Role) {
		tr = nil
	}
	if tr == nil {
		if len(c.order) >= c.limits.TracksPerCall {
			return vendorError("Join", l, fmt.Errorf("the call has %d tracks; limits.tracks_per_call allows no more", len(c.order)))
		}
		if before != nil {
			before.tape.End()
		}
		tr = c.newTrack(key, t, before)
		if before != nil {
			if wrong(before.speaker, t.Speaker) {
				tr.earlier = append(slices.Clone(before.earlier), before.ref.Number)
			}
			c.corrected(tr, before.speaker, false)
		}
	} else if tr.heard && c.othersHeard(key, tr) { // it was lost, and the other took its place
		c.standBy(tr)
	}
	w, err := tr.tape.Join(t.Format, t.Arrived)
	if err != nil {
		return vendorError("Join", l, err)
	}
	if tr.client != nil {
		tr.client.begins(l, w.Start(), t.Request)
		c.session.Cut(tr.ref, w.Start())
	}
	tr.format, tr.speaker = t.Format, t.Speaker
	c.publish(event.Event{Kind: event.TrackJoined, Track: tr.about(), State: &event.State{Leg: l.key, Reason: t.Speaker.Evidence, Text: t.Format.String()}})
	if before == tr {
		before = nil
	}
	return l.feed(tr, before, w)
}

// The call's own reasons to discard audio.
const (
	DiscardThirdVoice = "third_voice" // routes[].third_voice is ignore
	DiscardMixed      = "mixed"       // several voices on one track, and nobody said as whom to hear it
	DiscardStandby    = "standby"     // another track of the speaker is heard
	DiscardCallEnded  = "call_ended"  // no result came before the call was over
)

// newTrack makes a track and decides who hears it. It goes on where before ended, unless
// that is nil. c.mu is held.
func (c *Call) newTrack(key trackKey, t adapter.Track, before *track) *track {
	tr := &track{
		ref:     event.TrackRef{Number: c.lastTrack + 1, Leg: key.leg, Track: string(key.track), Speaker: t.Speaker.ID, Role: string(t.Speaker.Role)},
		speaker: t.Speaker, joined: time.Now(), rate: t.Format.Rate,
	}
	if t.Speaker.Role != adapter.RoleEndUser && t.Speaker.Role != adapter.RoleHumanAgent {
		tr.ref.Role = string(adapter.RoleOther)
	}
	c.lastTrack++
	tr.tape = c.newTape(tr, t)
	if before != nil {
		tr.paused = before.paused
		t.Language = cmp.Or(t.Language, before.session.Language)
	}
	if l := c.live[key.leg]; l != nil && l.held {
		tr.tape.Hold(true)
	}
	c.addTrack(key, tr, assist.Track{Language: t.Language, Client: c.newClient(tr, t.Participant)})
	return tr
}

// addTrack decides who hears a track. c.mu is held.
func (c *Call) addTrack(key trackKey, tr *track, session assist.Track) {
	heard := tr.ref
	tr.heard = true
	if tr.ref.Role == string(adapter.RoleOther) && tr.client == nil {
		tr.heard = c.thirdVoice == ThirdVoiceParticipant && !tr.speaker.Mixed
		switch {
		case tr.speaker.Mixed:
			tr.tape.Refuse(DiscardMixed)
		case !tr.heard:
			tr.tape.Refuse(DiscardThirdVoice)
		}
		heard.Role = string(adapter.RoleHumanAgent)
	}
	tr.tape.Withhold(c.paused != "" || tr.paused)
	if c.leaving {
		tr.tape.Leave()
	}
	session.Ref, session.Audio = heard, tr.tape.Reader()
	tr.session = session
	c.tracks[key] = tr
	c.order = append(c.order, tr)
	switch {
	case tr.heard && c.othersHeard(key, tr):
		c.standBy(tr)
	case tr.heard:
		tr.added = true
		c.session.Add(tr.session)
	}
	c.promote()
}

// standBy lets a track wait while another of its speaker is heard. c.mu is held.
func (c *Call) standBy(tr *track) {
	tr.heard, tr.standby = false, true
	tr.tape.Refuse(DiscardStandby)
	c.publish(event.Event{Kind: event.Warning, Track: tr.about(), Problem: &event.Problem{Code: "standby",
		Text: fmt.Sprintf("speaker %s is heard on another track already; this one stands by", tr.speaker.ID)}})
}

// promote lets tracks that stand by be heard when their speaker's other track has
// gone. c.mu is held.
func (c *Call) promote() {
	for key, tr := range c.tracks {
		if tr.standby && c.live[key.leg] != nil && !c.othersHeard(key, tr) {
			tr.heard, tr.standby = true, false
			tr.tape.Refuse("")
			if !tr.added {
				tr.added = true
				c.session.Add(tr.session)
			}
		}
	}
}

// othersHeard reports whether another current track of the speaker is heard. c.mu is held.
func (c *Call) othersHeard(key trackKey, tr *track) bool {
	for k, other := range c.tracks {
		if k != key && other.heard && other.speaker.ID == tr.speaker.ID && c.live[k.leg] != nil {
			return true
		}
	}
	return false
}

// note applies what a note means for the tapes and logs it.
func (c *Call) note(l *leg, n adapter.Note) {
	c.mu.Lock()
	switch n.Kind {
	case adapter.NoteHold:
		l.held = true
	case adapter.NoteResume:
		l.held = false
	case adapter.NoteMetadata:
		c.attributes.learn(n.Fields, n.Aliases)
	}
	var about *event.TrackRef
	for key, tr := range c.tracks {
		if key.leg != l.key || n.Track != "" && n.Track != key.track {
			continue
		}
		if n.Track != "" {
			about = tr.about()
		}
		switch n.Kind {
		case adapter.NotePause:
			tr.paused = true
			tr.tape.Withhold(true)
		case adapter.NoteResume:
			tr.paused = false
			tr.tape.Withhold(c.paused != "")
			tr.tape.Hold(false)
		case adapter.NoteHold:
			tr.tape.Hold(true)
		case adapter.NoteLanguage:
			tr.session.Language = n.Text // for a track that is added later, or goes on from this one
			if tr.heard {
				c.session.SetLanguage(tr.ref, n.Text)
			}
		case adapter.NoteGap:
			tr.tape.Announce(n.Samples)
		case adapter.NoteDropped:
			tr.tape.Dropped(n.Samples, n.Text)
		}
	}
	c.mu.Unlock()
	switch n.Kind {
	case adapter.NoteGap, adapter.NoteDropped, adapter.NoteFinish: // the ledger tells
	default:
		at := n.At
		if at.IsZero() {
			at = time.Now()
		}
		c.publish(event.Event{Kind: event.VendorNote, Track: about, Note: &event.Note{Kind: string(n.Kind), Text: n.Text, Fields: n.Fields, Aliases: n.Aliases, At: at}})
	}
}
