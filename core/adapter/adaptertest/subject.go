package adaptertest

import (
	"context"
	"testing"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
)

// Subject is an adapter under test together with the other end of its wire. A
// fresh one is made for each check.
type Subject struct {
	// New builds the adapter, with the same settings as Settings.
	New func() (adapter.Adapter, error)
	// Settings is the adapter's configuration: it names the listeners, and across the
	// seam its JSON form goes to the plugin. Secrets are plain values here.
	Settings adapter.Config
	// Peer returns the vendor's side, which connects to the adapter's listeners.
	Peer func(tb testing.TB, addr func(listener string) string) Peer
}

// Peer plays the vendor.
type Peer interface {
	// Start begins a leg and returns once the vendor would send audio. Equal call
	// numbers mean legs of one call; equal call and leg numbers mean the same leg, come
	// again. A refusal that the vendor sees during the set-up is returned as an error
	// that matches adapter.ErrRefused; one that it sees later comes from PeerLeg.Wait.
	Start(ctx context.Context, call, leg int) (PeerLeg, error)
}

// PeerLeg is the vendor's end of a leg. The suite uses one goroutine for each.
type PeerLeg interface {
	// Tracks names the tracks that the adapter is going to join, one or more.
	Tracks() []media.TrackID
	// Send sends mu-law audio at 8 kHz, whole blocks of 160 samples, on a track, as
	// fast as the wire takes it. Called again it goes on where it ended.
	Send(ctx context.Context, track media.TrackID, muLaw []byte) error
	// Hangup ends the leg in the vendor's way.
	Hangup(ctx context.Context) error
	// Vanish drops the connection without a word. It may be called at any time and again.
	Vanish()
	// Wait returns when the adapter ended the leg: an error that matches
	// adapter.ErrRefused when the vendor was told of a refusal, else nil. Any other
	// error means that ctx ended first.
	Wait(ctx context.Context) error
}

// Runner brings a subject to life: in this process, or as a plugin.
type Runner interface {
	// Start runs the subject against sink until Stop. It fails the test when that is
	// not possible.
	Start(tb testing.TB, s Subject, sink *Sink) Instance
}

// Instance is a running subject.
type Instance interface {
	// Addr returns the address of one of the adapter's listeners.
	Addr(listener string) string
	// Stop ends the context of the adapter's Run, waits for Run, and returns its error.
	// After ctx it gives up with ctx's error.
	Stop(ctx context.Context) error
}

// Needed leaves out the listeners that an adapter can do without: of those with the same
// AnyOf the first is kept.
func Needed(ls []adapter.Listener) (needed []adapter.Listener) {
	seen := map[string]bool{}
	for _, l := range ls {
		if l.AnyOf == "" || !seen[l.AnyOf] {
			needed = append(needed, l)
		}
		seen[l.AnyOf] = true
	}
	return needed
}

// InProcess runs the subject in the test's process.
var InProcess Runner = inProcess{}

type inProcess struct{}

type instance struct {
	env    *Env
	cancel context.CancelFunc
	done   chan error
}

func (inProcess) Start(tb testing.TB, s Subject, sink *Sink) Instance {
	tb.Helper()
	var names []string
	for _, l := range Needed(s.Settings.Listeners()) {
		names = append(names, l.Name)
	}
	a, err := s.New()
	if err != nil {
		tb.Fatalf("New: %v", err)
	}
	ctx, cancel := context.WithCancel(tb.Context())
	i := &instance{env: NewEnv(tb, names...), cancel: cancel, done: make(chan error, 1)}
	go func() { i.done <- a.Run(ctx, i.env.Env, sink) }()
	return i
}

func (i *instance) Addr(listener string) string { return i.env.Addr(listener) }

func (i *instance) Stop(ctx context.Context) error {
	i.cancel()
	select {
	case err := <-i.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
