package call

import (
	"fmt"
	"strings"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/assist"
)

// Elsewhere says what becomes of a call for which somebody names a conversation that
// does not lie in the route's project and location.
type Elsewhere string

// The policies for conversations elsewhere. The zero value means ElsewhereRefuse.
const (
	ElsewhereRefuse Elsewhere = "refuse"
	ElsewhereIgnore Elsewhere = "ignore" // the call gets a conversation as if none had been named
)

// named is the conversation of a new call.
type named struct {
	id      string // as it was asked for, in a form that Agent Assist takes
	joined  bool   // somebody whom we trust named it: it is joined, whoever made it
	lease   Lease  // the number that named it, if one did
	ignored string // why another that was named is not it
}

// conversationFor finds out which conversation a new call wants: named by a trusted peer,
// by a field that the route trusts, by a leased number, or proposed by the adapter, in this
// order. A lease that is looked at is used up.
func (m *Manager) conversationFor(info adapter.LegInfo, route Route, adapterName, tenant string) (n named, err error) {
	try := func(name string) (done bool) {
		if name == "" {
			return false
		}
		id, lies := route.lies(name)
		switch {
		case lies == nil:
			n.id, n.joined = id, true
		case route.Elsewhere == ElsewhereIgnore:
			n.ignored = lies.Text
		default:
			err = lies
		}
		return n.joined || err != nil
	}
	if info.Named && try(info.Conversation) || route.ConversationClaim != "" && try(info.Claims[route.ConversationClaim]) {
		return n, err
	}
	if lease, ok := m.leases.Take(info.To, adapterName, tenant); ok && try(lease.Conversation) {
		n.lease = lease
		return n, err
	}
	proposed := info.Conversation
	if info.Named {
		proposed = "" // it was ignored
	}
	n.id = cleanConversationID(proposed)
	return n, nil
}

// lies returns the id of a conversation that somebody named, if it lies where the route
// leads.
func (r Route) lies(name string) (string, *adapter.Refusal) {
	id, full, err := splitConversation(name)
	if err != nil {
		return "", &adapter.Refusal{Reason: adapter.RefusedInvalid, Text: err.Error()}
	}
	if full && !r.Google.Contains(name) {
		project, location := assist.ProjectOf(name)
		return "", &adapter.Refusal{Reason: adapter.RefusedNotYours, Text: strings.TrimSuffix(fmt.Sprintf(
			"the named conversation lies in project %s, location %s", project, location), ", location ") +
			"; its route leads elsewhere (routes[].conversation_elsewhere: ignore would take the call without it)"}
	}
	return cleanConversationID(id), nil
}

// splitConversation returns the id of a conversation that is named by it, or by its full
// name.
func splitConversation(name string) (id string, full bool, err error) {
	if !strings.Contains(name, "/") {
		return name, false, nil
	}
	parts := strings.Split(name, "/")
	switch {
	case len(parts) == 4 && parts[0] == "projects" && parts[2] == "conversations":
	case len(parts) == 6 && parts[0] == "projects" && parts[2] == "locations" && parts[4] == "conversations":
	default:
		return "", false, fmt.Errorf("the named conversation is neither an id nor projects/P/locations/L/conversations/ID")
	}
	id = parts[len(parts)-1]
	if !conversationID.MatchString(id) {
		return "", false, fmt.Errorf("the named conversation has an id that Agent Assist does not take: a letter, then letters, digits, - and _, 3 to %d in all", maxConversationID)
	}
	return id, true, nil
}

// use is a conversation that live calls are in.
type use struct {
	tenant string
	calls  int
}

func (p callParams) conversationName() string {
	return p.conversation.Google.ConversationName(p.conversation.ID)
}

// enter notes that a call is in its conversation, which may be another tenant's. m.mu is
// held.
func (m *Manager) enter(p callParams) error {
	if p.conversation.Foreign != "" {
		return nil
	}
	u := m.inUse[p.conversationName()]
	if u == nil {
		u = &use{tenant: p.tenant}
		m.inUse[p.conversationName()] = u
	}
	if u.tenant != p.tenant {
		return &adapter.Refusal{Reason: adapter.RefusedNotYours, Text: "the named conversation is a call's of another tenant"}
	}
	u.calls++
	return nil
}

// others knows who goes on with a call's conversation. It implements assist.Others.
type others struct {
	manager *Manager
	call    *Call
}

// Stay implements assist.Others.
func (o *others) Stay() bool {
	o.manager.mu.Lock()
	defer o.manager.mu.Unlock()
	return o.manager.leaves(o.call)
}

// leaves notes that a call has done with its conversation, once; it reports whether the
// conversation stays open for others. m.mu is held.
func (m *Manager) leaves(c *Call) bool {
	key := c.conversationName()
	u := m.inUse[key]
	if c.left || u == nil || c.conversation.Foreign != "" {
		return false
	}
	c.left = true
	if u.calls--; u.calls > 0 {
		return true
	}
	delete(m.inUse, key)
	return c.conversation.Named && c.stays
}
