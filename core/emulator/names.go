package emulator

import (
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
)

// resource is a parsed name: projects/P/locations/L, then a collection and an id
// for each kind asked for. The short form without a location means global.
type resource struct {
	project, location string
	ids               []string
}

// parent returns projects/P/locations/L.
func (r resource) parent() string { return "projects/" + r.project + "/locations/" + r.location }

// parseName reads a name that consists of a parent and one pair for each kind.
func parseName(name string, kinds ...string) (resource, error) {
	parts := strings.Split(name, "/")
	want := "projects/P/locations/L"
	for _, k := range kinds {
		want += "/" + k + "/ID"
	}
	wrong := invalid("name %.200q is not of the form %s", name, want)
	r := resource{location: DefaultLocation}
	if len(parts) < 2 || parts[0] != "projects" {
		return resource{}, wrong
	}
	r.project, parts = parts[1], parts[2:]
	if len(parts) >= 2 && parts[0] == "locations" {
		r.location, parts = parts[1], parts[2:]
	}
	if len(parts) != 2*len(kinds) || r.project == "" || r.location == "" {
		return resource{}, wrong
	}
	for i, k := range kinds {
		if parts[2*i] != k || parts[2*i+1] == "" {
			return resource{}, wrong
		}
		r.ids = append(r.ids, parts[2*i+1])
	}
	return r, nil
}

// resolve parses a name and checks that its project and location exist.
func (s *Server) resolve(name string, kinds ...string) (resource, error) {
	r, err := parseName(name, kinds...)
	if err != nil {
		return resource{}, err
	}
	return r, firstError(
		s.rule(RuleProject, slices.Contains(s.cfg.Projects, r.project), codes.PermissionDenied,
			"project %.100q is not one of this emulator's; it has %s", r.project, strings.Join(s.cfg.Projects, ", ")),
		s.rule(RuleLocation, slices.Contains(s.cfg.Locations, r.location), codes.InvalidArgument,
			"location %.100q does not exist; this emulator has %s", r.location, strings.Join(s.cfg.Locations, ", ")))
}
