package event

import "context"

// Hold makes readers wait for what follows until somebody has kept it: each event that
// lasts must be fetched with Unkept, put where it outlives the process, and reported
// with Kept.
func (l *Log) Hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hold = true
}

// Free ends Hold: readers see everything at once.
func (l *Log) Free() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hold, l.unkept = false, 0
	l.tell()
}

// Unkept returns the events after seq that last, as soon as there are any. It fails with io.EOF
// when the log is complete and nothing is left, or with ctx's error.
func (l *Log) Unkept(ctx context.Context, seq uint64) ([]Event, error) {
	return l.wait(ctx, func() (out []Event, last bool) {
		for _, e := range l.events[l.index(seq+1):] {
			if e.Kind.Lasts() {
				out = append(out, e)
			}
		}
		return out, l.closed
	})
}

// Kept says that every event up to seq is kept, or never will be.
func (l *Log) Kept(seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.unkept == 0 || seq < l.unkept {
		return
	}
	l.unkept = 0
	for _, e := range l.events[l.index(seq+1):] {
		if e.Kind.Lasts() {
			l.unkept = e.Seq
			break
		}
	}
	l.tell()
}
