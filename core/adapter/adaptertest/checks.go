package adaptertest

import (
	"bytes"
	"errors"
	"fmt"
	"sync"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media/probe"
)

func errorIsRefusal(err error) bool { return errors.Is(err, adapter.ErrRefused) }

// checkAudio sends two bursts on each track and wants every block back, once and
// in order. The adapter may reuse its buffers: the Sink has copied.
func checkAudio(b *bench) {
	p, l := b.start(0, 0)
	for i, id := range p.Tracks() {
		first, second := coded(uint16(i), 0, 50), coded(uint16(i), 50, 25)
		b.send(p, l, id, first)
		b.send(p, l, id, second)
		if err := sameAudio(l.MuLaw(id), append(first, second...)); err != nil {
			b.Errorf("track %q: %v", id, err)
		}
	}
	b.hangup(p, l)
	if got, want := l.Tracks(), p.Tracks(); len(got) != len(want) {
		b.Errorf("joined tracks %q; want %q", got, want)
	}
}

// checkManyLegs runs calls at the same time; no audio may go astray.
func checkManyLegs(b *bench) {
	const calls, blocks = 8, 40
	var peers []PeerLeg
	var legs []*Leg
	for call := range calls {
		p, l := b.start(call, 0)
		peers, legs = append(peers, p), append(legs, l)
	}
	errs := make([]error, calls)
	var senders sync.WaitGroup
	for call, p := range peers {
		senders.Go(func() {
			for i, id := range p.Tracks() {
				audio := coded(uint16(call*16+i), 0, blocks)
				for len(audio) > 0 && errs[call] == nil { // block by block, so that calls mix
					errs[call] = p.Send(b.ctx, id, audio[:probe.BlockSamples])
					audio = audio[probe.BlockSamples:]
				}
			}
		})
	}
	senders.Wait()
	for call, l := range legs {
		if errs[call] != nil {
			b.Fatalf("call %d: Send: %v", call, errs[call])
		}
		for i, id := range peers[call].Tracks() {
			l.WaitSamples(b, id, blocks*probe.BlockSamples)
			if err := sameAudio(l.MuLaw(id), coded(uint16(call*16+i), 0, blocks)); err != nil {
				b.Errorf("call %d, track %q: %v", call, id, err)
			}
		}
		b.hangup(peers[call], l)
	}
	if got := len(b.sink.Calls()); got != calls {
		b.Errorf("the host has %d calls; want %d", got, calls)
	}
}

func checkVanish(b *bench) {
	p, l := b.start(0, 0)
	b.send(p, l, p.Tracks()[0], coded(0, 0, 5))
	p.Vanish()
	b.wantEnd(l, adapter.EndLost)
	p, l = b.start(1, 0) // the adapter still serves
	b.hangup(p, l)
}

func checkStop(b *bench) {
	var legs []*Leg
	for call := range 3 {
		p, l := b.start(call, 0)
		b.send(p, l, p.Tracks()[0], coded(uint16(call), 0, 5))
		legs = append(legs, l)
	}
	b.stop()
	for _, l := range legs {
		b.wantEnd(l, adapter.EndShutdown)
	}
}

func checkRefusal(b *bench) {
	for _, reason := range []adapter.RefusalReason{adapter.RefusedFull, adapter.RefusedDraining, adapter.RefusedNoRoute} {
		b.sink.Refuse(&adapter.Refusal{Reason: reason, Text: "the test host refuses"})
		b.refused(0, 0)
	}
	b.sink.Refuse(nil)
	p, l := b.start(0, 0)
	b.send(p, l, p.Tracks()[0], coded(0, 0, 5))
	b.hangup(p, l)
}

func checkFull(b *bench) {
	b.sink.Admit(1)
	p, l := b.start(0, 0)
	b.refused(1, 0)
	b.send(p, l, p.Tracks()[0], coded(0, 0, 5)) // the running leg is not touched
	b.hangup(p, l)
}

func checkOneCall(b *bench) {
	first, firstLeg := b.start(0, 0)
	second, secondLeg := b.start(0, 1)
	other, otherLeg := b.start(1, 0)
	if firstLeg.CallID() != secondLeg.CallID() {
		b.Errorf("legs of one call are %v and %v", firstLeg.CallID(), secondLeg.CallID())
	}
	if firstLeg.CallID() == otherLeg.CallID() {
		b.Errorf("legs of two calls are both %v", otherLeg.CallID())
	}
	if firstLeg.Info().LegKey == secondLeg.Info().LegKey {
		b.Errorf("two legs of one call are both %q", secondLeg.Info().LegKey)
	}
	b.send(second, secondLeg, second.Tracks()[0], coded(1, 0, 5))
	b.hangup(first, firstLeg)
	b.send(second, secondLeg, second.Tracks()[0], coded(1, 5, 5)) // goes on alone
	b.hangup(second, secondLeg)
	b.hangup(other, otherLeg)
}

func checkTakeover(b *bench) {
	old, oldLeg := b.start(0, 0)
	b.send(old, oldLeg, old.Tracks()[0], coded(0, 0, 5))
	again, leg := b.start(0, 0)
	if oldLeg.CallID() != leg.CallID() || oldLeg.Info().LegKey != leg.Info().LegKey {
		b.Errorf("the same leg came again as %v %q; was %v %q",
			leg.CallID(), leg.Info().LegKey, oldLeg.CallID(), oldLeg.Info().LegKey)
	}
	b.wantEnd(oldLeg, adapter.EndTakeover, adapter.EndOrdered)
	if err := old.Wait(b.ctx); err != nil {
		b.Errorf("the vendor's old connection: %v; want its end", err)
	}
	audio := coded(0, 5, 20)
	b.send(again, leg, again.Tracks()[0], audio)
	if err := sameAudio(leg.MuLaw(again.Tracks()[0]), audio); err != nil {
		b.Errorf("after the take-over: %v", err)
	}
	b.hangup(again, leg)
}

func checkEnd(b *bench) {
	p, l := b.start(0, 0)
	b.send(p, l, p.Tracks()[0], coded(0, 0, 5))
	l.Order(adapter.Control{Kind: adapter.ControlEnd, Reason: "the test host sheds load"})
	b.wantEnd(l, adapter.EndOrdered)
	if err := p.Wait(b.ctx); err != nil {
		b.Errorf("the vendor's connection: %v; want its end", err)
	}
}

func checkPause(b *bench) {
	p, l := b.start(0, 0)
	l.Order(adapter.Control{Kind: adapter.ControlPause, Reason: "test"})
	l.Order(adapter.Control{Kind: adapter.ControlResume, Reason: "test"})
	if err := p.Send(b.ctx, p.Tracks()[0], coded(0, 0, 5)); err != nil { // may be held back while paused
		b.Errorf("Send: %v", err)
	}
	b.hangup(p, l)
}

// sameAudio compares coded audio and says what differs in terms of blocks.
func sameAudio(got, want []byte) error {
	if bytes.Equal(got, want) {
		return nil
	}
	n := 0
	for n < min(len(got), len(want)) && got[n] == want[n] {
		n++
	}
	return fmt.Errorf("%d samples; want %d; they differ from sample %d on (block %d)",
		len(got), len(want), n, n/probe.BlockSamples)
}
