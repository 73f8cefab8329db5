package host

import (
	"encoding/json"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
)

// Config is one instance of an adapter, run as a plugin process.
type Config struct {
	Name   string // of the instance, such as "twilio-eu"
	Path   string // the plugin's binary
	SHA256 string // in hex; empty pins what the first start finds
	// Settings are the adapter's settings as JSON, secrets resolved. When Prepare is set,
	// its result is used instead: it gets the plugin's own description, so that settings
	// can be checked against the schema without starting the plugin twice.
	Settings json.RawMessage
	Prepare  func(Description) (json.RawMessage, error)
	// Listeners maps the adapter's listeners to addresses of their network
	// (adapter.NetworkOf). The host opens them and keeps them open while the plugin
	// restarts.
	Listeners map[string]string
	// TLSCert and TLSKey are PEM files for the adapter's listeners; empty without TLS.
	TLSCert, TLSKey string
	// Env is added to the plugin's environment (KEY=VALUE), which is empty otherwise:
	// HTTPS_PROXY, for example.
	Env []string
	Log *slog.Logger // nil discards

	StartTimeout time.Duration // from start to ready; zero means DefaultStartTimeout
	DrainTimeout time.Duration // for live legs to end before a stop; zero means DefaultDrainTimeout, negative none
	StopTimeout  time.Duration // from then until the process is killed; zero means DefaultStopTimeout
	Health       time.Duration // between two questions after the plugin's health; zero means DefaultHealth
	Restart      RestartPolicy
}

// Defaults of Config.
const (
	DefaultStartTimeout = 10 * time.Second
	DefaultDrainTimeout = 30 * time.Second
	DefaultStopTimeout  = 10 * time.Second
	DefaultHealth       = 5 * time.Second
)

// RestartPolicy says what follows when a plugin dies. Pauses grow from First to
// Longest and start over once the plugin was up for Window. After Limit deaths within
// Window the plugin counts as failed and is left alone for Rest.
type RestartPolicy struct {
	First, Longest time.Duration
	Limit          int
	Window, Rest   time.Duration
}

// DefaultRestart is used for the fields of RestartPolicy that are zero.
var DefaultRestart = RestartPolicy{
	First: 100 * time.Millisecond, Longest: 10 * time.Second,
	Limit: 5, Window: time.Minute, Rest: time.Minute,
}

// healthFailures is how many questions in a row may stay unanswered before the
// process is killed.
const healthFailures = 3

func (c Config) withDefaults() Config {
	c.StartTimeout = or(c.StartTimeout, DefaultStartTimeout)
	c.DrainTimeout = max(0, or(c.DrainTimeout, DefaultDrainTimeout))
	c.StopTimeout = or(c.StopTimeout, DefaultStopTimeout)
	c.Health = or(c.Health, DefaultHealth)
	r, d := &c.Restart, DefaultRestart
	r.First, r.Longest = or(r.First, d.First), or(r.Longest, d.Longest)
	r.Limit, r.Window, r.Rest = or(r.Limit, d.Limit), or(r.Window, d.Window), or(r.Rest, d.Rest)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Log = c.Log.With("adapter", c.Name)
	if abs, err := filepath.Abs(c.Path); err == nil && c.Path != "" {
		c.Path = abs // never looked up in PATH
	}
	return c
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// Description is what a plugin says of itself.
type Description struct {
	Name      string // the adapter's short name
	Version   string
	Abilities []string        // "attach", "detach", "simulate"
	Schema    json.RawMessage // JSON Schema of the settings; format "secret" marks secrets
	Defaults  json.RawMessage
	Listeners []adapter.Listener // with the default settings
	SHA256    string             // of the binary, in hex
}
