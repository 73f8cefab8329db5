// Package adapter is the contract between a vendor's adapter and the patchbay
// host: all that a partner implements, and all that the host offers in return.
// It is the same in one process and across the plugin seam, so an adapter is
// tested without a plugin binary (package adaptertest) and served as a plugin
// without other code (package plug).
package adapter

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"time"

	"github.com/patchbay/patchbay/core/media"
)

// Adapter turns one vendor's media feed into legs.
type Adapter interface {
	// Run serves until ctx is cancelled, then closes its legs, waits for every
	// goroutine it started and returns nil. Any other return is a failure, and
	// the host may start a fresh Adapter after a pause. Run is called once.
	Run(ctx context.Context, env Env, sink Sink) error
}

// Env is what the host gives an adapter beside the Sink. All of it may be used
// concurrently.
type Env struct {
	Name string       // the configured name of this instance, such as "twilio-eu"
	Log  *slog.Logger // no audio, transcripts, secrets or full numbers

	// Listen opens a listener that the adapter's configuration names (Config.Listeners).
	// Across the seam the socket is inherited from the host. It is never wrapped in TLS.
	// It fails with ErrNoListener when the configuration gives an optional one no address.
	Listen func(name string) (net.Listener, error)

	// ListenPacket is Listen for a listener of NetworkUDP. What arrives while no plugin
	// runs waits in the socket, as far as its buffer reaches. The connection is a
	// *net.UDPConn.
	ListenPacket func(name string) (net.PacketConn, error)

	// TLS is nil when the instance serves without TLS. Otherwise its certificate
	// follows the files that the configuration names; clone it to add protocols.
	TLS *tls.Config

	// Count adds one to a counter of this instance that belongs to no leg: a refused
	// handshake, a bad signature. Kinds are few and constant, such as "refused_signature".
	Count func(kind string)
}

// Sink is the host as an adapter sees it. It is safe for concurrent use.
type Sink interface {
	// Open admits a leg, or fails with ErrRefused when the host is full or draining, or
	// no rule wants the call; the adapter then declines in the vendor's way (SIP 503).
	// It decides from local knowledge and never waits for Google. ctx bounds Open alone.
	Open(ctx context.Context, info LegInfo) (Leg, error)
}

// Leg is one media connection of the vendor. Tracks may be written concurrently;
// the frames of one track come from one goroutine, in rising Pos.
type Leg interface {
	// Join says who speaks on a track, in which format and from when. It begins a
	// segment; a later Join for the same track begins the next.
	Join(id media.TrackID, t Track) error
	// Write appends a frame to the track's tape and never waits for the network.
	// What cannot be kept is counted in the track's ledger, with the reason.
	// f.Payload may be reused once Write returns.
	Write(f media.Frame) error
	// Note reports what the vendor said beside the audio: DTMF, hold, language…
	Note(n Note) error
	// Control delivers what the host wants of the leg. It is closed after Close.
	Control() <-chan Control
	// Close ends the leg. Closing again does nothing and returns nil.
	Close(reason EndReason) error
}

// ConversationOf returns the full name of the conversation that a leg's call was given
// when it was admitted, for a vendor who can show it. When Agent Assist has another one
// of that id, the call's gets a suffix later. It is empty where the host does not say.
func ConversationOf(l Leg) string {
	if known, ok := l.(interface{ Conversation() string }); ok {
		return known.Conversation()
	}
	return ""
}

// LegInfo introduces a leg.
type LegInfo struct {
	// CallKey is the vendor's id of the call within the account. Legs with the same
	// adapter, account and key are one call.
	CallKey string
	// LegKey names the leg within the call. A second live leg with it takes over the first.
	LegKey string
	// Principal is what the adapter verified; the tenant follows from it alone.
	Principal Principal
	// Conversation is the id that the vendor's desktops look for, such as Twilio's Call
	// SID. The host may add a suffix. Empty lets the host choose.
	Conversation string
	// Named says that a peer whom the adapter trusts has named Conversation, by its id or
	// its full name: whoever made it, the call goes into it. A full name must lie in the
	// route's project and location.
	Named    bool
	From, To E164
	// Aliases are further names by which people and desktops look for the call, such as
	// the id of the session that the vendor's desktop shows. The newest call with one is
	// found by it.
	Aliases []string
	// Claims is what the vendor's message merely says, by the vendor's own names: custom
	// parameters, headers. Routing rules may match it; it never proves anything.
	Claims map[string]string
	// Client is set for a stream of an Agent Assist client of the vendor's own.
	Client Client
	// Results says which results come back by Control; none when empty.
	Results ResultForm
}

// Principal says whose leg this is, as far as the adapter could prove it.
type Principal struct {
	Account string // the vendor's account that was verified; empty with MethodNone
	Method  Method
}

// Method is how a Principal was verified.
type Method string

// The ways to verify a vendor.
const (
	MethodNone      Method = "none"      // an explicit insecure mode: nothing was verified
	MethodSignature Method = "signature" // a signature over the request
	MethodToken     Method = "token"     // a shared or one-time secret
	MethodMTLS      Method = "mtls"      // a client certificate
	MethodAddress   Method = "address"   // an address list
)

// Track describes a segment of a track: who speaks, in which format, from when.
type Track struct {
	Format  media.Format
	Speaker Speaker
	// Arrived is the local time at which the segment's first sample would have arrived.
	// Zero means the arrival of the first frame.
	Arrived time.Time
	// MediaTime is the vendor's own clock at the segment's start, since its stream began.
	// MediaTimeKnown is false when the vendor has none.
	MediaTime      time.Duration
	MediaTimeKnown bool
	// Language is a BCP 47 tag where the vendor states one, else empty.
	Language string
	// Participant and Request go with LegInfo.Client: the full name of the client's
	// participant, and the first message of its stream (a StreamingAnalyzeContentRequest of
	// v2beta1, encoded), with which the host opens its own. Without Request the route says
	// how to stream.
	Participant string
	Request     []byte
}

// Speaker is who speaks on a track. Tracks with the same ID within a call are the
// same person.
type Speaker struct {
	ID       string // stable within the call: "customer", "agent", a vendor's participant id
	Role     Role
	Evidence string // where the role comes from, for people: "parameter role_inbound", "default"
	Assumed  bool   // the role is a default that nobody stated
	// Mixed says that the track carries several voices. Such a track is heard only as a
	// customer or an agent, and never by a rule for third voices.
	Mixed bool
}

// Role is the part a speaker plays.
type Role string

// The roles. Agent Assist hears end users and human agents; what becomes of
// others is a routing rule's choice.
const (
	RoleEndUser    Role = "end_user"
	RoleHumanAgent Role = "human_agent"
	RoleOther      Role = "other"
)

// Note is what the vendor said beside the audio.
type Note struct {
	Kind  NoteKind
	Track media.TrackID // empty when it concerns the leg
	At    time.Time     // arrival
	// Text is the DTMF digits, the language tag, the transfer target's role, or words for people.
	Text string
	// Samples goes with NoteGap (how many samples the next frame's Pos skips on purpose)
	// and NoteDropped (how many samples the adapter threw away).
	Samples int64
	// Fields is vendor metadata for NoteMetadata, by the vendor's names. They become
	// attributes of the call; a later value replaces the earlier.
	Fields map[string]string
	// Aliases go with NoteMetadata: further names of the call, as in LegInfo.
	Aliases []string
}

// NoteKind is the kind of a Note.
type NoteKind string

// The kinds of notes.
const (
	NoteDTMF     NoteKind = "dtmf"
	NoteHold     NoteKind = "hold"   // audio may stop; this is not privacy
	NoteResume   NoteKind = "resume" // after hold or pause
	NotePause    NoteKind = "pause"  // privacy: nothing may be kept until NoteResume
	NoteTransfer NoteKind = "transfer"
	NoteLanguage NoteKind = "language"
	NoteGap      NoteKind = "gap"     // the vendor announced silence (DTX); Samples says how much
	NoteDropped  NoteKind = "dropped" // the adapter threw audio away: Text says why ("duplicate", "late", "malformed")
	NoteMetadata NoteKind = "metadata"
	NoteWarning  NoteKind = "warning" // the vendor's input is odd; Text says how, without caller data
	// NoteFinish says that no more audio comes on the leg. The results that are still
	// missing follow by Control, then ControlDone. It goes with LegInfo.Results.
	NoteFinish NoteKind = "finish"
)

// Control is what the host wants of a leg.
type Control struct {
	Kind   ControlKind
	Reason string // for people and logs
	// Reconnect goes with ControlEnd: the call is still wanted, but not here, because the
	// host is leaving. A vendor that can should connect again.
	Reconnect bool
	// Result goes with ControlResult.
	Result *Result
	// Error goes with ControlEnd where Agent Assist refused the client's own stream.
	Error *StatusError
}

// ControlKind is the kind of a Control.
type ControlKind string

// The kinds of control.
const (
	ControlPause  ControlKind = "pause"  // stop sending audio where the vendor can
	ControlResume ControlKind = "resume" // undo pause
	ControlEnd    ControlKind = "end"    // close the leg in the vendor's way

	// Those below come for legs that asked for results (LegInfo.Results).

	ControlResult ControlKind = "result"
	// ControlLost says that results were lost, since more than ResultBuffer waited for the
	// adapter. It comes once.
	ControlLost ControlKind = "lost"
	ControlDone ControlKind = "done" // after NoteFinish: no result follows
)

// EndReason says why a leg ended.
type EndReason struct {
	Kind EndKind
	Text string // for people, without caller data
}

// EndKind is the kind of an EndReason.
type EndKind string

// The ways a leg ends.
const (
	EndHangup   EndKind = "hangup"   // the vendor said goodbye
	EndLost     EndKind = "lost"     // the connection went without a goodbye
	EndProtocol EndKind = "protocol" // the vendor broke its protocol
	EndOrdered  EndKind = "ordered"  // the host wanted it (ControlEnd)
	EndTakeover EndKind = "takeover" // another leg with the same LegKey came
	EndShutdown EndKind = "shutdown" // the adapter stops
	EndCrash    EndKind = "crash"    // the plugin died (said by the host)
)

// Attacher is the optional ability to start listening to a call that is already
// running. An Adapter that has it implements this method; it may be called while
// Run runs.
type Attacher interface {
	// Attach asks the vendor to send the call's audio and returns the vendor's id of
	// the new stream. The leg arrives by Sink.Open.
	Attach(ctx context.Context, r AttachRequest) (stream string, err error)
}

// Detacher is the optional ability to stop what Attach started.
type Detacher interface {
	// Detach stops a stream that Attach returned, or all that were attached to the
	// call when r.Stream is empty.
	Detach(ctx context.Context, r DetachRequest) error
}

// AttachRequest names a running call in the vendor's words.
type AttachRequest struct {
	Account string // empty when the instance has one account
	Call    string
	// Claims are handed to the leg's LegInfo.Claims.
	Claims map[string]string
}

// DetachRequest names what Detach stops.
type DetachRequest struct {
	Account string
	Call    string
	Stream  string
}
