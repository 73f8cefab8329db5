package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/patchbay/patchbay/core/call"
)

// CallPath names a call in the path of a request.
type CallPath struct {
	ID string `path:"id" maxLength:"512" doc:"Patchbay's id of the call, the vendor's, or that of the conversation. The newest call wins."`
}

// CallList is the calls of this host.
type CallList struct {
	Calls []call.Summary `json:"calls" nullable:"false" doc:"Live calls and those that ended lately, newest first."`
}

func (s *Server) addCalls(spec huma.API) {
	huma.Register(spec, operation("list-calls", http.MethodGet, "/v1/calls", "calls", "List calls", ""), s.listCalls)
	huma.Register(spec, operation("get-call", http.MethodGet, "/v1/calls/{id}", "calls", "Show a call",
		"State, legs, participants, tracks with the account of every sample: everything but what was said.", http.StatusNotFound), s.getCall)
}

type listCallsInput struct {
	State string `query:"state" enum:"active,ending,ended" doc:"Only calls in this state."`
}

type listCallsOutput struct{ Body CallList }

func (s *Server) listCalls(_ context.Context, in *listCallsInput) (*listCallsOutput, error) {
	out := &listCallsOutput{Body: CallList{Calls: []call.Summary{}}}
	for _, c := range s.calls.Calls() {
		if sum := c.Summary(); in.State == "" || in.State == string(sum.State) {
			out.Body.Calls = append(out.Body.Calls, sum)
		}
	}
	return out, nil
}

type getCallOutput struct{ Body call.Info }

func (s *Server) getCall(_ context.Context, in *CallPath) (*getCallOutput, error) {
	c, err := s.find(in.ID)
	if err != nil {
		return nil, err
	}
	out := &getCallOutput{Body: c.Info()}
	if out.Body.LegList == nil {
		out.Body.LegList = []call.LegInfo{}
	}
	if out.Body.Tracks == nil {
		out.Body.Tracks = []call.TrackInfo{}
	}
	return out, nil
}

// find returns the newest call of that name, or what to tell the client.
func (s *Server) find(name string) (*call.Call, error) {
	c, ok := s.calls.Find(name)
	if !ok {
		return nil, problem(http.StatusNotFound, "there is no call %q: it has not come, or it ended long ago; /v1/calls lists those there are", shorten(name))
	}
	return c, nil
}

// shorten keeps what a client sent short enough for a line.
func shorten(s string) string {
	const most = 80
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return s
}
