package event

import (
	"context"
	"io"
	"sync"
	"time"
)

// MaxEvents bounds a log. An hour of talk makes about 3,000 events once superseded
// interims are gone; past the limit the oldest events are forgotten.
const MaxEvents = 20_000

// Log is the ordered log of one call, in memory. It is safe for concurrent use.
// An interim transcript is forgotten once a newer text of its utterance is in the
// log, and debug events once MaxDebug follow, so the log holds what a late reader
// wants to see and little else.
type Log struct {
	call string

	mu       sync.Mutex
	events   []Event           // ordered by Seq; superseded interims have an empty Kind
	dead     int               // how many of events are superseded
	interims map[string]uint64 // utterance → Seq of its live interim
	debug    []uint64          // Seq of the debug events, a ring of MaxDebug
	oldest   int               // in debug, once it is full
	seq      uint64
	hold     bool   // readers see what was kept, no more
	unkept   uint64 // Seq of the first event that lasts and was not kept; 0 when there is none
	closed   bool
	changed  chan struct{} // closed and replaced at every change
}

// NewLog returns the empty log of a call.
func NewLog(call string) *Log {
	return &Log{call: call, interims: make(map[string]uint64), changed: make(chan struct{})}
}

// seqLeap is more than the events that did not last between two that did.
const seqLeap = 10_000

// RestoreLog returns the log of a call that an earlier process began, with the events
// that were kept of it. What follows has higher numbers than any reader can have seen.
func RestoreLog(call string, events []Event) *Log {
	l := NewLog(call)
	for _, e := range events {
		if e.Seq > l.seq {
			l.seq = e.Seq
			l.events = append(l.events, e)
		}
	}
	l.seq += seqLeap
	l.trim()
	return l
}

// Append stamps e with its place in the log and stores it. After Close it does nothing.
func (l *Log) Append(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.seq++
	e.Seq, e.Call, e.Time = l.seq, l.call, time.Now()
	if e.Redaction == "" {
		e.Redaction = RedactionNone
	}
	if e.Transcript != nil {
		l.supersede(e)
	}
	if e.Kind.Debug() {
		l.makeRoom(e.Seq)
	}
	if l.hold && l.unkept == 0 && e.Kind.Lasts() {
		l.unkept = e.Seq
	}
	l.events = append(l.events, e)
	l.trim()
	l.tell()
}

// tell makes waiting readers look again.
func (l *Log) tell() {
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *Log) supersede(e Event) {
	id := e.Transcript.Utterance
	if old, ok := l.interims[id]; ok {
		l.drop(old)
		delete(l.interims, id)
	}
	if e.Kind == TranscriptInterim {
		l.interims[id] = e.Seq
	}
}

// drop forgets one event.
func (l *Log) drop(seq uint64) {
	if i := l.index(seq); i < len(l.events) && l.events[i].Seq == seq && l.events[i].Kind != "" {
		l.events[i] = Event{Seq: seq}
		l.dead++
	}
}

// MaxDebug is how many debug events a log keeps.
const MaxDebug = 256

// makeRoom remembers a debug event in the place of the oldest.
func (l *Log) makeRoom(seq uint64) {
	if len(l.debug) < MaxDebug {
		l.debug = append(l.debug, seq)
		return
	}
	l.drop(l.debug[l.oldest])
	l.debug[l.oldest] = seq
	l.oldest = (l.oldest + 1) % MaxDebug
}

// trim forgets superseded events when they are the majority, and the oldest past the bound.
func (l *Log) trim() {
	if l.dead > 64 && l.dead > len(l.events)/2 {
		live := l.events[:0]
		for _, e := range l.events {
			if e.Kind != "" {
				live = append(live, e)
			}
		}
		clear(l.events[len(live):])
		l.events, l.dead = live, 0
	}
	if over := len(l.events) - MaxEvents; over > 0 {
		over += MaxEvents / 10 // amortise the copy
		for _, e := range l.events[:over] {
			if e.Kind == "" {
				l.dead--
			}
		}
		l.events = append([]Event(nil), l.events[over:]...)
	}
}

// index returns the place of the first event with Seq >= seq.
func (l *Log) index(seq uint64) int {
	lo, hi := 0, len(l.events)
	for lo < hi {
		if mid := (lo + hi) / 2; l.events[mid].Seq < seq {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// Since returns the live events after seq, at most limit (all when limit is 0).
func (l *Log) Since(seq uint64, limit int) []Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.since(seq, limit)
}

func (l *Log) since(seq uint64, limit int) []Event {
	var out []Event
	for _, e := range l.events[l.index(seq+1):] {
		if e.Kind == "" {
			continue
		}
		if l.unkept != 0 && e.Seq >= l.unkept {
			break
		}
		if out = append(out, e); len(out) == limit {
			break
		}
	}
	return out
}

// Close marks the log as complete: readers get io.EOF after its last event.
func (l *Log) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.closed = true
		l.tell()
	}
}

// Next returns the live events after seq as soon as there are any, at most limit.
// It fails with io.EOF when the log is complete and nothing is left, or with ctx's
// error.
func (l *Log) Next(ctx context.Context, seq uint64, limit int) ([]Event, error) {
	return l.wait(ctx, func() ([]Event, bool) { return l.since(seq, limit), l.closed && l.unkept == 0 })
}

// wait looks with l.mu held at every change, until there are events or none will come.
func (l *Log) wait(ctx context.Context, look func() (out []Event, last bool)) ([]Event, error) {
	for {
		l.mu.Lock()
		out, last := look()
		changed := l.changed
		l.mu.Unlock()
		switch {
		case len(out) > 0:
			return out, nil
		case last:
			return nil, io.EOF
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// LastSeq returns the Seq of the newest event, 0 when there is none.
func (l *Log) LastSeq() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seq
}
