package oem

import (
	"strings"
	"testing"

	"github.com/patchbay/patchbay/adapters/oem/linking"
	"github.com/patchbay/patchbay/core/adapter"
)

// Each mistake is one line that names the key.
func TestMistakes(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"trunks: none is listed":                    func(c *Config) { c.Trunks = nil },
		"trunks[0]: it states neither":              func(c *Config) { c.Trunks[0].Addresses = nil },
		"trunks[0].name = \"My SBC\"":               func(c *Config) { c.Trunks[0].Name = "My SBC" },
		"trunks[1].name = \"sbc\": another":         func(c *Config) { c.Trunks = append(c.Trunks, c.Trunks[0]) },
		"trunks[0].addresses[0] = \"here\"":         func(c *Config) { c.Trunks[0].Addresses[0] = "here" },
		"trunks[0].users[0].password: it has fewer": func(c *Config) { c.Trunks[0].Users = []User{{Name: "sbc", Password: "1234"}} },
		"trunks[0].mixed = \"both\"":                func(c *Config) { c.Trunks[0].Mixed = "both" },
		"trunks[0].srtp = \"yes\"":                  func(c *Config) { c.Trunks[0].SRTP = "yes" },
		"trunks[0].codecs[0] = \"G729\"":            func(c *Config) { c.Trunks[0].Codecs = append(c.Trunks[0].Codecs, "G729") },
		"trunks[0].linking: templates[0]":           func(c *Config) { c.Trunks[0].Linking.Templates = []linking.Template{{From: "somewhere"}} },
		"trunks[0].roles: ":                         func(c *Config) { c.Trunks[0].Roles.Labels = map[string]adapter.Role{"1": "boss"} },
		"trunks[0].media_networks[0] = \"lan\"":     func(c *Config) { c.Trunks[0].MediaNetworks = []string{"lan"} },
		"client_ca: a trunk states certificates":    func(c *Config) { c.Trunks[0].Certificates = []string{"sbc.example.com"} },
		"client_ca = \"/nowhere\"":                  func(c *Config) { c.ClientCA = "/nowhere" },
		"address = \"0.0.0.0\"":                     func(c *Config) { c.Address = "0.0.0.0" },
		"media.bind = \"eth0\"":                     func(c *Config) { c.Media.Bind = "eth0" },
		"media.ports = \"5\"":                       func(c *Config) { c.Media.Ports = "5" },
		"media.jitter = \"2s\"":                     func(c *Config) { c.Media.Jitter = adapter.Duration(2e9) },
		"media.rest = \"-1s\"":                      func(c *Config) { c.Media.Rest = adapter.Duration(-1e9) },
		"media.idle = \"1ms\"":                      func(c *Config) { c.Media.Idle = adapter.Duration(1e6) },
		"session.min_expires = \"1s\"":              func(c *Config) { c.Session.MinExpires = adapter.Duration(1e9) },
		"session.expires = \"1s\"":                  func(c *Config) { c.Session.Expires = adapter.Duration(1e9) },
		"limits.max_streams = \"0\"":                func(c *Config) { c.Limits.MaxStreams = 0 },
		"limits.request_rate = \"0\": nobody":       func(c *Config) { c.Limits.RequestRate = 0 },
	} {
		cfg := testConfig()
		change(&cfg)
		err := cfg.Validate()
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "1234") {
			t.Errorf("Validate = %v; want one line that begins with %s", err, want)
		}
	}
	good, open := testConfig(), DefaultConfig()
	open.Insecure = true
	open.Trunks = []Trunk{{Name: DefaultTrunk, Mixed: MixedCustomer}}
	for _, cfg := range []Config{good, open} {
		if err := cfg.Validate(); err != nil {
			t.Errorf("Validate = %v", err)
		}
	}
}
