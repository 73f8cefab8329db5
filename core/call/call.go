package call

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/assist"
	"github.com/patchbay/patchbay/core/event"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/redact"
	"github.com/patchbay/patchbay/core/tape"
)

// State is where a call is in its life.
type State string

// The states of a call, in order.
const (
	Active State = "active" // takes legs and audio
	Ending State = "ending" // the last leg has gone; results may still come
	Ended  State = "ended"
)

// callParams is what admission decided about a call.
type callParams struct {
	id           string
	key          callKey
	tenant       string
	route        int
	thirdVoice   ThirdVoice
	paused       bool // from the start
	roles        map[media.TrackID]adapter.Role
	limits       Limits
	from, to     adapter.E164
	wanted       string // conversation id before any suffix
	conversation assist.Conversation
	// over takes the call out of the way of new legs, unless it has live ones and is
	// not forced; it reports whether it did.
	over func(c *Call, force bool) bool
}

// Call is one customer interaction: its legs, their tracks, its Agent Assist
// session and its log.
type Call struct {
	callParams
	log     *slog.Logger
	events  *event.Log
	publish func(event.Event) // through masking into events
	session *assist.Session
	started time.Time
	cancel  context.CancelFunc // cuts the call off; set before run

	mu      sync.Mutex
	state   State
	ended   time.Time
	live    map[string]*leg // by leg key
	legs    []*leg          // all, in order of arrival
	tracks  map[trackKey]*track
	order   []*track      // all, in order of arrival
	paused  string        // why the call's audio is withheld; empty when it is not
	lost    bool          // the last leg went without a goodbye
	changed chan struct{} // holds a token when run should look at live
}

func newCall(p callParams, pool *assist.Pool, log *slog.Logger) *Call {
	c := &Call{
		callParams: p, started: time.Now(), state: Active,
		log:     log.With("call", p.id, "adapter", p.key.adapter),
		events:  event.NewLog(p.id),
		live:    make(map[string]*leg),
		tracks:  make(map[trackKey]*track),
		changed: make(chan struct{}, 1),
	}
	c.conversation.Call = p.id
	if p.paused {
		c.paused = pausedByRoute
	}
	c.publish = redact.New(c.events.Append).Publish
	c.session = pool.NewSession(c.conversation, c.publish, log)
	return c
}

// maxLegHistory bounds how many ended legs a call remembers.
const maxLegHistory = 256

// open adds a leg. A live leg with the same key is taken over. The manager calls
// it with its lock held; it waits for nothing.
func (c *Call) open(info adapter.LegInfo) (*leg, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != Active {
		return nil, &adapter.Refusal{Reason: adapter.RefusedGone, Text: "the call is ending"}
	}
	old := c.live[info.LegKey]
	if old == nil && len(c.live) >= c.limits.LegsPerCall {
		return nil, &adapter.Refusal{Reason: adapter.RefusedFull, Text: fmt.Sprintf("the call has %d legs; limits.legs_per_call allows no more", len(c.live))}
	}
	if old != nil {
		reason := adapter.EndReason{Kind: adapter.EndTakeover, Text: "another leg came with the same key"}
		old.tell(adapter.Control{Kind: adapter.ControlEnd, Reason: reason.Text})
		old.finish(reason)
		c.publish(event.Event{Kind: event.LegEnded, State: &event.State{Adapter: c.key.adapter, Leg: old.key, Reason: string(reason.Kind), Text: reason.Text}})
	}
	if len(c.legs) == 0 {
		c.publish(event.Event{Kind: event.CallStarted, State: &event.State{Adapter: c.key.adapter}})
		c.log.Info("call started", "conversation", c.conversation.ID, "route", c.route, "to", c.to)
		if c.conversation.ID != c.wanted {
			c.publish(event.Event{Kind: event.Warning, Problem: &event.Problem{Code: "conversation_renamed",
				Text: fmt.Sprintf("conversation %s belongs to another call or is over; this call is %s", c.wanted, c.conversation.ID)}})
		}
	}
	l := newLeg(c, info.LegKey)
	c.live[l.key] = l
	c.legs = append(c.legs, l)
	if len(c.legs) > maxLegHistory {
		c.legs = slices.DeleteFunc(c.legs, func(l *leg) bool { return c.live[l.key] != l })
	}
	if c.paused != "" {
		l.tell(adapter.Control{Kind: adapter.ControlPause, Reason: c.paused})
	}
	c.publish(event.Event{Kind: event.LegJoined, State: &event.State{Adapter: c.key.adapter, Leg: l.key,
		Text: fmt.Sprintf("account %s, verified by %s", info.Principal.Account, info.Principal.Method)}})
	c.wake()
	return l, nil
}

func (c *Call) wake() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// join begins a segment of a track. A track whose speaker changed continues as
// another one, under another participant.
func (c *Call) join(l *leg, id media.TrackID, t adapter.Track) (*tape.Writer, error) {
	if err := t.Format.Validate(); err != nil {
		return nil, vendorError("Join", l, err)
	}
	if role, ok := c.roles[id]; ok && role != t.Speaker.Role {
		t.Speaker = adapter.Speaker{ID: string(role), Role: role, Evidence: fmt.Sprintf("routes[%d].roles", c.route)}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.live[l.key] != l {
		return nil, adapter.ErrClosed
	}
	key := trackKey{l.key, id}
	tr := c.tracks[key]
	if tr != nil && (tr.speaker.ID != t.Speaker.ID || tr.speaker.Role != t.Speaker.Role) {
		c.publish(event.Event{Kind: event.RoleCorrected, Track: &tr.ref, State: &event.State{
			Reason: t.Speaker.Evidence, Text: fmt.Sprintf("track %s is %s (%s) from here on, not %s", id, t.Speaker.ID, t.Speaker.Role, tr.speaker.ID)}})
		tr.tape.End()
		tr = nil
	}
	if tr == nil {
		if len(c.order) >= c.limits.TracksPerCall {
			return nil, vendorError("Join", l, fmt.Errorf("the call has %d tracks; limits.tracks_per_call allows no more", len(c.order)))
		}
		tr = c.newTrack(key, t)
	}
	w, err := tr.tape.Join(t.Format, t.Arrived)
	if err != nil {
		return nil, vendorError("Join", l, err)
	}
	tr.format = t.Format
	c.publish(event.Event{Kind: event.TrackJoined, Track: &tr.ref, State: &event.State{Leg: l.key, Reason: t.Speaker.Evidence, Text: t.Format.String()}})
	return w, nil
}

// The call's own reasons to discard audio.
const (
	DiscardThirdVoice = "third_voice" // routes[].third_voice is ignore
	DiscardStandby    = "standby"     // another track of the speaker is heard
	DiscardCallEnded  = "call_ended"  // no result came before the call was over
)

// newTrack makes a track and decides who hears it. c.mu is held.
func (c *Call) newTrack(key trackKey, t adapter.Track) *track {
	tr := &track{
		ref:     event.TrackRef{Leg: key.leg, Track: string(key.track), Speaker: t.Speaker.ID, Role: string(t.Speaker.Role)},
		speaker: t.Speaker, tape: tape.New(c.limits.TapeBytes), joined: time.Now(),
	}
	heard := tr.ref
	switch t.Speaker.Role {
	case adapter.RoleEndUser, adapter.RoleHumanAgent:
		tr.heard = true
	default:
		tr.ref.Role = string(adapter.RoleOther)
		if tr.heard = c.thirdVoice == ThirdVoiceParticipant; !tr.heard {
			tr.tape.Refuse(DiscardThirdVoice)
		}
		heard.Role = string(adapter.RoleHumanAgent)
	}
	tr.tape.Withhold(c.paused != "")
	tr.session = assist.Track{Ref: heard, Audio: tr.tape.Reader(), Language: t.Language}
	c.tracks[key] = tr
	c.order = append(c.order, tr)
	switch {
	case tr.heard && c.othersHeard(key, tr):
		tr.heard, tr.standby = false, true
		tr.tape.Refuse(DiscardStandby)
		c.publish(event.Event{Kind: event.Warning, Track: &tr.ref, Problem: &event.Problem{Code: "standby",
			Text: fmt.Sprintf("speaker %s is heard on another track already; this one stands by", t.Speaker.ID)}})
	case tr.heard:
		c.session.Add(tr.session)
	}
	c.promote()
	return tr
}

// promote lets tracks that stand by be heard when their speaker's other track has
// gone. c.mu is held.
func (c *Call) promote() {
	for key, tr := range c.tracks {
		if tr.standby && c.live[key.leg] != nil && !c.othersHeard(key, tr) {
			tr.heard, tr.standby = true, false
			tr.tape.Refuse("")
			c.session.Add(tr.session)
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
	var about *event.TrackRef
	for key, tr := range c.tracks {
		if key.leg != l.key || n.Track != "" && n.Track != key.track {
			continue
		}
		if n.Track != "" {
			about = &tr.ref
		}
		switch n.Kind {
		case adapter.NotePause:
			tr.paused = true
			tr.tape.Withhold(true)
		case adapter.NoteResume:
			tr.paused = false
			tr.tape.Withhold(c.paused != "")
		case adapter.NoteGap:
			tr.tape.Announce(n.Samples)
		case adapter.NoteDropped:
			tr.tape.Dropped(n.Samples, n.Text)
		}
	}
	c.mu.Unlock()
	switch n.Kind {
	case adapter.NoteGap, adapter.NoteDropped: // the ledger tells
	default:
		at := n.At
		if at.IsZero() {
			at = time.Now()
		}
		c.publish(event.Event{Kind: event.VendorNote, Track: about, Note: &event.Note{Kind: string(n.Kind), Text: n.Text, Fields: n.Fields, At: at}})
	}
}

// legClosed takes a leg out of the call: its tapes wait for a leg that takes over,
// or for the end of the call.
func (c *Call) legClosed(l *leg, reason adapter.EndReason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.live[l.key] != l {
		return
	}
	delete(c.live, l.key)
	for key, tr := range c.tracks {
		if key.leg == l.key {
			tr.tape.Park()
		}
	}
	c.promote()
	c.lost = reason.Kind != adapter.EndHangup && reason.Kind != adapter.EndOrdered && reason.Kind != adapter.EndShutdown
	c.publish(event.Event{Kind: event.LegEnded, State: &event.State{Adapter: c.key.adapter, Leg: l.key, Reason: string(reason.Kind), Text: reason.Text}})
	c.log.Info("leg ended", "reason", reason.Kind)
	c.wake()
}

// drain asks every leg to end.
func (c *Call) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.live {
		l.tell(adapter.Control{Kind: adapter.ControlEnd, Reason: "the host is shutting down"})
	}
}

// run is the life of the call from its first leg to the end of its log. Cutting
// ctx off ends it at once.
func (c *Call) run(ctx context.Context) {
	sessionCtx, abandon := context.WithCancel(ctx)
	defer abandon()
	session := make(chan error, 1)
	go func() { session <- c.session.Run(sessionCtx) }()

	c.untilOver(ctx)
	c.end(ctx)
	c.session.Finish()

	wrapUp := time.NewTimer(c.limits.WrapUp)
	defer wrapUp.Stop()
	var err error
	select {
	case err = <-session:
	case <-wrapUp.C:
		abandon()
		err = <-session
	}
	c.close(err)
}

// untilOver returns a grace period after the last leg has gone, or when ctx ends.
func (c *Call) untilOver(ctx context.Context) {
	grace := time.NewTimer(c.limits.LostGrace)
	defer grace.Stop()
	for {
		c.mu.Lock()
		legs, lost := len(c.live), c.lost
		c.mu.Unlock()
		var over <-chan time.Time
		if legs == 0 {
			d := c.limits.Grace
			if lost {
				d = c.limits.LostGrace
			}
			grace.Reset(d)
			over = grace.C
		}
		select {
		case <-c.changed:
			continue
		case <-over:
		case <-ctx.Done():
		}
		if c.over(c, ctx.Err() != nil) {
			return
		}
	}
}

// end closes what legs are left and ends the tapes.
func (c *Call) end(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	reason := adapter.EndReason{Kind: adapter.EndOrdered, Text: "the call was cut off"}
	for _, l := range c.live {
		l.tell(adapter.Control{Kind: adapter.ControlEnd, Reason: reason.Text})
		l.finish(reason)
	}
	clear(c.live)
	for _, tr := range c.order {
		tr.tape.End()
	}
	text := "the last leg has gone"
	if ctx.Err() != nil {
		text = reason.Text
	}
	c.publish(event.Event{Kind: event.CallEnding, State: &event.State{Text: text}})
}

// close settles the account and ends the log.
func (c *Call) close(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state, c.ended = Ended, time.Now()
	reason := "completed"
	if err != nil {
		reason = "failed"
	}
	for _, tr := range c.order {
		tr.tape.Close(DiscardCallEnded)
		l := tr.tape.Ledger()
		attrs := []any{"track", tr.ref.Track, "role", tr.ref.Role, "arrived", l.Arrived, "recognised", l.Recognised,
			"silent", l.Silent, "unrecognised", l.Unrecognised, "withheld", l.Withheld, "lost", l.Lost, "replayed", l.Replayed}
		for _, k := range slices.Sorted(maps.Keys(l.Discarded)) {
			attrs = append(attrs, "discarded_"+k, l.Discarded[k])
		}
		c.log.Info("track ended", attrs...)
		if err := l.Balanced(); err != nil {
			c.log.Error("the account of a track does not add up; please report this", "track", tr.ref.Track, "err", err)
		}
	}
	c.publish(event.Event{Kind: event.CallEnded, State: &event.State{Reason: reason}})
	c.events.Close()
	if err != nil {
		c.log.Warn("call ended without its conversation in order", "err", err, "length", c.ended.Sub(c.started).Round(time.Millisecond))
		return
	}
	c.log.Info("call ended", "length", c.ended.Sub(c.started).Round(time.Millisecond))
}

func (c *Call) endedAt() (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended, c.state == Ended
}
