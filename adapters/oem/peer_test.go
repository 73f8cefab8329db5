package oem

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"
	"go.uber.org/goleak"

	"github.com/patchbay/patchbay/adapters/oem/sdp"
	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/adapter/adaptertest"
	"github.com/patchbay/patchbay/core/media"
)

// TestMain lets more tests run at a time than there are cores: those with calls in real
// time wait nearly all of it.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// patience bounds every wait of the tests.
const patience = 10 * time.Second

func testConfig() Config {
	cfg := DefaultConfig()
	cfg.Trunks = []Trunk{{Name: "sbc", Addresses: []string{"127.0.0.0/8"}}}
	cfg.Media.Ports, cfg.Media.Rest = "42000-48999", 0
	cfg.Media.Idle = adapter.Duration(3 * time.Second)
	return cfg
}

// rig is an adapter that runs, with a host that writes everything down.
type rig struct {
	*testing.T
	sink *adaptertest.Sink
	env  *adaptertest.Env
}

// newRig listens on UDP and TCP, or with a tls.Config on TLS.
func newRig(t *testing.T, change func(*Config), secure ...*tls.Config) *rig {
	t.Helper()
	cfg := testConfig()
	if change != nil {
		change(&cfg)
	}
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{listenerUDP, listenerTCP}
	if len(secure) > 0 {
		names = []string{listenerTLS}
	}
	r := &rig{t, adaptertest.NewSink(), adaptertest.NewEnv(t, names...)}
	if len(secure) > 0 {
		r.env.TLS = secure[0]
	}
	r.env.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		err := a.Run(ctx, r.env.Env, r.sink)
		if ctx.Err() == nil {
			t.Errorf("Run ended: %v", err)
		}
		done <- err
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
		r.sink.Check(t)
	})
	return r
}

// dial makes a peer with a dialog of its own.
func (r *rig) dial(callID string) *uac {
	r.Helper()
	u, err := newUAC(r.env.Addr(listenerUDP), callID)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(u.vanish)
	return u
}

// must fails the test for an answer other than the status.
func (r *rig) must(status int, m *message, err error) *message {
	r.Helper()
	if err != nil || m.status != status {
		r.Fatalf("answer = %v, %v; want %d", m, err, status)
	}
	return m
}

// uac is a recording client with one dialog, on UDP, written for the tests alone.
type uac struct {
	conn   net.Conn
	callID string
	from   string // URI
	tag    string
	to     string // as the server answered
	seq    int
	lines  []*sender

	answers chan *message
	ended   chan struct{} // the server's BYE
	offers  chan *message // the server's re-INVITEs
	reading sync.WaitGroup
	once    sync.Once
}

var tags struct {
	sync.Mutex
	n int
}

func newUAC(server, callID string) (*uac, error) {
	conn, err := net.Dial("udp", server)
	if err != nil {
		return nil, err
	}
	tags.Lock()
	tags.n++
	n := tags.n
	tags.Unlock()
	u := &uac{conn: conn, callID: callID, from: "sip:sbc@192.0.2.1", tag: fmt.Sprint("tag", n),
		answers: make(chan *message, 16), ended: make(chan struct{}), offers: make(chan *message, 4)}
	u.reading.Go(u.read)
	return u, nil
}

// message is a SIP message, as far as the tests look at it.
type message struct {
	first  string
	status int // of an answer
	lines  []string
	body   []byte
}

func (m *message) String() string {
	if m == nil {
		return "nothing"
	}
	return m.first
}

func (m *message) get(name string) string {
	for _, l := range m.lines {
		if key, value, _ := strings.Cut(l, ":"); strings.EqualFold(strings.TrimSpace(key), name) {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func parseMessage(b []byte) *message {
	head, body, _ := bytes.Cut(b, []byte("\r\n\r\n"))
	lines := strings.Split(string(head), "\r\n")
	m := &message{first: lines[0], lines: lines[1:], body: body}
	if rest, ok := strings.CutPrefix(m.first, "SIP/2.0 "); ok {
		m.status, _ = strconv.Atoi(rest[:min(3, len(rest))])
	}
	return m
}

func (u *uac) read() {
	buf := make([]byte, 65536)
	for {
		n, err := u.conn.Read(buf)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		m := parseMessage(bytes.Clone(buf[:n]))
		switch {
		case m.status >= 200:
			select {
			case u.answers <- m:
			default:
			}
		case m.status > 0:
		case strings.HasPrefix(m.first, "BYE "):
			u.reply(m, 200, nil)
			u.once.Do(func() { close(u.ended) })
		case strings.HasPrefix(m.first, "INVITE "):
			select {
			case u.offers <- m:
			default:
			}
		}
	}
}

func (u *uac) reply(m *message, status int, body []byte) {
	var b strings.Builder
	fmt.Fprintf(&b, "SIP/2.0 %d OK\r\n", status)
	for _, name := range []string{"Via", "From", "To", "Call-ID", "CSeq"} {
		fmt.Fprintf(&b, "%s: %s\r\n", name, m.get(name))
	}
	fmt.Fprintf(&b, "Contact: <sip:sbc@%s>\r\nContent-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s", u.conn.LocalAddr(), len(body), body)
	_, _ = u.conn.Write([]byte(b.String()))
}

// send sends a request. Headers may hold "Name: value" lines.
func (u *uac) send(method string, seq int, headers []string, body string) error {
	to := u.to
	if to == "" {
		to = "<sip:rec@192.0.2.9>"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s sip:rec@192.0.2.9 SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bK%s%s%d;rport\r\nMax-Forwards: 70\r\nFrom: <%s>;tag=%s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %d %s\r\nContact: <sip:sbc@%s>;+sip.src\r\n",
		method, u.conn.LocalAddr(), u.tag, method, seq, u.from, u.tag, to, u.callID, seq, method, u.conn.LocalAddr())
	for _, h := range headers {
		b.WriteString(h + "\r\n")
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(body), body)
	_, err := u.conn.Write([]byte(b.String()))
	return err
}

// ask sends a request and waits for its final answer, which an INVITE acknowledges with ackBody.
func (u *uac) ask(ctx context.Context, method, body, ackBody string, headers ...string) (*message, error) {
	u.seq++
	seq := u.seq
	if err := u.send(method, seq, headers, body); err != nil {
		return nil, err
	}
	resend := time.NewTicker(500 * time.Millisecond)
	defer resend.Stop()
	for {
		select {
		case m := <-u.answers:
			if m.get("CSeq") != fmt.Sprintf("%d %s", seq, method) {
				continue
			}
			if method != "INVITE" {
				return m, nil
			}
			if m.status < 300 {
				u.to = m.get("To")
			}
			ack := []string(nil)
			if ackBody != "" {
				ack = []string{"Content-Type: application/sdp"}
			}
			return m, u.send("ACK", seq, ack, ackBody)
		case <-resend.C:
			if err := u.send(method, seq, headers, body); err != nil {
				return nil, err
			}
		case <-ctx.Done():
			return nil, fmt.Errorf("no answer to %s: %w", method, ctx.Err())
		}
	}
}

// begin invites with an offer of plain SDP and gets ready to send.
func (u *uac) begin(ctx context.Context, offer string, headers ...string) (*message, error) {
	return u.invite(ctx, offer, append(headers, "Content-Type: application/sdp")...)
}

// invite invites, or changes the call, and gets ready to send on each line of the answer.
func (u *uac) invite(ctx context.Context, body string, headers ...string) (*message, error) {
	m, err := u.ask(ctx, "INVITE", body, "", headers...)
	if err != nil || m.status >= 300 {
		return m, err
	}
	return m, u.connect(m.body)
}

// connect opens the sockets for audio of an SDP of the server's.
func (u *uac) connect(description []byte) error {
	d, err := sdp.Parse(description)
	if err != nil {
		return err
	}
	for i, s := range d.Sections {
		if i < len(u.lines) {
			continue
		}
		conn, err := net.Dial("udp", netip.AddrPortFrom(s.Address, uint16(s.Port)).String())
		if err != nil {
			return err
		}
		u.lines = append(u.lines, &sender{conn: conn, ssrc: uint32(1000 + i), label: s.Label, seq: 7})
	}
	return nil
}

func (u *uac) vanish() {
	_ = u.conn.Close()
	u.reading.Wait()
	for _, l := range u.lines {
		_ = l.conn.Close()
	}
}

// sender is the audio of one line.
type sender struct {
	conn  net.Conn
	label string
	ssrc  uint32
	seq   uint16
	time  uint32
}

// play sends mu-law in packets of 20 ms.
func (s *sender) play(muLaw []byte) error {
	for ; len(muLaw) >= 160; muLaw = muLaw[160:] {
		b, err := (&rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: s.seq, Timestamp: s.time, SSRC: s.ssrc}, Payload: muLaw[:160]}).Marshal()
		if err != nil {
			return err
		}
		if _, err := s.conn.Write(b); err != nil {
			return err
		}
		s.seq++
		s.time += 160
	}
	return nil
}

// twoLines is an offer with a line for each label; none gives one line without.
func twoLines(labels ...string) string {
	var b strings.Builder
	b.WriteString("v=0\r\no=sbc 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n")
	for i, label := range labels {
		fmt.Fprintf(&b, "m=audio %d RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendonly\r\na=label:%s\r\n", 6000+2*i, label)
	}
	return b.String()
}

func trackNamed(name string) media.TrackID { return media.TrackID(name) }
