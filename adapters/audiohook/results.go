package audiohook

import (
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"html"
	"slices"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
)

// entity is a piece of an event message, in the shape of Genesys' published types
// (entities-transcript and entities-agentassist, 2026-11).
type entity struct {
	Type string `json:"type"`
	Data any    `json:"data"`

	utterance string // of a transcript that is not final: a later one replaces it
}

type eventParameters struct {
	Entities []entity `json:"entities"`
}

type transcript struct {
	ID           string        `json:"id"`
	Channel      string        `json:"channel"`
	IsFinal      bool          `json:"isFinal"`
	Offset       string        `json:"offset,omitempty"`
	Duration     string        `json:"duration,omitempty"`
	Alternatives []alternative `json:"alternatives"`
}

type alternative struct {
	Confidence      float32          `json:"confidence"`
	Languages       []string         `json:"languages,omitempty"`
	Interpretations []interpretation `json:"interpretations"`
}

type interpretation struct {
	Type       string `json:"type"`
	Transcript string `json:"transcript"`
}

type assist struct {
	ID          string `json:"id"`
	Suggestions []any  `json:"suggestions"`
}

type faq struct {
	Type       string  `json:"type"`
	ID         string  `json:"id"`
	Confidence float32 `json:"confidence"`
	Question   string  `json:"question"`
	Answer     string  `json:"answer"` // HTML
}

type article struct {
	Type        string            `json:"type"`
	ID          string            `json:"id"`
	Confidence  float32           `json:"confidence"`
	Title       string            `json:"title"`
	Excerpts    []string          `json:"excerpts"`
	DocumentURI string            `json:"documentUri"`
	Metadata    map[string]string `json:"metadata,omitempty"`
}

const (
	maxPending  = 128  // entities that wait
	maxEntities = 8    // of one message
	maxWords    = 4000 // bytes of a text
	maxMetadata = 16
)

// teller turns results into events, a few at a time. One goroutine uses it.
type teller struct {
	s       *session
	session string
	key     string // of the leg
	base    time.Duration
	pending []entity
	next    time.Time // not before
}

// newTeller returns a teller for a session whose leg is open.
func newTeller(s *session) *teller {
	return &teller{s: s, session: s.caller.session, key: s.guest.info.LegKey, base: s.guest.format.Duration(s.base)}
}

// add takes a result that Genesys may want.
func (t *teller) add(r *adapter.Result) {
	e, ok := t.entity(r)
	if !ok {
		return
	}
	if r.Utterance != "" {
		t.pending = slices.DeleteFunc(t.pending, func(old entity) bool { return old.utterance == r.Utterance })
	}
	if len(t.pending) >= maxPending {
		oldest := max(0, slices.IndexFunc(t.pending, func(old entity) bool { return old.utterance != "" }))
		t.pending = slices.Delete(t.pending, oldest, oldest+1)
		t.s.env.report.Count(countEvent)
	}
	t.pending = append(t.pending, e)
}

// entity makes an entity of a result; ok is false for those that are not for Genesys:
// what other sessions of the call have said is theirs to tell.
func (t *teller) entity(r *adapter.Result) (e entity, ok bool) {
	cfg := &t.s.a.cfg
	if r.Leg != "" && r.Leg != t.key {
		return e, false
	}
	switch r.Kind {
	case adapter.ResultFinal, adapter.ResultInterim:
		final := r.Kind == adapter.ResultFinal
		if cfg.Transcripts == TranscriptsOff || !final && cfg.Transcripts != TranscriptsAll || r.Text == "" {
			return e, false
		}
		e = entity{Type: "transcript", Data: t.transcript(r, final)}
		if !final {
			e.utterance = r.Utterance
		}
		return e, true
	case adapter.ResultSuggestion:
		if !cfg.Suggestions {
			return e, false
		}
		return entity{Type: "agentassist", Data: assist{ID: t.uuid("assist", r.ID), Suggestions: []any{t.suggestion(r)}}}, true
	}
	return e, false
}

func (t *teller) transcript(r *adapter.Result, final bool) transcript {
	d := transcript{ID: t.uuid("utterance", r.Utterance), Channel: string(r.Track), IsFinal: final,
		Alternatives: []alternative{{Confidence: r.Confidence, Interpretations: []interpretation{{Type: "display", Transcript: clip(r.Text, maxWords)}}}}}
	if r.Language != "" {
		d.Alternatives[0].Languages = []string{r.Language}
	}
	length := r.End.Sub(r.Start)
	if r.Offset > 0 && !r.Start.IsZero() && length >= 0 {
		d.Offset = formatDuration((t.base + r.Offset - length).Round(time.Millisecond))
		d.Duration = formatDuration(length.Round(time.Millisecond))
	}
	return d
}

// suggestion is one of the two kinds that Genesys publishes. What is neither is shown
// as an article.
func (t *teller) suggestion(r *adapter.Result) any {
	id, text := t.uuid("suggestion", r.ID), clip(r.Text, maxWords)
	if r.Feature == "faq" {
		return faq{Type: "faq", ID: id, Confidence: r.Confidence, Question: r.Title, Answer: html.EscapeString(text)}
	}
	a := article{Type: "article", ID: id, Confidence: r.Confidence, Title: r.Title, Excerpts: []string{}, DocumentURI: r.URI, Metadata: map[string]string{"feature": r.Feature}}
	if a.Title == "" {
		a.Title = r.Feature
	}
	if text != "" {
		a.Excerpts = append(a.Excerpts, text)
	}
	for name, value := range r.Metadata {
		if len(a.Metadata) < maxMetadata && len(name)+len(value) <= maxValue {
			a.Metadata[name] = value
		}
	}
	return a
}

// uuid names a thing of this session, the same each time (RFC 9562, version 5).
func (t *teller) uuid(kind, name string) string {
	sum := sha1.Sum([]byte(t.session + " " + kind + " " + name))
	b := sum[:16]
	b[6] = b[6]&0x0F | 0x50
	b[8] = b[8]&0x3F | 0x80
	h := hex.EncodeToString(b)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// wait returns how long until the next message may go; ok is false when none waits.
func (t *teller) wait(now time.Time) (d time.Duration, ok bool) {
	if len(t.pending) == 0 {
		return 0, false
	}
	next := t.next
	if quiet := time.Unix(0, t.s.quiet.Load()); quiet.After(next) {
		next = quiet
	}
	return max(0, next.Sub(now)), true
}

// tell sends the next message if its time has come. all sends what waits at once, for
// a session that ends, unless Genesys has asked for quiet.
func (t *teller) tell(now time.Time, all bool) {
	for len(t.pending) > 0 {
		if d, _ := t.wait(now); d > 0 && (!all || t.s.quiet.Load() > now.UnixNano()) {
			return
		}
		n := min(maxEntities, len(t.pending))
		err := t.s.out.say(typeEvent, eventParameters{t.pending[:n]})
		if errors.Is(err, errTooLong) {
			n = 1
			err = t.s.out.say(typeEvent, eventParameters{t.pending[:n]})
		}
		if errors.Is(err, errUnread) {
			t.next = now.Add(time.Second)
			return
		}
		if err != nil {
			t.s.env.report.Count(countEvent)
		}
		t.pending = slices.Delete(t.pending, 0, n)
		t.next = now.Add(time.Duration(t.s.a.cfg.Limits.EventInterval))
	}
}

// abandon counts what could not be told.
func (t *teller) abandon() {
	for range t.pending {
		t.s.env.report.Count(countEvent)
	}
	t.pending = nil
}
