package assist

import (
	"context"
	"time"
)

// pace spaces the chunks of a stream so that audio which waited is sent at a
// bounded multiple of real time, and never too far ahead of it. Audio in real time
// is slower than that and never waits here.
type pace struct {
	scale  float64 // real time: seconds of audio a second
	factor float64 // of real time
	opened time.Time
	next   time.Time
}

// maxAhead is how far a stream's audio may be ahead of real time. The recogniser
// wants about real time (Speech-to-Text "Quotas and limits", March 2026); how much
// more it takes is not documented.
const maxAhead = 45 * time.Second

func newPace(o *Options) pace {
	return pace{scale: o.TimeScale, factor: o.CatchUp, opened: time.Now()}
}

// wait returns when the next chunk may be sent, or with ctx's error. last is the
// length of the chunk before, sent that of all audio so far.
func (p *pace) wait(ctx context.Context, last, sent time.Duration) error {
	now := time.Now()
	p.next = p.next.Add(p.wall(last, p.factor))
	if p.next.Before(now) {
		p.next = now
	}
	if earliest := p.opened.Add(p.wall(sent-maxAhead, 1)); p.next.Before(earliest) {
		p.next = earliest
	}
	return sleep(ctx, p.next.Sub(now))
}

func (p *pace) wall(d time.Duration, factor float64) time.Duration {
	return time.Duration(float64(d) / (p.scale * factor))
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
