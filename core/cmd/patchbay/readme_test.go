package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/patchbay/patchbay/core/config"
	"github.com/patchbay/patchbay/core/plug/host"
)

// TestReadmeConfiguration: the plugin and the configuration's own checks accept the
// file that the README shows.
func TestReadmeConfiguration(t *testing.T) {
	readme, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(readme, -1)
	if len(found) == 0 {
		t.Fatal("the README shows no configuration")
	}
	dir := t.TempDir()
	for _, name := range []string{"cert.pem", "key.pem"} {
		if err := os.MkdirAll(filepath.Join(dir, "tls"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "tls", name), []byte("made when needed"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	lookup := func(name string) (string, bool) { return strings.Repeat("0123456789abcdef", 2), name != "" }
	for _, block := range found {
		cfg, err := config.Parse(block[1], "README.md", config.Secrets{LookupEnv: lookup, Dir: dir})
		if err != nil {
			t.Errorf("the README's configuration is refused:\n%v", err)
			continue
		}
		for i := range cfg.Adapters {
			c := hostConfig(cfg, i, binaries, slog.New(slog.DiscardHandler))
			c.TLSCert, c.TLSKey = "", "" // the certificate is made up
			if _, err := host.Check(t.Context(), c); err != nil {
				t.Errorf("the plugin refuses the README's settings: %v", locate(cfg, i, err))
			}
		}
	}
}

// TestConfigurationMistakes: what only the plugin knows is placed in the file too.
func TestConfigurationMistakes(t *testing.T) {
	text := fmt.Sprintf(localConfig, "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "not a URL", "AB12", "1s")
	cfg, err := config.Parse([]byte(text), "patchbay.yml", config.Secrets{LookupEnv: func(string) (string, bool) { return strings.Repeat("ab", 16), true }})
	if err != nil {
		t.Fatal(err)
	}
	_, err = host.Check(context.Background(), hostConfig(cfg, 0, binaries, slog.New(slog.DiscardHandler)))
	located, ok := errors.AsType[*config.Error](locate(cfg, 0, err))
	if !ok {
		t.Fatalf("Check = %v; want problems with their place", err)
	}
	for _, want := range []string{`patchbay.yml:11: adapters[0].settings.accounts[0].sid = "AB12": `, "adapters[0].settings.public_url"} {
		if !strings.Contains(located.Error(), want) {
			t.Errorf("the mistakes are\n%v\nwant one with %q", located, want)
		}
	}
}
