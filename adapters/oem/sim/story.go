package sim

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// event is something that a dialog does at a time after its audio began.
type event struct {
	at   time.Duration
	text string
	do   func(context.Context) error
}

// timeline is what happens in a dialog: the dialect's story, and what options ask for.
func (d *dialog) timeline(length time.Duration) []event {
	var list []event
	whole := cmp.Or(length, DefaultDuration)
	for _, s := range d.plan.story {
		if s.lossy && (d.Audio.coded || d.Codec != "") {
			continue
		}
		list = append(list, event{time.Duration(s.at * float64(whole)), s.method + " " + cmp.Or(s.phase, s.form), func(ctx context.Context) error { return d.change(ctx, s) }})
	}
	if d.HoldAfter > 0 {
		form := cmp.Or(d.dialect.holdBy, "invite")
		if d.dialect.delayed {
			form = "sdp-only"
		}
		list = append(list,
			event{d.HoldAfter, "hold", func(ctx context.Context) error {
				return d.change(ctx, step{method: "INVITE", form: form, do: hold})
			}},
			event{d.HoldAfter + d.HoldFor, "resume", func(ctx context.Context) error {
				return d.change(ctx, step{method: "INVITE", form: form, do: resume})
			}})
	}
	if d.RefreshEvery > 0 {
		for n := 1; time.Duration(n)*d.RefreshEvery < whole; n++ {
			s := step{method: "UPDATE", form: "empty"}
			if n%2 == 1 {
				s = step{method: "INVITE", form: "sdp-only"}
			}
			list = append(list, event{time.Duration(n) * d.RefreshEvery, "refresh by " + s.method, func(ctx context.Context) error { return d.change(ctx, s) }})
		}
	}
	if d.DTMF != "" && d == d.dialogs[0] {
		list = append(list, event{whole / 3, "digits", func(context.Context) error {
			d.streams[0].dial(d.DTMF)
			return nil
		}})
	}
	slices.SortStableFunc(list, func(a, b event) int { return cmp.Compare(a.at, b.at) })
	return list
}

// live plays the timeline until the audio has ended, or the server ends the dialog.
func (d *dialog) live(ctx context.Context, length time.Duration) error {
	begun := time.Now()
	silent := make(chan struct{})
	go func() {
		defer close(silent)
		for _, s := range d.streams {
			<-s.player.Done()
		}
	}()
	defer func() {
		for _, s := range d.streams {
			s.player.Halt()
		}
		<-silent
	}()
	for _, e := range d.timeline(length) {
		timer := time.NewTimer(e.at - time.Since(begun))
		select {
		case <-timer.C:
		case <-d.ended:
			timer.Stop()
			return nil
		case <-silent:
			timer.Stop()
			return nil
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		d.observe(d.key, StepChange, e.text)
		if err := e.do(ctx); err != nil {
			return err
		}
	}
	select {
	case <-silent:
	case <-d.ended:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// holdLead is how long before the request the audio of a held call stops: RTP takes
// another way than SIP, and should not come after it.
const holdLead = 60 * time.Millisecond

// change is a step of the story: what happens to the media, and the request that says so.
func (d *dialog) change(ctx context.Context, s step) error {
	if s.do == hold {
		for _, st := range d.streams {
			st.setSending(false)
		}
		if !wait(ctx, holdLead) {
			return ctx.Err()
		}
	}
	if s.do == move {
		for _, st := range d.streams {
			if err := st.relocate(); err != nil {
				return err
			}
		}
	}
	d.mu.Lock()
	d.phase = cmp.Or(s.phase, d.phase)
	switch s.do {
	case hold:
		d.held = true
	case resume:
		d.held = false
	case wideband:
		d.wide = true
	}
	if s.do != unchanged {
		d.version++
	}
	d.mu.Unlock()
	return d.renegotiate(ctx, s.method, cmp.Or(s.form, "invite"))
}
