package adapter

import (
	"errors"
	"fmt"
	"strings"
)

// Kind sorts errors by what the caller can do about them.
type Kind uint8

// The kinds of errors.
const (
	KindInternal    Kind = iota // our bug
	KindVendor                  // the peer broke its protocol: end this leg, keep serving
	KindConfig                  // an operator must act: no retry
	KindUnavailable             // retry with growing, jittered pauses
)

var kindNames = [...]string{"internal", "vendor", "config", "unavailable"}

func (k Kind) String() string { return kindNames[min(int(k), len(kindNames)-1)] }

// Error is an error with its kind and the operation that failed.
type Error struct {
	Op   string // "twilio.Run"
	Call string // the call's key, if any
	Kind Kind
	Err  error
}

func (e *Error) Error() string {
	if e.Call != "" {
		return fmt.Sprintf("%s: call %s: %v", e.Op, e.Call, e.Err)
	}
	return fmt.Sprintf("%s: %v", e.Op, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of the first *Error in err's chain, else KindInternal.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return KindInternal
}

// ErrRefused is matched by every refusal of Sink.Open.
var ErrRefused = errors.New("refused")

// ErrClosed is returned by a Leg's methods after Close or after the host ended the leg.
var ErrClosed = errors.New("adapter: leg is closed")

// ErrNoListener is matched by the errors of Env.Listen and Env.ListenPacket when the
// configuration gives the listener no address.
var ErrNoListener = errors.New("no address in the configuration")

// Refusal is why Sink.Open refused a leg. It matches ErrRefused.
type Refusal struct {
	Reason RefusalReason
	Text   string // one line for people
}

func (r *Refusal) Error() string { return fmt.Sprintf("refused (%s): %s", r.Reason, r.Text) }

// Is reports that a refusal is ErrRefused.
func (r *Refusal) Is(target error) bool { return target == ErrRefused }

// RefusalReason is a few constant words for metrics and for the vendor's own codes.
type RefusalReason string

// The reasons for a refusal.
const (
	RefusedFull     RefusalReason = "full"
	RefusedDraining RefusalReason = "draining"
	RefusedNoRoute  RefusalReason = "no_route"
	RefusedInvalid  RefusalReason = "invalid"   // LegInfo lacks something or contradicts itself
	RefusedGone     RefusalReason = "gone"      // the host went away
	RefusedNotYours RefusalReason = "not_yours" // the principal may not have this call
)

// Problem is one mistake in a configuration, on one line: which key, which value,
// why it cannot be, what to do.
type Problem struct {
	Key   string // path from the configuration it was found in: "accounts[0].sid"
	Value string // as written; empty for secrets and missing keys
	Why   string
	Do    string
}

func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.Key)
	if p.Value != "" {
		fmt.Fprintf(&b, " = %q", p.Value)
	}
	fmt.Fprintf(&b, ": %s", p.Why)
	if p.Do != "" {
		fmt.Fprintf(&b, "; %s", p.Do)
	}
	return b.String()
}

// Problems are all the mistakes of a configuration. Validate methods collect them
// and return Err.
type Problems []Problem

// Add appends a problem.
func (ps *Problems) Add(key, value, why, do string) {
	*ps = append(*ps, Problem{Key: key, Value: value, Why: why, Do: do})
}

// Under returns the problems with prefix in front of every key.
func (ps Problems) Under(prefix string) Problems {
	out := make(Problems, len(ps))
	for i, p := range ps {
		p.Key = prefix + "." + p.Key
		out[i] = p
	}
	return out
}

// Err returns nil when there are no problems.
func (ps Problems) Err() error {
	if len(ps) == 0 {
		return nil
	}
	return ps
}

func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}
