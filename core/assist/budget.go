package assist

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Budget counts what is left of the quotas. The pool's own counts the starts of
// this process; one that several nodes share takes its place with Options.Budget.
// No method waits.
type Budget interface {
	// Take takes one of each quota, or nothing: then short names the quota that has
	// not more than spare left, and wait, which is above zero, when to ask again.
	Take(need []Quota, spare float64) (short QuotaKey, wait time.Duration)
	// Give returns one of each: a session has ended, or a start did not happen.
	Give(need []Quota)
	// Exhausted says that Google refused a stream for one of these quotas: others
	// than this budget's users have spent it. They are empty for a while.
	Exhausted(need []Quota)
	// Level returns what is left of a quota.
	Level(q Quota) QuotaLevel
}

// QuotaLevel is what is left of a quota.
type QuotaLevel struct {
	QuotaKey
	Limit   int           `json:"limit" doc:"A minute, or at a time."`
	Left    float64       `json:"left" doc:"Starts that may happen now."`
	Burst   float64       `json:"burst" doc:"The most that may be left."`
	Refill  float64       `json:"refill" doc:"Starts a minute; 0 where the quota counts what runs."`
	Blocked time.Duration `json:"blocked,omitempty" doc:"Nothing starts for so long, as Google refused a stream."`
}

// How much of a quota is used. Burst plus one minute of refill stay at 90 %: Google
// counts a window of its own, and others may use the project.
const (
	usedShare   = 0.9
	burstShare  = 0.1
	refillShare = usedShare - burstShare
)

// localBudget is a Budget of token buckets in memory.
type localBudget struct {
	scale float64 // minutes of quota a minute

	mu      sync.Mutex
	buckets map[QuotaKey]*bucket
}

type bucket struct {
	QuotaLevel               // Left as of at
	at         time.Time     // may lie ahead: refill begins then
	blocked    time.Time     // until then nothing starts
	pause      time.Duration // of the last block
}

func newLocalBudget(scale float64) *localBudget {
	return &localBudget{scale: scale, buckets: make(map[QuotaKey]*bucket)}
}

// bucket returns the bucket of q as it is now. b.mu is held.
func (b *localBudget) bucket(q Quota, now time.Time) *bucket {
	k := b.buckets[q.QuotaKey]
	if k == nil || k.Limit != q.Limit {
		fresh := &bucket{QuotaLevel: QuotaLevel{QuotaKey: q.QuotaKey, Limit: q.Limit}, at: now}
		if q.Kind.concurrent() {
			fresh.Burst = max(1, float64(int(usedShare*float64(q.Limit))))
		} else {
			fresh.Burst = max(1, burstShare*float64(q.Limit))
			fresh.Refill = refillShare * float64(q.Limit)
		}
		fresh.Left = fresh.Burst
		if k != nil { // the number has changed: what was taken stays taken
			fresh.Left += k.Left - k.Burst
			fresh.blocked, fresh.pause = k.blocked, k.pause
		}
		k = fresh
		b.buckets[q.QuotaKey] = k
	}
	if d := now.Sub(k.at); d > 0 {
		k.at = now
		if k.Refill > 0 {
			k.Left = min(k.Burst, k.Left+d.Minutes()*k.Refill*b.scale)
		}
	}
	return k
}

// pollSession is when to look again for a session that ends: the one who waits is
// told earlier when it ends in this process.
const pollSession = time.Second

func (b *localBudget) Take(need []Quota, spare float64) (short QuotaKey, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for _, q := range need {
		k := b.bucket(q, now)
		missing := 1 + spare - k.Left
		switch blocked := k.blocked.Sub(now); {
		case blocked > 0:
			return q.QuotaKey, blocked
		case missing <= tiny:
		case k.Refill == 0:
			return q.QuotaKey, pollSession
		default:
			d := time.Duration(missing / (k.Refill * b.scale) * float64(time.Minute))
			return q.QuotaKey, max(d, time.Millisecond)
		}
	}
	for _, q := range need {
		b.buckets[q.QuotaKey].Left--
	}
	return QuotaKey{}, 0
}

// tiny is the rounding that Take forgives.
const tiny = 1e-6

func (b *localBudget) Give(need []Quota) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for _, q := range need {
		k := b.bucket(q, now)
		k.Left = min(k.Burst, k.Left+1)
	}
}

// forgetBlocks is how long without a refusal makes the next block short again.
const forgetBlocks = 2 * time.Minute

func (b *localBudget) Exhausted(need []Quota) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for _, q := range need {
		k := b.bucket(q, now)
		switch {
		case now.Before(k.blocked): // one of several that were on their way
			continue
		case now.Sub(k.blocked) > forgetBlocks:
			k.pause = quotaFirst
		default:
			k.pause = min(2*k.pause, quotaMost)
		}
		k.blocked = now.Add(time.Duration(float64(k.pause) / b.scale))
		if !q.Kind.concurrent() {
			k.Left, k.at = min(0, k.Left), k.blocked
		}
	}
}

func (b *localBudget) Level(q Quota) QuotaLevel {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bucket(q, time.Now()).level()
}

func (k *bucket) level() QuotaLevel {
	l := k.QuotaLevel
	l.Blocked = max(0, time.Until(k.blocked))
	return l
}

// levels returns all quotas that were asked for, in a stable order.
func (b *localBudget) levels() (out []QuotaLevel) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for _, k := range slices.Collect(maps.Values(b.buckets)) {
		out = append(out, b.bucket(Quota{k.QuotaKey, k.Limit}, now).level())
	}
	slices.SortFunc(out, func(x, y QuotaLevel) int {
		return cmp.Or(strings.Compare(x.Project, y.Project), strings.Compare(string(x.Kind), string(y.Kind)),
			strings.Compare(x.Region, y.Region), strings.Compare(x.Model, y.Model), strings.Compare(x.Credentials, y.Credentials))
	})
	return out
}
