package signal

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestOutsideDialogs(t *testing.T) {
	for _, row := range []struct {
		name  string
		do    func(p *phone)
		drain bool
		want  string
		has   []string
	}{
		{"OPTIONS", func(p *phone) { p.send("OPTIONS") }, false, "SIP/2.0 200 OK",
			[]string{"Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO", "Accept: multipart/mixed, application/sdp", "Supported: siprec, timer, replaces", ";+sip.srs"}},
		{"OPTIONS while draining", func(p *phone) { p.send("OPTIONS") }, true, "SIP/2.0 503", []string{"Retry-After: 10"}},
		{"INVITE while draining", func(p *phone) { p.send("INVITE") }, true, "SIP/2.0 503", []string{"Retry-After: 10"}},
		{"INVITE of a dialog that is gone", func(p *phone) { p.to += ";tag=old"; p.send("INVITE") }, false, "SIP/2.0 481", nil},
		{"UPDATE", func(p *phone) { p.send("UPDATE") }, false, "SIP/2.0 481", nil},
		{"BYE", func(p *phone) { p.send("BYE") }, false, "SIP/2.0 481", nil},
		{"INFO", func(p *phone) { p.send("INFO") }, false, "SIP/2.0 481", nil},
		{"PRACK", func(p *phone) { p.send("PRACK") }, false, "SIP/2.0 481", nil},
		{"REGISTER", func(p *phone) { p.send("REGISTER") }, false, "SIP/2.0 405", []string{"Allow: INVITE"}},
		{"SUBSCRIBE", func(p *phone) { p.send("SUBSCRIBE") }, false, "SIP/2.0 405", nil},
		{"unheard of", func(p *phone) { p.send("DANCE") }, false, "SIP/2.0 501", []string{"Allow: INVITE"}},
		{"unknown option", func(p *phone) { p.send("INVITE", "Require: siprec, sorcery", "Require: timer,telepathy") }, false, "SIP/2.0 420",
			[]string{"Unsupported: sorcery, telepathy"}},
		{"known options", func(p *phone) { p.send("INVITE", "Require: siprec, timer, replaces, 100rel", "Require: record-aware") }, false, "SIP/2.0 200", nil},
		{"compressed", func(p *phone) { p.send("INVITE", "Content-Encoding: gzip", "", "x") }, false, "SIP/2.0 415", []string{"Accept-Encoding: identity"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.server.Drain(row.drain)
				p := r.phone("198.51.100.7:5070")
				row.do(p)
				m := p.want(row.want)
				for _, has := range row.has {
					if !strings.Contains(m, has) {
						t.Errorf("%q is not in:\n%s", has, m)
					}
				}
				if ParseAddress(line(m, "To")).Tag() == "" {
					t.Errorf("the answer has no To tag:\n%s", m)
				}
				r.end()
			})
		})
	}
}

// Each of these was seen, or is no better than what was seen: the call must come about.
func TestLenience(t *testing.T) {
	const offer = "v=0 offer"
	head := func(lines ...string) string { return strings.Join(lines, "\r\n") + "\r\n\r\n" + offer }
	via := "Via: SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bKx;rport"
	for _, row := range []struct {
		name, msg string
		check     func(t *testing.T, r *Request, ok string)
	}{
		{"a Contact without its end", head("INVITE sip:srs@192.0.2.1 SIP/2.0", via, "From: <sip:a@b>;tag=1", "To: <sip:srs@192.0.2.1>", "Call-ID: x",
			"CSeq: 1 INVITE", "Contact: <sip:src@198.51.100.7:5070;+sip.src", "Content-Type: application/sdp", "Content-Length: 9"), nil},
		{"a mark inside the brackets", head("INVITE sip:srs@192.0.2.1 SIP/2.0", via, "From: <sip:a@b>;tag=1", "To: <sip:srs@192.0.2.1>", "Call-ID: x",
			"CSeq: 1 INVITE", "Contact: <sip:src@198.51.100.7:5070;transport=udp;+sip.src>", "Content-Length: 9"), func(t *testing.T, r *Request, _ string) {
			if _, ok := ParseAddress(r.Headers.Get("m")).URIParams().Get("+sip.src"); !ok {
				t.Error("+sip.src is not found")
			}
		}},
		{"a Route whose port is no number", head("INVITE sip:srs@192.0.2.1 SIP/2.0", via, "From: <sip:a@b>;tag=1", "To: <sip:srs@192.0.2.1>", "Call-ID: x",
			"CSeq: 1 INVITE", "Route: <sip:srs.example.com:port;lr>", "Record-Route: <sip:1.2.3.4:[port];lr>", "Contact: <sip:src@198.51.100.7:5070>", "Content-Length: 9"), nil},
		{"empty headers", head("INVITE sip:srs@192.0.2.1 SIP/2.0", via, "From: <sip:a@b>;tag=1", "To: <sip:srs@192.0.2.1>", "Call-ID: x", "CSeq: 1 INVITE",
			"Supported:", "Recv-Info:", "Contact: <sip:src@198.51.100.7:5070>;src", "Allow: ", "Content-Length: 9"), func(t *testing.T, r *Request, _ string) {
			if !r.Headers.Has("recv-info") || r.Headers.Get("Supported") != "" {
				t.Error("the empty headers are lost")
			}
		}},
		{"CUCM's From", head("INVITE sip:srs@192.0.2.1 SIP/2.0", via,
			"From: <sip:2001@198.51.100.7;x-nearend;x-refci=27298698;x-nearendclusterid=c1;x-nearenddevice=SEP1;x-nearendaddr=2001>;tag=1",
			"To: <sip:srs@192.0.2.1>", "Call-ID: x", "CSeq: 101 INVITE", "Contact: <sip:2001@198.51.100.7:5070>;isFocus", "Content-Length: 0"),
			func(t *testing.T, r *Request, _ string) {
				ps := ParseAddress(r.From).URIParams()
				if v, ok := ps.Get("X-NearEnd"); !ok || v != "" || ps[0].Set {
					t.Error("x-nearend is not found")
				}
				if v, _ := ps.Get("x-refci"); v != "27298698" {
					t.Errorf("x-refci = %q", v)
				}
			}},
		{"compact, cramped and folded", head("INVITE sip:srs@192.0.2.1 SIP/2.0", "v:SIP / 2.0 / UDP\t198.51.100.7:5070 ; branch = z9hG4bKx ;rport",
			"f:\"A, \\\"B\\\" <C>\" <sip:a@b>;tag=1", "t:sip:srs@192.0.2.1", "i:x", "CSeq:  1", "  INVITE", "m:sip:src@198.51.100.7:5070", "c:application/sdp", "l:9"),
			func(t *testing.T, r *Request, _ string) {
				if a := ParseAddress(r.From); a.Display != `A, "B" <C>` || a.URI != "sip:a@b" || a.Tag() != "1" {
					t.Errorf("From = %+v", a)
				}
				if string(r.Body) != offer || r.ContentType != "application/sdp" {
					t.Errorf("body %q of type %q", r.Body, r.ContentType)
				}
			}},
		{"LF alone", strings.ReplaceAll(head("INVITE sip:srs@192.0.2.1 SIP/2.0", via, "From: <sip:a@b>;tag=1", "To: <sip:srs@192.0.2.1>", "Call-ID: x",
			"CSeq: 1 INVITE", "Contact: <sip:src@198.51.100.7:5070>", "Content-Length: 9"), "\r\n", "\n"), nil},
		{"without Content-Length", head("INVITE sip:srs@192.0.2.1 SIP/2.0", via, "From: <sip:a@b>;tag=1", "To: <sip:srs@192.0.2.1>", "Call-ID: x",
			"CSeq: 1 INVITE", "Contact: <sip:src@198.51.100.7:5070>"), func(t *testing.T, r *Request, _ string) {
			if string(r.Body) != offer {
				t.Errorf("body = %q", r.Body)
			}
		}},
		{"a Content-Length that is short", head("INVITE sip:srs@192.0.2.1 SIP/2.0", via, "From: <sip:a@b>;tag=1", "To: <sip:srs@192.0.2.1>", "Call-ID: x",
			"CSeq: 1 INVITE", "Contact: <sip:src@198.51.100.7:5070>", "Content-Length: 3", "MIME-Version: 1.0"), func(t *testing.T, r *Request, _ string) {
			if string(r.Body) != "v=0" {
				t.Errorf("body = %q", r.Body)
			}
		}},
		{"no Contact, no branch, no tags, as in RFC 2543", head("INVITE sip:srs@192.0.2.1 SIP/2.0", "Via: SIP/2.0/UDP 198.51.100.7:5070", "From: sip:a@b", "To: sip:srs@192.0.2.1",
			"Call-ID: x", "CSeq: 1 INVITE", "Content-Length: 9"), nil},
		{"a line that is none", head("INVITE sip:srs@192.0.2.1 SIP/2.0", via, "From: <sip:a@b>;tag=1", "nonsense", "To: <sip:srs@192.0.2.1", "Call-ID: x",
			"CSeq: 1 INVITE", "Call-ID: x", "Contact: <sip:src@198.51.100.7:5070>", "Content-Length: 9"), func(t *testing.T, _ *Request, ok string) {
			if ParseAddress(line(ok, "To")).Tag() == "" {
				t.Errorf("our tag is lost in To: %s", line(ok, "To"))
			}
		}},
		{"a tel URI", head("INVITE tel:+15550100 SIP/2.0", via, "From: <tel:+15550199>;tag=1", "To: <tel:+15550100>", "Call-ID: x", "CSeq: 1 INVITE",
			"Contact: <sip:src@198.51.100.7:5070>", "Content-Length: 9"), nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				p := r.phone("198.51.100.7:5070")
				p.write([]byte(row.msg))
				ok := p.want("SIP/2.0 200")
				if row.check != nil {
					row.check(t, r.fake.lastRequest(), ok)
				}
				p.write([]byte(fmt.Sprintf("ACK sip:x SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bKack\r\nFrom: %s\r\nTo: %s\r\nCall-ID: x\r\nCSeq: 1 ACK\r\n\r\n", line(ok, "From"), line(ok, "To"))))
				synctest.Wait()
				check(t, "events", r.fake.seen(), []string{"invite", "ack "})
				r.fake.lastDialog().Bye("")
				p.answer(p.want("BYE"), "200 OK")
				r.end()
			})
		})
	}
}

func TestLimits(t *testing.T) {
	t.Run("dialogs", func(t *testing.T) {
		inCall(t, func(r *rig, p *phone) {
			q := r.phone("198.51.100.8:5070")
			q.send("INVITE")
			if m := q.want("SIP/2.0 486"); line(m, "Retry-After") != "10" {
				t.Errorf("no Retry-After:\n%s", m)
			}
			p.bye()
			synctest.Wait()
			q.call()
		}, func(c *Config) { c.Limits.Dialogs = 1 })
	})
	t.Run("transactions", func(t *testing.T) {
		inCall(t, func(r *rig, p *phone) { // the INVITE's transaction stays for a while
			q := r.phone("198.51.100.8:5070")
			q.send("INVITE")
			q.want("SIP/2.0 503")
			time.Sleep(33 * time.Second)
			q.call()
		}, func(c *Config) { c.Limits.Transactions = 1 })
	})
	t.Run("a thousand INVITEs a second", func(t *testing.T) {
		inCall(t, func(r *rig, p *phone) {
			flood, other := r.phone("198.51.100.66:5070"), r.phone("198.51.100.8:5070")
			answered := map[string]int{}
			for i := range 3000 {
				flood.callID = fmt.Sprintf("flood-%d", i)
				flood.send("INVITE", sdpType, "", "v=0")
				time.Sleep(time.Millisecond)
				synctest.Wait()
			drained:
				for {
					select {
					case m := <-flood.came:
						answered[m[8:11]]++
					default:
						break drained
					}
				}
				if i == 1500 { // others do not notice
					p.send("INFO", "", "x")
					p.want("SIP/2.0 200")
					flood.send("OPTIONS") // which would take us out of service otherwise
					flood.want("SIP/2.0 200")
					other.call()
					other.bye()
				}
			}
			if n := answered["503"]; n < 2000 {
				t.Errorf("%d of 3000 got 503: %v", n, answered)
			}
			if r.counts.of(CountRate) < 2000 {
				t.Errorf("%d are counted", r.counts.of(CountRate))
			}
			r.server.txs.mu.Lock()
			if n := len(r.server.txs.server); n > 600 {
				t.Errorf("%d transactions", n)
			}
			r.server.txs.mu.Unlock()
			time.Sleep(2 * time.Minute) // 64·T1, and as long for the BYEs
			synctest.Wait()
			if n := r.server.Dialogs(); n != 1 {
				t.Errorf("%d dialogs are left; want 1", n)
			}
		}, func(c *Config) { c.Limits.Dialogs = 500 })
	})
	t.Run("everything at once", func(t *testing.T) {
		inCall(t, func(r *rig, p *phone) {
			for i := range 500 {
				p.send("UPDATE", sdpType, "", fmt.Sprintf("v=%d", i))
			}
			time.Sleep(time.Second) // some overtook those that were not taken
			synctest.Wait()
			answered := map[string]int{}
			for len(p.came) > 0 {
				m := <-p.came
				answered[m[8:11]]++
				if strings.HasPrefix(m, "SIP/2.0 500") && line(m, "Retry-After") == "" {
					t.Error("500 without Retry-After")
				}
			}
			if answered["200"]+answered["500"] != 500 || answered["200"] < 30 || answered["200"] > 50 {
				t.Errorf("answers: %v; want about 40 times 200, else 500", answered)
			}
			p.bye()
		})
	})
	t.Run("twice the same", func(t *testing.T) {
		inCall(t, func(r *rig, p *phone) {
			p.to = "<sip:srs@192.0.2.1>"
			p.write([]byte(p.build("INVITE", 1))) // by another branch
			p.want("SIP/2.0 482")
		})
	})
}

func TestRetransmissions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		p := r.phone("198.51.100.7:5070")
		invite := p.send("INVITE", sdpType, "", "v=0")
		first := p.want("SIP/2.0 200")
		p.write([]byte(invite))
		if again := p.want("SIP/2.0 200"); again != first {
			t.Errorf("another answer:\n%s", again)
		}
		p.ack()
		info := p.send("INFO")
		p.want("SIP/2.0 200")
		p.write([]byte(info))
		p.want("SIP/2.0 200")
		bye := p.send("BYE")
		p.want("SIP/2.0 200")
		p.write([]byte(bye))
		p.want("SIP/2.0 200")
		synctest.Wait()
		check(t, "events", r.fake.seen(), []string{"invite", "ack ", "info ", "end bye"})
		r.end()
	})
	t.Run("refusals until their ACK", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.fake.invite = func(_ context.Context, _ *Dialog, _ *Request) (Session, Answer) { return nil, Answer{Status: 488} }
			p := r.phone("198.51.100.7:5070")
			p.send("INVITE")
			m := p.want("SIP/2.0 488")
			time.Sleep(501 * time.Millisecond)
			p.want("SIP/2.0 488")
			p.write([]byte(strings.NewReplacer("SIP/2.0 488 Not Acceptable Here", "ACK sip:srs@192.0.2.1 SIP/2.0", " INVITE\r\n", " ACK\r\n").Replace(m)))
			p.silent(time.Minute)
			r.end()
		})
	})
}
