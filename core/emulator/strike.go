package emulator

import (
	"context"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// keptCalls bounds the memory of how often unary RPCs were called.
const keptCalls = 100_000

// moment returns the fault that strikes the stream now, or at its half-close.
func (m *meddler) moment(closing bool) *order {
	seed := m.f.seed.Load()
	for _, o := range *m.f.standing.Load() {
		if o.scope != onStream || o.At.Close != closing || !o.meets(m) {
			continue
		}
		p := m.fates[o.id]
		if p == nil {
			p = &fate{at: o.moment(seed, m.key), over: !o.lucky(seed, m.key, 0)}
			m.fates[o.id] = p
		}
		if p.over || m.heard() < p.at {
			continue
		}
		if p.over = true; m.f.strike(o) {
			m.f.log.Info("fault", "fault", o.String(), "conversation", m.conversation, "role", m.role, "stream", m.stream, "audio", m.heard())
			return o
		}
	}
	return nil
}

// suffer ends the stream, or spoils it, when a fault of streams is due.
func (ses *session) suffer(ctx context.Context, inputs <-chan input, outage <-chan struct{}, closing bool) (ended bool, err error) {
	o := ses.out.moment(closing)
	if o == nil {
		return false, nil
	}
	switch o.Kind {
	case FaultComplete:
		ses.p.conv.complete()
		err := ses.s.open(ses.p.conv)
		return err != nil, err
	case FaultForget:
		ses.p.forget()
		return true, o.err(codes.NotFound, "the participant does not exist any more")
	case FaultCut:
		cut(ctx)
		return true, o.err(codes.Unavailable, "the connection was cut")
	case FaultStuck:
		return true, ses.stuck(ctx, o, inputs, outage)
	}
	if o.Code == codes.OK {
		return true, ses.finish(ctx, outage)
	}
	return true, o.err(o.Code, "the stream was ended")
}

// stuck takes what comes and hears none of it.
func (ses *session) stuck(ctx context.Context, o *order, inputs <-chan input, outage <-chan struct{}) error {
	var end <-chan time.Time
	if o.For > 0 {
		end = time.After(ses.s.cfg.real(o.For))
	}
	for {
		select {
		case <-inputs:
		case <-end:
			return o.err(o.Code, "the stream was stuck")
		case <-outage:
			return errDown()
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
}

// meddleStream fails the streams that are opened while the server is down.
func (f *faults) meddleStream(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	if _, err := f.unavailable(); err != nil {
		return err
	}
	return handle(srv, stream)
}

// meddleUnary does to a unary RPC what the standing faults say.
func (f *faults) meddleUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	if _, err := f.unavailable(); err != nil {
		return nil, err
	}
	if o := f.strikesRPC(FaultRPCDelay, info.FullMethod, req); o != nil {
		select {
		case <-time.After(f.real(o.For)):
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	}
	if o := f.strikesRPC(FaultRPCError, info.FullMethod, req); o != nil {
		return nil, o.err(o.Code, "the call failed")
	}
	resp, err := handle(ctx, req)
	if o := f.strikesRPC(FaultRPCLost, info.FullMethod, req); o != nil {
		return nil, o.err(o.Code, "the answer was lost")
	}
	return resp, err
}

// strikesRPC returns the first fault of a kind that strikes a unary RPC, or nil.
func (f *faults) strikesRPC(k FaultKind, fullMethod string, req any) *order {
	method := fullMethod[strings.LastIndexByte(fullMethod, '/')+1:]
	for _, o := range *f.standing.Load() {
		if o.Kind != k || o.Method != "" && o.Method != method {
			continue
		}
		conversation := conversationOf(req)
		if o.Conversation != "" && o.Conversation != conversation {
			continue
		}
		key := method + "/" + conversation
		n := f.occasion(strconv.Itoa(o.id) + "/" + key)
		if o.lucky(f.seed.Load(), key, n) && f.strike(o) {
			f.log.Info("fault", "fault", o.String(), "method", method, "conversation", conversation)
			return o
		}
	}
	return nil
}

// occasion returns how often a key was asked for before.
func (f *faults) occasion(key string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.calls) >= keptCalls {
		clear(f.calls)
	}
	n := f.calls[key]
	f.calls[key]++
	return n
}

// conversationOf returns the id of the conversation that a request is about, "" for none.
func conversationOf(req any) string {
	if r, ok := req.(interface{ GetConversationId() string }); ok { // of a new one
		return r.GetConversationId()
	}
	name := ""
	switch r := req.(type) {
	case interface{ GetName() string }:
		name = r.GetName()
	case interface{ GetParticipant() string }:
		name = r.GetParticipant()
	case interface{ GetConversation() string }:
		name = r.GetConversation()
	case interface{ GetParent() string }:
		name = r.GetParent()
	}
	_, rest, _ := strings.Cut(name, "/conversations/")
	id, _, _ := strings.Cut(rest, "/")
	return id
}
