package call

import (
	"maps"
	"slices"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/event"
)

// The bounds of what a vendor may tell of one call.
const (
	maxAttributes = 128
	maxAliases    = 32
)

// attributes are what the vendor told of a call beside its audio: fields by its own
// names, and further names of the call. They prove nothing.
type attributes struct {
	fields  map[string]string
	aliases []string // oldest first
}

// learn adds what a leg or a note brought. A later value replaces the earlier, and
// what is too long or too much is left out.
func (a *attributes) learn(fields map[string]string, aliases []string) {
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		value := fields[name]
		_, known := a.fields[name]
		if name == "" || len(name) > maxKey || len(value) > maxKey || !known && len(a.fields) >= maxAttributes {
			continue
		}
		if a.fields == nil {
			a.fields = make(map[string]string)
		}
		a.fields[name] = value
	}
	for _, alias := range aliases {
		if alias != "" && len(alias) <= maxKey && len(a.aliases) < maxAliases && !slices.Contains(a.aliases, alias) {
			a.aliases = append(a.aliases, alias)
		}
	}
}

// relearn takes the attributes of a call that an earlier process left.
func (a *attributes) relearn(p *predecessor) {
	a.learn(p.Attributes, p.Aliases)
	for _, e := range p.events {
		if e.Kind == event.VendorNote && e.Note != nil && e.Note.Kind == string(adapter.NoteMetadata) {
			a.learn(e.Note.Fields, e.Note.Aliases)
		}
	}
}

// called reports whether name is an alias of the call.
func (c *Call) called(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Contains(c.attributes.aliases, name)
}
