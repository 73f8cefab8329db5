package five9

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// The attached variables that mean something to us. The names of the numbers are those
// of Five9's call variables; that events carry them is not verified.
const (
	variableSession = "Call.session_id" // what the agent's desktop knows the call by
	variableCall    = "Call.call_id"    // vcc_call_id of its streams
	variableFrom    = "Call.ANI"
	variableTo      = "Call.DNIS"
)

// errEvent means that a body is no event that we can use.
var errEvent = errors.New("it is no JSON object of the expected form")

// decodeEvent reads a call event: its call id and its attached variables that are
// numbers, words or truth values. Other members are Five9's own business.
func decodeEvent(body []byte) (call string, variables map[string]string, err error) {
	var m struct {
		Payload struct {
			Variables map[string]json.RawMessage `json:"attached_variables"`
		} `json:"payload"`
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return "", nil, errEvent
	}
	variables = map[string]string{}
	for name, raw := range m.Payload.Variables {
		if value, ok := scalar(raw); ok && name != "" && value != "" {
			variables[name] = value
		}
	}
	call = variables[variableCall]
	delete(variables, variableCall)
	if !idForm.MatchString(call) {
		return "", nil, errors.New("it has no attached variable " + variableCall)
	}
	return call, variables, nil
}

// scalar returns a JSON value as text, unless it is null, an array or an object.
func scalar(raw json.RawMessage) (string, bool) {
	switch text := strings.TrimSpace(string(raw)); {
	case text == "" || text == "null" || text[0] == '{' || text[0] == '[':
		return "", false
	case text[0] == '"':
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err == nil
	default:
		return text, true
	}
}

// wanted drops the variables that the settings do not list.
func (c Config) wanted(variables map[string]string) {
	if len(c.Variables) == 0 {
		return
	}
	for name := range variables {
		if name != variableSession && !slices.Contains(c.Variables, name) {
			delete(variables, name)
		}
	}
}

// streamEvent is what Five9 reports of its own end of a stream.
type streamEvent struct {
	Call   text `json:"callId"`
	Domain text `json:"domainId"`
	Leg    text `json:"callLeg"`
	Status text `json:"status"`
	Type   text `json:"failureType"`
	Detail text `json:"failureDetail"`
}

// text is a JSON string, or a number where one is expected.
type text string

// UnmarshalJSON takes numbers and truth values as they are written, and anything else
// that is no string as empty.
func (t *text) UnmarshalJSON(b []byte) error {
	s, _ := scalar(b)
	*t = text(strings.ToValidUTF8(s, "?"))
	return nil
}

// decodeStreamEvent reads a stream event.
func decodeStreamEvent(body []byte) (streamEvent, error) {
	var e streamEvent
	if err := json.Unmarshal(body, &e); err != nil {
		return e, errEvent
	}
	if e.Status == "" {
		return e, errors.New("it has no status")
	}
	return e, nil
}

// words returns what failed, for people: quoted, since a stranger wrote it.
func (e streamEvent) words() string {
	s := strconv.Quote(clip(string(e.Type), 60))
	if e.Detail != "" {
		s += ": " + strconv.Quote(clip(string(e.Detail), 200))
	}
	return s
}
