package call

import (
	"errors"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/event"
)

// pausedByRoute is why a call is paused from its start.
const pausedByRoute = "routes[].start is paused"

// ErrOver is returned for a call that takes no orders any more.
var ErrOver = errors.New("the call is over")

// Pause withholds the audio of the whole call until Resume: it is neither kept nor
// sent, and its positions count as withheld. The vendor is told, where it can pause
// too. It is for privacy, while card data is read out or consent is missing; reason
// is for people. Pausing a paused call changes nothing.
func (c *Call) Pause(reason string) error {
	if reason == "" {
		reason = "ordered"
	}
	return c.setPaused(reason, event.CallPaused, adapter.Control{Kind: adapter.ControlPause, Reason: reason})
}

// Resume ends what Pause, or the route, began. What the vendor paused stays paused.
func (c *Call) Resume(reason string) error {
	return c.setPaused("", event.CallResumed, adapter.Control{Kind: adapter.ControlResume, Reason: reason})
}

func (c *Call) setPaused(paused string, kind event.Kind, control adapter.Control) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != Active {
		return ErrOver
	}
	if (c.paused != "") == (paused != "") {
		return nil
	}
	c.paused = paused
	for _, tr := range c.order {
		tr.tape.Withhold(paused != "" || tr.paused)
	}
	for _, l := range c.live {
		l.tell(control)
	}
	c.publish(event.Event{Kind: kind, State: &event.State{Reason: control.Reason}})
	c.log.Info(string(kind))
	return nil
}
