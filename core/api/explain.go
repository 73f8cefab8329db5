package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/patchbay/patchbay/core/call"
)

func (s *Server) addExplain(spec huma.API) {
	huma.Register(spec, operation("explain-call", http.MethodGet, "/v1/calls/{id}/explain", "calls", "Why is there no transcript?",
		"Follows the audio from the vendor to Agent Assist and says what stands in its way.", http.StatusNotFound), s.explain)
}

type explainOutput struct{ Body call.Explanation }

func (s *Server) explain(_ context.Context, in *CallPath) (*explainOutput, error) {
	c, err := s.find(in.ID)
	if err != nil {
		return nil, err
	}
	return &explainOutput{Body: c.Explain()}, nil
}
