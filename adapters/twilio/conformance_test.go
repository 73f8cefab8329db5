package twilio

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/patchbay/patchbay/adapters/twilio/sim"
	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/adapter/adaptertest"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/plug/host/hosttest"
)

var both = []media.TrackID{sim.Inbound, sim.Outbound}

func TestConformance(t *testing.T) { adaptertest.Run(t, newSubject) }

// TestConformanceAcrossTheSeam runs the same suite against the plugin's process.
func TestConformanceAcrossTheSeam(t *testing.T) {
	adaptertest.RunWith(t, hosttest.Seam(hosttest.Build(t, "github.com/patchbay/patchbay/plugins/twilio")), newSubject)
}

func newSubject(testing.TB) adaptertest.Subject {
	cfg := testConfig()
	return adaptertest.Subject{
		New:      func() (adapter.Adapter, error) { return New(cfg) },
		Settings: cfg,
		Peer: func(_ testing.TB, addr func(string) string) adaptertest.Peer {
			return peer{connect: "http://" + addr(listenerHTTP)}
		},
	}
}

// peer is Twilio with a conference: each leg is a participant with a call leg of
// its own, joined by call_key.
type peer struct{ connect string }

func (p peer) Start(ctx context.Context, call, leg int) (adaptertest.PeerLeg, error) {
	s, err := sim.OpenStream(ctx, sim.StreamOptions{
		URL: "wss://voice.example.com/twilio/stream", Connect: p.connect,
		Account: testAccount, AuthToken: testToken, Call: fmt.Sprintf("CA%032d", call*100+leg), Tracks: both,
		Parameters: map[string]string{"call_key": fmt.Sprintf("CF%032d", call), "participant": fmt.Sprintf("p%d", leg)},
	})
	if refused, ok := errors.AsType[*sim.StreamError](err); ok && refused.Code == 31920 &&
		strings.Contains(refused.Text, http.StatusText(http.StatusServiceUnavailable)) {
		return nil, fmt.Errorf("%w: %w", adapter.ErrRefused, err)
	}
	if err != nil {
		return nil, err
	}
	return peerLeg{s}, nil
}

type peerLeg struct{ s *sim.Stream }

func (l peerLeg) Tracks() []media.TrackID { return both }

func (l peerLeg) Send(_ context.Context, id media.TrackID, muLaw []byte) error {
	for ; len(muLaw) >= 160; muLaw = muLaw[160:] {
		if err := l.s.Send(id, muLaw[:160]); err != nil {
			return err
		}
	}
	return nil
}

func (l peerLeg) Hangup(ctx context.Context) error { return l.s.Stop(ctx, testAccount) }
func (l peerLeg) Vanish()                          { l.s.Vanish() }

func (l peerLeg) Wait(ctx context.Context) error {
	select {
	case <-l.s.Ended():
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := l.s.Err(); err != nil && (strings.Contains(err.Error(), "1013") || strings.Contains(err.Error(), "1008")) {
		return fmt.Errorf("%w: %w", adapter.ErrRefused, err)
	}
	return nil
}
