package assist

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// governor hands out the starts of streams: those of running calls before those of
// new ones, customers before agents, in the order of asking. Who gets none keeps
// taping. It never starts more than the Budget has.
type governor struct {
	budget Budget
	scale  float64
	stats  *Stats

	mu       sync.Mutex
	queue    []*ticket // by rank, then by order of asking
	claims   map[*claim]struct{}
	promised map[QuotaKey]int // starts that rotations were promised
	timer    *time.Timer
	closed   bool
}

// rank orders those who wait for a start.
type rank uint8

const (
	rankPromised    rank = iota // a rotation that was let go ahead
	rankCustomer                // of a running call
	rankAgent                   // of a running call
	rankNewCustomer             // first stream
	rankNewAgent                // first stream
	rankDoubtful                // was refused before: it takes only what nobody else needs
)

func newGovernor(b Budget, scale float64, stats *Stats) *governor {
	return &governor{budget: b, scale: scale, stats: stats, claims: make(map[*claim]struct{}), promised: make(map[QuotaKey]int)}
}

// claim is what a track or a new call will want of the quotas.
type claim struct {
	need  []Quota
	wants int       // starts that it waits for
	until time.Time // after it, wants is not believed any more; zero: for ever
	due   time.Time // when the open stream needs its successor at the latest; zero: none is open
}

// ticket is one who waits for a start.
type ticket struct {
	need    []Quota
	rank    rank
	granted chan struct{}
}

// claim registers a claim; drop removes it.
func (g *governor) claim(need []Quota, wants int, until time.Time) *claim {
	c := &claim{need: need, wants: wants, until: until}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.claims[c] = struct{}{}
	return c
}

func (g *governor) drop(c *claim) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.claims, c)
}

// update says what c wants now.
func (g *governor) update(c *claim, wants int, due time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c.wants, c.due = wants, due
}

// less takes one off what c wants: a track of the call has its own claim now.
func (g *governor) less(c *claim) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c.wants = max(0, c.wants-1)
}

// start waits for a start. Whoever got one and has a session of a concurrent quota
// gives it back with end.
func (g *governor) start(ctx context.Context, need []Quota, r rank) error {
	if len(need) == 0 {
		return ctx.Err()
	}
	t := &ticket{need: need, rank: r, granted: make(chan struct{})}
	begin := time.Now()
	g.mu.Lock()
	i, _ := slices.BinarySearchFunc(g.queue, r, func(t *ticket, r rank) int {
		if t.rank <= r {
			return -1
		}
		return 1
	})
	g.queue = slices.Insert(g.queue, i, t)
	g.pump()
	g.mu.Unlock()
	select {
	case <-t.granted:
	default:
		g.stats.StartsWaiting.Add(1)
		defer g.stats.StartsWaiting.Add(-1)
		g.stats.StartsDelayed.Add(1)
		defer func() { g.stats.StartDelay.Add(int64(time.Since(begin))) }()
	}
	select {
	case <-t.granted:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-t.granted: // just now
		g.budget.Give(need)
	default:
		g.queue = slices.DeleteFunc(g.queue, func(other *ticket) bool { return other == t })
		if r == rankPromised {
			g.unpromise(need)
		}
	}
	g.pump()
	return ctx.Err()
}

// pump grants what there is. Nobody overtakes one who waits for the same quota.
// g.mu is held.
func (g *governor) pump() {
	if g.closed {
		return
	}
	var next time.Duration
	var dry []QuotaKey
	g.queue = slices.DeleteFunc(g.queue, func(t *ticket) bool {
		if slices.ContainsFunc(t.need, func(q Quota) bool { return slices.Contains(dry, q.QuotaKey) }) {
			return false
		}
		short, wait := g.budget.Take(t.need, g.spare(t.need, t.rank))
		if wait > 0 {
			dry = append(dry, short)
			if next == 0 || wait < next {
				next = wait
			}
			return false
		}
		if t.rank == rankPromised {
			g.unpromise(t.need)
		}
		close(t.granted)
		return true
	})
	switch {
	case next == 0:
		if g.timer != nil {
			g.timer.Stop()
		}
	case g.timer == nil:
		g.timer = time.AfterFunc(next, func() {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.pump()
		})
	default:
		g.timer.Reset(next)
	}
}

// spare is what one of rank r leaves to others.
func (g *governor) spare(need []Quota, r rank) (spare float64) {
	if r == rankPromised {
		return 0
	}
	for _, q := range need {
		spare = max(spare, float64(g.promised[q.QuotaKey]))
		if burst := g.budget.Level(q).Burst; r == rankDoubtful {
			spare = max(spare, min(burst/2, burst-1))
		}
	}
	return spare
}

// promise asks for a rotation: how far is 0 at the soft mark and 1 at the hard one.
// A rotation leaves half of what there may be to those who have no stream at all,
// less as it becomes urgent, and waits while anybody does. What it was promised it
// asks for with rankPromised, or gives up with abandon.
func (g *governor) promise(need []Quota, far float64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, q := range need {
		if far >= 1 || q.Kind.concurrent() { // its own session ends first
			continue
		}
		l := g.budget.Level(q)
		left := l.Left - float64(g.promised[q.QuotaKey])
		if l.Blocked > 0 || left < min(1+(1-far)*l.Burst/2, l.Burst)-tiny || g.waitsFor(q.QuotaKey) {
			return false
		}
	}
	for _, q := range need {
		g.promised[q.QuotaKey]++
	}
	return true
}

func (g *governor) waitsFor(k QuotaKey) bool {
	return slices.ContainsFunc(g.queue, func(t *ticket) bool {
		return t.rank != rankDoubtful && slices.ContainsFunc(t.need, func(q Quota) bool { return q.QuotaKey == k })
	})
}

// abandon gives up a promise.
func (g *governor) abandon(need []Quota) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.unpromise(need)
	g.pump()
}

func (g *governor) unpromise(need []Quota) {
	for _, q := range need {
		if g.promised[q.QuotaKey]--; g.promised[q.QuotaKey] <= 0 {
			delete(g.promised, q.QuotaKey)
		}
	}
}

// end gives the sessions of concurrent quotas back; unused a start that did not happen.
func (g *governor) end(need []Quota) {
	g.give(slices.DeleteFunc(slices.Clone(need), func(q Quota) bool { return !q.Kind.concurrent() }))
}

func (g *governor) unused(need []Quota) { g.give(need) }

func (g *governor) give(need []Quota) {
	if len(need) == 0 {
		return
	}
	g.budget.Give(need)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pump()
}

func (g *governor) exhausted(need []Quota) {
	g.stats.QuotaRefusals.Add(1)
	g.budget.Exhausted(need)
}

// ErrFull means that the quotas carry no further call.
var ErrFull = errors.New("assist: the quotas of Google carry no further call")

// canServe asks whether a call of two speakers gets its streams within a minute:
// after all that wait, and with all rotations that will be due.
func (g *governor) canServe(need []Quota) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	minute := now.Add(time.Duration(float64(time.Minute) / g.scale))
	for _, q := range need {
		l := g.budget.Level(q)
		wanted := StreamsPerCall
		for c := range g.claims {
			if !slices.ContainsFunc(c.need, func(other Quota) bool { return other.QuotaKey == q.QuotaKey }) {
				continue
			}
			if c.until.IsZero() || now.Before(c.until) {
				wanted += c.wants
			}
			if !q.Kind.concurrent() && !c.due.IsZero() && c.due.Before(minute) {
				wanted++
			}
		}
		if have := l.Left + l.Refill; float64(wanted) > have+tiny {
			return fmt.Errorf("%w: %s of project %s is %d, and the calls that run may need %d starts in the next minute of %.0f that are left; ask Google for more, or choose another routes[].transport",
				ErrFull, q.Kind, q.Project, q.Limit, wanted-StreamsPerCall, max(0, have))
		}
	}
	return nil
}

func (g *governor) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	if g.timer != nil {
		g.timer.Stop()
	}
}
