package roles

import (
	"github.com/patchbay/patchbay/adapters/oem/ciscobib"
	"github.com/patchbay/patchbay/adapters/oem/siprec"
	"github.com/patchbay/patchbay/core/adapter"
)

// Line is one audio line of the agreed description.
type Line struct {
	Index int    // among the m= lines
	Label string // a=label, if any
	Ended bool   // it is over; its voice keeps its place among the speakers
}

// Input is all that is known of a dialog. Everything but Lines may be missing.
type Input struct {
	Lines   []Line
	View    *siprec.View
	Headers siprec.Headers         // of the dialog's INVITE
	Fork    *ciscobib.Fork         // the dialog is one of CUCM's two
	Parties []ciscobib.Participant // the list of CUBE's network-based recording
	// Before is how many audio lines earlier dialogs of the same call have: the default for
	// the second dialog of a pair is the second voice.
	Before int
	Rules  Rules
}

// Voice says who speaks on one line.
type Voice struct {
	Index   int
	Label   string
	Speaker adapter.Speaker
	// Mixed is true where one stream carries all voices of the call. The speaker's role is
	// RoleOther then; what becomes of it is the trunk's policy.
	Mixed bool
	// Parties are those whose voice it is, as far as the metadata knows.
	Parties []Party
}

// Party is somebody who is heard on a stream.
type Party struct {
	ID      string // in the metadata; empty with CUBE's headers
	Address string // as written
	Name    string
}

// IDs of speakers: the first agent and the first customer of a dialog have these, so
// that the dialogs of one call name the same person alike. Further ones have the label
// or index of their line behind.
const (
	Agent    = "agent"
	Customer = "customer"
	Other    = "other"
	Mixed    = "mixed"
)
