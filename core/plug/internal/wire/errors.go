package wire

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/patchbay/patchbay/core/adapter"
	plugv1 "github.com/patchbay/patchbay/core/plug/proto/patchbay/plug/v1"
)

// kindCodes is the one table between kinds of errors and gRPC codes.
var kindCodes = map[adapter.Kind]codes.Code{
	adapter.KindVendor:      codes.InvalidArgument,
	adapter.KindConfig:      codes.FailedPrecondition,
	adapter.KindUnavailable: codes.Unavailable,
	adapter.KindInternal:    codes.Internal,
}

var codeKinds = func() map[codes.Code]adapter.Kind {
	m := map[codes.Code]adapter.Kind{codes.DeadlineExceeded: adapter.KindUnavailable}
	for k, c := range kindCodes {
		m[c] = k
	}
	return m
}()

// sentinels are the errors that keep their identity across the seam.
var sentinels = map[codes.Code]error{
	codes.Canceled:         adapter.ErrClosed,
	codes.DeadlineExceeded: context.DeadlineExceeded,
}

// FromError returns the message for an error, nil for nil.
func FromError(err error) *plugv1.Error {
	if err == nil {
		return nil
	}
	for code, sentinel := range sentinels {
		if errors.Is(err, sentinel) {
			return &plugv1.Error{Code: int32(code), Text: err.Error()}
		}
	}
	m := &plugv1.Error{Code: int32(kindCodes[adapter.KindOf(err)]), Text: err.Error()}
	if e, ok := err.(*adapter.Error); ok { //nolint:errorlint // a wrapped one keeps the wrapper's words instead
		m.Op, m.Call, m.Text = e.Op, e.Call, e.Err.Error()
	}
	return m
}

// ToError is the inverse of FromError: an *adapter.Error, or an error that
// matches the sentinel. op stands in where the message names no operation.
func ToError(op string, m *plugv1.Error) error {
	if m == nil {
		return nil
	}
	if m.GetCode() == int32(codes.Canceled) {
		return adapter.ErrClosed
	}
	e := &adapter.Error{Op: m.GetOp(), Call: m.GetCall(), Kind: codeKinds[codes.Code(m.GetCode())], Err: errors.New(m.GetText())}
	if e.Op == "" {
		e.Op = op
	}
	if sentinel, ok := sentinels[codes.Code(m.GetCode())]; ok {
		e.Err = sentinel
	}
	return e
}

// ToStatus returns err as the status that a call of the protocol ends with.
func ToStatus(err error) error {
	if err == nil {
		return nil
	}
	m := FromError(err)
	st := status.New(codes.Code(m.GetCode()), err.Error())
	if detailed, derr := st.WithDetails(m); derr == nil {
		st = detailed
	}
	return st.Err()
}

// FromStatus is the inverse of ToStatus. A status without our detail, from a
// plugin in another language or from gRPC itself, is sorted by its code.
func FromStatus(op string, err error) error {
	if err == nil {
		return nil
	}
	st, ok := status.FromError(err)
	if !ok {
		return &adapter.Error{Op: op, Kind: adapter.KindInternal, Err: err}
	}
	for _, d := range st.Details() {
		if m, ok := d.(*plugv1.Error); ok {
			return ToError(op, m)
		}
	}
	return ToError(op, &plugv1.Error{Code: int32(st.Code()), Text: st.Message()})
}

// FromRefusal returns the message that refuses a leg. An error that is no
// refusal crosses as what it is.
func FromRefusal(leg uint64, err error) *plugv1.Refused {
	if r, ok := errors.AsType[*adapter.Refusal](err); ok {
		return &plugv1.Refused{Leg: leg, Reason: string(r.Reason), Text: r.Text}
	}
	return &plugv1.Refused{Leg: leg, Error: FromError(err)}
}

// ToRefusal is the inverse of FromRefusal.
func ToRefusal(m *plugv1.Refused) error {
	if m.GetReason() == "" && m.GetError() != nil {
		return ToError("host.Open", m.GetError())
	}
	return &adapter.Refusal{Reason: adapter.RefusalReason(m.GetReason()), Text: m.GetText()}
}

// FromProblems returns the messages for a configuration error: its problems, or
// the error itself as one.
func FromProblems(err error) []*plugv1.Problem {
	if err == nil {
		return nil
	}
	ps, ok := errors.AsType[adapter.Problems](err)
	if !ok {
		p, isOne := errors.AsType[adapter.Problem](err)
		if !isOne {
			p = adapter.Problem{Why: err.Error()}
		}
		ps = adapter.Problems{p}
	}
	var out []*plugv1.Problem
	for _, p := range ps {
		out = append(out, &plugv1.Problem{Key: p.Key, Value: p.Value, Why: p.Why, Do: p.Do})
	}
	return out
}

// ToProblems is the inverse of FromProblems.
func ToProblems(ms []*plugv1.Problem) adapter.Problems {
	var ps adapter.Problems
	for _, m := range ms {
		ps.Add(m.GetKey(), m.GetValue(), m.GetWhy(), m.GetDo())
	}
	return ps
}
