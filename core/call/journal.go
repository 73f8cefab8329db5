package call

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/assist"
	"github.com/patchbay/patchbay/core/event"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/tape"
	"github.com/patchbay/patchbay/core/tape/spool"
)

// head is the first record of a call's journal: what its events do not tell. A
// conversation's credentials are not in it; the route that leads to its project has
// them.
type head struct {
	ID         string                         `json:"id"`
	Adapter    string                         `json:"adapter"`
	Account    string                         `json:"account,omitempty"`
	Key        string                         `json:"key"`
	Tenant     string                         `json:"tenant"`
	From       string                         `json:"from,omitempty"`
	To         string                         `json:"to,omitempty"`
	Started    time.Time                      `json:"started"`
	Wanted     string                         `json:"wanted"`
	Route      int                            `json:"route"`
	Paused     bool                           `json:"paused,omitempty"` // from its start
	ThirdVoice ThirdVoice                     `json:"third_voice,omitempty"`
	Roles      map[media.TrackID]adapter.Role `json:"roles,omitempty"`
	Attributes map[string]string              `json:"attributes,omitempty"` // of its first leg
	Aliases    []string                       `json:"aliases,omitempty"`

	Project      string           `json:"project"`
	Location     string           `json:"location,omitempty"`
	Endpoint     string           `json:"endpoint,omitempty"`
	QuotaProject string           `json:"quota_project,omitempty"`
	Conversation string           `json:"conversation"`
	Profile      string           `json:"profile"`
	Language     string           `json:"language,omitempty"`
	Model        string           `json:"model,omitempty"`
	Transport    assist.Transport `json:"transport,omitempty"`
	WordTimes    bool             `json:"word_times,omitempty"`
	StoreMissing bool             `json:"store_missing,omitempty"`
	Foreign      string           `json:"foreign,omitempty"`
	Named        bool             `json:"named,omitempty"`
	Keep         bool             `json:"keep,omitempty"`
}

func (c *Call) head() head {
	v := c.conversation
	c.mu.Lock()
	defer c.mu.Unlock()
	return head{
		ID: c.id, Adapter: c.key.adapter, Account: c.key.account, Key: c.key.key, Tenant: c.tenant,
		From: string(c.from), To: string(c.to), Started: c.started, Wanted: c.wanted, Route: c.route,
		Paused: c.callParams.paused, ThirdVoice: c.thirdVoice, Roles: c.roles,
		Project: v.Google.Project, Location: v.Google.Location, Endpoint: v.Google.Endpoint, QuotaProject: v.Google.QuotaProject,
		Conversation: v.ID, Profile: v.Profile, Language: v.Language, Model: v.Model, Transport: v.Transport,
		WordTimes: v.WordTimes, StoreMissing: v.StoreMissing, Foreign: v.Foreign, Named: v.Named, Keep: c.stays,
		Attributes: maps.Clone(c.attributes.fields), Aliases: slices.Clone(c.attributes.aliases),
	}
}

// tapeHead describes a track in the files of its tape.
type tapeHead struct {
	Call     string          `json:"call"`
	Ref      event.TrackRef  `json:"ref"`
	Speaker  adapter.Speaker `json:"speaker"`
	Language string          `json:"language,omitempty"`
	// Of a client's stream; of several, the first.
	Participant string `json:"participant,omitempty"`
	Request     []byte `json:"request,omitempty"`
}

// newTape returns the tape of a track, in the spool if there is one.
func (c *Call) newTape(tr *track, t adapter.Track) *tape.Tape {
	if c.spool == nil {
		return tape.New(c.limits.TapeBytes)
	}
	meta, err := json.Marshal(tapeHead{Call: c.id, Ref: tr.ref, Speaker: tr.speaker, Language: t.Language, Participant: t.Participant, Request: t.Request})
	if err == nil {
		var spooled *tape.Tape
		if spooled, err = tape.NewSpooled(c.spool, meta, c.limits.TapeBytes); err == nil {
			return spooled
		}
	}
	c.log.Warn("a track is kept in memory alone", "track", tr.ref.Track, "err", err)
	return tape.New(c.limits.TapeBytes)
}

// journalPatience is how long results wait for a disk that hangs.
const journalPatience = 2 * time.Second

// keep writes the events that last to the call's journal, each before anybody sees
// it, until the log is complete. A disk that fails or hangs stops the writing, not the
// call.
func (c *Call) keep() {
	hung := time.AfterFunc(journalPatience, func() {
		c.log.Warn("the spool's disk hangs; the call goes on, and could not be taken up after a crash", "for", journalPatience)
		c.events.Free()
	})
	defer hung.Stop()
	err := c.openJournal()
	for seq := c.kept; err == nil; {
		hung.Stop()
		var events []event.Event
		if events, err = c.events.Unkept(context.Background(), seq); err != nil {
			return // the log is complete
		}
		hung.Reset(journalPatience)
		for _, e := range events {
			if err = c.write(e); err != nil {
				break
			}
			seq = e.Seq
			c.events.Kept(seq)
		}
	}
	c.events.Free()
	c.log.Warn("the call's journal cannot be written; the call goes on, and could not be taken up after a crash", "err", err)
}

// write puts an event into the journal. One that is larger than a journal takes, a
// suggestion with pages of text, is left out: what follows matters more.
func (c *Call) write(e event.Event) error {
	record, err := json.Marshal(e)
	if err != nil || len(record) > spool.MaxJournalRecord {
		c.log.Info("an event is not in the journal, and would be missing after a crash", "kind", e.Kind, "bytes", len(record), "err", err)
		return nil
	}
	return c.journal.Append(record)
}

// openJournal begins the journal, unless an earlier process did.
func (c *Call) openJournal() error {
	if c.journal != nil {
		return nil
	}
	text, err := json.Marshal(c.head())
	if err != nil {
		return err
	}
	c.journal, err = c.spool.Journal(text)
	return err
}

// predecessor is a call that an earlier process left in the spool.
type predecessor struct {
	head
	events  []event.Event
	tapes   []leftTape
	journal *spool.RecoveredJournal
}

type leftTape struct {
	tapeHead
	file *spool.Recovered
}

// errFinished means that nothing is left to do for a call.
var errFinished = errors.New("the call had ended")

// readJournal returns the call of a journal.
func readJournal(j *spool.RecoveredJournal) (*predecessor, error) {
	p := &predecessor{journal: j}
	if err := json.Unmarshal(j.Head, &p.head); err != nil {
		return nil, err
	}
	for _, record := range j.Records {
		var e event.Event
		if err := json.Unmarshal(record, &e); err != nil {
			return nil, err
		}
		if e.Kind == event.ConversationDone || e.Kind == event.CallEnded {
			return p, errFinished
		}
		p.events = append(p.events, e)
	}
	return p, nil
}

// resume is what the events tell of the conversation: nil when it may not exist yet.
func (p *predecessor) resume() *assist.Resume {
	r := assist.Resume{Participants: make(map[assist.Speaker]string)}
	for _, e := range p.events {
		switch {
		case e.Kind == event.ConversationReady && e.State != nil:
			r.Conversation = e.State.Conversation
		case e.Kind == event.ParticipantReady && e.State != nil && e.Track != nil:
			r.Participants[assist.Speaker{ID: e.Track.Speaker, Role: e.Track.Role}] = e.State.Participant
		}
	}
	if r.Conversation == "" {
		return nil
	}
	return &r
}

// settled is how far a track was settled, and how many of its utterances had come to
// their end, as the events tell.
func (p *predecessor) settled(number int) (pos int64, finals int) {
	for _, e := range p.events {
		switch {
		case e.Track == nil || e.Track.Number != number:
		case e.Kind == event.TranscriptFinal && e.Transcript != nil:
			finals++
			pos = max(pos, e.Transcript.EndPos)
		case e.Kind == event.StreamEnded && e.Stream != nil && e.Stream.Clean:
			pos = max(pos, e.Stream.ToPos)
		}
	}
	return pos, finals
}

// lastTrack is the highest number of a track.
func (p *predecessor) lastTrack() (last int) {
	for _, e := range p.events {
		if e.Track != nil {
			last = max(last, e.Track.Number)
		}
	}
	for _, t := range p.tapes {
		last = max(last, t.Ref.Number)
	}
	return last
}

// paused is why the call's audio was withheld, as the events tell.
func (p *predecessor) pausedFor() string {
	reason := ""
	if p.Paused {
		reason = pausedByRoute
	}
	for _, e := range p.events {
		switch {
		case e.Kind == event.CallResumed:
			reason = ""
		case e.Kind == event.CallPaused && e.State != nil:
			reason = e.State.Reason
		}
	}
	return reason
}
