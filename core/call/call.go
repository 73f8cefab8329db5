package call

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/assist"
	"github.com/patchbay/patchbay/core/event"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/redact"
	"github.com/patchbay/patchbay/core/tape/spool"
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
	stays        bool   // a named conversation stays open after the call
	lease        Lease  // the number that named the conversation
	ignored      string // why a conversation that was named is not the call's
	// over takes the call out of the way of new legs, unless it has live ones and is
	// not forced; it reports whether it did.
	over func(c *Call, force bool) bool
	// reattach asks the vendor for the audio of a call whose legs were lost; nil: nobody
	// asks.
	reattach func(context.Context) error
	// predecessor is what an earlier process left of the call; nil when it is new.
	predecessor *predecessor
	spool       *spool.Spool  // nil: nothing outlives the process
	lostResults *atomic.Int64 // counts what no adapter took
	// observe is Config.Observe.
	observe func(Meta) func(event.Event)
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
	journal *spool.Journal     // of the goroutine of keep, until that has ended
	kept    uint64             // Seq of the last event that a predecessor kept
	cancel  context.CancelFunc // cuts the call off; set before run
	counted bool               // it has ended, and its audio is in the manager's account; guarded by the manager's lock
	odd     bool               // something in it was abnormal; set before counted
	left    bool               // it has done with its conversation; guarded by the manager's lock

	listeners atomic.Pointer[[]*leg]       // that want events as results; replaced whole under mu
	labels    atomic.Pointer[event.Labels] // who spoke in truth; replaced whole under mu

	mu         sync.Mutex
	state      State
	ended      time.Time
	live       map[string]*leg   // by leg key
	finishing  map[*leg]struct{} // live, and send no more audio: their results are still to come
	legs       []*leg            // all, in order of arrival
	tracks     map[trackKey]*track
	order      []*track       // all, in order of arrival
	attributes attributes     // what the vendor told of it
	said       map[voice]said // what people said of who speaks
	paused     string         // why the call's audio is withheld; empty when it is not
	lastTrack  int            // highest number of a track
	wait       time.Duration  // for another leg when there is none
	lost       bool           // and the vendor might be asked for it
	draining   bool           // the host shuts down: no leg will come
	leaving    bool           // and a successor goes on with the call
	changed    chan struct{}  // holds a token when run should look at live
}

func newCall(p callParams, pool *assist.Pool, log *slog.Logger) *Call {
	c := &Call{
		callParams: p, started: time.Now(), state: Active,
		log:    log.With("call", p.id, "adapter", p.key.adapter),
		events: event.NewLog(p.id),
		live:   make(map[string]*leg), finishing: make(map[*leg]struct{}),
		tracks:  make(map[trackKey]*track),
		changed: make(chan struct{}, 1),
	}
	c.conversation.Call = p.id
	if p.paused {
		c.paused = pausedByRoute
	}
	if p.predecessor != nil {
		c.started = p.predecessor.Started
		c.events = event.RestoreLog(p.id, p.predecessor.events)
		c.kept = c.events.LastSeq()
	}
	if p.spool != nil {
		c.events.Hold()
	}
	c.publish = redact.New(p.observed(c.record)).Publish
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
		c.unlisten(old)
		c.publish(event.Event{Kind: event.LegEnded, State: &event.State{Adapter: c.key.adapter, Leg: old.key, Reason: string(reason.Kind), Text: reason.Text}})
	}
	if len(c.legs) == 0 && c.predecessor == nil {
		c.publish(event.Event{Kind: event.CallStarted, State: &event.State{Adapter: c.key.adapter}})
		c.log.Info("call started", "conversation", c.conversation.ID, "route", c.route, "to", c.to)
		if c.conversation.ID != c.wanted {
			c.publish(event.Event{Kind: event.Warning, Problem: &event.Problem{Code: "conversation_renamed",
				Text: fmt.Sprintf("conversation %s belongs to another call or is over; this call is %s", c.wanted, c.conversation.ID)}})
		}
	}
	if len(c.legs) == 0 {
		c.attributes.learn(c.lease.Attributes, nil)
	}
	if len(c.legs) == 0 && c.ignored != "" {
		c.publish(event.Event{Kind: event.Warning, Problem: &event.Problem{Code: "conversation_ignored", Text: c.ignored}})
	}
	c.attributes.learn(info.Claims, info.Aliases)
	c.warnOfOther(info)
	l := newLeg(c, info.LegKey, info.Results)
	c.live[l.key] = l
	c.legs = append(c.legs, l)
	c.listen(l, info.Results)
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

// warnOfOther says that a later leg names another conversation than the call's. c.mu is
// held.
func (c *Call) warnOfOther(info adapter.LegInfo) {
	if !info.Named || len(c.legs) == 0 || info.Conversation == "" {
		return
	}
	if id, err := (Route{Google: c.conversation.Google}).lies(info.Conversation); err != nil || id != c.conversation.ID {
		c.publish(event.Event{Kind: event.Warning, Problem: &event.Problem{Code: "conversation_ignored",
			Text: fmt.Sprintf("leg %s names another conversation than the call's, which stays in %s", info.LegKey, c.conversation.ID)}})
	}
}

func (c *Call) wake() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}
