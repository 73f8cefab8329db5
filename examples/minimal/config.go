package main

import (
	"fmt"

	"github.com/patchbay/patchbay/core/adapter"
)

// Config is the settings block of a minimal adapter.
type Config struct {
	Accounts []Account `json:"accounts" jsonschema:"description=who may send calls"`
}

// Account is a sender that we know.
type Account struct {
	Name  string         `json:"name" jsonschema:"description=names the tenant's account in rules and logs"`
	Token adapter.Secret `json:"token" jsonschema:"description=shared secret that the sender shows in its hello"`
}

// MinTokenLength is the shortest token that Validate accepts.
const MinTokenLength = 16

// DefaultConfig returns the settings that hold when the file says nothing.
func DefaultConfig() Config { return Config{} }

// Listeners implements adapter.Config.
func (Config) Listeners() []adapter.Listener {
	return []adapter.Listener{{Name: "audio", Network: "tcp"}}
}

// Validate implements adapter.Config.
func (c Config) Validate() error {
	var ps adapter.Problems
	if len(c.Accounts) == 0 {
		ps.Add("accounts", "", "nobody could send a call", "add a name and a token")
	}
	names, tokens := map[string]bool{}, map[adapter.Secret]bool{}
	for i, a := range c.Accounts {
		key := fmt.Sprintf("accounts[%d]", i)
		if a.Name == "" || names[a.Name] {
			ps.Add(key+".name", a.Name, "is empty or used twice", "give every account its own name")
		}
		if len(a.Token) < MinTokenLength {
			ps.Add(key+".token", "", fmt.Sprintf("is shorter than %d characters", MinTokenLength), "use a longer random one")
		} else if tokens[a.Token] {
			ps.Add(key+".token", "", "belongs to another account too", "give every account its own token")
		}
		names[a.Name], tokens[a.Token] = true, true
	}
	return ps.Err()
}
