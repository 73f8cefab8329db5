package native

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"regexp"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
)

// Config is the settings block of a native adapter.
type Config struct {
	Clients    []Client `json:"clients" jsonschema_description:"Who may call, and how they prove it."`
	ClientCA   string   `json:"client_ca,omitempty" jsonschema_description:"File with the CAs, in PEM, that sign the certificates of clients. Needed where a client lists certificates."`
	Insecure   bool     `json:"insecure,omitempty" jsonschema_description:"Serve clients that prove nothing, with an empty account. For trials on a closed network only."`
	Reflection bool     `json:"reflection" jsonschema_description:"Serve gRPC reflection for patchbay.ingest.v1."`
	Limits     Limits   `json:"limits"`
}

// Client is an account: whoever proves to be it has what the routes give to the account.
type Client struct {
	Account      string           `json:"account" jsonschema_description:"Your name for it; routes and tenants know it by this name."`
	Tokens       []adapter.Secret `json:"tokens,omitempty" jsonschema_description:"Bearer tokens, by reference (env:NAME or file:PATH): metadata authorization: Bearer TOKEN. At most two, so that one can be replaced."`
	Certificates []string         `json:"certificates,omitempty" jsonschema_description:"Names in the client's certificate, which a CA of client_ca signed: a DNS name, URI or e-mail address of the SAN, or CN=name for the subject."`
}

// Limits bound what clients may cost.
type Limits struct {
	MaxStreams      int              `json:"max_streams" jsonschema_description:"Streams served at once; more get RESOURCE_EXHAUSTED."`
	MaxConnections  int              `json:"max_connections" jsonschema_description:"Network connections at once; more wait."`
	MaxCalls        int              `json:"max_calls" jsonschema_description:"Unary calls under way at once; more get RESOURCE_EXHAUSTED."`
	MaxMessageBytes int              `json:"max_message_bytes" jsonschema_description:"Longest message."`
	ConfigTimeout   adapter.Duration `json:"config_timeout" jsonschema_description:"From the start of a stream to its first message."`
	IdleTimeout     adapter.Duration `json:"idle_timeout" jsonschema_description:"Longest silence of a stream before it counts as lost. Dead connections are noticed within two minutes without it."`
	SendTimeout     adapter.Duration `json:"send_timeout" jsonschema_description:"How long a client may leave a response unread before its stream ends with RESOURCE_EXHAUSTED."`
	FinishTimeout   adapter.Duration `json:"finish_timeout" jsonschema_description:"How long a stream waits for its last results after the client's half-close."`
}

// The defaults.
const (
	DefaultMaxStreams      = 2000
	DefaultMaxCalls        = 200
	DefaultMaxConnections  = 1000
	DefaultMaxMessageBytes = adapter.MaxRelayBytes
	DefaultConfigTimeout   = adapter.Duration(10 * time.Second)
	DefaultIdleTimeout     = adapter.Duration(30 * time.Minute)
	DefaultSendTimeout     = adapter.Duration(30 * time.Second)
	DefaultFinishTimeout   = adapter.Duration(time.Minute)
)

// DefaultConfig returns the settings that hold where the configuration says nothing.
// Clients have no default.
func DefaultConfig() Config {
	return Config{
		Clients: []Client{}, Reflection: true,
		Limits: Limits{
			MaxStreams:      DefaultMaxStreams,
			MaxCalls:        DefaultMaxCalls,
			MaxConnections:  DefaultMaxConnections,
			MaxMessageBytes: DefaultMaxMessageBytes,
			ConfigTimeout:   DefaultConfigTimeout,
			IdleTimeout:     DefaultIdleTimeout,
			SendTimeout:     DefaultSendTimeout,
			FinishTimeout:   DefaultFinishTimeout,
		},
	}
}

// Listeners names the one socket.
func (Config) Listeners() []adapter.Listener {
	return []adapter.Listener{{Name: listenerGRPC, Network: "tcp"}}
}

const listenerGRPC = "grpc"

// minTokenLength keeps tokens out of reach of guessing.
const minTokenLength = 24

var accountForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@:-]{0,127}$`)

// Validate returns adapter.Problems with every mistake, or nil. It reads the file that
// client_ca names.
func (c Config) Validate() error {
	var ps adapter.Problems
	if len(c.Clients) == 0 && !c.Insecure {
		ps.Add("clients", "", "none is listed, so nobody could call", "list an account with tokens or certificates")
	}
	accounts, proofs := map[string]bool{}, map[string]string{}
	for i, client := range c.Clients {
		key := fmt.Sprintf("clients[%d]", i)
		if !accountForm.MatchString(client.Account) || accounts[client.Account] {
			ps.Add(key+".account", client.Account, "is missing, used twice, or has odd characters", "give every client its own name")
		}
		accounts[client.Account] = true
		client.validate(&ps, key, proofs)
		if len(client.Certificates) > 0 && c.ClientCA == "" {
			ps.Add("client_ca", "", fmt.Sprintf("missing, so nobody could believe the certificates of %s", key), "name the file with their CA")
		}
	}
	if c.ClientCA != "" {
		if _, err := readCAs(c.ClientCA); err != nil {
			ps.Add("client_ca", c.ClientCA, err.Error(), "point it at a file with certificates in PEM")
		}
	}
	c.Limits.validate(&ps)
	return ps.Err()
}

func (c Client) validate(ps *adapter.Problems, key string, proofs map[string]string) {
	if len(c.Tokens)+len(c.Certificates) == 0 {
		ps.Add(key, "", "it cannot prove who it is", "list tokens or certificates")
	}
	if len(c.Tokens) > 2 {
		ps.Add(key+".tokens", "", "more than two", "keep the old one and the new one")
	}
	for i, t := range c.Tokens {
		at := fmt.Sprintf("%s.tokens[%d]", key, i)
		if len(t) < minTokenLength {
			ps.Add(at, "", fmt.Sprintf("is shorter than %d characters", minTokenLength), "use a longer random one")
		} else if other, taken := proofs["token "+string(t)]; taken {
			ps.Add(at, "", "is the same as "+other, "give every client its own token")
		}
		proofs["token "+string(t)] = at
	}
	for i, name := range c.Certificates {
		at := fmt.Sprintf("%s.certificates[%d]", key, i)
		if other, taken := proofs["certificate "+name]; taken || name == "" {
			ps.Add(at, name, "is empty, or the same as "+other, "give every client its own name")
		}
		proofs["certificate "+name] = at
	}
}

func (l Limits) validate(ps *adapter.Problems) {
	for _, n := range []struct {
		key         string
		n           int
		least, most int
	}{
		{"max_streams", l.MaxStreams, 1, 100_000},
		{"max_calls", l.MaxCalls, 1, 100_000},
		{"max_connections", l.MaxConnections, 1, 100_000},
		{"max_message_bytes", l.MaxMessageBytes, 32 << 10, adapter.MaxRelayBytes},
	} {
		if n.n < n.least || n.n > n.most {
			ps.Add("limits."+n.key, fmt.Sprint(n.n), fmt.Sprintf("is not between %d and %d", n.least, n.most), "choose a number between")
		}
	}
	for _, d := range []struct {
		key string
		d   adapter.Duration
	}{
		{"config_timeout", l.ConfigTimeout}, {"idle_timeout", l.IdleTimeout},
		{"send_timeout", l.SendTimeout}, {"finish_timeout", l.FinishTimeout},
	} {
		if d.d <= 0 {
			ps.Add("limits."+d.key, d.d.String(), "is no length of time", "write it like 30s")
		}
	}
}

func readCAs(path string) (*x509.CertPool, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("it cannot be read: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, errors.New("it holds no certificate")
	}
	return pool, nil
}
