// Package hear turns audio into text for the emulator. Its recognisers get the
// received samples and their format and nothing else: what they report was in
// the audio.
//
//   - Coded reads the numbered blocks of probe and reports their ranges.
//   - Tones reads the tone words of probe.
//   - Script knows a set of recordings with timed words and finds out, from the
//     loudness of what it hears, which recording is playing and where.
//
// Recognisers own no goroutine and no clock: time is the number of samples.
package hear

import (
	"time"

	"github.com/patchbay/patchbay/core/media"
)

// Recognizer makes a Listener for each stream. It is safe for concurrent use.
type Recognizer interface {
	// Listen begins a stream of audio in format f whose speaker is said to speak
	// a language (BCP 47).
	Listen(f media.Format, language string) Listener
}

// Listener hears one stream. It is not safe for concurrent use.
type Listener interface {
	// Write takes the next bytes of audio, cut anywhere, and emits what they
	// complete.
	Write(payload []byte, emit func(Event))
	// Close ends the audio: an open utterance becomes final.
	Close(emit func(Event))
}

// Kind says what an Event is.
type Kind uint8

// The kinds, in the order of an utterance: one Begin, any number of Interim, at
// least one Final, one End.
const (
	Begin Kind = iota + 1
	Interim
	Final
	End
)

// Event is something heard. Positions are samples since the stream began.
type Event struct {
	Kind       Kind
	Start, End int64  // of the utterance so far; End is also the position of a Begin or End event
	Words      []Word // whole utterance so far; its text is the words joined by spaces
	Language   string // BCP 47, when the recogniser knows better than the stream's setting
	Stability  float32
	Confidence float32
}

// Word is one word of an utterance.
type Word struct {
	Text       string
	Start, End int64
}

// Text joins the words of an event by spaces.
func (e Event) Text() string {
	n := 0
	for _, w := range e.Words {
		n += len(w.Text) + 1
	}
	b := make([]byte, 0, n)
	for i, w := range e.Words {
		if i > 0 {
			b = append(b, ' ')
		}
		b = append(b, w.Text...)
	}
	return string(b)
}

// Deaf hears audio and understands nothing: for tests of silence.
type Deaf struct{}

// Listen returns a Listener that never emits.
func (Deaf) Listen(media.Format, string) Listener { return deafListener{} }

type deafListener struct{}

func (deafListener) Write([]byte, func(Event)) {}
func (deafListener) Close(func(Event))         {}

// All listens with several recognisers at once: each takes what it knows, so
// that one emulator serves coded blocks, tone words and recordings alike.
func All(list ...Recognizer) Recognizer { return all(list) }

type all []Recognizer

func (a all) Listen(f media.Format, language string) Listener {
	out := make(allListeners, len(a))
	for i, r := range a {
		out[i] = r.Listen(f, language)
	}
	return out
}

type allListeners []Listener

func (a allListeners) Write(payload []byte, emit func(Event)) {
	for _, l := range a {
		l.Write(payload, emit)
	}
}

func (a allListeners) Close(emit func(Event)) {
	for _, l := range a {
		l.Close(emit)
	}
}

// utterance gathers the words of one utterance and emits its events.
type utterance struct {
	open       bool
	words      []Word
	start, end int64
	language   string
}

// add appends a word and emits Begin before the first.
func (u *utterance) add(w Word, emit func(Event)) {
	if !u.open {
		*u = utterance{open: true, language: u.language}
		emit(Event{Kind: Begin, Start: w.Start, End: w.Start, Language: u.language})
	}
	if len(u.words) == 0 {
		u.start = w.Start
	}
	u.words = append(u.words, w)
	u.end = w.End
}

// interim emits the utterance so far; its stability rises with its length.
func (u *utterance) interim(emit func(Event)) {
	if u.open && len(u.words) > 0 {
		u.emit(Interim, emit)
	}
}

// final emits and forgets the words; the speech goes on.
func (u *utterance) final(emit func(Event)) {
	if u.open && len(u.words) > 0 {
		u.emit(Final, emit)
		u.words = nil
	}
}

// close emits the final and the end of the speech.
func (u *utterance) close(emit func(Event)) {
	if u.open {
		u.final(emit)
		emit(Event{Kind: End, Start: u.end, End: u.end, Language: u.language})
		u.open = false
	}
}

func (u *utterance) emit(k Kind, emit func(Event)) {
	e := Event{Kind: k, Start: u.start, End: u.end, Words: append([]Word(nil), u.words...), Language: u.language}
	if k == Final {
		e.Confidence = 0.95
	} else {
		e.Stability = min(0.9, 0.5+0.1*float32(len(u.words)))
	}
	emit(e)
}

// samplesIn guards recognisers against formats that they cannot time.
func samplesIn(f media.Format, d time.Duration) int64 { return max(1, f.SamplesIn(d)) }
