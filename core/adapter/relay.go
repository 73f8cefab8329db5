package adapter

import (
	"context"
	"fmt"
)

// Client says that a leg is a stream which an Agent Assist client of the vendor's own
// makes, through us. Its conversation and participants are the client's: the host
// neither creates nor completes them. The route must allow the method, and own the
// project.
type Client struct {
	Method       string // full method, "/google.cloud.dialogflow.v2.Participants/StreamingAnalyzeContent"
	Conversation string // full resource name
}

// Relayer is the optional ability of a Sink to pass a client's own unary call on to
// Agent Assist. An adapter asks for it with a type assertion; a plugin whose adapter
// does states it with plug.WithRelay.
type Relayer interface {
	// Relay makes the call with the host's credentials if a route of the principal's
	// allows it, and returns the answer as it came. ctx bounds it. An error that Agent
	// Assist, or the host in its place, answers with is a *StatusError.
	Relay(ctx context.Context, r RelayRequest) ([]byte, error)
}

// RelayRequest is a unary call.
type RelayRequest struct {
	Principal Principal
	Method    string // full method, as in Client
	Message   []byte // the encoded request
}

// MaxRelayBytes is the longest message that is relayed, in either direction.
const MaxRelayBytes = 4<<20 - 64<<10

// StatusError is the error that a call of a client ends with.
type StatusError struct {
	Code int // a gRPC status code
	Text string
	// Status is the whole status as Agent Assist sent it (google.rpc.Status, encoded), with
	// its details; empty where the host answers in its place.
	Status []byte
}

func (e *StatusError) Error() string { return fmt.Sprintf("status %d: %s", e.Code, e.Text) }
