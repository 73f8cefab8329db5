package twilio

import (
	"crypto/rand"
	"sync"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
)

const (
	tokenLifetime  = 2 * time.Minute  // from the TwiML or REST answer to the stream's start; Twilio takes a second
	reconnectGrace = time.Minute      // after a stream's end its own token still admits the same stream
	maxTokens      = 10_000           // unused or ended; streams that live are bounded by Limits.MaxStreams
	sweepInterval  = 10 * time.Second // how often expired tokens are looked for
)

// ticket is what a one-time token stands for: a call that Twilio told us of in a
// signed request, or that we attach to ourselves.
type ticket struct {
	account  string
	call     string
	from, to adapter.E164
	claims   map[string]string

	stream  string    // the one stream that used it; empty before
	live    int       // connections that carry that stream now: two while one takes over another
	expires time.Time // means nothing while live
}

// tokens remembers one-time tokens. A token belongs to one call and is used up by
// the first stream that brings it; the same stream may bring it again, as
// look-alikes do when they reconnect.
type tokens struct {
	mu    sync.Mutex
	byKey map[string]*ticket
	swept time.Time
}

// issue returns a new token. When too many wait, the one that expires first goes.
func (t *tokens) issue(tk ticket) string {
	now := time.Now()
	tk.expires = now.Add(tokenLifetime)
	token := rand.Text()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byKey == nil {
		t.byKey = map[string]*ticket{}
	}
	t.sweep(now)
	if len(t.byKey) >= maxTokens {
		t.evict()
	}
	t.byKey[token] = &tk
	return token
}

// use admits a stream by its token. The account is what start says; it must be
// the one that the token was made for.
func (t *tokens) use(token, account, call, stream string) (ticket, bool) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	tk, ok := t.byKey[token]
	if !ok || tk.account != account || tk.call != call || tk.stream != "" && tk.stream != stream || tk.live == 0 && now.After(tk.expires) {
		return ticket{}, false
	}
	tk.stream = stream
	tk.live++
	return *tk, true
}

// release says that the stream of a token ended.
func (t *tokens) release(token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if tk, ok := t.byKey[token]; ok {
		tk.live--
		tk.expires = time.Now().Add(reconnectGrace)
	}
}

// revoke forgets a token that will not be needed.
func (t *tokens) revoke(token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.byKey, token)
}

func (t *tokens) sweep(now time.Time) {
	if now.Sub(t.swept) < sweepInterval && len(t.byKey) < maxTokens {
		return
	}
	t.swept = now
	for key, tk := range t.byKey {
		if tk.live == 0 && now.After(tk.expires) {
			delete(t.byKey, key)
		}
	}
}

func (t *tokens) evict() {
	var oldest string
	for key, tk := range t.byKey {
		if tk.live == 0 && (oldest == "" || tk.expires.Before(t.byKey[oldest].expires)) {
			oldest = key
		}
	}
	delete(t.byKey, oldest)
}
