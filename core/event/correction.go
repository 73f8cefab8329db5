package event

// Correction says who speaks on a track from here on, and what of the log is to be
// shown anew. The log itself is not changed, and neither is what Agent Assist has.
type Correction struct {
	Speaker  string `json:"speaker"`
	Role     string `json:"role" enum:"end_user,human_agent,other"`
	Evidence string `json:"evidence,omitempty" doc:"Where the role comes from."`
	Person   bool   `json:"person,omitempty" doc:"Somebody said so through the API; what the adapter says later of this speaker does not count."`
	Earlier  []int  `json:"earlier,omitempty" doc:"Numbers of the tracks on which it was this speaker all along: whatever the log has of them is to be shown under this speaker and role. Agent Assist keeps it under the role that the log has."`
}

// Labels are who spoke on tracks in truth, by the tracks' numbers: what corrections
// say over the references of events. The zero value is for reading alone.
type Labels map[int]Correction

// Learn takes the correction of an event, if it is one.
func (l Labels) Learn(e Event) {
	if e.Correction != nil {
		for _, number := range e.Correction.Earlier {
			l[number] = *e.Correction
		}
	}
}

// Of returns who speaks on a track, and in which role.
func (l Labels) Of(t TrackRef) (speaker, role string) {
	if c, ok := l[t.Number]; ok {
		return c.Speaker, c.Role
	}
	return t.Speaker, t.Role
}

// LabelsOf returns what the corrections among events say.
func LabelsOf(events []Event) Labels {
	l := make(Labels)
	for _, e := range events {
		l.Learn(e)
	}
	return l
}
