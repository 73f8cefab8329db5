package oem

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/patchbay/patchbay/adapters/oem/ciscobib"
	"github.com/patchbay/patchbay/adapters/oem/sdp"
	"github.com/patchbay/patchbay/adapters/oem/signal"
	"github.com/patchbay/patchbay/adapters/oem/siprec"
	"github.com/patchbay/patchbay/core/adapter"
)

// Change answers a re-INVITE or an UPDATE: first what is agreed, then who speaks.
func (c *session) Change(r *signal.Request) signal.Answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.signalled = time.Now()
	c.peer = r.Peer
	body := siprec.Split(r.ContentType, r.Body)
	before := c.fork
	for _, w := range c.learn(body, r) {
		c.note(adapter.Note{Kind: adapter.NoteWarning, Text: w})
	}
	agreed, answer := c.agreed, signal.Answer{}
	provisional := false
	switch {
	case body.SDP != nil, r.Method == "INVITE":
		if agreed, answer = c.negotiate(body.SDP); agreed == nil {
			return answer
		}
		provisional = body.SDP == nil
	}
	if before != nil && c.fork != nil && before.Key() != c.fork.Key() {
		if refusal, ok := c.restart(r, before); !ok {
			c.offered = nil
			return refusal
		}
	}
	if agreed != nil {
		if err := c.apply(agreed, provisional); err != nil {
			c.fail(err)
		}
	}
	if body.Metadata != nil {
		c.tell(r)
	}
	return answer
}

// claimContinues names the call that the same telephone line was recorded for before.
const claimContinues = "continues"

// restart gives the dialog to another call: CUCM records on for the next one.
func (c *session) restart(r *signal.Request, before *ciscobib.Fork) (refusal signal.Answer, ok bool) {
	old, link := c.leg, c.link
	c.link = c.linked(r)
	if line := before.Line(); line != "" && line == c.fork.Line() {
		c.link.Claims[claimContinues] = link.CallKey
	}
	if refusal, ok = c.open(c.server.work, c.link.Warnings); !ok {
		c.link = link
		return refusal, false
	}
	c.attribute(c.agreed)
	c.close(old, adapter.EndReason{Kind: adapter.EndHangup, Text: "the recording goes on for another call"})
	return signal.Answer{}, true
}

// tell hands new metadata to the host.
func (c *session) tell(r *signal.Request) {
	now := c.linked(r)
	fields := map[string]string{}
	for name, value := range now.Claims {
		if c.link.Claims[name] != value {
			fields[name] = value
			c.link.Claims[name] = value
		}
	}
	if len(fields) > 0 {
		c.note(adapter.Note{Kind: adapter.NoteMetadata, Fields: fields, Aliases: now.Aliases})
	}
}

// Acknowledge takes the answer to an offer of ours.
func (c *session) Acknowledge(r *signal.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.signalled = time.Now()
	offered := c.offered
	c.offered = nil
	if offered == nil {
		return
	}
	if err := c.accept(offered, siprec.Split(r.ContentType, r.Body).SDP); err != nil {
		c.server.report.Warn(countAnswer, "the answer to our offer cannot be used; the call is ended", "call", c.link.CallKey, "err", err)
		c.fail(err)
	}
}

// accept applies the peer's answer to an offer of ours. c.mu is held.
func (c *session) accept(offered *sdp.Agreement, answer []byte) error {
	d, err := sdp.Parse(answer)
	if err != nil {
		return err
	}
	own, err := c.server.addressFor(c.peer.Addr)
	if err != nil {
		return err
	}
	agreed, err := offered.Accept(d, c.trunk.choices(c.peer, own, c.id, c.server.cfg.Limits.MaxStreams))
	if err != nil {
		return err
	}
	return c.apply(agreed, false)
}

// Refreshed takes the peer's answer to a re-INVITE that only refreshed the session.
func (c *session) Refreshed([]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.signalled = time.Now()
}

// Inform answers an INFO; DTMF by INFO is the recorded call's business.
func (c *session) Inform(*signal.Request) signal.Answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.signalled = time.Now()
	return signal.Answer{}
}

var ends = map[signal.EndCause]adapter.EndReason{
	signal.EndBye:       {Kind: adapter.EndHangup, Text: "the system ended the call"},
	signal.EndCancelled: {Kind: adapter.EndHangup, Text: "the system cancelled the call before it was answered"},
	signal.EndOurs:      {Kind: adapter.EndOrdered, Text: "the host ended the call"},
	signal.EndNoAck:     {Kind: adapter.EndLost, Text: "the system never acknowledged the answer (ACK)"},
	signal.EndExpired:   {Kind: adapter.EndLost, Text: "the system did not refresh the session in time"},
	signal.EndLost:      {Kind: adapter.EndLost, Text: "the system does not answer any more"},
	signal.EndReplaced:  {Kind: adapter.EndTakeover, Text: "another dialog took the place of this one"},
	signal.EndShutdown:  {Kind: adapter.EndShutdown, Text: "the adapter stops"},
}

// End closes the leg.
func (c *session) End(cause signal.EndCause) {
	c.server.remove(c)
	c.mu.Lock()
	c.closeLines()
	reason, known := ends[cause]
	if !known {
		reason = adapter.EndReason{Kind: adapter.EndLost, Text: fmt.Sprint(cause)}
	}
	if ours := c.reason.Load(); ours != nil && cause == signal.EndOurs {
		reason = *ours
	}
	c.server.log.Info("recording call ended", "call", c.link.CallKey, "reason", reason.Kind, "text", reason.Text)
	c.close(c.leg, reason)
	c.mu.Unlock()
	c.controls.Wait()
}

// close closes a leg. c.mu is held.
func (c *session) close(leg adapter.Leg, reason adapter.EndReason) {
	if err := leg.Close(reason); err != nil {
		c.server.report.Warn(countWrite, "the host did not take the leg's end", "call", c.link.CallKey, "err", err)
	}
}

// hangUp ends the call from our side. Any goroutine may call it, and with any lock held.
func (c *session) hangUp(reason adapter.EndReason) {
	c.reason.CompareAndSwap(nil, &reason)
	c.dialog.Bye(reason.Text)
}

// fail ends a call whose media cannot be used.
func (c *session) fail(err error) {
	c.hangUp(adapter.EndReason{Kind: adapter.EndProtocol, Text: err.Error()})
}

// obey does what the host wants of a leg, until the leg is closed.
func (c *session) obey(leg adapter.Leg) {
	for order := range leg.Control() {
		switch order.Kind {
		case adapter.ControlEnd:
			if order.Reconnect {
				c.server.drain()
			}
			c.hangUp(adapter.EndReason{Kind: adapter.EndOrdered, Text: order.Reason})
		case adapter.ControlPause, adapter.ControlResume:
			if c.trunk.PauseByOffer {
				c.ask(order.Kind == adapter.ControlPause)
			}
		}
	}
}

// ask asks the system to send nothing for a while, or to go on. Nothing depends on its
// consent: the host keeps nothing of a pause.
func (c *session) ask(pause bool) {
	ctx, cancel := context.WithTimeout(c.server.work, offerTimeout)
	defer cancel()
	c.mu.Lock()
	c.paused = pause
	offered, answer := c.negotiate(nil)
	c.offered = nil // the answer comes below, not by an ACK
	c.mu.Unlock()
	if offered == nil {
		c.server.report.Warn(countPause, "a pause could not be offered", "call", c.link.CallKey, "code", answer.Status)
		return
	}
	theirs, err := c.dialog.Reoffer(ctx, offered.Body)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		err = c.accept(offered, theirs)
	}
	if err != nil && !errors.Is(err, signal.ErrDialogOver) {
		c.server.report.Warn(countPause, "the system did not follow a pause, or its end", "call", c.link.CallKey, "err", err)
		c.note(adapter.Note{Kind: adapter.NoteWarning, Text: "the system goes on sending while the call is paused; nothing of it is kept"})
	}
}

// offerTimeout bounds an offer of ours, with its glare.
const offerTimeout = 30 * time.Second
