package sim

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/patchbay/patchbay/core/media"
)

// The tracks of a stream.
const (
	Inbound  media.TrackID = "inbound"
	Outbound media.TrackID = "outbound"
)

const (
	handshakeTimeout = 5 * time.Second
	closeTimeout     = 10 * time.Second
	writeTimeout     = 10 * time.Second // a server that does not read
)

// StreamError is what Twilio's debugger would show of a stream that failed.
type StreamError struct {
	Code int // 31920 handshake, 31921 the server closed, 31924 the server spoke, 31901 to 31903 connection
	Text string
}

func (e *StreamError) Error() string { return fmt.Sprintf("Twilio error %d: %s", e.Code, e.Text) }

// StreamOptions says how a stream is opened.
type StreamOptions struct {
	URL         string      // as written in TwiML; it is what gets signed
	Connect     string      // where that really is, "http://127.0.0.1:8080"; empty means URL
	TLS         *tls.Config // for wss; nil means the system's
	Account     string      // Account SID
	AuthToken   string      // signs the upgrade; empty leaves the signature out
	Signature   string      // instead of the right one
	Call        string      // Call SID
	SID         string      // Stream SID; empty makes one
	Tracks      []media.TrackID
	Parameters  map[string]string
	FirstOffset time.Duration // timestamp of the first chunk; Twilio's is seldom zero
}

// Stream is one Media Stream as Twilio speaks it. Its methods may be used from
// one goroutine, but for Vanish, Ended and Err.
type Stream struct {
	SID, Call string

	conn     *websocket.Conn
	sequence int64
	tracks   []trackState
	buf      []byte

	ended   chan struct{} // the connection is gone
	mu      sync.Mutex
	err     error
	closing bool // our side began the end
}

type trackState struct {
	id             media.TrackID
	chunk, samples int64
	offset         time.Duration
}

// OpenStream connects, signs and sends connected and start. A refused handshake
// is a *StreamError.
func OpenStream(ctx context.Context, o StreamOptions) (*Stream, error) {
	target, host, err := redirect(o.URL, o.Connect)
	if err != nil {
		return nil, err
	}
	header := http.Header{"Host": {host}, "User-Agent": {"Twilio.TmeWs/1.0"}}
	signature := o.Signature
	if signature == "" && o.AuthToken != "" {
		signature = Sign(o.AuthToken, o.URL, nil)
	}
	if signature != "" {
		header["x-twilio-signature"] = []string{signature} // lower case, as Twilio writes it
	}
	dialer := websocket.Dialer{TLSClientConfig: o.TLS, HandshakeTimeout: handshakeTimeout, ReadBufferSize: 512, WriteBufferSize: 1024}
	conn, res, err := dialer.DialContext(ctx, target, header) //nolint:bodyclose // gorilla's response needs no closing
	if err != nil {
		if res != nil {
			return nil, &StreamError{31920, "the handshake was answered with HTTP " + res.Status}
		}
		return nil, &StreamError{31902, "no connection: " + err.Error()}
	}
	s := &Stream{SID: cmp.Or(o.SID, SID("MZ")), Call: o.Call, conn: conn, ended: make(chan struct{})}
	for _, id := range o.Tracks {
		s.tracks = append(s.tracks, trackState{id: id, offset: o.FirstOffset})
	}
	if err := s.hello(o); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	go s.listen()
	return s, nil
}

// redirect returns the URL to dial and the host to ask for.
func redirect(public, connect string) (target, host string, err error) {
	u, err := url.Parse(public)
	if err != nil || u.Host == "" {
		return "", "", fmt.Errorf("%q is no URL", public)
	}
	host = u.Host
	if connect == "" {
		return u.String(), host, nil
	}
	c, err := url.Parse(connect)
	if err != nil || c.Host == "" || c.Scheme != "http" && c.Scheme != "https" {
		return "", "", fmt.Errorf("%q is no http URL to connect to", connect)
	}
	u.Host = c.Host
	switch u.Scheme {
	case "ws", "wss":
		u.Scheme = map[string]string{"http": "ws", "https": "wss"}[c.Scheme]
	default:
		u.Scheme = c.Scheme
	}
	return u.String(), host, nil
}

func (s *Stream) hello(o StreamOptions) error {
	params := o.Parameters
	if params == nil {
		params = map[string]string{}
	}
	s.sequence = 1
	return errors.Join(
		s.Say(map[string]any{"event": "connected", "protocol": "Call", "version": "1.0.0"}),
		s.Say(map[string]any{
			"event": "start", "sequenceNumber": "1", "streamSid": s.SID,
			"start": map[string]any{
				"streamSid": s.SID, "accountSid": o.Account, "callSid": o.Call, "tracks": o.Tracks, "customParameters": params,
				"mediaFormat": map[string]any{"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
			},
		}))
}

// Say sends any JSON message, for tests of odd ones.
func (s *Stream) Say(message any) error {
	b, err := json.Marshal(message)
	if err != nil {
		return err
	}
	return s.SayRaw(websocket.TextMessage, b)
}

// SayRaw sends a WebSocket message of any kind.
func (s *Stream) SayRaw(kind int, b []byte) error {
	if err := s.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	return s.conn.WriteMessage(kind, b)
}

// Send sends one chunk of mu-law audio, usually 160 bytes.
func (s *Stream) Send(id media.TrackID, muLaw []byte) error { return s.chunk(id, muLaw, false) }

// Lose counts a chunk as sent, but loses it on the way.
func (s *Stream) Lose(id media.TrackID, muLaw []byte) error { return s.chunk(id, muLaw, true) }

// chunk writes a media message into a buffer that it uses again, since it does so
// a hundred times a second for each call.
func (s *Stream) chunk(id media.TrackID, muLaw []byte, lost bool) error {
	i := slices.IndexFunc(s.tracks, func(t trackState) bool { return t.id == id })
	if i < 0 {
		return fmt.Errorf("sim: the stream has no track %q", id)
	}
	t := &s.tracks[i]
	at := t.offset.Milliseconds() + t.samples/8
	s.sequence++
	t.chunk++
	t.samples += int64(len(muLaw))
	if lost {
		return nil
	}
	b := append(s.buf[:0], `{"event":"media","sequenceNumber":"`...)
	b = strconv.AppendInt(b, s.sequence, 10)
	b = append(b, `","media":{"track":"`...)
	b = append(b, t.id...)
	b = append(b, `","chunk":"`...)
	b = strconv.AppendInt(b, t.chunk, 10)
	b = append(b, `","timestamp":"`...)
	b = strconv.AppendInt(b, at, 10)
	b = append(b, `","payload":"`...)
	b = base64.StdEncoding.AppendEncode(b, muLaw)
	b = append(b, `"},"streamSid":"`...)
	b = append(b, s.SID...)
	b = append(b, `"}`...)
	s.buf = b
	return s.SayRaw(websocket.TextMessage, b)
}

// Sent returns how many chunks and samples a track has sent, lost ones included.
func (s *Stream) Sent(id media.TrackID) (chunks, samples int64) {
	for _, t := range s.tracks {
		if t.id == id {
			return t.chunk, t.samples
		}
	}
	return 0, 0
}

// Stop says stop, closes as Twilio does, and waits for the server to agree.
func (s *Stream) Stop(ctx context.Context, account string) error {
	s.begin()
	s.sequence++
	err := s.Say(map[string]any{
		"event": "stop", "sequenceNumber": strconv.FormatInt(s.sequence, 10), "streamSid": s.SID,
		"stop": map[string]any{"accountSid": account, "callSid": s.Call},
	})
	frame := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	err = errors.Join(err, s.conn.WriteControl(websocket.CloseMessage, frame, time.Now().Add(closeTimeout)))
	timer := time.NewTimer(closeTimeout)
	defer timer.Stop()
	select {
	case <-s.ended:
	case <-timer.C:
		err = errors.Join(err, errors.New("sim: the server does not answer the close frame"))
	case <-ctx.Done():
		err = errors.Join(err, ctx.Err())
	}
	s.Vanish()
	return err
}

// Vanish drops the connection without a word. It may be called again.
func (s *Stream) Vanish() {
	s.begin()
	_ = s.conn.NetConn().Close() // the reader sees it
	<-s.ended
}

// Ended is closed when the connection is gone.
func (s *Stream) Ended() <-chan struct{} { return s.ended }

// Err returns why the server ended the stream: a *StreamError, or nil while it
// runs and after an end of our own.
func (s *Stream) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *Stream) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing = true
}

// listen waits for the server, which on a unidirectional stream must say nothing
// but its close.
func (s *Stream) listen() {
	defer close(s.ended)
	kind, _, err := s.conn.ReadMessage()
	fault := &StreamError{31903, "the connection broke"}
	if ce, ok := errors.AsType[*websocket.CloseError](err); ok && ce.Code != websocket.CloseAbnormalClosure {
		fault = &StreamError{31921, fmt.Sprintf("the server closed with %d %s", ce.Code, ce.Text)}
	} else if err == nil {
		fault = &StreamError{31924, fmt.Sprintf("the server sent a message (kind %d) on a unidirectional stream", kind)}
	}
	s.mu.Lock()
	if !s.closing || fault.Code == 31924 {
		s.err = fault
	}
	s.mu.Unlock()
	_ = s.conn.Close()
}
