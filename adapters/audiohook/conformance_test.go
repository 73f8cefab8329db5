package audiohook

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/patchbay/patchbay/adapters/audiohook/sim"
	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/adapter/adaptertest"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/plug/host/hosttest"
)

func TestConformance(t *testing.T) { adaptertest.Run(t, newSubject) }

// TestConformanceAcrossTheSeam runs the same suite against the plugin's process.
func TestConformanceAcrossTheSeam(t *testing.T) {
	adaptertest.RunWith(t, hosttest.Seam(hosttest.Build(t, "github.com/patchbay/patchbay/plugins/audiohook")), newSubject)
}

func newSubject(testing.TB) adaptertest.Subject {
	cfg := testConfig()
	return adaptertest.Subject{
		New:      func() (adapter.Adapter, error) { return New(cfg) },
		Settings: cfg,
		Peer: func(_ testing.TB, addr func(string) string) adaptertest.Peer {
			return &peer{connect: "http://" + addr(listenerHTTP), sessions: map[[2]int]string{}}
		},
	}
}

// peer is Genesys; the legs of a call are sessions for its participants. A session offers
// the customer's channel alone, because the suite sends on one track at a time and a
// frame of two channels has both. A leg that comes again continues its session.
type peer struct {
	connect  string
	sessions map[[2]int]string
}

func (p *peer) Start(ctx context.Context, call, leg int) (adaptertest.PeerLeg, error) {
	secret, err := base64.StdEncoding.DecodeString(testSecret)
	if err != nil {
		return nil, err
	}
	o := sim.SessionOptions{
		URL: testURL, Connect: p.connect, Organization: testOrganization, APIKey: testKey, ClientSecret: secret,
		Conversation: fmt.Sprintf("e160e428-53e2-487c-977d-%012d", call), Participant: fmt.Sprintf("e160e428-53e2-487c-977e-%012d", leg),
		Media:       sim.Offer("PCMU")[1:2],
		OpenTimeout: adaptertest.Patience, CloseTimeout: adaptertest.Patience, PingInterval: adaptertest.Patience,
	}
	if old, again := p.sessions[[2]int{call, leg}]; again {
		o.Continued = []string{old}
	}
	s, err := sim.Open(ctx, o)
	if err != nil {
		return nil, refusalOf(err)
	}
	p.sessions[[2]int{call, leg}] = s.ID()
	return peerLeg{s}, nil
}

// refusalOf reports a server's refusal as the contract's.
func refusalOf(err error) error {
	if e, ok := errors.AsType[*sim.Error](err); ok && (e.Reason != "" || e.HTTP == http.StatusServiceUnavailable) {
		return fmt.Errorf("%w: %w", adapter.ErrRefused, err)
	}
	return err
}

type peerLeg struct{ s *sim.Session }

func (l peerLeg) Tracks() []media.TrackID { return l.s.Channels() }

func (l peerLeg) Send(_ context.Context, _ media.TrackID, muLaw []byte) error {
	for ; len(muLaw) >= 160; muLaw = muLaw[160:] {
		if err := l.s.Send(muLaw[:160]); err != nil {
			return err
		}
	}
	return nil
}

func (l peerLeg) Hangup(ctx context.Context) error { return l.s.Close(ctx, "end") }
func (l peerLeg) Vanish()                          { l.s.Vanish() }

func (l peerLeg) Wait(ctx context.Context) error {
	select {
	case <-l.s.Ended():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
