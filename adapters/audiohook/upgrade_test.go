package audiohook

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/patchbay/patchbay/adapters/audiohook/sim"
	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/adapter/adaptertest"
)

// wantRefused checks that a session is turned away with a status, or with a disconnect
// and its reason, and that the host hears nothing of it.
func wantRefused(t *testing.T, b *bench, o sim.SessionOptions, status int, reason, kind string) {
	t.Helper()
	legs, before := len(b.sink.Legs()), b.env.Counts()[kind]
	s, err := sim.Open(t.Context(), o)
	if err == nil {
		s.Vanish()
		t.Fatalf("the session is open; want a refusal as %s", kind)
	}
	if e, ok := errors.AsType[*sim.Error](err); !ok || e.HTTP != status || e.Reason != reason {
		t.Errorf("the session ended with %v; want HTTP %d or disconnect %q", err, status, reason)
	}
	b.wantCount(t, kind, before+1)
	if got := len(b.sink.Legs()); got != legs {
		t.Errorf("the host has %d legs; want %d", got, legs)
	}
}

func wrongSignature(h http.Header) { h.Set(headerSignature, exampleSignature) }

// TestRefusalsTakeTheirTime: each takes as long as the others.
func TestRefusalsTakeTheirTime(t *testing.T) {
	cfg := testConfig()
	cfg.Limits.RefusalDelay = adapter.Duration(150 * time.Millisecond)
	b := run(t, cfg)
	var all sync.WaitGroup
	for name, change := range map[string]func(http.Header){
		"wrong": wrongSignature, "missing": func(h http.Header) { h.Del(headerSignature); h.Del(headerInput) },
		"key": func(h http.Header) { h.Set(headerKey, "nobody's") }, "session": func(h http.Header) { h.Set(headerSession, "x") },
	} {
		all.Go(func() {
			o := b.options(t)
			o.Header = change
			begun := time.Now()
			_, err := sim.Open(t.Context(), o)
			if e, ok := errors.AsType[*sim.Error](err); !ok || e.HTTP != http.StatusUnauthorized || e.Text != "unauthorized" {
				t.Errorf("%s: %v; want HTTP 401 and no more", name, err)
			}
			if took := time.Since(begun); took < 150*time.Millisecond {
				t.Errorf("%s: refused after %v; want 150 ms at least", name, took)
			}
		})
	}
	all.Wait()
}

// TestRefusalsAreBounded: of too many that prove nothing the rest do not wait, and a
// session that does prove itself gets in meanwhile.
func TestRefusalsAreBounded(t *testing.T) {
	cfg := testConfig()
	cfg.Limits.RefusalDelay = adapter.Duration(5 * time.Second)
	b := run(t, cfg)
	codes := make(chan int)
	for range maxRefusing + 1 {
		go func() {
			o := b.options(t)
			o.Header = wrongSignature
			_, err := sim.Open(t.Context(), o)
			e, _ := errors.AsType[*sim.Error](err)
			if e == nil {
				e = &sim.Error{}
			}
			codes <- e.HTTP
		}()
	}
	if code := <-codes; code != http.StatusServiceUnavailable {
		t.Errorf("the first answer is %d; want 503 at once", code)
	}
	s, _ := b.open(t, b.options(t))
	if err := s.Close(t.Context(), "end"); err != nil {
		t.Error(err)
	}
	b.stop() // answers those who wait
	for range maxRefusing {
		<-codes
	}
}

func TestUnauthorizedByDisconnect(t *testing.T) {
	cfg := testConfig()
	cfg.Unauthorized = UnauthorizedDisconnect
	b := run(t, cfg)
	o := b.options(t)
	o.Header = wrongSignature
	wantRefused(t, b, o, 0, reasonUnauthorized, countSignature)
}

func TestAddresses(t *testing.T) {
	cfg := testConfig()
	cfg.Addresses = []string{"10.0.0.0/8", "127.0.0.1"}
	b := run(t, cfg)
	b.open(t, b.options(t))
	cfg.Addresses = []string{"10.0.0.0/8"}
	b = run(t, cfg)
	wantRefused(t, b, b.options(t), http.StatusForbidden, "", countAddress)
}

func TestOtherRequests(t *testing.T) {
	b := run(t, testConfig())
	o := b.options(t)
	o.URL = testURL + "/"
	wantRefused(t, b, o, http.StatusNotFound, "", countPath)
	res, err := http.Post(b.url()+DefaultPath, "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if res.StatusCode != http.StatusNotFound && res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST is answered with %s", res.Status)
	}
}

func TestHostRefuses(t *testing.T) {
	b := run(t, testConfig())
	for reason, said := range map[adapter.RefusalReason]string{
		adapter.RefusedFull: reasonError, adapter.RefusedDraining: reasonError, adapter.RefusedNoRoute: reasonCompleted, adapter.RefusedNotYours: reasonCompleted,
	} {
		b.sink.Refuse(&adapter.Refusal{Reason: reason, Text: "test"})
		wantRefused(t, b, b.options(t), 0, said, countHost)
	}
}

func TestTooManySessions(t *testing.T) {
	cfg := testConfig()
	cfg.Limits.MaxSessions = 1
	b := run(t, cfg)
	s, _ := b.open(t, b.options(t))
	wantRefused(t, b, b.options(t), http.StatusServiceUnavailable, "", countFull)
	if err := s.Close(t.Context(), "end"); err != nil {
		t.Error(err)
	}
	for { // the place is free as soon as the adapter has seen Genesys' close
		again, err := sim.Open(t.Context(), b.options(t))
		if err == nil {
			again.Vanish()
			return
		}
		if !strings.Contains(err.Error(), "503") {
			t.Fatal(err)
		}
	}
}

// TestThousandsWithoutOpen: connections that say nothing, requests that never end, and
// sessions without open message are bounded, and one that speaks gets in.
func TestThousandsWithoutOpen(t *testing.T) {
	cfg := testConfig()
	cfg.Limits.MaxConnections = 300
	cfg.Limits.HandshakeTimeout = adapter.Duration(300 * time.Millisecond)
	cfg.Limits.OpenTimeout = adapter.Duration(300 * time.Millisecond)
	b := run(t, cfg)
	good, leg := b.open(t, b.options(t))
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	for i := range 1000 {
		c, err := net.Dial("tcp", b.env.Addr(listenerHTTP))
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
		if i%2 == 0 { // a request that never ends
			_, _ = c.Write([]byte("GET /audiohook HTTP/1.1\r\nHost: x\r\nX-Slow: "))
		}
	}
	if err := good.Send(make([]byte, 160), make([]byte, 160)); err != nil {
		t.Error(err)
	}
	leg.WaitSamples(t, "external", 160)
	enter := func(o sim.SessionOptions) *sim.Session { // the handshake's timeout makes room
		for deadline := time.Now().Add(adaptertest.Patience); ; {
			s, err := sim.Open(t.Context(), o)
			if err == nil {
				return s
			}
			if time.Now().After(deadline) {
				t.Fatal("nobody gets in any more: ", err)
			}
		}
	}
	enter(b.options(t)).Vanish()
	if b.env.Counts()[countDoor] == 0 {
		t.Error("no connection was closed at the door")
	}
	silent := b.options(t)
	silent.Silent = true
	s := enter(silent)
	<-s.Ended()
	if err := s.Err(); err == nil || !strings.Contains(err.Error(), "no open message in time") {
		t.Errorf("a session without open ended with %v", err)
	}
	b.wantCount(t, countTimeout, 1)
	if err := good.Send(make([]byte, 160), make([]byte, 160)); err != nil {
		t.Error(err)
	}
	leg.WaitSamples(t, "external", 320)
}
