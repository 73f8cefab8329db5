package receiver

import (
	"errors"
	"fmt"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
)

// replayWindow is how many of the newest packets are known, so that each counts once.
const replayWindow = 256

// keepKeys is how long the keys before a change still open packets that were on their way.
const keepKeys = 5 * time.Second

// verdict is what became of an SRTP packet.
type verdict uint8

const (
	opened   verdict = iota
	replayed         // it came before
	forged           // no key opens it
	short            // it cannot be SRTP
)

// crypt opens what the peer's keys sealed, and seals our reports.
type crypt struct {
	keys   Keys
	peer   *srtp.Context
	before *srtp.Context // the peer's, until the last change
	until  time.Time
	own    *srtp.Context
	plain  []byte
	tags   int    // bytes after an RTP packet's payload
	used   uint64 // packets that the newest keys opened
}

// renew returns the crypt for keys: c itself where they are the same, nil where there are
// none.
func (c *crypt) renew(keys *Keys, now time.Time) (*crypt, error) {
	if keys == nil {
		return nil, nil
	}
	profile, ok := profiles[keys.Suite]
	if !ok || len(keys.Sender) == 0 {
		return nil, fmt.Errorf("%w: SRTP suite %q with %d keys", ErrMedia, keys.Suite, len(keys.Sender))
	}
	n := &crypt{plain: make([]byte, 0, 2048), keys: Keys{Suite: keys.Suite, Own: keys.Own.clone()}}
	for _, k := range keys.Sender {
		n.keys.Sender = append(n.keys.Sender, k.clone())
	}
	var err error
	if c != nil && c.keys.samePeer(n.keys) {
		n.peer, n.before, n.until, n.used = c.peer, c.before, c.until, c.used
	} else {
		if n.peer, err = contextFor(n.keys.Sender, profile); err != nil {
			return nil, err
		}
		if c != nil {
			n.before, n.until = c.peer, now.Add(keepKeys)
		}
	}
	if c != nil && c.keys.Suite == keys.Suite && c.keys.Own.equal(keys.Own) {
		n.own = c.own
	} else if n.own, err = contextFor([]MasterKey{n.keys.Own}, profile); err != nil {
		return nil, err
	}
	tag, errTag := profile.AuthTagRTPLen()
	aead, errAEAD := profile.AEADAuthTagLen()
	n.tags = tag + aead + len(n.keys.Sender[0].MKI)
	return n, errors.Join(errTag, errAEAD)
}

func (k Keys) samePeer(o Keys) bool {
	if k.Suite != o.Suite || len(k.Sender) != len(o.Sender) {
		return false
	}
	for i := range k.Sender {
		if !k.Sender[i].equal(o.Sender[i]) {
			return false
		}
	}
	return true
}

func contextFor(keys []MasterKey, profile srtp.ProtectionProfile) (*srtp.Context, error) {
	options := []srtp.ContextOption{srtp.SRTPReplayProtection(replayWindow), srtp.SRTCPReplayProtection(replayWindow)}
	if len(keys[0].MKI) > 0 {
		options = append(options, srtp.MasterKeyIndicator(keys[0].MKI))
	}
	c, err := srtp.CreateContext(keys[0].Key, keys[0].Salt, profile, options...)
	if err != nil {
		return nil, fmt.Errorf("%w: SRTP: %w", ErrMedia, err)
	}
	for _, k := range keys[1:] {
		if err := c.AddCipherForMKI(k.MKI, k.Key, k.Salt); err != nil {
			return nil, fmt.Errorf("%w: SRTP: %w", ErrMedia, err)
		}
	}
	return c, nil
}

// overhead returns the bytes of a packet after its payload.
func (c *crypt) overhead() int { return c.tags }

// open returns the packet with its payload in the clear, valid until the next call. n is
// the length of its header.
func (c *crypt) open(raw []byte, n int, header *rtp.Header, at time.Time) ([]byte, verdict) {
	if len(raw) < n+c.tags {
		return nil, short
	}
	plain, err := c.peer.DecryptRTP(c.plain, raw, header)
	if err == nil {
		c.used++
	}
	if err != nil && c.before != nil && forgery(err) {
		var old error
		if plain, old = c.openBefore(raw, header); old == nil || !forgery(old) {
			err = old
		}
	}
	switch {
	case err == nil:
		c.plain = plain
		return plain, opened
	case forgery(err):
		return nil, forged
	default:
		return nil, replayed
	}
}

// openBefore tries a packet that the newest keys do not open: it was sealed with those
// before, or with the new ones and the old count of roll-overs, which some senders keep.
func (c *crypt) openBefore(raw []byte, header *rtp.Header) ([]byte, error) {
	plain, err := c.before.DecryptRTP(c.plain, raw, header)
	if err == nil || !forgery(err) {
		return plain, err
	}
	roc, known := c.before.ROC(header.SSRC)
	if c.used > 0 || !known {
		return nil, err
	}
	for _, guess := range [...]uint32{roc, roc + 1} {
		if guess == 0 {
			continue
		}
		c.peer.SetROC(header.SSRC, guess)
		if plain, err = c.peer.DecryptRTP(c.plain, raw, header); err == nil {
			c.used++
			return plain, nil
		}
	}
	c.peer.SetROC(header.SSRC, 0)
	return nil, err
}

func forgery(err error) bool {
	return errors.Is(err, srtp.ErrFailedToVerifyAuthTag) || errors.Is(err, srtp.ErrMKINotFound)
}

// overdue reports whether the sender's key has just reached the end of its life.
func (c *crypt) overdue() bool {
	lifetime := c.keys.Sender[0].Lifetime
	return lifetime > 0 && c.used == lifetime+1
}

// openReport is open for RTCP.
func (c *crypt) openReport(raw []byte, at time.Time) ([]byte, bool) {
	plain, err := c.peer.DecryptRTCP(nil, raw, nil)
	if err != nil && c.before != nil {
		plain, err = c.before.DecryptRTCP(nil, raw, nil)
	}
	return plain, err == nil
}

// sealReport returns a report as SRTCP.
func (c *crypt) sealReport(b []byte) ([]byte, error) { return c.own.EncryptRTCP(nil, b, nil) }

// forget drops keys that were replaced long ago.
func (c *crypt) forget(now time.Time) {
	if c != nil && c.before != nil && now.After(c.until) {
		c.before = nil
	}
}
