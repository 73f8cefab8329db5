package sim

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
)

// call is one recorded call: a dialog, or several.
type call struct {
	*engine
	number  int
	seed    string // of ids
	dialogs []*dialog

	guard sync.Mutex
	errs  []error
}

func (e *engine) newCall(i int) *call {
	c := &call{engine: e, number: e.First + i, seed: rand.Text()}
	for n, plan := range e.dialect.dialogs {
		if e.Plain {
			// What begins held has to be resumed all the same.
			plan.story = slices.DeleteFunc(slices.Clone(plan.story), func(s step) bool { return !plan.held || s.do != resume })
		}
		c.dialogs = append(c.dialogs, c.newDialog(n, plan))
	}
	return c
}

func (c *call) newDialog(n int, plan dialogPlan) *dialog {
	d := &dialog{
		call: c, plan: plan, line: c.phone.lines[c.number%len(c.phone.lines)], ownTag: rand.Text()[:10], session: uint64(time.Now().Unix()),
		phase: plan.phase, version: 1, held: plan.held, acks: map[int][]byte{}, ended: make(chan struct{}),
	}
	d.callID = rand.Text() + "@" + c.mediaIP.String()
	if c.dialect.callID {
		d.callID = fmt.Sprintf("%s-%d@caller.example.com", strings.ToLower(rand.Text()[:20]), n)
	}
	key, err := renderBody(c.templates, "key", d.page("", ""))
	if err != nil {
		c.fail(err)
	}
	d.key = strings.TrimSpace(string(key))
	return d
}

func (c *call) fail(err error) {
	c.guard.Lock()
	c.errs = append(c.errs, err)
	c.guard.Unlock()
	c.observe(c.name(), StepError, err.Error())
}

// odd reports what a strict client would not accept; the call goes on.
func (c *call) odd(what []string) {
	for _, text := range what {
		c.guard.Lock()
		c.errs = append(c.errs, errors.New("odd: "+text))
		c.guard.Unlock()
		c.observe(c.name(), StepProblem, text)
	}
}

// name is how steps name the call.
func (c *call) name() string {
	if len(c.dialogs) == 0 {
		return fmt.Sprint("call ", c.number)
	}
	return c.dialogs[0].key
}

// report has an entry for each call that the server should see: dialogs with one key are
// one call.
func (c *call) report() (list []adapter.SimCall) {
	for _, d := range c.dialogs {
		i := slices.IndexFunc(list, func(s adapter.SimCall) bool { return s.Call == d.key })
		if i < 0 {
			i = len(list)
			list = append(list, adapter.SimCall{Call: d.key})
		}
		for _, s := range d.streams {
			list[i].Tracks = append(list[i].Tracks, s.sent())
		}
	}
	c.guard.Lock()
	defer c.guard.Unlock()
	if err := errors.Join(c.errs...); err != nil {
		list[0].Error = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	return list
}

// run lives the call from its first INVITE to its last BYE.
func (c *call) run(ctx context.Context) {
	var dialogs sync.WaitGroup
	for _, d := range c.dialogs {
		dialogs.Go(func() {
			begin := time.Duration(d.plan.from*float64(c.Duration) + d.plan.after*float64(time.Second))
			if !wait(ctx, begin) {
				c.fail(ctx.Err())
				return
			}
			if err := d.run(ctx); err != nil {
				c.fail(err)
			}
		})
	}
	dialogs.Wait()
	c.observe(c.name(), StepEnd, "")
}

// run lives one dialog.
func (d *dialog) run(ctx context.Context) error {
	defer func() {
		for _, s := range d.streams {
			s.finish()
		}
	}()
	for i, plan := range d.plan.streams {
		s, err := d.newStream(d.label(i, plan), plan.who, d.track(i, plan))
		if err != nil {
			return err
		}
		d.streams = append(d.streams, s)
	}
	d.phone.add(d)
	defer d.phone.remove(d)
	d.observe(d.key, StepInvite, d.callID)
	if err := d.renegotiate(ctx, "INVITE", "invite"); err != nil {
		d.abandon(ctx)
		return err
	}
	d.observe(d.key, StepAnswer, "")
	length := d.length()
	for _, s := range d.streams {
		s.start(length)
	}
	err := d.live(ctx, length)
	if err == nil && !d.isEnded() {
		wait(ctx, d.Linger)
	}
	switch {
	case d.isEnded() || d.NoBye:
	case d.NoAck:
		err = d.awaitBye(ctx)
	default:
		// A cancelled simulator still says goodbye.
		err = errors.Join(err, d.bye(context.WithoutCancel(ctx)))
	}
	d.checkReports(length)
	return err
}

// abandon says goodbye to a dialog whose first answer could not be used.
func (d *dialog) abandon(ctx context.Context) {
	d.mu.Lock()
	established := d.toTag != ""
	d.mu.Unlock()
	if established && !d.isEnded() {
		_ = d.bye(context.WithoutCancel(ctx)) // the call has failed already
	}
}

func (d *dialog) isEnded() bool {
	select {
	case <-d.ended:
		return true
	default:
		return false
	}
}

// ErrUnacknowledged means that the server kept a call whose 2xx nobody acknowledged.
var ErrUnacknowledged = errors.New("sim: the server did not end a call that was never acknowledged")

func (d *dialog) awaitBye(ctx context.Context) error {
	timer := time.NewTimer(patience + 8*time.Second)
	defer timer.Stop()
	select {
	case <-d.ended:
		return nil
	case <-timer.C:
		return ErrUnacknowledged
	case <-ctx.Done():
		return ctx.Err()
	}
}

// label names a stream as the system does.
func (d *dialog) label(i int, plan streamPlan) string {
	if plan.label != "#" {
		return plan.label
	}
	return (page{Seed: d.seed}).Number(fmt.Sprint("label", i), 8)
}

// track is the name of a stream's track at the server.
func (d *dialog) track(i int, plan streamPlan) media.TrackID {
	switch label := d.label(i, plan); {
	case label != "":
		return media.TrackID(label)
	case d.dialect.delayed:
		return media.TrackID(d.plan.phase)
	}
	return media.TrackID(fmt.Sprint("line-", i+1))
}

// length is how long the dialog's audio lasts; 0 is until it ends by itself.
func (d *dialog) length() time.Duration {
	to := d.plan.to
	if to == 0 {
		to = 1
	}
	length := time.Duration((to-d.plan.from)*float64(d.Duration)) - time.Duration(d.plan.after*float64(time.Second))
	return max(length, 0)
}

// checkReports says if no receiver report came, although there was time for one.
func (d *dialog) checkReports(length time.Duration) {
	const enough = 12 * time.Second
	if length < enough || d.isEnded() {
		return
	}
	for _, s := range d.streams {
		if s.reported() == 0 {
			d.odd([]string{fmt.Sprintf("no receiver report came for label %q within %v", s.label, length)})
		}
	}
}
