package audiohook

import (
	"time"

	"github.com/patchbay/patchbay/core/adapter"
)

// reconnectGrace is how long Genesys may take to connect again before it is asked to
// close the session all the same: at present it does not know how to.
const reconnectGrace = 2 * time.Second

// desk is what the host wants of a session, and what waits for its time. One goroutine
// uses it.
type desk struct {
	control <-chan adapter.Control
	results *teller

	done      time.Time // no result is waited for any longer
	asks      time.Time // Genesys has not connected again, and is told to close
	gives     time.Time // and has not closed
	departure adapter.EndReason
}

// open takes the leg.
func (d *desk) open(s *session, o opening) {
	d.control = o.leg.Control()
	if s.guest.info.Results != adapter.ResultsNone {
		d.results = newTeller(s)
	}
	if o.first != nil {
		d.order(s, *o.first, time.Now())
	}
}

// order does what the host wants.
func (d *desk) order(s *session, c adapter.Control, now time.Time) {
	switch c.Kind {
	case adapter.ControlPause:
		s.sayRunning(typePause)
	case adapter.ControlResume:
		s.sayRunning(typeResume)
	case adapter.ControlEnd:
		d.end(s, c, now)
	case adapter.ControlResult:
		if d.results != nil && c.Result != nil {
			d.results.add(c.Result)
			d.results.tell(now, false)
		}
	case adapter.ControlLost:
		s.env.report.Count(countEvent)
	case adapter.ControlDone:
		d.settle(s, now)
	}
}

// end ends the session as the host wants. Where the host is leaving, Genesys' audio is
// heard until it has closed the session.
func (d *desk) end(s *session, c adapter.Control, now time.Time) {
	d.departure = adapter.EndReason{Kind: adapter.EndOrdered, Text: c.Reason}
	switch {
	case !c.Reconnect:
		s.disconnect(reasonCompleted, c.Reason, d.departure)
	case s.phase() > running, !d.gives.IsZero(): // it ends already
	case s.a.cfg.Reconnect:
		s.sayRunning(typeReconnect)
		d.asks = now.Add(reconnectGrace)
		d.gives = now.Add(reconnectGrace + leaveGrace)
	default:
		d.ask(s, now)
	}
}

// ask asks Genesys to close the session.
func (d *desk) ask(s *session, now time.Time) {
	d.asks = time.Time{}
	d.gives = now.Add(leaveGrace)
	if s.phase() == running {
		s.sayDisconnect(reasonCompleted, d.departure.Text)
	}
}

// closes begins the wait for the last results of a session that Genesys closes.
func (d *desk) closes(s *session, now time.Time) {
	d.asks, d.gives = time.Time{}, time.Time{}
	d.done = now.Add(time.Duration(s.a.cfg.Limits.CloseTimeout))
}

// settle sends the last results and ends the session.
func (d *desk) settle(s *session, now time.Time) {
	d.done = time.Time{}
	if d.results != nil {
		d.results.tell(now, true)
		d.results.abandon()
	}
	s.settle()
}

// never is longer than any session waits.
const never = 24 * time.Hour

// next returns how long until due is to be called.
func (d *desk) next(s *session, now time.Time) time.Duration {
	wait := never
	for _, at := range []time.Time{d.done, d.asks, d.gives} {
		if !at.IsZero() {
			wait = min(wait, at.Sub(now))
		}
	}
	if d.results != nil && s.phase() <= closing {
		if results, ok := d.results.wait(now); ok {
			wait = min(wait, results)
		}
	}
	return max(0, wait)
}

// due does what has come to its time.
func (d *desk) due(s *session, now time.Time) {
	reached := func(at time.Time) bool { return !at.IsZero() && !now.Before(at) }
	switch {
	case reached(d.done):
		d.settle(s, now)
	case reached(d.gives):
		d.gives = time.Time{}
		s.disconnect(reasonCompleted, d.departure.Text, d.departure)
	case reached(d.asks):
		d.ask(s, now)
	}
	if d.results != nil && s.phase() <= closing {
		d.results.tell(now, false)
	}
}
