package linking

import (
	"github.com/patchbay/patchbay/adapters/oem/ciscobib"
	"github.com/patchbay/patchbay/adapters/oem/siprec"
)

// Request is what is known of the dialog. Everything may be missing but CallID.
type Request struct {
	// Trusted is true where the peer has proved that it is one of the trunk's.
	Trusted bool

	URI      string // Request-URI, raw
	From, To string // raw headers
	CallID   string
	Headers  siprec.Headers
	View     *siprec.View
	Fork     *ciscobib.Fork
}

// How says what a conversation's name comes from.
type How string

// The ways, in their order.
const (
	ByCallInfo   How = "call-info"
	ByUserToUser How = "user-to-user"
	ByTemplate   How = "template"
	ByVendorID   How = "vendor-id" // an id of the recorded call
	ByCallID     How = "call-id"   // of the recording dialog
)

// Link is what a dialog belongs to.
type Link struct {
	// Conversation is an id, or a full resource name where a trusted peer gave one.
	Conversation string
	// Named is true where a trusted peer named the conversation outright: it may be joined
	// if it exists. Otherwise the id is our own making.
	Named bool
	How   How
	// Evidence says for people where Conversation comes from: "Call-Info", "ucid".
	Evidence string
	// Name holds the parts of a full resource name; nil for a bare id.
	Name *Name

	// CallKey is the same for all dialogs of one call.
	CallKey string
	// Dialled is the number that the recording call was made to: the user of the Request-URI,
	// else of To. Dedicated and leased numbers are found by it.
	Dialled string
	// Caller and Called are the parties' numbers of the recorded call where the vendor
	// states them.
	Caller, Called string

	Aliases  []string          // ids of the recorded call, by which desktops find it
	Claims   map[string]string // the same and more, by name
	Warnings []string          // for people, without caller data
}

// Name is a full resource name of a conversation.
type Name struct {
	Project, Location, Conversation string // Location is empty where the name has none
	Version                         string // v2, v2beta1; empty where the input has none
}

// String writes the resource name.
func (n Name) String() string {
	s := "projects/" + n.Project
	if n.Location != "" {
		s += "/locations/" + n.Location
	}
	return s + "/conversations/" + n.Conversation
}
