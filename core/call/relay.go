package call

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/assist"
)

// Relay makes a client's unary call if a route allows it; see adapter.Relayer.
func (s sink) Relay(ctx context.Context, r adapter.RelayRequest) ([]byte, error) {
	route, u, err := s.m.relayed(s.adapter, r)
	if err != nil {
		s.m.log.Debug("a relayed call is refused", "adapter", s.adapter, "account", r.Principal.Account, "method", r.Method, "err", err)
		s.m.countRelay(false)
		return nil, err
	}
	s.m.countRelay(true)
	answer, err := s.m.pool.Relay(ctx, route.Google, u)
	if err != nil {
		return nil, statusOf(err)
	}
	return answer, nil
}

func refuse(code codes.Code, format string, args ...any) error {
	return &adapter.StatusError{Code: int(code), Text: "patchbay: " + fmt.Sprintf(format, args...)}
}

// relayed finds the route of a call and checks that it lies within.
func (m *Manager) relayed(adapterName string, r adapter.RelayRequest) (Route, assist.Unary, error) {
	none := func(err error) (Route, assist.Unary, error) { return Route{}, assist.Unary{}, err }
	u, names, err := assist.ReadUnary(r.Method, r.Message)
	switch {
	case err != nil && u.Method == "":
		return none(refuse(codes.Unimplemented, "%v", err))
	case err != nil:
		return none(refuse(codes.PermissionDenied, "%v", err))
	case len(names) == 0:
		return none(refuse(codes.InvalidArgument, "the request names no resource"))
	}
	tenant, err := m.cfg.tenantOf(adapterName, r.Principal)
	if err != nil {
		return none(refuse(codes.PermissionDenied, "nobody owns this account"))
	}
	info := adapter.LegInfo{Principal: r.Principal, Claims: make(map[string]string)}
	info.Claims[claimProject], info.Claims[claimLocation] = assist.ProjectOf(names[0])
	i, err := routeOf(m.cfg.Routes, adapterName, tenant, info)
	if err != nil {
		return none(refuse(codes.PermissionDenied, "no route is for this account and project"))
	}
	route := m.cfg.Routes[i]
	if !assist.Allows(route.Relay, r.Method) {
		return none(refuse(codes.PermissionDenied, "%s is not among what this account may use", r.Method[strings.LastIndex(r.Method, ".")+1:]))
	}
	for _, name := range names {
		if !route.Google.Contains(name) {
			return none(refuse(codes.PermissionDenied, "%.200s lies outside of the project and location that this account may use", name))
		}
		if !route.knows(name) {
			return none(refuse(codes.PermissionDenied, "%.200s is not among the profiles that this account may use", name))
		}
	}
	return route, u, nil
}

// knows reports whether a name is not that of a profile which the route does not list.
func (r Route) knows(name string) bool {
	_, id, ok := strings.Cut(name, "/conversationProfiles/")
	if !ok || r.Profile == "" {
		return true
	}
	same := func(p string) bool { return p[strings.LastIndex(p, "/")+1:] == id }
	return same(r.Profile) || slices.ContainsFunc(r.Profiles, same)
}

// countRelay counts a call that was relayed, or refused.
func (m *Manager) countRelay(made bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if made {
		m.relays++
	} else {
		m.relaysRefused++
	}
}
