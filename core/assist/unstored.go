package assist

import (
	"context"
	"errors"
	"slices"
	"strings"

	"cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"google.golang.org/api/iterator"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/patchbay/patchbay/core/event"
)

// missing is a final whose stored message did not come.
type missing struct {
	heard
	participant string // full name
}

// maxMissing bounds Session.missing; messageBatch is what BatchCreateMessages takes.
const (
	maxMissing   = 2000
	messageBatch = 300
)

// unstored counts finals whose message will not come any more.
func (r *results) unstored(finals []heard) {
	if len(finals) == 0 {
		return
	}
	s := r.t.s
	s.pool.stats.Unstored.Add(int64(len(finals)))
	participant := r.t.trackRef().Participant
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range finals {
		if len(s.missing) < maxMissing {
			s.missing = append(s.missing, missing{f, participant})
		}
	}
}

// ended says that the stream brings nothing more.
func (r *results) ended() {
	r.unstored(r.finals)
	r.finals = nil
}

// storeMissing writes the finals that Google has no message of, where that is
// switched on. A message may be there although a broken stream did not bring it, so
// it looks first. What fails is a warning: the call was served.
func (s *Session) storeMissing(ctx context.Context) {
	s.mu.Lock()
	lost := s.missing
	s.missing = nil
	s.mu.Unlock()
	if !s.conv.StoreMissing || len(lost) == 0 {
		return
	}
	stored, err := s.stored(ctx)
	if err == nil {
		lost = slices.DeleteFunc(lost, func(m missing) bool {
			k := storedKey{base(m.participant), m.text}
			stored[k]--
			return stored[k] >= 0
		})
		for batch := range slices.Chunk(lost, messageBatch) {
			if err = s.write(ctx, batch); err != nil {
				break
			}
		}
	}
	if err != nil {
		s.warn(event.Problem{Code: codeNotStored, Text: "Agent Assist: writing the messages that are missing failed: " + googleWords(err)})
	}
}

// storedKey tells messages apart.
type storedKey struct{ participant, text string }

// stored counts the messages that Google has.
func (s *Session) stored(ctx context.Context) (map[storedKey]int, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	count := make(map[storedKey]int)
	for it := s.clients.conversations.ListMessages(ctx, &dialogflowpb.ListMessagesRequest{Parent: s.name, PageSize: 1000}, once); ; {
		m, err := it.Next()
		if errors.Is(err, iterator.Done) {
			return count, nil
		}
		if err != nil {
			return nil, err
		}
		count[storedKey{base(m.GetParticipant()), strings.TrimSpace(m.GetContent())}]++
	}
}

func (s *Session) write(ctx context.Context, batch []missing) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	req := &dialogflowpb.BatchCreateMessagesRequest{Parent: s.name}
	for _, m := range batch {
		req.Requests = append(req.Requests, &dialogflowpb.CreateMessageRequest{Parent: s.name, Message: &dialogflowpb.Message{
			Participant: m.participant, Content: m.text, LanguageCode: m.language, SendTime: timestamppb.New(m.from),
		}})
	}
	resp, err := s.clients.conversations.BatchCreateMessages(ctx, req, once)
	s.pool.stats.Written.Add(int64(len(resp.GetMessages())))
	return err
}
