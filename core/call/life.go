package call

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/event"
)

// legClosed takes a leg out of the call: its tapes wait for a leg that takes over,
// or for the end of the call.
func (c *Call) legClosed(l *leg, reason adapter.EndReason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.unlisten(l)
	if _, ok := c.finishing[l]; ok {
		delete(c.finishing, l)
	} else if c.live[l.key] != l {
		return
	}
	if c.live[l.key] == l {
		delete(c.live, l.key)
	}
	for key, tr := range c.tracks {
		if key.leg == l.key && c.live[l.key] == nil {
			tr.tape.Park()
		}
	}
	c.promote()
	c.wait = c.limits.Grace
	if c.lost = reason.Kind != adapter.EndHangup && reason.Kind != adapter.EndOrdered && reason.Kind != adapter.EndShutdown; c.lost {
		c.wait = c.limits.LostGrace
	}
	c.publish(event.Event{Kind: event.LegEnded, State: &event.State{Adapter: c.key.adapter, Leg: l.key, Reason: string(reason.Kind), Text: reason.Text}})
	c.log.Info("leg ended", "reason", reason.Kind)
	c.wake()
}

// drain asks every leg to end, and does not wait for others after that.
func (c *Call) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	if c.state == Active && c.spool != nil && c.reattach != nil {
		c.leaving = true
		for _, tr := range c.order {
			tr.tape.Leave()
		}
	}
	c.wake()
	for _, l := range c.live {
		l.tell(adapter.Control{Kind: adapter.ControlEnd, Reason: "the host is shutting down", Reconnect: true})
	}
}

// run is the life of the call from its first leg to the end of its log. Cutting
// ctx off ends it at once.
func (c *Call) run(ctx context.Context) {
	sessionCtx, abandon := context.WithCancel(ctx)
	defer abandon()
	session := make(chan error, 1)
	go func() { session <- c.session.Run(sessionCtx) }()
	var keeper sync.WaitGroup
	if c.spool != nil {
		keeper.Go(c.keep)
	}

	c.untilOver(ctx)
	left := c.end(ctx)
	if left {
		c.session.Leave()
	} else {
		c.session.Finish()
	}

	wrapUp := time.NewTimer(c.limits.WrapUp)
	defer wrapUp.Stop()
	var err error
	select {
	case err = <-session:
	case <-wrapUp.C:
		abandon()
		err = <-session
	}
	c.close(err, left)
	keeper.Wait()
	if c.journal != nil && !left {
		c.journal.Remove()
	}
}

// untilOver returns a grace period after the last leg has gone, or when ctx ends.
func (c *Call) untilOver(ctx context.Context) {
	grace := time.NewTimer(c.limits.LostGrace)
	defer grace.Stop()
	asking, stop := context.WithCancel(ctx)
	var asked sync.WaitGroup
	defer asked.Wait()
	defer stop()
	asks := 0
	watch := time.NewTicker(quietFor / 2)
	defer watch.Stop()
	for {
		c.mu.Lock()
		legs, wait, lost, draining := len(c.live)+len(c.finishing), c.wait, c.lost, c.draining
		c.lost = false // asked once
		c.mu.Unlock()
		var over <-chan time.Time
		if legs == 0 {
			if draining {
				wait = 0
			} else if lost && c.reattach != nil && asks < maxAsks {
				asks++
				asked.Go(func() { c.ask(asking, wait) })
			}
			grace.Reset(wait)
			over = grace.C
		}
		if !c.untilChanged(ctx, watch.C, over) && c.over(c, ctx.Err() != nil) {
			return
		}
	}
}

// maxAsks bounds how often the vendor is asked for the audio of one call.
const maxAsks = 3

// ask asks the vendor for the call's audio, since its last leg was lost.
func (c *Call) ask(ctx context.Context, within time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	if err := c.reattach(ctx); err != nil {
		if errors.Is(err, errors.ErrUnsupported) {
			return
		}
		if ctx.Err() == nil || errors.Is(ctx.Err(), context.DeadlineExceeded) {
			c.publish(event.Event{Kind: event.Warning, Problem: &event.Problem{Code: "reattach_failed", Text: err.Error()}})
		}
		return
	}
	c.log.Info("the vendor was asked for the call's audio, as its last leg was lost")
}

// untilChanged returns true when legs came or went, false when over fires or ctx
// ends. Meanwhile it looks after quiet tracks.
func (c *Call) untilChanged(ctx context.Context, watch, over <-chan time.Time) bool {
	for {
		select {
		case now := <-watch:
			c.warnOfQuiet(now)
		case <-c.changed:
			return true
		case <-over:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// warnOfQuiet says once of each track that its vendor sends nothing, though its leg
// is live and nobody announced it.
func (c *Call) warnOfQuiet(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, tr := range c.tracks {
		l := c.live[key.leg]
		if l == nil || l.held || tr.paused {
			continue
		}
		idle := now.Sub(tr.lastAudio())
		if idle <= quietFor {
			tr.quiet = false
		} else if !tr.quiet {
			tr.quiet = true
			c.publish(event.Event{Kind: event.Warning, Track: tr.about(), Problem: &event.Problem{Code: "no_audio",
				Text: fmt.Sprintf("no audio for %v, though the leg is live: is the call on hold, or the stream stopped at the vendor?", idle.Round(time.Second))}})
		}
	}
}

// end closes what legs are left and ends the tapes. It reports whether a successor of
// this process goes on with the call.
func (c *Call) end(ctx context.Context) (left bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	reason := adapter.EndReason{Kind: adapter.EndOrdered, Text: "the call was cut off"}
	for _, l := range c.live {
		l.tell(adapter.Control{Kind: adapter.ControlEnd, Reason: reason.Text})
		l.finish(reason)
	}
	clear(c.live)
	for l := range c.finishing {
		l.tell(adapter.Control{Kind: adapter.ControlEnd, Reason: reason.Text})
		l.finish(reason)
	}
	clear(c.finishing)
	for _, tr := range c.order {
		tr.tape.End()
	}
	if c.leaving {
		c.publish(event.Event{Kind: event.Warning, Problem: &event.Problem{Code: "host_stops",
			Text: "the host stops; when it starts again it goes on with this call, in the same conversation"}})
		return true
	}
	text := "the last leg has gone"
	if ctx.Err() != nil {
		text = reason.Text
	}
	c.publish(event.Event{Kind: event.CallEnding, State: &event.State{Text: text}})
	return false
}

// close settles the account and ends the log. Of a call that is left to a successor
// the account stays open.
func (c *Call) close(err error, left bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state, c.ended = Ended, time.Now()
	reason := "completed"
	if err != nil {
		reason = "failed"
	}
	for _, tr := range c.order {
		if !left {
			tr.tape.Close(DiscardCallEnded)
		}
		l := tr.tape.Ledger()
		attrs := []any{"track", tr.ref.Track, "role", tr.ref.Role, "arrived", l.Arrived, "recognised", l.Recognised,
			"silent", l.Silent, "unrecognised", l.Unrecognised, "withheld", l.Withheld, "lost", l.Lost, "replayed", l.Replayed}
		for _, k := range slices.Sorted(maps.Keys(l.Discarded)) {
			attrs = append(attrs, "discarded_"+k, l.Discarded[k])
		}
		c.log.Info("track ended", attrs...)
		if err := l.Balanced(); err != nil {
			c.log.Error("the account of a track does not add up; please report this", "track", tr.ref.Track, "err", err)
		}
	}
	c.odd = c.wasOdd()
	if left {
		c.events.Close()
		c.log.Info("call left to the next run of this host", "length", c.ended.Sub(c.started).Round(time.Millisecond))
		return
	}
	c.publish(event.Event{Kind: event.CallEnded, State: &event.State{Reason: reason}})
	c.events.Close()
	if err != nil {
		c.log.Warn("call ended without its conversation in order", "err", err, "length", c.ended.Sub(c.started).Round(time.Millisecond))
		return
	}
	c.log.Info("call ended", "length", c.ended.Sub(c.started).Round(time.Millisecond))
}

// wasOdd reports whether somebody will ask why: there was a warning or a failure, or
// audio was lost or given up that somebody should have heard. c.mu is held.
func (c *Call) wasOdd() bool {
	for _, tr := range c.order {
		l := tr.tape.Ledger()
		if l.Lost > 0 {
			return true
		}
		for reason := range l.Discarded {
			if reason != DiscardThirdVoice && reason != DiscardMixed && reason != DiscardStandby {
				return true
			}
		}
	}
	return slices.ContainsFunc(c.events.Since(0, 0), func(e event.Event) bool {
		return e.Kind == event.Warning || e.Kind == event.Failure
	})
}
