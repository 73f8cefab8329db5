package plug

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/adapter/certfile"
	"github.com/patchbay/patchbay/core/plug/internal/wire"
	plugv1 "github.com/patchbay/patchbay/core/plug/proto/patchbay/plug/v1"
)

var (
	errOtherEnd      = errors.New("plug: this is the plugin's end")
	errNotConfigured = errors.New("Configure comes before Session")
	errTwice         = errors.New("one process serves one configuration and one session")
	errEarlyEnd      = errors.New("the adapter's Run returned before it was told to stop")
)

// server answers the host's calls. One process serves one instance once.
type server struct {
	plugv1.UnimplementedPluginServer
	program *program
	log     *slog.Logger
	exit    func() // leaves the process when the host forgets to stop it

	mu       sync.Mutex
	adapter  adapter.Adapter // nil until Configure
	env      adapter.Env
	sockets  *sockets
	session  *session // nil until Session
	cancel   context.CancelFunc
	begun    chan struct{} // closed once session is set
	finished chan struct{} // closed when Session is over
}

func newServer(p *program, log *slog.Logger) *server {
	return &server{program: p, log: log, exit: func() { os.Exit(0) }, begun: make(chan struct{}), finished: make(chan struct{})}
}

// Describe implements the protocol.
func (s *server) Describe(context.Context, *plugv1.DescribeRequest) (*plugv1.DescribeResponse, error) {
	p := s.program
	return &plugv1.DescribeResponse{
		Name: p.name, Version: p.version, Abilities: p.abilities,
		SettingsSchema: p.schema, SettingsDefaults: p.defaults,
		Listeners: wire.FromListeners(p.listeners),
	}, nil
}

// Configure implements the protocol.
func (s *server) Configure(_ context.Context, r *plugv1.ConfigureRequest) (*plugv1.ConfigureResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.adapter != nil {
		return nil, wire.ToStatus(&adapter.Error{Op: "plug.Configure", Kind: adapter.KindInternal, Err: errTwice})
	}
	a, ps := s.prepare(r)
	if len(ps) > 0 || r.GetValidateOnly() {
		return &plugv1.ConfigureResponse{Problems: wire.FromProblems(ps.Err())}, nil
	}
	s.adapter, s.sockets = a, newSockets(r.GetSockets())
	s.env.Name, s.env.Log = r.GetInstance(), s.log
	s.env.Listen, s.env.ListenPacket = s.sockets.listen, s.sockets.listenPacket
	return &plugv1.ConfigureResponse{}, nil
}

// prepare makes the adapter and collects everything that is wrong with its
// configuration. The caller holds mu.
func (s *server) prepare(r *plugv1.ConfigureRequest) (adapter.Adapter, adapter.Problems) {
	c, create, err := s.program.build(r.GetSettings())
	if err != nil {
		return nil, settingsProblems(err)
	}
	ps := settingsProblems(c.Validate())
	ps = append(ps, adapter.MissingListeners(c.Listeners(), func(name string) bool {
		return slices.ContainsFunc(r.GetSockets(), func(m *plugv1.Socket) bool { return m.GetName() == name })
	})...)
	if r.GetTlsCert() != "" || r.GetTlsKey() != "" {
		if s.env.TLS, err = certfile.Config(r.GetTlsCert(), r.GetTlsKey(), s.log); err != nil {
			ps.Add("tls", r.GetTlsCert(), err.Error(), "correct the files")
		}
	}
	if len(ps) > 0 {
		return nil, ps
	}
	a, err := create()
	return a, settingsProblems(err)
}

// settingsProblems returns err as problems under the key "settings".
func settingsProblems(err error) adapter.Problems {
	ps := wire.ToProblems(wire.FromProblems(err))
	for i := range ps {
		if ps[i].Key == "" {
			ps[i].Key = "settings"
		} else {
			ps[i].Key = "settings." + ps[i].Key
		}
	}
	return ps
}

// Session implements the protocol: it runs the adapter for as long as the host
// keeps its half of the stream open.
func (s *server) Session(stream grpc.BidiStreamingServer[plugv1.Down, plugv1.Up]) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	session, err := s.begin(cancel)
	if err != nil {
		return wire.ToStatus(&adapter.Error{Op: "plug.Session", Kind: adapter.KindInternal, Err: err})
	}
	defer s.end()

	var pump sync.WaitGroup // the only sender; it lives on until the queue is empty
	pump.Go(func() {
		if err := session.queue.pump(stream.Context(), stream.Send); err != nil {
			session.lost()
			cancel()
		}
	})
	// Recv returns at the latest when the stream does, just after this function.
	go func() {
		for {
			m, err := stream.Recv()
			if err != nil {
				if !errors.Is(err, io.EOF) {
					session.lost()
				}
				cancel()
				return
			}
			session.down(m)
		}
	}()
	err = s.run(ctx, session)
	session.queue.close()
	pump.Wait()
	session.lost()
	return wire.ToStatus(err)
}

// run runs the adapter; its early end is an error.
func (s *server) run(ctx context.Context, session *session) error {
	env := s.env
	env.Count = session.queue.count
	err := s.adapter.Run(ctx, env, session)
	if err == nil && ctx.Err() == nil {
		err = &adapter.Error{Op: s.program.name + ".Run", Kind: adapter.KindInternal, Err: errEarlyEnd}
	}
	return err
}

func (s *server) begin(cancel context.CancelFunc) (*session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.adapter == nil {
		return nil, errNotConfigured
	}
	if s.session != nil {
		return nil, errTwice
	}
	s.session, s.cancel = newSession(slices.Contains(s.program.abilities, wire.AbilityRelay)), cancel
	close(s.begun)
	return s.session, nil
}

// end closes the sockets and makes sure that the process leaves.
func (s *server) end() {
	s.sockets.close()
	close(s.finished)
	time.AfterFunc(leaveAfter, s.exit)
}

// abandon gives up everything that a successor needs, at once, and gives the
// adapter some time to end.
func (s *server) abandon(grace time.Duration) {
	s.mu.Lock()
	sockets, session, cancel := s.sockets, s.session, s.cancel
	s.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	if sockets != nil {
		sockets.close()
	}
	if session == nil {
		return
	}
	select {
	case <-s.finished:
	case <-time.After(grace):
	}
}

// Drain implements the protocol.
func (s *server) Drain(ctx context.Context, _ *plugv1.DrainRequest) (*plugv1.DrainResponse, error) {
	if session := s.running(); session != nil {
		if err := session.drain(ctx); err != nil {
			return nil, wire.ToStatus(&adapter.Error{Op: "plug.Drain", Kind: adapter.KindUnavailable, Err: err})
		}
	}
	return &plugv1.DrainResponse{}, nil
}

// Health implements the protocol.
func (s *server) Health(context.Context, *plugv1.HealthRequest) (*plugv1.HealthResponse, error) {
	session := s.running()
	if session == nil {
		return &plugv1.HealthResponse{}, nil
	}
	queued, dropped := session.queue.backlog()
	return &plugv1.HealthResponse{Legs: int64(session.live()), QueuedFrames: int64(queued), DroppedFrames: dropped}, nil
}

// Attach implements the protocol.
func (s *server) Attach(ctx context.Context, r *plugv1.AttachRequest) (*plugv1.AttachResponse, error) {
	a, ok := s.instance().(adapter.Attacher)
	if !ok {
		return nil, s.unable(wire.AbilityAttach)
	}
	stream, err := a.Attach(ctx, wire.ToAttach(r))
	if err != nil {
		return nil, wire.ToStatus(err)
	}
	return &plugv1.AttachResponse{Stream: stream}, nil
}

// Detach implements the protocol.
func (s *server) Detach(ctx context.Context, r *plugv1.DetachRequest) (*plugv1.DetachResponse, error) {
	a, ok := s.instance().(adapter.Detacher)
	if !ok {
		return nil, s.unable(wire.AbilityDetach)
	}
	if err := a.Detach(ctx, wire.ToDetach(r)); err != nil {
		return nil, wire.ToStatus(err)
	}
	return &plugv1.DetachResponse{}, nil
}

func (s *server) unable(ability string) error {
	return wire.ToStatus(&adapter.Error{Op: "plug", Kind: adapter.KindConfig,
		Err: fmt.Errorf("adapter %q cannot %s", s.program.name, ability)})
}

func (s *server) running() *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.session
}

func (s *server) instance() adapter.Adapter {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.adapter
}
