package adaptertest

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/media/probe"
)

// PromptStop is how soon Run returns once its context ended, with live legs.
const PromptStop = 5 * time.Second

// Run checks an adapter in this process against everything that the contract
// promises. newSubject is called for each check.
func Run(t *testing.T, newSubject func(testing.TB) Subject) { RunWith(t, InProcess, newSubject) }

// RunWith is Run with another Runner, such as the plugin seam's.
func RunWith(t *testing.T, runner Runner, newSubject func(testing.TB) Subject) {
	for _, c := range []struct {
		name  string
		check func(*bench)
	}{
		{"audio is complete and in order", checkAudio},
		{"legs run side by side", checkManyLegs},
		{"a connection that vanishes ends its leg", checkVanish},
		{"stops promptly with live legs", checkStop},
		{"a refusal is honoured", checkRefusal},
		{"a full host refuses the next leg only", checkFull},
		{"legs with one key are one call", checkOneCall},
		{"a second leg with the key takes over", checkTakeover},
		{"the host ends a leg", checkEnd},
		{"pause and resume do no harm", checkPause},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := goleak.IgnoreCurrent()
			b := newBench(t, runner, newSubject(t))
			c.check(b)
			b.finish()
			goleak.VerifyNone(t, before)
		})
	}
}

// bench is one adapter on the test bench, with its host and its vendor.
type bench struct {
	*testing.T
	ctx      context.Context
	cancel   context.CancelFunc
	sink     *Sink
	instance Instance
	peer     Peer
	legs     []PeerLeg
	stopped  bool
	finished bool
}

func newBench(t *testing.T, runner Runner, s Subject) *bench {
	b := &bench{T: t, sink: NewSink()}
	b.ctx, b.cancel = context.WithTimeout(t.Context(), 3*Patience)
	b.instance = runner.Start(t, s, b.sink)
	b.peer = s.Peer(t, b.instance.Addr)
	t.Cleanup(b.finish) // when a check fails half-way
	return b
}

// finish hangs up what is left, stops the adapter and looks at the contract.
func (b *bench) finish() {
	if b.finished {
		return
	}
	b.finished = true
	for _, l := range b.legs {
		l.Vanish()
	}
	b.legs = nil
	b.stop()
	b.cancel()
	b.sink.Check(b)
}

// stop ends the adapter; it must return nil, and soon.
func (b *bench) stop() {
	if b.stopped {
		return
	}
	b.stopped = true
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.ctx), 2*PromptStop)
	defer cancel()
	begin := time.Now()
	if err := b.instance.Stop(ctx); err != nil {
		b.Errorf("Run = %v after its context ended; want nil", err)
	}
	if took := time.Since(begin); took > PromptStop {
		b.Errorf("Run returned %v after its context ended; want at most %v", took, PromptStop)
	}
	for i, l := range b.sink.Legs() {
		if _, ok := l.Closed(); !ok {
			b.Errorf("leg %d was not closed when Run returned", i)
		}
	}
}

// start begins a leg that must be admitted. Admission is awaited, so legs of the
// sink have the order of the calls to start.
func (b *bench) start(call, leg int) (PeerLeg, *Leg) {
	b.Helper()
	n := len(b.sink.Legs())
	p, err := b.peer.Start(b.ctx, call, leg)
	if err != nil {
		b.Fatalf("Start(call %d, leg %d): %v", call, leg, err)
	}
	b.legs = append(b.legs, p)
	return p, b.sink.WaitLeg(b, n)
}

// refused begins a leg that must be refused, and the vendor must see it.
func (b *bench) refused(call, leg int) {
	b.Helper()
	n := len(b.sink.Legs())
	p, err := b.peer.Start(b.ctx, call, leg)
	if err == nil {
		b.legs = append(b.legs, p)
		err = p.Wait(b.ctx)
	}
	if !errorIsRefusal(err) {
		b.Errorf("the vendor saw %v; want a refusal", err)
	}
	if len(b.sink.Legs()) != n {
		b.Errorf("the host has %d legs; want %d", len(b.sink.Legs()), n)
	}
}

// coded returns n numbered blocks of a stream of audio, from block first on.
func coded(stream uint16, first, n int) []byte {
	var audio []byte
	for i := range n {
		audio = probe.AppendBlock(audio, stream, uint32(first+i))
	}
	return audio
}

// send sends audio on a track and waits until the host has it all.
func (b *bench) send(p PeerLeg, l *Leg, id media.TrackID, audio []byte) {
	b.Helper()
	before := l.Samples(id)
	if err := p.Send(b.ctx, id, audio); err != nil {
		b.Fatalf("Send on %q: %v", id, err)
	}
	l.WaitSamples(b, id, before+int64(len(audio)))
}

// hangup ends the leg on the vendor's side and waits for its end at the host.
func (b *bench) hangup(p PeerLeg, l *Leg) {
	b.Helper()
	if err := p.Hangup(b.ctx); err != nil {
		b.Fatalf("Hangup: %v", err)
	}
	b.wantEnd(l, adapter.EndHangup)
}

func (b *bench) wantEnd(l *Leg, want ...adapter.EndKind) {
	b.Helper()
	got := l.WaitClosed(b)
	for _, kind := range want {
		if got.Kind == kind {
			return
		}
	}
	b.Errorf("the leg ended with %q (%s); want %q", got.Kind, got.Text, want)
}
