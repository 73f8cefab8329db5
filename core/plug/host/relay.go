package host

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/plug/internal/wire"
	plugv1 "github.com/patchbay/patchbay/core/plug/proto/patchbay/plug/v1"
)

// maxRelayed is how many calls one plugin may have under way.
const maxRelayed = 256

// relayTimeout bounds a call whose client set no deadline. Google's own clients wait up
// to 220 s (AnalyzeContent).
const relayTimeout = 5 * time.Minute

// relays are the calls of one plugin that are under way.
type relays struct {
	session *session
	sink    adapter.Relayer // nil: the host relays nothing
	stream  grpc.BidiStreamingClient[plugv1.RelayAnswer, plugv1.RelayCall]
	calls   sync.WaitGroup

	sending sync.Mutex

	mu      sync.Mutex
	cancels map[uint64]context.CancelFunc
}

// relay makes the calls that the plugin asks for, until the session ends.
func (s *session) relay() {
	stream, err := s.rpc.Relay(s.stream.Context())
	if err != nil {
		s.log.Warn("the plugin relays calls but offers no way to ask for them", "err", wire.FromStatus("host.Relay", err))
		return
	}
	sink, _ := s.sink.(adapter.Relayer)
	r := &relays{session: s, sink: sink, stream: stream, cancels: map[uint64]context.CancelFunc{}}
	defer r.calls.Wait() // the stream's context has ended by then
	for {
		m, err := stream.Recv()
		if err != nil {
			select {
			case <-s.done:
			default:
				s.log.Debug("the plugin asks for no more calls", "err", wire.FromStatus("host.Relay", err))
			}
			return
		}
		r.take(stream.Context(), m)
	}
}

func (r *relays) take(ctx context.Context, m *plugv1.RelayCall) {
	id := m.GetId()
	timeout := time.Duration(m.GetTimeout())
	if timeout <= 0 || timeout > relayTimeout {
		timeout = relayTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	r.mu.Lock()
	known, under := r.cancels[id], len(r.cancels)
	begins := !m.GetCancel() && known == nil && under < maxRelayed
	if begins {
		r.cancels[id] = cancel
	}
	r.mu.Unlock()
	switch {
	case begins:
		r.calls.Go(func() {
			defer cancel()
			a := r.make(ctx, m)
			r.mu.Lock()
			delete(r.cancels, id)
			r.mu.Unlock()
			r.answer(a)
		})
		return
	case m.GetCancel() && known != nil:
		known()
	case !m.GetCancel() && known == nil:
		r.answer(&plugv1.RelayAnswer{Id: id, Error: &plugv1.StatusError{Code: int32(codes.ResourceExhausted), Text: "too many calls at once through patchbay"}})
	}
	cancel()
}

func (r *relays) make(ctx context.Context, m *plugv1.RelayCall) *plugv1.RelayAnswer {
	a := &plugv1.RelayAnswer{Id: m.GetId()}
	if r.sink == nil {
		a.Error = &plugv1.StatusError{Code: int32(codes.Unimplemented), Text: "this host relays no calls"}
		return a
	}
	answer, err := r.sink.Relay(ctx, wire.ToRelay(m))
	switch {
	case err != nil:
		a.Error = wire.RelayError(err)
	case len(answer) > adapter.MaxRelayBytes:
		a.Error = &plugv1.StatusError{Code: int32(codes.ResourceExhausted), Text: "the answer is too large to be relayed; ask for less at a time"}
	default:
		a.Message = answer
	}
	return a
}

// answer sends one answer. Who cannot is told by the end of the stream.
func (r *relays) answer(a *plugv1.RelayAnswer) {
	r.sending.Lock()
	defer r.sending.Unlock()
	if err := r.stream.Send(a); err != nil {
		r.session.log.Debug("an answer was not taken", "err", wire.FromStatus("host.Relay", err))
	}
}
