package tape

import (
	"testing"
	"time"

	"github.com/patchbay/patchbay/core/media"
)

func TestLag(t *testing.T) {
	begin := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	tp := New(0)
	if waits, since := tp.Lag(); waits != 0 || !since.IsZero() {
		t.Errorf("Lag of an empty tape = %v since %v; want nothing", waits, since)
	}
	w, err := tp.Join(media.Telephony, begin)
	if err != nil {
		t.Fatal(err)
	}
	second := 0
	write := func(n int) {
		for range n {
			second++
			if err := w.Write(media.Frame{Pos: int64(second-1) * 8000, Arrived: begin.Add(time.Duration(second) * time.Second), Payload: make([]byte, 8000)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	check := func(what string, waits time.Duration, since time.Duration) {
		t.Helper()
		gotWaits, got := tp.Lag()
		if gotWaits != waits || !got.Equal(begin.Add(since)) {
			t.Errorf("%s: Lag = %v since %v; want %v since %v", what, gotWaits, got, waits, begin.Add(since))
		}
	}
	write(2)
	check("nothing read", 2*time.Second, 0)
	r := tp.Reader()
	if _, err := r.Next(t.Context(), nil, time.Second); err != nil {
		t.Fatal(err)
	}
	check("a second read", time.Second, time.Second)
	r.Rewind()
	check("to be sent again", 2*time.Second, 0)
	tp.Withhold(true)
	write(1)
	tp.Withhold(false)
	check("withheld audio does not wait", 2*time.Second, 0)
	write(1)
	for range 2 {
		if _, err := r.Next(t.Context(), nil, time.Second); err != nil {
			t.Fatal(err)
		}
	}
	check("what follows a pause waits since it came", time.Second, 3*time.Second)
	tp.Close("test")
	if waits, since := tp.Lag(); waits != 0 || !since.IsZero() {
		t.Errorf("Lag of a closed tape = %v since %v; want nothing", waits, since)
	}
}
