package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestFaultFlags(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.yml")
	if err := os.WriteFile(bad, []byte("faults: [fly]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args   string
		code   int
		stderr string
	}{
		{"--fault fly", 2, `there is no fault "fly"`},
		{"--fault down", 2, "say how long"},
		{"--faults /nowhere.yml", 1, "/nowhere.yml"},
		{"--faults " + bad, 1, "bad.yml: emulator: "},
		{"--admin 0.0.0.0:0", 1, "loopback alone"},
		{"--seed x", 2, "seed"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			t.Parallel()
			_, errs, code := patchbay(t, strings.Fields("emulator --listen 127.0.0.1:0 "+tt.args)...)
			if code != tt.code || !strings.Contains(errs, tt.stderr) {
				t.Errorf("exit code %d, stderr %q; want %d, %q", code, errs, tt.code, tt.stderr)
			}
		})
	}
}

// TestFaultAdmin orders faults of an emulator in another process, in all three ways.
func TestFaultAdmin(t *testing.T) {
	file := filepath.Join(t.TempDir(), "plan.yml")
	if err := os.WriteFile(file, []byte("seed: 7\nfaults: [cut@5s-40s]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(binaries, "patchbay"+exeSuffix), "emulator",
		"--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--faults", file, "--fault", "drop-final,chance=0.5")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	url := ""
	for lines := bufio.NewScanner(out); lines.Scan() && !strings.HasPrefix(lines.Text(), "listening on "); {
		url = strings.TrimPrefix(lines.Text(), "admin API on ")
	}
	call := func(method, path, body string) string {
		t.Helper()
		req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), method, url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(b))
	}
	if got := call("POST", "/faults", `{"faults": ["down,for=5s"]}`); got != `{"ids":[3]}` {
		t.Errorf("POST /faults = %s", got)
	}
	want := `[{"id":1,"fault":"cut@5s-40s","struck":0},{"id":2,"fault":"drop-final,chance=0.5","struck":0},{"id":3,"fault":"down,for=5s","struck":1}]`
	if got := call("GET", "/faults", ""); got != want {
		t.Errorf("GET /faults = %s; want %s", got, want)
	}
	if got := call("GET", "/account", ""); got != `{"conversations":[],"faults":{"down":1}}` {
		t.Errorf("GET /account = %s", got)
	}
	http.DefaultClient.CloseIdleConnections()
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v\n%s", err, &errs)
	}
}
