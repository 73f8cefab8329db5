package call

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/patchbay/patchbay/core/assist"
	"github.com/patchbay/patchbay/core/event"
	"github.com/patchbay/patchbay/core/tape"
)

// Summary is a call in one line.
type Summary struct {
	ID           string    `json:"id" doc:"Patchbay's id of the call."`
	Key          string    `json:"key" doc:"The vendor's id of the call."`
	Adapter      string    `json:"adapter"`
	Account      string    `json:"account,omitempty" doc:"The vendor's account that was verified."`
	Tenant       string    `json:"tenant"`
	Conversation string    `json:"conversation" doc:"Id of the Agent Assist conversation; in a single call's answer its full name, once it exists."`
	State        State     `json:"state" enum:"active,ending,ended"`
	Started      time.Time `json:"started"`
	Ended        time.Time `json:"ended,omitzero"`
	Legs         int       `json:"legs" doc:"Live legs."`
	Paused       string    `json:"paused,omitempty" doc:"Why the call's audio is withheld, if it is."`
}

// Info is everything about a call but what was said.
type Info struct {
	Summary
	From       string            `json:"from,omitempty"`
	To         string            `json:"to,omitempty"`
	Route      int               `json:"route" doc:"Index of the route that matched."`
	Profile    string            `json:"profile"`
	Aliases    []string          `json:"aliases,omitempty" doc:"Further names that find the call, such as the session that the vendor's desktop shows."`
	Attributes map[string]string `json:"attributes,omitempty" doc:"What the vendor told of the call, by its own names."`
	LegList    []LegInfo         `json:"leg_list" doc:"All legs, in order of arrival."`
	Tracks     []TrackInfo       `json:"tracks"`
	Session    assist.Info       `json:"session" doc:"Participants and streams at Agent Assist."`
	LastSeq    uint64            `json:"last_seq" doc:"Seq of the newest event."`
}

// LegInfo is one leg.
type LegInfo struct {
	Key     string    `json:"key"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended,omitzero"`
	Reason  string    `json:"reason,omitempty" doc:"Why it ended."`
	Text    string    `json:"text,omitempty"`
}

// TrackInfo is one track and its account.
type TrackInfo struct {
	event.TrackRef
	Evidence string `json:"evidence,omitempty" doc:"Where the role comes from."`
	Assumed  bool   `json:"assumed,omitempty" doc:"The role is a default that nobody stated."`
	Mixed    bool   `json:"mixed,omitempty" doc:"It carries several voices."`
	// StoredRole is where a correction came too late; see event.Correction.
	StoredRole string `json:"stored_role,omitempty" doc:"The role under which Agent Assist keeps what was said on this track, where that has been corrected since."`
	Earlier    []int  `json:"earlier,omitempty" doc:"Numbers of the tracks that this one continues, since their role was corrected."`
	Format     string `json:"format"`
	Rate       int    `json:"rate" doc:"Samples per second."`
	Heard      bool   `json:"heard" doc:"Its audio goes to Agent Assist."`
	// LastAudio is when its newest audio arrived, or it was joined.
	LastAudio time.Time   `json:"last_audio,omitzero"`
	Ledger    tape.Ledger `json:"ledger"`
}

// ID returns patchbay's id of the call.
func (c *Call) ID() string { return c.id }

// Tenant returns whose call it is.
func (c *Call) Tenant() string { return c.tenant }

// Events returns the call's log.
func (c *Call) Events() *event.Log { return c.events }

// Summary returns the call in one line.
func (c *Call) Summary() Summary {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.summary()
}

// conversationID returns the id that the conversation got in the end, or will get.
func (c *Call) conversationID() string {
	name := c.session.Info().Conversation
	return cmp.Or(name[strings.LastIndex(name, "/")+1:], c.conversation.ID)
}

func (c *Call) summary() Summary {
	return Summary{
		ID: c.id, Key: c.key.key, Adapter: c.key.adapter, Account: c.key.account, Tenant: c.tenant,
		Conversation: c.conversationID(), State: c.state, Started: c.started, Ended: c.ended, Legs: len(c.live), Paused: c.paused,
	}
}

// Info returns everything about the call but what was said.
func (c *Call) Info() Info {
	session := c.session.Info()
	c.mu.Lock()
	defer c.mu.Unlock()
	i := Info{
		Summary: c.summary(), From: string(c.from), To: string(c.to), Route: c.route, Profile: c.conversation.Profile,
		Session: session, LastSeq: c.events.LastSeq(),
	}
	if session.Conversation != "" {
		i.Conversation = session.Conversation
	}
	i.Aliases, i.Attributes = slices.Clone(c.attributes.aliases), maps.Clone(c.attributes.fields)
	for _, l := range c.legs {
		l.mu.Lock()
		i.LegList = append(i.LegList, LegInfo{Key: l.key, Started: l.started, Ended: l.ended, Reason: string(l.end.Kind), Text: l.end.Text})
		l.mu.Unlock()
	}
	for _, tr := range c.order {
		i.Tracks = append(i.Tracks, c.trackInfo(tr))
	}
	return i
}

// Feedback tells Agent Assist, and the call's log, what the agent did with a
// suggestion.
func (c *Call) Feedback(ctx context.Context, f event.Feedback) error {
	return c.session.Feedback(ctx, f)
}
