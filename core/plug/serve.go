package plug

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/patchbay/patchbay/core/plug/internal/wire"
	plugv1 "github.com/patchbay/patchbay/core/plug/proto/patchbay/plug/v1"
)

const (
	// orphanGrace is how long the adapter may say goodbye to its vendor after the host
	// died. Its sockets are closed before, so that a new host can have them.
	orphanGrace = 500 * time.Millisecond
	// leaveAfter is how long the process waits for the host's Shutdown once the session
	// has ended.
	leaveAfter = 5 * time.Second
)

func (p *program) runSimulator(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return p.simulate(ctx, args, stdout, stderr)
}

// serve speaks to the host until the host is done, and returns the exit code.
func (p *program) serve() int {
	// An interrupt or a service manager's SIGTERM reaches the whole group. When to stop
	// is the host's decision: it drains calls first, and the life line ends with it.
	signal.Ignore(os.Interrupt, syscall.SIGTERM)

	// Adapters keep little and throw away less: to collect garbage earlier than Go would
	// by itself costs less time than it saves memory.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
	log := newLogger(os.Stderr, slog.LevelDebug) // this very file: go-plugin swaps os.Stderr later
	s := newServer(p, log)
	go lifeline(os.Stdin, s) // ends with the process, as its name says
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: wire.Handshake,
		Plugins:         plugin.PluginSet{wire.PluginKind: &service{server: s}},
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(opts, wire.ServerOptions()...)...)
		},
		Logger: hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: os.Stderr, JSONFormat: true}),
	})
	return 0
}

// lifeline waits for the end of r, which is the end of the host, and takes the
// process along.
func lifeline(r io.Reader, s *server) {
	_, _ = io.Copy(io.Discard, r) // however it ends
	s.log.Warn("the host is gone; leaving")
	s.abandon(orphanGrace)
	tidy(os.Getenv(plugin.EnvUnixSocketDir))
	os.Exit(exitFailure)
}

// tidy removes the private folder of the plugin's socket, which the host would have
// done. Anything but a socket in it stays, and then so does the folder.
func tidy(dir string) {
	if dir == "" {
		return
	}
	entries, _ := os.ReadDir(dir) // nothing to tidy then
	for _, e := range entries {
		if e.Type()&os.ModeSocket != 0 {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
	_ = os.Remove(dir) // fails unless empty
}

// service registers the server with go-plugin.
type service struct {
	plugin.NetRPCUnsupportedPlugin
	server *server
}

// GRPCServer implements plugin.GRPCPlugin.
func (s *service) GRPCServer(_ *plugin.GRPCBroker, g *grpc.Server) error {
	plugv1.RegisterPluginServer(g, s.server)
	return nil
}

// GRPCClient implements plugin.GRPCPlugin; this is the other end.
func (*service) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errOtherEnd
}
