package signal

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// query is a request of ours before it is known which way it goes.
type query struct {
	method string
	seq    uint32
	draft  *draft
	flow   *flow  // the latest way to the peer
	next   string // the URI that it goes to, unless a connection is there already
	peer   Peer
}

// compose begins a request within the dialog (RFC 3261 §12.2.1.1).
func (d *Dialog) compose(method string, seq uint32) *query {
	uri, routes, next := d.target, d.routes, d.target
	if uri == "" {
		uri = "sip:" + d.peer.Addr.String()
	}
	if len(routes) > 0 {
		first := ParseAddress(routes[0]).URI
		next = first
		if t, ok := parseTarget(first); ok && !t.loose { // a strict router
			uri, routes = first, append(append([]string(nil), routes[1:]...), "<"+d.target+">")
		}
	}
	q := &query{method: method, seq: seq, flow: d.flow, next: next, peer: d.peer}
	q.draft = &draft{first: method + " " + strings.Join(strings.Fields(clean(uri)), "") + " SIP/2.0"}
	q.draft.add("Max-Forwards", "70")
	for _, r := range routes {
		q.draft.add("Route", r)
	}
	q.draft.add("From", d.local).add("To", d.remote).add("Call-ID", d.callID)
	q.draft.add("CSeq", strconv.FormatUint(uint64(seq), 10)+" "+method)
	if ua := d.s.cfg.UserAgent; ua != "" {
		q.draft.add("User-Agent", ua)
	}
	if method != "ACK" && method != "BYE" {
		q.draft.add("Allow", allow).add("Supported", supported)
	}
	return q
}

// over puts in front what depends on the way: Via, and Contact. It returns the branch.
func (q *query) over(f *flow) (branch string) {
	branch = newBranch()
	q.draft.lines = append(Headers{{"Via", "SIP/2.0/" + f.transport + " " + f.contact + ";branch=" + branch + ";rport"}}, q.draft.lines...)
	if q.method != "BYE" {
		q.draft.add("Contact", contactOf(f, ""))
	}
	return branch
}

// ack is the ACK of a refusal: the same transaction, so the same Via (RFC 3261
// §17.1.1.3).
func (q *query) ack() *draft {
	uri := strings.TrimSuffix(strings.TrimPrefix(q.draft.first, q.method+" "), " SIP/2.0")
	a := &draft{first: "ACK " + uri + " SIP/2.0"}
	for _, l := range q.draft.lines {
		switch l.Name {
		case "Via", "Max-Forwards", "Route", "From", "To", "Call-ID":
			a.add(l.Name, l.Value)
		case "CSeq":
			a.add("CSeq", strconv.FormatUint(uint64(q.seq), 10)+" ACK")
		}
	}
	return a
}

// dialTimeout bounds how long a new connection to a peer may take.
const dialTimeout = 3 * time.Second

// request finds the way, sends q and waits for its final answer; nil if there is none.
func (s *Server) request(q *query, within time.Duration) (*clientTx, *message) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	f, err := s.way(ctx, q)
	if err != nil {
		s.report.Count(CountUnsent)
		return nil, nil
	}
	branch := q.over(f)
	return s.txs.request(ctx, f, q.method, branch, q.draft, q.ack())
}

// way is the connection that the peer used last, if it is still there; else where its
// Contact or its proxy is. An address that the peer's trunk does not include is not
// called, whatever a message says: then it goes where the peer's requests came from.
func (s *Server) way(ctx context.Context, q *query) (*flow, error) {
	if q.flow.conn != nil && q.flow.alive() {
		return q.flow, nil
	}
	t, known := parseTarget(q.next)
	if t.transport == "" {
		t.transport = q.flow.transport
	}
	to, named := netip.AddrPortFrom(q.flow.remote.Addr(), uint16(t.port)), false
	if known {
		if a, err := s.lookup(ctx, t.host); err == nil && s.gate.mayDial(q.peer, a) {
			to, named = netip.AddrPortFrom(a, uint16(t.port)), true
		}
	}
	if to.Port() == 0 {
		to = netip.AddrPortFrom(to.Addr(), map[string]uint16{UDP: 5060, TCP: 5060, TLS: 5061}[t.transport])
	}
	if q.flow.packets != nil && t.transport == UDP {
		if !named {
			return q.flow, nil
		}
		return q.flow.packets.flow(to), nil
	}
	f, err := s.dial(ctx, t, to)
	if err != nil && q.flow.packets != nil {
		return q.flow, nil // the socket that it came by
	}
	return f, err
}

func lookup(ctx context.Context, host string) (netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap(), nil
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	as, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil || len(as) == 0 {
		return netip.Addr{}, errors.Join(err, errGone)
	}
	return as[0].Unmap(), nil
}

// dial opens a connection to where t points, which is to.
func (s *Server) dial(ctx context.Context, t target, to netip.AddrPort) (*flow, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var secure *tls.Config
	ln, configured := s.lns.TCP, s.cfg.Contact.TCP
	switch t.transport {
	case TCP:
	case TLS:
		ln, configured = s.lns.TLS, s.cfg.Contact.TLS
		secure = s.clientTLS(t.host)
	default:
		return nil, errors.New("no transport " + t.transport)
	}
	if ln == nil { // nobody could answer to our Contact
		return nil, errors.New("not served: " + t.transport)
	}
	return s.streams.dial(ctx, to, secure, configured, addrPort(ln.Addr()))
}

// clientTLS is for a connection of ours to host.
func (s *Server) clientTLS(host string) *tls.Config {
	c := &tls.Config{}
	if s.lns.TLSClient != nil {
		c = s.lns.TLSClient.Clone()
	} else if own := s.lns.TLSConfig; own != nil {
		c.Certificates = own.Certificates
		if own.GetCertificate != nil {
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				return own.GetCertificate(&tls.ClientHelloInfo{})
			}
		}
	}
	c.MinVersion = max(c.MinVersion, tls.VersionTLS12)
	if c.ServerName == "" {
		c.ServerName = host
	}
	return c
}
