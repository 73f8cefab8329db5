package signal

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
)

// Config says who may call and what it may cost. Fields that are zero get the defaults
// below, unless said otherwise.
type Config struct {
	// Trunks are tried in order; a peer belongs to the first whose every stated proof it
	// brings. Two trunks may share a Name: then either's proofs do.
	Trunks []Trunk
	// Insecure takes peers that no trunk knows, as untrusted ones with the trunk name "".
	// For trials on a closed network only; New warns once.
	Insecure bool
	// Realm is what digest users are asked for.
	Realm string
	// Contact is the host:port that each transport is reached at from outside. Empty
	// means the address that the request came to.
	Contact Contact
	// Options are option tags that a Require header may hold beside Supported ones.
	Options []string
	// UserAgent is the Server and User-Agent header. Empty sends none.
	UserAgent string
	// T1 is the estimate of a round trip: 2xx answers are sent again after T1, 2·T1, …
	// at most T2 apart, for 64·T1. Other transactions keep RFC 3261's 500 ms.
	T1 time.Duration
	// MinSessionExpires is the shortest session interval taken (RFC 4028: at least 90 s);
	// less gets 422.
	MinSessionExpires time.Duration
	// SessionExpires is asked of peers that support session timers but name no interval.
	// Zero asks for none: some list the option and yet never refresh.
	SessionExpires time.Duration
	// RetryAfter goes with 503 while draining or full.
	RetryAfter time.Duration
	// StopGrace bounds the farewell when Serve's context ends: BYE for every dialog, and
	// its answer.
	StopGrace time.Duration
	Limits    Limits
}

// Trunk is a system that calls: an SBC, a cluster, a PBX. What is stated of Addresses,
// Certificates and Users is demanded, all of it; a trunk that states nothing is refused
// by New.
type Trunk struct {
	Name         string
	Addresses    []netip.Prefix // where its requests come from
	Certificates []string       // names of its TLS certificate: DNS or URI SAN, or common name; *.example.com matches one label
	Users        []User         // digest
}

// User may prove itself by digest. MD5 and SHA-256 are offered.
type User struct{ Name, Password string }

// Contact is the advertised host:port of each transport. The port may be left out.
type Contact struct{ UDP, TCP, TLS string }

// Limits bound what peers may cost. All are per server.
type Limits struct {
	Dialogs         int           // at once; more get 486 and Retry-After
	Transactions    int           // at once; more get 503 without being kept
	MessageBytes    int           // longest message on a stream; longer ends the connection. Datagrams may be 65535 bytes
	Connections     int           // TCP and TLS together
	PeerConnections int           // the same from one address
	RequestRate     float64       // requests outside dialogs a second and address, OPTIONS apart; more get 503
	RequestBurst    int           // of the same
	DialogRate      float64       // requests a second within one dialog; more get 503
	RefusalInterval time.Duration // an address that proves nothing gets one answer in this time; the rest is dropped
	IdleConnection  time.Duration // a connection without messages is closed
	Handshake       time.Duration // for TLS, and for each message on a stream once it has begun
	ReorderWait     time.Duration // how long a request that overtook another of its dialog waits for it
	BodyBytes       int           // longest body; longer gets 413
}

// The defaults.
const (
	DefaultRealm             = "patchbay"
	DefaultT1                = 500 * time.Millisecond
	DefaultMinSessionExpires = 90 * time.Second
	DefaultRetryAfter        = 10 * time.Second
	DefaultStopGrace         = 3 * time.Second

	DefaultDialogs         = 2000
	DefaultTransactions    = 20000
	DefaultMessageBytes    = 64 << 10
	DefaultConnections     = 1024
	DefaultPeerConnections = 256
	DefaultRequestRate     = 100
	DefaultRequestBurst    = 200
	DefaultDialogRate      = 20
	DefaultRefusalInterval = 10 * time.Second
	DefaultIdleConnection  = time.Hour
	DefaultHandshake       = 10 * time.Second
	DefaultReorderWait     = 100 * time.Millisecond
)

// T2 bounds the pause between two retransmissions (RFC 3261 §17.1.2.1).
const T2 = 4 * time.Second

func (c Config) withDefaults() Config {
	def(&c.Realm, DefaultRealm)
	def(&c.T1, DefaultT1)
	def(&c.MinSessionExpires, DefaultMinSessionExpires)
	def(&c.RetryAfter, DefaultRetryAfter)
	def(&c.StopGrace, DefaultStopGrace)
	l := &c.Limits
	def(&l.Dialogs, DefaultDialogs)
	def(&l.Transactions, DefaultTransactions)
	def(&l.MessageBytes, DefaultMessageBytes)
	def(&l.Connections, DefaultConnections)
	def(&l.PeerConnections, DefaultPeerConnections)
	def(&l.RequestRate, DefaultRequestRate)
	def(&l.RequestBurst, DefaultRequestBurst)
	def(&l.DialogRate, DefaultDialogRate)
	def(&l.RefusalInterval, DefaultRefusalInterval)
	def(&l.IdleConnection, DefaultIdleConnection)
	def(&l.Handshake, DefaultHandshake)
	def(&l.ReorderWait, DefaultReorderWait)
	def(&l.BodyBytes, l.MessageBytes)
	return c
}

func def[T comparable](p *T, v T) {
	if *p == *new(T) {
		*p = v
	}
}

// validate joins all that is wrong with c.
func (c Config) validate() error {
	var errs []error
	say := func(format string, args ...any) { errs = append(errs, fmt.Errorf("signal: "+format, args...)) }
	if len(c.Trunks) == 0 && !c.Insecure {
		say("no trunk is set, so nobody may call: name one, or set insecure for a trial")
	}
	for i, t := range c.Trunks {
		if t.Name == "" {
			say("trunks[%d] needs a name", i)
		}
		if len(t.Addresses)+len(t.Certificates)+len(t.Users) == 0 {
			say("trunk %q must state addresses, certificates or users", t.Name)
		}
		for _, p := range t.Addresses {
			if !p.IsValid() {
				say("trunk %q has an address that is none", t.Name)
			}
		}
		for _, u := range t.Users {
			if u.Name == "" || u.Password == "" {
				say("trunk %q has a user without a name or without a password", t.Name)
			}
		}
	}
	for _, a := range []string{c.Contact.UDP, c.Contact.TCP, c.Contact.TLS} {
		if _, _, err := contactHost(a, 0); a != "" && err != nil {
			say("contact %q: %w", a, err)
		}
	}
	if c.T1 < 0 || c.MinSessionExpires < 0 || c.SessionExpires < 0 || c.SessionExpires > 0 && c.SessionExpires < c.MinSessionExpires {
		say("durations must not be negative, nor session_expires below its minimum of %v", c.MinSessionExpires)
	}
	l := c.Limits
	if l.Dialogs < 0 || l.Transactions < 0 || l.MessageBytes < 0 || l.Connections < 0 || l.PeerConnections < 0 ||
		l.RequestRate < 0 || l.RequestBurst < 0 || l.DialogRate < 0 || l.BodyBytes < 0 {
		say("limits must not be negative")
	}
	return errors.Join(errs...)
}

// contactHost splits an advertised address; port is the one if it names none.
func contactHost(a string, port int) (string, int, error) {
	host, p, err := net.SplitHostPort(a)
	if err != nil {
		host = strings.Trim(a, "[]")
		if strings.Count(a, ":") == 1 {
			return "", 0, err
		}
	} else if _, err := fmt.Sscanf(p, "%d", &port); err != nil || port < 1 || port > 65535 {
		return "", 0, fmt.Errorf("bad port %q", p)
	}
	if host == "" || strings.ContainsAny(host, " <>;,@\"\r\n") {
		return "", 0, fmt.Errorf("bad host %q", host)
	}
	return host, port, nil
}
