package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/patchbay/patchbay/core/adapter"
)

// Adapters is what the API needs of the adapters that the host runs.
type Adapters interface {
	// List returns the instances in the order of the configuration.
	List() []AdapterStatus
	// Attach lets the named instance listen to a call that is running. Its errors
	// are *adapter.Error, so that their kind tells who must act.
	Attach(ctx context.Context, name string, r adapter.AttachRequest) (stream string, err error)
	// Detach stops what Attach started.
	Detach(ctx context.Context, name string, r adapter.DetachRequest) error
}

// AdapterStatus is how an adapter instance is.
type AdapterStatus struct {
	Name      string            `json:"name" doc:"Of the instance, as configured."`
	Plugin    string            `json:"plugin"`
	Version   string            `json:"version,omitempty" doc:"Of the plugin, once it has started."`
	State     AdapterState      `json:"state" enum:"starting,ready,restarting,failed,stopped"`
	Since     time.Time         `json:"since,omitzero" doc:"When it came into this state."`
	Restarts  int               `json:"restarts"`
	Problem   string            `json:"problem,omitempty" doc:"Why it is not ready, or why it last failed."`
	Abilities []string          `json:"abilities,omitempty" doc:"What it can do beside serving calls: attach, detach."`
	Listeners map[string]string `json:"listeners,omitempty" doc:"Its sockets by name, as host:port."`
	Counters  map[string]int64  `json:"counters,omitempty" doc:"What it counted outside of calls, such as refused handshakes by kind."`
}

// AdapterState is where an adapter instance is in its life.
type AdapterState string

// The states of an adapter instance.
const (
	AdapterStarting   AdapterState = "starting"
	AdapterReady      AdapterState = "ready"
	AdapterRestarting AdapterState = "restarting" // it failed and comes back by itself
	AdapterFailed     AdapterState = "failed"     // an operator must act
	AdapterStopped    AdapterState = "stopped"
)

// The abilities of AdapterStatus.
const (
	AbilityAttach = "attach"
	AbilityDetach = "detach"
)

// AdapterList is the adapters of this host.
type AdapterList struct {
	Adapters []AdapterStatus `json:"adapters" nullable:"false"`
}

// AttachBody names a running call in the vendor's words.
type AttachBody struct {
	Account string            `json:"account,omitempty" maxLength:"512" doc:"The vendor's account; may be missing when the instance has one."`
	Call    string            `json:"call" minLength:"1" maxLength:"512" doc:"The vendor's id of the call."`
	Claims  map[string]string `json:"claims,omitempty" maxProperties:"32" doc:"Fields that the call's legs will bring, for routing rules."`
}

// AttachResult names what Attach started.
type AttachResult struct {
	Stream string `json:"stream" doc:"The vendor's id of the new stream; detach takes it."`
}

// DetachBody names what Detach stops.
type DetachBody struct {
	Account string `json:"account,omitempty" maxLength:"512" doc:"The vendor's account; may be missing when the instance has one."`
	Call    string `json:"call" minLength:"1" maxLength:"512" doc:"The vendor's id of the call."`
	Stream  string `json:"stream,omitempty" maxLength:"512" doc:"What attach returned; all of the call's when missing."`
}

// AttachTimeout bounds how long a vendor may take to attach or detach.
const AttachTimeout = 20 * time.Second

func (s *Server) addAdapters(spec huma.API) {
	huma.Register(spec, operation("list-adapters", http.MethodGet, "/v1/adapters", "adapters", "List adapters", ""), s.listAdapters)
	op := operation("attach", http.MethodPost, "/v1/adapters/{name}/attach", "adapters", "Listen to a running call",
		"Asks the vendor to send the call's audio. The call appears under /v1/calls once it comes.", adapterErrors...)
	op.BodyReadTimeout = bodyTimeout(AttachTimeout)
	huma.Register(spec, op, s.attach)
	op = operation("detach", http.MethodPost, "/v1/adapters/{name}/detach", "adapters", "Stop listening to a call", "Stops what attach started.", adapterErrors...)
	op.DefaultStatus = http.StatusNoContent
	op.BodyReadTimeout = bodyTimeout(AttachTimeout)
	huma.Register(spec, op, s.detach)
}

var adapterErrors = []int{http.StatusNotFound, http.StatusNotImplemented, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}

type listAdaptersOutput struct{ Body AdapterList }

func (s *Server) listAdapters(context.Context, *struct{}) (*listAdaptersOutput, error) {
	out := &listAdaptersOutput{Body: AdapterList{Adapters: s.adapters.List()}}
	if out.Body.Adapters == nil {
		out.Body.Adapters = []AdapterStatus{}
	}
	return out, nil
}

// AdapterPath names an adapter instance in the path of a request.
type AdapterPath struct {
	Name string `path:"name" maxLength:"512" doc:"Of the adapter instance, as configured."`
}

type attachInput struct {
	AdapterPath
	Body AttachBody
}

type attachOutput struct{ Body AttachResult }

func (s *Server) attach(ctx context.Context, in *attachInput) (*attachOutput, error) {
	if err := s.able(in.Name, AbilityAttach); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, AttachTimeout)
	defer cancel()
	stream, err := s.adapters.Attach(ctx, in.Name, adapter.AttachRequest{Account: in.Body.Account, Call: in.Body.Call, Claims: in.Body.Claims})
	if err != nil {
		return nil, fromAdapter(err)
	}
	return &attachOutput{Body: AttachResult{Stream: stream}}, nil
}

type detachInput struct {
	AdapterPath
	Body DetachBody
}

func (s *Server) detach(ctx context.Context, in *detachInput) (*struct{}, error) {
	if err := s.able(in.Name, AbilityDetach); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, AttachTimeout)
	defer cancel()
	err := s.adapters.Detach(ctx, in.Name, adapter.DetachRequest{Account: in.Body.Account, Call: in.Body.Call, Stream: in.Body.Stream})
	if err != nil {
		return nil, fromAdapter(err)
	}
	return nil, nil
}

// able says why an instance cannot do what is asked, or nil.
func (s *Server) able(name, ability string) error {
	all := s.adapters.List()
	i := slices.IndexFunc(all, func(a AdapterStatus) bool { return a.Name == name })
	if i < 0 {
		return problem(http.StatusNotFound, "there is no adapter %q; /v1/adapters lists those there are", shorten(name))
	}
	switch a := all[i]; {
	case slices.Contains(a.Abilities, ability):
		return nil
	case a.State != AdapterReady && len(a.Abilities) == 0: // what it can do is not known yet
		return problem(http.StatusServiceUnavailable, "adapter %s is not ready (%s); try again later", a.Name, a.State)
	default:
		return problem(http.StatusNotImplemented, "adapter %s cannot %s: its plugin %s does not offer it", a.Name, ability, a.Plugin)
	}
}
