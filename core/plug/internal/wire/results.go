package wire

import (
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
	plugv1 "github.com/patchbay/patchbay/core/plug/proto/patchbay/plug/v1"
)

func fromClient(c adapter.Client) *plugv1.Client {
	if c == (adapter.Client{}) {
		return nil
	}
	return &plugv1.Client{Method: c.Method, Conversation: c.Conversation}
}

func fromResult(r *adapter.Result) *plugv1.Result {
	if r == nil {
		return nil
	}
	return &plugv1.Result{
		Kind: string(r.Kind), LegKey: r.Leg, TrackId: string(r.Track), Raw: r.Raw,
		Speaker:   &plugv1.Speaker{Id: r.Speaker.ID, Role: string(r.Speaker.Role), Evidence: r.Speaker.Evidence, Assumed: r.Speaker.Assumed, Mixed: r.Speaker.Mixed},
		Utterance: r.Utterance, Text: r.Text, Start: Nanos(r.Start), End: Nanos(r.End), Offset: int64(r.Offset),
		Language: r.Language, Confidence: r.Confidence, Name: r.Name,
		Id: r.ID, Feature: r.Feature, Title: r.Title, Uri: r.URI, Metadata: r.Metadata,
	}
}

func toResult(m *plugv1.Result) *adapter.Result {
	if m == nil {
		return nil
	}
	s := m.GetSpeaker()
	return &adapter.Result{
		Kind: adapter.ResultKind(m.GetKind()), Leg: m.GetLegKey(), Track: media.TrackID(m.GetTrackId()), Raw: m.GetRaw(),
		Speaker:   adapter.Speaker{ID: s.GetId(), Role: adapter.Role(s.GetRole()), Evidence: s.GetEvidence(), Assumed: s.GetAssumed(), Mixed: s.GetMixed()},
		Utterance: m.GetUtterance(), Text: m.GetText(), Start: Time(m.GetStart()), End: Time(m.GetEnd()), Offset: time.Duration(m.GetOffset()),
		Language: m.GetLanguage(), Confidence: m.GetConfidence(), Name: m.GetName(),
		ID: m.GetId(), Feature: m.GetFeature(), Title: m.GetTitle(), URI: m.GetUri(), Metadata: m.GetMetadata(),
	}
}

// FromStatusError returns the message for the error of a client's call, nil for nil.
func FromStatusError(e *adapter.StatusError) *plugv1.StatusError {
	if e == nil {
		return nil
	}
	return &plugv1.StatusError{Code: int32(e.Code), Text: e.Text, Status: e.Status}
}

// ToStatusError is the inverse of FromStatusError.
func ToStatusError(m *plugv1.StatusError) *adapter.StatusError {
	if m == nil {
		return nil
	}
	return &adapter.StatusError{Code: int(m.GetCode()), Text: m.GetText(), Status: m.GetStatus()}
}

// RelayError returns the message for what a relayed call failed with. Errors of the host
// itself are told as what a client would have got: of contexts, or INTERNAL.
func RelayError(err error) *plugv1.StatusError {
	if e, ok := errors.AsType[*adapter.StatusError](err); ok {
		return FromStatusError(e)
	}
	code := status.FromContextError(err).Code()
	if code == codes.Unknown {
		code = codes.Internal
	}
	return &plugv1.StatusError{Code: int32(code), Text: err.Error()}
}

// FromRelay returns the message that asks for a call. No timeout is 0.
func FromRelay(id uint64, r adapter.RelayRequest, timeout time.Duration) *plugv1.RelayCall {
	return &plugv1.RelayCall{
		Id: id, Principal: &plugv1.Principal{Account: r.Principal.Account, Method: string(r.Principal.Method)},
		Method: r.Method, Message: r.Message, Timeout: int64(timeout),
	}
}

// ToRelay is the inverse of FromRelay.
func ToRelay(m *plugv1.RelayCall) adapter.RelayRequest {
	return adapter.RelayRequest{
		Principal: adapter.Principal{Account: m.GetPrincipal().GetAccount(), Method: adapter.Method(m.GetPrincipal().GetMethod())},
		Method:    m.GetMethod(), Message: m.GetMessage(),
	}
}
