package five9

import (
	"time"

	"github.com/patchbay/patchbay/core/adapter"
)

// Config is the settings block of a Five9 adapter.
type Config struct {
	Subscriptions  []Subscription `json:"subscriptions" jsonschema_description:"The VoiceStream subscriptions whose calls are heard, as they are set up at Five9."`
	Path           string         `json:"path" jsonschema_description:"Where the webhooks are served: below <path>/<name of a subscription>."`
	ConversationID string         `json:"conversation_id" jsonschema_description:"Id of a call's conversation. {call} stands for the call id, {domain} for the domain. The default is the name that Google's reference connector gives; several domains need {domain} in it."`
	Insecure       bool           `json:"insecure,omitempty" jsonschema_description:"Hear streams and take events that prove nothing. For trials on a closed network only."`
	Addresses      []string       `json:"addresses,omitempty" jsonschema_description:"Networks that streams may come from, such as 147.124.160.0/19. Empty allows all. Behind a proxy the proxy's address counts."`
	EventAddresses []string       `json:"event_addresses,omitempty" jsonschema_description:"The same for webhooks."`
	EventKey       string         `json:"event_key" jsonschema:"enum=require,enum=if-present" jsonschema_description:"What an event without an API key gets: require refuses it; if-present takes it from an address in event_addresses. A wrong key is always refused."`
	ClientCA       string         `json:"client_ca,omitempty" jsonschema_description:"File with the CAs, in PEM, one of which must have signed the certificate of a client that streams. Empty asks for none."`
	Variables      []string       `json:"variables,omitempty" jsonschema_description:"The attached variables that are taken from events, such as Call.campaign_name. Empty takes all. Call.session_id and Call.call_id are always read."`
	Reflection     bool           `json:"reflection" jsonschema_description:"Serve gRPC reflection, so that grpcurl and Five9's engineers can look at the service."`
	Limits         Limits         `json:"limits"`
}

// Subscription is a VoiceStream subscription at Five9.
type Subscription struct {
	Name        string           `json:"name" jsonschema_description:"Your name for it; it stands in the URLs of the webhooks."`
	Domain      string           `json:"domain" jsonschema_description:"The Five9 domain id that it belongs to: domain_id of its streams."`
	ID          string           `json:"id,omitempty" jsonschema_description:"Five9's id of the subscription. Empty accepts any of the domain that has the trust token."`
	TrustTokens []adapter.Secret `json:"trust_tokens" jsonschema_description:"The subscription's trust token, by reference (env:NAME or file:PATH). At most two, so that one can be replaced without refusing calls; the first is the one that a new subscription is validated with."`
	APIKeys     []adapter.Secret `json:"api_keys,omitempty" jsonschema_description:"The API key that Five9 showed when the subscription was made, by reference. At most two. Without one the subscription's events are refused."`
}

// Limits bound what strangers and Five9 may cost.
type Limits struct {
	MaxStreams       int              `json:"max_streams" jsonschema_description:"Streams (legs) served at once; more get SRV_ERROR_NO_RESOURCE."`
	MaxConnections   int              `json:"max_connections" jsonschema_description:"Network connections at once; more are closed."`
	MaxMessageBytes  int              `json:"max_message_bytes" jsonschema_description:"Longest message of a stream."`
	HandshakeTimeout adapter.Duration `json:"handshake_timeout" jsonschema_description:"For TLS, and then for a request's header or body."`
	ConfigTimeout    adapter.Duration `json:"config_timeout" jsonschema_description:"From the start of an RPC to its config."`
	IdleTimeout      adapter.Duration `json:"idle_timeout" jsonschema_description:"Longest silence of a stream before it counts as lost. Five9 does not promise to send audio while a call is on hold; dead connections are noticed within two minutes without it."`
}

// The defaults.
const (
	DefaultPath             = "/five9"
	DefaultConversationID   = "five9-" + placeCall
	DefaultMaxStreams       = 2000
	DefaultMaxConnections   = 4096
	DefaultMaxMessageBytes  = 1 << 20
	DefaultHandshakeTimeout = adapter.Duration(5 * time.Second)
	DefaultConfigTimeout    = adapter.Duration(10 * time.Second)
	DefaultIdleTimeout      = adapter.Duration(30 * time.Minute)
)

// The values of Config.EventKey, and the places in Config.ConversationID.
const (
	KeyRequired  = "require"
	KeyIfPresent = "if-present"

	placeCall   = "{call}"
	placeDomain = "{domain}"
)

// DefaultConfig returns the settings that hold where the configuration says nothing.
// Subscriptions have no default.
func DefaultConfig() Config {
	return Config{
		Subscriptions:  []Subscription{},
		Path:           DefaultPath,
		ConversationID: DefaultConversationID,
		EventKey:       KeyRequired,
		Reflection:     true,
		Limits: Limits{
			MaxStreams:       DefaultMaxStreams,
			MaxConnections:   DefaultMaxConnections,
			MaxMessageBytes:  DefaultMaxMessageBytes,
			HandshakeTimeout: DefaultHandshakeTimeout,
			ConfigTimeout:    DefaultConfigTimeout,
			IdleTimeout:      DefaultIdleTimeout,
		},
	}
}

// Listeners names the one socket: gRPC for the audio and HTTP for the webhooks alike.
func (Config) Listeners() []adapter.Listener {
	return []adapter.Listener{{Name: listenerGRPC, Network: "tcp"}}
}

const listenerGRPC = "grpc"
