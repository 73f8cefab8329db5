package api

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/patchbay/patchbay/core/adapter"
)

func TestNewRefusesToServeStrangers(t *testing.T) {
	for _, tc := range []struct {
		listen string
		token  adapter.Secret
		key    string // of the problem; empty: none
	}{
		{"127.0.0.1:8080", "", ""},
		{"[::1]:8080", "", ""},
		{"localhost:8080", "", ""},
		{"127.8.9.1:0", "", ""},
		{":8080", "", "api.token"},
		{"0.0.0.0:8080", "", "api.token"},
		{"[::]:8080", "", "api.token"},
		{"192.0.2.1:8080", "", "api.token"},
		{"localhost.example.com:8080", "", "api.token"},
		{":8080", "secret", ""},
		{"8080", "secret", "api.listen"},
		{":8080", "two words", "api.token"},
		{":8080", "line\n", "api.token"},
		{":8080", "schlüssel", "api.token"},
	} {
		_, err := New(Config{Listen: tc.listen, Token: tc.token}, Deps{})
		p, bad := errors.AsType[adapter.Problem](err)
		if bad != (tc.key != "") || p.Key != tc.key {
			t.Errorf("New(%s, token of %d characters) = %v; want problem %q", tc.listen, len(tc.token), err, tc.key)
		}
		if err != nil && tc.token != "" && strings.Contains(err.Error(), string(tc.token)) {
			t.Errorf("the problem %q says the token", err)
		}
	}
}

func TestServeRefusesAnotherSocket(t *testing.T) {
	s, err := New(Config{Listen: "127.0.0.1:0"}, Deps{})
	if err != nil {
		t.Fatal(err)
	}
	ln := &namedListener{addr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 80}}
	if err := s.Serve(t.Context(), ln); err == nil || !strings.Contains(err.Error(), "api.token") {
		t.Errorf("Serve on 192.0.2.1 = %v; want the missing token", err)
	}
	if !ln.closed {
		t.Error("the listener was left open")
	}
}

// namedListener has an address and nothing else.
type namedListener struct {
	addr   net.Addr
	closed bool
}

func (l *namedListener) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (l *namedListener) Close() error              { l.closed = true; return nil }
func (l *namedListener) Addr() net.Addr            { return l.addr }

func TestServeReportsABrokenListener(t *testing.T) {
	s, err := New(Config{Listen: "127.0.0.1:0"}, Deps{})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Serve(t.Context(), &namedListener{addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}})
	if adapter.KindOf(err) != adapter.KindUnavailable || !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve on a broken listener = %v; want its error, unavailable", err)
	}
}

func TestToken(t *testing.T) {
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("numbers")) })
	h := newHost(t, withToken("s3cret"), withMetrics(metrics))
	for _, tc := range []struct {
		name, path, authorization, host, origin string
		status                                  int
	}{
		{"right", "/v1/calls", "Bearer s3cret", "", "", 200},
		{"scheme in other letters", "/v1/calls", "bearer s3cret", "", "", 200},
		{"any name may lead here", "/v1/calls", "Bearer s3cret", "patchbay.example.com", "https://desk.example.com", 200},
		{"none", "/v1/calls", "", "", "", 401},
		{"wrong", "/v1/calls", "Bearer s3cre7", "", "", 401},
		{"shorter", "/v1/calls", "Bearer s3cre", "", "", 401},
		{"longer", "/v1/calls", "Bearer s3crets", "", "", 401},
		{"empty", "/v1/calls", "Bearer ", "", "", 401},
		{"another scheme", "/v1/calls", "Basic czNjcmV0", "", "", 401},
		{"bare", "/v1/calls", "s3cret", "", "", 401},
		{"metrics with", "/metrics", "Bearer s3cret", "", "", 200},
		{"metrics without", "/metrics", "", "", "", 401},
		{"a path that is not there", "/v2", "", "", "", 401},
		{"probe", "/healthz", "", "", "", 200},
		{"another probe", "/readyz", "", "", "", 200},
		{"description", "/openapi.json", "", "", "", 200},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := h.request(http.MethodGet, tc.path, "")
			r.Header.Del("Authorization")
			if tc.authorization != "" {
				r.Header.Set("Authorization", tc.authorization)
			}
			if tc.origin != "" {
				r.Header.Set("Origin", tc.origin)
			}
			r.Host = tc.host
			resp, body := h.do(r)
			if resp.StatusCode != tc.status {
				t.Fatalf("GET %s = %s %s; want %d", tc.path, resp.Status, body, tc.status)
			}
			if resp.Header.Get("Cache-Control") != "no-store" {
				t.Error("the answer may be cached")
			}
			if tc.status != 401 {
				return
			}
			problemOf(t, resp, body)
			if !strings.HasPrefix(resp.Header.Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("WWW-Authenticate = %q; want Bearer", resp.Header.Get("WWW-Authenticate"))
			}
			if strings.Contains(string(body), "s3cret") {
				t.Errorf("the answer %s says the token", body)
			}
		})
	}
}

func TestWithoutTokenOnlyThisMachine(t *testing.T) {
	h := newHost(t)
	port := h.url[strings.LastIndex(h.url, ":"):]
	for _, tc := range []struct {
		name, host, origin, site string
		status                   int
	}{
		{"a program", "", "", "", 200},
		{"by name", "localhost" + port, "", "", 200},
		{"by IPv6", "[::1]" + port, "", "", 200},
		{"IPv6 without a port", "[::1]", "", "", 200},
		{"our own page", "localhost" + port, "http://localhost" + port, "same-origin", 200},
		{"typed by the user", "localhost" + port, "", "none", 200},
		{"a name that resolves here", "evil.example.com" + port, "", "", 403},
		{"a name that looks like us", "localhost.evil.example.com", "", "", 403},
		{"another address", "192.0.2.1", "", "", 403},
		{"a page from elsewhere", "localhost" + port, "https://evil.example.com", "cross-site", 403},
		{"a page from another port", "localhost" + port, "http://localhost:1", "same-site", 403},
		{"an old browser", "localhost" + port, "https://evil.example.com", "", 403},
		{"an origin of nobody", "localhost" + port, "null", "", 403},
		{"an image from elsewhere", "localhost" + port, "", "cross-site", 403},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := h.request(http.MethodGet, "/v1/calls", "")
			r.Host = tc.host
			for name, value := range map[string]string{"Origin": tc.origin, "Sec-Fetch-Site": tc.site} {
				if value != "" {
					r.Header.Set(name, value)
				}
			}
			resp, body := h.do(r)
			if resp.StatusCode != tc.status {
				t.Fatalf("GET as %s = %s %s; want %d", tc.name, resp.Status, body, tc.status)
			}
			if resp.StatusCode == 403 {
				problemOf(t, resp, body)
			}
			for name := range resp.Header {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("%s lets other pages read", name)
				}
			}
		})
	}
}
