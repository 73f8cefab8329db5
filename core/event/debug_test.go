package event

import "testing"

// TestDebugRing: the newest debug events are kept among all the others, whose readers
// lose nothing by them.
func TestDebugRing(t *testing.T) {
	l := NewLog("c")
	for i := range 3 * MaxDebug {
		l.Append(Event{Kind: Decided, Decision: &Decision{Stream: i}})
		l.Append(final("a", "x"))
	}
	var newest []int
	finals := 0
	for _, e := range l.Since(0, 0) {
		if e.Kind.Debug() {
			newest = append(newest, e.Decision.Stream)
		} else {
			finals++
		}
	}
	if finals != 3*MaxDebug || len(newest) != MaxDebug || newest[0] != 2*MaxDebug || newest[MaxDebug-1] != 3*MaxDebug-1 {
		t.Errorf("%d finals, %d debug events from %v on; want all finals and the newest %d", finals, len(newest), newest[:1], MaxDebug)
	}
	for range MaxEvents {
		l.Append(final("a", "x"))
	}
	for i := range 2 * MaxDebug { // those before are gone from the log by now
		l.Append(Event{Kind: Decided, Decision: &Decision{Stream: i}})
	}
	if n := len(l.events); n > MaxEvents {
		t.Errorf("%d events kept; want at most %d", n, MaxEvents)
	}
}
