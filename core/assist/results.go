package assist

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"

	"github.com/patchbay/patchbay/core/event"
)

// results turns what the streams of one track bring into events. Streams of a
// track follow each other, so one goroutine at a time uses it; open may be read
// by any.
type results struct {
	t         *track
	number    int         // of the track
	utterance int         // of the one that is open or comes next
	open      atomic.Bool // an interim waits for its final
	interim   time.Duration
	finals    []heard // finals whose stored message has not come yet
	last      time.Time
	newest    finalKey // the last final of the stream
	shown     int64    // where the furthest interim ends
	stale     int64    // a stream that hears audio again has nothing new to say before

	end   int64 // where the audio of the newest transcript ends
	fresh bool  // the response that is being handled says something new
}

// finalKey tells a final from others of its stream.
type finalKey struct {
	end  time.Duration
	text string
}

// heard is a final: its words, and when their first and last audio arrived.
type heard struct {
	text     string
	from, at time.Time
	language string
}

// maxUnstored bounds results.finals.
const maxUnstored = 256

func newResults(t *track, number, utterance int) results {
	return results{t: t, number: number, utterance: utterance}
}

func (r *results) handle(st *stream, resp *dialogflowpb.StreamingAnalyzeContentResponse) {
	r.fresh = false
	if rec := resp.GetRecognitionResult(); rec != nil {
		r.recognition(st, rec, resp.GetSpeechModel())
	}
	if m := resp.GetMessage(); m != nil {
		r.message(m)
	}
	r.t.s.suggest(r, resp.GetHumanAgentSuggestionResults(), forAgent)
	r.t.s.suggest(r, resp.GetEndUserSuggestionResults(), forUser)
}

func (r *results) recognition(st *stream, rec *dialogflowpb.StreamingRecognitionResult, model string) {
	switch rec.GetMessageType() {
	case dialogflowpb.StreamingRecognitionResult_TRANSCRIPT:
		r.transcript(st, rec, model)
	case dialogflowpb.StreamingRecognitionResult_SPEECH_ACTIVITY_BEGIN:
		r.speech(st, event.SpeechBegan, rec)
	case dialogflowpb.StreamingRecognitionResult_SPEECH_ACTIVITY_END:
		r.speech(st, event.SpeechEnded, rec)
	case dialogflowpb.StreamingRecognitionResult_END_OF_SINGLE_UTTERANCE, dialogflowpb.StreamingRecognitionResult_DTMF_DIGITS,
		dialogflowpb.StreamingRecognitionResult_PARTIAL_DTMF_DIGITS:
	default:
		r.contradiction("a recognition result of an unknown kind", "kind", rec.GetMessageType())
	}
}

// contradiction counts a result that cannot be right, or that nobody knows.
func (r *results) contradiction(what string, args ...any) {
	r.t.s.pool.stats.Contradictions.Add(1)
	r.t.log.Debug("assist: "+what, args...)
}

func (r *results) transcript(st *stream, rec *dialogflowpb.StreamingRecognitionResult, model string) {
	t, audio, stats := r.t, r.t.audio, &r.t.s.pool.stats
	text := strings.TrimSpace(rec.GetTranscript())
	final, wasOpen := rec.GetIsFinal(), r.open.Load()
	if final && r.again(rec) {
		return
	}
	start, end := r.place(st, rec)
	r.end = end
	if final && !wasOpen {
		r.contradiction("a final without an interim")
	}
	if final {
		audio.Recognised(end) // before anybody sees it
		r.open.Store(false)
		r.interim = 0
		if st.mayRotate() {
			st.stop(causePlanned)
		}
	}
	if text == "" && !(final && wasOpen) {
		return
	}
	e := event.Event{Kind: event.TranscriptInterim, Track: t.trackRef(), Transcript: &event.Transcript{
		Utterance:  fmt.Sprintf("%d-%d", r.number, r.utterance),
		Text:       text,
		Start:      audio.At(start),
		End:        audio.At(end),
		EndPos:     end,
		Language:   rec.GetLanguageCode(),
		Confidence: rec.GetConfidence(),
		Stability:  rec.GetStability(),
		Words:      r.words(st, rec),
		Model:      model,
	}}
	if len(e.Transcript.Words) > 0 {
		e.Transcript.Start = e.Transcript.Words[0].Start
	}
	if final {
		e.Kind = event.TranscriptFinal
		stats.Finals.Add(1)
		r.utterance++
		r.last = e.Transcript.End
		if text != "" && len(r.finals) < maxUnstored {
			r.finals = append(r.finals, heard{text, e.Transcript.Start, r.last, e.Transcript.Language})
		}
	} else {
		stats.Interims.Add(1)
		r.open.Store(true)
		if end < r.stale && r.interim > 0 {
			return // the words are on the screen already
		}
		r.shown = max(r.shown, end)
	}
	r.fresh = true
	t.s.publish(e)
}

// again reports whether a final is the one before once more.
func (r *results) again(rec *dialogflowpb.StreamingRecognitionResult) bool {
	key := finalKey{rec.GetSpeechEndOffset().AsDuration(), rec.GetTranscript()}
	if rec.GetSpeechEndOffset() != nil && key == r.newest {
		r.contradiction("a final came twice", "offset", key.end)
		return true
	}
	r.newest = key
	return false
}

// place finds the positions of a result's audio: where its utterance began and
// where its text ends. A result without an offset gets that of the last interim.
func (r *results) place(st *stream, rec *dialogflowpb.StreamingRecognitionResult) (start, end int64) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if rec.GetSpeechEndOffset() != nil {
		r.interim = rec.GetSpeechEndOffset().AsDuration()
	}
	clamped := st.pos.clamped
	start = st.pos.utterance()
	switch {
	case r.interim == 0:
		end = st.pos.tape(st.pos.final)
	case rec.GetIsFinal():
		end = st.pos.finalAt(r.interim)
	default:
		end = st.pos.at(r.interim)
	}
	if n := st.pos.clamped - clamped; n > 0 {
		r.t.s.pool.stats.Clamped.Add(int64(n))
		r.t.log.Debug("assist: a result's end is not within the audio that was sent", "offset", r.interim, "final", rec.GetIsFinal())
	}
	return min(start, end), end
}

func (r *results) words(st *stream, rec *dialogflowpb.StreamingRecognitionResult) []event.Word {
	st.mu.Lock()
	defer st.mu.Unlock()
	var words []event.Word
	at := func(d time.Duration) time.Time {
		return r.t.audio.At(st.pos.tape(min(max(0, st.pos.format.SamplesIn(d)), st.pos.sent)))
	}
	for _, w := range rec.GetSpeechWordInfo() {
		words = append(words, event.Word{Text: w.GetWord(), Start: at(w.GetStartOffset().AsDuration()), End: at(w.GetEndOffset().AsDuration())})
	}
	return words
}

// speech publishes that speech began or ended. The API gives no offset for it as
// a rule; what was sent last is near.
func (r *results) speech(st *stream, kind event.Kind, rec *dialogflowpb.StreamingRecognitionResult) {
	st.mu.Lock()
	pos := st.pos.end()
	if rec.GetSpeechEndOffset() != nil {
		pos = st.pos.at(rec.GetSpeechEndOffset().AsDuration())
	} else if kind == event.SpeechBegan && len(st.pos.onsets) > 0 {
		pos = st.pos.onsets[len(st.pos.onsets)-1]
	}
	st.mu.Unlock()
	r.fresh = pos >= r.stale
	r.t.s.publish(event.Event{Kind: kind, Track: r.t.trackRef(), Speech: &event.Speech{At: r.t.audio.At(pos), Pos: pos}})
}

// message publishes a stored message, once.
func (r *results) message(m *dialogflowpb.Message) {
	at := r.heardAt(m.GetContent())
	if !r.t.s.answers.message(m.GetName(), at) {
		return
	}
	r.fresh = true
	r.t.s.pool.stats.Messages.Add(1)
	e := event.Message{Name: m.GetName(), Text: strings.TrimSpace(m.GetContent()), Language: m.GetLanguageCode()}
	if m.GetSendTime() != nil {
		e.Sent = m.GetSendTime().AsTime()
	}
	if s := m.GetSentimentAnalysis().GetQueryTextSentiment(); s != nil {
		score := s.GetScore()
		e.Sentiment = &score
	}
	r.t.s.publish(event.Event{Kind: event.MessageStored, Track: r.t.trackRef(), Message: &e})
}

// heardAt returns when the utterance of a stored message was heard. Messages follow
// their finals in order; the words decide when one has none.
func (r *results) heardAt(content string) time.Time {
	if len(r.finals) == 0 {
		return r.last
	}
	i := 0
	for j, f := range r.finals {
		if f.text == strings.TrimSpace(content) {
			i = j
			break
		}
	}
	at := r.finals[i].at
	r.unstored(r.finals[:i])
	r.finals = r.finals[i+1:]
	return at
}
