package adapter

import (
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// Config is what an adapter's settings struct offers. Its JSON form is the
// settings block of the configuration file; package plug derives the schema from
// the struct (json and jsonschema tags) and the defaults from a value of it.
type Config interface {
	// Validate returns Problems with every mistake, or nil.
	Validate() error
	// Listeners names the sockets that the adapter opens with Env.Listen and
	// Env.ListenPacket.
	Listeners() []Listener
}

// Listener is a socket of an adapter, by name.
type Listener struct {
	Name    string // "http", "sip_udp"
	Network string // NetworkOf(Name)
	// AnyOf makes a listener optional: of those with the same word, the configuration
	// must give one an address. Env.Listen fails with ErrNoListener for the others.
	AnyOf string
}

// The networks of listeners.
const (
	NetworkTCP = "tcp" // Env.Listen
	NetworkUDP = "udp" // Env.ListenPacket
)

// NetworkOf returns the network of a listener: NetworkUDP for "udp" and names that end
// in "_udp", else NetworkTCP. The name says it, because a host opens the sockets before
// it knows the plugin.
func NetworkOf(listener string) string {
	if listener == NetworkUDP || strings.HasSuffix(listener, "_"+NetworkUDP) {
		return NetworkUDP
	}
	return NetworkTCP
}

// MissingListeners returns a problem for each listener that needs an address and has
// none. has says whether the configuration names one.
func MissingListeners(ls []Listener, has func(name string) bool) Problems {
	var ps Problems
	for i, l := range ls {
		if l.AnyOf == "" {
			if !has(l.Name) {
				ps.Add("listen."+l.Name, "", "the adapter needs this listener", fmt.Sprintf("give it a %s address, such as :8443", l.Network))
			}
			continue
		}
		var names []string
		first, some := i, false
		for j, other := range ls {
			if other.AnyOf == l.AnyOf {
				first, some = min(first, j), some || has(other.Name)
				names = append(names, other.Name)
			}
		}
		if first == i && !some {
			ps.Add("listen", "", "the adapter needs one of "+strings.Join(names, ", "), "give at least one an address, such as :5060")
		}
	}
	return ps
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

// Digits returns the digits of the number without what leads out of a country, so that
// "+1 555-0100", "0015550100" and the SIP user "15550100" are the same. What is no number
// stays as it is.
func (n E164) Digits() string {
	digits := make([]byte, 0, len(n))
	for i := range len(n) {
		switch b := n[i]; {
		case b >= '0' && b <= '9':
			digits = append(digits, b)
		case strings.IndexByte("+-. ()/", b) < 0:
			return string(n)
		}
	}
	if out := strings.TrimLeft(string(digits), "0"); out != "" {
		return out
	}
	return string(n)
}

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
