package five9

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
)

const (
	eventLifetime = 15 * time.Minute // what events say of a call waits so long for its legs
	maxWaiting    = 10_000           // calls without legs that are remembered
	maxVariables  = 64               // of one call
	maxVariable   = 512              // bytes of a name or a value
	sweepInterval = 10 * time.Second
)

// calls remembers what events say of calls, and which streams are live. Events may
// come before the first leg, between legs, or after the last.
type calls struct {
	mu      sync.Mutex
	byKey   map[callKey]*known
	waiting int // of them, those without streams
	swept   time.Time
}

// known is what is known of one call.
type known struct {
	calls *calls
	key   callKey

	// Guarded by calls.mu.
	variables map[string]string
	changes   int       // counts changes of variables
	streams   []*stream // live, oldest first
	touched   time.Time
}

// find returns the call of a key, made when it is new. c.mu is held.
func (c *calls) find(key callKey, now time.Time) (k *known, forgot int) {
	if c.byKey == nil {
		c.byKey = map[callKey]*known{}
	}
	if k := c.byKey[key]; k != nil {
		k.touched = now
		return k, 0
	}
	forgot = c.sweep(now)
	k = &known{calls: c, key: key, touched: now}
	c.byKey[key] = k
	c.waiting++
	return k, forgot
}

// sweep forgets calls without streams that are too old or, when too many wait, the
// oldest. c.mu is held.
func (c *calls) sweep(now time.Time) (forgot int) {
	if now.Sub(c.swept) < sweepInterval && c.waiting < maxWaiting {
		return 0
	}
	c.swept = now
	var oldest *known
	for key, k := range c.byKey {
		if len(k.streams) > 0 {
			continue
		}
		if now.Sub(k.touched) > eventLifetime {
			delete(c.byKey, key)
			c.waiting--
		} else if oldest == nil || k.touched.Before(oldest.touched) {
			oldest = k
		}
	}
	if c.waiting >= maxWaiting && oldest != nil {
		delete(c.byKey, oldest.key)
		c.waiting--
		forgot++
	}
	return forgot
}

// join adds a stream to its call.
func (c *calls) join(key callKey, s *stream) *known {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, _ := c.find(key, time.Now())
	if len(k.streams) == 0 {
		c.waiting--
	}
	k.streams = append(k.streams, s)
	return k
}

// leave takes a stream out of its call.
func (c *calls) leave(k *known, s *stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(k.streams, s)
	if i < 0 {
		return
	}
	k.streams = slices.Delete(k.streams, i, i+1)
	if k.touched = time.Now(); len(k.streams) == 0 {
		c.waiting++
	}
}

// describe adds what events have said to a leg's introduction. It returns what opened
// wants to know.
func (k *known) describe(info *adapter.LegInfo) (changes int) {
	k.calls.mu.Lock()
	defer k.calls.mu.Unlock()
	for name, value := range k.variables {
		switch name {
		case variableFrom:
			info.From = adapter.E164(value)
		case variableTo:
			info.To = adapter.E164(value)
		case variableSession:
			info.Aliases = append(info.Aliases, value)
		default:
			if _, taken := info.Claims[name]; taken {
				continue
			}
		}
		info.Claims[name] = value
	}
	delete(info.Claims, variableFrom) // the typed fields hide them in logs
	delete(info.Claims, variableTo)
	return k.changes
}

// opened says that the stream has its leg. When events have come since describe, it
// returns what to note about them.
func (k *known) opened(s *stream, leg adapter.Leg, changes int, at time.Time) (n adapter.Note, news bool) {
	k.calls.mu.Lock()
	defer k.calls.mu.Unlock()
	s.noted = leg
	if k.changes == changes {
		return n, false
	}
	return noteOf(k.variables, at), true
}

// learn takes the variables of an event. It returns what is new, and the legs that may
// be told, oldest first: one is enough, as it concerns the call.
func (c *calls) learn(key callKey, variables map[string]string, now time.Time) (n adapter.Note, news bool, legs []adapter.Leg, dropped, forgot int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, forgot := c.find(key, now)
	fresh := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		value := variables[name]
		old, there := k.variables[name]
		switch {
		case there && old == value:
			continue
		case len(name) > maxVariable, len(value) > maxVariable, !there && len(k.variables) >= maxVariables:
			dropped++
			continue
		}
		if k.variables == nil {
			k.variables = map[string]string{}
		}
		k.variables[name], fresh[name] = value, value
	}
	if len(fresh) == 0 {
		return n, false, nil, dropped, forgot
	}
	k.changes++
	return noteOf(fresh, now), true, k.legs(), dropped, forgot
}

// legs returns the call's live legs. calls.mu is held.
func (k *known) legs() (legs []adapter.Leg) {
	for _, s := range k.streams {
		if s.noted != nil {
			legs = append(legs, s.noted)
		}
	}
	return legs
}

// legs returns the live legs of a call.
func (c *calls) legs(key callKey) []adapter.Leg {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k := c.byKey[key]; k != nil {
		return k.legs()
	}
	return nil
}

// noteOf tells the host of variables. Numbers of people stay out, as the host logs and
// shows attributes.
func noteOf(variables map[string]string, at time.Time) adapter.Note {
	n := adapter.Note{Kind: adapter.NoteMetadata, At: at, Fields: maps.Clone(variables)}
	delete(n.Fields, variableFrom)
	delete(n.Fields, variableTo)
	if session := variables[variableSession]; session != "" {
		n.Aliases = []string{session}
	}
	return n
}
