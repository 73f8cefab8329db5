package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/call"
)

// RoleBody says who speaks on a track.
type RoleBody struct {
	Role   adapter.Role `json:"role" enum:"end_user,human_agent,other"`
	Reason string       `json:"reason,omitempty" maxLength:"200" doc:"For people; it stands in the call's log as the evidence."`
}

func (s *Server) addRole(spec huma.API) {
	huma.Register(spec, operation("correct-role", http.MethodPost, "/v1/calls/{id}/tracks/{track}/role", "calls", "Correct who speaks on a track",
		"While the call runs. The transcript shows what was said before under the corrected role (the log gets an event and is not changed); "+
			"the audio that follows goes to another participant of Agent Assist. What Agent Assist has stored so far stays under the old role: see stored_role. "+
			"It holds against what the adapter says later of this speaker. To say what is right already confirms it.",
		http.StatusNotFound, http.StatusConflict), s.correctRole)
}

type roleInput struct {
	CallPath
	Track string `path:"track" maxLength:"512" doc:"The vendor's name of the track, or its number, as @3."`
	Body  RoleBody
}

type roleOutput struct{ Body call.TrackInfo }

func (s *Server) correctRole(_ context.Context, in *roleInput) (*roleOutput, error) {
	c, err := s.find(in.ID)
	if err != nil {
		return nil, err
	}
	t, err := c.CorrectRole(in.Track, in.Body.Role, in.Body.Reason)
	switch {
	case errors.Is(err, call.ErrNoTrack):
		return nil, problem(http.StatusNotFound, "%v %q; its tracks are at /v1/calls/%s", err, shorten(in.Track), c.ID())
	case errors.Is(err, call.ErrAmbiguous):
		return nil, problem(http.StatusConflict, "%v; name it by its number, as @3; they are at /v1/calls/%s", err, c.ID())
	case err != nil:
		return nil, problem(http.StatusConflict, "%v", err)
	}
	return &roleOutput{Body: t}, nil
}
