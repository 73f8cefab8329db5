package oem

import (
	"context"
	"fmt"
	"testing"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/adapter/adaptertest"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/plug/host/hosttest"
)

func TestConformance(t *testing.T) { adaptertest.Run(t, newSubject) }

// TestConformanceAcrossTheSeam runs the same suite against the plugin's process.
func TestConformanceAcrossTheSeam(t *testing.T) {
	adaptertest.RunWith(t, hosttest.Seam(hosttest.Build(t, "github.com/patchbay/patchbay/plugins/oem")), newSubject)
}

func newSubject(testing.TB) adaptertest.Subject {
	cfg := testConfig()
	return adaptertest.Subject{
		New:      func() (adapter.Adapter, error) { return New(cfg) },
		Settings: cfg,
		Peer: func(_ testing.TB, addr func(string) string) adaptertest.Peer {
			return sbc{addr(listenerUDP)}
		},
	}
}

// sbc is a border controller that records both parties of a call in one dialog. The
// dialogs of one call carry its GUID.
type sbc struct{ server string }

func (p sbc) Start(ctx context.Context, call, leg int) (adaptertest.PeerLeg, error) {
	u, err := newUAC(p.server, fmt.Sprintf("%d.%d@192.0.2.1", call, leg))
	if err != nil {
		return nil, err
	}
	m, err := u.begin(ctx, twoLines("1", "2"), fmt.Sprintf("Cisco-Guid: %d", 1000+call))
	if err == nil && m.status >= 300 {
		err = fmt.Errorf("%w: %s", adapter.ErrRefused, m.first)
	}
	if err != nil {
		u.vanish()
		return nil, err
	}
	return peerLeg{u}, nil
}

type peerLeg struct{ *uac }

func (l peerLeg) Tracks() []media.TrackID { return []media.TrackID{"1", "2"} }

func (l peerLeg) Send(_ context.Context, track media.TrackID, muLaw []byte) error {
	for _, s := range l.lines {
		if s.label == "" && track == trackNamed("1") || trackNamed(s.label) == track {
			return s.play(muLaw)
		}
	}
	return fmt.Errorf("no line has the label %s", track)
}

func (l peerLeg) Hangup(ctx context.Context) error {
	defer l.vanish()
	m, err := l.ask(ctx, "BYE", "", "")
	if err == nil && m.status != 200 {
		err = fmt.Errorf("BYE was answered with %s", m.first)
	}
	return err
}

func (l peerLeg) Vanish() { l.vanish() }

func (l peerLeg) Wait(ctx context.Context) error {
	select {
	case <-l.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
