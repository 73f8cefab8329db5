package twilio

import (
	"bufio"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/patchbay/patchbay/core/adapter"
)

const (
	closeGrace   = time.Second      // for Twilio to answer our close frame
	stopGrace    = 10 * time.Second // for Twilio to close after stop, since it likes to close itself
	writeTimeout = time.Second      // for a close frame, all that we ever write
	maxHeader    = 14               // bytes of a WebSocket frame's header
)

// serveUpgrade answers a stream's WebSocket handshake.
func (s *server) serveUpgrade(w http.ResponseWriter, r *http.Request) {
	p, ok := s.proveUpgrade(w, r)
	if !ok {
		return
	}
	unproved := len(p.accounts) == 0
	if !s.admitSocket(unproved) {
		s.env.report.Warn(countFull, "a stream was refused: limits.max_streams is reached or the adapter is stopping")
		w.Header().Set("Retry-After", "10")
		http.Error(w, "no room for another stream", http.StatusServiceUnavailable)
		return
	}
	settle := sync.OnceFunc(func() {
		if unproved {
			s.proved()
		}
	})
	leave := func() {
		settle()
		s.leave()
	}
	up := websocket.Upgrader{
		HandshakeTimeout: time.Duration(s.cfg.Limits.HandshakeTimeout), // and the reader is that of the request, which is there anyway
		WriteBufferSize:  256,                                          // close frames
		CheckOrigin:      func(*http.Request) bool { return true },     // Twilio is no browser; signatures decide
		Error: func(w http.ResponseWriter, _ *http.Request, status int, _ error) {
			http.Error(w, "this is a WebSocket for Twilio Media Streams", status)
		},
	}
	taken := &hijacked{ResponseWriter: w}
	ws, err := up.Upgrade(taken, r, nil)
	if err != nil {
		s.env.report.Warn(countRequest, "a request to the stream's path is no WebSocket handshake", "remote", r.RemoteAddr, "err", err)
		leave()
		return
	}
	k := &socket{stream: newStream(s.Adapter, s.env, p), ws: ws, conn: taken.conn, reader: taken.reader, server: s, started: settle, back: make(chan error, 1)}
	go func() { // admitSocket and leave make Run wait for it; the request and what it holds are over
		defer leave()
		k.serve(s.work)
	}()
}

// proveUpgrade checks the signature of a handshake and refuses it where the
// settings say so.
func (s *server) proveUpgrade(w http.ResponseWriter, r *http.Request) (proof, bool) {
	signatures := r.Header.Values(signatureHeader)
	switch {
	case len(signatures) > 0 && len(s.verify) > 0:
		if accounts := s.verify.signed(s.public.stream(r.URL.RawQuery), nil, signatures[0]); len(accounts) > 0 && len(signatures) == 1 {
			return proof{accounts}, true
		}
		s.env.report.Warn(countSignature, "a stream was refused: its signature fits no account; compare public_url with the URL in the TwiML, and auth_token with the account's primary token",
			"signed_url", s.public.ws+pathStream, "remote", r.RemoteAddr)
	case s.cfg.Insecure, s.cfg.UpgradeSignature == SignatureIfPresent:
		return proof{}, true
	default:
		s.env.report.Warn(countUnsigned, "a stream was refused: its WebSocket upgrade carries no X-Twilio-Signature. A proxy may have removed the header; upgrade_signature: if-present would accept a stream secret or token instead",
			"remote", r.RemoteAddr)
	}
	http.Error(w, "forbidden", http.StatusForbidden)
	return proof{}, false
}

// socket is the connection of one stream. The goroutine of its HTTP request
// reads; a second one listens to the host and writes the close frame.
type socket struct {
	*stream
	ws      *websocket.Conn
	conn    *conn         // ws's
	reader  *bufio.Reader // ws's
	server  *server
	started func()

	ending atomic.Bool // our side has closed: what still arrives is thrown away
	opened chan adapter.Leg
	buf    []byte

	extended time.Time  // the deadline was moved last
	back     chan error // from the beat; see beats.read
	rhythm   rhythm
}

// serve reads until the stream has ended and its connection is closed.
func (k *socket) serve(ctx context.Context) {
	limits := k.server.cfg.Limits
	k.ws.SetReadLimit(limits.MaxMessageBytes)
	k.deadline(time.Duration(limits.StartTimeout))
	k.opened = make(chan adapter.Leg, 1)
	done := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() { k.listen(ctx, done) })

	reason := k.read(ctx)
	k.finish(reason)
	close(done)
	watcher.Wait()
	k.server.tokens.release(k.guest.token)
	if err := k.ws.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		k.env.log.Debug("closing a stream's connection", "err", err)
	}
}

// read feeds the stream and returns how it ended. It goes on reading after our
// own close frame, as the WebSocket's closing handshake wants.
func (k *socket) read(ctx context.Context) adapter.EndReason {
	var ours *hangUp
	for {
		before := k.phase
		err := k.rest()
		if err == nil && k.phase == before {
			var kind int
			if kind, err = k.next(); err != nil {
				_ = k.handOn(time.Now()) // the leg ends anyway
				if ours != nil {
					return ours.reason
				}
				return k.gone(err)
			}
			at := time.Now()
			switch {
			case k.ending.Load():
				continue
			case kind == websocket.TextMessage:
				err = k.take(ctx, k.buf, at)
			default:
				err = k.takeBinary()
			}
			k.extend(at)
		}
		if h, ok := errors.AsType[*hangUp](err); ok && !k.ending.Load() {
			ours = h
			k.refuse(h)
			continue
		}
		switch {
		case before == waiting && k.phase == running:
			k.started()
			k.opened <- k.leg
		case before == running && k.phase == stopped:
			k.deadline(stopGrace)
		}
	}
}

// rest is called before each read. It hands on what was read, if the next may have to
// wait, and leaves a stream that has got into its stride to the beat.
func (k *socket) rest() error {
	if k.reader.Buffered() > 0 {
		return nil
	}
	if err := k.handOn(time.Now()); err != nil {
		return err
	}
	if k.conn.raw == nil || k.phase != running || k.ending.Load() || max(k.fresh[0], k.fresh[1]) < round {
		return nil
	}
	clear(k.fresh[:])
	err := k.a.beats[rand.IntN(len(k.a.beats))].read(k)
	clear(k.fresh[:])
	return err
}

// next reads the next message into buf.
func (k *socket) next() (kind int, err error) {
	kind, r, err := k.ws.NextReader()
	if err == nil {
		k.buf, err = readInto(r, k.buf)
	}
	return kind, err
}

// extend moves the deadline of a stream that something came of. Once a second is enough.
func (k *socket) extend(at time.Time) {
	if k.phase != running || at.Sub(k.extended) < time.Second {
		return
	}
	k.extended = at
	k.deadline(time.Duration(k.server.cfg.Limits.IdleTimeout))
	if k.ending.Load() { // the other goroutine has set a shorter one in the meantime
		k.deadline(closeGrace)
	}
}

// readInto reads a whole message into a buffer that it reuses.
func readInto(r io.Reader, buf []byte) ([]byte, error) {
	buf = buf[:0]
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, make([]byte, max(512, cap(buf)))...)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if errors.Is(err, io.EOF) {
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
	}
}

// listen waits for the host: the end of Run, or an order to end the leg. Pause
// and resume are the host's own doing, since Twilio cannot pause a stream.
func (k *socket) listen(ctx context.Context, done <-chan struct{}) {
	var control <-chan adapter.Control
	for {
		select {
		case <-done:
			return
		case <-ctx.Done():
			k.end("going away", adapter.EndReason{Kind: adapter.EndShutdown, Text: "the adapter stops"})
			return
		case leg := <-k.opened:
			control = leg.Control()
		case c, ok := <-control:
			switch {
			case !ok && k.finishedLeg(): // by ourselves; now Twilio closes
				control = nil
			case !ok:
				k.end("ended", adapter.EndReason{Kind: adapter.EndOrdered, Text: "the host closed the leg"})
				return
			case c.Kind == adapter.ControlEnd:
				k.end(clip(c.Reason, 100), adapter.EndReason{Kind: adapter.EndOrdered, Text: c.Reason})
				return
			}
		}
	}
}

// end closes leg and connection because the host wants it. After the leg's own
// end it does nothing but hurry the connection.
func (k *socket) end(text string, reason adapter.EndReason) {
	k.ending.Store(true)
	k.finish(reason)
	k.sendClose(websocket.CloseGoingAway, text)
	k.deadline(closeGrace)
}

// refuse closes the connection because of what Twilio sent.
func (k *socket) refuse(h *hangUp) {
	k.ending.Store(true)
	call := k.guest.info.CallKey
	if call == "" {
		call = clip(string(k.msg.Start.CallSID), 40)
	}
	if h.kind != "" {
		k.env.report.Warn(h.kind, "a stream is turned away: "+h.detail, "call", call, "remote", k.ws.RemoteAddr())
	}
	k.finish(h.reason)
	k.sendClose(h.code, h.text)
	k.deadline(closeGrace)
}

// gone says what the end of the connection means for the leg.
func (k *socket) gone(err error) adapter.EndReason {
	timeout := false
	if ne, ok := errors.AsType[net.Error](err); ok {
		timeout = ne.Timeout()
	}
	_, closed := errors.AsType[*websocket.CloseError](err)
	_, network := errors.AsType[net.Error](err)
	switch {
	case k.ending.Load(): // the leg has had its end
		return adapter.EndReason{Kind: adapter.EndShutdown, Text: "the adapter stops"}
	case errors.Is(err, websocket.ErrReadLimit): // the close frame 1009 is sent already
		k.env.report.Warn(countOversize, "a stream is closed: a message is longer than limits.max_message_bytes", "call", k.guest.info.CallKey)
		return adapter.EndReason{Kind: adapter.EndProtocol, Text: "a message was too long"}
	case timeout && k.phase == waiting:
		k.refuse(&hangUp{kind: countTimeout, code: websocket.ClosePolicyViolation, text: "no start message", detail: "no start message within limits.start_timeout"})
		return adapter.EndReason{Kind: adapter.EndProtocol, Text: "no start message"}
	case timeout && k.phase == running:
		k.sendClose(websocket.CloseGoingAway, "idle")
		return adapter.EndReason{Kind: adapter.EndLost, Text: "nothing came within limits.idle_timeout"}
	case timeout && k.phase == stopped: // Twilio has not closed by itself
		k.sendClose(websocket.CloseNormalClosure, "")
	case closed, network, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return adapter.EndReason{Kind: adapter.EndLost, Text: "the connection went without stop"}
	}
	return adapter.EndReason{Kind: adapter.EndProtocol, Text: "the WebSocket's framing is broken"}
}

func (k *socket) sendClose(code int, text string) {
	frame := websocket.FormatCloseMessage(code, clip(text, 100))
	if err := k.ws.WriteControl(websocket.CloseMessage, frame, time.Now().Add(writeTimeout)); err != nil && !errors.Is(err, websocket.ErrCloseSent) {
		k.env.log.Debug("sending a close frame", "err", err)
	}
}

func (k *socket) deadline(d time.Duration) {
	if err := k.ws.SetReadDeadline(time.Now().Add(d)); err != nil {
		k.env.log.Debug("setting a read deadline", "err", err)
	}
}
