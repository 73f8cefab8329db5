package roles

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/patchbay/patchbay/core/adapter"
)

// Direction is the direction of the recorded calls of a trunk, seen from the contact
// centre.
type Direction string

// The directions.
const (
	Unknown  Direction = "" // as the metadata says; else inbound is assumed
	Inbound  Direction = "inbound"
	Outbound Direction = "outbound"
)

// Rules is what a trunk's operator says about roles. It comes before anything that a
// message says.
type Rules struct {
	Labels map[string]adapter.Role `json:"labels,omitempty" jsonschema_description:"Role by the label of the m= line: end_user, human_agent or other."`
	Lines  []adapter.Role          `json:"lines,omitempty" jsonschema_description:"Role by the place of the audio line, from the first; an empty one decides nothing."`
	// Agents and Customers tell the parties of the metadata apart.
	Agents    Match `json:"agents,omitzero" jsonschema_description:"How to know an agent among the parties of the metadata."`
	Customers Match `json:"customers,omitzero" jsonschema_description:"How to know a customer among the parties of the metadata."`
	// AgentFrom names headers of the recording INVITE and extension fields of the metadata
	// whose value is the label of the agent's stream, or the agent's number or address.
	AgentFrom []string  `json:"agent_from,omitempty" jsonschema_description:"Headers (X-Agent) or extension fields (broadWorksRecordingMetadata.userID) whose value is the label of the agent's stream or the agent's address."`
	Direction Direction `json:"direction,omitempty" jsonschema:"enum=,enum=inbound,enum=outbound" jsonschema_description:"Direction of the calls of the trunk: inbound or outbound; empty goes by the metadata."`
}

// Match knows a party by its address.
type Match struct {
	Numbers    []string `json:"numbers,omitempty" jsonschema_description:"Numbers or users; * stands for any characters: 80*."`
	Domains    []string `json:"domains,omitempty" jsonschema_description:"Domains of addresses; * stands for any characters."`
	Extensions Lengths  `json:"extensions,omitzero" jsonschema_description:"Numbers of so many digits are its own."`
}

// Lengths is a range of how many digits a number has.
type Lengths struct {
	Min int `json:"min,omitempty"`
	Max int `json:"max,omitempty"`
}

// Validate says which rule is wrong, or nil.
func (r Rules) Validate() error {
	var list []error
	role := func(key string, role adapter.Role) {
		if !slices.Contains([]adapter.Role{adapter.RoleEndUser, adapter.RoleHumanAgent, adapter.RoleOther}, role) {
			list = append(list, fmt.Errorf("%s: %q is no role; write end_user, human_agent or other", key, role))
		}
	}
	for _, label := range slices.Sorted(maps.Keys(r.Labels)) {
		role("labels."+label, r.Labels[label])
	}
	for i, x := range r.Lines {
		if x != "" {
			role(fmt.Sprintf("lines[%d]", i), x)
		}
	}
	for _, m := range []struct {
		key string
		l   Lengths
	}{{"agents.extensions", r.Agents.Extensions}, {"customers.extensions", r.Customers.Extensions}} {
		if m.l != (Lengths{}) && (m.l.Min < 1 || m.l.Max < m.l.Min) {
			list = append(list, fmt.Errorf("%s: min is at least 1 and max not below it", m.key))
		}
	}
	if slices.Contains(r.AgentFrom, "") {
		list = append(list, errors.New("agent_from: a name is empty"))
	}
	if r.Direction != Unknown && r.Direction != Inbound && r.Direction != Outbound {
		list = append(list, fmt.Errorf("direction: %q is neither inbound nor outbound", r.Direction))
	}
	return errors.Join(list...)
}
