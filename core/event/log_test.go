package event

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
)

func interim(u, text string) Event {
	return Event{Kind: TranscriptInterim, Transcript: &Transcript{Utterance: u, Text: text}}
}

func final(u, text string) Event {
	return Event{Kind: TranscriptFinal, Transcript: &Transcript{Utterance: u, Text: text}}
}

func texts(events []Event) string {
	var out string
	for _, e := range events {
		out += fmt.Sprintf("%d:%s ", e.Seq, e.Transcript.Text)
	}
	return out
}

func TestInterimsAreSuperseded(t *testing.T) {
	l := NewLog("c")
	l.Append(interim("a", "my"))
	l.Append(interim("b", "hello"))
	l.Append(interim("a", "my router"))
	l.Append(final("b", "hello."))
	if got, want := texts(l.Since(0, 0)), "3:my router 4:hello. "; got != want {
		t.Errorf("Since(0) = %q; want %q", got, want)
	}
	l.Append(final("a", "my router."))
	if got, want := texts(l.Since(3, 0)), "4:hello. 5:my router. "; got != want {
		t.Errorf("Since(3) = %q; want %q", got, want)
	}
	if got, want := texts(l.Since(0, 1)), "4:hello. "; got != want {
		t.Errorf("Since(0, 1) = %q; want %q", got, want)
	}
}

func TestLogIsBounded(t *testing.T) {
	l := NewLog("c")
	for i := range 2 * MaxEvents {
		l.Append(interim("a", "x"))
		if i%3 == 0 {
			l.Append(final("a", "y"))
		}
	}
	if n := len(l.events); n > MaxEvents {
		t.Errorf("%d events kept; want at most %d", n, MaxEvents)
	}
	last := uint64(0)
	for _, e := range l.Since(0, 0) {
		if e.Seq <= last {
			t.Fatalf("Seq %d after %d", e.Seq, last)
		}
		last = e.Seq
	}
	if last != l.LastSeq() {
		t.Errorf("the newest event is %d; want %d", last, l.LastSeq())
	}
	for range 3 * MaxEvents {
		l.Append(interim("a", "x"))
	}
	if n := len(l.events); n > MaxEvents {
		t.Errorf("%d events kept after interims alone; want at most %d", n, MaxEvents)
	}
}

func TestNext(t *testing.T) {
	l := NewLog("c")
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 1000 {
			l.Append(final(fmt.Sprint(i), "x"))
		}
		l.Close()
	})
	var seq uint64
	n := 0
	for {
		events, err := l.Next(t.Context(), seq, 7)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if e.Seq != seq+1 || e.Call != "c" || e.Redaction != RedactionNone {
				t.Fatalf("event %+v after %d", e, seq)
			}
			seq = e.Seq
			n++
		}
	}
	wg.Wait()
	if n != 1000 {
		t.Errorf("read %d events; want 1000", n)
	}
	l.Append(final("z", "late"))
	if l.LastSeq() != 1000 {
		t.Error("an event was appended after Close")
	}
	open := NewLog("d")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := open.Next(ctx, 0, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("Next() = %v; want context.Canceled", err)
	}
}
