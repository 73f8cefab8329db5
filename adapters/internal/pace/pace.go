// Package pace sends the audio of many simulated streams at their pace from a few
// goroutines. It serves the simulators; adapters never pace by the clock.
package pace

import (
	"context"
	"runtime"
	"sync"
	"time"
)

// Pacer plays streams. Close ends it.
type Pacer struct {
	interval time.Duration // of a block
	shards   []*shard
	next     int
	mu       sync.Mutex
	wg       sync.WaitGroup
	stop     context.CancelFunc
}

type shard struct {
	mu      sync.Mutex
	players []*Player
}

// Player is one stream's audio.
type Player struct {
	play  func(n int) bool
	begun time.Time
	n     int
	done  chan struct{}

	mu     sync.Mutex // held for a turn
	halted bool
}

// Done is closed after the last block.
func (pl *Player) Done() <-chan struct{} { return pl.done }

// Halt ends a player early: afterwards it plays no more.
func (pl *Player) Halt() {
	pl.mu.Lock()
	defer pl.mu.Unlock()
	pl.halted = true
}

const (
	maxBurst = 25                   // blocks that a late stream sends before others get their turn
	minTick  = 2 * time.Millisecond // faster than that blocks go out in bunches
)

// New returns a pacer of blocks that last interval.
func New(interval time.Duration) *Pacer {
	ctx, cancel := context.WithCancel(context.Background()) // ended by Close
	p := &Pacer{interval: max(interval, time.Nanosecond), stop: cancel}
	for range max(1, runtime.GOMAXPROCS(0)) {
		sh := &shard{}
		p.shards = append(p.shards, sh)
		p.wg.Go(func() { sh.run(ctx, p.interval) })
	}
	return p
}

// Add starts a player: play sends block n and reports whether more follows.
func (p *Pacer) Add(play func(n int) bool) *Player {
	pl := &Player{play: play, begun: time.Now(), done: make(chan struct{})}
	p.mu.Lock()
	sh := p.shards[p.next%len(p.shards)]
	p.next++
	p.mu.Unlock()
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.players = append(sh.players, pl)
	return pl
}

// Close ends the goroutines; players that still play are left where they are, with
// Done closed.
func (p *Pacer) Close() {
	p.stop()
	p.wg.Wait()
	for _, sh := range p.shards {
		for _, pl := range sh.players {
			close(pl.done)
		}
		sh.players = nil
	}
}

func (sh *shard) run(ctx context.Context, interval time.Duration) {
	tick := time.NewTicker(max(interval, minTick))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		sh.mu.Lock()
		players := sh.players
		sh.mu.Unlock()
		ended := false
		for _, pl := range players {
			if pl.turn(interval) {
				ended = true
			}
		}
		if ended {
			sh.sweep()
		}
	}
}

// turn sends what is due, and reports whether the player has ended.
func (pl *Player) turn(interval time.Duration) bool {
	pl.mu.Lock()
	defer pl.mu.Unlock()
	due := int(time.Since(pl.begun)/interval) + 1
	for end := min(due, pl.n+maxBurst); pl.n < end; pl.n++ {
		if pl.halted || !pl.play(pl.n) {
			close(pl.done)
			return true
		}
	}
	return false
}

// sweep removes the players that have ended.
func (sh *shard) sweep() {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	live := make([]*Player, 0, len(sh.players)) // not in place: run may hold the old slice
	for _, pl := range sh.players {
		select {
		case <-pl.done:
		default:
			live = append(live, pl)
		}
	}
	sh.players = live
}
