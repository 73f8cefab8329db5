package five9

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	voicepb "github.com/patchbay/patchbay/adapters/five9/proto/five9/voicestream"
	"github.com/patchbay/patchbay/adapters/five9/sim"
	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/adapter/adaptertest"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/plug/host/hosttest"
)

func TestConformance(t *testing.T) { adaptertest.Run(t, newSubject) }

// TestConformanceAcrossTheSeam runs the same suite against the plugin's process.
func TestConformanceAcrossTheSeam(t *testing.T) {
	adaptertest.RunWith(t, hosttest.Seam(hosttest.Build(t, "github.com/patchbay/patchbay/plugins/five9")), newSubject)
}

func newSubject(testing.TB) adaptertest.Subject {
	cfg := testConfig()
	return adaptertest.Subject{
		New:      func() (adapter.Adapter, error) { return New(cfg) },
		Settings: cfg,
		Peer: func(_ testing.TB, addr func(string) string) adaptertest.Peer {
			return five9Peer{addr(listenerGRPC)}
		},
	}
}

// five9Peer is Five9; the legs of a call are its customer and its agents. Each stream has
// a connection of its own.
type five9Peer struct{ target string }

func (p five9Peer) Start(ctx context.Context, call, leg int) (adaptertest.PeerLeg, error) {
	conn, err := sim.Dial(p.target, nil)
	if err != nil {
		return nil, err
	}
	who, track := sim.Customer, media.TrackID("customer")
	if leg > 0 {
		who, track = sim.Agent, "agent"
	}
	s, err := sim.OpenStream(ctx, conn, sim.StreamOptions{Config: config(func(c *voicepb.StreamingConfig) {
		c.VccCallId, c.CallLeg = fmt.Sprint(300000000000+call), who
		if leg > 0 {
			c.AgentId = fmt.Sprint(4000 + leg)
		}
	})})
	if err != nil {
		return nil, errors.Join(refusal(err), conn.Close())
	}
	return peerLeg{s, conn, track}, nil
}

// refusal reports a server's refusal as the contract's.
func refusal(err error) error {
	if e, ok := errors.AsType[*sim.StreamError](err); ok && e.Code != codes.OK {
		return fmt.Errorf("%w: %w", adapter.ErrRefused, err)
	}
	return err
}

type peerLeg struct {
	s     *sim.Stream
	conn  *grpc.ClientConn
	track media.TrackID
}

func (l peerLeg) Tracks() []media.TrackID { return []media.TrackID{l.track} }

func (l peerLeg) Send(_ context.Context, _ media.TrackID, muLaw []byte) error {
	for ; len(muLaw) >= 160; muLaw = muLaw[160:] {
		if _, err := l.s.Send(media.AppendEncoded(nil, media.Linear16, media.AppendLinear(nil, media.MuLaw, muLaw[:160]))); err != nil {
			return err
		}
	}
	return nil
}

func (l peerLeg) Hangup(ctx context.Context) error {
	return errors.Join(l.s.Hangup(ctx, voicepb.StreamingStatus_CLT_CALL_ENDED), l.conn.Close())
}

func (l peerLeg) Vanish() {
	l.s.Vanish()
	_ = l.conn.Close() // it may be closed already
}

func (l peerLeg) Wait(ctx context.Context) error {
	select {
	case <-l.s.Ended():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
