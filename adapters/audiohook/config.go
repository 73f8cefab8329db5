package audiohook

import (
	"time"

	"github.com/patchbay/patchbay/core/adapter"
)

// Config is the settings block of an AudioHook adapter.
type Config struct {
	Accounts       []Account `json:"accounts" jsonschema_description:"The Genesys Cloud organizations whose calls are heard."`
	Path           string    `json:"path" jsonschema_description:"Path of the connection URI at Genesys."`
	PublicURL      string    `json:"public_url,omitempty" jsonschema_description:"The connection URI as it is at Genesys: wss://voice.example.com/audiohook. Only for a proxy that changes host or path on the way, since signatures cover both; empty goes by the request."`
	SignedHost     bool      `json:"signed_host,omitempty" jsonschema_description:"Accept signatures that cover the host header in the place of @authority, as an old example of Genesys' does."`
	Unauthorized   string    `json:"unauthorized" jsonschema:"enum=status,enum=disconnect" jsonschema_description:"How a session that proves nothing is refused: status answers HTTP 401; disconnect accepts the WebSocket and says so there."`
	Addresses      []string  `json:"addresses,omitempty" jsonschema_description:"Networks that sessions may come from, such as 52.200.73.32/32. Empty allows all. Behind a proxy the proxy's address counts."`
	ConversationID string    `json:"conversation_id" jsonschema_description:"Id of a call's Agent Assist conversation. {conversation} stands for Genesys' conversation id. The default is the name that Google's own connector gives."`
	Speakers       string    `json:"speakers" jsonschema:"enum=participant,enum=conversation" jsonschema_description:"Who is the same person in several sessions of a conversation: participant goes by the participant that a session monitors; conversation knows one customer and one agent, and hears only the first of sessions that overlap."`
	L16            string    `json:"l16" jsonschema:"enum=off,enum=little,enum=big" jsonschema_description:"Whether 16-bit audio is taken where no PCMU is offered, and in which order its bytes are. Genesys states neither."`
	Languages      []string  `json:"languages,omitempty" jsonschema_description:"Languages that Genesys is told of when it asks, such as en-US."`
	Transcripts    string    `json:"transcripts" jsonschema:"enum=off,enum=final,enum=all" jsonschema_description:"Transcripts that go back to Genesys as event entities: off, final ones, or all with the interim ones."`
	Suggestions    bool      `json:"suggestions,omitempty" jsonschema_description:"Send suggestions back to Genesys as event entities."`
	Reconnect      bool      `json:"reconnect" jsonschema_description:"Ask Genesys to connect again when this instance leaves, before the session is ended."`
	Limits         Limits    `json:"limits"`
}

// Account is a Genesys Cloud organization.
type Account struct {
	Organization string `json:"organization" jsonschema_description:"Organization id: Admin, Account Settings, Organization Details, Advanced."`
	Keys         []Key  `json:"keys" jsonschema_description:"The credentials that the organization's AudioHook integrations have. Several, so that one can be replaced without refusing calls."`
}

// Key is what an AudioHook integration has under Credentials.
type Key struct {
	APIKey       adapter.Secret `json:"api_key" jsonschema_description:"API Key, by reference (env:NAME or file:PATH)."`
	ClientSecret adapter.Secret `json:"client_secret,omitempty" jsonschema_description:"Client Secret, in base64, by reference. It checks signatures."`
	Unsigned     bool           `json:"unsigned,omitempty" jsonschema_description:"Take sessions that show the API key and no signature, for an integration without a client secret. Whoever sees the key once can then pose as Genesys."`
}

// Limits bound what strangers and Genesys may cost.
type Limits struct {
	MaxSessions      int              `json:"max_sessions" jsonschema_description:"Sessions served at once; more get HTTP 503."`
	MaxConnections   int              `json:"max_connections" jsonschema_description:"Network connections at once; more are closed."`
	MaxAudioBytes    int64            `json:"max_audio_bytes" jsonschema_description:"Longest binary message. A text message has at most 64 KiB, as the protocol says."`
	HandshakeTimeout adapter.Duration `json:"handshake_timeout" jsonschema_description:"For TLS and for the header of a request."`
	RefusalDelay     adapter.Duration `json:"refusal_delay" jsonschema_description:"How long a session that proves nothing waits for its refusal, whatever the reason."`
	SignatureAge     adapter.Duration `json:"signature_age" jsonschema_description:"Oldest signature that is taken."`
	ClockSkew        adapter.Duration `json:"clock_skew" jsonschema_description:"By how much Genesys' clock may differ from this machine's."`
	OpenTimeout      adapter.Duration `json:"open_timeout" jsonschema_description:"From the upgrade to the open message."`
	IdleTimeout      adapter.Duration `json:"idle_timeout" jsonschema_description:"Longest silence of a connection before it counts as lost. Genesys pings every 5 s."`
	CloseTimeout     adapter.Duration `json:"close_timeout" jsonschema_description:"How long a closing session waits for its last results, if it wants any. Genesys waits 10 s."`
	EventInterval    adapter.Duration `json:"event_interval" jsonschema_description:"Least time between two event messages of a session; what comes meanwhile goes together. Genesys limits messages, but publishes no figures."`
}

// The defaults.
const (
	DefaultPath             = "/audiohook"
	DefaultConversationID   = "a" + placeConversation
	DefaultMaxSessions      = 2000
	DefaultMaxConnections   = 4096
	DefaultMaxAudioBytes    = 256 << 10 // 16 s of both voices
	DefaultHandshakeTimeout = adapter.Duration(5 * time.Second)
	DefaultRefusalDelay     = adapter.Duration(500 * time.Millisecond)
	DefaultSignatureAge     = adapter.Duration(10 * time.Second)
	DefaultClockSkew        = adapter.Duration(3 * time.Second)
	DefaultOpenTimeout      = adapter.Duration(10 * time.Second)
	DefaultIdleTimeout      = adapter.Duration(30 * time.Second)
	DefaultCloseTimeout     = adapter.Duration(6 * time.Second)
	DefaultEventInterval    = adapter.Duration(250 * time.Millisecond)
)

// The values of Config.Unauthorized, Speakers, L16 and Transcripts.
const (
	UnauthorizedStatus     = "status"
	UnauthorizedDisconnect = "disconnect"

	SpeakersParticipant  = "participant"
	SpeakersConversation = "conversation"

	L16Off    = "off"
	L16Little = "little"
	L16Big    = "big"

	TranscriptsOff   = "off"
	TranscriptsFinal = "final"
	TranscriptsAll   = "all"
)

const placeConversation = "{conversation}"

// DefaultConfig returns the settings that hold where the configuration says nothing.
// Accounts have no default.
func DefaultConfig() Config {
	return Config{
		Accounts:       []Account{},
		Path:           DefaultPath,
		Unauthorized:   UnauthorizedStatus,
		ConversationID: DefaultConversationID,
		Speakers:       SpeakersParticipant,
		L16:            L16Off,
		Transcripts:    TranscriptsOff,
		Reconnect:      true,
		Limits: Limits{
			MaxSessions:      DefaultMaxSessions,
			MaxConnections:   DefaultMaxConnections,
			MaxAudioBytes:    DefaultMaxAudioBytes,
			HandshakeTimeout: DefaultHandshakeTimeout,
			RefusalDelay:     DefaultRefusalDelay,
			SignatureAge:     DefaultSignatureAge,
			ClockSkew:        DefaultClockSkew,
			OpenTimeout:      DefaultOpenTimeout,
			IdleTimeout:      DefaultIdleTimeout,
			CloseTimeout:     DefaultCloseTimeout,
			EventInterval:    DefaultEventInterval,
		},
	}
}

// Listeners names the one socket: HTTP for the upgrades.
func (Config) Listeners() []adapter.Listener {
	return []adapter.Listener{{Name: listenerHTTP, Network: "tcp"}}
}

const listenerHTTP = "http"

// wantsResults reports whether anything goes back to Genesys.
func (c Config) wantsResults() bool { return c.Transcripts != TranscriptsOff || c.Suggestions }
