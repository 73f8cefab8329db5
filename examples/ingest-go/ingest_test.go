package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/patchbay/patchbay/adapters/native"
	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/adapter/adaptertest"
	"github.com/patchbay/patchbay/core/assist"
	"github.com/patchbay/patchbay/core/call"
	"github.com/patchbay/patchbay/core/emulator"
	"github.com/patchbay/patchbay/core/media"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	token     = "a token for tests, and for them alone"
	speed     = 20
	recording = "../../core/emulator/recordings/en.wav"
)

// startPatchbay runs the adapter and a host in front of an emulator, and returns the
// adapter's address.
func startPatchbay(t *testing.T) (string, *call.Manager) {
	t.Helper()
	cfg := emulator.DefaultConfig()
	cfg.Speed = speed
	em, err := emulator.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	google, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	pool := assist.NewPool(assist.Options{TimeScale: speed})
	limits := call.DefaultLimits()
	limits.Grace = 100 * time.Millisecond
	calls := call.NewManager(call.Config{Limits: limits, Routes: []call.Route{{
		Google: assist.Google{Project: "local", Endpoint: google.Addr().String(), Insecure: true}, Profile: "demo", Language: "en-US"}},
	}, pool, slog.New(slog.DiscardHandler))
	settings := native.DefaultConfig()
	settings.Clients = []native.Client{{Account: "example", Tokens: []adapter.Secret{token}}}
	a, err := native.New(settings)
	if err != nil {
		t.Fatal(err)
	}
	env := adaptertest.NewEnv(t, "grpc")
	var running sync.WaitGroup
	running.Go(func() {
		if err := em.Serve(ctx, google); err != nil {
			t.Error(err)
		}
	})
	adapterCtx, stop := context.WithCancel(ctx)
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := a.Run(adapterCtx, env.Env, calls.Sink("native")); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		stop()
		serving.Wait()
		calls.Shutdown(ctx)
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
		cancel()
		running.Wait()
	})
	return env.Addr("grpc"), calls
}

// wantCall checks what a client printed of the recorded call, and the host's account.
func wantCall(t *testing.T, calls *call.Manager, id, said string) {
	t.Helper()
	for _, words := range []string{"customer", "agent", "suggestion (", "patchbay has "} {
		if !strings.Contains(said, words) {
			t.Errorf("the client printed no %q:\n%s", words, said)
		}
	}
	c, ok := calls.Find(id)
	if !ok {
		t.Fatalf("the host knows no call %s", id)
	}
	for _, tr := range c.Info().Tracks {
		if err := tr.Ledger.Balanced(); err != nil || !tr.Ledger.Settled() || tr.Ledger.Lost > 0 || len(tr.Ledger.Discarded) > 0 {
			t.Errorf("track %s: %+v, %v", tr.Track, tr.Ledger, err)
		}
	}
}

func TestGo(t *testing.T) {
	address, calls := startPatchbay(t)
	var said bytes.Buffer
	o := options{address: address, token: token, call: "example-go", wav: recording, speed: speed}
	if err := run(t.Context(), o, &said); err != nil {
		t.Fatal(err)
	}
	wantCall(t, calls, "example-go", said.String())
	o.token = "wrong"
	if err := run(t.Context(), o, &said); err == nil || !strings.Contains(err.Error(), "Unauthenticated") {
		t.Errorf("with a wrong token: %v; want Unauthenticated", err)
	}
}

// The same call by the example in Python, whose messages are generated first.
func TestPython(t *testing.T) {
	python := findPython(t, "import grpc, google.protobuf")
	generated := t.TempDir()
	args := []string{"-I", "../../adapters/native/proto", "--python_out", generated, "patchbay/ingest/v1/ingest.proto"}
	protoc := exec.CommandContext(t.Context(), python, append([]string{"-m", "grpc_tools.protoc"}, args...)...)
	if exec.CommandContext(t.Context(), python, "-c", "import grpc_tools").Run() != nil {
		protoc = exec.CommandContext(t.Context(), "protoc", args...)
	}
	if out, err := protoc.CombinedOutput(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			missing(t, "neither python's grpc_tools nor protoc is there to generate messages")
		}
		t.Fatalf("%v: %s", err, out)
	}
	wav := linear16(t)
	address, calls := startPatchbay(t)
	run := func(token string) (string, error) {
		cmd := exec.CommandContext(t.Context(), python, "../ingest-python/client.py", "--address", address, "--call", "example-python", "--wav", wav, "--speed", "20")
		cmd.Env = append(os.Environ(), "PYTHONPATH="+generated, "PYTHONDONTWRITEBYTECODE=1", "PATCHBAY_TOKEN="+token)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	said, err := run(token)
	if err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	wantCall(t, calls, "example-python", said)
	if said, err := run("wrong"); err == nil || !strings.Contains(said, "UNAUTHENTICATED") {
		t.Errorf("with a wrong token: %v, %s; want UNAUTHENTICATED", err, said)
	}
}

// linear16 writes the recording, which is mu-law, as Python's wave module reads it.
func linear16(t *testing.T) (path string) {
	t.Helper()
	f, err := os.Open(recording)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	w, err := media.ReadWAV(f)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := media.WriteWAV(&b, w, media.Linear16); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "call.wav")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// findPython returns a Python that can import what a test needs: PATCHBAY_PYTHON, or the
// first of the usual ones.
func findPython(t *testing.T, imports string) string {
	t.Helper()
	for _, python := range []string{os.Getenv("PATCHBAY_PYTHON"), "python3", filepath.FromSlash("/usr/bin/python3")} {
		if python != "" && exec.CommandContext(t.Context(), python, "-c", imports).Run() == nil {
			return python
		}
	}
	missing(t, "no Python here can "+imports+"; pip install grpcio grpcio-tools, and name it in PATCHBAY_PYTHON")
	return ""
}

// missing skips the test, or fails it where everything must be there.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip(what)
}
