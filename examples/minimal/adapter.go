package main

import (
	"bufio"
	"context"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
)

const (
	helloTimeout   = 5 * time.Second  // from connection to hello
	idleTimeout    = 30 * time.Second // without audio
	maxConnections = 4096
	track          = media.TrackID("audio")
)

// Adapter serves the minimal protocol: a TCP connection is a leg, a leg is one
// party's voice.
type Adapter struct{ cfg Config }

// New returns an Adapter for a configuration.
func New(cfg Config) (*Adapter, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Adapter{cfg: cfg}, nil
}

// Run implements adapter.Adapter.
func (a *Adapter) Run(ctx context.Context, env adapter.Env, sink adapter.Sink) error {
	ln, err := env.Listen("audio") // fail before the first goroutine
	if err != nil {
		return &adapter.Error{Op: "minimal.Run", Kind: adapter.KindConfig, Err: err}
	}
	if env.TLS != nil {
		ln = tls.NewListener(ln, env.TLS)
	}
	var legs sync.WaitGroup // one goroutine a connection, all owned by Run
	defer legs.Wait()
	legCtx, hangUp := context.WithCancel(ctx)
	defer hangUp()
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() }) // unblocks Accept
	defer stop()

	free := make(chan struct{}, maxConnections)
	for {
		conn, err := ln.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = conn.Close() // came while we stop
			}
			return nil
		}
		if err != nil {
			return &adapter.Error{Op: "minimal.Run", Kind: adapter.KindUnavailable, Err: err}
		}
		select {
		case free <- struct{}{}:
		default:
			env.Count("refused_connections")
			_ = conn.Close() // too many already
			continue
		}
		legs.Go(func() {
			defer func() { <-free }()
			a.serve(legCtx, env, sink, conn)
		})
	}
}

// serve is one connection from hello to goodbye. Nothing that a sender does ends
// more than its own connection.
func (a *Adapter) serve(ctx context.Context, env adapter.Env, sink adapter.Sink, conn net.Conn) {
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Now()) }) // unblocks reads
	defer stop()
	_ = conn.SetDeadline(time.Now().Add(helloTimeout))
	say := func(kind, text string) {
		_ = conn.SetWriteDeadline(time.Now().Add(helloTimeout))
		_ = writeEvent(conn, event{Event: kind, Text: text}) // the sender may be gone
	}

	r := bufio.NewReaderSize(conn, maxLine)
	h, err := readHello(r)
	if err != nil {
		env.Count("refused_hello")
		say("error", err.Error())
		return
	}
	account, ok := a.account(h.Token)
	if !ok {
		env.Count("refused_token")
		env.Log.Warn("refused a connection with an unknown token", "call", h.Call)
		say("refused", "unknown token")
		return
	}
	leg, err := sink.Open(ctx, legInfo(h, account))
	if err != nil {
		env.Count("refused_by_host")
		say("refused", err.Error())
		return
	}
	var ordered atomic.Pointer[string] // why the host wants the end
	var control sync.WaitGroup
	control.Go(func() { // until Close
		for c := range leg.Control() {
			if c.Kind == adapter.ControlEnd {
				ordered.Store(&c.Reason)
				_ = conn.SetReadDeadline(time.Now())
			}
		}
	})
	say("ready", "")
	end := endReason(a.listen(ctx, conn, r, leg, h, &ordered))
	switch reason := ordered.Load(); {
	case ctx.Err() != nil:
		end = adapter.EndReason{Kind: adapter.EndShutdown, Text: "the adapter stops"}
	case reason != nil:
		end = adapter.EndReason{Kind: adapter.EndOrdered, Text: *reason}
	}
	_ = leg.Close(end) // a leg that the host ended is closed all the same
	control.Wait()
	say("end", end.Text)
	env.Log.Info("leg ended", "call", h.Call, "participant", h.Party, "reason", string(end.Kind))
}

// listen turns packets into frames until the sender says goodbye (io.EOF) or
// something else ends the leg.
func (a *Adapter) listen(ctx context.Context, conn net.Conn, r io.Reader, leg adapter.Leg, h hello, ordered *atomic.Pointer[string]) error {
	if err := leg.Join(track, adapter.Track{Format: media.Telephony, Speaker: speaker(h)}); err != nil {
		return err
	}
	buf := make([]byte, maxPacket)
	var pos int64
	for {
		_ = conn.SetReadDeadline(time.Now().Add(idleTimeout))
		if ctx.Err() != nil || ordered.Load() != nil { // after SetReadDeadline, which would undo theirs
			return nil
		}
		packet, err := readPacket(r, buf)
		if err != nil {
			return err
		}
		if err := leg.Write(media.Frame{Track: track, Pos: pos, Arrived: time.Now(), Payload: packet}); err != nil {
			return err
		}
		pos += int64(len(packet)) // mu-law: a byte is a sample
	}
}

// account finds whose token this is, in a time that says nothing about it.
func (a *Adapter) account(token string) (name string, ok bool) {
	for _, c := range a.cfg.Accounts {
		if subtle.ConstantTimeCompare([]byte(c.Token), []byte(token)) == 1 {
			name, ok = c.Name, true
		}
	}
	return name, ok
}

func legInfo(h hello, account string) adapter.LegInfo {
	return adapter.LegInfo{
		CallKey:   h.Call,
		LegKey:    h.Party, // the party come again takes over
		Principal: adapter.Principal{Account: account, Method: adapter.MethodToken},
	}
}

func speaker(h hello) adapter.Speaker {
	role := adapter.RoleEndUser
	if h.Party == "agent" {
		role = adapter.RoleHumanAgent
	}
	return adapter.Speaker{ID: h.Party, Role: role, Evidence: "hello"}
}

func endReason(err error) adapter.EndReason {
	switch {
	case err == nil, errors.Is(err, io.EOF):
		return adapter.EndReason{Kind: adapter.EndHangup, Text: "goodbye"}
	case errors.Is(err, errProtocol):
		return adapter.EndReason{Kind: adapter.EndProtocol, Text: err.Error()}
	case errors.Is(err, adapter.ErrClosed):
		return adapter.EndReason{Kind: adapter.EndOrdered, Text: "the host ended the leg"}
	default:
		return adapter.EndReason{Kind: adapter.EndLost, Text: err.Error()}
	}
}
