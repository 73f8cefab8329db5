package receiver

import (
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
)

// Output hears one stream. Its methods are called by one goroutine at a time, the first
// being Join, and must not wait nor call the Stream. After an error nothing more comes
// (Stats.Err).
type Output interface {
	// Join begins a segment: with the first packet, and when the format changes. arrived is
	// when sample 0 of the segment came in; the first frame's Pos may be later.
	Join(f media.Format, arrived time.Time) error
	// Write brings audio. Its Track is empty; its Payload is reused once Write returns.
	Write(f media.Frame) error
	// Note brings NoteDTMF, NoteGap (of the next frame's jump), and NoteDropped with one of
	// the Dropped texts. Its Track is empty.
	Note(n adapter.Note) error
}

// What Output.Note says of dropped audio. The first two the host books by name.
const (
	DroppedDuplicate = "duplicate" // it came before
	DroppedLate      = "late"      // its place was passed
	DroppedMalformed = "malformed" // the codec cannot read it
	DroppedPayload   = "payload"   // of a type that was not agreed; how much audio is unknown
	DroppedHeld      = "held"      // it came while the stream was held
)

// The kinds that a Receiver counts, each at most once per stream.
const (
	CountForeign   = "rtp_foreign"       // packets from an address or a source that the stream does not listen to
	CountMalformed = "rtp_malformed"     // packets that are not RTP or RTCP, or not of their codec
	CountPayload   = "rtp_payload_type"  // packets of a type that was not agreed
	CountBadAuth   = "srtp_bad_auth"     // packets that no SRTP key opens
	CountLifetime  = "srtp_key_lifetime" // a sender used a key for longer than it said
	CountPortTaken = "rtp_port_taken"    // a pair of the range that another program has
)

// Stats is the account of a stream. Packets are counted that came from an allowed address
// and passed SRTP, unless said otherwise.
type Stats struct {
	Packets    int64 // of the source that the stream listens to, in order or not
	Delivered  int64 // audio packets that went to the Output
	Lost       int64 // that never came, as far as sequence numbers tell
	Duplicates int64
	Late       int64 // came after their place was passed
	Reordered  int64 // came early, and waited
	Events     int64 // telephone-event packets
	Noise      int64 // comfort noise packets
	Held       int64 // dropped while held
	Malformed  int64 // not RTP, or a payload that the codec cannot read
	Payload    int64 // of a type that was not agreed
	Early      int64 // from anybody, before the first Accept
	Foreign    int64 // from an address that may not send, or a source that the stream does not listen to
	BadAuth    int64 // SRTP that no key opens
	Plain      int64 // taken without SRTP (Media.Optional)
	Sources    int64 // how often the stream began to listen to a source

	Jitter   time.Duration // RFC 3550 §6.4.1, of the source
	Source   string        // address and port of the newest packet's sender; empty before the first
	SSRC     uint32        // of the source
	Reports  int64         // RTCP packets that came
	Sent     int64         // RTCP reports that went out
	LastRTP  time.Time     // newest packet that belongs to the source, held ones too
	LastRTCP time.Time     // newest report
	Goodbye  bool          // the source said BYE
	Secured  bool          // SRTP opened at least one packet
	DTMF     int64         // digits
	Err      error         // what the Output failed with
}
