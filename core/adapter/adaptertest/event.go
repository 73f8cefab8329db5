package adaptertest

import (
	"errors"
	"fmt"
	"strings"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
)

var errNotJoined = errors.New("track was not joined")

// Event is one thing that happened at a Sink. Frames are no events; a leg's
// Segments have them.
type Event struct {
	Leg    int    // index in Sink.Legs; -1 for a refusal
	Op     string // "open", "refuse", "join", "note", "close", "order …", "ended by host"
	Track  media.TrackID
	Text   string
	Info   *adapter.LegInfo
	Joined *adapter.Track
	Note   *adapter.Note
	End    *adapter.EndReason
}

// String returns the event on one line, without times, so that it can stand in a
// golden file.
func (e Event) String() string {
	var b strings.Builder
	if e.Leg >= 0 {
		fmt.Fprintf(&b, "leg %d: ", e.Leg)
	}
	b.WriteString(e.Op)
	switch {
	case e.Info != nil:
		i := e.Info
		fmt.Fprintf(&b, " call=%s leg=%s account=%s method=%s", i.CallKey, i.LegKey, i.Principal.Account, i.Principal.Method)
		if i.Conversation != "" {
			fmt.Fprintf(&b, " conversation=%s", i.Conversation)
		}
		if i.Named {
			b.WriteString(" named")
		}
		if i.From != "" || i.To != "" {
			fmt.Fprintf(&b, " from=%s to=%s", string(i.From), string(i.To))
		}
		if len(i.Claims) > 0 {
			fmt.Fprintf(&b, " claims=%v", i.Claims) // fmt sorts maps
		}
		if len(i.Aliases) > 0 {
			fmt.Fprintf(&b, " aliases=%v", i.Aliases)
		}
	case e.Joined != nil:
		t := e.Joined
		fmt.Fprintf(&b, " %s %v speaker=%s role=%s (%s)", e.Track, t.Format, t.Speaker.ID, t.Speaker.Role, t.Speaker.Evidence)
		if t.Speaker.Mixed {
			b.WriteString(" mixed")
		}
		if t.MediaTimeKnown {
			fmt.Fprintf(&b, " at=%v", t.MediaTime)
		}
		if t.Language != "" {
			fmt.Fprintf(&b, " language=%s", t.Language)
		}
	case e.Note != nil:
		n := e.Note
		fmt.Fprintf(&b, " %s", n.Kind)
		if n.Track != "" {
			fmt.Fprintf(&b, " track=%s", n.Track)
		}
		if n.Text != "" {
			fmt.Fprintf(&b, " %q", n.Text)
		}
		if n.Samples != 0 {
			fmt.Fprintf(&b, " samples=%d", n.Samples)
		}
		if len(n.Fields) > 0 {
			fmt.Fprintf(&b, " fields=%v", n.Fields)
		}
		if len(n.Aliases) > 0 {
			fmt.Fprintf(&b, " aliases=%v", n.Aliases)
		}
	case e.End != nil:
		fmt.Fprintf(&b, " %s %q", e.End.Kind, e.End.Text)
	case e.Text != "":
		fmt.Fprintf(&b, " %q", e.Text)
	}
	return b.String()
}
