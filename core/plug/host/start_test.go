package host_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/adapter/adaptertest"
	"github.com/patchbay/patchbay/core/plug/host"
)

// as returns the configuration of a plugin that this test binary plays.
func as(t *testing.T, role, script string) host.Config {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	settings, err := json.Marshal(map[string]any{"script": script})
	if err != nil {
		t.Fatal(err)
	}
	return host.Config{
		Name: "test", Path: self, Settings: settings, Env: []string{roleVar + "=" + role},
		Log: adaptertest.Logger(t), DrainTimeout: -1,
	}
}

// file writes a file for a test and returns its path.
func file(t *testing.T, mode os.FileMode, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "plugin")
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// foreignELF is the header of a binary for another processor.
func foreignELF() string {
	h := make([]byte, 64)
	copy(h, "\x7fELF\x02\x01\x01") // 64 bit, little endian
	h[16] = 2                      // executable
	h[18] = 22                     // S/390
	h[20] = 1
	h[52] = 64 // size of this header
	return string(h)
}

func TestStartErrorsNameTheCause(t *testing.T) {
	at := func(path string) host.Config { return host.Config{Name: "test", Path: path} }
	pinned := as(t, "actor", "idle")
	pinned.SHA256 = strings.Repeat("ab", 32)
	short := as(t, "hangs", "")
	short.StartTimeout = 500 * time.Millisecond
	waiting := as(t, "prints, waits", "")
	waiting.StartTimeout = 3 * time.Second // it must have come to print
	for _, c := range []struct {
		name string
		cfg  host.Config
		want []string
	}{
		{"missing", at("/nowhere/plugin"), []string{"/nowhere/plugin", "no such file"}},
		{"folder", at(t.TempDir()), []string{"is a folder"}},
		{"not executable", at(file(t, 0o600, "#!/bin/sh\n")), []string{"not executable", "chmod +x"}},
		{"text", at(file(t, 0o700, "just words\n")), []string{"not a program"}},
		{"other processor", at(file(t, 0o700, foreignELF())), []string{"ELF binary for S390", "this host needs one for"}},
		{"checksum", pinned, []string{"SHA-256", strings.Repeat("ab", 32), "is pinned"}},
		{"another program", as(t, "prints, ends", ""), []string{"no patchbay plugin", "usage: ls", "exit status 0"}},
		{"another program that stays", waiting, []string{"probably no patchbay plugin", "ready | or | not | yet"}},
		{"ends at once", as(t, "fails", ""), []string{"ended before it was ready", "exit status 3", "cannot read my own file"}},
		{"another version", as(t, "other version", ""), []string{"speaks version 7", "this host speaks version 1"}},
		{"output before the handshake", as(t, "prints first", "idle"), []string{"hello, I am loading", "before the handshake", "standard error"}},
		{"hangs", short, []string{"not ready within the start timeout"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := host.Check(t.Context(), c.cfg)
			if err == nil {
				t.Fatal("Check = nil; want an error")
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error %q; want %q in it", err, w)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q has more than one line", err)
			}
		})
	}
}

func TestRunReturnsWhatAnOperatorMustMend(t *testing.T) {
	p, err := host.New(as(t, "fails", ""), adaptertest.NewSink())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Run(t.Context()); adapter.KindOf(err) != adapter.KindConfig || err == nil {
		t.Errorf("Run = %v; want a KindConfig error", err)
	}
	if s := p.Status(); s.State != host.StateFailed || !strings.Contains(s.LastError, "exit status 3") {
		t.Errorf("status %+v; want failed with the reason", s)
	}
}

func TestDescribe(t *testing.T) {
	c := as(t, "actor", "idle")
	d, err := host.Check(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if d.Name != "actor" || d.Version != "1.2.3" || !slices.Equal(d.Abilities, []string{"attach"}) {
		t.Errorf("described as %q %q %v", d.Name, d.Version, d.Abilities)
	}
	var schema struct {
		AdditionalProperties any `json:"additionalProperties"`
		Properties           map[string]struct{ Type, Format string }
	}
	if err := json.Unmarshal(d.Schema, &schema); err != nil {
		t.Fatalf("schema %s: %v", d.Schema, err)
	}
	if got := schema.Properties["token"]; got.Format != "secret" || got.Type != "string" {
		t.Errorf("schema of token: %+v; want a secret string", got)
	}
	if schema.AdditionalProperties != false {
		t.Errorf("additionalProperties = %v; want false", schema.AdditionalProperties)
	}
	if string(d.Defaults) != `{"script":"idle"}` {
		t.Errorf("defaults %s", d.Defaults)
	}
}

func TestCheckFindsAllProblems(t *testing.T) {
	for _, c := range []struct {
		name     string
		settings string
		listen   map[string]string
		want     []string
	}{
		{"good", `{"script":"listen"}`, map[string]string{"audio": ":1"}, nil},
		{"wrong value", `{"script":"opera"}`, nil, []string{`settings.script = "opera": is no script; choose another`}},
		{"unknown key", `{"scrip":"idle"}`, nil, []string{"settings.scrip: is no setting of this adapter; correct the name or remove it"}},
		{"wrong type", `{"legs":"many"}`, nil, []string{"settings.legs: is a string; want int; correct it"}},
		{"no listener", `{"script":"listen"}`, nil, []string{"listen.audio: the adapter needs this listener; give it a tcp address, such as :8443"}},
		{"one of two", `{"script":"packets"}`, map[string]string{"door_udp": ":1"}, nil},
		{"none of two", `{"script":"packets"}`, nil, []string{"listen: the adapter needs one of door_udp, door_tcp; give at least one an address, such as :5060"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := as(t, "actor", "")
			cfg.Settings, cfg.Listeners = json.RawMessage(c.settings), c.listen
			_, err := host.Check(t.Context(), cfg)
			ps, _ := errors.AsType[adapter.Problems](err)
			var got []string
			for _, p := range ps {
				got = append(got, p.Error())
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("problems %q; want %q (%v)", got, c.want, err)
			}
		})
	}
}

func TestTLSFilesAreChecked(t *testing.T) {
	cfg := as(t, "actor", "idle")
	cfg.TLSCert, cfg.TLSKey = "/nowhere/c.pem", "/nowhere/k.pem"
	_, err := host.Check(t.Context(), cfg)
	if ps, ok := errors.AsType[adapter.Problems](err); !ok || len(ps) != 1 || ps[0].Key != "tls" {
		t.Errorf("Check = %v; want a problem with tls", err)
	}
}

func TestPrepareSeesTheSchema(t *testing.T) {
	cfg := as(t, "actor", "nonsense")
	cfg.Prepare = func(d host.Description) (json.RawMessage, error) {
		if !json.Valid(d.Schema) || d.Name != "actor" {
			return nil, errors.New("no schema")
		}
		return json.RawMessage(`{"script":"idle"}`), nil
	}
	if _, err := host.Check(t.Context(), cfg); err != nil {
		t.Errorf("Check = %v", err)
	}
}

func TestTakenAddressIsAProblem(t *testing.T) {
	first, err := host.New(host.Config{Listeners: map[string]string{"audio": "127.0.0.1:0"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	address := first.Status().Addresses["audio"]
	_, err = host.New(host.Config{Listeners: map[string]string{"audio": address}}, nil)
	if ps, ok := errors.AsType[adapter.Problems](err); !ok || ps[0].Key != "listen.audio" || ps[0].Value != address {
		t.Errorf("New = %v; want a problem with listen.audio", err)
	}
}

func TestStartEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p, err := host.New(as(t, "hangs", ""), adaptertest.NewSink())
	if err != nil {
		t.Fatal(err)
	}
	done, starting := make(chan error), p.Changed()
	go func() { done <- p.Run(ctx) }()
	<-starting
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("Run = %v; want nil", err)
		}
	case <-time.After(adaptertest.Patience):
		t.Fatal("Run goes on")
	}
}
