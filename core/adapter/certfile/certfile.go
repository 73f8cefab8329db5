// Package certfile serves TLS with a certificate from files and follows them when
// they change, so that a renewed certificate needs no restart.
package certfile

import (
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
)

// PollInterval is how often, at most, the content of the files is looked at. It
// happens within a handshake, so that nothing runs in the background; the files
// are read rather than watched, because certificate mounts swap symlinks.
const PollInterval = 10 * time.Second

// Config returns a server's TLS configuration with the certificate chain of
// certPath and the key of keyPath, both PEM. It fails with an *adapter.Error of
// KindConfig when they cannot be used. A new pair that cannot be used is logged
// once, and the old pair stays.
func Config(certPath, keyPath string, log *slog.Logger) (*tls.Config, error) {
	p := &pair{certPath: certPath, keyPath: keyPath, log: log, checked: time.Now()}
	if err := p.load(); err != nil {
		return nil, &adapter.Error{Op: "certfile.Config", Kind: adapter.KindConfig, Err: err}
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return p.get(), nil },
	}, nil
}

// pair is a certificate and its key, as last read.
type pair struct {
	certPath, keyPath string
	log               *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	checked time.Time
	certSum [sha256.Size]byte // of the files behind current
	keySum  [sha256.Size]byte
	trouble string // what was last logged
}

// get returns the certificate for a handshake.
func (p *pair) get() *tls.Certificate {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); now.Sub(p.checked) >= PollInterval {
		p.checked = now
		p.refresh()
	}
	return p.current
}

// refresh loads the files again and logs what changed. The caller holds mu.
func (p *pair) refresh() {
	before := p.current
	err := p.load()
	switch {
	case err == nil:
		p.trouble = ""
		if p.current != before {
			p.log.Info("TLS certificate replaced", "file", p.certPath, "expires", p.current.Leaf.NotAfter)
		}
	case err.Error() != p.trouble:
		p.trouble = err.Error()
		p.log.Error("the new TLS certificate cannot be used; the old one stays", "err", err)
	}
}

// load reads both files, and replaces the certificate when they changed and fit
// together.
func (p *pair) load() error {
	cert, err := os.ReadFile(p.certPath)
	if err != nil {
		return fmt.Errorf("TLS certificate: %w", err)
	}
	key, err := os.ReadFile(p.keyPath)
	if err != nil {
		return fmt.Errorf("TLS key: %w", err)
	}
	certSum, keySum := sha256.Sum256(cert), sha256.Sum256(key)
	if certSum == p.certSum && keySum == p.keySum {
		return nil
	}
	c, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("TLS certificate %s with key %s: %w", p.certPath, p.keyPath, err)
	}
	p.current, p.certSum, p.keySum = &c, certSum, keySum
	return nil
}
