package native

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/patchbay/patchbay/core/media/probe"
)

// Google's published Python client streams over more than three stream limits as Go's does.
func TestGooglesPythonClient(t *testing.T) {
	python := findPython(t, "import google.cloud.dialogflow_v2beta1")
	var audio []byte
	var n uint32
	for i := range 130 * 50 {
		if i%250 < 200 {
			audio = probe.AppendBlock(audio, 1, n)
			n++
		} else {
			audio = append(audio, silent[:]...)
		}
	}
	path := filepath.Join(t.TempDir(), "audio.ulaw")
	if err := os.WriteFile(path, audio, 0o600); err != nil {
		t.Fatal(err)
	}
	r, address := newSeam(t)
	cmd := exec.CommandContext(t.Context(), python, "testdata/dialogflow_client.py", address, testToken, path, fmt.Sprint(0.1/seamSpeed))
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	var trouble strings.Builder
	cmd.Stderr = &trouble
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, trouble.String())
	}
	if got := words(t, strings.Split(string(out), "\n")); got != n {
		t.Errorf("the finals hold %d blocks; want %d", got, n)
	}
	r.settled()
	if n := r.calls.Calls()[0].Info().Session.Tracks[0].Streams; n < 4 {
		t.Errorf("Agent Assist had %d streams; want more than three", n)
	}
}

// findPython returns a Python that can import what a test needs: PATCHBAY_PYTHON, or the
// first of the usual ones. Without one the test is skipped, or fails where everything must
// be there.
func findPython(t *testing.T, imports string) string {
	t.Helper()
	for _, python := range []string{os.Getenv("PATCHBAY_PYTHON"), "python3", filepath.FromSlash("/usr/bin/python3")} {
		if python != "" && exec.CommandContext(t.Context(), python, "-c", imports).Run() == nil {
			return python
		}
	}
	what := "no Python here can " + imports + "; pip install google-cloud-dialogflow, and name it in PATCHBAY_PYTHON"
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip(what)
	return ""
}
