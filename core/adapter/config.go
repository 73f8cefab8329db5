package adapter

import (
	"fmt"
	"log/slog"
	"time"
)

// Config is what an adapter's settings struct offers. Its JSON form is the
// settings block of the configuration file; package plug derives the schema from
// the struct (json and jsonschema tags) and the defaults from a value of it.
type Config interface {
	// Validate returns Problems with every mistake, or nil.
	Validate() error
	// Listeners names the sockets that the adapter opens with Env.Listen.
	Listeners() []Listener
}

// Listener is a socket of an adapter, by name.
type Listener struct {
	Name    string // "http"
	Network string // "tcp"
}

// Secret is a password, token or key. In the configuration file it is always a
// reference (env:NAME or file:PATH), which the host resolves; the adapter gets the
// value. It never shows in logs.
type Secret string

// LogValue hides the secret.
func (Secret) LogValue() slog.Value { return slog.StringValue("(secret)") }

// String hides the secret from fmt; convert to string to use it.
func (Secret) String() string { return "(secret)" }

// GoString hides the secret from fmt's %#v.
func (Secret) GoString() string { return "(secret)" }

// E164 is a telephone number with country code ("+15550100"), or what the vendor
// gives in its place (a SIP user, "anonymous").
type E164 string

// LogValue shows the last two characters only.
func (n E164) LogValue() slog.Value {
	if len(n) <= 4 {
		return slog.StringValue("…")
	}
	return slog.StringValue("…" + string(n[len(n)-2:]))
}

// Duration is a length of time that configuration files write "20ms" or "5m".
type Duration time.Duration

// String writes the duration as configuration files do.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText writes the duration as configuration files do.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads "20ms" or "5m". A number without a unit is refused.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a length of time; write it like 20ms or 5m", text)
	}
	*d = Duration(v)
	return nil
}
