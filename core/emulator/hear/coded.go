package hear

import (
	"fmt"
	"time"

	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/media/probe"
)

// The defaults of Coded.
const (
	CodedSilence   = 500 * time.Millisecond // without a block, after which an utterance is final
	CodedUtterance = 5 * time.Second        // of continuous blocks, after which one is final anyway
	codedWord      = 50                     // blocks in a word at most: one second
)

// Coded reports runs of coded blocks: "blocks 0-49 50-99". A word is a range of
// consecutive numbers that does not cross a multiple of 50, so that the same
// audio gives the same words wherever a stream begins. Zero fields mean the
// defaults.
type Coded struct {
	Silence   time.Duration
	Utterance time.Duration
}

// Listen implements Recognizer.
func (c Coded) Listen(f media.Format, _ string) Listener {
	if c.Silence <= 0 {
		c.Silence = CodedSilence
	}
	if c.Utterance <= 0 {
		c.Utterance = CodedUtterance
	}
	return &codedListener{format: f, silence: samplesIn(f, c.Silence), longest: samplesIn(f, c.Utterance)}
}

type codedListener struct {
	format           media.Format
	silence, longest int64
	decoder          probe.Decoder
	utterance        utterance
	first, last      probe.Block // of the word that is being gathered
	start, end       int64       // of that word
	gathering        bool
	emit             func(Event)
}

func (l *codedListener) Write(payload []byte, emit func(Event)) {
	l.emit = emit
	l.decoder.Write(l.format, payload, l.heard)
	if l.utterance.open && l.decoder.Samples()-max(l.end, l.utterance.end) >= l.silence {
		l.Close(emit)
	}
}

func (l *codedListener) Close(emit func(Event)) {
	l.endWord(emit)
	l.utterance.close(emit)
}

// heard takes a block that ends at a position.
func (l *codedListener) heard(b probe.Block, end int64) {
	start := end - probe.BlockSamples
	if l.utterance.open && start-max(l.end, l.utterance.end) >= l.silence {
		l.Close(l.emit)
	}
	next := probe.Block{Stream: l.last.Stream, N: l.last.N + 1}
	if l.gathering && (b != next || b.N%codedWord == 0) {
		l.endWord(l.emit)
		l.utterance.interim(l.emit)
	}
	if len(l.utterance.words) == 0 {
		l.utterance.add(Word{Text: "blocks", Start: start, End: start}, l.emit)
	}
	if !l.gathering {
		l.gathering, l.first, l.start = true, b, start
	}
	l.last, l.end = b, end
	if end-l.utterance.start >= l.longest {
		l.endWord(l.emit)
		l.utterance.final(l.emit)
	}
}

// endWord moves the gathered range into the utterance.
func (l *codedListener) endWord(emit func(Event)) {
	if !l.gathering {
		return
	}
	l.gathering = false
	text := fmt.Sprintf("%d-%d", l.first.N, l.last.N)
	l.utterance.add(Word{Text: text, Start: l.start, End: l.end}, emit)
}
