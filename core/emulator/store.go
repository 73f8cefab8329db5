package emulator

import (
	"strconv"
	"sync"
	"time"

	pb "cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// conversation is one conversation and all that was said in it.
type conversation struct {
	resource
	name    string                  // canonical, with location
	profile *pb.ConversationProfile // as it was when the conversation began
	stage   pb.Conversation_ConversationStage
	start   time.Time
	expiry  *time.Timer   // completes it at its age limit
	done    chan struct{} // closed on completion

	mu           sync.Mutex
	end          time.Time // zero while in progress
	participants []*participant
	messages     []*pb.Message // never changed once stored; oldest first
	forgotten    int           // messages dropped from the front
	contexts     map[string]*pb.Conversation_ContextReference
}

// participant is one speaker. Name and role never change; the other fields are
// guarded by the conversation's mutex.
type participant struct {
	conv *conversation
	id   string
	name string // full
	role pb.Participant_Role

	pb    *pb.Participant
	gone  bool          // by a fault: only its books are left
	busy  chan struct{} // closed when the stream that was opened last ends; nil: none was
	books books

	analysing sync.Mutex                            // serialises AnalyzeContent; taken before the conversation's
	requests  map[string]*pb.AnalyzeContentResponse // by request id, guarded by analysing
}

// finished reports whether the conversation is completed.
func (c *conversation) finished() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// complete ends the conversation; again does nothing.
func (c *conversation) complete() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.end.IsZero() {
		return false
	}
	c.end = now()
	c.expiry.Stop()
	close(c.done)
	return true
}

// proto returns the resource as the API shows it.
func (c *conversation) proto() *pb.Conversation {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := &pb.Conversation{
		Name: c.name, LifecycleState: pb.Conversation_IN_PROGRESS, ConversationProfile: c.profile.GetName(),
		ConversationStage: c.stage, StartTime: timestamppb.New(c.start), InitialConversationProfile: c.profile,
		IngestedContextReferences: map[string]*pb.Conversation_ContextReference{},
	}
	if !c.end.IsZero() {
		out.LifecycleState, out.EndTime = pb.Conversation_COMPLETED, timestamppb.New(c.end)
	}
	for k, v := range c.contexts {
		out.IngestedContextReferences[k] = proto.CloneOf(v)
	}
	return out
}

// store keeps a message under a name of its own. m must not be changed after.
func (c *conversation) store(m *pb.Message, limit int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m.Name = c.name + "/messages/m-" + strconv.Itoa(c.forgotten+len(c.messages)+1)
	m.CreateTime = timestamppb.New(now())
	c.messages = append(c.messages, m)
	if over := len(c.messages) - limit; over > 0 {
		c.messages = c.messages[over:]
		c.forgotten += over
	}
}

// newest returns the stored messages, newest first.
func (c *conversation) newest() []*pb.Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]*pb.Message, len(c.messages))
	for i, m := range c.messages {
		out[len(out)-1-i] = m
	}
	return out
}

// find returns the participant with an id, or nil.
func (c *conversation) find(id string) *participant {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.participants {
		if p.id == id && !p.gone {
			return p
		}
	}
	return nil
}

// forget makes the participant unknown.
func (p *participant) forget() {
	p.conv.mu.Lock()
	defer p.conv.mu.Unlock()
	p.gone = true
}

// conversation looks up a conversation by name.
func (s *Server) conversation(name string) (*conversation, error) {
	r, err := s.resolve(name, "conversations")
	if err != nil {
		return nil, err
	}
	return s.conversationOf(r)
}

func (s *Server) conversationOf(r resource) (*conversation, error) {
	name := r.parent() + "/conversations/" + r.ids[0]
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.conversations[name]; c != nil {
		return c, nil
	}
	return nil, notFound("conversation %.300q does not exist; create it first", name)
}

// participant looks up a participant by name.
func (s *Server) participant(name string) (*participant, error) {
	r, err := s.resolve(name, "conversations", "participants")
	if err != nil {
		return nil, err
	}
	c, err := s.conversationOf(r)
	if err != nil {
		return nil, err
	}
	if p := c.find(r.ids[1]); p != nil {
		return p, nil
	}
	return nil, notFound("participant %.300q does not exist; create it first", name)
}

// open is the rule that a conversation is in progress.
func (s *Server) open(c *conversation) error {
	return s.rule(RuleConversationOpen, !c.finished(), codes.FailedPrecondition,
		"conversation %q is completed", c.name)
}

// purge forgets the oldest completed conversations above the limit. s.mu is held.
func (s *Server) purge() {
	completed := 0
	for _, c := range s.order {
		if c.finished() {
			completed++
		}
	}
	if completed <= s.cfg.Limits.Completed {
		return
	}
	kept := s.order[:0:0]
	for _, c := range s.order {
		if c.finished() && completed > s.cfg.Limits.Completed {
			delete(s.conversations, c.name)
			completed--
			continue
		}
		kept = append(kept, c)
	}
	s.order = kept
}

// full is the error for a bound of memory.
func full(what string, n int) error {
	return status.Errorf(codes.ResourceExhausted, "this emulator keeps at most %d %s (Config.Limits)", n, what)
}
