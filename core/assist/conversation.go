package assist

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/patchbay/patchbay/core/event"
	"github.com/patchbay/patchbay/core/media"
)

// Transport is the streaming call that carries a track's audio.
type Transport string

// The transports.
const (
	// Extended is StreamingAnalyzeContent with extended streaming: suggestions come
	// while the stream runs; a stream lives 3 minutes.
	Extended Transport = "extended"
	// Streaming is the plain form: stored messages and suggestions come after its
	// half-close only; a stream lives 5 minutes.
	Streaming Transport = "streaming"
	// Bidi is BidiStreamingAnalyzeContent: suggestions while the stream runs, 15
	// minutes or more a stream, 50 at a time. Language and model are the profile's.
	Bidi Transport = "bidi"
)

// DefaultTransport is what an empty Conversation.Transport means.
const DefaultTransport = Extended

// Conversation says what a session sets up.
type Conversation struct {
	Google    Google
	Profile   string // id or full resource name
	ID        string // conversation id; a suffix is added when it is taken
	Join      bool   // one that runs already is joined: a trusted peer named it, or an earlier process may have made it
	Named     bool   // a trusted peer named the conversation: whatever its profile, it is joined
	Language  string // BCP-47; empty means the profile's
	Model     string // speech model; empty means the profile's
	Transport Transport
	Call      string // patchbay's id of the call, for logs
	// Foreign is the full name of a conversation that is a client's own: it and its
	// participants are neither created nor completed. ID is the last part of it. Empty: the
	// conversation is the session's.
	Foreign string
	// Others is asked whether others go on with the conversation; nil: none do.
	Others Others
	// Resume is what an earlier process of the host made of the conversation; nil when
	// it is new.
	Resume *Resume
	// WordTimes asks for the times of words in finals.
	WordTimes bool
	// StoreMissing writes the finals that Agent Assist has no message of with
	// BatchCreateMessages, before the conversation is completed. Nobody but Google
	// knows whether its features use them.
	StoreMissing bool
}

// Others are those who may go on with a conversation when its call is over.
type Others interface {
	// Stay is asked once, when the conversation would be completed: true leaves it open.
	Stay() bool
}

// Resume says what of a conversation exists at Google's already.
type Resume struct {
	Conversation string             // full name
	Participants map[Speaker]string // full names
}

// Speaker is who has a participant: the role of a participant cannot change, so a
// speaker whose role is corrected gets another.
type Speaker struct{ ID, Role string } // as in event.TrackRef

// Conversation ids, as documented at CreateConversationRequest.conversation_id.
var validID = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_-]{2,63}$`)

const maxIDLength = 64

// Validate joins all problems, one line each, by the key of the configuration.
func (c Conversation) Validate() error {
	errs := []error{c.Google.Validate()}
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Profile == "" && c.Foreign == "" {
		add("routes[].profile: missing; name a conversation profile of %s", c.Google.parent())
	}
	if strings.Contains(c.Profile, "/") && !strings.HasPrefix(c.Profile, c.Google.parent()+"/conversationProfiles/") &&
		!strings.HasPrefix(c.Profile, "projects/"+c.Google.Project+"/conversationProfiles/") {
		add("routes[].profile = %q: is not in %s; give the profile's id alone, or set google.project and google.location to match", c.Profile, c.Google.parent())
	}
	if !validID.MatchString(c.ID) && c.Foreign == "" {
		add("conversation id %q: want a letter, then letters, digits, - and _, 3 to %d in all", c.ID, maxIDLength)
	}
	switch c.transport() {
	case Extended, Streaming, Bidi:
	default:
		add("routes[].transport = %q: unknown; use %s, %s or %s", c.Transport, Extended, Streaming, Bidi)
	}
	return errors.Join(errs...)
}

func (c Conversation) transport() Transport {
	if c.Transport == "" {
		return DefaultTransport
	}
	return c.Transport
}

func (c Conversation) profileName() string {
	if strings.Contains(c.Profile, "/") {
		return c.Profile
	}
	return c.Google.parent() + "/conversationProfiles/" + c.Profile
}

// Track is the audio of one speaker on one leg.
type Track struct {
	Ref      event.TrackRef
	Audio    Audio
	Language string // BCP-47; empty means the conversation's
	UserID   string // obfuscated external id of the speaker, optional, at most 256 characters
	changes  []languageChange
	ends     []end
	Finals   int // utterances of the track that an earlier process of the host has seen to their end
	// Client is whose stream the track's audio comes from, in a foreign conversation; nil
	// in others.
	Client Client
}

// Audio is a track's tape as this package needs it. Next, Wait and WaitLoud are called by
// one goroutine, the other methods by two.
type Audio interface {
	// Next returns the audio at the reader's position in buf's memory: d long, or
	// less where the segment, the audio or the writer ends. It waits for d of audio.
	// It returns media.ErrParked when everything was read and nobody writes now,
	// io.EOF after the last sample of an ended tape, or ctx's error without having
	// read anything. What it returns is in flight.
	Next(ctx context.Context, buf []byte, d time.Duration) (media.Chunk, error)
	// Wait returns nil when Next would give audio, io.EOF when none will come.
	Wait(ctx context.Context) error
	// WaitLoud returns nil when audio above level waits to be read. Quieter audio before
	// it is silent and never read, but for the last keep of it; spared is how much of
	// that Rewind had counted. It returns io.EOF when no loud audio will come.
	WaitLoud(ctx context.Context, level float64, keep time.Duration) (spared int64, err error)
	// Recognised says that a final covers everything before pos.
	Recognised(pos int64)
	// Settle says that a stream ended cleanly: everything before pos is silent or
	// unrecognised, by its loudness.
	Settle(pos int64)
	// SettleQuiet says that no interim is open: quiet audio older than age is silent.
	SettleQuiet(age time.Duration)
	// Rewind goes back to the settled position after an unclean end, and says how
	// many samples had been sent beyond it.
	Rewind() (pos, replayed int64)
	// Discard gives up everything before pos that is not settled; a pos past the end
	// means all there is.
	Discard(pos int64, reason string)
	// At maps a position to the call's clock.
	At(pos int64) time.Time
	// Came returns when the audio before pos was complete: as At, but not smoothed for
	// what came last.
	Came(pos int64) time.Time
	// Pending returns how much audio waits to be read.
	Pending() time.Duration
	// End returns the position after the newest audio.
	End() int64
	// Pos returns the position that Next reads next.
	Pos() int64
	// Quiet reports whether nothing that waits to be read is louder than level.
	Quiet(level float64) bool
}

// Why audio was given up.
const (
	DiscardNoConversation = "no_conversation" // the conversation could not be set up
	DiscardNoParticipant  = "no_participant"  // Agent Assist takes no such speaker
	DiscardStreamRefused  = "stream_refused"  // Agent Assist refused the stream for good
	DiscardReplayLimit    = "replay_limit"    // sent once, without result, longer ago than Options.ReplayLimit
	DiscardAbandoned      = "abandoned"       // the session was cancelled, or took too long to finish
)
