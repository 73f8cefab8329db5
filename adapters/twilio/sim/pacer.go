package sim

import (
	"context"
	"runtime"
	"sync"
	"time"
)

// pacer sends the audio of all streams at their pace from a few goroutines.
type pacer struct {
	interval time.Duration // of a block
	shards   []*shard
	next     int
	mu       sync.Mutex
	wg       sync.WaitGroup
	stop     context.CancelFunc
}

type shard struct {
	mu      sync.Mutex
	players []*player
	lag     time.Duration // how far behind its time a block went out at worst
}

// player is one stream's audio. play sends block n and reports whether more
// follows; done is closed after the last.
type player struct {
	play  func(n int) bool
	begun time.Time
	n     int
	done  chan struct{}

	mu     sync.Mutex // held for a turn
	halted bool
}

// halt ends a player early: afterwards it plays no more.
func (pl *player) halt() {
	pl.mu.Lock()
	defer pl.mu.Unlock()
	pl.halted = true
}

const (
	maxBurst = 25                   // blocks that a late stream sends before others get their turn
	minTick  = 2 * time.Millisecond // faster than that blocks go out in bunches
)

func newPacer(speed float64) *pacer {
	ctx, cancel := context.WithCancel(context.Background()) // ended by close
	p := &pacer{interval: time.Duration(float64(blockDuration) / speed), stop: cancel}
	for range max(1, runtime.GOMAXPROCS(0)) {
		sh := &shard{}
		p.shards = append(p.shards, sh)
		p.wg.Go(func() { sh.run(ctx, p.interval) })
	}
	return p
}

// add starts a player.
func (p *pacer) add(play func(n int) bool) *player {
	pl := &player{play: play, begun: time.Now(), done: make(chan struct{})}
	p.mu.Lock()
	sh := p.shards[p.next%len(p.shards)]
	p.next++
	p.mu.Unlock()
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.players = append(sh.players, pl)
	return pl
}

// close ends the goroutines; players that still play are left where they are,
// with done closed.
func (p *pacer) close() (lag time.Duration) {
	p.stop()
	p.wg.Wait()
	for _, sh := range p.shards {
		for _, pl := range sh.players {
			close(pl.done)
		}
		sh.players = nil
		lag = max(lag, sh.lag)
	}
	return lag
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
			if sh.turn(pl, interval) {
				ended = true
			}
		}
		if ended {
			sh.sweep()
		}
	}
}

// turn sends what is due, and reports whether the player has ended.
func (sh *shard) turn(pl *player, interval time.Duration) bool {
	pl.mu.Lock()
	defer pl.mu.Unlock()
	elapsed := time.Since(pl.begun)
	due := int(elapsed/interval) + 1
	if late := elapsed - time.Duration(pl.n)*interval; late > sh.lag && pl.n > 0 {
		sh.lag = late
	}
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
	live := make([]*player, 0, len(sh.players)) // not in place: run may hold the old slice
	for _, pl := range sh.players {
		select {
		case <-pl.done:
		default:
			live = append(live, pl)
		}
	}
	sh.players = live
}
