package call

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/event"
	"github.com/patchbay/patchbay/core/media"
)

// voice is a speaker on a track of the vendor's. Without speaker it is whoever speaks
// there.
type voice struct {
	trackKey
	speaker string
}

// said is what a person said of a voice.
type said struct {
	role     adapter.Role
	evidence string
}

// Errors of CorrectRole.
var (
	ErrNoTrack    = errors.New("the call has no such track")
	ErrAmbiguous  = errors.New("several tracks go by that name")
	ErrNotOurs    = errors.New("the conversation is a client's own, and so are its roles")
	ErrManyTracks = errors.New("the call has too many tracks already")
)

// byPerson is the evidence of a role without a reason.
const byPerson = "corrected by a person"

// CorrectRole says who speaks on a track, named by the vendor's name of it or by its
// number, as "@3". What was recognised of it before is shown under that role from now on; the
// audio that follows goes to another participant of Agent Assist, whose earlier messages
// stay as they are. It holds for this speaker of the track against all that the adapter
// says later, and for later speakers against a role that is a mere default. reason is
// for people.
func (c *Call) CorrectRole(name string, role adapter.Role, reason string) (TrackInfo, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != Active {
		return TrackInfo{}, ErrOver
	}
	if c.conversation.Foreign != "" {
		return TrackInfo{}, ErrNotOurs
	}
	tr, err := c.trackNamed(name)
	if err != nil {
		return TrackInfo{}, err
	}
	key := trackKey{tr.ref.Leg, media.TrackID(tr.ref.Track)}
	was, current := tr.speaker, c.tracks[key] == tr
	now := was
	now.Role, now.Evidence, now.Assumed = role, byPerson, false
	if reason != "" {
		now.Evidence += ": " + reason
	}
	if current && role != was.Role {
		if tr, err = c.replace(key, tr, now); err != nil {
			return TrackInfo{}, err
		}
	} else {
		tr.speaker = now
	}
	if c.said == nil {
		c.said = make(map[voice]said)
	}
	c.said[voice{key, now.ID}] = said{role, now.Evidence}
	if current {
		c.said[voice{key, ""}] = said{role, now.Evidence}
	} else if !slices.Contains(tr.earlier, tr.ref.Number) { // its audio is over: only the log is shown anew
		tr.earlier = append(tr.earlier, tr.ref.Number)
	}
	c.corrected(tr, was, true)
	c.log.Info("role corrected", "track", tr.ref.Track, "role", role)
	return c.trackInfo(tr), nil
}

// trackNamed returns the current track with the vendor's name, or the one with a number,
// "@3" or just "3", also if it is one that another continues. Vendors use numbers as names,
// too. c.mu is held.
func (c *Call) trackNamed(name string) (*track, error) {
	var found *track
	for key, tr := range c.tracks {
		if string(key.track) == name {
			if found != nil {
				return nil, ErrAmbiguous
			}
			found = tr
		}
	}
	if n, err := strconv.Atoi(strings.TrimPrefix(name, "@")); err == nil {
		for _, tr := range slices.Backward(c.order) {
			if tr.ref.Number != n && !slices.Contains(tr.earlier, n) {
				continue
			}
			if found != nil && found != tr {
				return nil, ErrAmbiguous
			}
			return tr, nil
		}
	}
	if found == nil {
		return nil, ErrNoTrack
	}
	return found, nil
}

// replace lets a track go on as another, with another role. c.mu is held.
func (c *Call) replace(key trackKey, old *track, now adapter.Speaker) (*track, error) {
	if len(c.order) >= c.limits.TracksPerCall {
		return nil, ErrManyTracks
	}
	tr := c.newTrack(key, adapter.Track{Format: old.format, Speaker: now}, old)
	tr.format = old.format
	tr.earlier = append(slices.Clone(old.earlier), old.ref.Number)
	l := c.live[key.leg]
	if l == nil { // the next Join goes on with it
		old.tape.End()
		return tr, nil
	}
	w, err := tr.tape.Join(old.format, time.Time{})
	if err != nil {
		return nil, err
	}
	l.divert(tr, old, w)
	return tr, nil
}

// wrong reports whether what was said of a track's speaker was wrong from the start:
// not a change of speakers. A customer who turns out to be the agent was the agent all
// along; a voice that was neither is another one.
func wrong(was, is adapter.Speaker) bool {
	switch {
	case was.Role == is.Role:
		return false
	case was.ID == is.ID, was.Assumed:
		return true
	}
	return was.Role != adapter.RoleOther && is.Role != adapter.RoleOther
}

// heed returns the speaker of a track as people have said. c.mu is held.
func (c *Call) heed(key trackKey, s adapter.Speaker) adapter.Speaker {
	word, ok := c.said[voice{key, s.ID}]
	if !ok && s.Assumed {
		word, ok = c.said[voice{key, ""}]
	}
	if ok {
		s.Role, s.Evidence, s.Assumed = word.role, word.evidence, false
	}
	return s
}

// corrected tells of the speaker of a track, who was another until now. c.mu is held.
func (c *Call) corrected(tr *track, was adapter.Speaker, person bool) {
	about := tr.about()
	about.Role = string(tr.speaker.Role)
	correction := &event.Correction{Speaker: tr.speaker.ID, Role: about.Role, Evidence: tr.speaker.Evidence, Person: person, Earlier: slices.Clone(tr.earlier)}
	text := fmt.Sprintf("track %s is %s (%s) from here on, not %s (%s)", tr.ref.Track, tr.speaker.ID, tr.speaker.Role, was.ID, was.Role)
	if len(tr.earlier) > 0 {
		text += "; what was said before is shown so too, and stays as it is at Agent Assist"
	}
	if was.ID == tr.speaker.ID && was.Role == tr.speaker.Role {
		text = fmt.Sprintf("track %s is %s (%s), as a person confirms", tr.ref.Track, tr.speaker.ID, tr.speaker.Role)
	}
	e := event.Event{Kind: event.RoleCorrected, Track: about, Correction: correction, State: &event.State{Reason: tr.speaker.Evidence, Text: text}}
	c.label(e)
	c.publish(e)
}

// label takes what a correction says of earlier tracks. c.mu is held.
func (c *Call) label(e event.Event) {
	next := event.Labels{}
	if now := c.labels.Load(); now != nil {
		next = maps.Clone(*now)
	}
	next.Learn(e)
	c.labels.Store(&next)
}

// relabel takes what an earlier process of the host was told of roles. c.mu is held.
func (c *Call) relabel(events []event.Event) {
	for _, e := range events {
		if e.Correction == nil || e.Track == nil {
			continue
		}
		c.label(e)
		if !e.Correction.Person {
			continue
		}
		if c.said == nil {
			c.said = make(map[voice]said)
		}
		key := trackKey{e.Track.Leg, media.TrackID(e.Track.Track)}
		word := said{adapter.Role(e.Correction.Role), e.Correction.Evidence}
		c.said[voice{key, e.Correction.Speaker}] = word
		if !slices.Contains(e.Correction.Earlier, e.Track.Number) {
			c.said[voice{key, ""}] = word
		}
	}
}

// earlierOf returns the numbers that a track continues, as the events tell.
func earlierOf(events []event.Event, number int) (earlier []int) {
	for _, e := range events {
		if e.Correction != nil && e.Track != nil && e.Track.Number == number {
			earlier = e.Correction.Earlier
		}
	}
	return slices.Clone(earlier)
}

// trackInfo returns a track and its account. c.mu is held.
func (c *Call) trackInfo(tr *track) TrackInfo {
	i := TrackInfo{
		TrackRef: tr.ref, Evidence: tr.speaker.Evidence, Assumed: tr.speaker.Assumed, Mixed: tr.speaker.Mixed,
		Format: tr.format.Encoding.String(), Rate: tr.format.Rate, Heard: tr.heard,
		LastAudio: tr.lastAudio(), Ledger: tr.tape.Ledger(), Earlier: slices.Clone(tr.earlier),
	}
	if labels := c.labels.Load(); labels != nil {
		if l, ok := (*labels)[tr.ref.Number]; ok {
			i.Speaker, i.Role, i.Evidence, i.Assumed = l.Speaker, l.Role, cmp.Or(l.Evidence, i.Evidence), false
		}
	}
	if i.Role != tr.ref.Role {
		i.StoredRole = tr.ref.Role
	}
	return i
}
