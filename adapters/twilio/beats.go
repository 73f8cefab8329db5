package twilio

import (
	"bufio"
	"encoding/binary"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// beats reads the streams that run smoothly. Each track brings a message every 20 ms, and
// the host sends its audio on every 100 ms. To wake up a goroutine for a message costs more
// than all else that is done with it. So one goroutine looks at many streams, on a beat of
// 5 ms and at each stream every 100 ms, when a round of audio should be there: it takes
// the round from the kernel, mostly with one read, and hands it on whole. Whatever else
// happens on a stream is the business of the stream's own goroutine, which gets it back.
type beats struct {
	epoch time.Time // beat 0
	wheel [wheelSize][]*socket
	done  int64 // the beat up to which the wheel was looked at
	held  int   // sockets on the wheel

	mu     sync.Mutex
	joined []*socket
	wake   chan struct{} // somebody joined

	rounds atomic.Int64 // that were read so far
}

const (
	wheelSize = 32 // beats; more than a round takes
	maxFills  = 16 // reads of one stream on one beat, when much has gathered
)

// newBeats returns a beat for each four cores. A stream takes about half a millisecond of a
// second, measured with 250 on two cores, so one beat should have time for a thousand and more.
func newBeats() (all []*beats) {
	for range (runtime.GOMAXPROCS(0) + 3) / 4 {
		all = append(all, newBeat())
	}
	return all
}

func newBeat() *beats { return &beats{epoch: time.Now(), wake: make(chan struct{}, 1)} }

// read reads a stream until something else than a round of audio comes of it, which the
// caller must look at: an error of take, or whatever its own next read brings.
func (b *beats) read(k *socket) error {
	if err := k.conn.poll(true); err != nil {
		k.env.log.Debug("a stream's socket cannot be made quiet", "err", err) // it only costs more
	}
	k.rhythm = rhythm{last: b.now()}
	b.mu.Lock()
	b.joined = append(b.joined, k)
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
	err := <-k.back
	if err := k.conn.poll(false); err != nil && !k.ending.Load() {
		k.env.log.Debug("a stream's socket stays quiet", "err", err)
	}
	return err
}

func (b *beats) now() int64 { return int64(time.Since(b.epoch) / beat) }

// run is the beat, until stop is closed. Every stream must have been given back by then.
func (b *beats) run(stop <-chan struct{}) {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		if b.held == 0 {
			tick.Stop()
			select {
			case <-b.wake:
			case <-stop:
				return
			}
			b.done = b.now()
			tick.Reset(beat)
		}
		b.admit()
		select {
		case <-tick.C:
		case <-stop:
			return
		}
		now := b.now()
		for b.done = max(b.done, now-wheelSize); b.done < now; {
			b.done++
			slot := &b.wheel[b.done%wheelSize]
			due := *slot
			*slot = nil
			for _, k := range due {
				b.look(k)
			}
			if *slot == nil {
				clear(due)
				*slot = due[:0]
			}
		}
	}
}

// admit puts those on the wheel that have joined.
func (b *beats) admit() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, k := range b.joined {
		b.put(k, b.done+roundBeats)
		b.held++
		b.joined[i] = nil
	}
	b.joined = b.joined[:0]
}

func (b *beats) put(k *socket, due int64) {
	slot := &b.wheel[max(due, b.done+1)%wheelSize]
	*slot = append(*slot, k)
}

// look reads what has come of a stream, and puts it on the wheel again or gives it back.
func (b *beats) look(k *socket) {
	smooth, err := k.gather()
	if !smooth || err != nil {
		b.giveBack(k, err)
		return
	}
	what, due := k.rhythm.seen(b.done, k.fresh[:])
	if what == lookAgain {
		b.put(k, due)
		return
	}
	if what == lookNext {
		b.rounds.Add(1)
	}
	if err := k.handOn(time.Now()); err != nil || what == lookAway {
		b.giveBack(k, err)
		return
	}
	b.put(k, due)
}

func (b *beats) giveBack(k *socket, err error) {
	b.held--
	k.back <- err
}

// gather takes the messages that have come. It reports false when they must be read by
// somebody who can wait.
func (k *socket) gather() (smooth bool, err error) {
	for range maxFills {
		if _, err := k.reader.Peek(k.reader.Buffered() + 1); err != nil && !errors.Is(err, errEmpty) {
			return false, nil
		}
		full := k.reader.Buffered() == k.reader.Size()
		at, some := time.Now(), false
		for {
			whole, plain := nextMessage(k.reader)
			if !plain || k.ending.Load() {
				return false, nil
			}
			if !whole {
				break
			}
			if _, err := k.next(); err != nil {
				return false, nil
			}
			if err := k.take(k.server.work, k.buf, at); err != nil || k.phase != running {
				return false, err
			}
			some = true
		}
		if some {
			k.extend(at)
		}
		if !full {
			break
		}
	}
	return true, nil
}

// nextMessage looks at what a WebSocket's reader has buffered: whether that begins with a
// whole message, and whether it is plain: text in one frame.
func nextMessage(r *bufio.Reader) (whole, plain bool) {
	const (
		final, masked = 0x80, 0x80
		length16      = 126
	)
	b, _ := r.Peek(min(r.Buffered(), maxHeader))
	if len(b) < 2 {
		return false, true
	}
	if b[0] != final|websocket.TextMessage || b[1]&masked == 0 {
		return false, false
	}
	header, size := 2+4, int(b[1]&^masked)
	switch {
	case size > length16:
		return false, false
	case size == length16 && len(b) < 4:
		return false, true
	case size == length16:
		header, size = header+2, int(binary.BigEndian.Uint16(b[2:]))
	}
	return r.Buffered() >= header+size, header+size <= r.Size()
}
