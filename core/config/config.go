// Package config owns the configuration file: its shape, its defaults, and the
// words for every mistake in it, all at once. It reads the file and the secrets
// that it refers to, and nothing else: plugins check what lies in settings, Google
// what lies behind a profile.
package config

import (
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
)

// Config is a configuration file. Load returns one in which every default is filled
// in, every path is absolute and every secret of the host is resolved.
type Config struct {
	API         API          `yaml:"api"`
	Google      Google       `yaml:"google"`
	PluginDir   string       `yaml:"plugin_dir,omitempty"` // where plugins lie; empty is beside the program
	Adapters    []Adapter    `yaml:"adapters"`
	Tenants     []Tenant     `yaml:"tenants,omitempty"` // none: every account belongs to DefaultTenant
	Routes      []Route      `yaml:"routes"`
	NumberPools []NumberPool `yaml:"number_pools,omitempty"`
	Spool       Spool        `yaml:"spool"`
	Limits      Limits       `yaml:"limits"`
	Log         Log          `yaml:"log"`
	Telemetry   Telemetry    `yaml:"telemetry"`

	source source
}

// API is the HTTP interface for desktops and operators.
type API struct {
	Listen string `yaml:"listen"`          // host:port
	Token  Secret `yaml:"token,omitempty"` // bearer token; may be missing on loopback alone
	TLS    *TLS   `yaml:"tls,omitempty"`   // nil: without TLS
}

// TLS names the files of a certificate with its chain and of its key, in PEM.
type TLS struct {
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
}

// Google says which project and region serve calls; a route may say otherwise.
type Google struct {
	Project      string `yaml:"project,omitempty"`
	Location     string `yaml:"location,omitempty"`      // "global", "europe-west1"
	Endpoint     string `yaml:"endpoint,omitempty"`      // host:port, only for the emulator; empty follows from Location
	Insecure     bool   `yaml:"insecure,omitempty"`      // without TLS and credentials: only for the emulator
	Credentials  string `yaml:"credentials,omitempty"`   // a key file; empty takes Application Default Credentials
	QuotaProject string `yaml:"quota_project,omitempty"` // the project that pays and whose quota is used, when another
	Quotas       Quotas `yaml:"quotas,omitempty"`        // what the project has been granted
}

// Quotas are a project's limits of streams. Zero is Google's documented default, -1
// is none.
type Quotas struct {
	StreamStarts int `yaml:"stream_starts,omitempty"` // a minute
	ChirpStarts  int `yaml:"chirp_starts,omitempty"`  // a minute and region, of Chirp models
	BidiSessions int `yaml:"bidi_sessions,omitempty"` // at a time, a region
}

// Adapter is one instance of a plugin.
type Adapter struct {
	Name     string            `yaml:"name"`             // of this instance, in routes and logs
	Plugin   string            `yaml:"plugin"`           // "twilio" for patchbay-adapter-twilio, or a path
	SHA256   string            `yaml:"sha256,omitempty"` // of the plugin's binary, in hex; empty does not pin it
	Listen   map[string]string `yaml:"listen,omitempty"` // the plugin's listeners by name: host:port, for datagrams where the name ends in _udp
	TLS      *TLS              `yaml:"tls,omitempty"`    // nil: without TLS, behind a proxy that ends it
	Settings Settings          `yaml:"settings,omitempty"`
}

// DefaultTenant is the tenant of every account when the file names no tenants.
const DefaultTenant = "default"

// Tenant is a customer of an operator, known by its verified accounts.
type Tenant struct {
	Name     string    `yaml:"name"`
	Accounts []Account `yaml:"accounts"`
}

// Account is a vendor's account as an adapter verified it (adapter.Principal).
type Account struct {
	Adapter string `yaml:"adapter"`           // name of an instance
	Account string `yaml:"account,omitempty"` // empty: every account of the instance that no tenant names
}

// Route is a rule for calls. The first whose Match fits decides; a call that fits
// none is refused.
type Route struct {
	Match Match `yaml:"match"`

	Profile      string `yaml:"profile"`                 // id of a conversation profile, or its full name
	Project      string `yaml:"project,omitempty"`       // empty: google.project
	Location     string `yaml:"location,omitempty"`      // empty: google.location
	Credentials  string `yaml:"credentials,omitempty"`   // empty: google.credentials
	QuotaProject string `yaml:"quota_project,omitempty"` // empty: google.quota_project

	Language  string    `yaml:"language,omitempty"` // BCP 47; empty: what the vendor or the profile says
	Model     string    `yaml:"model,omitempty"`    // speech model; empty: the profile's
	Transport Transport `yaml:"transport,omitempty"`

	// WordTimes asks for the times of the words in final transcripts. StoreMissing has the
	// finals that Agent Assist keeps no message of written to the conversation before it
	// is completed (BatchCreateMessages; unverified, whether its features use them).
	WordTimes    bool `yaml:"word_times,omitempty"`
	StoreMissing bool `yaml:"store_missing,omitempty"`

	// Roles says who speaks on a track, by the vendor's track name, over what the adapter says.
	Roles      map[string]Speaker `yaml:"roles,omitempty"`
	ThirdVoice ThirdVoice         `yaml:"third_voice,omitempty"`

	// Start says whether a call is heard from its beginning, or only once somebody
	// resumes it: until consent is given, say.
	Start Start `yaml:"start,omitempty"`

	// Reattach has the vendor asked for the audio of a call that goes on without it, if the
	// adapter can: when its last leg was lost, and after a restart of the host, to which a
	// host that is stopped leaves the call.
	Reattach bool `yaml:"reattach,omitempty"`

	// ProfileClaim is the vendor's field that may choose another profile for a call;
	// Profiles are the values that it may have. Without the field Profile is taken.
	ProfileClaim string   `yaml:"profile_claim,omitempty"`
	Profiles     []string `yaml:"profiles,omitempty"`
	// ConversationClaim is the vendor's field that names the conversation. Without the
	// field the adapter proposes an id.
	ConversationClaim string `yaml:"conversation_claim,omitempty"`
	// ConversationElsewhere says what becomes of a call for which a trusted peer, that
	// field or a leased number names a conversation outside the route's project and location.
	ConversationElsewhere Elsewhere `yaml:"conversation_elsewhere,omitempty"`
	// KeepConversation leaves a conversation that was named so open after the call. Otherwise
	// the last call in it completes it, as Google's own telephony does.
	KeepConversation bool `yaml:"keep_conversation,omitempty"`

	// Relay lists what clients of Agent Assist may use through patchbay, within the route's
	// project, location and profiles: "calls" (conversations, participants, answer records,
	// and reading of profiles), "all", a service such as Participants, a method such as
	// CreateParticipant, or both with a slash. Empty: nothing.
	Relay []string `yaml:"relay,omitempty"`

	Limits RouteLimits `yaml:"limits,omitempty"`
}

// NumberPool is a set of telephone numbers that the API leases for one conversation each:
// the first call to a leased number goes into it.
type NumberPool struct {
	Name    string        `yaml:"name"`
	Numbers []string      `yaml:"numbers"`           // each in one pool
	TTL     time.Duration `yaml:"ttl,omitempty"`     // of a lease for which nobody says; empty: 5m
	Adapter string        `yaml:"adapter,omitempty"` // whose calls may take them; empty: every instance's
	Tenant  string        `yaml:"tenant,omitempty"`  // whose calls may take them; required where the file names tenants
}

// Match says which calls a route is for. Every field that is written must fit; an
// empty Match fits every call.
type Match struct {
	Adapter string            `yaml:"adapter,omitempty"` // name of an instance
	Tenant  string            `yaml:"tenant,omitempty"`
	Account string            `yaml:"account,omitempty"` // the vendor's account, as verified
	To      string            `yaml:"to,omitempty"`      // dialled number, "+15550100"; only digits count
	From    string            `yaml:"from,omitempty"`    // calling number, likewise
	Claims  map[string]string `yaml:"claims,omitempty"`  // vendor's fields with the values they must have
}

// Transport is the way audio takes to Agent Assist.
type Transport string

// The transports. The zero value in a file means TransportExtended.
const (
	TransportExtended  Transport = "extended"  // StreamingAnalyzeContent with suggestions while the call runs
	TransportStreaming Transport = "streaming" // plain StreamingAnalyzeContent: suggestions after each half-close
	TransportBidi      Transport = "bidi"      // BidiStreamingAnalyzeContent
)

// Speaker is who speaks, in the words of the file.
type Speaker string

// The speakers.
const (
	SpeakerCustomer Speaker = "customer"
	SpeakerAgent    Speaker = "agent"
	SpeakerOther    Speaker = "other"
)

// Role returns the adapter's word for a speaker.
func (s Speaker) Role() adapter.Role {
	switch s {
	case SpeakerCustomer:
		return adapter.RoleEndUser
	case SpeakerAgent:
		return adapter.RoleHumanAgent
	default:
		return adapter.RoleOther
	}
}

// ThirdVoice says what becomes of a speaker who is neither customer nor agent.
type ThirdVoice string

// The ways to treat a third voice. The zero value in a file means ThirdVoiceIgnore.
const (
	ThirdVoiceIgnore      ThirdVoice = "ignore"      // counted, neither kept nor sent
	ThirdVoiceParticipant ThirdVoice = "participant" // a participant of its own
)

// Elsewhere says what becomes of a call whose named conversation lies elsewhere.
type Elsewhere string

// The policies. The zero value in a file means ElsewhereRefuse.
const (
	ElsewhereRefuse Elsewhere = "refuse"
	ElsewhereIgnore Elsewhere = "ignore" // the call gets a conversation as if none had been named
)

// Start says how a call begins.
type Start string

// The ways a call begins. The zero value in a file means StartHeard.
const (
	StartHeard  Start = "heard"
	StartPaused Start = "paused"
)

// Limits bound what the host takes on. Past them new calls are refused.
type Limits struct {
	Calls          int           `yaml:"calls"`            // at a time
	LegsPerCall    int           `yaml:"legs_per_call"`    // at a time
	TracksPerCall  int           `yaml:"tracks_per_call"`  // in all legs together
	MemoryPerTrack Bytes         `yaml:"memory_per_track"` // audio that waits for Agent Assist
	Grace          time.Duration `yaml:"grace"`            // how long a call waits for another leg after its last one said goodbye
	LostGrace      time.Duration `yaml:"lost_grace"`       // the same after a leg that was lost: it may come back
	ReattachGrace  time.Duration `yaml:"reattach_grace"`   // the same after a restart of the host in mid-call
	RecoverAge     time.Duration `yaml:"recover_age"`      // a call that began longer before a restart is closed without its audio
}

// RouteLimits bound the calls of one route.
type RouteLimits struct {
	Calls int `yaml:"calls,omitempty"` // at a time; 0 leaves it to the host's own limit
}

// Spool says where audio that waits lies, with what a host needs to take up its calls
// after a crash. Everything in it is sealed.
type Spool struct {
	Off           bool          `yaml:"off,omitempty"`      // keep audio in memory alone: a crash loses it
	Dir           string        `yaml:"dir,omitempty"`      // a folder of this host alone; empty: patchbay/spool in the user's folder for state
	Key           Secret        `yaml:"key,omitempty"`      // 64 hexadecimal digits; empty: KeyFile
	KeyFile       string        `yaml:"key_file,omitempty"` // made on first use; empty: beside Dir, named as it with .key behind
	MaxBytes      Bytes         `yaml:"max_size"`
	MaxTrackBytes Bytes         `yaml:"max_per_track"`
	SyncInterval  time.Duration `yaml:"fsync_interval"` // what is older outlives a power failure
}

// Log says what is logged and how.
type Log struct {
	Level  string `yaml:"level"`  // debug, info, warn, error
	Format string `yaml:"format"` // auto (text on a terminal, else JSON), text, json
}

// Telemetry says what else is told of calls; metrics are always there.
type Telemetry struct {
	Traces Traces `yaml:"traces"`
}

// Traces says where OpenTelemetry traces of calls go. They hold no words and no
// numbers of people.
type Traces struct {
	Endpoint string  `yaml:"endpoint,omitempty"` // URL of an OTLP receiver over HTTP, as http://localhost:4318; empty: no traces
	Ratio    float64 `yaml:"ratio"`              // share of the calls that are traced, 0 to 1
}

// Default returns a configuration with every default and no adapters or routes.
func Default() Config {
	return Config{
		API:    API{Listen: "127.0.0.1:8080"},
		Google: Google{Location: "global"},
		Limits: Limits{
			Calls:          500,
			LegsPerCall:    16,
			TracksPerCall:  16,
			MemoryPerTrack: 2 << 20, // four minutes of telephony
			Grace:          5 * time.Second,
			LostGrace:      15 * time.Second,
			ReattachGrace:  30 * time.Second,
			RecoverAge:     12 * time.Hour,
		},
		Spool:     Spool{MaxBytes: 4 << 30, MaxTrackBytes: 64 << 20, SyncInterval: time.Second},
		Log:       Log{Level: "info", Format: "auto"},
		Telemetry: Telemetry{Traces: Traces{Ratio: 1}},
	}
}

// fillRoutes gives the routes the defaults that Default cannot hold.
func (c *Config) fillRoutes() {
	for i := range c.Routes {
		r := &c.Routes[i]
		if r.Transport == "" {
			r.Transport = TransportExtended
		}
		if r.ThirdVoice == "" {
			r.ThirdVoice = ThirdVoiceIgnore
		}
		if r.Start == "" {
			r.Start = StartHeard
		}
		if r.ConversationElsewhere == "" {
			r.ConversationElsewhere = ElsewhereRefuse
		}
	}
}

// GoogleFor returns the Google settings of a route: its own over the file's.
func (c *Config) GoogleFor(r Route) Google {
	g := c.Google
	for _, f := range []struct {
		to   *string
		from string
	}{
		{&g.Project, r.Project},
		{&g.Location, r.Location},
		{&g.Credentials, r.Credentials},
		{&g.QuotaProject, r.QuotaProject},
	} {
		if f.from != "" {
			*f.to = f.from
		}
	}
	return g
}

// TenantOf returns the tenant of a verified account. It is false when the file names
// tenants and none of them has the account.
func (c *Config) TenantOf(instance, account string) (string, bool) {
	if len(c.Tenants) == 0 {
		return DefaultTenant, true
	}
	rest, found := "", false
	for _, t := range c.Tenants {
		for _, a := range t.Accounts {
			switch {
			case a.Adapter != instance:
			case a.Account == account && account != "":
				return t.Name, true
			case a.Account == "":
				rest, found = t.Name, true
			}
		}
	}
	return rest, found
}

// PluginPath returns the path of an adapter's plugin. A short name lies in plugin_dir,
// or in programDir when the file names none.
func (c *Config) PluginPath(a Adapter, programDir string) string {
	if isPath(a.Plugin) {
		return a.Plugin
	}
	dir := c.PluginDir
	if dir == "" {
		dir = programDir
	}
	name := "patchbay-adapter-" + a.Plugin
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return filepath.Join(dir, name)
}

func isPath(plugin string) bool { return strings.ContainsAny(plugin, `/\`) }
