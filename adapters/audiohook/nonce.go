package audiohook

import (
	"crypto/sha256"
	"sync"
	"time"
)

// nonces remembers the signatures that were used, for at least as long as they hold. It
// has two halves: when the newer one is old enough, the older one is forgotten.
type nonces struct {
	mu           sync.Mutex
	newer, older map[nonceKey]struct{}
	turned       time.Time
}

// nonceKey is a nonce's hash, so that long ones take no room.
type nonceKey = [sha256.Size]byte

// verdict is what the cache says of a nonce.
type verdict uint8

const (
	nonceFresh verdict = iota
	nonceUsed
	nonceNoRoom // too many are remembered already
)

// use remembers a nonce for a time; it reports nonceUsed when it is there already.
func (n *nonces) use(nonce string, now time.Time, lifetime time.Duration) verdict {
	key := sha256.Sum256([]byte(nonce))
	n.mu.Lock()
	defer n.mu.Unlock()
	if since := now.Sub(n.turned); since >= lifetime {
		n.older, n.newer = n.newer, map[nonceKey]struct{}{}
		if since >= 2*lifetime {
			n.older = nil
		}
		n.turned = now
	}
	if _, used := n.newer[key]; used {
		return nonceUsed
	}
	if _, used := n.older[key]; used {
		return nonceUsed
	}
	if len(n.newer) >= maxNonces {
		return nonceNoRoom
	}
	n.newer[key] = struct{}{}
	return nonceFresh
}
