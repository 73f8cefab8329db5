package siprec

import "strings"

// interpreter makes a Document of a tree.
type interpreter struct {
	d     *Document
	links []link
}

// link is an association of a participant with a session or with streams.
type link struct {
	participant, session string
	send, receive        []string
	left                 bool
}

// owner is the element that others stand in.
type owner struct{ id, session, group string }

// document reads a whole document. What stands in a root that is no recording is read
// too; then the answer is false.
func (in *interpreter) document(root *element) (ok bool) {
	switch strings.ToLower(root.name) {
	case "recording", "recording_metadata", "recording-metadata":
		ok = true
		in.walk(root, owner{})
	default:
		in.namespaces(root)
		for _, k := range root.kids {
			in.walk(k, owner{})
		}
	}
	in.associate()
	return ok
}

// walk reads an element with all that stands in it. What it does not know is extension
// data, wherever it stands.
func (in *interpreter) walk(e *element, o owner) {
	in.namespaces(e)
	switch strings.ToLower(e.name) {
	case "recording", "recording_metadata", "recording-metadata":
		if id := ids(e, "recording"); id != "" {
			in.d.Recording = id
		}
	case "datamode":
		in.d.Partial = strings.EqualFold(e.text, "partial")
		return
	case "group":
		o = in.group(e)
	case "session":
		o = in.session(e, o)
	case "participant":
		o = in.participant(e, o)
	case "stream":
		o = in.stream(e, o)
	case "participantsessionassoc", "participantstreamassoc":
		in.association(e)
		return
	case "sessionrecordingassoc":
		return
	default:
		in.extension(e, o, "")
		return
	}
	for _, k := range e.kids {
		if !told[strings.ToLower(k.name)] {
			in.walk(k, o)
		}
	}
}

// told are elements that their parent's reader reads, or that say nothing to us.
var told = map[string]bool{
	"nameid": true, "aor": true, "name": true, "send": true, "recv": true, "id": true, "label": true, "mode": true,
	"sipsessionid": true, "group-ref": true, "initiator": true,
	"start-time": true, "stop-time": true, "end-time": true, "associate-time": true, "disassociate-time": true,
	"requestor": true, "type": true, "reason": true,
}

func (in *interpreter) namespaces(e *element) {
	if e.space != "" && len(in.d.Namespaces) < maxNamespaces {
		in.d.Namespaces = appendNew(in.d.Namespaces, e.space)
	}
}

// ids returns the id of an element in any of its styles: session_id, id, or an id child.
func ids(e *element, kind string) string {
	if id := e.attr(kind+"_id", kind+"-id", "id"); id != "" {
		return id
	}
	return e.textOf("id", kind+"_id")
}

func (in *interpreter) group(e *element) owner {
	g := Group{ID: ids(e, "group"), Initiator: e.textOf("initiator")}
	in.d.Groups = append(in.d.Groups, g)
	return owner{id: g.ID, group: g.ID}
}

func (in *interpreter) session(e *element, o owner) owner {
	s := Session{
		ID:    ids(e, "session"),
		Group: orElse(orElse(e.attr("group", "group_id"), e.textOf("group-ref")), o.group),
		SIP:   e.textOf("sipSessionID"),
		Start: e.textOf("start-time"),
	}
	in.d.Sessions = append(in.d.Sessions, s)
	return owner{id: s.ID, session: s.ID, group: s.Group}
}

func (in *interpreter) participant(e *element, o owner) owner {
	p := Participant{ID: ids(e, "participant"), Session: orElse(e.attr("session", "session_id"), o.session)}
	for _, k := range e.kids {
		switch strings.ToLower(k.name) {
		case "nameid":
			p.AoR = orElse(p.AoR, orElse(k.attr("aor", "uri"), k.textOf("aor")))
			p.Name = orElse(p.Name, cleanName(k.textOf("name")))
		case "aor":
			p.AoR = orElse(k.text, p.AoR)
		case "name":
			p.Name = orElse(cleanName(k.text), p.Name)
		case "send":
			p.Send = streams(p.Send, k)
		case "recv":
			p.Receive = streams(p.Receive, k)
		case "disassociate-time":
			p.Left = true
		}
	}
	in.d.Participants = append(in.d.Participants, p)
	return owner{id: p.ID, session: p.Session}
}

// streams adds what a send or recv element names: <send>id</send>, or ids inside it.
func streams(list []string, e *element) []string {
	add := func(id string) {
		if id != "" && len(list) < maxLinks {
			list = appendNew(list, id)
		}
	}
	for _, word := range strings.Fields(e.text) {
		add(word)
	}
	for _, k := range e.kids {
		add(k.text)
	}
	return list
}

// cleanName removes the parameters that OpenSIPS leaves behind a name.
func cleanName(s string) string {
	if name, rest, ok := strings.Cut(s, ";"); ok && strings.Contains(rest, "=") {
		s = name
	}
	return strings.TrimSpace(strings.Trim(strings.TrimSpace(s), `"`))
}

func (in *interpreter) stream(e *element, o owner) owner {
	s := Stream{
		ID:      ids(e, "stream"),
		Session: orElse(e.attr("session", "session_id"), o.session),
		// A client of Google's writes prose into label and the label into an attribute.
		Label: orElse(e.attr("media_label"), e.textOf("label")),
		Mode:  strings.ToLower(orElse(e.textOf("mode"), e.attr("mode"))),
	}
	if k := e.kid("label"); k != nil && k.attr("media_label") != "" {
		s.Label = k.attr("media_label")
	}
	s.Label = orElse(s.Label, e.attr("label"))
	in.d.Streams = append(in.d.Streams, s)
	return owner{id: s.ID, session: s.Session}
}

func (in *interpreter) association(e *element) {
	l := link{
		participant: e.attr("participant_id", "participant", "id"),
		session:     e.attr("session_id", "session"),
		left:        e.kid("disassociate-time") != nil,
	}
	for _, k := range e.kids {
		switch strings.ToLower(k.name) {
		case "send":
			l.send = streams(l.send, k)
		case "recv":
			l.receive = streams(l.receive, k)
		}
	}
	in.links = append(in.links, l)
}

// associate gives the participants what associations say. A participant of whom only an
// association speaks, as in a partial document, is one without a name.
func (in *interpreter) associate() {
	at := map[string]int{}
	for i, p := range in.d.Participants {
		if p.ID != "" {
			at[p.ID] = i
		}
	}
	for _, l := range in.links {
		if l.participant == "" {
			continue
		}
		i, ok := at[l.participant]
		if !ok {
			i = len(in.d.Participants)
			at[l.participant] = i
			in.d.Participants = append(in.d.Participants, Participant{ID: l.participant})
		}
		p := &in.d.Participants[i]
		p.Session = orElse(l.session, p.Session)
		p.Left = p.Left || l.left
		for _, id := range l.send {
			if len(p.Send) < maxLinks {
				p.Send = appendNew(p.Send, id)
			}
		}
		for _, id := range l.receive {
			if len(p.Receive) < maxLinks {
				p.Receive = appendNew(p.Receive, id)
			}
		}
	}
}

// extension flattens what a vendor adds.
func (in *interpreter) extension(e *element, o owner, path string) {
	in.namespaces(e)
	switch name := strings.ToLower(e.name); {
	case name == "extensiondata" || name == "extension":
		o.id = orElse(e.attr("parent"), o.id)
	case name == "value" && path != "":
	default:
		if path == "" {
			path = short(e.space)
		}
		path = join(path, e.name)
		path = join(path, e.attr("label", "name", "key"))
	}
	if e.text != "" && path != "" && len(in.d.Fields) < MaxFields {
		in.d.Fields = append(in.d.Fields, Field{Owner: o.id, Name: path, Value: e.text})
	}
	for _, k := range e.kids {
		in.extension(k, o, path)
	}
}

func join(path, name string) string {
	if path == "" || name == "" {
		return path + name
	}
	return path + "." + name
}

// short returns the short name of a vendor's namespace, which may also be a prefix that
// nobody declared.
func short(space string) string {
	switch s := strings.ToLower(space); {
	case s == "apkt" || strings.Contains(s, "acmepacket"):
		return "apkt"
	case s == "ac" || strings.Contains(s, "audiocodes"):
		return "ac"
	case s == "jb" || strings.Contains(s, "jambonz"):
		return "jb"
	}
	return ""
}
