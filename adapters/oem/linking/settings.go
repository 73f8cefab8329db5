package linking

import (
	"fmt"
	"regexp"
	"strings"
)

// DefaultPrefix stands before an id of our own making where Settings has none.
const DefaultPrefix = "CID-"

// Settings is what a trunk's operator says about linking.
type Settings struct {
	Prefix    string     `json:"prefix,omitempty" jsonschema_description:"Stands before conversation ids made of the telephone system's ids. It begins with a letter."`
	Templates []Template `json:"templates,omitempty" jsonschema_description:"Headers, extension fields or address parts that name the conversation, the first that matches first. They count from peers that proved themselves."`
	BareIDs   bool       `json:"bare_ids,omitempty" jsonschema_description:"Take a bare id in User-to-User for the name of a conversation. Without it only full names are taken, and ids whose purpose is Google's: calls that carry the same word there for another reason would meet in one conversation."`
	Ignore    []string   `json:"ignore_ids,omitempty" jsonschema_description:"Ids of the recorded call that say nothing here: ucid, cisco-guid, ext-tracking-id, gcid, genesys-uuid, callsid, sip-session-id."`
}

// Template finds a conversation's name in a message.
type Template struct {
	From         string `json:"from" jsonschema_description:"Where to look: header:X-Conversation, field:apkt.header.X-Conversation, uri:user, to:user, from:user."`
	Match        string `json:"match,omitempty" jsonschema_description:"Regular expression that the whole value must match; empty takes any value."`
	Conversation string `json:"conversation" jsonschema_description:"Id or full name of the conversation; $1 is the first group of match, $0 the whole value."`
}

const maxTemplates = 32

// Linker links dialogs by its settings. It is safe for concurrent use.
type Linker struct {
	prefix    string
	templates []template
	bare      bool
	ignore    map[string]bool
}

type template struct {
	source, name string
	match        *regexp.Regexp
	want         string
}

// New returns a Linker, or an error that says which setting is wrong.
func New(s Settings) (*Linker, error) {
	l := &Linker{prefix: s.Prefix, bare: s.BareIDs, ignore: map[string]bool{}}
	if l.prefix == "" {
		l.prefix = DefaultPrefix
	}
	if !prefixForm.MatchString(l.prefix) {
		return nil, fmt.Errorf("prefix %q: it is 1 to 24 letters, digits, - and _ that begin with a letter", s.Prefix)
	}
	if len(s.Templates) > maxTemplates {
		return nil, fmt.Errorf("templates: there are more than %d", maxTemplates)
	}
	for i, t := range s.Templates {
		made, err := t.compile()
		if err != nil {
			return nil, fmt.Errorf("templates[%d]: %w", i, err)
		}
		l.templates = append(l.templates, made)
	}
	for _, id := range s.Ignore {
		if !known(id) {
			return nil, fmt.Errorf("ignore_ids: there is no %q; write one of %s", id, strings.Join(kinds(), ", "))
		}
		l.ignore[id] = true
	}
	return l, nil
}

func (t Template) compile() (template, error) {
	source, name, _ := strings.Cut(t.From, ":")
	made := template{source: strings.ToLower(source), name: strings.TrimSpace(name), want: t.Conversation}
	switch made.source {
	case "header", "field":
		if made.name == "" {
			return made, fmt.Errorf("from %q: the name is missing; write it like header:X-Conversation", t.From)
		}
	case "uri", "to", "from":
		if made.name != "user" && made.name != "host" {
			return made, fmt.Errorf("from %q: write %s:user or %s:host", t.From, made.source, made.source)
		}
	default:
		return made, fmt.Errorf("from %q: write header:, field:, uri:, to: or from: and a name", t.From)
	}
	if t.Conversation == "" {
		return made, fmt.Errorf("conversation: it is empty; $0 is the whole value")
	}
	expression := t.Match
	if expression == "" {
		expression = ".*"
	}
	var err error
	if made.match, err = regexp.Compile(`^(?:` + expression + `)$`); err != nil {
		return made, fmt.Errorf("match: %w", err)
	}
	return made, nil
}
