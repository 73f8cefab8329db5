package signal

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/icholy/digest"
)

func TestWhoMayCall(t *testing.T) {
	trunks := []Trunk{
		{Name: "strict", Addresses: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/28")}, Certificates: []string{"sbc.example.com"}},
		trunk("plain", "198.51.100.0/24", "2001:db8::/32"),
		{Name: "named", Certificates: []string{"*.partner.example", "other.example"}},
	}
	for _, row := range []struct {
		name     string
		addr     string
		names    []string
		insecure bool
		want     string
		proof    Proof
		verdict  verdict
	}{
		{"by address", "198.51.100.77:5060", nil, false, "plain", ProofAddress, welcome},
		{"by IPv6 address", "[2001:db8::7]:5060", nil, false, "plain", ProofAddress, welcome},
		{"by both", "198.51.100.5:5060", []string{"x", "SBC.example.com."}, false, "strict", ProofCertificate, welcome},
		{"the address alone", "198.51.100.5:5060", nil, false, "plain", ProofAddress, welcome},
		{"by name", "203.0.113.5:5060", []string{"a.partner.example"}, false, "named", ProofCertificate, welcome},
		{"two labels", "203.0.113.5:5060", []string{"a.b.partner.example"}, false, "", ProofNone, stranger},
		{"no label", "203.0.113.5:5060", []string{"partner.example"}, false, "", ProofNone, stranger},
		{"a stranger", "203.0.113.5:5060", nil, false, "", ProofNone, stranger},
		{"a stranger to an open server", "203.0.113.5:5060", nil, true, "", ProofNone, welcome},
	} {
		t.Run(row.name, func(t *testing.T) {
			g := gate{trunks: trunks, insecure: row.insecure, digest: newDigester("r", func(string) {})}
			p, v := g.check(&flow{transport: TLS, remote: netip.MustParseAddrPort(row.addr), names: row.names}, nil)
			if p.Trunk != row.want || p.Proof != row.proof || v != row.verdict || p.Trusted != (row.want != "") {
				t.Errorf("check() = %+v, %v; want trunk %q, %s, %v", p, v, row.want, row.proof, row.verdict)
			}
		})
	}
}

func TestStrangers(t *testing.T) {
	t.Run("UDP", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			p := r.phone("203.0.113.9:5060")
			p.send("INVITE", sdpType, "", "v=0")
			p.want("SIP/2.0 403")
			for range 50 {
				p.send("OPTIONS")
			}
			p.silent(time.Second)
			time.Sleep(DefaultRefusalInterval)
			p.send("OPTIONS")
			p.want("SIP/2.0 403")
			p.write([]byte("OPTIONS sip:x SIP/2.0\r\n\r\n"))
			p.silent(time.Second)
			if got := r.counts.of(CountStranger); got != 53 {
				t.Errorf("%d are counted; want 53", got)
			}
			check(t, "events", r.fake.seen(), nil)
			r.end()
		})
	})
	t.Run("TCP", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			p := r.tcpPhone("203.0.113.9:5060")
			p.send("OPTIONS")
			p.want("SIP/2.0 403")
			p.want("closed")
			silent := r.tcpPhone("203.0.113.9:5062")
			time.Sleep(DefaultHandshake + time.Second)
			silent.want("closed")
			known := r.tcpPhone("198.51.100.9:5062")
			known.silent(30 * time.Minute)
			time.Sleep(31 * time.Minute)
			known.want("closed")
			p.hangup()
			silent.hangup()
			known.hangup()
			r.end()
		})
	})
	t.Run("in a dialog of another", func(t *testing.T) {
		inCall(t, func(r *rig, p *phone) {
			for addr, want := range map[string]string{"203.0.113.9:5060": "SIP/2.0 403", "192.0.2.99:5060": "SIP/2.0 481"} {
				q := r.phone(addr)
				q.callID, q.from, q.to, q.cseq = p.callID, p.from, p.to, p.cseq
				q.send("BYE")
				q.want(want)
			}
			moved := r.phone("198.51.100.200:5060") // of the same trunk
			moved.callID, moved.from, moved.to, moved.cseq = p.callID, p.from, p.to, p.cseq
			moved.send("INFO")
			moved.want("SIP/2.0 200")
			check(t, "events", r.fake.seen(), []string{"info "})
		}, func(c *Config) { c.Trunks = append(c.Trunks, trunk("other", "192.0.2.0/24")) })
	})
}

func TestOpenModeTrustsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Trunks, c.Insecure = nil, true })
		p := r.phone("203.0.113.9:5060")
		p.call()
		if got := r.fake.firstPeer(); got.Trusted || got.Proof != ProofNone || got.Trunk != "" || got.Transport != UDP {
			t.Errorf("peer = %+v", got)
		}
		p.bye()
		r.end()
	})
}

func TestDigest(t *testing.T) {
	users := func(c *Config) {
		c.Trunks = []Trunk{{Name: "home", Users: []User{{"ann", "secret"}, {"bob", "other"}}}}
	}
	credentials := func(t *testing.T, m, algorithm string, method string, count int, password string) string {
		t.Helper()
		for l := range strings.SplitSeq(m, "\r\n") {
			v, ok := strings.CutPrefix(l, "WWW-Authenticate: ")
			if !ok {
				continue
			}
			chal, err := digest.ParseChallenge(v)
			if err != nil {
				t.Fatal(err)
			}
			if chal.Algorithm != algorithm {
				continue
			}
			cred, err := digest.Digest(chal, digest.Options{Method: method, URI: "sip:srs@192.0.2.1", Count: count, Username: "ann", Password: password})
			if err != nil {
				t.Fatal(err)
			}
			return "Authorization: " + cred.String()
		}
		t.Fatalf("no challenge with %s in:\n%s", algorithm, m)
		return ""
	}
	for _, algorithm := range []string{"MD5", "SHA-256"} {
		t.Run(algorithm, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, users)
				p := r.phone("203.0.113.9:5060")
				p.send("INVITE", sdpType, "", "v=0")
				m := p.want("SIP/2.0 401")
				p.write([]byte(p.build("ACK", p.cseq)))
				auth := credentials(t, m, algorithm, "INVITE", 1, "secret")
				p.call(auth)
				if got := r.fake.firstPeer(); got.Proof != ProofDigest || got.User != "ann" || !got.Trusted || got.Trunk != "home" {
					t.Errorf("peer = %+v", got)
				}
				p.send("INFO") // from the same address
				p.want("SIP/2.0 200")
				elsewhere := r.phone("203.0.113.10:5060")
				elsewhere.callID, elsewhere.from, elsewhere.to, elsewhere.cseq = p.callID, p.from, p.to, p.cseq
				elsewhere.send("INFO")
				m = elsewhere.want("SIP/2.0 401")
				elsewhere.send("INFO", credentials(t, m, algorithm, "INFO", 1, "secret"))
				elsewhere.want("SIP/2.0 200")
				p.cseq = elsewhere.cseq
				p.bye()

				replay := r.phone("203.0.113.66:5060")
				replay.send("INVITE", auth, sdpType, "", "v=0")
				if m := replay.want("SIP/2.0 401"); !strings.Contains(m, "stale=true") {
					t.Errorf("an answer that was used is not stale:\n%s", m)
				}
				r.end()
			})
		})
	}
	t.Run("wrong", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, users)
			p := r.phone("203.0.113.9:5060")
			p.send("INVITE")
			m := p.want("SIP/2.0 401")
			p.send("INVITE", credentials(t, m, "MD5", "INVITE", 1, "guess"))
			p.want("SIP/2.0 401")
			p.send("INVITE", credentials(t, m, "MD5", "INVITE", 2, "guess again"))
			p.silent(time.Second)
			if r.counts.of(CountDigest) != 1 {
				t.Error("it is not counted")
			}
			r.end()
		})
	})
	t.Run("stale", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, users)
			p := r.phone("203.0.113.9:5060")
			p.send("OPTIONS")
			m := p.want("SIP/2.0 401")
			time.Sleep(nonceLife + time.Second)
			p.send("OPTIONS", credentials(t, m, "MD5", "OPTIONS", 1, "secret"))
			if m = p.want("SIP/2.0 401"); !strings.Contains(m, "stale=true") {
				t.Errorf("not stale:\n%s", m)
			}
			p.send("OPTIONS", credentials(t, m, "MD5", "OPTIONS", 1, "secret"))
			p.want("SIP/2.0 200")
			r.end()
		})
	})
}

func TestBucketsAreBounded(t *testing.T) {
	b := newBuckets(1, 2)
	for i := range 3 * maxBuckets {
		b.take(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}))
	}
	if len(b.table) > maxBuckets {
		t.Errorf("%d entries; want at most %d", len(b.table), maxBuckets)
	}
	a := netip.MustParseAddr("2001:db8::1")
	got := []bool{b.take(a), b.take(netip.MustParseAddr("2001:db8::2")), b.take(a)}
	if !got[0] || !got[1] || got[2] {
		t.Errorf("a /64 got %v; want two tokens", got)
	}
}

func TestConfig(t *testing.T) {
	good := Config{Trunks: []Trunk{trunk("a", "10.0.0.0/8")}}
	for _, row := range []struct {
		name string
		set  func(*Config)
		want string // "" is good
	}{
		{"good", func(*Config) {}, ""},
		{"nobody", func(c *Config) { c.Trunks = nil }, "nobody may call"},
		{"open", func(c *Config) { c.Trunks, c.Insecure = nil, true }, ""},
		{"no proof", func(c *Config) { c.Trunks = []Trunk{{Name: "b"}} }, `trunk "b" must state`},
		{"no name", func(c *Config) { c.Trunks[0].Name = "" }, "trunks[0] needs a name"},
		{"no password", func(c *Config) { c.Trunks[0].Users = []User{{Name: "u"}} }, "without a password"},
		{"contact", func(c *Config) { c.Contact.TLS = "sip.example.com:5061" }, ""},
		{"contact without port", func(c *Config) { c.Contact = Contact{UDP: "sip.example.com", TCP: "2001:db8::1"} }, ""},
		{"bad contact", func(c *Config) { c.Contact.UDP = "a b:5060" }, "bad host"},
		{"bad port", func(c *Config) { c.Contact.UDP = "a:99999" }, "bad port"},
		{"timers", func(c *Config) { c.SessionExpires = time.Second }, "session_expires below its minimum"},
		{"limits", func(c *Config) { c.Limits.Dialogs = -1 }, "limits must not be negative"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := good
			c.Trunks = append([]Trunk(nil), good.Trunks...)
			row.set(&c)
			_, err := New(c, &fake{}, testLog(), func(string) {})
			if (row.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), row.want) {
				t.Errorf("New() = %v; want %q", err, row.want)
			}
		})
	}
}
