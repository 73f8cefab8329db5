package call

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/assist"
	"github.com/patchbay/patchbay/core/event"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/tape"
)

// DiscardTooOld is why the audio of a call is given up that an earlier process left
// longer ago than Limits.RecoverAge.
const DiscardTooOld = "too_old"

// Recover takes up the calls that an earlier process of this host left in the spool:
// each waits Limits.ReattachGrace for its legs, sends what was not settled, and ends.
// It returns how many there are. It must run before any leg comes.
func (m *Manager) Recover(ctx context.Context) int {
	if m.cfg.Spool == nil {
		return 0
	}
	calls := make(map[string]*predecessor)
	for _, j := range m.cfg.Spool.Journals() {
		p, err := readJournal(j)
		switch {
		case errors.Is(err, errFinished):
			j.Discard()
		case err != nil:
			m.log.Error("a call of an earlier run cannot be read and is given up", "err", err)
			j.Discard()
		default:
			calls[p.ID] = p
		}
	}
	for _, r := range m.cfg.Spool.Recovered() {
		var h tapeHead
		if err := json.Unmarshal(r.Meta, &h); err != nil || calls[h.Call] == nil {
			m.log.Info("spooled audio of a call that needs nothing more is deleted", "call", h.Call)
			r.Discard()
			continue
		}
		p := calls[h.Call]
		p.tapes = append(p.tapes, leftTape{h, r})
	}
	n := 0
	for _, p := range calls {
		if err := m.takeUp(ctx, p); err != nil {
			m.log.Error("a call of an earlier run is given up", "call", p.ID, "adapter", p.Adapter, "err", err)
			p.discard()
			continue
		}
		n++
	}
	return n
}

func (p *predecessor) discard() {
	p.journal.Discard()
	for _, t := range p.tapes {
		t.file.Discard()
	}
}

// fits reports whether a route leads to the call's conversation, with credentials that
// are for such calls.
func (p *predecessor) fits(r Route) bool {
	for _, f := range [][2]string{{r.Match.Adapter, p.Adapter}, {r.Match.Tenant, p.Tenant}, {r.Match.Account, p.Account}} {
		if f[0] != "" && f[0] != f[1] {
			return false
		}
	}
	if p.Foreign != "" && len(r.Relay) == 0 {
		return false // its client could not go on
	}
	g := r.Google
	return g.Project == p.Project && g.Location == p.Location && g.Endpoint == p.Endpoint && g.QuotaProject == p.QuotaProject
}

// takeUp makes a live call of what an earlier process left of it.
func (m *Manager) takeUp(ctx context.Context, p *predecessor) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := callKey{p.Adapter, p.Account, p.Key}
	if m.live[key] != nil {
		return errors.New("another call has its key")
	}
	route := p.Route // unless the configuration has changed
	if route >= len(m.cfg.Routes) || !p.fits(m.cfg.Routes[route]) {
		route = slices.IndexFunc(m.cfg.Routes, p.fits)
	}
	if route < 0 {
		return fmt.Errorf("no route leads to its project %s any more; Google ends its conversation %s after a day", p.Project, p.Conversation)
	}
	resume := p.resume()
	conversation := assist.Conversation{
		Google: m.cfg.Routes[route].Google, Profile: p.Profile, ID: p.Conversation, Join: resume == nil, Named: p.Named, Resume: resume,
		Language: p.Language, Model: p.Model, Transport: p.Transport, WordTimes: p.WordTimes, StoreMissing: p.StoreMissing, Foreign: p.Foreign,
	}
	m.claims.take(p.Project, p.Conversation)
	params := callParams{
		id: p.ID, key: key, tenant: p.Tenant, route: route, thirdVoice: p.ThirdVoice, paused: p.Paused, roles: p.Roles,
		from: adapter.E164(p.From), to: adapter.E164(p.To), wanted: p.Wanted, conversation: conversation,
		stays: p.Keep, predecessor: p,
	}
	if err := m.enter(params); err != nil {
		return err
	}
	c := m.newCall(params)
	if err := c.takeUp(p); err != nil {
		m.leaves(c)
		return err
	}
	m.begin(ctx, c)
	return nil
}

// takeUp gives a new call the tracks of its predecessor.
func (c *Call) takeUp(p *predecessor) error {
	journal, err := p.journal.Resume()
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.journal = journal
	c.paused = p.pausedFor()
	c.attributes.relearn(p)
	c.relabel(p.events)
	c.lastTrack = p.lastTrack()
	age := time.Since(p.Started)
	tooOld := age > c.limits.RecoverAge
	slices.SortFunc(p.tapes, func(a, b leftTape) int { return a.Ref.Number - b.Ref.Number })
	for _, left := range p.tapes {
		pos, finals := p.settled(left.Ref.Number)
		t, err := tape.FromSpool(left.file, pos, c.limits.TapeBytes)
		if err != nil {
			return err
		}
		c.restore(left, t, finals, earlierOf(p.events, left.Ref.Number))
		if tooOld {
			t.Refuse(DiscardTooOld)
		}
	}
	p.events, p.tapes, p.journal = nil, nil, nil
	text := fmt.Sprintf("the host has restarted; waiting %v for the call's legs to come back", c.limits.ReattachGrace)
	if c.wait, c.lost = c.limits.ReattachGrace, true; tooOld {
		c.wait, c.lost = 0, false
		text = fmt.Sprintf("the host has restarted %v after the call began; it is closed without the audio that was left", age.Round(time.Minute))
	}
	c.publish(event.Event{Kind: event.Warning, Problem: &event.Problem{Code: "host_restarted", Text: text}})
	c.log.Warn("call of an earlier run taken up", "conversation", c.conversation.ID, "age", age.Round(time.Second), "tracks", len(c.order), "too_old", tooOld)
	return nil
}

// restore adds a track of the predecessor, whose leg has gone. c.mu is held.
func (c *Call) restore(left leftTape, t *tape.Tape, finals int, earlier []int) {
	tr := &track{ref: left.Ref, speaker: left.Speaker, earlier: earlier, format: t.Format(), rate: t.Format().Rate, tape: t, joined: time.Now()}
	client := c.newClient(tr, left.Participant)
	if tr.client != nil {
		tr.client.begins(nil, 0, left.Request)
	}
	c.addTrack(trackKey{tr.ref.Leg, media.TrackID(tr.ref.Track)}, tr, assist.Track{Language: left.Language, Finals: finals, Client: client})
	c.log.Info("audio of an earlier run", "track", tr.ref.Track, "role", tr.ref.Role, "pending", tr.format.Duration(t.Ledger().Pending))
}
