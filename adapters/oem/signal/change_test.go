package signal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// inCall runs f in a bubble, with a call from 198.51.100.7 that is set up.
func inCall(t *testing.T, f func(r *rig, p *phone), set ...func(*Config)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, set...)
		p := r.phone("198.51.100.7:5070")
		p.call()
		synctest.Wait()
		r.fake.mu.Lock()
		r.fake.events = nil
		r.fake.mu.Unlock()
		f(r, p)
		r.end()
	})
}

func TestChanges(t *testing.T) {
	const metadata = "Content-Type: application/rs-metadata+xml"
	for _, row := range []struct {
		name   string
		do     func(p *phone)
		answer Answer
		want   string // how the answer begins
		has    []string
		events []string
	}{
		{"re-INVITE with SDP", func(p *phone) { p.send("INVITE", sdpType, "", "v=0 hold") }, Answer{Body: []byte("v=0 held")},
			"SIP/2.0 200", []string{"v=0 held", "+sip.srs"}, []string{"change INVITE 2"}},
		{"re-INVITE without a body offers", func(p *phone) { p.send("INVITE") }, Answer{Body: []byte("v=0 offer")},
			"SIP/2.0 200", []string{"v=0 offer", "Content-Type: application/sdp"}, []string{"change INVITE 2"}},
		{"UPDATE with metadata", func(p *phone) { p.send("UPDATE", metadata, "", "<recording/>") }, Answer{},
			"SIP/2.0 200", []string{"Content-Length: 0"}, []string{"change UPDATE 2"}},
		{"UPDATE with SDP", func(p *phone) { p.send("UPDATE", sdpType, "", "v=0") }, Answer{Body: []byte("v=0 new")},
			"SIP/2.0 200", []string{"v=0 new"}, []string{"change UPDATE 2"}},
		{"refused", func(p *phone) { p.send("UPDATE", sdpType, "", "v=0") }, Answer{Status: 488, Headers: [][2]string{{"Warning", "304 here \"no codec\""}}},
			"SIP/2.0 488 Not Acceptable Here", []string{"Warning: 304"}, []string{"change UPDATE 2"}},
		{"not understood", func(p *phone) { p.send("UPDATE", "Content-Type: a/b", "", "?") }, Answer{Status: 415},
			"SIP/2.0 415", []string{"Accept: multipart/mixed, application/sdp, application/rs-metadata, application/rs-metadata+xml"}, []string{"change UPDATE 2"}},
		{"later", func(p *phone) { p.send("UPDATE") }, Answer{Status: 500, RetryAfter: 1500 * time.Millisecond},
			"SIP/2.0 500", []string{"Retry-After: 2"}, []string{"change UPDATE 2"}},
		{"unknown option", func(p *phone) { p.send("UPDATE", "Require: siprec, telepathy") }, Answer{},
			"SIP/2.0 420", []string{"Unsupported: telepathy"}, nil},
		{"compressed", func(p *phone) { p.send("UPDATE", "e: gzip", "", "x") }, Answer{},
			"SIP/2.0 415", []string{"Accept-Encoding: identity"}, nil},
		{"INFO", func(p *phone) { p.send("INFO", "Content-Type: text/plain", "", "hello") }, Answer{},
			"SIP/2.0 200", nil, []string{"info hello"}},
		{"OPTIONS", func(p *phone) { p.send("OPTIONS") }, Answer{}, "SIP/2.0 200", []string{"Allow: INVITE", "Accept: "}, nil},
		{"PRACK", func(p *phone) { p.send("PRACK", "RAck: 1 1 INVITE") }, Answer{}, "SIP/2.0 481", nil, nil},
		{"NOTIFY", func(p *phone) { p.send("NOTIFY", "Event: refer") }, Answer{}, "SIP/2.0 405", []string{"Allow: INVITE"}, nil},
		{"REFER", func(p *phone) { p.send("REFER", "Refer-To: <sip:x@example.com>") }, Answer{}, "SIP/2.0 405", []string{"Allow: INVITE"}, nil},
		{"MESSAGE", func(p *phone) { p.send("MESSAGE") }, Answer{}, "SIP/2.0 405", nil, nil},
		{"unheard of", func(p *phone) { p.send("DANCE") }, Answer{}, "SIP/2.0 501", []string{"Allow: INVITE"}, nil},
		{"an old CSeq", func(p *phone) { p.write([]byte(p.build("INFO", 1))) }, Answer{}, "SIP/2.0 500", nil, nil},
		{"a foreign To tag", func(p *phone) { p.to = "<sip:srs@192.0.2.1>;tag=other"; p.send("UPDATE") }, Answer{}, "SIP/2.0 481", nil, nil},
		{"without our tag", func(p *phone) { p.to = "<sip:srs@192.0.2.1>"; p.send("UPDATE") }, Answer{}, "SIP/2.0 200", nil, []string{"change UPDATE 2"}},
		{"BYE without our tag", func(p *phone) { p.to = "<sip:srs@192.0.2.1>"; p.send("BYE") }, Answer{}, "SIP/2.0 200", nil, []string{"end bye"}},
		{"BYE however counted", func(p *phone) { p.write([]byte(p.build("BYE", 1))) }, Answer{}, "SIP/2.0 200", nil, []string{"end bye"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			inCall(t, func(r *rig, p *phone) {
				r.fake.change = func(*Request) Answer { return row.answer }
				row.do(p)
				got := p.want(row.want)
				for _, has := range row.has {
					if !strings.Contains(got, has) {
						t.Errorf("%q is not in:\n%s", has, got)
					}
				}
				synctest.Wait()
				check(t, "events", r.fake.seen(), row.events)
			})
		})
	}
}

func TestOffersOfOursAreAnsweredInTheACK(t *testing.T) {
	inCall(t, func(r *rig, p *phone) {
		r.fake.change = func(*Request) Answer { return Answer{Body: []byte("v=0 ours")} }
		p.send("INVITE")
		p.want("SIP/2.0 200")
		p.write([]byte(p.build("UPDATE", p.cseq+1, sdpType, "", "v=0 too early"))) // our offer is open
		p.cseq++
		if m, err := p.next(time.Second); err != nil || !strings.HasPrefix(m, "SIP/2.0 491") {
			t.Fatalf("got %q, %v; want 491", m, err)
		}
		p.write([]byte(p.build("ACK", p.cseq-1, sdpType, "", "v=0 theirs")))
		synctest.Wait()
		check(t, "events", r.fake.seen(), []string{"change INVITE 2", "ack v=0 theirs"})
		p.silent(5 * time.Second)
	})
}

// Requests of a dialog may overtake each other on the way.
func TestOrder(t *testing.T) {
	for _, row := range []struct {
		name   string
		do     func(p *phone)
		events []string
	}{
		{"UPDATE before re-INVITE", func(p *phone) {
			first, second := p.build("INVITE", 2), p.build("UPDATE", 3)
			p.write([]byte(second))
			p.write([]byte(first))
			p.write([]byte(p.build("ACK", 2)))
		}, []string{"change INVITE 2", "ack ", "change UPDATE 3"}},
		{"BYE first", func(p *phone) {
			info, bye := p.build("INFO", 2, "", "x"), p.build("BYE", 3)
			p.write([]byte(bye))
			p.write([]byte(info))
		}, []string{"info x", "end bye"}},
		{"three in reverse", func(p *phone) {
			p.write([]byte(p.build("INFO", 4, "", "c")))
			p.write([]byte(p.build("INFO", 3, "", "b")))
			p.write([]byte(p.build("INFO", 2, "", "a")))
		}, []string{"info a", "info b", "info c"}},
		{"one never comes", func(p *phone) {
			p.write([]byte(p.build("INFO", 9, "", "c")))
			p.write([]byte(p.build("INFO", 7, "", "b")))
		}, []string{"info b", "info c"}},
		{"many that never come", func(p *phone) {
			for i := 30; i > 3; i -= 3 {
				p.write([]byte(p.build("BYE", i)))
			}
		}, []string{"end bye"}},
		{"an ACK with a wrong CSeq", func(p *phone) {
			p.send("INVITE")
			p.write([]byte(p.build("ACK", 77)))
			p.write([]byte(p.build("UPDATE", 3)))
		}, []string{"change INVITE 2", "ack ", "change UPDATE 3"}},
		{"the old ACK again", func(p *phone) {
			p.send("INVITE")
			p.write([]byte(p.build("ACK", 1)))
			p.write([]byte(p.build("ACK", 2, "", "mine")))
		}, []string{"change INVITE 2", "ack mine"}},
		{"an ACK that is overtaken", func(p *phone) {
			p.send("INVITE")
			p.write([]byte(p.build("UPDATE", 3)))
			p.write([]byte(p.build("ACK", 2)))
		}, []string{"change INVITE 2", "ack ", "change UPDATE 3"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			inCall(t, func(r *rig, p *phone) {
				row.do(p)
				time.Sleep(2 * DefaultReorderWait) // of the bubble
				synctest.Wait()
				check(t, "events", r.fake.seen(), row.events)
			})
		})
	}
}

func TestALostACKIsImpliedByWhatFollows(t *testing.T) {
	inCall(t, func(r *rig, p *phone) {
		p.send("INVITE", sdpType, "", "v=0")
		p.want("SIP/2.0 200")
		p.send("UPDATE")
		time.Sleep(time.Minute) // of the bubble: 64·T1 are over
		synctest.Wait()
		check(t, "events", r.fake.seen(), []string{"change INVITE 2", "change UPDATE 3"})
		if r.server.Dialogs() != 1 {
			t.Error("the dialog is gone")
		}
	})
}

func TestCancel(t *testing.T) {
	cancelled := func(p *phone, invite string) { // the CANCEL of an INVITE has its branch and CSeq
		p.write([]byte(strings.NewReplacer("INVITE sip:", "CANCEL sip:", " INVITE\r\n", " CANCEL\r\n").Replace(invite)))
	}
	t.Run("while we decide", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.fake.invite = func(ctx context.Context, _ *Dialog, _ *Request) (Session, Answer) {
				<-ctx.Done()
				return fakeSession{r.fake}, Answer{Body: []byte("v=0")}
			}
			p := r.phone("198.51.100.7:5070")
			invite := p.send("INVITE", "", "")
			synctest.Wait()
			cancelled(p, invite)
			var got []string
			for range 2 {
				m, err := p.next(time.Second)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, m[:11]+" "+line(m, "CSeq"))
			}
			check(t, "answers", got, []string{"SIP/2.0 200 1 CANCEL", "SIP/2.0 487 1 INVITE"})
			p.write([]byte(strings.NewReplacer("INVITE sip:", "ACK sip:", " INVITE\r\n", " ACK\r\n").Replace(invite)))
			p.silent(time.Minute)
			check(t, "events", r.fake.seen(), []string{"invite", "end cancelled"})
			r.end()
		})
	})
	t.Run("too late", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			p := r.phone("198.51.100.7:5070")
			invite := p.send("INVITE", "", "")
			p.want("SIP/2.0 200")
			cancelled(p, invite)
			if m := p.want("SIP/2.0 200"); line(m, "CSeq") != "1 CANCEL" {
				t.Errorf("got %s", m)
			}
			p.ack()
			p.silent(5 * time.Second)
			check(t, "events", r.fake.seen(), []string{"invite", "ack "})
			r.end()
		})
	})
	t.Run("of nothing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			p := r.phone("198.51.100.7:5070")
			p.send("CANCEL")
			p.want("SIP/2.0 481")
			r.end()
		})
	})
	t.Run("a re-INVITE that waits", func(t *testing.T) {
		inCall(t, func(r *rig, p *phone) {
			invite := p.build("INVITE", 3) // 2 never comes
			p.write([]byte(invite))
			cancelled(p, invite)
			time.Sleep(time.Second)
			synctest.Wait()
			check(t, "events", r.fake.seen(), nil)
			if r.server.Dialogs() != 1 {
				t.Error("the dialog is gone")
			}
		})
	})
}

func TestSessionTimers(t *testing.T) {
	for _, row := range []struct {
		name        string
		lines       []string
		status      string
		expires     string // in our 2xx
		require     bool
		minSE       string
		over        time.Duration // when our BYE comes; 0: never within 2 h
		refreshedAt time.Duration // when our UPDATE comes
	}{
		{"none", nil, "200", "", false, "", 0, 0},
		{"CUCM", []string{"Supported: timer", "Session-Expires: 1800", "Min-SE: 1800"}, "200", "1800;refresher=uac", true, "", 1768 * time.Second, 0},
		{"with a refresher", []string{"Supported: timer", "x: 120;refresher=uac"}, "200", "120;refresher=uac", true, "", 88 * time.Second, 0},
		{"short intervals keep a third", []string{"k: timer", "Session-Expires: 90 ; refresher=uac"}, "200", "90;refresher=uac", true, "", 60 * time.Second, 0},
		{"we refresh", []string{"Supported: timer", "Session-Expires: 600;refresher=uas"}, "200", "600;refresher=uas", true, "", 0, 300 * time.Second},
		{"a proxy asked", []string{"Session-Expires: 600"}, "200", "600;refresher=uas", false, "", 0, 300 * time.Second},
		{"too short", []string{"Supported: timer", "Session-Expires: 30"}, "422", "", false, "90", 0, 0},
		{"too short, without the extension", []string{"Session-Expires: 30"}, "200", "90;refresher=uas", false, "", 0, 45 * time.Second},
		{"unreadable", []string{"Supported: timer", "Session-Expires: soon"}, "200", "", false, "", 0, 0},
		{"supported alone", []string{"Supported: timer"}, "200", "", false, "", 0, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				p := r.phone("198.51.100.7:5070")
				start := time.Now()
				p.send("INVITE", append(row.lines, "Allow: INVITE, UPDATE, BYE", sdpType, "", "v=0")...)
				m := p.want("SIP/2.0 " + row.status)
				p.ack()
				if got := line(m, "Session-Expires"); got != row.expires {
					t.Errorf("Session-Expires = %q; want %q", got, row.expires)
				}
				if got := line(m, "Require") == "timer"; got != row.require {
					t.Errorf("Require: timer = %v; want %v", got, row.require)
				}
				if got := line(m, "Min-SE"); got != row.minSE {
					t.Errorf("Min-SE = %q; want %q", got, row.minSE)
				}
				var refreshed, over time.Duration
				for over == 0 {
					m, err := p.next(2*time.Hour - time.Since(start))
					if err != nil {
						break
					}
					switch at := time.Since(start); {
					case strings.HasPrefix(m, "UPDATE"):
						refreshed = max(refreshed, 0)
						if refreshed == 0 {
							refreshed = at
						}
						if got := line(m, "Session-Expires"); !strings.HasSuffix(got, ";refresher=uac") {
							t.Errorf("the refresh has Session-Expires %q", got)
						}
						p.answer(m, "200 OK")
					case strings.HasPrefix(m, "BYE"):
						over = at
						p.answer(m, "200 OK")
					}
				}
				if over != row.over || refreshed != row.refreshedAt {
					t.Errorf("BYE after %v, refresh after %v; want %v, %v", over, refreshed, row.over, row.refreshedAt)
				}
				synctest.Wait()
				if row.over > 0 && !slices.Contains(r.fake.seen(), "end expired") {
					t.Errorf("events = %q", r.fake.seen())
				}
				r.end()
			})
		})
	}
}

func TestRefreshesKeepTheSession(t *testing.T) {
	for _, method := range []string{"UPDATE", "INVITE"} {
		t.Run(method, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				p := r.phone("198.51.100.7:5070")
				p.extra = []string{"Supported: timer", "Session-Expires: 120;refresher=uac"}
				p.call()
				for range 5 {
					time.Sleep(60 * time.Second)
					p.send(method)
					if got := line(p.want("SIP/2.0 200"), "Session-Expires"); got != "120;refresher=uac" {
						t.Errorf("Session-Expires = %q", got)
					}
					if method == "INVITE" {
						p.ack()
					}
				}
				p.send("OPTIONS") // refreshes nothing
				p.want("SIP/2.0 200")
				time.Sleep(87 * time.Second)
				p.silent(0)
				m, err := p.next(2 * time.Second)
				if err != nil || !strings.HasPrefix(m, "BYE") {
					t.Errorf("got %q, %v; want BYE", m, err)
				}
				p.answer(m, "200 OK")
				r.end()
			})
		})
	}
}

func TestRefreshByINVITE(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		p := r.phone("198.51.100.7:5070")
		p.call("Session-Expires: 600;refresher=uas", "Supported: timer", "Allow: INVITE, ACK, BYE")
		m, err := p.next(301 * time.Second)
		if err != nil || !strings.HasPrefix(m, "INVITE") || !strings.HasSuffix(m, "v=0 answer\r\n") {
			t.Fatalf("got %q, %v; want a re-INVITE with our description", m, err)
		}
		p.answer(m, "200 OK", "Session-Expires: 600;refresher=uac", sdpType, "", "v=0 theirs")
		p.want("ACK")
		synctest.Wait()
		check(t, "events", r.fake.seen(), []string{"invite", "ack ", "refreshed v=0 theirs"})
		if m, err = p.next(301 * time.Second); err != nil || !strings.HasPrefix(m, "INVITE") {
			t.Fatalf("got %q, %v; want the next refresh", m, err)
		}
		r.stop()
		for !strings.HasPrefix(m, "BYE") {
			if m, err = p.next(time.Minute); err != nil {
				t.Fatal("no BYE")
			}
		}
		p.answer(m, "200 OK")
		r.end()
	})
}

func TestARefreshThatIsRefusedComesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		p := r.phone("198.51.100.7:5070")
		p.call("Session-Expires: 600;refresher=uas", "Supported: timer", "Allow: INVITE, ACK, BYE, UPDATE")
		for _, status := range []string{"500 Later", "500 Later", "200 OK"} { // UPDATE, the same as INVITE, then a second time
			m, err := p.next(5*time.Minute + time.Second)
			if err != nil || !strings.HasPrefix(m, "UPDATE") && !strings.HasPrefix(m, "INVITE") {
				t.Fatalf("got %q, %v; want a refresh", m, err)
			}
			p.answer(m, status)
			if status != "200 OK" && strings.HasPrefix(m, "INVITE") {
				p.want("ACK")
			}
		}
		p.bye()
		r.end()
	})
}

func TestReoffer(t *testing.T) {
	type outcome struct {
		sdp []byte
		err error
	}
	ask := func(r *rig, ctx context.Context) chan outcome {
		c := make(chan outcome, 1)
		go func() {
			sdp, err := r.fake.lastDialog().Reoffer(ctx, []byte("v=0 wake"))
			c <- outcome{sdp, err}
		}()
		return c
	}
	t.Run("answered", func(t *testing.T) {
		inCall(t, func(r *rig, p *phone) {
			c := ask(r, context.Background())
			m := p.want("INVITE sip:src@198.51.100.7:5070 SIP/2.0")
			if line(m, "CSeq") != "2 INVITE" || !strings.HasSuffix(m, "v=0 wake") || !strings.HasPrefix(line(m, "Contact"), "<sip:192.0.2.1:5060;transport=udp>;+sip.srs") {
				t.Errorf("got %s", m)
			}
			if ParseAddress(line(m, "From")).Tag() != r.fake.lastDialog().ID() || line(m, "To") != p.from {
				t.Errorf("From and To are wrong:\n%s", m)
			}
			p.answer(m, "200 OK", sdpType, "", "v=0 yes")
			ack := p.want("ACK sip:src@198.51.100.7:5070 SIP/2.0")
			if line(ack, "CSeq") != "2 ACK" {
				t.Errorf("got %s", ack)
			}
			if o := <-c; string(o.sdp) != "v=0 yes" || o.err != nil {
				t.Errorf("Reoffer() = %q, %v", o.sdp, o.err)
			}
			p.answer(m, "200 OK", sdpType, "", "v=0 yes") // its ACK was lost
			if again := p.want("ACK"); again != ack {
				t.Errorf("another ACK:\n%s", again)
			}
		})
	})
	t.Run("glare", func(t *testing.T) {
		inCall(t, func(r *rig, p *phone) {
			c := ask(r, context.Background())
			m := p.want("INVITE")
			p.send("INVITE", sdpType, "", "v=0 mine") // crosses ours
			theirs := p.want("SIP/2.0 491")
			p.write([]byte(strings.NewReplacer("SIP/2.0 491 Request Pending", "ACK sip:srs@192.0.2.1 SIP/2.0", " INVITE\r\n", " ACK\r\n").Replace(theirs)))
			p.answer(m, "491 Request Pending")
			p.want("ACK")
			synctest.Wait()
			p.send("INVITE", sdpType, "", "v=0 mine again") // the peer's pause is over first
			p.want("SIP/2.0 200")
			p.ack()
			m = ""
			for m == "" {
				next, err := p.next(3 * time.Second)
				if err != nil {
					t.Fatal("no second try")
				}
				if strings.HasPrefix(next, "INVITE") {
					m = next
				}
			}
			if line(m, "CSeq") != "3 INVITE" {
				t.Errorf("CSeq = %s", line(m, "CSeq"))
			}
			p.answer(m, "200 OK", sdpType, "", "v=0 yes")
			if o := <-c; string(o.sdp) != "v=0 yes" || o.err != nil {
				t.Errorf("Reoffer() = %q, %v", o.sdp, o.err)
			}
			p.want("ACK")
		})
	})
	t.Run("glare without end", func(t *testing.T) {
		inCall(t, func(r *rig, p *phone) {
			c := ask(r, context.Background())
			for range maxTries {
				m, err := p.next(3 * time.Second)
				if err != nil {
					t.Fatal(err)
				}
				p.answer(m, "491 Request Pending")
				p.want("ACK")
			}
			if o := <-c; !errors.Is(o.err, ErrGlare) {
				t.Errorf("Reoffer() = %v; want ErrGlare", o.err)
			}
		})
	})
	t.Run("refused", func(t *testing.T) {
		inCall(t, func(r *rig, p *phone) {
			c := ask(r, context.Background())
			m := p.want("INVITE")
			p.answer(m, "488 Not Acceptable Here")
			ack := p.want("ACK")
			if line(ack, "Via") != line(m, "Via") {
				t.Errorf("the ACK of a refusal has Via %q; want that of the INVITE", line(ack, "Via"))
			}
			if o := <-c; !errors.Is(o.err, ErrRefused) || !strings.Contains(o.err.Error(), "488") {
				t.Errorf("Reoffer() = %v; want ErrRefused", o.err)
			}
			p.bye()
		})
	})
	t.Run("unknown", func(t *testing.T) {
		inCall(t, func(r *rig, p *phone) {
			c := ask(r, context.Background())
			p.answer(p.want("INVITE"), "481 Call Does Not Exist")
			p.want("ACK")
			p.answer(p.want("BYE"), "481 Call Does Not Exist")
			if o := <-c; o.err == nil {
				t.Error("Reoffer() = nil")
			}
			synctest.Wait()
			check(t, "events", r.fake.seen(), []string{"end lost"})
		})
	})
	t.Run("never answered", func(t *testing.T) {
		inCall(t, func(r *rig, p *phone) {
			c := ask(r, context.Background())
			for {
				m, err := p.next(time.Minute)
				if err != nil {
					t.Fatal("no BYE")
				}
				if strings.HasPrefix(m, "BYE") {
					p.answer(m, "200 OK")
					break
				}
			}
			if o := <-c; o.err == nil {
				t.Error("Reoffer() = nil")
			}
			synctest.Wait()
			check(t, "events", r.fake.seen(), []string{"end lost"})
		})
	})
	t.Run("given up", func(t *testing.T) {
		inCall(t, func(r *rig, p *phone) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			c := ask(r, ctx)
			m := p.want("INVITE")
			if o := <-c; !errors.Is(o.err, context.DeadlineExceeded) {
				t.Errorf("Reoffer() = %v", o.err)
			}
			p.answer(m, "200 OK", sdpType, "", "v=0 late")
			for {
				m, err := p.next(time.Second)
				if err != nil {
					t.Fatal("no ACK")
				}
				if strings.HasPrefix(m, "ACK") {
					break
				}
			}
			synctest.Wait()
			check(t, "events", r.fake.seen(), []string{"refreshed v=0 late"})
		})
	})
	t.Run("after the end", func(t *testing.T) {
		inCall(t, func(r *rig, p *phone) {
			p.bye()
			synctest.Wait()
			if _, err := r.fake.lastDialog().Reoffer(context.Background(), nil); !errors.Is(err, ErrDialogOver) {
				t.Errorf("Reoffer() = %v; want ErrDialogOver", err)
			}
		})
	})
}

func TestOwnBye(t *testing.T) {
	t.Run("by the route set", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			proxy, p := r.phone("198.51.100.99:5080"), r.phone("198.51.100.7:5070")
			p.call("Record-Route: <sip:198.51.100.99:5080;lr>", "Record-Route: <sip:inner.example.com:port;lr>")
			r.fake.lastDialog().Bye(`policy "x"`)
			m := proxy.want("BYE sip:src@198.51.100.7:5070 SIP/2.0")
			if got := strings.Count(m, "\r\nRoute: "); got != 2 || line(m, "Route") != "<sip:198.51.100.99:5080;lr>" {
				t.Errorf("routes:\n%s", m)
			}
			if got := line(m, "Reason"); got != `SIP;cause=200;text="policy 'x'"` {
				t.Errorf("Reason = %q", got)
			}
			proxy.answer(m, "200 OK")
			synctest.Wait()
			check(t, "events", r.fake.seen(), []string{"invite", "ack ", "end ours"})
			r.fake.lastDialog().Bye("again")
			r.end()
		})
	})
	t.Run("to a name", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			proxy, p := r.phone("198.51.100.99:5060"), r.phone("198.51.100.7:5070")
			p.call("Record-Route: <sip:proxy.example.com;lr>")
			r.fake.lastDialog().Bye("")
			proxy.answer(proxy.want("BYE sip:src@198.51.100.7:5070 SIP/2.0"), "200 OK")
			q := r.phone("198.51.100.8:5070")
			q.call("Record-Route: <sip:unknown.example.com;lr>")
			r.fake.lastDialog().Bye("")
			q.answer(q.want("BYE sip:src@198.51.100.8:5070 SIP/2.0"), "200 OK") // where its requests came from
			r.end()
		})
	})
	t.Run("by a strict router", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			proxy, p := r.phone("198.51.100.99:5080"), r.phone("198.51.100.7:5070")
			p.call("Record-Route: <sip:198.51.100.99:5080>")
			r.fake.lastDialog().Bye("")
			m := proxy.want("BYE sip:198.51.100.99:5080 SIP/2.0")
			if line(m, "Route") != "<sip:src@198.51.100.7:5070>" {
				t.Errorf("routes:\n%s", m)
			}
			proxy.answer(m, "200 OK")
			r.end()
		})
	})
	t.Run("not to strangers", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			stranger, p := r.phone("203.0.113.1:5060"), r.phone("198.51.100.7:5070")
			p.contact = "<sip:victim@203.0.113.1>"
			p.call()
			r.fake.lastDialog().Bye("")
			p.answer(p.want("BYE sip:victim@203.0.113.1"), "200 OK")
			stranger.silent(time.Second)
			r.end()
		})
	})
	t.Run("waits for the ACK", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			p := r.phone("198.51.100.7:5070")
			p.send("INVITE", sdpType, "", "v=0")
			p.want("SIP/2.0 200")
			r.fake.lastDialog().Bye("")
			p.silent(100 * time.Millisecond)
			p.ack()
			p.answer(p.want("BYE"), "200 OK")
			r.end()
		})
	})
	t.Run("before the answer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.fake.invite = func(_ context.Context, d *Dialog, _ *Request) (Session, Answer) {
				d.Bye("no")
				return fakeSession{r.fake}, Answer{}
			}
			p := r.phone("198.51.100.7:5070")
			p.send("INVITE", sdpType, "", "v=0")
			p.want("SIP/2.0 480")
			synctest.Wait()
			check(t, "events", r.fake.seen(), []string{"invite", "end ours"})
			r.end()
		})
	})
	t.Run("nobody answers", func(t *testing.T) {
		inCall(t, func(r *rig, p *phone) {
			r.fake.lastDialog().Bye("")
			p.want("BYE")
			synctest.Wait()
			check(t, "events", r.fake.seen(), []string{"end ours"}) // at once
			if r.server.Dialogs() != 1 {
				t.Error("its place is free already")
			}
			p.send("INVITE") // crosses
			if m, _ := p.next(time.Second); !strings.HasPrefix(m, "SIP/2.0 481") && !strings.HasPrefix(m, "BYE") {
				t.Errorf("got %s", m)
			}
			time.Sleep(33 * time.Second)
			synctest.Wait()
			if r.server.Dialogs() != 0 {
				t.Error("its place is still taken")
			}
		})
	})
}

func TestReplaces(t *testing.T) {
	inCall(t, func(r *rig, p *phone) {
		q := r.phone("198.51.100.8:5070")
		q.send("INVITE", fmt.Sprintf("Replaces: %s;to-tag=%s;from-tag=%s", p.callID, r.fake.lastDialog().ID(), ParseAddress(p.from).Tag()),
			"Require: replaces", sdpType, "", "v=0")
		q.want("SIP/2.0 200")
		q.ack()
		p.answer(p.want("BYE"), "200 OK")
		synctest.Wait()
		events := r.fake.seen() // of two dialogs
		slices.Sort(events)
		check(t, "events", events, []string{"ack ", "end replaced", "invite"})
		if r.server.Dialogs() != 1 {
			t.Errorf("%d dialogs; want 1", r.server.Dialogs())
		}
		u := r.phone("198.51.100.9:5070")
		u.send("INVITE", "Replaces: nothing;to-tag=1;from-tag=2", sdpType, "", "v=0")
		u.want("SIP/2.0 200")
	})
}

// What our own re-INVITE leaves behind does not hold up the end.
func TestStopAfterReoffer(t *testing.T) {
	inCall(t, func(r *rig, p *phone) {
		go func() { _, _ = r.fake.lastDialog().Reoffer(context.Background(), []byte("v=0")) }()
		p.answer(p.want("INVITE"), "200 OK", sdpType, "", "v=0")
		p.want("ACK")
		synctest.Wait()
		start := time.Now()
		r.stop()
		p.answer(p.want("BYE"), "200 OK")
		if <-r.done; time.Since(start) > 0 {
			t.Errorf("it took %v", time.Since(start))
		}
	})
}

func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		p, q, mute := r.phone("198.51.100.7:5070"), r.tcpPhone("198.51.100.8:5070"), r.phone("198.51.100.9:5070")
		p.call()
		q.call()
		mute.call()
		synctest.Wait()
		start := time.Now()
		r.stop()
		p.answer(p.want("BYE"), "200 OK")
		q.answer(q.want("BYE"), "200 OK")
		mute.want("BYE")
		<-r.done
		if took := time.Since(start); took > DefaultStopGrace {
			t.Errorf("it took %v", took)
		}
		if got := strings.Count(strings.Join(r.fake.seen(), " "), "end shutdown"); got != 3 {
			t.Errorf("%d ends; want 3", got)
		}
		q.hangup()
		r.empty()
	})
}
