package event

import (
	"errors"
	"io"
	"testing"
)

func said(text string) Event {
	return Event{Kind: TranscriptFinal, Transcript: &Transcript{Utterance: text, Text: text}}
}

func wordsOf(events []Event) (out string) {
	for _, e := range events {
		out += e.Transcript.Text + " "
	}
	return out
}

func TestReadersSeeWhatWasKept(t *testing.T) {
	l := NewLog("c")
	l.Append(said("before"))
	l.Hold()
	l.Append(Event{Kind: TranscriptInterim, Transcript: &Transcript{Utterance: "i", Text: "interim"}})
	if got := wordsOf(l.Since(0, 0)); got != "before interim " {
		t.Errorf("nothing needs keeping, readers see %q", got)
	}
	l.Append(said("one"))
	l.Append(Event{Kind: TranscriptInterim, Transcript: &Transcript{Utterance: "j", Text: "later"}})
	l.Append(said("two"))
	if got := wordsOf(l.Since(0, 0)); got != "before interim " {
		t.Errorf("before Kept readers see %q; want nothing new", got)
	}
	events, err := l.Unkept(t.Context(), 1)
	if err != nil || wordsOf(events) != "one two " {
		t.Fatalf("Unkept() = %q, %v; want one two", wordsOf(events), err)
	}
	l.Kept(events[0].Seq)
	if got := wordsOf(l.Since(0, 0)); got != "before interim one later " {
		t.Errorf("after the first is kept readers see %q", got)
	}
	l.Close()
	if got, err := l.Next(t.Context(), 0, 0); err != nil || wordsOf(got) != "before interim one later " {
		t.Errorf("Next() = %q, %v", wordsOf(got), err)
	}
	l.Kept(events[1].Seq)
	if got := wordsOf(l.Since(0, 0)); got != "before interim one later two " {
		t.Errorf("after all is kept readers see %q", got)
	}
	if _, err := l.Unkept(t.Context(), events[1].Seq); !errors.Is(err, io.EOF) {
		t.Errorf("Unkept() at the end = %v; want EOF", err)
	}
	if _, err := l.Next(t.Context(), l.LastSeq(), 0); !errors.Is(err, io.EOF) {
		t.Errorf("Next() at the end = %v; want EOF", err)
	}
}

func TestFreeShowsEverything(t *testing.T) {
	l := NewLog("c")
	l.Hold()
	l.Append(said("one"))
	l.Free()
	l.Append(said("two"))
	if got := wordsOf(l.Since(0, 0)); got != "one two " {
		t.Errorf("readers see %q; want one two", got)
	}
}

func TestRestoreLogGoesOnAfterWhatReadersSaw(t *testing.T) {
	l := NewLog("c")
	l.Append(said("one"))
	l.Append(Event{Kind: TranscriptInterim, Transcript: &Transcript{Utterance: "two", Text: "tw"}})
	seen := l.LastSeq()
	kept, err := l.Unkept(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	again := RestoreLog("c", kept)
	again.Append(said("two"))
	if got := wordsOf(again.Since(0, 0)); got != "one two " {
		t.Errorf("the log has %q; want one two", got)
	}
	if got := wordsOf(again.Since(seen, 0)); got != "two " {
		t.Errorf("a reader goes on with %q; want two", got)
	}
}
