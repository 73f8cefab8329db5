package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/patchbay/patchbay/core/adapter"
)

// openPaths need no token: probes come from machines that have none, and the
// description is the same for everybody.
var openPaths = map[string]bool{
	"/healthz": true, "/readyz": true, openAPIPath + ".json": true, openAPIPath + ".yaml": true,
}

// checkAccess refuses a configuration that would serve strangers, or nobody.
func checkAccess(cfg Config) error {
	host, _, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return adapter.Problem{Key: "api.listen", Value: cfg.Listen, Why: "is not an address", Do: "write host:port, such as 127.0.0.1:8080"}
	}
	if cfg.Token == "" && !isLoopback(host) {
		return withoutToken(cfg.Listen)
	}
	if strings.ContainsFunc(string(cfg.Token), func(r rune) bool { return r <= ' ' || r > '~' }) {
		return adapter.Problem{Key: "api.token", Why: "has spaces or characters that cannot stand in a header", Do: "use letters, digits and - . _ ~ + / ="}
	}
	return nil
}

// checkListener makes sure that the socket is what the configuration said.
func checkListener(cfg Config, addr net.Addr) error {
	tcp, ok := addr.(*net.TCPAddr)
	if cfg.Token == "" && ok && !tcp.IP.IsLoopback() {
		return withoutToken(addr.String())
	}
	return nil
}

func withoutToken(addr string) error {
	return adapter.Problem{Key: "api.token", Why: fmt.Sprintf("is missing, and %s can be reached from other machines", addr),
		Do: "set api.token (env:PATCHBAY_TOKEN), or let api.listen be 127.0.0.1:8080"}
}

// isLoopback reports whether a host, as written, is this machine.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// guard lets those in who may use the API.
type guard struct {
	token  [sha256.Size]byte // hashed, so that comparing takes the same time for every length
	needed bool
}

func newGuard(token adapter.Secret) guard {
	return guard{token: sha256.Sum256([]byte(token)), needed: token != ""}
}

func (g guard) around(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case openPaths[r.URL.Path]:
			next.ServeHTTP(w, r)
		case g.needed:
			g.withToken(next, w, r)
		default:
			onThisMachine(next, w, r)
		}
	})
}

func (g guard) withToken(next http.Handler, w http.ResponseWriter, r *http.Request) {
	challenge, text := `Bearer realm="patchbay"`, "a token is needed; send it as Authorization: Bearer TOKEN"
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") {
		got := sha256.Sum256([]byte(strings.TrimSpace(token)))
		if subtle.ConstantTimeCompare(got[:], g.token[:]) == 1 {
			next.ServeHTTP(w, r)
			return
		}
		challenge, text = challenge+`, error="invalid_token"`, "the token is wrong; the right one is what api.token names"
	}
	w.Header().Set("WWW-Authenticate", challenge)
	writeProblem(w, http.StatusUnauthorized, text)
}

// onThisMachine serves programs of this machine that meant this machine. A web page
// from elsewhere reaches loopback too, through the user's browser: by a name of its
// own that resolves here (DNS rebinding), or across origins.
func onThisMachine(next http.Handler, w http.ResponseWriter, r *http.Request) {
	switch {
	case !isLoopback(hostOf(r.Host)):
		writeProblem(w, http.StatusForbidden, "without api.token the API answers to localhost and loopback addresses alone, not to the name in the Host header")
	case crossOrigin(r):
		writeProblem(w, http.StatusForbidden, "without api.token the API does not answer web pages from elsewhere")
	default:
		next.ServeHTTP(w, r)
	}
}

// hostOf returns a Host header without its port.
func hostOf(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]")
}

// crossOrigin reports whether a browser says that a page from elsewhere asks.
func crossOrigin(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default:
		return true
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return false
	}
	u, err := url.Parse(origin)
	return err != nil || !strings.EqualFold(u.Host, r.Host)
}
