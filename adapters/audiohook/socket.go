package audiohook

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/patchbay/patchbay/core/adapter"
)

const (
	writeTimeout = 5 * time.Second // of one message, for a peer that does not read
	lastWrites   = time.Second     // of what still waits when the connection ends
)

// socket is the connection of a session. The goroutine of its HTTP request reads; a
// second one listens to the host and writes.
type socket struct {
	*session
	conn   *websocket.Conn
	server *server
	begun  func() // open was said

	mu    sync.Mutex
	until time.Time // the connection is gone by then; zero while it may live
	buf   []byte
}

// serve reads until the connection is closed.
func (k *socket) serve(ctx context.Context) {
	limits := k.server.cfg.Limits
	k.conn.SetReadLimit(max(limits.MaxAudioBytes, maxText+1)) // too long a text is answered
	k.await(time.Duration(limits.OpenTimeout))
	done := make(chan struct{})
	var desk sync.WaitGroup
	desk.Go(func() { k.listen(ctx, done) })

	k.lost(k.read(ctx))
	close(done)
	desk.Wait()
	k.gone()
	if err := k.conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		k.env.log.Debug("closing a session's connection", "err", err)
	}
}

// read feeds the session until the connection ends.
func (k *socket) read(ctx context.Context) error {
	idle := time.Duration(k.server.cfg.Limits.IdleTimeout)
	var extended time.Time // when the deadline was moved last; once a second is enough
	begun := false
	for {
		kind, r, err := k.conn.NextReader()
		if err == nil {
			k.buf, err = readInto(r, k.buf)
		}
		if err != nil {
			return err
		}
		at := time.Now()
		if kind == websocket.TextMessage {
			k.take(ctx, k.buf, at)
		} else {
			k.takeAudio(k.buf, at)
		}
		p := k.phase()
		if !begun && p >= running {
			begun = true
			k.begun()
		}
		if p == running && at.Sub(extended) > time.Second {
			extended = at
			k.await(idle)
		}
	}
}

// readInto reads a whole message into a buffer that it reuses.
func readInto(r io.Reader, buf []byte) ([]byte, error) {
	buf = buf[:0]
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, make([]byte, max(4096, cap(buf)))...)[:len(buf)]
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

// await lets the connection be silent for so long, unless it is to be gone earlier.
func (k *socket) await(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	at := time.Now().Add(d)
	if !k.until.IsZero() && k.until.Before(at) {
		at = k.until
	}
	k.deadline(at)
}

// hurry bounds the life of the connection. Any goroutine may call it.
func (k *socket) hurry(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if at := time.Now().Add(d); k.until.IsZero() || at.Before(k.until) {
		k.until = at
		k.deadline(at)
	}
}

func (k *socket) hurried() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return !k.until.IsZero()
}

func (k *socket) deadline(at time.Time) {
	if err := k.conn.SetReadDeadline(at); err != nil {
		k.env.log.Debug("setting a read deadline", "err", err)
	}
}

// lost says what the end of the connection means for the session.
func (k *socket) lost(err error) {
	ne, network := errors.AsType[net.Error](err)
	_, closed := errors.AsType[*websocket.CloseError](err)
	timeout := network && ne.Timeout()
	end := adapter.EndReason{Kind: adapter.EndLost, Text: "the connection went without close"}
	switch p := k.phase(); {
	case p >= closing: // closed without waiting for our closed, perhaps
		end = k.farewell
	case timeout && k.hurried():
		end.Text = "Genesys did not close the session"
	case timeout && p == waiting:
		k.env.report.Warn(countTimeout, "a session is ended: no open message within limits.open_timeout", "session", k.caller.session, "account", k.caller.principal.Account, "remote", k.caller.remote)
		k.disconnect(reasonError, "no open message in time", end)
	case timeout:
		k.env.report.Warn(countIdle, "a session is ended: nothing came within limits.idle_timeout", "session", k.caller.session)
		end.Text = "nothing came within limits.idle_timeout"
		k.disconnect(reasonError, "nothing came for too long", end)
	case errors.Is(err, websocket.ErrReadLimit): // the close frame 1009 is sent already
		k.env.report.Warn(countOversize, "a session is ended: a message is longer than limits.max_audio_bytes", "session", k.caller.session)
		end = adapter.EndReason{Kind: adapter.EndProtocol, Text: "a message was too long"}
	case !closed && !network && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		k.env.report.Count(countProtocol)
		end = adapter.EndReason{Kind: adapter.EndProtocol, Text: "the WebSocket's framing is broken"}
	}
	k.finish(end)
}

// listen writes our messages and waits for the host: orders, results, the end of Run.
func (k *socket) listen(ctx context.Context, done <-chan struct{}) {
	defer k.lastWords()
	var d desk
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	stopping := ctx.Done()
	for {
		timer.Reset(d.next(k.session, time.Now()))
		select {
		case <-done:
			return
		case <-stopping:
			stopping = nil
			k.disconnect(reasonCompleted, "this instance is leaving", adapter.EndReason{Kind: adapter.EndShutdown, Text: "the adapter stops"})
			k.hurry(shutdownTimeout)
		case b := <-k.out.queue:
			if err := k.write(b, writeTimeout); err != nil {
				k.env.log.Debug("a message was not taken", "session", k.caller.session, "err", err)
				k.session.hurry(0)
			}
		case o := <-k.opened:
			d.open(k.session, o)
		case <-k.closes:
			d.closes(k.session, time.Now())
		case c, ok := <-d.control:
			if !ok {
				d.control = nil // by ourselves
				continue
			}
			d.order(k.session, c, time.Now())
		case now := <-timer.C:
			d.due(k.session, now)
		}
	}
}

func (k *socket) write(b []byte, within time.Duration) error {
	if err := k.conn.SetWriteDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	return k.conn.WriteMessage(websocket.TextMessage, b)
}

// lastWords writes what still waits, and closes the WebSocket for those who left that
// to us.
func (k *socket) lastWords() {
	deadline := time.Now().Add(lastWrites)
	for {
		select {
		case b := <-k.out.queue:
			if k.write(b, time.Until(deadline)) != nil {
				return
			}
			continue
		default:
		}
		break
	}
	frame := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	if err := k.conn.WriteControl(websocket.CloseMessage, frame, deadline); err != nil && !errors.Is(err, websocket.ErrCloseSent) {
		k.env.log.Debug("sending a close frame", "err", err)
	}
}
