package audiohook

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/patchbay/patchbay/core/adapter"
)

// serveUpgrade answers a session's WebSocket handshake and serves the session.
func (s *server) serveUpgrade(w http.ResponseWriter, r *http.Request) {
	begun := time.Now()
	if !s.allowed(r.RemoteAddr) {
		s.env.report.Warn(countAddress, "a session is refused: it comes from outside of addresses", "remote", r.RemoteAddr)
		http.Error(w, "forbidden", http.StatusForbidden)
		return
	}
	principal, no := s.verify.prove(s.signed(r, s.env.secure), begun)
	if no != nil {
		s.env.report.Warn(no.count, "a session is refused: "+no.detail, "remote", r.RemoteAddr,
			"organization", clip(r.Header.Get(headerOrganization), 40), "session", clip(r.Header.Get(headerSession), 40))
		s.refuse(w, r, begun)
		return
	}
	s.serveSession(w, r, caller{
		principal: principal, organization: principal.Account, remote: r.RemoteAddr,
		session: r.Header.Get(headerSession), correlation: r.Header.Get(headerCorrelation),
	}, false)
}

func (s *server) allowed(remote string) bool {
	if len(s.nets) == 0 {
		return true
	}
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return false
	}
	for _, n := range s.nets {
		if n.Contains(at.Addr().Unmap()) {
			return true
		}
	}
	return false
}

// refuse answers an upgrade that proves nothing, when the same time has passed for
// every reason. Of too many at once, the rest are told to come later.
func (s *server) refuse(w http.ResponseWriter, r *http.Request, begun time.Time) {
	select {
	case s.refusing <- struct{}{}:
		defer func() { <-s.refusing }()
	default:
		busy(w)
		return
	}
	timer := time.NewTimer(time.Until(begun.Add(time.Duration(s.cfg.Limits.RefusalDelay))))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
	case <-s.work.Done():
	}
	if s.cfg.Unauthorized == UnauthorizedDisconnect && isUUID(r.Header.Get(headerSession)) {
		s.serveSession(w, r, caller{session: r.Header.Get(headerSession), remote: r.RemoteAddr}, true)
		return
	}
	http.Error(w, "unauthorized", http.StatusUnauthorized)
}

func busy(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "10")
	http.Error(w, "no room for another session", http.StatusServiceUnavailable)
}

// serveSession upgrades the connection and serves the session, or only tells it that it
// proves nothing.
func (s *server) serveSession(w http.ResponseWriter, r *http.Request, c caller, unauthorized bool) {
	if !s.admit() {
		s.env.report.Warn(countFull, "a session is refused: limits.max_sessions is reached, too many have not said open, or the adapter is stopping")
		busy(w)
		return
	}
	defer s.leave()
	settle := sync.OnceFunc(s.settle)
	defer settle()
	up := websocket.Upgrader{
		HandshakeTimeout: time.Duration(s.cfg.Limits.HandshakeTimeout),
		ReadBufferSize:   4096, // 200 ms of both voices
		WriteBufferSize:  1024,
		CheckOrigin:      func(*http.Request) bool { return true }, // Genesys is no browser; signatures decide
		Error: func(w http.ResponseWriter, _ *http.Request, status int, _ error) {
			http.Error(w, "this is a WebSocket for Genesys AudioHook", status)
		},
	}
	conn, err := up.Upgrade(w, r, nil)
	if err != nil {
		s.env.report.Warn(countRequest, "a request to the path is no WebSocket handshake", "remote", r.RemoteAddr, "err", err)
		return
	}
	k := &socket{conn: conn, server: s, begun: settle}
	k.session = newSession(s.Adapter, s.env, c, k.hurry)
	if unauthorized {
		k.disconnect(reasonUnauthorized, "", adapter.EndReason{Kind: adapter.EndProtocol, Text: "unauthorized"})
	}
	k.serve(s.work)
}

// loopback reports whether a host is this machine.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}
