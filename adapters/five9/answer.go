package five9

import (
	"errors"

	"google.golang.org/grpc/codes"

	voicepb "github.com/patchbay/patchbay/adapters/five9/proto/five9/voicestream"
	"github.com/patchbay/patchbay/core/adapter"
)

// Five9's words for its status codes, the client's first.
const (
	callEnded  = voicepb.StreamingStatus_CLT_CALL_ENDED
	callHold   = voicepb.StreamingStatus_CLT_CALL_HOLD
	callResume = voicepb.StreamingStatus_CLT_CALL_RESUME
	disconnect = voicepb.StreamingStatus_CLT_DISCONNECT
	// disconnect2001 is in no published protocol, but Google's server takes it for a
	// disconnect.
	disconnect2001 voicepb.StreamingStatus_StatusCode = 2001
	clientErrors                                      = voicepb.StreamingStatus_CLT_ERROR_NO_RESOURCE // and above, below the server's
	success                                           = voicepb.StreamingStatus_SUCCESS

	start        = voicepb.StreamingStatus_SRV_REQ_START_STREAMING
	pause        = voicepb.StreamingStatus_SRV_REQ_PAUSE_STREAMING
	hangUpPlease = voicepb.StreamingStatus_SRV_REQ_DISCONNECT
	comeAgain    = voicepb.StreamingStatus_SRV_REQ_RECONNECT
	noResource   = voicepb.StreamingStatus_SRV_ERROR_NO_RESOURCE
	tooLate      = voicepb.StreamingStatus_SRV_ERROR_TIMEOUT
	serverError  = voicepb.StreamingStatus_SRV_ERROR_GENERIC
)

// goodbye is how a stream ends from our side: what Five9 is told, in its own way and in
// gRPC's, since nobody outside knows which of the two its clients go by; and what
// becomes of the leg.
type goodbye struct {
	count  string                             // for Env.Count and the log; empty when it is no trouble
	say    voicepb.StreamingStatus_StatusCode // the last message; success says nothing
	text   string                             // for the people who read Five9's logs
	code   codes.Code                         // of the RPC
	detail string                             // the log line's; text if empty
	reason adapter.EndReason                  // of the leg, if there is one
	// byHost means that the leg took nothing more; an order of the host says more.
	byHost bool
}

// refuse turns a stream away before it is a leg. The reason stays in our log, since
// strangers may be reading.
func refuse(count, detail string) *goodbye {
	return &goodbye{count: count, code: codes.Unauthenticated, text: "refused", detail: detail}
}

// broken ends a stream that breaks the protocol.
func broken(count, text string) *goodbye {
	return &goodbye{count: count, say: serverError, code: codes.InvalidArgument, text: text,
		reason: adapter.EndReason{Kind: adapter.EndProtocol, Text: text}}
}

// late ends a stream whose message did not come.
func late(count, text string, kind adapter.EndKind) *goodbye {
	return &goodbye{count: count, say: tooLate, code: codes.DeadlineExceeded, text: text, reason: adapter.EndReason{Kind: kind, Text: text}}
}

// declined is what Five9 is told when the host does not take a leg.
func declined(err error) *goodbye {
	g := &goodbye{count: countHost, say: noResource, code: codes.ResourceExhausted, text: "no room for another stream", detail: err.Error()}
	r, ok := errors.AsType[*adapter.Refusal](err)
	if !ok {
		return g
	}
	switch r.Reason {
	case adapter.RefusedFull:
	case adapter.RefusedDraining, adapter.RefusedGone: // another instance may take it
		g.say, g.code, g.text = comeAgain, codes.Unavailable, "this instance is leaving"
	default:
		g.say, g.code, g.text = serverError, codes.FailedPrecondition, "this call is not wanted here"
	}
	return g
}

// ordered is the end that the host wants.
func ordered(c adapter.Control) *goodbye {
	g := &goodbye{say: hangUpPlease, text: c.Reason, reason: adapter.EndReason{Kind: adapter.EndOrdered, Text: c.Reason}}
	if c.Reconnect {
		g.say = comeAgain
	}
	return g
}

// closedByHost is the end of a leg that the host closed.
func closedByHost() *goodbye {
	g := ordered(adapter.Control{Reason: "the host closed the leg"})
	g.byHost = true
	return g
}

// leaving is the end of streams when the adapter stops.
func leaving() *goodbye {
	return &goodbye{say: comeAgain, text: "this instance is leaving", reason: adapter.EndReason{Kind: adapter.EndShutdown, Text: "the adapter stops"}}
}

// response is a message of ours.
func response(code voicepb.StreamingStatus_StatusCode, text string) *voicepb.StreamingVoiceResponse {
	return &voicepb.StreamingVoiceResponse{Status: &voicepb.StreamingStatus{Code: code, Message: text}}
}
