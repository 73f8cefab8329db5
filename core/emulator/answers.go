package emulator

import (
	"context"
	"strconv"
	"strings"

	pb "cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"google.golang.org/protobuf/proto"
)

// answers serves google.cloud.dialogflow.v2beta1.AnswerRecords.
type answers struct {
	pb.UnimplementedAnswerRecordsServer
	*Server
}

// record keeps an answer, so that feedback can be given, and returns its name.
func (s *Server) record(c *conversation, a *pb.AgentAssistantRecord) string {
	name := c.parent() + "/answerRecords/ar-" + strconv.FormatInt(s.newID(), 10)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[name] = &pb.AnswerRecord{Name: name, Record: &pb.AnswerRecord_AgentAssistantRecord{AgentAssistantRecord: a}}
	s.answerOrder = append(s.answerOrder, name)
	if over := len(s.answerOrder) - s.cfg.Limits.Answers; over > 0 {
		for _, old := range s.answerOrder[:over] {
			delete(s.answers, old)
		}
		s.answerOrder = s.answerOrder[over:]
	}
	return name
}

func (s *answers) find(name string) (*pb.AnswerRecord, error) {
	r, err := s.resolve(name, "answerRecords")
	if err != nil {
		return nil, err
	}
	full := r.parent() + "/answerRecords/" + r.ids[0]
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.Server.answers[full]; a != nil {
		return a, nil
	}
	return nil, notFound("answer record %.300q does not exist", full)
}

// GetAnswerRecord returns one record; deprecated in the API, and v2beta1 alone.
func (s *answers) GetAnswerRecord(_ context.Context, r *pb.GetAnswerRecordRequest) (*pb.AnswerRecord, error) {
	return s.find(r.GetName())
}

// ListAnswerRecords lists the records of a location, oldest first.
func (s *answers) ListAnswerRecords(_ context.Context, r *pb.ListAnswerRecordsRequest) (*pb.ListAnswerRecordsResponse, error) {
	res, err := s.resolve(r.GetParent())
	if err != nil {
		return nil, err
	}
	if r.GetFilter() != "" {
		return nil, invalid("filter: the emulator does not filter answer records")
	}
	s.mu.Lock()
	var list []*pb.AnswerRecord
	for _, name := range s.answerOrder {
		if strings.HasPrefix(name, res.parent()+"/") {
			list = append(list, s.Server.answers[name])
		}
	}
	s.mu.Unlock()
	page, next, err := pageOf(list, r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	return &pb.ListAnswerRecordsResponse{AnswerRecords: page, NextPageToken: next}, nil
}

// UpdateAnswerRecord keeps feedback. A copied answer or opened links count as
// clicked (agent-assist.md §3).
func (s *answers) UpdateAnswerRecord(_ context.Context, r *pb.UpdateAnswerRecordRequest) (*pb.AnswerRecord, error) {
	old, err := s.find(r.GetAnswerRecord().GetName())
	if err != nil {
		return nil, err
	}
	a, err := updated(s.Server, old, proto.CloneOf(r.GetAnswerRecord()), r.GetUpdateMask(), "name", "agent_assistant_record", "record")
	if err != nil {
		return nil, err
	}
	detail := a.GetAnswerFeedback().GetAgentAssistantDetailFeedback()
	for _, f := range []interface {
		GetAnswerCopied() bool
		GetClickedUris() []string
	}{detail.GetKnowledgeSearchFeedback(), detail.GetKnowledgeAssistFeedback()} {
		if f.GetAnswerCopied() || len(f.GetClickedUris()) > 0 {
			a.AnswerFeedback.Clicked = true
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Server.answers[a.GetName()] != nil {
		s.Server.answers[a.GetName()] = a
	}
	return a, nil
}
