package assist

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"

	"github.com/patchbay/patchbay/core/media"
)

// stream sends speech as one role and reports what came back.
func (k *check) stream(ctx context.Context, role string, speech []byte) {
	name := "stream of the " + strings.ReplaceAll(role, "_", " ")
	audio := media.Telephony.Duration(int64(len(speech)))
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout+k.opts.wall(audio)+k.opts.EndTimeout)
	defer cancel()
	l, done, err := k.clients.lane(ctx)
	if err != nil {
		k.explained(name, stepStream, err)
		return
	}
	defer done()
	p, err := l.CreateParticipant(ctx, &dialogflowpb.CreateParticipantRequest{
		Parent: k.name, Participant: &dialogflowpb.Participant{Role: googleRoles[role]},
	}, once)
	if err != nil {
		k.explained(name, stepParticipant, err)
		return
	}
	heard, err := k.talk(ctx, l, p.GetName(), speech)
	if err != nil {
		k.explained(name, stepStream, err)
		return
	}
	k.step(Step{Name: name, OK: heard.finals > 0, Detail: heard.String(), Fix: heard.fix()})
}

// echo counts what came back of a stream.
type echo struct {
	finals, messages, suggestions int
	first                         time.Duration // from the first audio to the first text
	model                         string
}

func (e echo) String() string {
	s := fmt.Sprintf("%s, %s, %s", counted(e.finals, "final"), counted(e.messages, "stored message"), counted(e.suggestions, "suggestion"))
	if e.first > 0 {
		s += fmt.Sprintf("; first text after %v", e.first.Round(10*time.Millisecond))
	}
	if e.model != "" {
		s += "; speech model " + e.model
	}
	return s
}

// counted is "1 final", "2 finals".
func counted(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

func (e echo) fix() string {
	if e.finals == 0 {
		return "nothing was recognised: check routes[].language and routes[].model"
	}
	return ""
}

// talk streams speech in real time and returns what came back.
func (k *check) talk(ctx context.Context, l *lane, participant string, speech []byte) (e echo, err error) {
	w, err := openWire(ctx, l, wireConfig{transport: k.conv.transport(), participant: participant, format: media.Telephony,
		language: k.conv.Language, model: k.conv.Model})
	if err != nil {
		return e, err
	}
	begin := time.Now()
	received := make(chan error, 1)
	go func() {
		for {
			resp, err := w.recv()
			if err != nil {
				received <- ignoreEOF(err)
				return
			}
			e.count(resp, begin)
		}
	}()
	size := int(media.Telephony.Bytes(media.Telephony.SamplesIn(chunk)))
	for part := range slices.Chunk(speech, size) {
		if w.send(part) != nil || sleep(ctx, k.opts.wall(chunk)) != nil {
			break // the receiver learns why
		}
	}
	closed := w.closeSend()
	if err = <-received; err == nil { // bounded by ctx
		err = closed
	}
	return e, err
}

func (e *echo) count(resp *dialogflowpb.StreamingAnalyzeContentResponse, begin time.Time) {
	if rec := resp.GetRecognitionResult(); rec.GetTranscript() != "" {
		if e.first == 0 {
			e.first = time.Since(begin)
		}
		if rec.GetIsFinal() {
			e.finals++
		}
	}
	if resp.GetMessage() != nil {
		e.messages++
	}
	for _, list := range [][]*dialogflowpb.SuggestionResult{resp.GetHumanAgentSuggestionResults(), resp.GetEndUserSuggestionResults()} {
		for _, r := range list {
			e.suggestions += len(suggestions(r))
		}
	}
	e.model = nonEmpty(resp.GetSpeechModel(), e.model)
}
