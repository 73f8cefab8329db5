package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/plug/internal/wire"
	plugv1 "github.com/patchbay/patchbay/core/plug/proto/patchbay/plug/v1"
)

// killPatience is how long go-plugin's orderly end may take before the process is
// killed under its hands.
const killPatience = 3 * time.Second

var errPluginEnd = errors.New("host: this is the host's end")

// process is one life of a plugin.
type process struct {
	client  *plugin.Client
	program *program
	rpc     plugv1.PluginClient
	sockets []*plugv1.Socket
	about   Description
}

// launch starts the binary and asks what it is. ctx bounds the start alone. The
// caller calls kill at the end.
func launch(ctx context.Context, c Config, pin string, s *sockets) (*process, error) {
	sum, err := inspect(c.Path, pin)
	if err != nil {
		return nil, err
	}
	files, messages, err := s.inherit()
	if err != nil {
		return nil, err
	}
	defer closeAll(files) // the child has its own
	p := &process{sockets: messages, program: newProgram(c.Path, c.Env, files, &stderr{log: c.Log})}
	p.client = plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig: wire.Handshake,
		Plugins:         plugin.PluginSet{wire.PluginKind: &kind{}},
		RunnerFunc: func(_ hclog.Logger, spec *exec.Cmd, dir string) (runner.Runner, error) {
			p.program.prepare(spec, dir)
			return p.program, nil
		},
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		Logger:           libraryLogger(c.Log),
		AutoMTLS:         true,
		SkipHostEnv:      true,
		StartTimeout:     c.StartTimeout + time.Second, // ctx is earlier, and ends all steps
		GRPCDialOptions:  wire.DialOptions(),
		UnixSocketConfig: &plugin.UnixSocketConfig{TempDir: socketBase()},
		SyncStdout:       &lines{emit: (&stderr{log: c.Log}).line}, // what the plugin prints later
		SyncStderr:       &lines{emit: (&stderr{log: c.Log}).line},
	})
	if err := p.meet(ctx, sum); err != nil {
		late := errors.Is(ctx.Err(), context.DeadlineExceeded)
		if !late { // let it end, so that we can say how
			p.settle()
		}
		err = explain(err, late, c.Path, p.program)
		p.kill()
		return nil, err
	}
	return p, nil
}

// meet waits for the handshake and for the plugin's description.
func (p *process) meet(ctx context.Context, sum string) error {
	abort := context.AfterFunc(ctx, p.murder) // makes Start return
	defer abort()
	if _, err := p.client.Start(); err != nil {
		return err
	}
	protocol, err := p.client.Client()
	if err != nil {
		return err
	}
	raw, err := protocol.Dispense(wire.PluginKind)
	if err != nil {
		return err
	}
	p.rpc = raw.(plugv1.PluginClient)
	d, err := p.rpc.Describe(ctx, &plugv1.DescribeRequest{}, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	p.about = Description{
		Name: d.GetName(), Version: d.GetVersion(), Abilities: d.GetAbilities(),
		Schema: d.GetSettingsSchema(), Defaults: d.GetSettingsDefaults(),
		Listeners: wire.ToListeners(d.GetListeners()), SHA256: sum,
	}
	for _, l := range p.about.Listeners {
		if l.Network != adapter.NetworkOf(l.Name) {
			return &adapter.Error{Op: "host.Describe", Kind: adapter.KindConfig,
				Err: fmt.Errorf("the plugin states listener %q with network %q; by its name it is %s", l.Name, l.Network, adapter.NetworkOf(l.Name))}
		}
	}
	return nil
}

// lastMoment is how long settle waits.
const lastMoment = 200 * time.Millisecond

// settle gives a process that is about to end a moment to do so, so that the error
// can say how it ended.
func (p *process) settle() {
	if p.program.ID() == "" {
		return
	}
	select {
	case <-p.program.exited:
	case <-time.After(lastMoment):
	}
}

// configure hands over the configuration. Mistakes come back as an *adapter.Error
// around adapter.Problems.
func (p *process) configure(ctx context.Context, c Config, validateOnly bool) error {
	settings := c.Settings
	if c.Prepare != nil {
		var err error
		if settings, err = c.Prepare(p.about); err != nil {
			return &adapter.Error{Op: "host.Configure", Kind: adapter.KindConfig, Err: err}
		}
	}
	r, err := p.rpc.Configure(ctx, &plugv1.ConfigureRequest{
		Instance: c.Name, Settings: settings, Sockets: p.sockets,
		TlsCert: c.TLSCert, TlsKey: c.TLSKey, ValidateOnly: validateOnly,
	})
	if err != nil {
		return wire.FromStatus("host.Configure", err)
	}
	if ps := wire.ToProblems(r.GetProblems()); len(ps) > 0 {
		return &adapter.Error{Op: "host.Configure", Kind: adapter.KindConfig, Err: ps}
	}
	return nil
}

// kill ends the process, politely first, and waits for it and all that belongs to
// it.
func (p *process) kill() {
	// go-plugin waits for the plugin's answer without a limit of its own.
	impatient := time.AfterFunc(killPatience, p.murder)
	defer impatient.Stop()
	p.client.Kill()
	if p.program.ID() != "" {
		<-p.program.exited
	}
	if p.program.dir != "" {
		_ = os.RemoveAll(p.program.dir) // go-plugin leaves it when the start failed
	}
}

// murder ends the process at once, or keeps it from starting.
func (p *process) murder() { _ = p.program.Kill(context.Background()) }

// kind is our kind of plugin, as go-plugin sees it from the host.
type kind struct{ plugin.NetRPCUnsupportedPlugin }

// GRPCClient implements plugin.GRPCPlugin.
func (*kind) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return plugv1.NewPluginClient(conn), nil
}

// GRPCServer implements plugin.GRPCPlugin; that is the other end.
func (*kind) GRPCServer(*plugin.GRPCBroker, *grpc.Server) error { return errPluginEnd }

// Describe starts a plugin, asks what it is, and stops it.
func Describe(ctx context.Context, path string) (Description, error) {
	c := Config{Name: "describe", Path: path}.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, c.StartTimeout)
	defer cancel()
	p, err := launch(ctx, c, "", &sockets{})
	if err != nil {
		return Description{}, err
	}
	defer p.kill()
	return p.about, nil
}

// Check starts a plugin, has it look at the configuration, and stops it. It opens no
// listener. The error holds adapter.Problems for mistakes in the configuration; their
// keys are relative to the instance's block ("settings.accounts[0].sid").
func Check(ctx context.Context, c Config) (Description, error) {
	c = c.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, c.StartTimeout)
	defer cancel()
	p, err := launch(ctx, c, c.SHA256, &sockets{})
	if err != nil {
		return Description{}, err
	}
	defer p.kill()
	for name, address := range c.Listeners {
		p.sockets = append(p.sockets, &plugv1.Socket{Name: name, Network: adapter.NetworkOf(name), Address: address})
	}
	return p.about, p.configure(ctx, c, true)
}
