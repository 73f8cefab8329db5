package plug

import (
	"context"
	"errors"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/plug/internal/wire"
	plugv1 "github.com/patchbay/patchbay/core/plug/proto/patchbay/plug/v1"
)

// WithRelay lets the adapter relay unary calls (adapter.Relayer).
func WithRelay() Option {
	return func(p *program) { p.abilities = append(p.abilities, wire.AbilityRelay) }
}

// relay is the plugin's end of the stream that carries calls to the host.
type relay struct {
	calls chan *plugv1.RelayCall // to the host; nobody keeps them while it does not take them
	gone  chan struct{}          // closed when the host has gone
	once  sync.Once

	mu      sync.Mutex
	last    uint64
	waiting map[uint64]chan *plugv1.RelayAnswer
}

func newRelay() *relay {
	return &relay{calls: make(chan *plugv1.RelayCall), gone: make(chan struct{}), waiting: map[uint64]chan *plugv1.RelayAnswer{}}
}

func (r *relay) close() { r.once.Do(func() { close(r.gone) }) }

func statusError(code codes.Code, text string) error {
	return &adapter.StatusError{Code: int(code), Text: text}
}

// Relay implements adapter.Relayer.
func (s *session) Relay(ctx context.Context, req adapter.RelayRequest) ([]byte, error) {
	if !s.relays {
		return nil, &adapter.Error{Op: "plug.Relay", Kind: adapter.KindInternal, Err: errors.New("the plugin relays nothing: its main must pass plug.WithRelay")}
	}
	if len(req.Message) > adapter.MaxRelayBytes {
		return nil, statusError(codes.ResourceExhausted, "the request is too large")
	}
	r := s.relay
	id, answer := r.expect()
	defer r.forget(id)
	timeout := time.Duration(0)
	if deadline, ok := ctx.Deadline(); ok {
		timeout = max(1, time.Until(deadline))
	}
	if err := r.send(ctx, wire.FromRelay(id, req, timeout)); err != nil {
		return nil, err
	}
	select {
	case a := <-answer:
		if e := wire.ToStatusError(a.GetError()); e != nil {
			return nil, e
		}
		return a.GetMessage(), nil
	case <-r.gone:
		return nil, errHostGone
	case <-ctx.Done():
		r.cancel(id)
		return nil, ctx.Err()
	}
}

var errHostGone = statusError(codes.Unavailable, "patchbay's host went away")

// send hands a call to whoever speaks to the host.
func (r *relay) send(ctx context.Context, c *plugv1.RelayCall) error {
	select {
	case r.calls <- c:
		return nil
	case <-r.gone:
		return errHostGone
	case <-ctx.Done():
		return ctx.Err()
	}
}

// cancelPatience is how long it is tried to tell the host that a client has gone. The
// host's own timeout ends the call otherwise.
const cancelPatience = 50 * time.Millisecond

func (r *relay) cancel(id uint64) {
	ctx, cancel := context.WithTimeout(context.Background(), cancelPatience)
	defer cancel()
	_ = r.send(ctx, &plugv1.RelayCall{Id: id, Cancel: true}) // else the timeout does it
}

func (r *relay) expect() (uint64, <-chan *plugv1.RelayAnswer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	answer := make(chan *plugv1.RelayAnswer, 1)
	r.waiting[r.last] = answer
	return r.last, answer
}

func (r *relay) forget(id uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.waiting, id)
}

func (r *relay) answered(a *plugv1.RelayAnswer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if answer := r.waiting[a.GetId()]; answer != nil {
		delete(r.waiting, a.GetId())
		answer <- a // there is room: the first answer alone comes here
	}
}

// Relay implements the protocol.
func (s *server) Relay(stream grpc.BidiStreamingServer[plugv1.RelayAnswer, plugv1.RelayCall]) error {
	select {
	case <-s.begun:
	case <-stream.Context().Done():
		return stream.Context().Err()
	}
	r := s.running().relay
	// Recv returns at the latest when the stream does, just after this function.
	go func() {
		for {
			a, err := stream.Recv()
			if err != nil {
				return // the context tells
			}
			r.answered(a)
		}
	}()
	for {
		select {
		case c := <-r.calls:
			if err := stream.Send(c); err != nil {
				return err
			}
		case <-r.gone:
			return nil
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}
