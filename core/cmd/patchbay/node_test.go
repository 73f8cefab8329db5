package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/assist"
	"github.com/patchbay/patchbay/core/call"
	"github.com/patchbay/patchbay/core/config"
	"github.com/patchbay/patchbay/core/emulator"
	"github.com/patchbay/patchbay/core/emulator/hear"
	"github.com/patchbay/patchbay/core/event"
	"github.com/patchbay/patchbay/core/plug/host"
)

// The binaries of the tests, built once: the real ones that users run.
var binaries string

func TestMain(m *testing.M) {
	var err error
	if binaries, err = os.MkdirTemp("", "patchbay-test-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for name, pkg := range map[string]string{"patchbay": ".", pluginPrefix + "twilio": "../../../plugins/twilio", pluginPrefix + "five9": "../../../plugins/five9", pluginPrefix + "audiohook": "../../../plugins/audiohook", pluginPrefix + "oem": "../../../plugins/oem", pluginPrefix + "minimal": "../../../examples/minimal"} {
		build := exec.Command("go", "build", "-buildvcs=false", "-o", filepath.Join(binaries, name+exeSuffix), pkg)
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "building", pkg, err)
			os.Exit(1)
		}
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(binaries)
		os.Exit(code)
	}))
}

const (
	minimalToken = "a-token-long-enough"
	twilioToken  = "0123456789abcdef0123456789abcdef"
	twilioSecret = "a-secret-long-enough"
	five9Token   = "a-trust-token-long-enough"
	five9Key     = "an-api-key"

	genesysOrganization = "d7934305-0972-4844-938e-9060eef73d05"
	genesysKey          = "a-genesys-api-key"
	genesysSecret       = "YS1jbGllbnQtc2VjcmV0LWxvbmctZW5vdWdo"
)

// rig is a host with both plugins in front of an emulator, as one process would
// run it.
type rig struct {
	*node
	emulator *localEmulator
}

func newRig(t *testing.T, speed float64, change func(*config.Config)) *rig {
	t.Helper()
	return newRigWith(t, hear.Coded{}, speed, change)
}

// newRigWith is newRig with another recogniser.
func newRigWith(t *testing.T, ears hear.Recognizer, speed float64, change func(*config.Config)) *rig {
	t.Helper()
	ec := emulator.DefaultConfig()
	ec.Speed, ec.Quotas, ec.Recognizer = speed, false, ears
	em, err := startEmulator(ec, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(localConfig, "127.0.0.1:0", em.addr, "127.0.0.1:0", "http://localhost/twilio", localAccount, "200ms") + `
plugin_dir: ` + binaries
	text = strings.Replace(text, "routes:", `
  - name: other
    plugin: minimal
    listen: {audio: "127.0.0.1:0"}
    settings: {accounts: [{name: acme, token: "env:MINIMAL"}]}
  - name: five9
    plugin: five9
    listen: {grpc: "127.0.0.1:0"}
    settings: {subscriptions: [{name: main, domain: "131096", trust_tokens: ["env:FIVE9"], api_keys: ["env:FIVE9_KEY"]}]}
  - name: genesys
    plugin: audiohook
    listen: {http: "127.0.0.1:0"}
    settings: {transcripts: final, suggestions: true, accounts: [{organization: `+genesysOrganization+`, keys: [{api_key: "env:GENESYS", client_secret: "env:GENESYS_SECRET"}]}]}
  - name: sbc
    plugin: oem
    listen: {sip_udp: "127.0.0.1:0", sip_tcp: "127.0.0.1:0"}
    settings: {trunks: [{name: sbc, addresses: ["127.0.0.1"]}], media: {ports: 20000-29999, rest: 0s}}
routes:`, 1)
	secrets := map[string]string{"PATCHBAY_LOCAL_TOKEN": twilioToken, "PATCHBAY_LOCAL_SECRET": twilioSecret, "MINIMAL": minimalToken, "FIVE9": five9Token, "FIVE9_KEY": five9Key, "GENESYS": genesysKey, "GENESYS_SECRET": genesysSecret}
	cfg, err := config.Parse([]byte(text), "test", config.Secrets{LookupEnv: func(name string) (string, bool) { v, ok := secrets[name]; return v, ok }})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Limits.LostGrace = 200 * time.Millisecond
	cfg.Google.Quotas = config.Quotas{StreamStarts: -1, ChirpStarts: -1, BidiSessions: -1}
	cfg.Spool = config.Default().Spool
	cfg.Spool.Dir = filepath.Join(t.TempDir(), "spool")
	if change != nil {
		change(cfg)
	}
	n, err := newNode(cfg, assist.Options{TimeScale: speed}, slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- n.run(ctx)
		stop() // who waits for readiness need not go on
	}()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := em.stop(); err != nil {
			t.Error(err)
		}
	})
	within(t, 20*time.Second, "the plugins are not ready", func(waiting context.Context) error {
		waiting, cancel := context.WithCancel(waiting)
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		return n.ready(waiting)
	})
	return &rig{n, em}
}

// within bounds a wait that would otherwise hang the test.
func within(t *testing.T, limit time.Duration, what string, wait func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := wait(ctx); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// simulation is a simulator that runs as a process of its own.
type simulation struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdout bytes.Buffer
	stderr bytes.Buffer
}

func (r *rig) simulate(t *testing.T, plugin string, args ...string) *simulation {
	t.Helper()
	s := &simulation{t: t}
	switch plugin {
	case "twilio":
		args = append([]string{"simulate", "--stream", "ws://localhost/twilio/stream", "--connect", "http://" + r.plugins[0].Status().Addresses["http"],
			"--account", localAccount, "--auth-token", "env:TOKEN", "--secret", "env:SECRET", "--json"}, args...)
	case "minimal":
		args = append([]string{"simulate", "--addr", r.plugins[1].Status().Addresses["audio"], "--json"}, args...)
	case "five9":
		addr := r.plugins[2].Status().Addresses["grpc"]
		args = append([]string{"simulate", "--target", addr, "--token", "env:FIVE9", "--events", "http://" + addr + "/five9/main", "--api-key", "env:FIVE9_KEY", "--json"}, args...)
	case "audiohook":
		args = append([]string{"simulate", "--url", "ws://genesys.test/audiohook", "--connect", "http://" + r.plugins[3].Status().Addresses["http"],
			"--organization", genesysOrganization, "--api-key", "env:GENESYS", "--client-secret", "env:GENESYS_SECRET", "--json"}, args...)
	case "oem":
		args = append([]string{"simulate", "--to", "sip:recorder@" + r.plugins[4].Status().Addresses["sip_udp"], "--json"}, args...)
	}
	s.cmd = exec.CommandContext(t.Context(), filepath.Join(binaries, pluginPrefix+plugin+exeSuffix), args...)
	s.cmd.Env = []string{"TOKEN=" + twilioToken, "SECRET=" + twilioSecret, "MINIMAL_TOKEN=" + minimalToken, "FIVE9=" + five9Token, "FIVE9_KEY=" + five9Key, "GENESYS=" + genesysKey, "GENESYS_SECRET=" + genesysSecret}
	s.cmd.Stdout, s.cmd.Stderr = &s.stdout, &s.stderr
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return s
}

// report waits for the simulator's end. ok says whether its calls must have gone well.
func (s *simulation) report(ok bool) adapter.SimReport {
	s.t.Helper()
	if err := s.cmd.Wait(); ok && err != nil {
		s.t.Fatalf("the simulator failed: %v\n%s", err, &s.stderr)
	}
	lines := strings.Split(strings.TrimSpace(s.stdout.String()), "\n")
	var r adapter.SimReport
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &r); err != nil {
		s.t.Fatalf("the simulator's report %q: %v", lines[len(lines)-1], err)
	}
	return r
}

// await returns the first call of an adapter that satisfies want.
func (r *rig) await(t *testing.T, what string, want func(call.Info) bool) *call.Call {
	t.Helper()
	var found *call.Call
	within(t, 20*time.Second, what, func(ctx context.Context) error {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			for _, c := range r.calls.Calls() {
				if want(c.Info()) {
					found = c
					return nil
				}
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
	return found
}

// ended reads a call's log to its end.
func ended(t *testing.T, c *call.Call) []event.Event {
	t.Helper()
	var all []event.Event
	within(t, time.Minute, "call "+c.ID()+" does not end", func(ctx context.Context) error {
		for {
			var seq uint64
			if len(all) > 0 {
				seq = all[len(all)-1].Seq
			}
			events, err := c.Events().Next(ctx, seq, 0)
			if err == io.EOF { //nolint:errorlint // documented to be bare
				return nil
			}
			if err != nil {
				return err
			}
			all = append(all, events...)
		}
	})
	return all
}

// wantBlocks compares what was sent with the ledger and with what the emulator
// heard: every coded block of each track once, under that track's participant alone.
func (r *rig) wantBlocks(t *testing.T, c *call.Call, sent adapter.SimCall, first uint16) {
	t.Helper()
	info := c.Info()
	account, ok := r.emulator.Account().Conversation(info.Conversation)
	if !ok {
		t.Errorf("the emulator has no conversation %s", info.Conversation)
		return
	}
	if len(info.Tracks) != len(sent.Tracks) {
		t.Errorf("call %s has %d tracks; want %d", sent.Call, len(info.Tracks), len(sent.Tracks))
		return
	}
	for _, tr := range info.Tracks {
		role, stream, samples := "END_USER", first, sent.Tracks[0].Samples // simulators name the customer first
		if tr.Role == string(adapter.RoleHumanAgent) {
			role, stream, samples = "HUMAN_AGENT", first+1, sent.Tracks[1].Samples
		}
		l := tr.Ledger
		if samples == 0 || l.Received != samples || l.Filled != 0 || !l.Settled() || l.Balanced() != nil || len(l.Discarded) > 0 {
			t.Errorf("call %s track %s: %d samples sent, ledger %+v", sent.Call, tr.Track, samples, l)
		}
		heard := account.Role(role)
		if len(heard) != 1 || len(heard[0].Blocks) != 1 {
			t.Errorf("call %s: %s heard %+v; want one voice", sent.Call, role, heard)
			continue
		}
		if b := heard[0].Blocks[0]; b.Stream != stream || b.First != 0 || int64(b.Distinct) != samples/160 || b.Duplicates+b.Missing > 0 {
			t.Errorf("call %s: %s heard %+v; want blocks 0 to %d of stream %d, once", sent.Call, role, b, samples/160-1, stream)
		}
	}
}

// TestFiftyCalls: the ledger and the emulator agree with the simulator about each
// block of each of fifty simultaneous calls of 30 s, through the real plugin.
func TestFiftyCalls(t *testing.T) {
	const calls, speed = 50, 1
	r := newRig(t, speed, nil)
	report := r.simulate(t, "twilio", "--calls", fmt.Sprint(calls), "--duration", "30s", "--speed", fmt.Sprint(speed), "--ramp", "500ms").report(true)
	if len(report.Calls) != calls {
		t.Fatalf("%d calls were made; want %d", len(report.Calls), calls)
	}
	for i, sent := range report.Calls {
		c, ok := r.calls.Find(sent.Call)
		if !ok {
			t.Fatalf("call %s is unknown", sent.Call)
		}
		ended(t, c)
		r.wantBlocks(t, c, sent, uint16(2*i))
	}
}

// TestKilledPlugin: kill -9 of the Twilio plugin in mid-call ends its legs with a
// reason, leaves the other plugin's alone, and the plugin is back.
func TestKilledPlugin(t *testing.T) {
	r := newRig(t, 1, nil)
	twilio := r.plugins[0]
	other := r.simulate(t, "minimal", "--duration", "8s", "--first", "100")
	doomed := r.simulate(t, "twilio", "--duration", "30s")
	speaking := func(name string) func(call.Info) bool {
		return func(i call.Info) bool {
			return i.Adapter == name && len(i.Tracks) == 2 && i.Tracks[0].Ledger.Received > 8000 && i.Tracks[1].Ledger.Received > 8000
		}
	}
	victim, survivor := r.await(t, "no call on twilio", speaking("twilio")), r.await(t, "no call on the other plugin", speaking("other"))

	pid := twilio.Status().PID
	killed := time.Now()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	within(t, 20*time.Second, "the plugin did not come back", func(ctx context.Context) error {
		for {
			changed := twilio.Changed()
			s := twilio.Status()
			if s.State == host.StateReady && s.PID != pid {
				return nil
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return fmt.Errorf("%+v: %w", s, ctx.Err())
			}
		}
	})
	back := time.Since(killed)
	t.Logf("the plugin was back after %v", back.Round(time.Millisecond))
	if back > 2*time.Second {
		t.Errorf("the plugin was back after %v; want 2 s at most", back)
	}
	doomed.report(false)

	reason := ""
	for _, e := range ended(t, victim) {
		if e.Kind == event.LegEnded {
			reason = e.State.Reason
		}
	}
	if reason != string(adapter.EndCrash) {
		t.Errorf("the leg of the killed plugin ended with %q; want %q", reason, adapter.EndCrash)
	}
	for _, tr := range victim.Info().Tracks {
		if err := tr.Ledger.Balanced(); err != nil || !tr.Ledger.Settled() {
			t.Errorf("track %s: %+v, %v; want it settled and in balance", tr.Track, tr.Ledger, err)
		}
	}

	again := r.simulate(t, "twilio", "--duration", "2s").report(true)
	c, ok := r.calls.Find(again.Calls[0].Call)
	if !ok {
		t.Fatal("the plugin that came back brought no call")
	}
	ended(t, c)
	r.wantBlocks(t, c, again.Calls[0], 0)

	sent := other.report(true)
	ended(t, survivor)
	r.wantBlocks(t, survivor, sent.Calls[0], 200)
}
