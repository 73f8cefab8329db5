package assist

import (
	"errors"
	"fmt"
	"strings"
)

// Google says which project, region and credentials serve a conversation. It is
// comparable: each value has its own connections.
type Google struct {
	Project  string
	Location string // "global" when empty
	// Endpoint replaces the regional host, as host:port: the emulator, a private
	// endpoint.
	Endpoint string
	// Insecure means plaintext and no credentials: for the emulator only.
	Insecure bool
	// Credentials is the path of a key file; empty means Application Default
	// Credentials.
	Credentials string
	// QuotaProject is charged for the requests; empty means the credentials' own.
	QuotaProject string
	// Quotas are the project's numbers; zero fields mean Options.Quotas.
	Quotas Quotas
}

// GlobalLocation is where a Google without Location lives.
const GlobalLocation = "global"

// Validate joins all problems, one line each, by the key of the configuration.
func (g Google) Validate() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if g.Project == "" {
		add("google.project: missing; name the project of the conversation profile")
	}
	if strings.ContainsAny(g.Project+g.Location, "/ ") {
		add("google.project, google.location: %q, %q: want plain ids, not resource names", g.Project, g.Location)
	}
	if g.Insecure && g.Endpoint == "" {
		add("google.insecure: plaintext without google.endpoint; it is for the emulator alone")
	}
	if g.Insecure && g.Credentials != "" {
		add("google.insecure: would send credentials in the clear; remove google.credentials or google.insecure")
	}
	return errors.Join(errs...)
}

func (g Google) location() string {
	if g.Location == "" {
		return GlobalLocation
	}
	return g.Location
}

// address returns host:port. The host and the location of the resources must
// agree (Google's regionalization page, March 2026).
func (g Google) address() string {
	switch {
	case g.Endpoint != "":
		return g.Endpoint
	case g.location() == GlobalLocation:
		return "dialogflow.googleapis.com:443"
	default:
		return g.Location + "-dialogflow.googleapis.com:443"
	}
}

// ConversationName returns the full name of a conversation.
func (g Google) ConversationName(id string) string { return g.parent() + "/conversations/" + id }

// parent is the resource that conversations and profiles lie in.
func (g Google) parent() string {
	return "projects/" + g.Project + "/locations/" + g.location()
}
