package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/patchbay/patchbay/core/call"
)

// PauseBody says why a call is paused or resumed.
type PauseBody struct {
	Reason string `json:"reason,omitempty" maxLength:"200" doc:"For people; it stands in the call's log and goes to the vendor."`
}

func (s *Server) addPause(spec huma.API) {
	for _, verb := range []struct {
		name, summary, text string
		do                  func(*call.Call, string) error
	}{
		{"pause", "Withhold a call's audio", "For privacy, while card data is read out or consent is missing: from here on the audio is neither kept nor sent. Pausing a paused call changes nothing.", (*call.Call).Pause},
		{"resume", "Hear a paused call again", "What the vendor itself paused stays paused.", (*call.Call).Resume},
	} {
		op := operation(verb.name, http.MethodPost, "/v1/calls/{id}/"+verb.name, "calls", verb.summary, verb.text, http.StatusNotFound, http.StatusConflict)
		op.DefaultStatus = http.StatusNoContent
		huma.Register(spec, op, func(_ context.Context, in *pauseInput) (*struct{}, error) {
			c, err := s.find(in.ID)
			if err != nil {
				return nil, err
			}
			if err := verb.do(c, in.Body.Reason); err != nil {
				return nil, problem(http.StatusConflict, "%v", err)
			}
			return nil, nil
		})
	}
}

type pauseInput struct {
	CallPath
	Body PauseBody
}
