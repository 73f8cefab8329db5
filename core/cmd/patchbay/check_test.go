package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/patchbay/patchbay/core/assist"
)

// emulatorProcess runs the emulator as users do, and returns its address.
func emulatorProcess(t *testing.T) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(binaries, "patchbay"+exeSuffix), "emulator", "--listen", "127.0.0.1:0")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() }) // killed with the test's context
	lines := bufio.NewScanner(out)
	if lines.Scan() {
		if addr, ok := strings.CutPrefix(lines.Text(), "listening on "); ok {
			return addr
		}
	}
	t.Fatalf("the emulator said %q; want its address", lines.Text())
	return ""
}

func TestCheckLive(t *testing.T) {
	addr := emulatorProcess(t)
	t.Run("rows", func(t *testing.T) { // all end before the emulator does
		for _, tt := range []struct {
			name                        string
			project, location, endpoint string
			profile                     string
			code                        int
			want                        []string
		}{
			{"good", "local", "global", addr, "demo", 0, []string{"ok    profile: demo", "ok    stream of the end user: ", "ok    completion", "All is in order"}},
			{"unknown profile", "local", "global", addr, "nope", 1, []string{"FAIL  profile: NOT_FOUND", `→ check routes[].profile = "nope"`, "Not in order"}},
			{"unknown project", "other", "global", addr, "demo", 1, []string{"FAIL  profile: PERMISSION_DENIED", "→ grant roles/dialogflow.agentAssistClient in project other"}},
			{"another location", "local", "europe-west1", addr, "demo", 1, []string{"FAIL  profile: INVALID_ARGUMENT", `google.location = "europe-west1"`}},
			{"nobody there", "local", "global", "127.0.0.1:1", "demo", 1, []string{"127.0.0.1:1, without TLS", "FAIL  profile: UNAVAILABLE", "→ "}},
		} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				folder := t.TempDir()
				text := fmt.Sprintf(`
google: {project: %s, location: %s, endpoint: "%s", insecure: true}
adapters:
  - {name: a, plugin: minimal, listen: {audio: "127.0.0.1:0"}, settings: {accounts: [{name: x, token: "file:token"}]}}
routes: [{match: {}, profile: %s}]
`, tt.project, tt.location, tt.endpoint, tt.profile)
				file := filepath.Join(folder, "patchbay.yml")
				for path, content := range map[string]string{file: text, filepath.Join(folder, "token"): minimalToken} {
					if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				out, errs, code := patchbay(t, "run", "-c", file, "--check", "--live")
				if code != tt.code || errs != "" {
					t.Errorf("exit code %d, stderr %q; want %d and nothing", code, errs, tt.code)
				}
				for _, want := range tt.want {
					if !strings.Contains(out, want) {
						t.Errorf("no %q in\n%s", want, out)
					}
				}
			})
		}
	})
}

func TestServiceOf(t *testing.T) {
	for want, g := range map[string]assist.Google{
		"Google":                             {Project: "p"},
		"private.example.com:443":            {Endpoint: "private.example.com:443"},
		"h:1, without TLS: a local emulator": {Endpoint: "h:1", Insecure: true},
	} {
		if got := serviceOf(g); got != want {
			t.Errorf("serviceOf(%+v) = %q; want %q", g, got, want)
		}
	}
}
