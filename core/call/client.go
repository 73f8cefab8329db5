package call

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/assist"
)

// client is a client of Agent Assist whose own streams bring a track's audio, one after
// another. It implements assist.Client.
type client struct {
	participant string
	role        func(role string)

	mu      sync.Mutex // taken after the call's and the session's locks; a leg's may follow
	streams []clientStream
}

// clientStream is one stream of the client.
type clientStream struct {
	leg     *leg  // nil: of an earlier run of the host
	base    int64 // where on the tape it begins
	request []byte
}

// maxClientStreams is how many streams are remembered, the newest.
const maxClientStreams = 16

// begins says that a leg's audio begins at a position of the tape.
func (c *client) begins(l *leg, base int64, request []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.streams = append(c.streams, clientStream{l, base, request})
	if n := len(c.streams) - maxClientStreams; n > 0 {
		c.streams = slices.Delete(c.streams, 0, n)
	}
}

// before returns the stream that brought the audio which ends at pos.
func (c *client) before(pos int64) (clientStream, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range slices.Backward(c.streams) {
		if s.base < pos {
			return s, s.leg != nil && !s.leg.isClosed()
		}
	}
	return clientStream{}, false
}

// Participant implements assist.Client.
func (c *client) Participant() string { return c.participant }

// Request implements assist.Client.
func (c *client) Request(pos int64) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range slices.Backward(c.streams) {
		if s.base <= pos {
			return s.request
		}
	}
	return nil
}

// Base implements assist.Client.
func (c *client) Base(pos int64) (int64, bool) {
	s, ok := c.before(pos)
	return s.base, ok
}

// Respond implements assist.Client.
func (c *client) Respond(pos int64, response []byte) {
	if s, ok := c.before(pos); ok {
		s.leg.tell(adapter.Control{Kind: adapter.ControlResult, Result: &adapter.Result{Kind: adapter.ResultRaw, Leg: s.leg.key, Raw: response}})
	}
}

// Role implements assist.Client.
func (c *client) Role(role string) { c.role(role) }

// Refused implements assist.Client: the newest stream ends.
func (c *client) Refused(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.streams); n > 0 && c.streams[n-1].leg != nil {
		e := statusOf(err)
		c.streams[n-1].leg.tell(adapter.Control{Kind: adapter.ControlEnd, Reason: "Agent Assist refuses the client's stream", Error: e})
	}
}

// statusOf is what a client is told of an error of Agent Assist.
func statusOf(err error) *adapter.StatusError {
	code, text, encoded := assist.Status(err)
	return &adapter.StatusError{Code: code, Text: text, Status: encoded}
}

// newClient returns the client of a new track; nil in conversations of our own. c.mu is
// held.
func (c *Call) newClient(tr *track, participant string) assist.Client {
	if c.conversation.Foreign == "" {
		return nil
	}
	tr.client = &client{participant: participant, role: func(role string) {
		c.mu.Lock()
		defer c.mu.Unlock()
		tr.ref.Role = role
	}}
	return tr.client
}

// checkClient checks what a client's stream says of itself.
func (c *Call) checkClient(t adapter.Track) error {
	foreign := c.conversation.Foreign
	switch {
	case foreign == "" && t.Participant == "":
		return nil
	case foreign == "":
		return errors.New("the track names a participant, but the conversation is ours")
	case !strings.HasPrefix(t.Participant, foreign+"/participants/"):
		return errors.New("the track's participant is not of the conversation")
	}
	return nil
}

// The claims by which routes may tell clients apart: what the conversation, or the first
// resource that a relayed call names, lies in.
const (
	claimProject  = "project"
	claimLocation = "location"
)

// withProject adds the project of a client's conversation to the claims of its leg.
func withProject(info adapter.LegInfo) adapter.LegInfo {
	if info.Client.Conversation == "" {
		return info
	}
	claims := maps.Clone(info.Claims)
	if claims == nil {
		claims = make(map[string]string)
	}
	claims[claimProject], claims[claimLocation] = assist.ProjectOf(info.Client.Conversation)
	info.Claims = claims
	return info
}

// admits says why a route does not take a client's stream, if so.
func (r Route) admits(c adapter.Client) error {
	switch {
	case c == (adapter.Client{}):
		return nil
	case !assist.Allows(r.Relay, c.Method):
		return &adapter.Refusal{Reason: adapter.RefusedNotYours, Text: fmt.Sprintf("%s is not among routes[].relay", c.Method)}
	case !r.Google.Contains(c.Conversation) || !strings.Contains(c.Conversation, "/conversations/"):
		return &adapter.Refusal{Reason: adapter.RefusedNotYours, Text: "the conversation does not lie in the route's project and location"}
	}
	return nil
}

// begin is where a track's audio of a leg begins on its tape.
type begin struct {
	pos  int64
	rate int
}

// finish says that a leg sends no more audio: it is told when its results are complete.
// Another leg with its key goes on with its tracks meanwhile, and takes nothing over.
func (c *Call) finish(l *leg) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.live[l.key] != l {
		return // ended, or finishing already
	}
	delete(c.live, l.key)
	c.finishing[l] = struct{}{}
	l.writers.Store(&noWriters)
	left := 1
	var mu sync.Mutex
	done := func() {
		mu.Lock()
		defer mu.Unlock()
		if left--; left == 0 {
			l.tell(adapter.Control{Kind: adapter.ControlDone})
		}
	}
	for key, tr := range c.tracks {
		if key.leg != l.key {
			continue
		}
		tr.tape.Park()
		if tr.heard {
			mu.Lock()
			left++
			mu.Unlock()
			c.session.Drain(tr.ref, tr.session.Audio.End(), done)
		}
	}
	done()
	c.promote()
	c.wake()
}
