package siprec

import "errors"

// The bounds of what is read of one document.
const (
	MaxDepth    = 32
	MaxElements = 4000
	MaxText     = 4 << 10 // bytes of one text or attribute; the rest is left out
)

// ErrMetadata says that a metadata document is odd or broken. What could be read is
// returned beside it.
var ErrMetadata = errors.New("siprec: odd metadata")

// Document is a metadata document, whatever its namespace, root and id style.
type Document struct {
	Partial      bool // it changes what was said before; else it replaces it
	Groups       []Group
	Sessions     []Session
	Participants []Participant
	Streams      []Stream
	Fields       []Field  // extension data
	Namespaces   []string // for recognising a vendor
	// Recording is the id of the recording element, if it has one.
	Recording string
}

// Group is a communication session group.
type Group struct {
	ID        string
	Initiator string // an address (Broadworks)
}

// Session is a communication session.
type Session struct {
	ID, Group string
	// SIP is the sipSessionID (RFC 7989), or what a vendor writes in its place.
	SIP   string
	Start string // as written; the field's clocks are not to be trusted
}

// Participant is a party of the call.
type Participant struct {
	ID, Session string
	AoR         string // as written: sip:, tel:, bare digits, an opaque user id
	Name        string
	// Send and Receive are the ids of the streams that carry, or play to, the party. They
	// are nil where the document names none.
	Send, Receive []string
	Left          bool // it has left the session (disassociate-time)
}

// Stream is a recorded stream.
type Stream struct {
	ID, Session string // ID is empty where it is not known yet (Avaya)
	Label       string // of the m= line
	Mode        string // "mixed", "separate" or empty
}

// Field is one value of extension data.
type Field struct {
	// Owner is the id of the participant, stream, session or group that it stands in;
	// empty for the recording.
	Owner string
	// Name is the path of local names below extensiondata, joined by points, with the
	// vendor's short name first where its namespace has one: "apkt.callingParty",
	// "apkt.header.From", "broadWorksRecordingMetadata.userID".
	Name  string
	Value string
}
