package audiohook

import (
	"sync"
	"time"
)

const (
	chainLifetime = 15 * time.Minute // after a session's end another one may continue it
	maxChains     = 20_000           // that ended; live ones are bounded by limits.max_sessions
	sweepInterval = 10 * time.Second
)

// chains remembers which leg a session was, so that one which continues it finds its
// place however long the chain is.
type chains struct {
	mu    sync.Mutex
	byKey map[chainKey]*chain
	swept time.Time
}

type chainKey struct{ account, conversation, session string }

type chain struct {
	leg     string
	live    int
	expires time.Time // means nothing while live
}

// find returns the leg of a session.
func (c *chains) find(account, conversation, session string) (leg string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.byKey[chainKey{account, conversation, session}]; ok && (e.live > 0 || time.Now().Before(e.expires)) {
		return e.leg, true
	}
	return "", false
}

// begin says that a session is a leg now; end follows.
func (c *chains) begin(key chainKey, leg string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byKey == nil {
		c.byKey = map[chainKey]*chain{}
	}
	c.sweep(time.Now())
	e := c.byKey[key]
	if e == nil {
		e = &chain{}
		c.byKey[key] = e
	}
	e.leg = leg
	e.live++
}

// end says that the session's connection is gone.
func (c *chains) end(key chainKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.byKey[key]; e != nil {
		e.live--
		e.expires = time.Now().Add(chainLifetime)
	}
}

// sweep forgets what has expired and, when there is too much, what expires first.
func (c *chains) sweep(now time.Time) {
	if now.Sub(c.swept) < sweepInterval && len(c.byKey) < maxChains {
		return
	}
	c.swept = now
	var oldest chainKey
	var at time.Time
	for key, e := range c.byKey {
		switch {
		case e.live > 0:
		case now.After(e.expires):
			delete(c.byKey, key)
		case at.IsZero() || e.expires.Before(at):
			oldest, at = key, e.expires
		}
	}
	if len(c.byKey) >= maxChains && !at.IsZero() {
		delete(c.byKey, oldest)
	}
}
