package signal

import (
	"context"
	"crypto/tls"
	"net"
	"time"
)

// Handler takes the calls.
type Handler interface {
	// Invite decides on a new dialog. The peer is identified, the options it requires are
	// known, a place is free. It runs in the dialog's own queue, so others do not wait,
	// but the caller does: it should decide from local knowledge. ctx ends when the
	// caller cancels and when the server stops.
	//
	// A status of 300 and more refuses, and the session must be nil. Otherwise the
	// session gets what follows, and its End whatever happens.
	Invite(ctx context.Context, d *Dialog, r *Request) (Session, Answer)
}

// Session is a dialog as its owner sees it. Its methods are called one after another,
// in the order of the peer's CSeq, and End is the last. They should not block: the
// dialog's next request waits meanwhile.
type Session interface {
	// Change answers a re-INVITE or an UPDATE, with SDP, metadata, both or neither. To a
	// re-INVITE without SDP the answer's body is our offer. Any status below 300 agrees.
	// While an offer of ours is open, requests with an offer get 491 and never come here.
	Change(r *Request) Answer
	// Acknowledge reports the ACK of our 2xx. When our body was the offer, its body is
	// the peer's answer. It comes once for each INVITE; not at all if a later request
	// proved that the 2xx had arrived.
	Acknowledge(r *Request)
	// Inform answers an INFO. The zero Answer is 200.
	Inform(r *Request) Answer
	// End says that the dialog is over, once.
	End(cause EndCause)
}

// Refreshed is an extra of a Session: it gets the peer's SDP when a re-INVITE of ours,
// sent only to refresh the session (RFC 4028), was answered.
type Refreshed interface {
	Refreshed(sdp []byte)
}

// Answer is what a session says to a request. The zero value is 200 without a body.
type Answer struct {
	Status     int           // 0 means 200
	Reason     string        // the phrase; empty means the usual one
	Body       []byte        // application/sdp
	Headers    [][2]string   // added to those that belong there; line breaks in values become blanks
	RetryAfter time.Duration // rounded up to seconds; zero sends none
}

// EndCause is why a dialog is over.
type EndCause string

// The causes.
const (
	EndBye       EndCause = "bye"       // the peer's BYE
	EndOurs      EndCause = "ours"      // Dialog.Bye
	EndCancelled EndCause = "cancelled" // the peer's CANCEL came before our answer went out
	EndNoAck     EndCause = "no-ack"    // our 2xx was never acknowledged
	EndExpired   EndCause = "expired"   // the session interval ran out without a refresh
	EndLost      EndCause = "lost"      // the peer does not know the dialog any more, or does not answer
	EndReplaced  EndCause = "replaced"  // another dialog took its place (RFC 3891)
	EndShutdown  EndCause = "shutdown"  // the server stops
)

// Listeners are the sockets of a server. Any may be nil; Serve closes them.
type Listeners struct {
	UDP net.PacketConn
	TCP net.Listener
	TLS net.Listener // plain TCP: the server ends TLS itself
	// TLSConfig is the server's side of TLS; it may reload its certificate. Client
	// certificates count only if it verifies them (VerifyClientCertIfGiven or
	// RequireAndVerifyClientCert) against ClientCAs.
	TLSConfig *tls.Config
	// TLSClient is for connections that we must open to a peer whose own was lost. Nil
	// means TLSConfig's certificate and the system's roots.
	TLSClient *tls.Config
}

// Transports, as Peer.Transport and in Via headers.
const (
	UDP = "UDP"
	TCP = "TCP"
	TLS = "TLS"
)
