package roles

import (
	"slices"
	"strings"

	"github.com/patchbay/patchbay/adapters/oem/siprec"
	"github.com/patchbay/patchbay/core/adapter"
)

// ruleOfLine: the trunk's rules by label and by place.
func (c *court) ruleOfLine(l *line, i int) {
	if role, ok := c.in.Rules.Labels[l.Label]; ok && l.Label != "" {
		l.decide(role, false, "rule labels: %s", l.Label)
	}
	if i += c.in.Before; i < len(c.in.Rules.Lines) {
		l.decide(c.in.Rules.Lines[i], false, "rule lines: the %s", ordinal(i))
	}
}

func ordinal(i int) string {
	if i < 4 {
		return [...]string{"first", "second", "third", "fourth"}[i]
	}
	return "next"
}

// ruleOfHeader: a header or field that names the agent's label or the agent.
func (c *court) ruleOfHeader(l *line, _ int) {
	for _, name := range c.in.Rules.AgentFrom {
		for _, value := range c.values(name) {
			if l.Label != "" && strings.TrimSpace(value) == l.Label || c.only(l, siprec.ParseAddress(value)) {
				l.decide(adapter.RoleHumanAgent, l.guessed, "rule agent_from: %s", name)
			}
		}
	}
}

// values looks a name up among the headers, then among the extension fields.
func (c *court) values(name string) []string {
	var list []string
	if c.in.Headers != nil {
		list = c.in.Headers.Values(name)
	}
	if v := c.in.View.Field(name); v != "" {
		list = append(list, v)
	}
	return list
}

// only reports whether an address is a party's of this line, and of no other.
func (c *court) only(l *line, a siprec.Address) bool {
	if a.User == "" || !l.heard(a) {
		return false
	}
	for _, other := range c.lines {
		if other != l && other.heard(a) {
			return false
		}
	}
	return true
}

// heard reports whether an address is one of the line's parties.
func (l *line) heard(a siprec.Address) bool {
	return slices.ContainsFunc(l.parties, func(p siprec.Participant) bool { return siprec.ParseAddress(p.AoR).Same(a) })
}

// ruleOfAddress: the trunk's rules by number, user and domain.
func (c *court) ruleOfAddress(l *line, _ int) {
	if l.mixed == "" {
		c.match(l, "number, user or domain", Match.address)
	}
}

// extension: the trunk's rules by the length of numbers.
func (c *court) extension(l *line, _ int) {
	if l.mixed == "" {
		c.match(l, "length of the number", Match.extension)
	}
}

// match decides if the parties of a line are known on one side only.
func (c *court) match(l *line, by string, known func(Match, siprec.Address) bool) {
	agent, customer := false, false
	for _, p := range l.parties {
		a := siprec.ParseAddress(p.AoR)
		agent = agent || known(c.in.Rules.Agents, a)
		customer = customer || known(c.in.Rules.Customers, a)
	}
	switch {
	case agent && !customer:
		l.decide(adapter.RoleHumanAgent, l.guessed, "rule agents: %s", by)
	case customer && !agent:
		l.decide(adapter.RoleEndUser, l.guessed, "rule customers: %s", by)
	}
}

// fork: CUCM says which end it forks.
func (c *court) fork(l *line, _ int) {
	switch f := c.in.Fork; {
	case f == nil:
	case f.Near:
		l.decide(adapter.RoleHumanAgent, false, "x-nearend of CUCM")
	case f.Far:
		l.decide(adapter.RoleEndUser, false, "x-farend of CUCM")
	}
}

// recorded: Broadworks and Metaswitch name the recorded user, who is the agent.
func (c *court) recorded(l *line, _ int) {
	if l.mixed != "" {
		return
	}
	for _, f := range []struct{ name, words string }{
		{"broadWorksRecordingMetadata.userID", "the recorded user of Broadworks"},
		{"metaswitchRecordingMetadata.recordedParty", "the recorded party of Metaswitch"},
	} {
		if v := c.in.View.Field(f.name); v != "" && c.only(l, siprec.ParseAddress(v)) {
			l.decide(adapter.RoleHumanAgent, l.guessed, "%s", f.words)
		}
	}
}

// invite: systems that record a user call the recorder in that user's name. Of others
// From names anybody; a trunk's rule agent_from may list it.
func (c *court) invite(l *line, _ int) {
	if l.mixed != "" || c.in.Headers == nil || !c.recordsUsers() {
		return
	}
	for _, name := range []string{"From", "P-Asserted-Identity", "To"} {
		for _, value := range c.in.Headers.Values(name) {
			if c.only(l, siprec.ParseAddress(value)) {
				l.decide(adapter.RoleHumanAgent, l.guessed, "%s of the recording call names the recorded user", name)
				return
			}
		}
	}
}

func (c *court) recordsUsers() bool {
	v := siprec.Recognise(c.in.Headers, c.in.View, "")
	return v == siprec.VendorBroadworks || v == siprec.VendorMetaswitch
}

// The lengths of numbers that look like an extension, and like a number of the public
// network.
const (
	maxExtension = 6
	minPublic    = 7
)

// shape: an extension beside a public number is the agent's, which is a guess.
func (c *court) shape(l *line, _ int) {
	if len(c.lines) != 2 || l.mixed != "" {
		return
	}
	other := c.lines[0]
	if other == l {
		other = c.lines[1]
	}
	if l.all(func(digits int) bool { return digits <= maxExtension }) && other.all(func(digits int) bool { return digits >= minPublic }) {
		l.decide(adapter.RoleHumanAgent, true, "an extension beside a public number")
	}
}

// all reports whether the line has parties and all have numbers of such lengths.
func (l *line) all(fits func(digits int) bool) bool {
	for _, p := range l.parties {
		if n := len(siprec.Digits(siprec.ParseAddress(p.AoR).User)); n == 0 || !fits(n) {
			return false
		}
	}
	return len(l.parties) > 0
}
