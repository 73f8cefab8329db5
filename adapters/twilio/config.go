package twilio

import (
	"time"

	"github.com/patchbay/patchbay/core/adapter"
)

// Config is the settings block of a Twilio adapter.
type Config struct {
	PublicURL        string    `json:"public_url" jsonschema_description:"The URL that Twilio reaches this adapter at, with a path: https://voice.example.com/twilio. Signatures are checked against it, so it must be exactly what is configured at Twilio."`
	Accounts         []Account `json:"accounts" jsonschema_description:"The Twilio accounts (or subaccounts) whose calls are heard."`
	UpgradeSignature string    `json:"upgrade_signature" jsonschema:"enum=require,enum=if-present" jsonschema_description:"What a stream without a signature on its WebSocket upgrade gets: require refuses it; if-present lets it in when it carries a valid stream secret or token. A wrong signature is always refused."`
	Insecure         bool      `json:"insecure,omitempty" jsonschema_description:"Hear streams that prove nothing. For trials on a closed network only."`
	Inbound          string    `json:"inbound,omitempty" jsonschema:"enum=,enum=customer,enum=agent" jsonschema_description:"Who speaks on the inbound track (what Twilio receives from the streamed call leg). Empty assumes the customer. A stream's parameter role_inbound goes before it."`
	Track            string    `json:"track" jsonschema:"enum=both_tracks,enum=inbound_track,enum=outbound_track" jsonschema_description:"The tracks of streams that this adapter starts itself (voice webhook and attach)."`
	Voice            Voice     `json:"voice,omitzero" jsonschema_description:"The voice webhook. Leave it out unless a Twilio number points at <public_url>/voice."`
	APIURL           string    `json:"api_url" jsonschema_description:"Base URL of Twilio's REST API, for attaching to running calls. Another Twilio region has its own, such as https://api.dublin.ie1.twilio.com."`
	Limits           Limits    `json:"limits"`
}

// Account is one Twilio account or subaccount.
type Account struct {
	SID           string           `json:"sid" jsonschema_description:"Account SID: AC and 32 hexadecimal digits."`
	AuthToken     adapter.Secret   `json:"auth_token" jsonschema_description:"The account's primary auth token, by reference (env:NAME or file:PATH). It checks signatures."`
	StreamSecrets []adapter.Secret `json:"stream_secrets,omitempty" jsonschema_description:"At most two secrets, either of which a stream must carry as parameter patchbay_secret. Two, so that one can be replaced without refusing calls."`
	APIKey        string           `json:"api_key,omitempty" jsonschema_description:"API key SID for REST requests. Empty uses the auth token."`
	APISecret     adapter.Secret   `json:"api_secret,omitempty" jsonschema_description:"The API key's secret, by reference."`
}

// Voice is what the voice webhook answers after it has started the stream:
// exactly one way for the call to go on. All of it empty means that the webhook
// is not served.
type Voice struct {
	Dial     []string `json:"dial,omitempty" jsonschema_description:"Numbers to dial (+15550100); the first to answer gets the call."`
	SIP      []string `json:"sip,omitempty" jsonschema_description:"SIP addresses to dial, alone or beside numbers."`
	Queue    string   `json:"queue,omitempty" jsonschema_description:"Name of a Twilio queue to put the caller into."`
	Redirect string   `json:"redirect,omitempty" jsonschema_description:"URL of the TwiML that takes the call on."`
	File     string   `json:"twiml_file,omitempty" jsonschema_description:"File with a whole TwiML <Response>; the stream is started before its first verb."`
}

// Enabled reports whether the voice webhook is configured.
func (v Voice) Enabled() bool { return v.ways() > 0 }

// ways counts how many ways for the call are configured.
func (v Voice) ways() int {
	n := 0
	for _, set := range []bool{len(v.Dial)+len(v.SIP) > 0, v.Queue != "", v.Redirect != "", v.File != ""} {
		if set {
			n++
		}
	}
	return n
}

// Limits bound what strangers and Twilio may cost.
type Limits struct {
	MaxStreams       int              `json:"max_streams" jsonschema_description:"Streams served at once; more get HTTP 503."`
	MaxMessageBytes  int64            `json:"max_message_bytes" jsonschema_description:"Longest WebSocket message."`
	HandshakeTimeout adapter.Duration `json:"handshake_timeout" jsonschema_description:"For the header of an HTTP request, and for its body."`
	StartTimeout     adapter.Duration `json:"start_timeout" jsonschema_description:"From the upgrade to the start message."`
	IdleTimeout      adapter.Duration `json:"idle_timeout" jsonschema_description:"Longest silence of a stream's connection before it counts as lost. Twilio does not promise to send audio while a call is on hold."`
}

// The defaults of Limits and of the API's address.
const (
	DefaultMaxStreams       = 2000
	DefaultMaxMessageBytes  = 128 << 10 // a start message with 99 parameters of 500 characters fits twice
	DefaultHandshakeTimeout = adapter.Duration(5 * time.Second)
	DefaultStartTimeout     = adapter.Duration(10 * time.Second)
	DefaultIdleTimeout      = adapter.Duration(5 * time.Minute)
	DefaultAPIURL           = "https://api.twilio.com"
)

// The values of Config.UpgradeSignature, Config.Inbound and Config.Track.
const (
	SignatureRequired  = "require"
	SignatureIfPresent = "if-present"

	InboundCustomer = "customer"
	InboundAgent    = "agent"

	TrackBoth     = "both_tracks"
	TrackInbound  = "inbound_track"
	TrackOutbound = "outbound_track"
)

// DefaultConfig returns the settings that hold where the configuration says
// nothing. Public URL and accounts have no default.
func DefaultConfig() Config {
	return Config{
		Accounts:         []Account{},
		UpgradeSignature: SignatureRequired,
		Track:            TrackBoth,
		APIURL:           DefaultAPIURL,
		Limits: Limits{
			MaxStreams:       DefaultMaxStreams,
			MaxMessageBytes:  DefaultMaxMessageBytes,
			HandshakeTimeout: DefaultHandshakeTimeout,
			StartTimeout:     DefaultStartTimeout,
			IdleTimeout:      DefaultIdleTimeout,
		},
	}
}

// Listeners names the one socket: HTTP for webhooks, callbacks and streams alike.
func (Config) Listeners() []adapter.Listener {
	return []adapter.Listener{{Name: listenerHTTP, Network: "tcp"}}
}

const listenerHTTP = "http"
