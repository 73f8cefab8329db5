package wire

import (
	"time"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
)

// ProtocolVersion is the version of the protocol in plug.proto. It rises with
// every change that an older end could not live with.
const ProtocolVersion = 1

// PluginKind is the name under which go-plugin knows our one kind of plugin.
const PluginKind = "adapter"

// The cookie tells a plugin that a host started it. It is no secret.
const (
	CookieKey   = "PATCHBAY_PLUGIN"
	CookieValue = "3f1b0c5e"
)

// Handshake is what host and plugin must agree on before they speak.
var Handshake = plugin.HandshakeConfig{
	ProtocolVersion:  ProtocolVersion,
	MagicCookieKey:   CookieKey,
	MagicCookieValue: CookieValue,
}

// Abilities beyond the contract, as DescribeResponse lists them.
const (
	AbilityAttach   = "attach"
	AbilityDetach   = "detach"
	AbilityRelay    = "relay"
	AbilitySimulate = "simulate"
)

// Linger is how long a sender gathers frames before it sends what it has. Wake-ups
// and system calls decide the cost of a frame, not bytes. In a trial with 150 calls,
// 5 ms cost about an eighth less CPU than 2 ms; beside the 100 ms in which audio is
// sent on, the delay is little.
const Linger = 5 * time.Millisecond

// A frame as long as GatheredFrame was gathered by its adapter, and so were those that
// come with it: a sender waits for them no longer than GatheredLinger.
const (
	GatheredFrame  = 50 * time.Millisecond
	GatheredLinger = time.Millisecond
)

// Limits of the session's stream.
const (
	MaxBatchFrames  = 512     // frames of one message
	MaxBatchBytes   = 1 << 20 // payload and events of one message, roughly
	MaxMessageBytes = 4 << 20 // a message that is larger is an error
	MaxItemBytes    = 1 << 20 // an event that is larger is an error
)

const (
	ioBuffer         = 256 << 10
	streamWindow     = 1 << 20
	connectionWindow = 16 << 20
)

// ServerOptions are the plugin's transport settings. (That connections share write
// buffers is gRPC's default.)
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ReadBufferSize(ioBuffer), grpc.WriteBufferSize(ioBuffer),
		grpc.InitialWindowSize(streamWindow), grpc.InitialConnWindowSize(connectionWindow),
		grpc.MaxRecvMsgSize(MaxMessageBytes), grpc.MaxSendMsgSize(MaxMessageBytes),
		grpc.ForceServerCodecV2(NewCodec()),
	}
}

// DialOptions are the host's transport settings.
func DialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithReadBufferSize(ioBuffer), grpc.WithWriteBufferSize(ioBuffer),
		grpc.WithInitialWindowSize(streamWindow), grpc.WithInitialConnWindowSize(connectionWindow),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxMessageBytes), grpc.MaxCallSendMsgSize(MaxMessageBytes),
			grpc.ForceCodecV2(NewCodec())),
	}
}
