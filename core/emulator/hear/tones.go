package hear

import (
	"time"

	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/media/probe"
)

// The defaults of Tones.
const (
	TonesSilence   = 600 * time.Millisecond // without a tone, after which an utterance is final
	TonesUtterance = 10 * time.Second       // of speech, after which one is final anyway
)

// Tones reports tone words as they end. Zero fields mean the defaults.
type Tones struct {
	Silence   time.Duration
	Utterance time.Duration
}

// Listen implements Recognizer.
func (t Tones) Listen(f media.Format, _ string) Listener {
	if t.Silence <= 0 {
		t.Silence = TonesSilence
	}
	if t.Utterance <= 0 {
		t.Utterance = TonesUtterance
	}
	return &tonesListener{format: f, silence: samplesIn(f, t.Silence), longest: samplesIn(f, t.Utterance)}
}

type tonesListener struct {
	format           media.Format
	silence, longest int64
	decoder          probe.ToneDecoder
	utterance        utterance
	emit             func(Event)
}

func (l *tonesListener) Write(payload []byte, emit func(Event)) {
	// A long payload must not hide a pause: pieces are shorter than the silence.
	for piece := int(l.format.Bytes(l.silence/4)) &^ 1; piece > 0 && len(payload) > piece; payload = payload[piece:] {
		l.write(payload[:piece], emit)
	}
	l.write(payload, emit)
}

func (l *tonesListener) write(payload []byte, emit func(Event)) {
	l.emit = emit
	l.decoder.Write(l.format, payload, l.heard)
	if l.utterance.open && l.decoder.Quiet() >= l.silence {
		l.utterance.close(emit)
	}
}

func (l *tonesListener) Close(emit func(Event)) {
	l.emit = emit
	l.decoder.Flush(l.heard)
	l.utterance.close(emit)
}

func (l *tonesListener) heard(h probe.Heard) {
	l.utterance.add(Word{Text: h.Word, Start: h.Start, End: h.End}, l.emit)
	if h.End-l.utterance.start >= l.longest {
		l.utterance.final(l.emit)
		return
	}
	l.utterance.interim(l.emit)
}
