package siprec

import (
	"fmt"
	"strings"
)

// The bounds of a View.
const (
	MaxParticipants = 64
	MaxStreams      = 64
	MaxSessions     = 32
	MaxGroups       = 16
	MaxFields       = 256
	MaxFieldBytes   = 32 << 10 // of all names and values
	maxNamespaces   = 32
	maxLinks        = 64 // ids in Send or Receive of a participant
)

// View is what all documents of a dialog add up to. The zero View knows nothing. It is
// not safe for concurrent use.
type View struct {
	// Document is the current state; do not change it. Partial is meaningless in it.
	Document Document
	Applied  int // documents so far
	Full     int // things left out since there were more than the bounds allow
	bytes    int // of fields
}

// Apply adds a document: a complete one replaces the view, a partial one merges into it
// and deletes nothing by leaving it out. Of things with the same id the last one wins.
// Things without an id are kept only until the next document of their kind.
func (v *View) Apply(d Document) {
	if !d.Partial {
		v.Document, v.bytes = Document{}, 0
	}
	v.Applied++
	have := &v.Document
	if d.Recording != "" {
		have.Recording = d.Recording
	}
	for _, n := range d.Namespaces {
		v.add(len(have.Namespaces) < maxNamespaces, func() { have.Namespaces = appendNew(have.Namespaces, n) })
	}
	for _, g := range d.Groups {
		merge(v, &have.Groups, g, MaxGroups, func(g Group) string { return g.ID }, mergeGroup)
	}
	for _, s := range d.Sessions {
		merge(v, &have.Sessions, s, MaxSessions, func(s Session) string { return s.ID }, mergeSession)
	}
	if len(d.Participants) > 0 {
		have.Participants = named(have.Participants, func(p Participant) bool { return p.ID != "" })
	}
	for _, p := range d.Participants {
		merge(v, &have.Participants, p, MaxParticipants, func(p Participant) string { return p.ID }, mergeParticipant)
	}
	if len(d.Streams) > 0 {
		have.Streams = named(have.Streams, func(s Stream) bool { return s.ID != "" })
	}
	for _, s := range d.Streams {
		merge(v, &have.Streams, s, MaxStreams, func(s Stream) string { return s.ID }, mergeStream)
	}
	for _, f := range d.Fields {
		v.field(f)
	}
}

// add does what still fits and counts what does not.
func (v *View) add(fits bool, do func()) {
	if !fits {
		v.Full++
		return
	}
	do()
}

// merge puts x in the place of what has its id, or at the end.
func merge[T any](v *View, list *[]T, x T, limit int, id func(T) string, join func(old, x T) T) {
	if id(x) != "" {
		for i, old := range *list {
			if id(old) == id(x) {
				(*list)[i] = join(old, x)
				return
			}
		}
	}
	v.add(len(*list) < limit, func() { *list = append(*list, x) })
}

func mergeGroup(old, g Group) Group {
	g.Initiator = orElse(g.Initiator, old.Initiator)
	return g
}

func mergeSession(old, s Session) Session {
	s.Group, s.SIP, s.Start = orElse(s.Group, old.Group), orElse(s.SIP, old.SIP), orElse(s.Start, old.Start)
	return s
}

func mergeParticipant(old, p Participant) Participant {
	p.Session, p.AoR, p.Name = orElse(p.Session, old.Session), orElse(p.AoR, old.AoR), orElse(p.Name, old.Name)
	if p.Send == nil {
		p.Send = old.Send
	}
	if p.Receive == nil {
		p.Receive = old.Receive
	}
	return p
}

func mergeStream(old, s Stream) Stream {
	s.Session, s.Label, s.Mode = orElse(s.Session, old.Session), orElse(s.Label, old.Label), orElse(s.Mode, old.Mode)
	return s
}

func (v *View) field(f Field) {
	for i, old := range v.Document.Fields {
		if old.Owner == f.Owner && strings.EqualFold(old.Name, f.Name) {
			if grown := v.bytes - len(old.Value) + len(f.Value); grown <= MaxFieldBytes {
				v.bytes = grown
				v.Document.Fields[i].Value = f.Value
			} else {
				v.Full++
			}
			return
		}
	}
	size := len(f.Owner) + len(f.Name) + len(f.Value)
	v.add(len(v.Document.Fields) < MaxFields && v.bytes+size <= MaxFieldBytes, func() {
		v.Document.Fields = append(v.Document.Fields, f)
		v.bytes += size
	})
}

func named[T any](list []T, keep func(T) bool) []T {
	var out []T
	for _, x := range list {
		if keep(x) {
			out = append(out, x)
		}
	}
	return out
}

func appendNew(list []string, s string) []string {
	for _, have := range list {
		if have == s {
			return list
		}
	}
	return append(list, s)
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// Field returns the value of an extension field by its name, without case; the name may
// leave out what stands before its last points. Empty if there is none.
func (v *View) Field(name string) string {
	if v == nil || name == "" {
		return ""
	}
	for _, f := range v.Document.Fields {
		if matches(f.Name, name) {
			return f.Value
		}
	}
	return ""
}

// FieldOf is Field among those of one participant, stream, session or group.
func (v *View) FieldOf(owner, name string) string {
	if v == nil {
		return ""
	}
	for _, f := range v.Document.Fields {
		if f.Owner == owner && matches(f.Name, name) {
			return f.Value
		}
	}
	return ""
}

func matches(have, want string) bool {
	if len(have) > len(want) && have[len(have)-len(want)-1] == '.' {
		have = have[len(have)-len(want):]
	}
	return strings.EqualFold(have, want)
}

// Labelled returns the stream with a label; of several the last one, which is the newest.
func (v *View) Labelled(label string) (Stream, bool) {
	if v == nil || label == "" {
		return Stream{}, false
	}
	for i := len(v.Document.Streams) - 1; i >= 0; i-- {
		if s := v.Document.Streams[i]; s.Label == label {
			return s, true
		}
	}
	return Stream{}, false
}

// Senders returns the parties that are heard on a stream and have not left.
func (v *View) Senders(stream string) []Participant {
	var list []Participant
	for _, p := range v.Present() {
		for _, id := range p.Send {
			if id == stream && stream != "" {
				list = append(list, p)
				break
			}
		}
	}
	return list
}

// Present returns the parties that have not left, in the documents' order.
func (v *View) Present() []Participant {
	if v == nil {
		return nil
	}
	return named(v.Document.Participants, func(p Participant) bool { return !p.Left })
}

// String says how much the view knows, without caller data.
func (v *View) String() string {
	if v == nil {
		return "no metadata"
	}
	d := &v.Document
	return fmt.Sprintf("%d sessions, %d participants, %d streams, %d fields", len(d.Sessions), len(d.Participants), len(d.Streams), len(d.Fields))
}
