package assist

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestCapacity(t *testing.T) {
	tests := []struct {
		transport Transport
		model     string
		calls     int
		delay     time.Duration
	}{
		{"", "", 340, DefaultEndTimeout},
		{Extended, "telephony", 340, DefaultEndTimeout},
		{Extended, "chirp_3", 22, DefaultEndTimeout},
		{Streaming, "", 580, DefaultEndTimeout + 290*time.Second},
		{Streaming, "chirp_3", 38, DefaultEndTimeout + 285*time.Second},
		{Bidi, "chirp_3", 22, DefaultEndTimeout},
	}
	for _, tt := range tests {
		if got := Capacity(tt.transport, tt.model, DefaultQuotas); got.Calls != tt.calls || got.SuggestionDelay != tt.delay || got.String() == "" {
			t.Errorf("Capacity(%s, %s) = %+v; want %d calls, %v", tt.transport, tt.model, got, tt.calls, tt.delay)
		}
	}
}

// TestMarksFitLimits: a stream that is forced to end, and waits for its results as
// long as it may, has ended before the API ends it.
func TestMarksFitLimits(t *testing.T) {
	for _, l := range Limits {
		if !(0 < l.Marks.Soft && l.Marks.Soft < l.Marks.pauseMark() && l.Marks.pauseMark() < l.Marks.Hard && l.Marks.Hard+DefaultEndTimeout <= l.Life) {
			t.Errorf("%s %q: marks %+v do not fit a life of %v", l.Transport, l.Model, l.Marks, l.Life)
		}
	}
}

func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, begin := newPace(&Options{TimeScale: 1, CatchUp: 4}), time.Now()
		var sent time.Duration
		for sent < 2*time.Minute {
			sent += chunk
			if err := p.wait(t.Context(), chunk, sent); err != nil {
				t.Fatal(err)
			}
			if ahead := sent - time.Since(begin); ahead > maxAhead {
				t.Fatalf("after %v the audio is %v ahead; want at most %v", time.Since(begin), ahead, maxAhead)
			}
			if elapsed := time.Since(begin); sent < maxAhead && elapsed != (sent-chunk)/4 {
				t.Fatalf("%v of audio took %v; want a quarter, from the first chunk on", sent, elapsed)
			}
		}
		time.Sleep(time.Hour) // audio in real time waits for nothing
		before, tick := time.Now(), time.NewTicker(chunk)
		defer tick.Stop()
		for range 10 {
			<-tick.C
			sent += chunk
			if err := p.wait(t.Context(), chunk, sent); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(before); took > time.Second+chunk/4 {
			t.Errorf("a second in real time took %v", took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.wait(ctx, chunk, sent); !errors.Is(err, context.Canceled) {
			t.Errorf("wait() = %v; want context.Canceled", err)
		}
	})
}
