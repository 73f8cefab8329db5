package main

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// patchbay runs the real program with its plugins beside it.
func patchbay(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(binaries, "patchbay"+exeSuffix), args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.Env = []string{"NO_COLOR=1", "PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "TMPDIR=" + t.TempDir()}
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return out.String(), errs.String(), exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), 0
}

func TestDemo(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"English", nil, 0, []string{"How can I help you today?", "↳ article", "↳ FAQ", "↳ reply", "agree", "final transcript"}},
		{"Spanish", []string{"--lang", "es"}, 0, []string{"¿En qué puedo ayudarle?", "↳ FAQ", "agree"}},
		{"a chunk is lost on purpose", []string{"--drop-chunk", "500"}, 1, []string{"DIFFER", " agree\n", "lost or doubled"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			out, errs, code := patchbay(t, append([]string{"demo", "--fast"}, tt.args...)...)
			if code != tt.code {
				t.Errorf("exit code %d; want %d", code, tt.code)
			}
			for _, want := range tt.want {
				if !strings.Contains(out, want) {
					t.Errorf("no %q", want)
				}
			}
			if t.Failed() {
				t.Logf("it printed\n%s\n%s", out, errs)
			}
		})
	}
}

// A demo that is interrupted says so, and nothing of what broke on the way.
func TestDemoInterrupted(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), filepath.Join(binaries, "patchbay"+exeSuffix), "demo")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for scanner := bufio.NewScanner(out); scanner.Scan(); {
		lines = append(lines, scanner.Text())
		if strings.Contains(scanner.Text(), "track inbound") {
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Error(err)
			}
		}
	}
	err = cmd.Wait()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() != exitFailure || errs.Len() > 0 || len(lines) == 0 || !strings.Contains(lines[len(lines)-1], "Stopped before the end") {
		t.Fatalf("ended with %v, stderr %q, stdout\n%s", err, &errs, strings.Join(lines, "\n"))
	}
	if !strings.Contains(lines[0], "starting emulator") {
		t.Errorf("the first line is %q; want what is being started", lines[0])
	}
}

func TestCommandLines(t *testing.T) {
	good := filepath.Join(t.TempDir(), "good.yml")
	bad := filepath.Join(t.TempDir(), "bad.yml")
	const rest = `
google: {project: p, location: global}
adapters:
  - {name: a, plugin: minimal, listen: {audio: "127.0.0.1:0"}, settings: {accounts: [{name: x, token: "file:token"}]}}
routes: [{match: {}, profile: demo}]
`
	for path, text := range map[string]string{
		good: rest, bad: rest + "limit: {}\n",
		filepath.Join(filepath.Dir(good), "token"): "a-token-long-enough", filepath.Join(filepath.Dir(bad), "token"): "a-token-long-enough",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		args   string
		code   int
		stdout string
		stderr string
	}{
		{"version", 0, "patchbay dev", ""},
		{"", 0, "patchbay demo", ""},
		{"run --help", 0, "--check", ""},
		{"plugins list", 0, "twilio", ""},
		{"plugins list --json", 0, `"settings_schema"`, ""},
		{"plugins list --dir /nowhere", 1, "", "no plugins in /nowhere"},
		{"simulate minimal --calls 0", 2, "", "simulate takes"},
		{"simulate", 2, "", "name an adapter"},
		{"simulate nobody", 1, "", `there is no plugin "nobody"`},
		{"demo --lang xx", 2, "", `there is no "xx"; there are en, es`},
		{"demo now", 2, "", "unknown command"},
		{"fly", 2, "", "unknown command"},
		{"run --fast", 2, "", "unknown flag"},
		{"run --live", 2, "", "--live goes with --check"},
		{"run --check", 2, "", "needs a file"},
		{"run -c /nowhere.yml", 1, "", "/nowhere.yml"},
		{"run --check -c " + good, 0, "routes[0]: profile demo, transport extended: ", ""},
		{"run --check -c " + bad, 1, "", "limit: unknown"},
		{"emulator --listen nowhere", 1, "", "emulator: listen"},
		{"emulator --off nonsense", 1, "", `no rule "nonsense"`},
	} {
		t.Run(tt.args, func(t *testing.T) {
			t.Parallel()
			out, errs, code := patchbay(t, strings.Fields(tt.args)...)
			if code != tt.code || !strings.Contains(out, tt.stdout) || !strings.Contains(errs, tt.stderr) {
				t.Errorf("exit code %d, stdout %q, stderr %q; want %d, %q, %q", code, out, errs, tt.code, tt.stdout, tt.stderr)
			}
		})
	}
}

// TestServing starts what serves until it is interrupted.
func TestServing(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		line string // on standard output, when it serves
	}{
		{"emulator", []string{"emulator", "--listen", "127.0.0.1:0"}, "listening on 127.0.0.1:"},
		{"run without a file", []string{"run"}, "simulate twilio --stream"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), filepath.Join(binaries, "patchbay"+exeSuffix), tt.args...)
			var errs bytes.Buffer
			cmd.Stderr = &errs
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			found := false
			for lines := bufio.NewScanner(out); !found && lines.Scan(); {
				found = strings.Contains(lines.Text(), tt.line)
			}
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Error(err)
			}
			if err := cmd.Wait(); err != nil || !found {
				t.Errorf("served: %v, ended with %v\n%s", found, err, &errs)
			}
		})
	}
}
