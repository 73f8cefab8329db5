package sim

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
)

// standIn is a recording server just good enough to hold the simulator against: sipgo
// reads its messages, and every packet is kept.
type standIn struct {
	t    *testing.T
	uri  string
	odd  func(answer string) string // spoils answers
	deny int                        // INVITEs that are challenged first

	mu      sync.Mutex
	dialogs map[string]*standInDialog
	asked   []string // methods, in order
}

type standInDialog struct {
	callID  string
	mu      sync.Mutex // one request at a time
	version int
	streams []*standInStream
}

type standInStream struct {
	label   string
	payload uint8
	events  uint8
	conn    net.PacketConn
	keys    *srtp.Context
	held    bool

	mu      sync.Mutex
	packets map[uint16]*rtp.Packet
	double  int
	digits  map[uint32]byte // by RTP time
	late    int             // came while held
	order   []uint16
}

func newStandIn(t *testing.T, transport string, secure *tls.Config) *standIn {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	s := &standIn{t: t, dialogs: map[string]*standInDialog{}}
	ua, err := sipgo.NewUA(sipgo.WithUserAgentTransportLayerOptions(sip.WithTransportLayerLogger(quiet)), sipgo.WithUserAgentTransactionLayerOptions(sip.WithTransactionLayerLogger(quiet)))
	if err != nil {
		t.Fatal(err)
	}
	srv, err := sipgo.NewServer(ua, sipgo.WithServerLogger(quiet))
	if err != nil {
		t.Fatal(err)
	}
	srv.OnInvite(s.invite)
	srv.OnUpdate(s.invite)
	srv.OnAck(func(r *sip.Request, _ sip.ServerTransaction) { s.ack(r) })
	srv.OnBye(func(r *sip.Request, tx sip.ServerTransaction) {
		s.note("BYE")
		s.say(tx, sip.NewResponseFromRequest(r, 200, "OK", nil))
	})
	var served sync.WaitGroup
	var stop func() error
	if transport == "udp" {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s.uri, stop = "sip:srs@"+c.LocalAddr().String(), c.Close
		served.Go(func() { _ = srv.ServeUDP(c) })
	} else {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s.uri, stop = "sip:srs@"+l.Addr().String()+";transport="+transport, l.Close
		if secure != nil {
			l = tls.NewListener(l, secure)
			served.Go(func() { _ = srv.ServeTLS(l) })
		} else {
			served.Go(func() { _ = srv.ServeTCP(l) })
		}
	}
	t.Cleanup(func() {
		_ = stop()
		_ = srv.Close()
		_ = ua.Close()
		served.Wait()
		for _, d := range s.dialogs {
			for _, st := range d.streams {
				_ = st.conn.Close()
			}
		}
	})
	return s
}

// spoil makes the stand-in challenge so many INVITEs, or spoil its answers.
func (s *standIn) spoil(deny int, odd func(string) string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deny, s.odd = deny, odd
}

func (s *standIn) note(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, what)
}

func (s *standIn) methods() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

func (s *standIn) say(tx sip.ServerTransaction, r *sip.Response) {
	if err := tx.Respond(r); err != nil {
		s.t.Errorf("stand-in: %v", err)
	}
}

// description cuts the SDP out of a body.
func sdpOf(body []byte) []byte {
	_, rest, ok := bytes.Cut(body, []byte("v=0"))
	if !ok {
		return nil
	}
	rest, _, _ = bytes.Cut(rest, []byte("\r\n--"))
	return append([]byte("v=0"), rest...)
}

func (s *standIn) invite(r *sip.Request, tx sip.ServerTransaction) {
	s.note(r.Method.String())
	s.mu.Lock()
	challenge, odd := s.deny > 0, s.odd
	s.deny--
	s.mu.Unlock()
	if challenge {
		res := sip.NewResponseFromRequest(r, 401, "Unauthorized", nil)
		res.AppendHeader(sip.NewHeader("WWW-Authenticate", `Digest realm="standin", nonce="n, 1", qop="auth", algorithm=SHA-256, opaque="o"`))
		s.say(tx, res)
		return
	}
	d := s.dialog(r.CallID().Value())
	d.mu.Lock()
	var body []byte
	offer := sdpOf(r.Body())
	if offer != nil {
		body = s.answer(d, offer)
	} else if r.IsInvite() {
		body = s.offer(d)
	}
	d.mu.Unlock()
	if body != nil && odd != nil {
		body = []byte(odd(string(body)))
	}
	res := sip.NewResponseFromRequest(r, 200, "OK", body)
	res.AppendHeader(sip.NewHeader("Contact", "<"+s.uri+">;+sip.srs"))
	if len(body) > 0 {
		res.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
	}
	s.say(tx, res)
}

func (s *standIn) ack(r *sip.Request) {
	d := s.dialog(r.CallID().Value())
	d.mu.Lock()
	defer d.mu.Unlock()
	if answer := sdpOf(r.Body()); answer != nil {
		theirs, err := readDescription(answer)
		if err != nil || len(theirs.media) != len(d.streams) {
			s.t.Errorf("stand-in: the answer in the ACK has %d sections, %v", len(theirs.media), err)
		}
	}
}

func (s *standIn) dialog(callID string) *standInDialog {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dialogs[callID] == nil {
		s.dialogs[callID] = &standInDialog{callID: callID}
	}
	return s.dialogs[callID]
}

func (s *standIn) stream(d *standInDialog, i int) *standInStream {
	for len(d.streams) <= i {
		var c net.PacketConn
		for c == nil {
			p, err := tryPair(netip.MustParseAddr("127.0.0.1"), 0)
			if err != nil {
				s.t.Error(err)
				break
			}
			if p != nil {
				_ = p.rtcp.Close()
				c = p.rtp
			}
		}
		st := &standInStream{conn: c, packets: map[uint16]*rtp.Packet{}, digits: map[uint32]byte{}}
		go st.read() // until the connection is closed
		d.streams = append(d.streams, st)
	}
	return d.streams[i]
}

func (s *standIn) head(d *standInDialog) string {
	d.version++
	return fmt.Sprintf("v=0\r\no=standin 7 %d IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n", d.version)
}

func (s *standIn) offer(d *standInDialog) []byte {
	st := s.stream(d, 0)
	st.mu.Lock()
	st.payload, st.events = 0, 101
	st.mu.Unlock()
	return []byte(s.head(d) + fmt.Sprintf("m=audio %d RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=recvonly\r\n", port(st.conn)))
}

func port(c net.PacketConn) int { return c.LocalAddr().(*net.UDPAddr).Port }

func (s *standIn) answer(d *standInDialog, offer []byte) []byte {
	theirs, err := readDescription(offer)
	if err != nil {
		s.t.Errorf("stand-in: %v in\n%s", err, offer)
		return nil
	}
	b := s.head(d)
	voices := 0
	for _, m := range theirs.media {
		if m.kind != "audio" {
			b += fmt.Sprintf("m=%s 0 %s %s\r\n", m.kind, m.profile, m.formats[0])
			continue
		}
		st := s.stream(d, voices)
		voices++
		b += s.section(st, m)
	}
	return []byte(b)
}

func (s *standIn) section(st *standInStream, m mediaLine) string {
	st.mu.Lock()
	defer st.mu.Unlock()
	voice, event := "", ""
	for _, pt := range m.formats {
		switch t, _ := m.codec(pt); {
		case t.Rate > 0 && (voice == "" || voice == "111"): // Opus only if there is nothing else
			voice = pt
			_, _ = fmt.Sscan(pt, &st.payload)
		case t.Name == "telephone-event" && event == "":
			event = pt
			_, _ = fmt.Sscan(pt, &st.events)
		}
	}
	st.label = m.label
	st.held = m.direction == "inactive" || m.addr.IsValid() && m.addr.IsUnspecified()
	b := fmt.Sprintf("m=audio %d %s %s %s\r\na=rtpmap:%s %s\r\n", port(st.conn), m.profile, voice, event, voice, m.rtpmap[voice])
	if m.label != "" {
		b += "a=label:" + m.label + "\r\n"
	}
	if len(m.crypto) > 0 {
		c := m.crypto[0]
		context, err := newContext(c.suite, c.key)
		if err != nil {
			s.t.Error(err)
		}
		if st.keys == nil {
			st.keys = context
		}
		own, err := newKey(c.suite)
		if err != nil {
			s.t.Error(err)
		}
		b += fmt.Sprintf("a=crypto:%s %s inline:%s\r\n", c.tag, c.suite, base64.StdEncoding.EncodeToString(own))
	}
	if st.held {
		return b + "a=inactive\r\n"
	}
	return b + "a=recvonly\r\n"
}

func (st *standInStream) read() {
	buf := make([]byte, 2048)
	for {
		n, _, err := st.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		st.take(bytes.Clone(buf[:n]))
	}
}

func (st *standInStream) take(b []byte) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.keys != nil {
		clear, err := st.keys.DecryptRTP(nil, b, nil)
		if err != nil {
			return
		}
		b = clear
	}
	p := &rtp.Packet{}
	if err := p.Unmarshal(b); err != nil {
		return
	}
	if st.held {
		st.late++
	}
	if st.packets[p.SequenceNumber] != nil {
		st.double++
		return
	}
	st.packets[p.SequenceNumber] = p
	st.order = append(st.order, p.SequenceNumber)
	if p.PayloadType == st.events && len(p.Payload) == 4 && p.Payload[1]&0x80 != 0 {
		st.digits[p.Timestamp] = "0123456789*#ABCD"[p.Payload[0]&15]
	}
}

// audio are the voice packets in the order of their sequence numbers.
func (st *standInStream) audio() (list []*rtp.Packet) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if len(st.order) == 0 {
		return nil
	}
	first := st.order[0] - 50 // some of the first may have been overtaken
	for _, n := range slices.SortedFunc(maps.Keys(st.packets), func(a, b uint16) int { return int(a-first) - int(b-first) }) {
		if p := st.packets[n]; p.PayloadType == st.payload {
			list = append(list, p)
		}
	}
	return list
}

func (st *standInStream) dialled() string {
	st.mu.Lock()
	defer st.mu.Unlock()
	var b strings.Builder
	for _, at := range slices.Sorted(maps.Keys(st.digits)) {
		b.WriteByte(st.digits[at])
	}
	return b.String()
}
