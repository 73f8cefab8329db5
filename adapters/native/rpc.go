package native

import (
	"context"
	"crypto/tls"
	"errors"
	"math"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/gzip" // for clients that compress
	_ "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	ingestpb "github.com/patchbay/patchbay/adapters/native/proto/patchbay/ingest/v1"
	"github.com/patchbay/patchbay/core/adapter"
)

// Keepalive. A dead connection is noticed within two minutes; a client may ping as often
// as gRPC allows clients to, where gRPC's own limit for servers is 5 minutes.
const (
	pingAfter   = time.Minute
	pingTimeout = 20 * time.Second
	pingsMost   = 5 * time.Second  // apart
	idleMost    = 15 * time.Minute // a connection without RPCs; the client connects again when it needs one
)

const handshakeTimeout = 10 * time.Second

func (s *server) newRPC(secure *tls.Config) (*grpc.Server, *health.Server) {
	opts := []grpc.ServerOption{
		grpc.ForceServerCodecV2(newCodec()),
		grpc.UnknownServiceHandler(s.google),
		grpc.StreamInterceptor(s.door),
		grpc.MaxRecvMsgSize(s.cfg.Limits.MaxMessageBytes),
		grpc.MaxSendMsgSize(math.MaxInt32),
		grpc.MaxConcurrentStreams(uint32(s.cfg.Limits.MaxStreams + s.cfg.Limits.MaxCalls)),
		grpc.MaxHeaderListSize(16 << 10),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingAfter, Timeout: pingTimeout, MaxConnectionIdle: idleMost}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingsMost, PermitWithoutStream: true}),
	}
	if secure != nil {
		opts = append(opts, grpc.Creds(credentials.NewTLS(secure)))
	}
	rpc := grpc.NewServer(opts...)
	ingestpb.RegisterIngestServer(rpc, &ingest{server: s})
	healthy := health.NewServer()
	healthy.SetServingStatus(ingestpb.Ingest_ServiceDesc.ServiceName, healthpb.HealthCheckResponse_SERVING)
	for _, v := range []string{"v2", "v2beta1"} {
		healthy.SetServingStatus("google.cloud.dialogflow."+v+".Participants", healthpb.HealthCheckResponse_SERVING)
	}
	healthpb.RegisterHealthServer(rpc, healthy)
	if s.cfg.Reflection {
		reflection.Register(rpc)
	}
	return rpc, healthy
}

type principalKey struct{}

// door lets in who proves who they are. Health and reflection are for everybody: they
// tell nothing of anybody's calls.
func (s *server) door(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if strings.HasPrefix(info.FullMethod, "/grpc.health.") || strings.HasPrefix(info.FullMethod, "/grpc.reflection.") {
		return next(srv, ss)
	}
	p, err := s.identify(ss.Context())
	if err != nil {
		s.report.Warn(countAccess, "a call is refused", "method", method(info.FullMethod), "err", err)
		return err
	}
	return next(srv, &guest{ss, context.WithValue(ss.Context(), principalKey{}, p)})
}

// guest is a stream of somebody who is known.
type guest struct {
	grpc.ServerStream
	ctx context.Context
}

// Context implements grpc.ServerStream.
func (g *guest) Context() context.Context { return g.ctx }

func principalOf(ctx context.Context) adapter.Principal {
	p, _ := ctx.Value(principalKey{}).(adapter.Principal)
	return p
}

// method is the last part of a full method, shortened: for logs.
func method(full string) string {
	m := full[strings.LastIndexByte(full, '.')+1:]
	return m[:min(len(m), 80)]
}

// google serves the services that this package does not register: those of Agent Assist.
func (s *server) google(_ any, ss grpc.ServerStream) error {
	full, _ := grpc.MethodFromServerStream(ss)
	m, ok := methods[full]
	switch {
	case !ok:
		s.report.Warn(countMethod, "a method is not served", "method", method(full))
		return status.Errorf(codes.Unimplemented, "patchbay does not serve %s", full)
	case m.stream != nil:
		return s.serve(ss, m.stream(full))
	}
	return s.relay(ss, full)
}

// relay passes a unary call on.
func (s *server) relay(ss grpc.ServerStream, full string) error {
	if !s.enter(&s.calls, s.cfg.Limits.MaxCalls) {
		s.report.Warn(countFull, "a call is refused: limits.max_calls is reached")
		return status.Error(codes.ResourceExhausted, "patchbay: too many calls at once")
	}
	defer s.leave(&s.calls)
	ctx, cancel := context.WithCancel(ss.Context())
	defer cancel()
	stop := context.AfterFunc(s.work, cancel)
	defer stop()
	var m frame
	if err := ss.RecvMsg(&m); err != nil {
		return s.unreadable(err)
	}
	relayer, ok := s.sink.(adapter.Relayer)
	if !ok {
		return status.Error(codes.Unimplemented, "patchbay: this host relays no calls")
	}
	s.report.Count(countRelayed)
	answer, err := relayer.Relay(ctx, adapter.RelayRequest{Principal: principalOf(ctx), Method: full, Message: m.b})
	if err != nil {
		s.report.Count(countRelayFail)
		s.log.Debug("a relayed call ended with an error", "method", method(full), "err", err)
		if s.work.Err() != nil && ss.Context().Err() == nil {
			return errLeaving
		}
		return statusOf(err)
	}
	return ss.SendMsg(&frame{answer})
}

var errLeaving = status.Error(codes.Unavailable, "patchbay is shutting down; try again")

// unreadable is what a message that cannot be received ends an RPC with.
func (s *server) unreadable(err error) error {
	switch status.Code(err) {
	case codes.ResourceExhausted:
		s.report.Warn(countOversize, "a message is longer than limits.max_message_bytes")
	case codes.Canceled, codes.DeadlineExceeded:
	default:
		s.report.Warn(countMessage, "a message cannot be read", "err", err)
	}
	return err
}

// statusOf is what a client is told of an error of the host.
func statusOf(err error) error {
	e, ok := errors.AsType[*adapter.StatusError](err)
	if !ok {
		if s := status.FromContextError(err); s.Code() != codes.Unknown {
			return s.Err()
		}
		return status.Error(codes.Internal, "patchbay: the call could not be relayed")
	}
	return statusFrom(e)
}

// frame is a message that is not decoded. Its memory is used again by the next RecvMsg.
type frame struct{ b []byte }

// codec is gRPC's codec for protobuf that leaves frames as they are.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2("proto")} }

// Marshal implements encoding.CodecV2.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if f, ok := v.(*frame); ok {
		return mem.BufferSlice{mem.SliceBuffer(f.b)}, nil
	}
	return c.CodecV2.Marshal(v)
}

// Unmarshal implements encoding.CodecV2.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(*frame)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	if n := data.Len(); n <= cap(f.b) {
		f.b = f.b[:n]
	} else {
		f.b = make([]byte, n)
	}
	data.CopyTo(f.b)
	return nil
}
