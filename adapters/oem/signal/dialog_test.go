package signal

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		p := r.phone("198.51.100.7:5070")
		ok := p.call("Record-Route: <sip:a.example.com;lr>, <sip:b.example.com;lr>", "Record-Route: <sip:c.example.com;lr>")
		if got, want := line(ok, "Contact"), "<sip:192.0.2.1:5060;transport=udp>;+sip.srs"; got != want {
			t.Errorf("Contact = %q; want %q", got, want)
		}
		if got := strings.Count(ok, "Record-Route: "); got != 2 || line(ok, "Record-Route") != "<sip:a.example.com;lr>, <sip:b.example.com;lr>" {
			t.Errorf("Record-Route is not copied:\n%s", ok)
		}
		if via := line(ok, "Via"); !strings.Contains(via, "rport=5070") || !strings.Contains(via, "received=198.51.100.7") {
			t.Errorf("Via = %q; want rport and received", via)
		}
		if !strings.HasSuffix(ok, "\r\n\r\nv=0 answer\r\n") || line(ok, "Content-Type") != "application/sdp" {
			t.Errorf("the answer is not in:\n%s", ok)
		}
		p.bye()
		synctest.Wait()
		check(t, "events", r.fake.seen(), []string{"invite", "ack ", "end bye"})
		r.end()
	})
}

func TestAnswerIsRepeatedUntilItsACK(t *testing.T) {
	for _, transport := range []string{"UDP", "TCP"} {
		t.Run(transport, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				var p *phone
				if transport == "UDP" {
					p = r.phone("198.51.100.7:5070")
				} else {
					p = r.tcpPhone("198.51.100.7:5070")
				}
				start := time.Now()
				p.send("INVITE", sdpType, "", "v=0")
				var at []time.Duration
				for {
					m, err := p.next(time.Minute)
					if err != nil {
						t.Fatal("no BYE came")
					}
					if strings.HasPrefix(m, "BYE") {
						p.answer(m, "200 OK")
						break
					}
					at = append(at, time.Since(start))
				}
				if got := time.Since(start); got != 32*time.Second {
					t.Errorf("BYE came after %v; want 64·T1", got)
				}
				want := []time.Duration{0, 500 * time.Millisecond, 1500 * time.Millisecond, 3500 * time.Millisecond, 7500 * time.Millisecond}
				for i := range want {
					if at[i] != want[i] {
						t.Errorf("repetition %d came at %v; want %v", i, at[i], want[i])
					}
				}
				if last := at[len(at)-1]; last != 31500*time.Millisecond || len(at) != 11 {
					t.Errorf("%d times, the last at %v; want 11 and 31.5s", len(at), last)
				}
				synctest.Wait()
				check(t, "events", r.fake.seen(), []string{"invite", "end no-ack"})
				if r.counts.of(CountNoAck) != 1 {
					t.Error("it is not counted")
				}
				if p.hangup != nil {
					p.hangup()
				}
				r.end()
			})
		})
	}
}
