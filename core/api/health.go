package api

import (
	"context"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// Health is what a probe learns.
type Health struct {
	Ready    bool     `json:"ready"`
	NotReady []string `json:"not_ready,omitempty" doc:"What is missing, for people."`
}

func (s *Server) addHealth(spec huma.API) {
	healthz := operation("healthz", http.MethodGet, "/healthz", "host", "Is the process alive?", "")
	readyz := operation("readyz", http.MethodGet, "/readyz", "host", "Does the host take calls?", "All adapters are ready, and the host is not shutting down.")
	readyz.Responses = map[string]*huma.Response{"503": {Description: "It does not; the body has the form of 200's."}}
	for _, op := range []*huma.Operation{&healthz, &readyz} {
		op.Security, op.Errors = nil, nil // for everybody
	}
	huma.Register(spec, healthz, func(context.Context, *struct{}) (*healthOutput, error) {
		return &healthOutput{Status: http.StatusOK, Body: Health{Ready: true}}, nil
	})
	huma.Register(spec, readyz, s.readyz)
}

type healthOutput struct {
	Status int
	Body   Health
}

func (s *Server) readyz(context.Context, *struct{}) (*healthOutput, error) {
	missing := s.notReady()
	if len(missing) > 0 {
		return &healthOutput{Status: http.StatusServiceUnavailable, Body: Health{NotReady: missing}}, nil
	}
	return &healthOutput{Status: http.StatusOK, Body: Health{Ready: true}}, nil
}

// notReady names what keeps the host from taking calls, without anything that
// strangers should not know.
func (s *Server) notReady() []string {
	var missing []string
	if s.calls.Draining() {
		missing = append(missing, "the host is shutting down")
	}
	for _, a := range s.adapters.List() {
		if a.State != AdapterReady {
			missing = append(missing, fmt.Sprintf("adapter %s is %s", a.Name, a.State))
		}
	}
	return missing
}
