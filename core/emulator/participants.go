package emulator

import (
	"context"
	"strconv"

	pb "cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// participants serves google.cloud.dialogflow.v2beta1.Participants.
type participants struct {
	pb.UnimplementedParticipantsServer
	*Server
}

// maxUserID bounds obfuscated_external_user_id (agent-assist.md §2).
const maxUserID = 256

// CreateParticipant adds a speaker. It has no request id, as in the API: asked
// twice, it makes two.
func (s *participants) CreateParticipant(_ context.Context, r *pb.CreateParticipantRequest) (*pb.Participant, error) {
	c, err := s.conversation(r.GetParent())
	if err != nil {
		return nil, err
	}
	p := proto.CloneOf(r.GetParticipant())
	if p == nil {
		return nil, invalid("participant is required")
	}
	if err := firstError(s.open(c), s.userID(p), s.rule(RuleParticipantRole, p.GetRole() >= pb.Participant_HUMAN_AGENT && p.GetRole() <= pb.Participant_END_USER,
		codes.InvalidArgument, "participant.role is required: HUMAN_AGENT, AUTOMATED_AGENT or END_USER")); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.participants) >= s.cfg.Limits.Participants {
		return nil, full("participants in a conversation", s.cfg.Limits.Participants)
	}
	id := "p-" + strconv.Itoa(len(c.participants)+1)
	p.Name = c.name + "/participants/" + id
	c.participants = append(c.participants, &participant{conv: c, id: id, name: p.Name, role: p.GetRole(), pb: p})
	return proto.CloneOf(p), nil
}

func (s *Server) userID(p *pb.Participant) error {
	n := len(p.GetObfuscatedExternalUserId())
	return s.rule(RuleUserID, n <= maxUserID, codes.InvalidArgument,
		"obfuscated_external_user_id has %d bytes; want at most %d", n, maxUserID)
}

// GetParticipant returns one participant.
func (s *participants) GetParticipant(_ context.Context, r *pb.GetParticipantRequest) (*pb.Participant, error) {
	p, err := s.participant(r.GetName())
	if err != nil {
		return nil, err
	}
	return p.proto(), nil
}

func (p *participant) proto() *pb.Participant {
	p.conv.mu.Lock()
	defer p.conv.mu.Unlock()
	return proto.CloneOf(p.pb)
}

// ListParticipants lists the participants of a conversation in order of creation.
func (s *participants) ListParticipants(_ context.Context, r *pb.ListParticipantsRequest) (*pb.ListParticipantsResponse, error) {
	c, err := s.conversation(r.GetParent())
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	var list []*pb.Participant
	for _, p := range c.participants {
		if !p.gone {
			list = append(list, proto.CloneOf(p.pb))
		}
	}
	c.mu.Unlock()
	page, next, err := pageOf(list, r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	return &pb.ListParticipantsResponse{Participants: page, NextPageToken: next}, nil
}

// UpdateParticipant changes the masked fields; the role stays.
func (s *participants) UpdateParticipant(_ context.Context, r *pb.UpdateParticipantRequest) (*pb.Participant, error) {
	p, err := s.participant(r.GetParticipant().GetName())
	if err != nil {
		return nil, err
	}
	p.conv.mu.Lock()
	defer p.conv.mu.Unlock()
	changed, err := updated(s.Server, p.pb, r.GetParticipant(), r.GetUpdateMask(), "name", "role")
	if err := firstError(err, s.userID(changed)); err != nil {
		return nil, err
	}
	p.pb = changed
	return proto.CloneOf(changed), nil
}
