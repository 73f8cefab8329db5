package sim

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/patchbay/patchbay/core/media"
)

// The times of the reference client.
const (
	DefaultOpenTimeout  = 5 * time.Second
	DefaultCloseTimeout = 10 * time.Second
	DefaultFirstPing    = time.Second
	DefaultPingInterval = 5 * time.Second

	handshakeTimeout = 20 * time.Second
	writeTimeout     = 10 * time.Second // a server that does not read
	maxText          = 64<<10 - 1
)

// SessionOptions say how a session is opened.
type SessionOptions struct {
	URL     string      // connection URI, which is signed: wss://voice.example.com/audiohook
	Connect string      // where that really is: http://127.0.0.1:8080; empty means URL
	TLS     *tls.Config // for wss; nil means the system's

	Organization string
	APIKey       string
	ClientSecret []byte // nil leaves the signature out
	Session      string // the ids; made where empty
	Correlation  string
	Conversation string
	Participant  string
	From, To     string
	Language     string
	Languages    bool     // ask for the server's languages
	Continued    []string // sessions that this one continues
	Custom       map[string]any
	Media        []Media // default Offer("PCMU")
	BigEndian    bool    // byte order of L16
	From0        int64   // position of the first sample

	OpenTimeout, CloseTimeout, FirstPing, PingInterval time.Duration
	// MessagesPerSecond limits the server; what is more gets error 429. 0 does not.
	MessagesPerSecond int
	// Header changes the upgrade, for tests of bad ones.
	Header func(http.Header)
	// Silent leaves the open message out, and waits for nothing.
	Silent bool
}

func (o *SessionOptions) fill() {
	for _, id := range []*string{&o.Session, &o.Correlation, &o.Conversation, &o.Participant} {
		*id = cmp.Or(*id, UUID())
	}
	if o.Media == nil {
		o.Media = Offer("PCMU")
	}
	o.OpenTimeout = cmp.Or(o.OpenTimeout, DefaultOpenTimeout)
	o.CloseTimeout = cmp.Or(o.CloseTimeout, DefaultCloseTimeout)
	o.FirstPing = cmp.Or(o.FirstPing, DefaultFirstPing)
	o.PingInterval = cmp.Or(o.PingInterval, DefaultPingInterval)
}

// Session is one AudioHook session as Genesys has it. Its methods may be used
// concurrently, but for Send, which is one goroutine's.
type Session struct {
	o    SessionOptions
	conn *websocket.Conn

	opened  chan struct{} // the server said opened
	closed  chan struct{} // the server said closed, after close
	ended   chan struct{} // the connection is gone
	pinging sync.WaitGroup

	mu        sync.Mutex // guards all that follows, and the order of what is written
	seq       int64
	serverSeq int64
	selected  *Media
	languages []string
	closing   bool // close was said
	gone      bool // our side ended the connection
	err       error

	pos         int64 // samples, those of pauses too
	sent        int64 // samples that were sent
	frames      int64
	own, theirs bool  // who has paused
	pausedAt    int64 // position
	pauses      int   // of the server's

	ping      int64 // seq of the ping that waits for its pong; 0 for none
	pingAt    time.Time
	rtt       time.Duration
	firstPong bool

	window     time.Time // of the rate limit
	inWindow   int
	quietUntil time.Time
	limited    int // messages that got 429
	unheeded   int // events that came though quiet was asked for

	entities  []Entity
	reconnect bool
	patience  *time.Timer   // for closed, after close
	changed   chan struct{} // closed and replaced with each message of the server
	buf       []byte
}

// Open connects, signs, says open and waits for opened. A refusal is an *Error.
func Open(ctx context.Context, o SessionOptions) (*Session, error) {
	o.fill()
	target, host, path, err := locate(o.URL, o.Connect)
	if err != nil {
		return nil, err
	}
	header := http.Header{"Host": {host}, "User-Agent": {"GenesysCloud-AudioHook-Client"}}
	header.Set("Audiohook-Organization-Id", o.Organization)
	header.Set("Audiohook-Session-Id", o.Session)
	header.Set("Audiohook-Correlation-Id", o.Correlation)
	header.Set("X-Api-Key", o.APIKey)
	if o.ClientSecret != nil {
		input, signature := Sign(o.APIKey, o.ClientSecret, strings.ReplaceAll(UUID(), "-", ""), time.Now(),
			"@request-target", path, "@authority", authority(o.URL, host),
			"audiohook-organization-id", o.Organization, "audiohook-session-id", o.Session,
			"audiohook-correlation-id", o.Correlation, "x-api-key", o.APIKey)
		header.Set("Signature-Input", input)
		header.Set("Signature", signature)
	}
	if o.Header != nil {
		o.Header(header)
	}
	dialer := websocket.Dialer{TLSClientConfig: o.TLS, HandshakeTimeout: handshakeTimeout, ReadBufferSize: 1024, WriteBufferSize: 4096}
	conn, res, err := dialer.DialContext(ctx, target, header) //nolint:bodyclose // gorilla's response needs no closing
	if err != nil {
		if res != nil {
			text, _ := io.ReadAll(io.LimitReader(res.Body, 200)) // for people
			return nil, &Error{HTTP: res.StatusCode, Text: strings.TrimSpace(string(text))}
		}
		return nil, fmt.Errorf("no connection: %w", err)
	}
	s := &Session{o: o, conn: conn, opened: make(chan struct{}), closed: make(chan struct{}), ended: make(chan struct{}), changed: make(chan struct{}), pos: o.From0}
	conn.SetReadLimit(maxText)
	go s.listen() // until the connection ends
	if o.Silent {
		return s, nil
	}
	if err := s.open(ctx); err != nil {
		s.Vanish()
		return nil, err
	}
	s.pinging.Go(s.keepPinging)
	return s, nil
}

// locate returns the URL to dial, the host to ask for, and the path that is signed.
func locate(public, connect string) (target, host, path string, err error) {
	u, err := url.Parse(public)
	if err != nil || u.Host == "" || u.Scheme != "ws" && u.Scheme != "wss" {
		return "", "", "", fmt.Errorf("%q is no connection URI like wss://voice.example.com/audiohook", public)
	}
	host, path = u.Host, u.RequestURI()
	if connect == "" {
		return u.String(), host, path, nil
	}
	c, err := url.Parse(connect)
	if err != nil || c.Host == "" || c.Scheme != "http" && c.Scheme != "https" {
		return "", "", "", fmt.Errorf("%q is no http URL to connect to", connect)
	}
	u.Host, u.Scheme = c.Host, map[string]string{"http": "ws", "https": "wss"}[c.Scheme]
	return u.String(), host, path, nil
}

// authority is the host without its scheme's default port.
func authority(public, host string) string {
	port := ":443"
	if strings.HasPrefix(public, "ws:") {
		port = ":80"
	}
	return strings.TrimSuffix(strings.ToLower(host), port)
}

func (s *Session) open(ctx context.Context) error {
	parameters := map[string]any{
		"organizationId": s.o.Organization, "conversationId": s.o.Conversation,
		"participant": map[string]string{"id": s.o.Participant, "ani": s.o.From, "aniName": "", "dnis": s.o.To},
		"media":       s.o.Media,
	}
	if s.o.Language != "" {
		parameters["language"] = s.o.Language
	}
	if s.o.Languages {
		parameters["supportedLanguages"] = true
	}
	if s.o.Custom != nil {
		parameters["customConfig"] = s.o.Custom
	}
	if len(s.o.Continued) > 0 {
		var sessions []map[string]any
		for _, id := range s.o.Continued {
			sessions = append(sessions, map[string]any{"id": id, "serverseq": 1, "clientseq": 1})
		}
		parameters["continuedSessions"] = sessions
	}
	if err := s.Say("open", parameters); err != nil {
		return err
	}
	timer := time.NewTimer(s.o.OpenTimeout)
	defer timer.Stop()
	select {
	case <-s.opened:
		return s.Err()
	case <-s.ended:
		return cmp.Or(s.Err(), error(&Error{Text: "the connection broke"}))
	case <-timer.C:
		s.giveUp(408, "opened did not come in time")
		return s.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Say sends a message of any type.
func (s *Session) Say(kind string, parameters any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.say(kind, parameters)
}

// say is Say with mu held.
func (s *Session) say(kind string, parameters any) error {
	if parameters == nil {
		parameters = struct{}{}
	}
	s.seq++
	b, err := json.Marshal(map[string]any{"version": "2", "type": kind, "id": s.o.Session, "seq": s.seq, "serverseq": s.serverSeq,
		"position": duration(s.pos), "parameters": parameters})
	if err != nil {
		return err
	}
	return s.write(websocket.TextMessage, b)
}

// Raw sends a WebSocket message of any kind.
func (s *Session) Raw(kind int, b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.write(kind, b)
}

func (s *Session) write(kind int, b []byte) error {
	if err := s.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	return s.conn.WriteMessage(kind, b)
}

// Channels returns the channels that the server chose, in their order.
func (s *Session) Channels() []media.TrackID {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.selected == nil {
		return nil
	}
	return s.selected.Channels
}

// Languages returns what the server said that it supports; nil if it did not.
func (s *Session) Languages() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.languages
}

// Send sends a frame: mu-law audio of each channel, of one length. In a pause nothing is
// sent, but the position goes on.
func (s *Session) Send(audio ...[]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.selected == nil || len(audio) != len(s.selected.Channels) {
		return fmt.Errorf("sim: audio of %d channels for a session that has others", len(audio))
	}
	samples := len(audio[0])
	if s.closing {
		return nil
	}
	if s.own || s.theirs {
		s.pos += int64(samples)
		return nil
	}
	b := s.buf[:0]
	for i := range samples {
		for _, channel := range audio {
			if s.selected.Format == "PCMU" {
				b = append(b, channel[i])
				continue
			}
			v := media.DecodeMuLaw(channel[i])
			low, high := byte(v), byte(uint16(v)>>8)
			if s.o.BigEndian {
				low, high = high, low
			}
			b = append(b, low, high)
		}
	}
	s.buf = b
	if err := s.write(websocket.BinaryMessage, b); err != nil {
		return err
	}
	s.pos += int64(samples)
	s.sent += int64(samples)
	s.frames++
	return nil
}

// Sent returns how many frames were sent, and samples of each channel.
func (s *Session) Sent() (frames, samples int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.frames, s.sent
}

// Position returns the position of the next sample.
func (s *Session) Position() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pos
}

// Pause is a pause of Genesys' own: a secure flow, or monitoring that is switched off.
func (s *Session) Pause() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.own && !s.theirs {
		s.pausedAt = s.pos
	}
	s.own = true
	return s.say("paused", nil)
}

// Resume ends Pause. While the server has paused, too, nothing is heard of it.
func (s *Session) Resume() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.own = false
	if s.theirs {
		return nil
	}
	return s.resumed()
}

// resumed says how much the pause left out. mu is held.
func (s *Session) resumed() error {
	return s.say("resumed", map[string]string{"start": duration(s.pausedAt), "discarded": duration(s.pos - s.pausedAt)})
}

// Discard leaves audio out without a pause.
func (s *Session) Discard(samples int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	start := s.pos
	s.pos += samples
	return s.say("discarded", map[string]string{"start": duration(start), "discarded": duration(samples)})
}

// Paused reports whether audio is held back now.
func (s *Session) Paused() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.own || s.theirs
}

// Pauses returns how often the server asked for a pause, a start in pause included.
func (s *Session) Pauses() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pauses
}

// Entities returns what has come in events.
func (s *Session) Entities() []Entity {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Entity(nil), s.entities...)
}

// Limited returns how many messages got error 429, and how many events came though
// quiet was asked for.
func (s *Session) Limited() (messages, unheeded int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limited, s.unheeded
}

// RTT returns the last round trip of a ping; 0 before the first.
func (s *Session) RTT() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rtt
}

// Reconnect reports whether the server asked for another session.
func (s *Session) Reconnect() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reconnect
}

// Await waits until cond holds, which is asked again after each message of the server.
func (s *Session) Await(ctx context.Context, cond func() bool) error {
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		if cond() {
			return nil
		}
		select {
		case <-changed:
		case <-s.ended:
			return cmp.Or(s.Err(), error(&Error{Text: "the session has ended"}))
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ID returns the session's id.
func (s *Session) ID() string { return s.o.Session }

// Close says close with a reason, waits for closed, and closes the connection.
func (s *Session) Close(ctx context.Context, reason string) error {
	s.mu.Lock()
	err := s.beginClose(reason)
	s.mu.Unlock()
	select {
	case <-s.closed:
	case <-s.ended:
		err = errors.Join(err, s.Err())
	case <-ctx.Done():
		err = errors.Join(err, ctx.Err())
	}
	s.Vanish()
	return err
}

// beginClose says close once. mu is held.
func (s *Session) beginClose(reason string) error {
	if s.closing {
		return nil
	}
	s.closing = true
	s.patience = time.AfterFunc(s.o.CloseTimeout, func() { _ = s.conn.NetConn().Close() }) // the reader sees it
	return s.say("close", map[string]string{"reason": reason})
}

// Vanish drops the connection without a word. It may be called again.
func (s *Session) Vanish() {
	s.mu.Lock()
	s.gone = true
	s.mu.Unlock()
	_ = s.conn.NetConn().Close() // the reader sees it
	<-s.ended
	s.pinging.Wait()
}

// Ended is closed when the connection is gone.
func (s *Session) Ended() <-chan struct{} { return s.ended }

// Err returns why the session ended: an *Error, or nil while it runs and after an end of
// our own.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// giveUp ends the session because of what the server does.
func (s *Session) giveUp(code int, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail(code, text)
}

// fail is giveUp with mu held.
func (s *Session) fail(code int, text string) {
	if s.err == nil {
		s.err = &Error{Code: code, Text: text}
	}
	if s.closing {
		return
	}
	_ = s.say("error", map[string]any{"code": code, "message": text}) // it fails already
	_ = s.beginClose("error")
}
