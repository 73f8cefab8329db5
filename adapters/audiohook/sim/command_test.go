package sim

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCommandLine(t *testing.T) {
	t.Setenv("KEY", "an-api-key")
	t.Setenv("SECRET", "c2VjcmV0LXNlY3JldC1zZWNyZXQ=")
	t.Setenv("BAD", "not base64!")
	elsewhere := httptest.NewServer(http.NotFoundHandler())
	defer elsewhere.Close()
	url := "ws" + strings.TrimPrefix(elsewhere.URL, "http") + "/audiohook"
	for _, tc := range []struct {
		name string
		args []string
		code int
		want string // on stderr or stdout
	}{
		{"help", []string{"--help"}, 0, "--client-secret"},
		{"nothing", nil, 2, "no connection URI"},
		{"no key", []string{"--url", url}, 2, "no API key"},
		{"a key on the command line", []string{"--url", url, "--api-key", "visible"}, 2, "env:NAME"},
		{"no base64", []string{"--url", url, "--api-key", "env:KEY", "--client-secret", "env:BAD"}, 2, "base64"},
		{"half a block", []string{"--url", url, "--api-key", "env:KEY", "--chunk", "30ms"}, 2, "whole blocks"},
		{"another channel", []string{"--url", url, "--api-key", "env:KEY", "--mono", "left"}, 2, "--mono"},
		{"a stray word", []string{"now"}, 2, "unexpected"},
		{"a server that is none", []string{"--url", url, "--api-key", "env:KEY", "--client-secret", "env:SECRET", "--json"}, 1, "HTTP 404"},
		{"no URL", []string{"--url", "voice.example.com", "--api-key", "env:KEY"}, 1, "no connection URI like"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := Main(t.Context(), tc.args, &stdout, &stderr)
			if code != tc.code || !strings.Contains(stdout.String()+stderr.String(), tc.want) {
				t.Errorf("Main(%q) = %d, %s%s; want %d with %q", tc.args, code, &stdout, &stderr, tc.code, tc.want)
			}
			if strings.Contains(stdout.String()+stderr.String(), "an-api-key") {
				t.Error("the key is shown")
			}
		})
	}
}
