package five9

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	voicepb "github.com/patchbay/patchbay/adapters/five9/proto/five9/voicestream"
	"github.com/patchbay/patchbay/core/adapter"
)

// Keepalive. A dead connection is noticed within two minutes; a client may ping as
// often as gRPC allows clients to. gRPC's own limit is 5 minutes, and would answer a
// client that pings every 2 with GOAWAY "too_many_pings".
const (
	pingAfter   = time.Minute
	pingTimeout = 20 * time.Second
	pingsMost   = 5 * time.Second // apart; twice as often as the most eager client
)

// partTimeout is how long Five9's audio is still taken after it was asked to come again:
// what was under way would be lost otherwise.
const partTimeout = time.Second / 2

const maxSideRPCs = 64 // health and reflection at once

func (s *server) newRPC() (*grpc.Server, *health.Server) {
	side := make(chan struct{}, maxSideRPCs)
	rpc := grpc.NewServer(
		grpc.Creds(behindDoor{}),
		grpc.MaxRecvMsgSize(s.cfg.Limits.MaxMessageBytes),
		grpc.MaxConcurrentStreams(uint32(s.cfg.Limits.MaxStreams+maxSideRPCs)),
		grpc.MaxHeaderListSize(16<<10),
		grpc.ConnectionTimeout(time.Duration(s.cfg.Limits.HandshakeTimeout)),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingAfter, Timeout: pingTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingsMost, PermitWithoutStream: true}),
		grpc.StreamInterceptor(func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			if info.FullMethod == voicepb.Voice_StreamingVoice_FullMethodName {
				return next(srv, ss)
			}
			select {
			case side <- struct{}{}:
				defer func() { <-side }()
				return next(srv, ss)
			default:
				return status.Error(codes.ResourceExhausted, "too many at once")
			}
		}),
	)
	voicepb.RegisterVoiceServer(rpc, &voice{server: s})
	healthy := health.NewServer()
	healthy.SetServingStatus(voicepb.Voice_ServiceDesc.ServiceName, healthpb.HealthCheckResponse_SERVING)
	healthpb.RegisterHealthServer(rpc, healthy)
	if s.cfg.Reflection {
		reflection.Register(rpc)
	}
	return rpc, healthy
}

// behindDoor are the credentials of a server whose door has ended TLS.
type behindDoor struct{}

// ServerHandshake implements credentials.TransportCredentials.
func (behindDoor) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	info := tlsInfo{level: credentials.CommonAuthInfo{SecurityLevel: credentials.NoSecurity}}
	if g, ok := conn.(*greeted); ok && g.tls != nil {
		info = tlsInfo{state: g.tls, level: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}}
	}
	return conn, info, nil
}

// ClientHandshake implements credentials.TransportCredentials.
func (behindDoor) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("five9: these credentials are a server's")
}

// Info implements credentials.TransportCredentials.
func (behindDoor) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}

// Clone implements credentials.TransportCredentials.
func (b behindDoor) Clone() credentials.TransportCredentials { return b }

// OverrideServerName implements credentials.TransportCredentials.
func (behindDoor) OverrideServerName(string) error { return nil }

// tlsInfo is what the door saw of a connection's TLS.
type tlsInfo struct {
	state *tls.ConnectionState // nil: without
	level credentials.CommonAuthInfo
}

// AuthType implements credentials.AuthInfo.
func (tlsInfo) AuthType() string { return "tls" }

// GetCommonAuthInfo tells gRPC the level of security.
func (i tlsInfo) GetCommonAuthInfo() credentials.CommonAuthInfo { return i.level }

// verified reports whether the client showed a certificate of client_ca.
func (i tlsInfo) verified() bool { return i.state != nil && len(i.state.VerifiedChains) > 0 }

// voice serves the streams.
type voice struct {
	voicepb.UnimplementedVoiceServer
	*server
}

// StreamingVoice serves one leg. This goroutine writes all that Five9 is told; another
// reads, until the RPC ends.
func (v *voice) StreamingVoice(rpc voicepb.Voice_StreamingVoiceServer) error {
	c, bye := v.identify(rpc.Context())
	if bye != nil {
		return v.dismiss(rpc, nil, bye)
	}
	if !v.admit() {
		if v.isClosed() {
			return v.dismiss(rpc, nil, leaving())
		}
		return v.dismiss(rpc, nil, &goodbye{count: countFull, say: noResource, code: codes.ResourceExhausted, text: "no room for another stream",
			detail: "limits.max_streams is reached, or too many streams have shown no trust token yet"})
	}
	k := &talk{stream: newStream(v.Adapter, v.env, c), server: v.server, rpc: rpc,
		opened: make(chan adapter.Leg, 1), ended: make(chan *goodbye, 1)}
	k.heardAt.Store(time.Now().UnixNano())
	go k.read() // admit and leave make Run wait for it
	return v.dismiss(rpc, k, k.listen(v.work))
}

// identify finds out who calls, and whether the address and the certificate will do.
func (v *voice) identify(ctx context.Context) (caller, *goodbye) {
	var c caller
	var info tlsInfo
	if p, ok := peer.FromContext(ctx); ok {
		c.address = addrOf(p.Addr.String())
		info, _ = p.AuthInfo.(tlsInfo)
	}
	if md, ok := metadata.FromIncomingContext(ctx); ok {
		c.tokens = md.Get(tokenHeader)
	}
	switch {
	case len(v.nets) > 0 && !within(v.nets, c.address):
		return c, &goodbye{count: countAddress, code: codes.PermissionDenied, text: "refused", detail: "it comes from outside of addresses"}
	case v.cas != nil && !info.verified():
		return c, &goodbye{count: countCertificate, code: codes.Unauthenticated, text: "refused", detail: "it shows no certificate of client_ca"}
	}
	return c, nil
}

// dismiss says goodbye in Five9's way and then in gRPC's. The result ends the RPC.
func (v *voice) dismiss(rpc voicepb.Voice_StreamingVoiceServer, k *talk, bye *goodbye) error {
	call := ""
	if k != nil {
		k.finish(bye.reason)
		call = k.call()
	}
	if bye.count != "" {
		detail := bye.detail
		if detail == "" {
			detail = bye.text
		}
		remote := ""
		if p, ok := peer.FromContext(rpc.Context()); ok {
			remote = p.Addr.String()
		}
		v.env.report.Warn(bye.count, "a stream is turned away: "+detail, "call", call, "remote", remote)
	}
	if bye.say != success {
		if err := rpc.Send(response(bye.say, clip(bye.text, 200))); err != nil {
			v.env.log.Debug("the last status was not taken", "err", err)
		}
	}
	if bye.code == codes.OK {
		return nil
	}
	return status.Error(bye.code, bye.text)
}

// talk is a stream with its RPC.
type talk struct {
	*stream
	server  *server
	rpc     voicepb.Voice_StreamingVoiceServer
	opened  chan adapter.Leg // once
	ended   chan *goodbye    // once, when nothing more is read
	heardAt atomic.Int64     // Unix time in nanoseconds
}

// read feeds the stream until it ends or the RPC does.
func (k *talk) read() {
	defer k.server.leave()
	defer k.over()
	proved := false
	prove := func() {
		if !proved {
			proved = true
			k.server.settle()
		}
	}
	defer prove()
	var m voicepb.StreamingVoiceRequest
	for {
		if err := k.rpc.RecvMsg(&m); err != nil {
			k.ended <- k.gone(err)
			return
		}
		at := time.Now()
		k.heardAt.Store(at.UnixNano())
		if bye := k.take(k.server.work, &m, at); bye != nil {
			k.ended <- bye
			return
		}
		if !proved {
			prove()
			k.opened <- k.leg
		}
	}
}

// listen waits for the end of the stream, whoever wants it, and tells Five9 meanwhile
// what the host wants.
func (k *talk) listen(ctx context.Context) *goodbye {
	limits := k.server.cfg.Limits
	silence := time.NewTimer(time.Duration(limits.ConfigTimeout))
	defer silence.Stop()
	var leg adapter.Leg
	var control <-chan adapter.Control
	for {
		select {
		case bye := <-k.ended:
			select {
			case leg = <-k.opened: // both at once
				control = leg.Control()
				k.say(start, "")
			default:
			}
			return k.lastWord(bye, control)
		case <-ctx.Done():
			return k.part(leaving(), leg)
		case leg = <-k.opened:
			control = leg.Control()
			k.say(start, "")
			silence.Reset(time.Duration(limits.IdleTimeout))
		case c, ok := <-control:
			switch {
			case !ok:
				return closedByHost()
			case c.Kind == adapter.ControlEnd:
				return k.part(ordered(c), leg)
			case c.Kind == adapter.ControlPause:
				k.say(pause, c.Reason)
			case c.Kind == adapter.ControlResume:
				k.say(start, c.Reason)
			}
		case now := <-silence.C:
			if leg == nil {
				return late(countNoConfig, "no streaming_config came in time", adapter.EndProtocol)
			}
			left := time.Duration(limits.IdleTimeout) - now.Sub(time.Unix(0, k.heardAt.Load()))
			if left <= 0 {
				return late(countIdle, "nothing came for too long", adapter.EndLost)
			}
			silence.Reset(left)
		}
	}
}

// part asks Five9 to come again, if that is how a leg ends, and hears what it had sent
// before it knew: all of it, when it closes its side.
func (k *talk) part(bye *goodbye, leg adapter.Leg) *goodbye {
	if bye.say != comeAgain || leg == nil {
		return bye
	}
	k.say(bye.say, bye.text)
	bye.say = success // it is said
	timer := time.NewTimer(partTimeout)
	defer timer.Stop()
	select {
	case last := <-k.ended:
		if last.say == hangUpPlease && !last.byHost { // the call ended at the same moment
			return last
		}
	case <-timer.C:
	}
	return bye
}

// lastWord returns what ends the stream: an order of the host, when the reader has
// learnt of the leg's end before it.
func (k *talk) lastWord(bye *goodbye, control <-chan adapter.Control) *goodbye {
	if !bye.byHost {
		return bye
	}
	for {
		select {
		case c, ok := <-control:
			if !ok {
				return bye
			}
			if c.Kind == adapter.ControlEnd {
				return ordered(c)
			}
		default:
			return bye
		}
	}
}

// say tells Five9 something. A connection that cannot take it ends by itself.
func (k *talk) say(code voicepb.StreamingStatus_StatusCode, text string) {
	if err := k.rpc.Send(response(code, clip(text, 200))); err != nil {
		k.env.log.Debug("a status was not taken", "code", code, "err", err)
	}
}

// gone says what the end of the client's messages means for the leg.
func (k *talk) gone(err error) *goodbye {
	switch code := status.Code(err); {
	case errors.Is(err, io.EOF):
		return &goodbye{reason: adapter.EndReason{Kind: adapter.EndHangup, Text: "Five9 ended the stream without a word"}}
	case code == codes.ResourceExhausted:
		return unread(countOversize, code, "a message is longer than limits.max_message_bytes")
	case code == codes.Internal, code == codes.InvalidArgument:
		return unread(countMessage, code, "a message is not of this protocol")
	}
	return &goodbye{code: codes.Canceled, text: "canceled", reason: adapter.EndReason{Kind: adapter.EndLost, Text: "the connection went without goodbye"}}
}

// unread is a message that gRPC itself turned down: it has told the client already.
func unread(count string, code codes.Code, text string) *goodbye {
	return &goodbye{count: count, code: code, text: text, reason: adapter.EndReason{Kind: adapter.EndProtocol, Text: text}}
}
