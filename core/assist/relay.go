package assist

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// Unary is a unary call that somebody else's client makes through us.
type Unary struct {
	Method  string // full method
	Request []byte // encoded
	// Routing is the value of x-goog-request-params, by which Google finds the region.
	Routing string
}

// relayPatience is how long a relayed call waits for a quota at most.
const relayPatience = 30 * time.Second

// maxRelayed bounds the answer of a relayed call.
const maxRelayed = 64 << 20

// Relay makes a call with the credentials of g and returns the answer as it came. An
// error is a status error with Google's code, words and details. While Google does not
// answer it fails at once with UNAVAILABLE.
func (p *Pool) Relay(ctx context.Context, g Google, u Unary) ([]byte, error) {
	c, err := p.client(ctx, g)
	if err != nil {
		if errors.Is(err, errCredentials) {
			return nil, status.Error(codes.Unavailable, "patchbay has no usable credentials for Agent Assist; its log says why")
		}
		return nil, status.FromContextError(err).Err()
	}
	need, err := p.payFor(ctx, g, u.Method)
	if err != nil {
		return nil, err
	}
	if err := c.circuit.relays(); err != nil {
		p.governor.unused(need)
		return nil, status.Error(codes.Unavailable, "Agent Assist does not serve patchbay now: "+googleWords(err))
	}
	if u.Routing != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "x-goog-request-params", u.Routing)
	}
	var answer raw
	request := raw(u.Request)
	//nolint:staticcheck // one connection of the pool is what a call needs; it has the credentials
	err = c.conversations.Connection().Invoke(ctx, u.Method, &request, &answer,
		grpc.ForceCodecV2(rawCodec{}), grpc.MaxCallRecvMsgSize(maxRelayed))
	c.circuit.relayed(err)
	if codeOf(err) == codes.ResourceExhausted {
		p.governor.exhausted(need)
	}
	return answer, err
}

// payFor waits for a start where the call counts as one.
func (p *Pool) payFor(ctx context.Context, g Google, method string) ([]Quota, error) {
	if !strings.HasSuffix(method, ".Participants/AnalyzeContent") {
		return nil, nil
	}
	need := p.opts.quotas(Conversation{Google: g}, "")
	ctx, cancel := context.WithTimeout(ctx, relayPatience)
	defer cancel()
	if err := p.governor.start(ctx, need, rankAgent); err != nil {
		return nil, status.Errorf(codes.ResourceExhausted, "patchbay waited for the quota of project %s, which its calls use up", g.Project)
	}
	return need, nil
}

// relays reports why a relayed call may not be made now. One that comes when it is time
// to ask asks for all.
func (c *circuit) relays() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == CircuitOpen && !mendable(c.err) && time.Now().Before(c.next) {
		return c.err
	}
	if c.state == CircuitOpen && !c.probing {
		c.plan(c.err)
	}
	return nil
}

// relayed counts how a relayed call ended. What a client's own request may be the reason
// of says nothing about Google.
func (c *circuit) relayed(err error) {
	switch {
	case codeOf(err) == codes.Unavailable:
		c.failed(err, false)
	case err == nil:
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.state == CircuitOpen {
			c.state = CircuitTrying
			c.tell()
		}
	}
}

// raw is a message that nobody decodes.
type raw []byte

// rawCodec passes raw messages through.
type rawCodec struct{}

var _ encoding.CodecV2 = rawCodec{}

// Marshal implements encoding.CodecV2.
func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	m, ok := v.(*raw)
	if !ok {
		return nil, fmt.Errorf("assist: %T is no raw message", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(*m)}, nil
}

// Unmarshal implements encoding.CodecV2.
func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(*raw)
	if !ok {
		return fmt.Errorf("assist: %T is no raw message", v)
	}
	*m = data.Materialize()
	return nil
}

// Name implements encoding.CodecV2: it is what the content type says.
func (rawCodec) Name() string { return "proto" }

// Status returns the status that err is, and its encoded form (google.rpc.Status).
func Status(err error) (code int, text string, encoded []byte) {
	s, ok := status.FromError(err)
	if !ok {
		s = status.FromContextError(err)
	}
	encoded, marshalErr := proto.Marshal(s.Proto())
	if marshalErr != nil {
		encoded = nil // a detail of a strange type: the code and the words remain
	}
	return int(s.Code()), s.Message(), encoded
}
