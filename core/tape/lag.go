package tape

import "time"

// Lag returns how much audio waits to be read, and when the oldest of it arrived.
// Both are zero when none waits, or the reader waits for speech and there is none.
func (t *Tape) Lag() (waits time.Duration, since time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.listening {
		return 0, time.Time{}
	}
	for i := t.spanAt(t.sent); i < len(t.spans); i++ {
		if s := &t.spans[i]; s.kind != spanSkip {
			return t.segmentAt(t.end).format.Duration(t.led.Pending), t.at(max(s.pos, t.sent))
		}
	}
	return 0, time.Time{}
}
