package oem

import (
	"time"

	"github.com/patchbay/patchbay/adapters/oem/linking"
	"github.com/patchbay/patchbay/adapters/oem/receiver"
	"github.com/patchbay/patchbay/adapters/oem/roles"
	"github.com/patchbay/patchbay/adapters/oem/sdp"
	"github.com/patchbay/patchbay/adapters/oem/signal"
	"github.com/patchbay/patchbay/core/adapter"
)

// Config is the settings block of an OEM adapter.
type Config struct {
	Trunks   []Trunk `json:"trunks" jsonschema_description:"The systems that send recording calls: SBCs, PBXs, clusters. One that brings what a trunk states belongs to the first such trunk."`
	Insecure bool    `json:"insecure,omitempty" jsonschema_description:"Take calls from anybody, by the rules of the trunk named default, or else without any. For trials on a closed network only."`
	Realm    string  `json:"realm" jsonschema_description:"What users with a password are asked for (digest)."`
	ClientCA string  `json:"client_ca,omitempty" jsonschema_description:"File with the CAs, in PEM, one of which must have signed the certificate of a trunk that states certificates."`
	Address  string  `json:"address,omitempty" jsonschema_description:"The IP address of this machine as the trunks reach it, for audio and signalling. Empty takes that which leads to each trunk."`
	Contact  Contact `json:"contact,omitzero"`
	Media    Media   `json:"media"`
	Session  Session `json:"session"`
	Limits   Limits  `json:"limits"`
}

// Trunk is a system that sends recording calls.
type Trunk struct {
	Name         string   `json:"name" jsonschema_description:"Your name for it. It is the account that tenants and routes match."`
	Addresses    []string `json:"addresses,omitempty" jsonschema_description:"Networks that its requests come from, such as 192.0.2.10 or 192.0.2.0/24. What is stated here, in certificates and in users is demanded, all of it."`
	Certificates []string `json:"certificates,omitempty" jsonschema_description:"Names of its TLS certificate: sbc.example.com, *.example.com."`
	Users        []User   `json:"users,omitempty" jsonschema_description:"User names and passwords (digest)."`

	Roles   roles.Rules      `json:"roles,omitzero" jsonschema_description:"Who speaks on its streams. It comes before all that a message says."`
	Linking linking.Settings `json:"linking,omitzero" jsonschema_description:"Which conversation a call belongs to."`
	Mixed   string           `json:"mixed,omitempty" jsonschema:"enum=tape-only,enum=customer,enum=refuse" jsonschema_description:"What becomes of one stream that carries all voices: tape-only (the default) keeps it from Agent Assist, customer feeds it as the customer's voice, refuse declines the call. Better have the system send separate streams."`

	SRTP          string      `json:"srtp,omitempty" jsonschema:"enum=optional,enum=required,enum=refused" jsonschema_description:"Encrypted audio: as it is offered (optional, the default), required, or refused."`
	PlainKeys     bool        `json:"plain_keys,omitempty" jsonschema_description:"Take SRTP keys that come by SIP without TLS, where everybody on the way can read them."`
	Codecs        []sdp.Codec `json:"codecs,omitempty" jsonschema_description:"PCMU, PCMA, G722 and opus in the order of your preference. Empty prefers those that need no decoding."`
	MediaNetworks []string    `json:"media_networks,omitempty" jsonschema_description:"Networks that its audio comes from, where that is neither the address in its SDP nor that of its signalling."`
	PauseByOffer  bool        `json:"pause_by_offer,omitempty" jsonschema_description:"When a call is paused for privacy, ask the system by a re-INVITE to send nothing (a=inactive). Either way nothing of it is kept. AudioCodes documents it; others are unverified."`
}

// User is a user name with its password.
type User struct {
	Name     string         `json:"name"`
	Password adapter.Secret `json:"password" jsonschema_description:"By reference (env:NAME or file:PATH)."`
}

// Contact is where the trunks reach the SIP listeners, if not where they listen.
type Contact struct {
	UDP string `json:"udp,omitempty" jsonschema_description:"host:port of sip_udp as the trunks reach it. Empty takes the address that a request came to."`
	TCP string `json:"tcp,omitempty" jsonschema_description:"The same of sip_tcp."`
	TLS string `json:"tls,omitempty" jsonschema_description:"The same of sip_tls; a name that stands in the certificate."`
}

// Media is how audio is received.
type Media struct {
	Bind   string           `json:"bind,omitempty" jsonschema_description:"The IP address to receive audio on, if not settings.address (behind NAT, for example)."`
	Ports  string           `json:"ports" jsonschema_description:"UDP ports for audio, such as 20000-29999; a stream takes two. Open them in the firewall."`
	Rest   adapter.Duration `json:"rest" jsonschema_description:"How long a port lies idle before another call gets it."`
	Jitter adapter.Duration `json:"jitter" jsonschema_description:"How long a packet waits for those before it (20ms to 500ms)."`
	Idle   adapter.Duration `json:"idle" jsonschema_description:"A call that sends neither audio nor RTCP nor SIP for so long, and is not on hold, counts as lost. 0 waits for ever."`
}

// Session is how long calls live without a word (RFC 4028).
type Session struct {
	MinExpires adapter.Duration `json:"min_expires" jsonschema_description:"Shortest session interval that is taken; less gets 422."`
	Expires    adapter.Duration `json:"expires,omitempty" jsonschema_description:"Interval asked of a system that supports session timers and names none. 0 asks for none."`
}

// Limits bound what trunks and strangers may cost.
type Limits struct {
	MaxCalls    int     `json:"max_calls" jsonschema_description:"Recording calls (SIP dialogs) at once; more get 486."`
	MaxStreams  int     `json:"max_streams" jsonschema_description:"Audio streams of a call; the rest is refused in the answer."`
	RequestRate float64 `json:"request_rate" jsonschema_description:"Requests a second that one address may send outside calls; more get 503."`
}

// The values of Trunk.Mixed, and the trunk that strangers belong to with insecure: true.
const (
	MixedTapeOnly = "tape-only"
	MixedCustomer = "customer"
	MixedRefuse   = "refuse"

	DefaultTrunk = "default"
)

// The defaults.
const (
	DefaultPorts   = "20000-29999"
	DefaultIdle    = adapter.Duration(5 * time.Minute)
	DefaultStreams = sdp.DefaultMaxStreams
)

// DefaultConfig returns the settings that hold where the configuration says nothing.
// Trunks have no default.
func DefaultConfig() Config {
	return Config{
		Trunks: []Trunk{},
		Realm:  signal.DefaultRealm,
		Media: Media{
			Ports:  DefaultPorts,
			Rest:   adapter.Duration(receiver.DefaultRest),
			Jitter: adapter.Duration(receiver.DefaultHold),
			Idle:   DefaultIdle,
		},
		Session: Session{MinExpires: adapter.Duration(signal.DefaultMinSessionExpires)},
		Limits:  Limits{MaxCalls: signal.DefaultDialogs, MaxStreams: DefaultStreams, RequestRate: signal.DefaultRequestRate},
	}
}

// The listeners: one is enough.
const (
	listenerUDP = "sip_udp"
	listenerTCP = "sip_tcp"
	listenerTLS = "sip_tls"
)

// Listeners names the SIP sockets. Audio has ports of its own (Media.Ports).
func (Config) Listeners() []adapter.Listener {
	const any = "sip"
	return []adapter.Listener{
		{Name: listenerUDP, Network: adapter.NetworkUDP, AnyOf: any},
		{Name: listenerTCP, Network: adapter.NetworkTCP, AnyOf: any},
		{Name: listenerTLS, Network: adapter.NetworkTCP, AnyOf: any},
	}
}
