package native

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/patchbay/patchbay/core/adapter"
)

// protocol is what a stream's messages mean. message and take are called by the goroutine
// that reads, the others by the one that sends; a nil message sends nothing.
type protocol interface {
	message() any // to receive into, again and again
	take(t *talk, m any, at time.Time) *goodbye
	opened() any
	result(r *adapter.Result) (any, error)
	order(c adapter.Control) any
	closed() any // when every result has been sent
}

// talk is one stream: the RPC and its leg. One goroutine reads and speaks to the leg,
// one sends what the leg wants, and the RPC's own waits for the end, whoever wants it.
type talk struct {
	*server
	ss   grpc.ServerStream
	p    protocol
	who  adapter.Principal
	name string // of the method, for logs

	opened  chan adapter.Leg     // once
	ended   chan *goodbye        // once, when nothing more is read
	orders  chan adapter.Control // what ends the stream
	stuck   chan struct{}        // the client does not read
	over    chan struct{}        // closed when the RPC's goroutine has returned
	heardAt atomic.Int64         // Unix time in nanoseconds

	feed feed // of the goroutine that reads
	mine chan struct{}

	mu     sync.Mutex // guards what follows
	leg    adapter.Leg
	call   string
	reason *adapter.EndReason // the first that was given
	closed bool
}

// goodbye is why a stream ends: what the client is told, and the leg.
type goodbye struct {
	err    error // nil: OK
	reason adapter.EndReason
	count  string // empty: nothing to count
	detail string // for the log, where err's text is not enough

	finish bool // no end yet: the client has half-closed, and waits for its results
	byHost bool // the host has closed the leg; its order says why
}

func broken(count string, code codes.Code, format string, args ...any) *goodbye {
	text := fmt.Sprintf(format, args...)
	return &goodbye{err: status.Error(code, "patchbay: "+text), count: count, reason: adapter.EndReason{Kind: adapter.EndProtocol, Text: text}}
}

// openTimeout bounds Sink.Open, which decides from local knowledge.
const openTimeout = 5 * time.Second

// hostPatience is how long the host's order may come after the leg's end.
const hostPatience = time.Second

func (s *server) serve(ss grpc.ServerStream, p protocol) error {
	if !s.enter(&s.streams, s.cfg.Limits.MaxStreams) {
		if s.work.Err() != nil {
			return errLeaving
		}
		s.report.Warn(countFull, "a stream is refused: limits.max_streams is reached")
		return status.Error(codes.ResourceExhausted, "patchbay: too many streams at once")
	}
	defer s.leave(&s.streams)
	full, _ := grpc.MethodFromServerStream(ss)
	t := &talk{server: s, ss: ss, p: p, who: principalOf(ss.Context()), name: method(full),
		opened: make(chan adapter.Leg, 1), ended: make(chan *goodbye, 1), orders: make(chan adapter.Control),
		stuck: make(chan struct{}, 1), over: make(chan struct{})}
	defer close(t.over)
	t.heardAt.Store(time.Now().UnixNano())
	s.guests.Go(t.read) // it ends with the RPC, just after this function
	bye := t.listen(s.work)
	if bye.count != "" {
		s.report.Warn(bye.count, "a stream ends: "+bye.detail+bye.reason.Text, "method", t.name, "account", t.who.Account, "call", t.callKey())
	}
	t.finish(bye.reason)
	return bye.err
}

// read feeds the protocol until the stream ends or the RPC does.
func (t *talk) read() {
	defer func() {
		if t.mine != nil {
			t.fed(t.feed, t.mine)
		}
	}()
	m := t.p.message()
	for {
		if err := t.ss.RecvMsg(m); err != nil {
			t.ended <- t.gone(err)
			return
		}
		at := time.Now()
		t.heardAt.Store(at.UnixNano())
		if bye := t.p.take(t, m, at); bye != nil {
			t.ended <- bye
			return
		}
	}
}

// gone says what the end of the client's messages means.
func (t *talk) gone(err error) *goodbye {
	if errors.Is(err, io.EOF) {
		return t.half()
	}
	switch code := status.Code(err); code {
	case codes.ResourceExhausted, codes.Internal, codes.InvalidArgument:
		return &goodbye{err: t.unreadable(err), reason: adapter.EndReason{Kind: adapter.EndProtocol, Text: "a message that cannot be read"}}
	default:
		return &goodbye{err: err, reason: adapter.EndReason{Kind: adapter.EndLost, Text: "the client went without a goodbye"}}
	}
}

// half is the client's half-close.
func (t *talk) half() *goodbye {
	if t.leg == nil {
		return broken(countFirst, codes.InvalidArgument, "the stream ended before its first message")
	}
	if bye := t.heard(t.leg.Note(adapter.Note{Kind: adapter.NoteFinish, At: time.Now()})); bye != nil {
		return bye
	}
	return &goodbye{finish: true}
}

// open asks the host for a leg.
func (t *talk) open(info adapter.LegInfo) *goodbye {
	info.Principal = t.who
	t.feed = feed{t.who.Account, info.CallKey, info.LegKey}
	t.mine = t.follow(t.ss.Context(), t.feed)
	ctx, cancel := context.WithTimeout(t.ss.Context(), openTimeout)
	defer cancel()
	leg, err := t.sink.Open(ctx, info)
	if err != nil {
		return declined(err)
	}
	t.mu.Lock()
	t.leg, t.call = leg, info.CallKey
	orphan := t.reason != nil // the RPC ended while the host decided
	t.mu.Unlock()
	if orphan {
		t.finish(adapter.EndReason{})
		return &goodbye{err: errLeaving}
	}
	t.log.Info("stream opened", "method", t.name, "call", info.CallKey, "leg", info.LegKey, "account", t.who.Account, "verified_by", t.who.Method)
	t.opened <- leg
	return nil
}

// declined turns the host's refusal into gRPC's.
func declined(err error) *goodbye {
	code := codes.Internal
	text := "the host could not decide"
	if r, ok := errors.AsType[*adapter.Refusal](err); ok {
		text = r.Text
		switch r.Reason {
		case adapter.RefusedFull:
			code = codes.ResourceExhausted
		case adapter.RefusedDraining, adapter.RefusedGone:
			code = codes.Unavailable
		case adapter.RefusedNoRoute, adapter.RefusedNotYours:
			code = codes.PermissionDenied
		default:
			code = codes.InvalidArgument
		}
	} else if s := status.FromContextError(err); s.Code() != codes.Unknown {
		code = s.Code()
	}
	return &goodbye{err: status.Error(code, "patchbay: "+text), count: countHost, detail: text}
}

// heard judges what the leg answered: a leg that the host closed ends the stream, anything
// else is the host's trouble and no reason to stop listening.
func (t *talk) heard(err error) *goodbye {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, adapter.ErrClosed):
		return &goodbye{byHost: true}
	}
	t.report.Warn(countWrite, "the host did not take audio or a note", "call", t.callKey(), "err", err)
	return nil
}

// listen waits for the end of the stream.
func (t *talk) listen(work context.Context) *goodbye {
	limits := t.cfg.Limits
	silence := time.NewTimer(time.Duration(limits.ConfigTimeout))
	defer silence.Stop()
	var last <-chan time.Time // until the end, once that is near
	var late *goodbye         // what the end is then
	ended, open := t.ended, false
	for {
		select {
		case bye := <-ended:
			ended = nil
			switch {
			case bye.finish:
				last, late = time.After(time.Duration(limits.FinishTimeout)), &goodbye{
					err:   status.Error(codes.Unavailable, "patchbay: Agent Assist has not answered to all of the audio; patchbay keeps it and goes on"),
					count: countLate, reason: adapter.EndReason{Kind: adapter.EndHangup, Text: "the client ended its stream; its last results did not come in time"},
				}
			case bye.byHost:
				last, late = time.After(hostPatience), leaving()
			default:
				return bye
			}
		case leg := <-t.opened:
			open = true
			silence.Reset(time.Duration(limits.IdleTimeout))
			t.guests.Go(func() { t.send(leg) })
		case c := <-t.orders:
			return ordered(c)
		case <-t.stuck:
			return unread()
		case <-last:
			return late
		case <-work.Done():
			return leaving()
		case now := <-silence.C:
			switch left := time.Duration(limits.IdleTimeout) - now.Sub(time.Unix(0, t.heardAt.Load())); {
			case ended == nil: // nothing is expected any more
			case !open:
				return broken(countNoConfig, codes.DeadlineExceeded, "no first message came in time")
			case left <= 0:
				bye := broken(countIdle, codes.DeadlineExceeded, "nothing came for too long")
				bye.reason.Kind = adapter.EndLost
				return bye
			default:
				silence.Reset(left)
			}
		}
	}
}

func leaving() *goodbye {
	return &goodbye{err: errLeaving, reason: adapter.EndReason{Kind: adapter.EndShutdown, Text: "the adapter stops"}}
}

func unread() *goodbye {
	return broken(countUnread, codes.ResourceExhausted, "the client does not read its results")
}

// ordered is the end that the host wants.
func ordered(c adapter.Control) *goodbye {
	bye := &goodbye{reason: adapter.EndReason{Kind: adapter.EndOrdered, Text: c.Reason}}
	switch {
	case c.Kind == adapter.ControlDone:
		bye.reason = adapter.EndReason{Kind: adapter.EndHangup, Text: "the client ended its stream"}
	case c.Kind == adapter.ControlLost:
		return unread()
	case c.Error != nil:
		bye.err = statusFrom(c.Error)
	case c.Reconnect:
		bye.err = status.Error(codes.Unavailable, "patchbay: "+c.Reason)
	default:
		bye.err = status.Error(codes.Aborted, "patchbay: "+c.Reason)
	}
	return bye
}

// send passes on what the host has for the client, until the leg ends.
func (t *talk) send(leg adapter.Leg) {
	say := t.sayer()
	say(t.p.opened())
	for c := range leg.Control() {
		switch c.Kind {
		case adapter.ControlResult:
			m, err := t.p.result(c.Result)
			if err != nil {
				t.report.Warn(countWrite, "a result cannot be told", "call", t.callKey(), "err", err)
			}
			say(m)
		case adapter.ControlPause, adapter.ControlResume:
			say(t.p.order(c))
		case adapter.ControlDone:
			say(t.p.closed())
			t.wants(c)
		case adapter.ControlEnd, adapter.ControlLost:
			t.wants(c)
		}
	}
}

// wants hands an order on that ends the stream.
func (t *talk) wants(c adapter.Control) {
	select {
	case t.orders <- c:
	case <-t.over:
	}
}

// sayer returns what sends messages while the RPC lives. Audio does not wait for a client
// that does not read: after limits.send_timeout its stream ends.
func (t *talk) sayer() (say func(m any)) {
	deaf := false
	return func(m any) {
		if m == nil || deaf {
			return
		}
		select {
		case <-t.over:
			return
		default:
		}
		stalled := time.AfterFunc(time.Duration(t.cfg.Limits.SendTimeout), func() { t.stuck <- struct{}{} })
		if err := t.ss.SendMsg(m); err != nil {
			deaf = true // the reader learns why
		}
		stalled.Stop()
	}
}

// finish ends the leg with the first reason that is given, once. A leg that comes later
// ends with that reason too.
func (t *talk) finish(reason adapter.EndReason) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.reason == nil {
		if reason.Kind == "" {
			reason = adapter.EndReason{Kind: adapter.EndProtocol, Text: "refused"}
		}
		t.reason = &reason
	}
	if t.leg == nil || t.closed {
		return
	}
	t.closed = true
	t.log.Info("stream ended", "method", t.name, "call", t.call, "reason", t.reason.Kind, "text", t.reason.Text)
	if err := t.leg.Close(*t.reason); err != nil {
		t.report.Warn(countWrite, "the host did not take the leg's end", "call", t.call, "err", err)
	}
}

func (t *talk) callKey() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.call
}

// statusFrom is the status of a StatusError, as Agent Assist sent it.
func statusFrom(e *adapter.StatusError) error {
	var s spb.Status
	if len(e.Status) > 0 && proto.Unmarshal(e.Status, &s) == nil && s.GetCode() != 0 {
		return status.FromProto(&s).Err()
	}
	code := codes.Code(e.Code)
	if code == codes.OK {
		code = codes.Unknown
	}
	return status.Error(code, e.Text)
}
