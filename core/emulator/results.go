package emulator

import (
	"time"

	pb "cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/patchbay/patchbay/core/emulator/hear"
)

// event turns what the recogniser heard into results, messages and suggestions.
func (ses *session) event(e hear.Event) {
	if ses.failed != nil || ses.deaf {
		return
	}
	if ses.began.IsZero() {
		ses.began = ses.clock(e.Start)
	}
	switch e.Kind {
	case hear.Begin:
		if ses.quiet != nil {
			ses.quiet.Stop()
		}
		ses.mark(pb.StreamingRecognitionResult_SPEECH_ACTIVITY_BEGIN)
	case hear.End:
		if ses.quiet != nil {
			ses.quiet.Reset(ses.s.cfg.real(ses.idle))
		}
		ses.mark(pb.StreamingRecognitionResult_SPEECH_ACTIVITY_END)
		ses.began = time.Time{}
	case hear.Interim:
		ses.transcript(e, false)
	case hear.Final:
		ses.transcript(e, true)
		ses.final(e)
	}
}

// mark sends a speech activity event to those who asked for them.
func (ses *session) mark(t pb.StreamingRecognitionResult_MessageType) {
	if ses.activity {
		ses.send(&pb.StreamingRecognitionResult{MessageType: t, LanguageCode: ses.language})
	}
}

func (ses *session) send(r *pb.StreamingRecognitionResult) {
	if ses.failed == nil {
		ses.failed = ses.out.recognised(r)
	}
}

func (ses *session) transcript(e hear.Event, final bool) {
	ses.lastEnd = max(ses.lastEnd, e.End)
	r := &pb.StreamingRecognitionResult{
		MessageType: pb.StreamingRecognitionResult_TRANSCRIPT, Transcript: e.Text(), IsFinal: final,
		SpeechEndOffset: ses.offset(ses.lastEnd), LanguageCode: ses.spoken(e),
	}
	if final {
		r.Confidence = e.Confidence
	} else {
		r.Stability = e.Stability
	}
	if ses.wordInfo && final {
		for _, w := range e.Words {
			r.SpeechWordInfo = append(r.SpeechWordInfo, &pb.SpeechWordInfo{
				Word: w.Text, StartOffset: ses.offset(w.Start), EndOffset: ses.offset(w.End), Confidence: e.Confidence,
			})
		}
	}
	ses.send(r)
}

// final stores the message of a final and sends it, or holds it back.
func (ses *session) final(e hear.Event) {
	ses.finals = append(ses.finals, ses.offset(ses.lastEnd))
	ses.p.conv.mu.Lock()
	ses.p.books.finals++
	ses.p.conv.mu.Unlock()
	if ses.single {
		ses.send(&pb.StreamingRecognitionResult{MessageType: pb.StreamingRecognitionResult_END_OF_SINGLE_UTTERANCE})
		ses.deaf = true
	}
	began := ses.began
	ses.began = time.Time{}
	if ses.out.strikes(FaultLoseMessage) != nil {
		return
	}
	m := ses.s.say(ses.p, e.Text(), ses.spoken(e), began)
	if ses.hold {
		ses.heldBack = append(ses.heldBack, m)
		return
	}
	ses.analyse(m)
}

// analyse sends a message and its suggestions.
func (ses *session) analyse(m *pb.Message) {
	human, endUser := ses.s.suggest(ses.p.conv, m)
	if ses.failed == nil {
		ses.failed = ses.out.analysed(m, human, endUser)
	}
}

func (ses *session) spoken(e hear.Event) string {
	if e.Language != "" {
		return e.Language
	}
	return ses.language
}

func (ses *session) offset(sample int64) *durationpb.Duration {
	return durationpb.New(ses.duration(sample))
}
