package roles

import (
	"strings"

	"github.com/patchbay/patchbay/adapters/oem/siprec"
	"github.com/patchbay/patchbay/core/adapter"
)

// calling: Oracle marks the calling party; with the direction that says who is who.
func (c *court) calling(l *line, _ int) {
	direction, said := c.directed()
	if direction == Unknown || l.mixed != "" {
		return
	}
	for _, p := range l.parties {
		switch strings.ToLower(c.in.View.FieldOf(p.ID, "apkt.callingParty")) {
		case "true":
			l.decide(side(direction, true), l.guessed, "apkt:callingParty of an %s call (%s)", direction, said)
		case "false":
			l.decide(side(direction, false), l.guessed, "apkt:callingParty of an %s call (%s)", direction, said)
		}
	}
}

// side returns the role of the calling or the called party.
func side(d Direction, calling bool) adapter.Role {
	if (d == Inbound) == calling {
		return adapter.RoleEndUser
	}
	return adapter.RoleHumanAgent
}

// directed returns the direction of the call and who says so.
func (c *court) directed() (Direction, string) {
	if d := c.in.Rules.Direction; d != Unknown {
		return d, "rule direction"
	}
	v := c.in.View
	if v == nil {
		return Unknown, ""
	}
	switch value := strings.ToLower(orElse(v.Field("jb.direction"), v.Field("metaswitchRecordingMetadata.callType"))); value {
	case "inbound", "terminating":
		return Inbound, "metadata"
	case "outbound", "originating":
		return Outbound, "metadata"
	}
	for _, f := range v.Document.Fields {
		switch name := strings.ToLower(f.Name); {
		case !strings.Contains(name, "broadworksrecordingmetadata."):
		case strings.Contains(name, ".origcall."):
			return Outbound, "origCall"
		case strings.Contains(name, ".termcall."):
			return Inbound, "termCall"
		}
	}
	return Unknown, ""
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// caller: who calls is the customer of an inbound call; vendors name the calling party in
// their fields.
func (c *court) caller(l *line, _ int) {
	if d, said := c.directed(); d != Unknown {
		c.calls(l, d, said, false)
	}
}

// callerOfUnknown: where nobody states the direction, inbound is a guess.
func (c *court) callerOfUnknown(l *line, _ int) { c.calls(l, Inbound, "assumed", true) }

func (c *court) calls(l *line, d Direction, said string, assumed bool) {
	if l.mixed != "" {
		return
	}
	for _, name := range []string{"callingPartyNumber", "callData.fromhdr"} {
		if v := c.in.View.Field(name); v != "" && c.only(l, siprec.ParseAddress(v)) {
			l.decide(side(d, true), assumed || l.guessed, "%s names the calling party of an %s call (%s)", name, d, said)
		}
	}
	for _, p := range l.parties {
		if v := c.in.View.FieldOf(p.ID, "apkt.callingParty"); strings.EqualFold(v, "true") {
			l.decide(side(d, true), assumed || l.guessed, "apkt:callingParty of an %s call (%s)", d, said)
		}
	}
}

// order: of a call whose direction is known, the first stream is taken for the calling
// party's.
func (c *court) order(l *line, i int) {
	d, said := c.directed()
	if i += c.in.Before; d != Unknown && l.mixed == "" && i < 2 && len(c.lines)+c.in.Before > 1 {
		l.decide(side(d, i == 0), true, "%s call (%s), and the first stream is taken for the calling party", d, said)
	}
}
