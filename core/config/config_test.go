package config

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/patchbay/patchbay/core/adapter"
)

func jsonNumber(s string) json.Number { return json.Number(s) }

func parse(file string) (*Config, error) {
	return Parse([]byte(file), "patchbay.yaml", Secrets{LookupEnv: env(map[string]string{"SET": "value", "EMPTY": ""})})
}

func TestTenantOf(t *testing.T) {
	c := Config{Tenants: []Tenant{
		{Name: "rest", Accounts: []Account{{Adapter: "eu"}}},
		{Name: "acme", Accounts: []Account{{Adapter: "eu", Account: "AC1"}, {Adapter: "us", Account: "AC1"}}},
	}}
	tests := []struct {
		name, instance, account, want string
		ok                            bool
	}{
		{"named account", "eu", "AC1", "acme", true},
		{"other account of the instance", "eu", "AC2", "rest", true},
		{"nothing verified", "eu", "", "rest", true},
		{"same account elsewhere", "us", "AC1", "acme", true},
		{"account of nobody", "us", "AC2", "", false},
		{"no account where all are named", "us", "", "", false},
		{"unknown instance", "asia", "AC1", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, ok := c.TenantOf(tt.instance, tt.account); got != tt.want || ok != tt.ok {
				t.Errorf("TenantOf(%q, %q) = %q, %v; want %q, %v", tt.instance, tt.account, got, ok, tt.want, tt.ok)
			}
		})
	}
	if got, ok := new(Config).TenantOf("eu", "AC1"); got != DefaultTenant || !ok {
		t.Errorf("TenantOf without tenants = %q, %v; want %q, true", got, ok, DefaultTenant)
	}
}

func TestGoogleFor(t *testing.T) {
	c := Config{Google: Google{Project: "p", Location: "global", Endpoint: "127.0.0.1:1", Insecure: true, QuotaProject: "pay"}}
	if got := c.GoogleFor(Route{}); got != c.Google {
		t.Errorf("GoogleFor(empty route) = %+v; want the file's %+v", got, c.Google)
	}
	got := c.GoogleFor(Route{Project: "q", Location: "us", Credentials: "k.json", QuotaProject: "other"})
	want := Google{Project: "q", Location: "us", Endpoint: "127.0.0.1:1", Insecure: true, Credentials: "k.json", QuotaProject: "other"}
	if got != want {
		t.Errorf("GoogleFor(own settings) = %+v; want %+v", got, want)
	}
}

func TestPluginPath(t *testing.T) {
	beside, own := Config{}, Config{PluginDir: "/plugins"}
	tests := []struct {
		name, got, want string
	}{
		{"short name beside the program", beside.PluginPath(Adapter{Plugin: "twilio"}, "/bin"), filepath.Join("/bin", "patchbay-adapter-twilio")},
		{"short name in the plugins' folder", own.PluginPath(Adapter{Plugin: "twilio"}, "/bin"), filepath.Join("/plugins", "patchbay-adapter-twilio")},
		{"path", own.PluginPath(Adapter{Plugin: "/opt/mine"}, "/bin"), "/opt/mine"},
	}
	for _, tt := range tests {
		if filepath.Ext(tt.got) == ".exe" {
			tt.got = tt.got[:len(tt.got)-len(".exe")]
		}
		if tt.got != tt.want {
			t.Errorf("%s: PluginPath = %q; want %q", tt.name, tt.got, tt.want)
		}
	}
}

func TestSpeakerRole(t *testing.T) {
	for s, want := range map[Speaker]adapter.Role{
		SpeakerCustomer: adapter.RoleEndUser,
		SpeakerAgent:    adapter.RoleHumanAgent,
		SpeakerOther:    adapter.RoleOther,
	} {
		if got := s.Role(); got != want {
			t.Errorf("%q.Role() = %q; want %q", s, got, want)
		}
	}
}

func TestBytes(t *testing.T) {
	good := map[string]Bytes{"0B": 0, "7B": 7, "512KiB": 512 << 10, "2MiB": 2 << 20, "1 GiB": 1 << 30}
	for text, want := range good {
		var b Bytes
		if err := b.UnmarshalText([]byte(text)); err != nil || b != want {
			t.Errorf("UnmarshalText(%q) = %d, %v; want %d", text, b, err, want)
		}
		again := Bytes(-1)
		if err := again.UnmarshalText([]byte(b.String())); err != nil || again != b {
			t.Errorf("%q became %d, %v on the way back; want %d", b.String(), again, err, b)
		}
	}
	for _, text := range []string{"", "B", "5", "2MB", "-1KiB", "1.5MiB", "9223372036854775807GiB", "KiB", "two MiB"} {
		var b Bytes
		if err := b.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("UnmarshalText(%q) = %d; want an error", text, b)
		}
	}
}

func TestNearest(t *testing.T) {
	words := []string{"listen", "token", "tls", "public_url", "sha256"}
	tests := []struct{ written, want string }{
		{"lisen", "listen"},
		{"listens", "listen"},
		{"tokne", "token"},
		{"TLS", "tls"},
		{"public-url", "public_url"},
		{"sha265", "sha256"},
		{"port", ""},
		{"x", ""},
		{"", ""},
	}
	for _, tt := range tests {
		if got, _ := nearest(tt.written, words); got != tt.want {
			t.Errorf("nearest(%q) = %q; want %q", tt.written, got, tt.want)
		}
	}
}
