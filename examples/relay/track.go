package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
)

const (
	rate       = 8000
	chunkBytes = rate / 10 // 100 ms of mu-law, as Google asks for
)

// track is one speaker and the one stream that hears him.
type track struct {
	stream dialogflowpb.Participants_StreamingAnalyzeContentClient
	hangUp context.CancelFunc
	chunk  []byte
	broken bool
	sent   int // bytes
	lost   int
	done   chan struct{} // closed when the stream has ended
}

// open starts the stream of a participant.
func (c *call) open(ctx context.Context, participant, name string) (*track, error) {
	ctx, hangUp := context.WithCancel(ctx)
	stream, err := c.participants.StreamingAnalyzeContent(ctx)
	if err == nil {
		err = stream.Send(&dialogflowpb.StreamingAnalyzeContentRequest{
			Participant: participant,
			Config: &dialogflowpb.StreamingAnalyzeContentRequest_AudioConfig{AudioConfig: &dialogflowpb.InputAudioConfig{
				AudioEncoding: dialogflowpb.AudioEncoding_AUDIO_ENCODING_MULAW, SampleRateHertz: rate,
			}},
			EnableExtendedStreaming: true, OutputMultipleUtterances: true,
		})
	}
	if err != nil {
		hangUp()
		return nil, err
	}
	t := &track{stream: stream, hangUp: hangUp, done: make(chan struct{})}
	go func() { // until end
		defer close(t.done)
		if err := c.results(stream, name); !errors.Is(err, io.EOF) {
			c.log.Warn("a stream broke; what this speaker says from now on is lost", "track", name, "err", err)
		}
	}()
	return t, nil
}

// results prints what comes back, until the stream ends.
func (c *call) results(stream dialogflowpb.Participants_StreamingAnalyzeContentClient, name string) error {
	for {
		r, err := stream.Recv()
		if err != nil {
			return err
		}
		if result := r.GetRecognitionResult(); result.GetIsFinal() {
			c.print("%s: %s\n", name, result.GetTranscript())
		}
		for _, s := range r.GetHumanAgentSuggestionResults() {
			c.print("  suggestion for the agent: %v\n", s)
		}
	}
}

func (c *call) print(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = fmt.Fprintf(c.out, format, args...)
}

// hear gathers 100 ms and sends them.
func (t *track) hear(muLaw []byte) {
	t.chunk = append(t.chunk, muLaw...)
	if len(t.chunk) >= chunkBytes {
		t.flush()
	}
}

// flush sends what was gathered. A stream that ended is not opened again: a relay
// has no copy of what it sent, and no plan for what comes meanwhile.
func (t *track) flush() {
	n := len(t.chunk)
	if n > 0 && !t.broken {
		t.broken = t.stream.Send(&dialogflowpb.StreamingAnalyzeContentRequest{
			Input: &dialogflowpb.StreamingAnalyzeContentRequest_InputAudio{InputAudio: t.chunk},
		}) != nil // results says why
	}
	if t.broken {
		t.lost += n
	} else {
		t.sent += n
	}
	t.chunk = t.chunk[:0]
}

// end half-closes the stream and waits for the last results while ctx lasts.
func (t *track) end(ctx context.Context) {
	t.flush()
	_ = t.stream.CloseSend()
	select {
	case <-t.done:
	case <-ctx.Done():
	}
	t.hangUp()
	<-t.done
}
