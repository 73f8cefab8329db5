package main

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/adapter/adaptertest"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/plug/host/hosttest"
)

const testToken = "a token for tests only"

func TestConformance(t *testing.T) { adaptertest.Run(t, newSubject) }

// TestConformanceAcrossTheSeam runs the same checks against the plugin binary.
func TestConformanceAcrossTheSeam(t *testing.T) {
	adaptertest.RunWith(t, hosttest.Seam(hosttest.Build(t, ".")), newSubject)
}

func newSubject(testing.TB) adaptertest.Subject {
	cfg := Config{Accounts: []Account{{Name: "acme", Token: testToken}}}
	return adaptertest.Subject{
		New:      func() (adapter.Adapter, error) { return New(cfg) },
		Settings: cfg,
		Peer: func(_ testing.TB, addr func(string) string) adaptertest.Peer {
			return peer{addr: addr("audio")}
		},
	}
}

// peer plays the vendor with the simulator's sender.
type peer struct{ addr string }

func (p peer) Start(ctx context.Context, call, leg int) (adaptertest.PeerLeg, error) {
	party := []string{"customer", "agent"}[leg]
	s, err := dial(ctx, p.addr, hello{Call: fmt.Sprint("call-", call), Party: party, Token: testToken})
	if err != nil {
		return nil, err
	}
	return peerLeg{s}, nil
}

type peerLeg struct{ *sender }

func (l peerLeg) Tracks() []media.TrackID                                 { return []media.TrackID{track} }
func (l peerLeg) Send(_ context.Context, _ media.TrackID, b []byte) error { return l.send(b) }
func (l peerLeg) Hangup(context.Context) error                            { return l.goodbye() }
func (l peerLeg) Vanish()                                                 { _ = l.conn.Close() }

func (l peerLeg) Wait(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = l.conn.SetReadDeadline(time.Now()) })
	defer stop()
	for {
		if _, err := l.next(); err != nil {
			return ctx.Err() // the connection ended, unless ctx did
		}
	}
}
