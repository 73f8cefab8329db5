// Package plug is all that a partner links: Serve turns an adapter into a plugin
// that a patchbay host can run. It knows nothing of Google, and nothing of the
// host's side, which is package plug/host. The protocol between the two is
// plug/proto's plug.proto.
//
// A plugin is a main of a few lines:
//
//	func main() { plug.Serve("acme", acme.DefaultConfig(), acme.New) }
package plug

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime/debug"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/plug/internal/wire"
)

// Simulator plays the vendor: it is what `<plugin> simulate …` runs. args are the
// words after "simulate", the result is the exit code.
type Simulator func(ctx context.Context, args []string, stdout, stderr io.Writer) int

// Option is an option of Serve.
type Option func(*program)

// WithSimulator gives the plugin a simulator of its vendor.
func WithSimulator(run func(ctx context.Context, args []string, stdout, stderr io.Writer) int) Option {
	return func(p *program) { p.simulate = run }
}

// WithVersion sets the version that the plugin states. Without it, it is that of
// the main module or the revision it was built from.
func WithVersion(version string) Option { return func(p *program) { p.version = version } }

// program is a plugin binary with its generics erased.
type program struct {
	name      string
	version   string
	schema    []byte
	defaults  []byte
	listeners []adapter.Listener
	abilities []string
	simulate  Simulator
	// build reads settings; the function it returns makes the adapter.
	build func(settings []byte) (adapter.Config, func() (adapter.Adapter, error), error)
}

// Serve runs the program of a plugin and does not return. Started by a host it
// serves the adapter that newAdapter makes; run by hand it says what it is, or
// simulates the vendor.
//
// name is the adapter's short name. C is the settings struct: the host's settings
// are decoded over defaults, unknown keys are refused, then Validate has its say.
// Optional abilities (adapter.Attacher, adapter.Detacher) are found by the methods
// of A.
func Serve[C adapter.Config, A adapter.Adapter](name string, defaults C, newAdapter func(C) (A, error), opts ...Option) {
	p, err := newProgram(name, defaults, newAdapter, opts)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitFailure)
	}
	os.Exit(p.main(os.Args[1:], os.Stdout, os.Stderr))
}

func newProgram[C adapter.Config, A adapter.Adapter](name string, defaults C, newAdapter func(C) (A, error), opts []Option) (*program, error) {
	schema, err := schemaOf[C]()
	if err != nil {
		return nil, err
	}
	defaultsJSON, err := json.Marshal(defaults)
	if err != nil {
		return nil, fmt.Errorf("plug: defaults of %s: %w", name, err)
	}
	p := &program{name: name, version: buildVersion(), schema: schema, defaults: defaultsJSON, listeners: defaults.Listeners()}
	p.build = func(settings []byte) (adapter.Config, func() (adapter.Adapter, error), error) {
		c, err := decode[C](defaultsJSON, settings)
		if err != nil {
			return nil, nil, err
		}
		return c, func() (adapter.Adapter, error) { return newAdapter(c) }, nil
	}
	for _, l := range p.listeners {
		if l.Network != adapter.NetworkOf(l.Name) {
			return nil, fmt.Errorf("plug: listener %q of %s has network %q; by its name it is %s", l.Name, name, l.Network, adapter.NetworkOf(l.Name))
		}
	}
	for _, o := range opts {
		o(p)
	}
	if has[A, adapter.Attacher]() {
		p.abilities = append(p.abilities, wire.AbilityAttach)
	}
	if has[A, adapter.Detacher]() {
		p.abilities = append(p.abilities, wire.AbilityDetach)
	}
	if p.simulate != nil {
		p.abilities = append(p.abilities, wire.AbilitySimulate)
	}
	return p, nil
}

func has[A, I any]() bool { return reflect.TypeFor[A]().Implements(reflect.TypeFor[I]()) }

func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" {
		return v
	}
	return "(devel)"
}

// Exit codes.
const (
	exitFailure = 1
	exitUsage   = 2
)

// main is the program after its set-up; it returns the exit code.
func (p *program) main(args []string, stdout, stderr io.Writer) int {
	switch {
	case len(args) > 0 && args[0] == "simulate":
		if p.simulate == nil {
			_, _ = fmt.Fprintf(stderr, "%s has no simulator\n", p.name)
			return exitUsage
		}
		return p.runSimulator(args[1:], stdout, stderr)
	case len(args) > 0 && args[0] == "--version":
		_, _ = fmt.Fprintf(stdout, "%s %s\n", p.name, p.version)
		return 0
	case len(args) > 0 && (args[0] == "--help" || args[0] == "-h" || args[0] == "help"):
		p.usage(stdout)
		return 0
	case len(args) > 0 || os.Getenv(wire.CookieKey) != wire.CookieValue:
		p.usage(stderr)
		return exitUsage
	}
	return p.serve()
}

// usage says politely that this is no program to run by hand.
func (p *program) usage(w io.Writer) {
	self := filepath.Base(os.Args[0])
	_, _ = fmt.Fprintf(w, `%s (%s %s) is an adapter plugin of patchbay.
A patchbay host starts it: put this into the host's configuration.

  adapters:
    - name: my-%s
      plugin: %s

`, self, p.name, p.version, p.name, p.name)
	if p.simulate != nil {
		_, _ = fmt.Fprintf(w, "  %s simulate --help   plays the vendor against a running host\n", self)
	}
	_, _ = fmt.Fprintf(w, "  %s --version\n", self)
}
