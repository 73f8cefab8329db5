package call

import "github.com/patchbay/patchbay/core/event"

// Meta is a call as Config.Observe is told of it. Nothing in it is about a person.
type Meta struct {
	ID           string
	Adapter      string
	Tenant       string
	Route        int    // index of the route that matched
	Conversation string // id that was chosen for it
}

func (p callParams) meta() Meta {
	return Meta{ID: p.id, Adapter: p.key.adapter, Tenant: p.tenant, Route: p.route, Conversation: p.conversation.ID}
}

// observed puts the call's observer, if there is one, in front of next.
func (p callParams) observed(next func(event.Event)) func(event.Event) {
	if p.observe == nil {
		return next
	}
	tell := p.observe(p.meta())
	return func(e event.Event) {
		tell(e)
		next(e)
	}
}
