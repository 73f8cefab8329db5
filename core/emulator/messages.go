package emulator

import (
	"context"
	"strconv"
	"strings"
	"time"

	pb "cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// maxBatch is how many messages BatchCreateMessages takes (agent-assist.md §2).
const maxBatch = 300

// ListMessages lists the messages of a conversation, newest first. A page token
// is the number of the last message shown, so that messages that arrive between
// two pages move nothing.
func (s *conversations) ListMessages(_ context.Context, r *pb.ListMessagesRequest) (*pb.ListMessagesResponse, error) {
	c, err := s.conversation(r.GetParent())
	if err != nil {
		return nil, err
	}
	f, err := parseFilter(r.GetFilter())
	if err != nil {
		return nil, err
	}
	if err := f.only("create_time", "create_time_epoch_microseconds"); err != nil {
		return nil, err
	}
	in, err := f.bounds()
	if err != nil {
		return nil, err
	}
	before := 0
	if token := r.GetPageToken(); token != "" {
		if before, err = strconv.Atoi(token); err != nil || before < 1 {
			return nil, invalid("page_token %.40q was not given by this emulator", token)
		}
	}
	var list []*pb.Message
	for _, m := range c.newest() {
		if (before == 0 || messageNumber(m) < before) && in(m.GetCreateTime().AsTime()) {
			list = append(list, m)
		}
	}
	page, next, err := pageOf(list, r.GetPageSize(), "")
	if err != nil {
		return nil, err
	}
	if next != "" {
		next = strconv.Itoa(messageNumber(page[len(page)-1]))
	}
	return &pb.ListMessagesResponse{Messages: page, NextPageToken: next}, nil
}

// messageNumber is the N of …/messages/m-N.
func messageNumber(m *pb.Message) int {
	n, _ := strconv.Atoi(m.GetName()[strings.LastIndex(m.GetName(), "-")+1:])
	return n
}

// BatchCreateMessages stores messages that the client brings. One with the
// participant and send time of a stored message is a duplicate and ignored.
func (s *conversations) BatchCreateMessages(_ context.Context, r *pb.BatchCreateMessagesRequest) (*pb.BatchCreateMessagesResponse, error) {
	c, err := s.conversation(r.GetParent())
	if err != nil {
		return nil, err
	}
	n := len(r.GetRequests())
	if err := firstError(s.open(c), s.rule(RuleBatchSize, n > 0 && n <= maxBatch, codes.InvalidArgument,
		"%d messages in a batch; want 1 to %d", n, maxBatch)); err != nil {
		return nil, err
	}
	type key struct {
		participant string
		sent        time.Time
	}
	seen := map[key]bool{}
	for _, m := range c.newest() {
		seen[key{m.GetParticipant(), m.GetSendTime().AsTime()}] = true
	}
	var add []*pb.Message
	for i, req := range r.GetRequests() {
		m := proto.CloneOf(req.GetMessage())
		parent := req.GetParent()
		if parent != "" && parent != r.GetParent() {
			return nil, invalid("requests[%d].parent %.300q is not the parent of the batch", i, parent)
		}
		if m.GetSendTime() == nil || m.GetParticipant() == "" {
			return nil, invalid("requests[%d].message needs send_time and participant", i)
		}
		p := c.find(m.GetParticipant()[strings.LastIndex(m.GetParticipant(), "/")+1:])
		if p == nil {
			return nil, notFound("requests[%d].message.participant %.300q does not exist", i, m.GetParticipant())
		}
		m.Participant, m.ParticipantRole = p.id, p.role
		if k := (key{m.Participant, m.GetSendTime().AsTime()}); !seen[k] {
			seen[k] = true
			add = append(add, m)
		}
	}
	for _, m := range add {
		c.store(m, s.cfg.Limits.Messages)
	}
	return &pb.BatchCreateMessagesResponse{Messages: add}, nil
}
