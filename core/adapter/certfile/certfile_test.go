package certfile

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
)

// writePair writes a new self-signed certificate and its key.
func writePair(t *testing.T, certPath, keyPath string, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, certPath, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write(t, keyPath, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func serial(t *testing.T, cfg *tls.Config) int64 {
	t.Helper()
	c, err := cfg.GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	return c.Leaf.SerialNumber.Int64()
}

func TestFollowsFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		certPath, keyPath := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
		writePair(t, certPath, keyPath, 1)
		var log bytes.Buffer
		cfg, err := Config(certPath, keyPath, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		good, err := os.ReadFile(keyPath)
		if err != nil {
			t.Fatal(err)
		}
		steps := []struct {
			name   string
			change func()
			wait   time.Duration
			want   int64
			logged string // how often, since the start
			times  int
		}{
			{"unchanged", func() {}, PollInterval, 1, "replaced", 0},
			{"too early to look", func() { writePair(t, certPath, keyPath, 2) }, PollInterval - 1, 1, "replaced", 0},
			{"renewed", func() {}, 1, 2, "replaced", 1},
			{"half-written", func() { write(t, keyPath, good) }, PollInterval, 2, "the old one stays", 1},
			{"still broken", func() {}, PollInterval, 2, "the old one stays", 1},
			{"gone", func() { _ = os.Remove(certPath) }, PollInterval, 2, "the old one stays", 2},
			{"mended", func() { writePair(t, certPath, keyPath, 3) }, PollInterval, 3, "replaced", 2},
		}
		for _, s := range steps {
			s.change()
			time.Sleep(s.wait) // the bubble's clock
			if got := serial(t, cfg); got != s.want {
				t.Errorf("%s: certificate %d; want %d", s.name, got, s.want)
			}
			if got := strings.Count(log.String(), s.logged); got != s.times {
				t.Errorf("%s: %q logged %d times; want %d", s.name, s.logged, got, s.times)
			}
		}
	})
}

func TestUnusableFilesAreConfigErrors(t *testing.T) {
	dir := t.TempDir()
	certPath, keyPath := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	for name, prepare := range map[string]func(){
		"missing": func() {},
		"garbage": func() { write(t, certPath, []byte("x")); write(t, keyPath, []byte("y")) },
	} {
		prepare()
		if _, err := Config(certPath, keyPath, slog.New(slog.DiscardHandler)); adapter.KindOf(err) != adapter.KindConfig || err == nil {
			t.Errorf("%s: Config = %v; want a KindConfig error", name, err)
		} else if !strings.Contains(err.Error(), certPath) {
			t.Errorf("%s: %q does not name the file", name, err)
		}
	}
}
