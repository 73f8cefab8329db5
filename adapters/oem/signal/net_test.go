package signal

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/patchbay/patchbay/core/adapter/adaptertest"
)

// These use real sockets: few, and short.

func serve(t *testing.T, cfg Config, l Listeners) (*Server, *fake) {
	t.Helper()
	f := &fake{}
	c := &counts{m: map[string]int{}}
	s, err := New(cfg, f, testLog(), c.count)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Serve() = %v", err)
		}
		(&rig{t: t, server: s}).empty()
	})
	return s, f
}

var loopback = Config{Trunks: []Trunk{trunk("loop", "127.0.0.0/8", "::1/128")}, StopGrace: 200 * time.Millisecond}

func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

func TestUDP(t *testing.T) {
	for _, bind := range []string{"127.0.0.1:0", ":0"} {
		t.Run(bind, func(t *testing.T) {
			sock, err := net.ListenPacket("udp", bind)
			if err != nil {
				t.Fatal(err)
			}
			_, f := serve(t, loopback, Listeners{UDP: sock})
			port := sock.LocalAddr().(*net.UDPAddr).Port
			conn, err := net.DialUDP("udp4", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
			if err != nil {
				t.Fatal(err)
			}
			p := newPhone(t, conn.LocalAddr().String(), "UDP", func(b []byte) {
				if _, err := conn.Write(b); err != nil {
					t.Error(err)
				}
			})
			gone := make(chan struct{})
			go func() {
				defer close(gone)
				for b := make([]byte, 1<<16); ; {
					n, err := conn.Read(b)
					if err != nil {
						return
					}
					p.came <- string(b[:n])
				}
			}()
			defer func() { _ = conn.Close(); <-gone }()
			big := strings.Repeat("a=x\r\n", 12000)
			f.decide(func(context.Context, *Dialog, *Request) (Session, Answer) {
				return fakeSession{f}, Answer{Body: []byte(big)}
			})
			p.write([]byte("\r\n\r\n")) // a keep-alive
			p.send("INVITE", sdpType, "", big)
			ok := p.want("SIP/2.0 200")
			if !strings.HasSuffix(ok, big) || string(f.lastRequest().Body) != big {
				t.Error("60 kB do not go both ways")
			}
			if want := fmt.Sprintf("<sip:127.0.0.1:%d;transport=udp>;+sip.srs", port); line(ok, "Contact") != want {
				t.Errorf("Contact = %s; want %s", line(ok, "Contact"), want)
			}
			p.ack()
			p.bye()
		})
	}
}

func TestTCP(t *testing.T) {
	ln := listen(t)
	s, f := serve(t, loopback, Listeners{TCP: ln})
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	first := dial()
	p := newPhone(t, first.LocalAddr().String(), "TCP", nil)
	p.connect(first)
	p.write([]byte("\r\n\r\n"))
	p.want("\r\n")
	invite := p.build("INVITE", 0, sdpType, "", strings.Repeat("a=x\r\n", 5000))
	for len(invite) > 0 { // in pieces
		n := min(700, len(invite))
		p.write([]byte(invite[:n]))
		invite = invite[n:]
	}
	ok := p.want("SIP/2.0 200")
	if want := fmt.Sprintf("<sip:%s;transport=tcp>;+sip.srs", ln.Addr()); line(ok, "Contact") != want {
		t.Errorf("Contact = %s; want %s", line(ok, "Contact"), want)
	}
	p.write([]byte(p.build("ACK", p.cseq) + p.build("INFO", 0) + "\r\n\r\n" + p.build("INFO", 0))) // in one
	got := map[string]int{}
	for range 3 {
		m, err := p.next(time.Second)
		if err != nil {
			t.Fatal(err)
		}
		got[m[:min(11, len(m))]]++
	}
	if got["SIP/2.0 200"] != 2 || got["\r\n"] != 1 {
		t.Errorf("got %v; want two answers and a pong", got)
	}

	p.hangup() // the dialog lives on
	<-p.came
	p.connect(dial())
	p.send("UPDATE")
	p.want("SIP/2.0 200")
	if s.Dialogs() != 1 {
		t.Error("the dialog is gone")
	}
	f.lastDialog().Bye("")
	p.answer(p.want("BYE"), "200 OK") // by the connection that there is
	p.hangup()
}

func TestBYEOverANewConnection(t *testing.T) {
	ln, peer := listen(t), listen(t)
	s, f := serve(t, loopback, Listeners{TCP: ln})
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	p := newPhone(t, conn.LocalAddr().String(), "TCP", nil)
	p.contact = "<sip:src@" + peer.Addr().String() + ";transport=tcp>"
	p.connect(conn)
	p.call()
	p.send("INFO")
	p.want("SIP/2.0 200")
	p.hangup()
	for open := 1; open > 0; {
		s.streams.mu.Lock()
		open = len(s.streams.conns)
		s.streams.mu.Unlock()
	}
	<-p.came
	f.lastDialog().Bye("")
	back, err := peer.Accept()
	if err != nil {
		t.Fatal(err)
	}
	p.connect(back)
	p.answer(p.want("BYE sip:src@"+peer.Addr().String()), "200 OK")
	_ = peer.Close()
	for s.Dialogs() > 0 {
		time.Sleep(time.Millisecond)
	}
	p.hangup()
}

func TestTLS(t *testing.T) {
	ca, other := adaptertest.NewAuthority(t), adaptertest.NewAuthority(t)
	server := &tls.Config{Certificates: []tls.Certificate{ca.Certificate("srs.example.com")}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: ca.Pool}
	for _, row := range []struct {
		name  string
		certs []tls.Certificate
		want  string
	}{
		{"listed", []tls.Certificate{ca.Certificate("sbc1.example.com")}, "SIP/2.0 200"},
		{"another name", []tls.Certificate{ca.Certificate("else.example.org")}, "SIP/2.0 403"},
		{"none", nil, "SIP/2.0 403"},
		{"another CA", []tls.Certificate{other.Certificate("sbc1.example.com")}, "closed"},
	} {
		t.Run(row.name, func(t *testing.T) {
			ln := listen(t)
			cfg := loopback
			cfg.Trunks = []Trunk{{Name: "tls", Certificates: []string{"*.example.com"}}}
			_, f := serve(t, cfg, Listeners{TLS: ln, TLSConfig: server})
			conn, err := tls.Dial("tcp", ln.Addr().String(), &tls.Config{RootCAs: ca.Pool, ServerName: "srs.example.com",
				GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
					if row.certs == nil {
						return new(tls.Certificate), nil
					}
					return &row.certs[0], nil
				}})
			if err != nil {
				t.Fatal(err)
			}
			p := newPhone(t, conn.LocalAddr().String(), "TLS", nil)
			p.connect(conn)
			p.send("INVITE", sdpType, "", "v=0")
			ok := p.want(row.want)
			if row.want == "SIP/2.0 200" {
				if want := fmt.Sprintf("<sip:%s;transport=tls>;+sip.srs", ln.Addr()); line(ok, "Contact") != want {
					t.Errorf("Contact = %s; want %s", line(ok, "Contact"), want)
				}
				if got := f.firstPeer(); got.Proof != ProofCertificate || got.Name != "sbc1.example.com" || got.Trunk != "tls" || got.Transport != TLS {
					t.Errorf("peer = %+v", got)
				}
				p.ack()
				p.bye()
			}
			p.hangup()
		})
	}
}

func TestOneTableForAllTransports(t *testing.T) {
	inCall(t, func(r *rig, p *phone) {
		q := r.tcpPhone("198.51.100.7:6000")
		q.callID, q.from, q.to, q.cseq = p.callID, p.from, p.to, p.cseq
		q.send("INFO")
		q.want("SIP/2.0 200")
		q.send("BYE")
		q.want("SIP/2.0 200")
		q.hangup()
	})
}

// A connection that is lost with our answer: the peer asks again by another, and gets it.
func TestAnAnswerFollowsToANewConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		p := r.tcpPhone("198.51.100.7:6000")
		invite := p.send("INVITE", sdpType, "", "v=0")
		p.want("SIP/2.0 200")
		p.hangup()
		p.want("closed")
		synctest.Wait()
		p.connect(r.tcp.dial("198.51.100.7:6001"))
		p.write([]byte(invite))
		p.want("SIP/2.0 200")
		p.ack()
		p.silent(time.Minute)
		p.bye()
		p.hangup()
		synctest.Wait()
		check(t, "events", r.fake.seen(), []string{"invite", "ack ", "end bye"})
		r.end()
	})
}

func TestStreams(t *testing.T) {
	for _, row := range []struct {
		name string
		send func(p *phone)
		want []string
	}{
		{"not SIP", func(p *phone) { p.write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")) }, []string{"closed"}},
		{"no Content-Length", func(p *phone) {
			p.write([]byte(strings.Replace(p.build("OPTIONS", 0), "Content-Length: 0\r\n", "", 1)))
		}, []string{"SIP/2.0 400", "closed"}},
		{"a negative Content-Length", func(p *phone) {
			p.write([]byte(strings.Replace(p.build("OPTIONS", 0), "Content-Length: 0", "Content-Length: -999", 1)))
		}, []string{"SIP/2.0 400", "closed"}},
		{"too long", func(p *phone) {
			p.write([]byte(strings.Replace(p.build("OPTIONS", 0), "Content-Length: 0", "Content-Length: 99999", 1)))
		}, []string{"SIP/2.0 413", "closed"}},
		{"an endless line", func(p *phone) { p.write([]byte("OPTIONS sip:x SIP/2.0\r\nX: " + strings.Repeat("x", 70000))) }, []string{"closed"}},
		{"malformed, yet framed", func(p *phone) {
			p.write([]byte(strings.Replace(p.build("OPTIONS", 0), "CSeq: 1", "CSeq: one", 1)))
			p.send("OPTIONS")
		}, []string{"SIP/2.0 400", "SIP/2.0 200"}},
		{"half a message", func(p *phone) { p.write([]byte("OPTIONS sip:x SIP/2.0\r\nVia:")) }, []string{"closed"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				p := r.tcpPhone("198.51.100.7:6000")
				row.send(p)
				for _, want := range row.want {
					m, err := p.next(time.Minute)
					if err != nil || !strings.HasPrefix(m, want) {
						t.Errorf("got %q, %v; want %q", m, err, want)
					}
				}
				p.hangup()
				r.end()
			})
		})
	}
	t.Run("too many", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.Limits.PeerConnections = 2 })
			a, b, c := r.tcpPhone("198.51.100.7:1"), r.tcpPhone("198.51.100.7:2"), r.tcpPhone("198.51.100.7:3")
			c.want("closed")
			a.send("OPTIONS")
			a.want("SIP/2.0 200")
			other := r.tcpPhone("198.51.100.8:1")
			other.send("OPTIONS")
			other.want("SIP/2.0 200")
			a.hangup()
			synctest.Wait()
			d := r.tcpPhone("198.51.100.7:4")
			d.send("OPTIONS")
			d.want("SIP/2.0 200")
			for _, p := range []*phone{b, c, other, d} {
				p.hangup()
			}
			r.end()
		})
	})
}
