package roles

import (
	"fmt"
	"slices"
	"strings"

	"github.com/patchbay/patchbay/adapters/oem/siprec"
	"github.com/patchbay/patchbay/core/adapter"
)

// Assign says who speaks on each line, in the order of the lines. It is deterministic:
// asked again after new metadata, it gives the voices that did not change the same IDs.
func Assign(in Input) []Voice {
	c := &court{in: in}
	for i, l := range in.Lines {
		c.lines = append(c.lines, c.line(i, l))
	}
	c.eliminate()
	c.mix()
	for _, step := range []func(*court, *line, int){
		(*court).ruleOfLine, (*court).ruleOfHeader, (*court).ruleOfAddress,
		(*court).fork, (*court).calling, (*court).recorded,
		(*court).extension, (*court).invite, (*court).caller,
		(*court).shape, (*court).callerOfUnknown, (*court).order,
	} {
		c.try(step)
	}
	c.fill()
	return c.voices()
}

// court weighs the evidence.
type court struct {
	in    Input
	lines []*line
}

// line is what is known of one audio line.
type line struct {
	Line
	stream  siprec.Stream
	parties []siprec.Participant
	guessed bool // that the parties speak here
	mixed   string

	role     adapter.Role
	evidence string
	assumed  bool
}

func (l *line) open() bool { return l.role == "" && l.mixed == "" }

// decide sets the role of a line that has none. What rests on a guess is one.
func (l *line) decide(role adapter.Role, assumed bool, format string, args ...any) {
	if l.role != "" || role == "" {
		return
	}
	l.role, l.assumed, l.evidence = role, assumed, fmt.Sprintf(format, args...)
}

// line finds the stream and the parties of one line.
func (c *court) line(i int, l Line) *line {
	out := &line{Line: l}
	for _, p := range c.in.Parties {
		if p.Index == l.Index {
			out.parties = append(out.parties, siprec.Participant{AoR: p.URI})
		}
	}
	v := c.in.View
	if v == nil || len(out.parties) > 0 {
		return out
	}
	streams := v.Document.Streams
	s, ok := v.Labelled(l.Label)
	switch {
	case ok:
		out.stream = s
	case l.Label == "" && i < len(streams):
		out.stream, out.guessed = streams[i], len(streams) > 1
	}
	out.parties = v.Senders(out.stream.ID)
	if present := v.Present(); len(out.parties) == 0 && !c.sends() && i < len(present) {
		out.parties, out.guessed = present[i:i+1], true
	}
	return out
}

// eliminate finds the stream that the list leaves out (Oracle): one line without a stream,
// and one id that is sent and not listed, belong together.
func (c *court) eliminate() {
	if c.in.View == nil {
		return
	}
	var lost *line
	for _, l := range c.lines {
		if len(l.parties) == 0 && l.stream.ID == "" && l.Label != "" {
			if lost != nil {
				return
			}
			lost = l
		}
	}
	unlisted := ""
	for _, p := range c.in.View.Present() {
		for _, id := range p.Send {
			listed := slices.ContainsFunc(c.in.View.Document.Streams, func(s siprec.Stream) bool { return s.ID == id })
			if listed || id == unlisted {
				continue
			}
			if unlisted != "" {
				return
			}
			unlisted = id
		}
	}
	if lost != nil && unlisted != "" {
		lost.stream.ID, lost.parties = unlisted, c.in.View.Senders(unlisted)
	}
}

// sends reports whether the metadata ties any party to a stream.
func (c *court) sends() bool {
	return slices.ContainsFunc(c.in.View.Present(), func(p siprec.Participant) bool { return len(p.Send) > 0 })
}

// mix finds the one stream that carries all voices.
func (c *court) mix() {
	if len(c.lines) != 1 || c.in.Fork != nil {
		return
	}
	l := c.lines[0]
	senders := len(l.parties)
	if l.guessed {
		senders = 0
	}
	present, streams := c.in.View.Present(), 0
	if c.in.View != nil {
		streams = len(c.in.View.Document.Streams)
	}
	switch {
	case senders > 1:
		l.mixed = fmt.Sprintf("mixed: %d parties send the only stream", senders)
	case l.stream.Mode == "mixed" && senders != 1:
		l.mixed = "mixed: the metadata says so"
	case senders == 0 && len(present) > 1 && streams < 2 && !c.sends():
		l.mixed = fmt.Sprintf("mixed: one stream for %d parties", len(present))
		l.assumed = true
	}
	if l.mixed != "" {
		l.guessed = false
		if senders < 2 {
			l.parties = present
		}
	}
}

// try lets a step decide lines, then gives the other of two voices the other role.
func (c *court) try(step func(*court, *line, int)) {
	for i, l := range c.lines {
		if l.role == "" {
			step(c, l, i)
		}
	}
	if len(c.lines) != 2 {
		return
	}
	for i, l := range c.lines {
		other := c.lines[1-i]
		if !other.open() || l.role == "" || l.mixed != "" {
			continue
		}
		switch l.role {
		case adapter.RoleHumanAgent:
			other.decide(adapter.RoleEndUser, l.assumed, "the other of two voices: %s", l.evidence)
		case adapter.RoleEndUser:
			other.decide(adapter.RoleHumanAgent, l.assumed, "the other of two voices: %s", l.evidence)
		}
	}
}

// fill gives the voices of which nothing is known their places: a customer, an agent,
// others.
func (c *court) fill() {
	for i, l := range c.lines {
		if !l.open() {
			continue
		}
		switch {
		case i+c.in.Before == 0 && !c.has(adapter.RoleEndUser):
			l.decide(adapter.RoleEndUser, true, "default: the first stream is the customer's")
		case i+c.in.Before <= 1 && len(c.lines)+c.in.Before > 1 && !c.has(adapter.RoleHumanAgent):
			l.decide(adapter.RoleHumanAgent, true, "default: the second stream is the agent's")
		case !c.has(adapter.RoleEndUser) && c.in.Before == 0:
			l.decide(adapter.RoleEndUser, true, "default: the first of the other voices is the customer's")
		case !c.has(adapter.RoleHumanAgent) && c.in.Before == 0:
			l.decide(adapter.RoleHumanAgent, true, "default: the first of the other voices is the agent's")
		default:
			l.decide(adapter.RoleOther, true, "default: a third voice")
		}
	}
}

func (c *court) has(role adapter.Role) bool {
	return slices.ContainsFunc(c.lines, func(l *line) bool { return l.role == role })
}

// voices writes the verdicts. The first of a role has its plain ID, also where its line is
// over, so that the others keep theirs.
func (c *court) voices() []Voice {
	out := make([]Voice, 0, len(c.lines))
	taken := map[string]bool{}
	for _, l := range c.lines {
		v := Voice{Index: l.Index, Label: l.Label, Mixed: l.mixed != ""}
		for _, p := range l.parties {
			v.Parties = append(v.Parties, Party{ID: p.ID, Address: p.AoR, Name: p.Name})
		}
		id := Other
		switch {
		case l.role == adapter.RoleHumanAgent:
			id = Agent
		case l.role == adapter.RoleEndUser:
			id = Customer
		case v.Mixed:
			id = Mixed
		}
		if l.role == "" {
			l.role, l.evidence = adapter.RoleOther, l.mixed
		}
		if taken[id] {
			id += " " + l.name()
		}
		taken[id] = true
		v.Speaker = adapter.Speaker{ID: id, Role: l.role, Evidence: l.evidence, Assumed: l.assumed}
		out = append(out, v)
	}
	return out
}

// name tells lines apart: labels may be missing or the same.
func (l *line) name() string {
	if l.Label == "" || len(l.Label) > 32 {
		return fmt.Sprintf("line %d", l.Index)
	}
	return strings.TrimSpace(l.Label) + fmt.Sprintf(" line %d", l.Index)
}
