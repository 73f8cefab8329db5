// Package redact is the place between recognition and everybody else: raw text
// lives only above it, in memory. It masks nothing yet; it marks events as such.
package redact

import "github.com/patchbay/patchbay/core/event"

// Stage passes the events of one call on, in order.
type Stage struct {
	next func(event.Event)
}

// New returns a stage that hands events to next.
func New(next func(event.Event)) *Stage { return &Stage{next: next} }

// Publish takes an event with raw words and passes on what others may see.
func (s *Stage) Publish(e event.Event) {
	e.Redaction = event.RedactionNone
	s.next(e)
}
