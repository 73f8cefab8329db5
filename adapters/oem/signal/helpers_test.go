package signal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memPackets is a UDP socket in memory, for bubbles.
type memPackets struct {
	addr *net.UDPAddr
	in   chan packet
	out  func(b []byte, to string)
	once sync.Once
	done chan struct{}
}

type packet struct {
	b    []byte
	from net.Addr
}

func (p *memPackets) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case k := <-p.in:
		return copy(b, k.b), k.from, nil
	case <-p.done:
		return 0, nil, net.ErrClosed
	}
}

func (p *memPackets) WriteTo(b []byte, to net.Addr) (int, error) {
	p.out(slices.Clone(b), to.String())
	return len(b), nil
}

func (p *memPackets) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}
func (p *memPackets) LocalAddr() net.Addr              { return p.addr }
func (p *memPackets) SetDeadline(time.Time) error      { return nil }
func (p *memPackets) SetReadDeadline(time.Time) error  { return nil }
func (p *memPackets) SetWriteDeadline(time.Time) error { return nil }

// memListener is a TCP listener in memory.
type memListener struct {
	addr  *net.TCPAddr
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newMemListener() *memListener {
	return &memListener{addr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 5060}, conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *memListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}
func (l *memListener) Addr() net.Addr { return l.addr }

type memConn struct {
	net.Conn
	local, remote net.Addr
}

func (c memConn) LocalAddr() net.Addr  { return c.local }
func (c memConn) RemoteAddr() net.Addr { return c.remote }

// dial gives a client its end.
func (l *memListener) dial(from string) net.Conn {
	a, b := net.Pipe()
	l.conns <- memConn{b, l.addr, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from))}
	return a
}

// fake is a Handler whose answers are set, and which notes what comes.
type fake struct {
	mu     sync.Mutex
	events []string
	dialog *Dialog
	peers  []Peer
	last   *Request

	invite func(context.Context, *Dialog, *Request) (Session, Answer)
	change func(*Request) Answer
	inform func(*Request) Answer
}

func (f *fake) note(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, fmt.Sprintf(format, args...))
}

func (f *fake) seen() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.events)
}

func (f *fake) Invite(ctx context.Context, d *Dialog, r *Request) (Session, Answer) {
	f.note("invite")
	f.mu.Lock()
	f.dialog, f.last = d, r
	f.peers = append(f.peers, r.Peer)
	decide := f.invite
	f.mu.Unlock()
	if decide != nil {
		return decide(ctx, d, r)
	}
	return fakeSession{f}, Answer{Body: []byte("v=0 answer\r\n")}
}

// decide sets what Invite does.
func (f *fake) decide(invite func(context.Context, *Dialog, *Request) (Session, Answer)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.invite = invite
}

func (f *fake) lastRequest() *Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}

func (f *fake) lastDialog() *Dialog {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dialog
}

func (f *fake) firstPeer() Peer {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.peers[0]
}

type fakeSession struct{ f *fake }

func (s fakeSession) Change(r *Request) Answer {
	s.f.note("change %s %d", r.Method, r.CSeq)
	s.f.mu.Lock()
	s.f.last = r
	s.f.mu.Unlock()
	if s.f.change != nil {
		return s.f.change(r)
	}
	return Answer{}
}
func (s fakeSession) Acknowledge(r *Request) { s.f.note("ack %s", r.Body) }
func (s fakeSession) Inform(r *Request) Answer {
	s.f.note("info %s", r.Body)
	if s.f.inform != nil {
		return s.f.inform(r)
	}
	return Answer{}
}
func (s fakeSession) End(c EndCause)       { s.f.note("end %s", c) }
func (s fakeSession) Refreshed(sdp []byte) { s.f.note("refreshed %s", sdp) }

// counts is what a server counted.
type counts struct {
	mu sync.Mutex
	m  map[string]int
}

func (c *counts) count(kind string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.m[kind]++
}

func (c *counts) of(kind string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.m[kind]
}

// rig is a server in memory with its peers.
type rig struct {
	t      *testing.T
	server *Server
	fake   *fake
	counts *counts
	udp    *memPackets
	tcp    *memListener

	mu     sync.Mutex
	phones map[string]*phone // by address
	stop   context.CancelFunc
	done   chan struct{}
	err    error
}

func testLog() *slog.Logger {
	if os.Getenv("SIGNAL_LOG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	return slog.New(slog.DiscardHandler)
}

func trunk(name string, addresses ...string) Trunk {
	t := Trunk{Name: name}
	for _, a := range addresses {
		t.Addresses = append(t.Addresses, netip.MustParsePrefix(a))
	}
	return t
}

// newRig serves in memory. The calling test runs in a bubble.
func newRig(t *testing.T, set ...func(*Config)) *rig {
	t.Helper()
	cfg := Config{Trunks: []Trunk{trunk("sbc", "198.51.100.0/24")}}
	for _, f := range set {
		f(&cfg)
	}
	r := &rig{t: t, fake: &fake{}, counts: &counts{m: map[string]int{}}, phones: map[string]*phone{}, done: make(chan struct{})}
	s, err := New(cfg, r.fake, testLog(), r.counts.count)
	if err != nil {
		t.Fatal(err)
	}
	r.server = s
	s.lookup = func(_ context.Context, host string) (netip.Addr, error) { // the system's resolver is not for bubbles
		if host == "proxy.example.com" {
			return netip.MustParseAddr("198.51.100.99"), nil
		}
		return netip.ParseAddr(host)
	}
	r.udp = &memPackets{addr: &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 5060}, in: make(chan packet, 64), done: make(chan struct{})}
	r.udp.out = func(b []byte, to string) {
		r.mu.Lock()
		p := r.phones[to]
		r.mu.Unlock()
		if p != nil {
			select {
			case p.came <- string(b):
			default: // a peer that hears nothing
			}
		}
	}
	r.tcp = newMemListener()
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	go func() {
		defer close(r.done)
		r.err = s.Serve(ctx, Listeners{UDP: r.udp, TCP: r.tcp})
	}()
	t.Cleanup(func() { // when a test fails halfway
		stop()
		<-r.done
	})
	return r
}

// end stops the server and checks that nothing is left of it.
func (r *rig) end() {
	r.t.Helper()
	r.stop()
	if <-r.done; r.err != nil {
		r.t.Errorf("Serve() = %v", r.err)
	}
	r.empty()
}

func (r *rig) empty() {
	r.t.Helper()
	s := r.server
	if n := s.Dialogs(); n != 0 {
		r.t.Errorf("%d dialogs are left", n)
	}
	s.dialogs.mu.Lock()
	if n := len(s.dialogs.byTag) + len(s.dialogs.byCall); n != 0 {
		r.t.Errorf("%d entries of dialogs are left", n)
	}
	s.dialogs.mu.Unlock()
	s.txs.mu.Lock()
	if n := len(s.txs.server) + len(s.txs.client); n != 0 {
		r.t.Errorf("%d transactions are left", n)
	}
	s.txs.mu.Unlock()
	s.streams.mu.Lock()
	if n := len(s.streams.conns) + len(s.streams.from); n != 0 {
		r.t.Errorf("%d connections are left", n)
	}
	s.streams.mu.Unlock()
}

// phone is a user agent client of our own, made of raw messages.
type phone struct {
	t         *testing.T
	addr      string
	transport string
	write     func([]byte)
	came      chan string
	hangup    func()

	callID, from, to string // to has our tag once it is known
	cseq             int
	branches         int
	extra            []string // header lines of each request
	contact          string
}

var calls struct {
	sync.Mutex
	n int
}

func newPhone(t *testing.T, addr, transport string, write func([]byte)) *phone {
	calls.Lock()
	calls.n++
	n := calls.n
	calls.Unlock()
	return &phone{
		t: t, addr: addr, transport: transport, write: write, came: make(chan string, 4096),
		callID: fmt.Sprintf("call-%d@%s", n, addr), from: fmt.Sprintf("<sip:src@sbc.example.com>;tag=f%d", n), to: "<sip:srs@192.0.2.1>",
		contact: "<sip:src@" + addr + ">;+sip.src",
	}
}

func (r *rig) phone(addr string) *phone {
	from := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(addr))
	p := newPhone(r.t, addr, "UDP", func(b []byte) { r.udp.in <- packet{slices.Clone(b), from} })
	r.mu.Lock()
	defer r.mu.Unlock()
	r.phones[addr] = p
	return p
}

// tcpPhone reads messages from a connection in the background until it ends.
func (r *rig) tcpPhone(addr string) *phone {
	p := newPhone(r.t, addr, "TCP", nil)
	p.connect(r.tcp.dial(addr))
	return p
}

func (p *phone) connect(conn net.Conn) {
	p.write = func(b []byte) { _, _ = conn.Write(b) }
	gone := make(chan struct{})
	p.hangup = func() { _ = conn.Close(); <-gone }
	go func() {
		defer close(gone)
		for rest := ""; ; {
			b := make([]byte, 65536)
			n, err := conn.Read(b)
			rest += string(b[:n])
			for {
				if pong, ok := strings.CutPrefix(rest, "\r\n"); ok {
					p.came <- "\r\n"
					rest = pong
				}
				head, body, ok := strings.Cut(rest, "\r\n\r\n")
				if !ok {
					break
				}
				l, _ := strconv.Atoi(line(head, "Content-Length"))
				if len(body) < l {
					break
				}
				p.came <- head + "\r\n\r\n" + body[:l]
				rest = body[l:]
			}
			if err != nil {
				p.came <- "closed"
				return
			}
		}
	}()
}

// line returns the value of a header.
func line(msg, name string) string {
	for l := range strings.SplitSeq(msg, "\r\n") {
		if n, v, ok := strings.Cut(l, ":"); ok && strings.EqualFold(n, name) {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// build makes a request. CSeq 0 is the next; extra lines follow those of the phone, and
// the first empty one is followed by the body.
func (p *phone) build(method string, cseq int, lines ...string) string {
	if cseq == 0 {
		p.cseq++
		cseq = p.cseq
	}
	p.branches++
	var b strings.Builder
	fmt.Fprintf(&b, "%s sip:srs@192.0.2.1 SIP/2.0\r\n", method)
	fmt.Fprintf(&b, "Via: SIP/2.0/%s %s;branch=z9hG4bK%s-%d;rport\r\n", p.transport, p.addr, strings.Map(word, p.callID), p.branches)
	fmt.Fprintf(&b, "From: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %d %s\r\nMax-Forwards: 70\r\n", p.from, p.to, p.callID, cseq, method)
	if p.contact != "" {
		fmt.Fprintf(&b, "Contact: %s\r\n", p.contact)
	}
	body := ""
	for i, l := range append(slices.Clone(p.extra), lines...) {
		if l == "" {
			body = strings.Join(append(slices.Clone(p.extra), lines...)[i+1:], "\r\n")
			break
		}
		b.WriteString(l + "\r\n")
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(body), body)
	return b.String()
}

func word(r rune) rune {
	if strings.ContainsRune("@.:-", r) {
		return 'x'
	}
	return r
}

func (p *phone) send(method string, lines ...string) string {
	m := p.build(method, 0, lines...)
	p.write([]byte(m))
	return m
}

var errSilence = errors.New("silence")

// next returns the next message, but for provisional answers.
func (p *phone) next(within time.Duration) (string, error) {
	t := time.NewTimer(within)
	defer t.Stop()
	for {
		select {
		case m := <-p.came:
			if strings.HasPrefix(m, "SIP/2.0 100") {
				continue
			}
			return m, nil
		case <-t.C:
			return "", errSilence
		}
	}
}

// want waits for a message that begins so.
func (p *phone) want(begin string) string {
	p.t.Helper()
	m, err := p.next(time.Second)
	if err != nil || !strings.HasPrefix(m, begin) {
		p.t.Fatalf("got %q, %v; want %q", m, err, begin)
	}
	if t := ParseAddress(line(m, "To")).Tag(); strings.HasPrefix(m, "SIP/2.0 2") && t != "" {
		p.to = line(m, "To")
	}
	return m
}

// silent checks that nothing comes for a while.
func (p *phone) silent(within time.Duration) {
	p.t.Helper()
	if m, err := p.next(within); err == nil {
		p.t.Fatalf("got %q; want silence", m)
	}
}

const sdpType = "Content-Type: application/sdp"

// call sets a dialog up.
func (p *phone) call(lines ...string) string {
	p.t.Helper()
	p.send("INVITE", append(lines, sdpType, "", "v=0 offer")...)
	ok := p.want("SIP/2.0 200")
	p.ack()
	return ok
}

// ack acknowledges the latest INVITE, whose CSeq is the latest.
func (p *phone) ack(lines ...string) { p.write([]byte(p.build("ACK", p.cseq, lines...))) }

// answer answers a request of the server.
func (p *phone) answer(req, status string, lines ...string) {
	var b strings.Builder
	b.WriteString("SIP/2.0 " + status + "\r\n")
	for _, n := range []string{"Via", "From", "To", "Call-ID", "CSeq"} {
		b.WriteString(n + ": " + line(req, n) + "\r\n")
	}
	body := ""
	for i, l := range lines {
		if l == "" {
			body = strings.Join(lines[i+1:], "\r\n")
			break
		}
		b.WriteString(l + "\r\n")
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(body), body)
	p.write([]byte(b.String()))
}

// bye ends the dialog from the peer's side.
func (p *phone) bye() {
	p.t.Helper()
	p.send("BYE")
	p.want("SIP/2.0 200")
}

func check(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s = %q; want %q", what, got, want)
	}
}
