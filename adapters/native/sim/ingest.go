package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	ingestpb "github.com/patchbay/patchbay/adapters/native/proto/patchbay/ingest/v1"
	"github.com/patchbay/patchbay/core/media"
)

// ingest makes a call by patchbay.ingest.v1: both speakers on one stream.
func (c *call) ingest(ctx context.Context) error {
	conn, err := c.conn()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	st, err := ingestpb.NewIngestClient(conn).Stream(ctx)
	if err != nil {
		return err
	}
	received := make(chan error, 1)
	go func() { received <- c.ingested(st) }()
	var sending sync.Mutex // of both speakers
	send := func(m *ingestpb.StreamRequest) error {
		sending.Lock()
		defer sending.Unlock()
		return st.Send(m)
	}
	opening := []*ingestpb.StreamRequest{{Request: &ingestpb.StreamRequest_Open{Open: &ingestpb.Open{Call: c.id, To: c.To, Results: true}}}}
	for _, l := range c.legs {
		role := [...]ingestpb.Role{ingestpb.Role_ROLE_CUSTOMER, ingestpb.Role_ROLE_AGENT}[l.who]
		opening = append(opening, &ingestpb.StreamRequest{Request: &ingestpb.StreamRequest_Track{Track: &ingestpb.Track{
			Track: l.participant, Role: role, Encoding: ingestpb.Encoding_ENCODING_MULAW, SampleRateHertz: int32(media.Telephony.Rate)}}})
	}
	for _, m := range opening {
		if err := send(m); err != nil {
			break // receive says why
		}
	}
	var speaking sync.WaitGroup
	for _, l := range c.legs {
		n := 0
		speaking.Go(func() {
			_, err := l.play(func(b []byte) error {
				return send(&ingestpb.StreamRequest{Request: &ingestpb.StreamRequest_Audio{Audio: &ingestpb.Audio{Track: l.participant, Payload: b}}})
			}, func() bool { n++; return l.messages() == 0 || n <= l.messages() })
			if err != nil && !errors.Is(err, io.EOF) {
				c.fail(err)
			}
		})
	}
	speaking.Wait()
	if c.Abrupt {
		cancel()
		return unlessCanceled(<-received)
	}
	if err := st.CloseSend(); err != nil {
		return err
	}
	return <-received
}

func (c *call) ingested(st ingestpb.Ingest_StreamClient) error {
	for {
		m, err := st.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case m.GetTranscript().GetFinal():
			t := m.GetTranscript()
			c.observe(c.id, StepFinal, fmt.Sprintf("%s at %v: %s", t.GetTrack(), t.GetOffset().AsDuration(), t.GetText()))
		case m.GetSuggestion() != nil:
			c.observe(c.id, StepSuggestion, m.GetSuggestion().GetTitle())
		case m.GetProblem() != nil:
			c.observe(c.id, StepError, m.GetProblem().GetText())
		}
	}
}
