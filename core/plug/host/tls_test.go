package host_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/adapter/adaptertest"
	"github.com/patchbay/patchbay/core/plug/host/hosttest"
)

// certificate writes a self-signed certificate for localhost and its key.
func certificate(t *testing.T) (certPath, keyPath string, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certPath, keyPath = filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	for path, block := range map[string]*pem.Block{
		certPath: {Type: "CERTIFICATE", Bytes: der}, keyPath: {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return certPath, keyPath, roots
}

// TestPluginServesTLS has the plugin end TLS on the socket that it inherited.
func TestPluginServesTLS(t *testing.T) {
	c := minimalConfig("secure", minimalBin(t))
	var roots *x509.CertPool
	c.TLSCert, c.TLSKey, roots = certificate(t)
	sink := adaptertest.NewSink()
	p := hosttest.Start(t, c, sink)
	conn, err := tls.Dial("tcp", p.Addr("audio"), &tls.Config{ServerName: "localhost", RootCAs: roots})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	greet(t, conn, "secure")
	say(t, conn, 3)
	sink.WaitLeg(t, 0).WaitFrames(t, 3)
}

// playDoors greets on a plain listener, and on one with TLS that wants a certificate of
// the client, if it has one.
func playDoors(ctx context.Context, _ actorConfig, env adapter.Env, _ adapter.Sink) error {
	ca, err := os.ReadFile(os.Getenv("PATCHBAY_TEST_CA"))
	if err != nil {
		return err
	}
	secure := env.TLS.Clone()
	secure.ClientAuth, secure.ClientCAs = tls.VerifyClientCertIfGiven, x509.NewCertPool()
	secure.ClientCAs.AppendCertsFromPEM(ca)
	var doors sync.WaitGroup
	defer doors.Wait()
	for name, wrap := range map[string]func(net.Conn) net.Conn{
		"door_tcp": func(c net.Conn) net.Conn { return c },
		"door_tls": func(c net.Conn) net.Conn { return tls.Server(c, secure) },
	} {
		ln, err := env.Listen(name)
		if err != nil {
			return err
		}
		stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
		defer stop()
		doors.Go(func() { greetPeers(ln, wrap) })
	}
	doors.Wait()
	return nil
}

func greetPeers(ln net.Listener, wrap func(net.Conn) net.Conn) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		c = wrap(c)
		who := "a stranger"
		if t, ok := c.(*tls.Conn); ok && t.Handshake() == nil && len(t.ConnectionState().PeerCertificates) > 0 {
			who = t.ConnectionState().PeerCertificates[0].DNSNames[0]
		}
		_, _ = fmt.Fprintf(c, "hello %s", who)
		_ = c.Close()
	}
}

// TestPlainAndTLSSideBySide: one adapter, a plain listener and one with TLS and optional
// certificates of clients.
func TestPlainAndTLSSideBySide(t *testing.T) {
	c := as(t, "actor", "doors")
	var roots *x509.CertPool
	c.TLSCert, c.TLSKey, roots = certificate(t)
	c.Env = append(c.Env, "PATCHBAY_TEST_CA="+c.TLSCert)
	c.Listeners = map[string]string{"door_tcp": "127.0.0.1:0", "door_tls": "127.0.0.1:0"}
	p := hosttest.Start(t, c, adaptertest.NewSink())
	own, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		dial func() (net.Conn, error)
		want string
	}{
		{"plain", func() (net.Conn, error) { return net.Dial("tcp", p.Addr("door_tcp")) }, "hello a stranger"},
		{"TLS", func() (net.Conn, error) {
			return tls.Dial("tcp", p.Addr("door_tls"), &tls.Config{ServerName: "localhost", RootCAs: roots})
		}, "hello a stranger"},
		{"TLS with a certificate", func() (net.Conn, error) {
			return tls.Dial("tcp", p.Addr("door_tls"), &tls.Config{ServerName: "localhost", RootCAs: roots, Certificates: []tls.Certificate{own}})
		}, "hello localhost"},
	} {
		conn, err := tt.dial()
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		got, err := io.ReadAll(conn)
		if string(got) != tt.want || err != nil {
			t.Errorf("%s: %q, %v; want %q", tt.name, got, err, tt.want)
		}
		_ = conn.Close()
	}
}
