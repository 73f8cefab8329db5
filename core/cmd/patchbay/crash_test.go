package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/patchbay/patchbay/core/api"
	"github.com/patchbay/patchbay/core/call"
	"github.com/patchbay/patchbay/core/emulator"
	"github.com/patchbay/patchbay/core/emulator/hear"
	"github.com/patchbay/patchbay/core/event"
	"github.com/patchbay/patchbay/core/tape/spool"
)

// hostProcess is `patchbay run` as its users start it.
type hostProcess struct {
	cmd  *exec.Cmd
	api  string
	logs *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func startHost(t *testing.T, file string) *hostProcess {
	t.Helper()
	h := &hostProcess{cmd: exec.CommandContext(t.Context(), filepath.Join(binaries, "patchbay"+exeSuffix), "run", "-c", file), logs: &lockedBuffer{}}
	h.cmd.Env = []string{"TOKEN=" + twilioToken, "SECRET=" + twilioSecret, "TMPDIR=" + os.TempDir()}
	errs, err := h.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan string, 1)
	go func() { // ends with the process
		for lines := bufio.NewScanner(errs); lines.Scan(); {
			_, _ = fmt.Fprintln(h.logs, lines.Text())
			var line struct{ Msg, API string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "ready" {
				ready <- line.API
			}
		}
		close(ready)
	}()
	within(t, 20*time.Second, "the host is not ready", func(ctx context.Context) error {
		select {
		case addr, ok := <-ready:
			if !ok {
				return fmt.Errorf("it ended:\n%s", h.logs)
			}
			h.api = "http://" + addr
			return nil
		case <-ctx.Done():
			return fmt.Errorf("%w:\n%s", ctx.Err(), h.logs)
		}
	})
	return h
}

// get reads an answer of the host's API.
func (h *hostProcess) get(t *testing.T, path string, into any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.api+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if err := json.NewDecoder(answer.Body).Decode(into); err != nil {
		t.Fatalf("GET %s: %s, %v", path, answer.Status, err)
	}
}

// until asks again and again whether something is so.
func until(t *testing.T, limit time.Duration, what string, so func() bool) {
	t.Helper()
	within(t, limit, what, func(ctx context.Context) error {
		for tick := time.NewTicker(20 * time.Millisecond); ; {
			if so() {
				tick.Stop()
				return nil
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
}

// left is what a killed host wrote of a call, by role.
type left struct {
	blocks  map[string]uint32
	settled map[string]uint32
}

// readSpool returns what a copy of a spool folder has, by call key.
func readSpool(t *testing.T, dir, keyFile string) map[string]*left {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	key, err := spool.KeyFile(keyFile, copied)
	if err != nil {
		t.Fatal(err)
	}
	s, err := spool.Open(spool.Config{Dir: copied, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Run(ended); err != nil {
			t.Error(err)
		}
	}()
	byID, byKey := map[string]*left{}, map[string]*left{}
	for _, j := range s.Journals() {
		var head struct{ ID, Key string }
		if err := json.Unmarshal(j.Head, &head); err != nil {
			t.Fatal(err)
		}
		l := &left{map[string]uint32{}, map[string]uint32{}}
		byID[head.ID], byKey[head.Key] = l, l
		for _, record := range j.Records {
			var e event.Event
			if err := json.Unmarshal(record, &e); err != nil {
				t.Fatal(err)
			}
			if e.Kind == event.TranscriptFinal {
				l.settled[e.Track.Role] = max(l.settled[e.Track.Role], uint32(e.Transcript.EndPos/160))
			}
		}
	}
	for _, r := range s.Recovered() {
		var head struct {
			Call string
			Ref  event.TrackRef
		}
		if err := json.Unmarshal(r.Meta, &head); err != nil {
			t.Fatal(err)
		}
		if l := byID[head.Call]; l != nil {
			l.blocks[head.Ref.Role] = uint32(r.End / 160)
		}
	}
	return byKey
}

// heardOf returns how often each block was heard of a role in a conversation.
func heardOf(t *testing.T, e *localEmulator, conversation, role string) map[uint32]int {
	t.Helper()
	account, ok := e.Account().Conversation(conversation)
	if !ok {
		t.Fatalf("the emulator knows no conversation %s", conversation)
	}
	out := map[uint32]int{}
	for _, p := range account.Role(strings.ToUpper(role)) {
		for b, n := range e.Blocks(p.Name) {
			out[b.N] += n
		}
	}
	return out
}

// TestKilledHost: kill -9 of the host in mid-call, while Agent Assist is down. Its
// successor sends what was written and not settled, and nothing that was settled,
// asks the vendor for the audio, and completes the conversations.
func TestKilledHost(t *testing.T) {
	const calls = 3
	ec := emulator.DefaultConfig()
	ec.Quotas, ec.Recognizer = false, hear.Coded{}
	em, err := startEmulator(ec, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := em.stop(); err != nil {
			t.Error(err)
		}
	}()
	var mu sync.Mutex
	asked := map[string]int{} // by Call SID
	twilio := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked[strings.Split(r.URL.Path, "/")[5]]++
		w.WriteHeader(http.StatusNotFound)
		_, _ = fmt.Fprint(w, `{"code": 20404, "message": "The call is over", "status": 404}`)
	}))
	defer twilio.Close()

	dir := t.TempDir()
	spoolDir, file := filepath.Join(dir, "spool"), filepath.Join(dir, "patchbay.yml")
	text := fmt.Sprintf(`
api: {listen: "127.0.0.1:0"}
google: {project: local, location: global, endpoint: "%s", insecure: true, quotas: {stream_starts: -1}}
plugin_dir: %s
adapters:
  - name: twilio
    plugin: twilio
    listen: {http: "127.0.0.1:0"}
    settings:
      public_url: http://localhost/twilio
      api_url: %s
      accounts: [{sid: %s, auth_token: "env:TOKEN", stream_secrets: ["env:SECRET"]}]
routes:
  - {match: {}, profile: demo, reattach: true}
spool: {dir: %s}
limits: {reattach_grace: 3s}
`, em.addr, binaries, twilio.URL, localAccount, spoolDir)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}

	first := startHost(t, file)
	var adapters struct{ Adapters []api.AdapterStatus }
	first.get(t, "/v1/adapters", &adapters)
	sim := exec.CommandContext(t.Context(), filepath.Join(binaries, pluginPrefix+"twilio"+exeSuffix), "simulate", "--stream", "ws://localhost/twilio/stream",
		"--connect", "http://"+adapters.Adapters[0].Listeners["http"], "--account", localAccount, "--auth-token", "env:TOKEN", "--secret", "env:SECRET",
		"--calls", fmt.Sprint(calls), "--duration", "10m")
	sim.Env = []string{"TOKEN=" + twilioToken, "SECRET=" + twilioSecret}
	if err := sim.Start(); err != nil {
		t.Fatal(err)
	}
	all := func(enough func(call.Info) bool) func() bool {
		return func() bool {
			var list struct{ Calls []call.Summary }
			first.get(t, "/v1/calls", &list)
			n := 0
			for _, s := range list.Calls {
				var info call.Info
				first.get(t, "/v1/calls/"+s.ID, &info)
				if len(info.Tracks) == 2 && enough(info) {
					n++
				}
			}
			return n == calls
		}
	}
	until(t, 30*time.Second, "the calls are not recognised", all(func(i call.Info) bool {
		return i.Tracks[0].Ledger.Recognised > 3*8000 && i.Tracks[1].Ledger.Recognised > 3*8000
	}))
	if _, err := em.Inject(emulator.Plan{Faults: []emulator.Fault{{Kind: emulator.FaultDown, For: 10 * time.Second}}}); err != nil {
		t.Fatal(err)
	}
	until(t, 30*time.Second, "no audio waits", all(func(i call.Info) bool {
		return i.Tracks[0].Ledger.Pending > 3*8000 && i.Tracks[1].Ledger.Pending > 3*8000
	}))
	if err := first.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.cmd.Wait() // killed
	_ = sim.Wait()       // its calls broke
	written := readSpool(t, spoolDir, spoolDir+".key")
	if len(written) != calls {
		t.Fatalf("the spool has %d calls; want %d", len(written), calls)
	}
	before := map[string]map[uint32]int{}
	for key := range written {
		for _, role := range []string{"end_user", "human_agent"} {
			before[key+role] = heardOf(t, em, key, role)
		}
	}

	second := startHost(t, file)
	until(t, time.Minute, "the conversations are not completed", func() bool {
		n := 0
		for _, c := range em.Account().Conversations {
			if c.Completed {
				n++
			}
		}
		return n == calls
	})
	for key, l := range written {
		for _, role := range []string{"end_user", "human_agent"} {
			blocks, settled, was, is := l.blocks[role], l.settled[role], before[key+role], heardOf(t, em, key, role)
			if blocks < settled+100 || settled < 100 {
				t.Errorf("call %s, %s: %d blocks written, %d settled; the test wants 100 of each kind at least", key, role, blocks, settled)
			}
			for b := range blocks {
				if is[b] == 0 {
					t.Errorf("call %s, %s: block %d was written and is not heard", key, role, b)
				}
				if b < settled && is[b] != was[b] {
					t.Errorf("call %s, %s: block %d was settled and is sent again", key, role, b)
				}
			}
		}
		mu.Lock()
		if asked[key] != 1 {
			t.Errorf("Twilio was asked %d times for call %s; want once", asked[key], key)
		}
		mu.Unlock()
	}
	until(t, 20*time.Second, "the spool is not empty", func() bool {
		names, err := filepath.Glob(filepath.Join(spoolDir, "*.*"))
		return err == nil && len(names) == 0
	})
	if err := second.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := second.cmd.Wait(); err != nil {
		t.Errorf("the second host ended with %v", err)
	}
	if t.Failed() {
		t.Logf("the first host said\n%s\nthe second\n%s", first.logs, second.logs)
	}
}

// TestRestartedHost: a host that is stopped and started again in mid-call goes on with
// the call of a vendor that comes back, in the same conversation, and no block is lost
// or doubled.
func TestRestartedHost(t *testing.T) {
	ec := emulator.DefaultConfig()
	ec.Quotas, ec.Recognizer = false, hear.Coded{}
	em, err := startEmulator(ec, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := em.stop(); err != nil {
			t.Error(err)
		}
	}()
	dir, addr := t.TempDir(), freeAddress("127.0.0.1:0") // the vendor comes back to where it was
	file := filepath.Join(dir, "patchbay.yml")
	text := fmt.Sprintf(`
api: {listen: "127.0.0.1:0"}
google: {project: local, location: global, endpoint: "%s", insecure: true}
plugin_dir: %s
adapters:
  - name: five9
    plugin: five9
    listen: {grpc: "%s"}
    settings: {subscriptions: [{name: main, domain: "131096", trust_tokens: ["env:TOKEN"]}]}
routes:
  - {match: {}, profile: demo, reattach: true}
spool: {dir: %s}
`, em.addr, binaries, addr, filepath.Join(dir, "spool"))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	first := startHost(t, file)
	sim := exec.CommandContext(t.Context(), filepath.Join(binaries, pluginPrefix+"five9"+exeSuffix), "simulate", "--target", addr,
		"--token", "env:TOKEN", "--call", "77", "--duration", "15s", "--reconnect")
	sim.Env = []string{"TOKEN=" + twilioToken}
	if err := sim.Start(); err != nil {
		t.Fatal(err)
	}
	heard := func(role string) emulator.BlockAccount {
		c, _ := em.Account().Conversation("five9-0000000077")
		for _, p := range c.Role(role) {
			if len(p.Blocks) == 1 {
				return p.Blocks[0]
			}
		}
		return emulator.BlockAccount{}
	}
	until(t, 30*time.Second, "nothing is heard", func() bool {
		return heard("END_USER").Distinct > 200 && heard("HUMAN_AGENT").Distinct > 200
	})
	if err := first.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := first.cmd.Wait(); err != nil {
		t.Errorf("the first host ended with %v", err)
	}
	second := startHost(t, file)
	if err := sim.Wait(); err != nil {
		t.Errorf("the simulator: %v", err)
	}
	until(t, 30*time.Second, "the conversation is not completed", func() bool {
		c, _ := em.Account().Conversation("five9-0000000077")
		return c.Completed
	})
	for _, role := range []string{"END_USER", "HUMAN_AGENT"} {
		if b := heard(role); b.Distinct != 750 || b.Duplicates+b.Missing > 0 {
			t.Errorf("%s heard %+v; want 750 blocks, once", role, b)
		}
	}
	if n := len(em.Account().Conversations); n != 1 {
		t.Errorf("%d conversations; want 1", n)
	}
	if err := second.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := second.cmd.Wait(); err != nil {
		t.Errorf("the second host ended with %v", err)
	}
	if t.Failed() {
		t.Logf("the first host said\n%s\nthe second\n%s", first.logs, second.logs)
	}
}
