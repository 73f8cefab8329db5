package sdp

import (
	"bytes"
	"slices"
)

// ChangeKind is what became of a stream.
type ChangeKind string

// The kinds of change. A stream may have several at once.
const (
	ChangeNew     ChangeKind = "new"     // accepted now, and not before
	ChangeEnded   ChangeKind = "ended"   // accepted before, and no more
	ChangeHeld    ChangeKind = "held"    // no audio follows for now
	ChangeResumed ChangeKind = "resumed" // audio follows again
	ChangeMoved   ChangeKind = "moved"   // the peer's address or port is another
	ChangeCodec   ChangeKind = "codec"   // the chosen payload or the list of them
	ChangeKeys    ChangeKind = "keys"    // the peer's keys, or plain instead of SRTP
	ChangeLabel   ChangeKind = "label"
)

// Change is one thing that an agreement changed.
type Change struct {
	Index int
	Kind  ChangeKind
}

// Changes says what after changed, line by line. before is nil for a first agreement.
func Changes(before, after *Agreement) []Change {
	var list []Change
	n := len(after.Streams)
	if before != nil {
		n = max(n, len(before.Streams))
	}
	for i := range n {
		old, now := before.stream(i), after.stream(i)
		add := func(yes bool, kind ChangeKind) {
			if yes {
				list = append(list, Change{i, kind})
			}
		}
		if !old.Accepted || !now.Accepted {
			add(now.Accepted, ChangeNew)
			add(now.Accepted && !now.Receive, ChangeHeld)
			add(old.Accepted, ChangeEnded)
			continue
		}
		add(old.Remote != now.Remote || old.RTCP != now.RTCP || old.Mux != now.Mux, ChangeMoved)
		add(old.Codec != now.Codec || !slices.Equal(old.Payloads, now.Payloads), ChangeCodec)
		add(!sameKeys(old.Theirs, now.Theirs) || old.Optional != now.Optional, ChangeKeys)
		add(old.Label != now.Label, ChangeLabel)
		add(old.Receive && !now.Receive, ChangeHeld)
		add(!old.Receive && now.Receive, ChangeResumed)
	}
	return list
}

// stream returns line i, or one that was never accepted.
func (a *Agreement) stream(i int) Stream {
	if a == nil || i >= len(a.Streams) {
		return Stream{Index: i}
	}
	return a.Streams[i]
}

func sameKeys(a, b *Crypto) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Suite == b.Suite && slices.EqualFunc(a.Keys, b.Keys, func(a, b Key) bool {
		return bytes.Equal(a.Master, b.Master) && bytes.Equal(a.Salt, b.Salt) && bytes.Equal(a.MKI, b.MKI)
	})
}
