package emulator

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestAdmin drives the admin API over a socket, as another process does.
func TestAdmin(t *testing.T) {
	s, err := New(DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ln, err := ListenAdmin("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error)
	go func() { served <- s.ServeAdmin(ctx, ln) }()
	transport := &http.Transport{}
	client := &http.Client{Transport: transport}
	call := func(method, path, host, kind, body string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(ctx, method, "http://"+ln.Addr().String()+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		req.Header.Set("Content-Type", kind)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, strings.TrimSpace(string(b))
	}
	const plain, js = "text/plain", "application/json"
	for _, tt := range []struct {
		method, path, host, kind, body string
		code                           int
		want                           string
	}{
		{"GET", "/faults", "", plain, "", 200, "[]"},
		{"POST", "/faults", "", js, `{"seed": 7, "faults": ["down,for=5s", "drop-final,chance=0.5"]}`, 200, `{"ids":[1,2]}`},
		{"GET", "/faults", "localhost:80", plain, "", 200, `[{"id":1,"fault":"down,for=5s","struck":1},{"id":2,"fault":"drop-final,chance=0.5","struck":0}]`},
		{"GET", "/account", "[::1]", plain, "", 200, `{"conversations":[],"faults":{"down":1}}`},
		{"POST", "/faults", "", plain, `{}`, 415, "application/json"},
		{"POST", "/faults", "", js, `{"faults": ["fly"]}`, 400, `there is no fault`},
		{"POST", "/faults", "", js, `{"faults": [null]}`, 400, `there is no fault`},
		{"POST", "/faults", "", js, `{"faults": [{"Kind":"cut"}]}`, 400, `no plan`},
		{"POST", "/faults", "", js, `{"fault": []}`, 400, `unknown field`},
		{"POST", "/faults", "", js, `{} {}`, 400, `more than one`},
		{"POST", "/faults", "", js, `{"faults": [` + strings.Repeat(`"cut",`, 2000) + `"cut"]}`, 400, "at most 1000"},
		{"POST", "/faults", "", js, `{"faults": ["` + strings.Repeat(" ", maxPlanBytes) + `"]}`, 400, "too large"},
		{"GET", "/faults", "evil.example", plain, "", 403, "loopback"},
		{"DELETE", "/faults/2", "", plain, "", 200, `{"withdrawn":1}`},
		{"DELETE", "/faults/2", "", plain, "", 404, "there is no fault"},
		{"DELETE", "/faults/x", "", plain, "", 404, "there is no fault"},
		{"DELETE", "/faults", "", plain, "", 200, `{"withdrawn":1}`},
		{"PUT", "/faults", "", plain, "", 405, ""},
	} {
		code, body := call(tt.method, tt.path, tt.host, tt.kind, tt.body)
		if code != tt.code || !strings.Contains(body, tt.want) || code == 200 && body != tt.want {
			t.Errorf("%s %s %.60s = %d %s; want %d %s", tt.method, tt.path, tt.body, code, body, tt.code, tt.want)
		}
	}
	if _, err := s.faults.unavailable(); err != nil {
		t.Errorf("after all faults are withdrawn: %v", err)
	}
	cancel()
	if err := <-served; err != nil {
		t.Errorf("ServeAdmin = %v after its context ended; want nil", err)
	}
	transport.CloseIdleConnections()

	for _, address := range []string{"0.0.0.0:0", ":0", "192.0.2.1:80", "nowhere"} {
		if ln, err := ListenAdmin(address); err == nil {
			t.Errorf("ListenAdmin(%q) listens on %v", address, ln.Addr())
			_ = ln.Close()
		}
	}
}

// TestOrderJSON: what GET /faults gives can be read back.
func TestOrderJSON(t *testing.T) {
	want := Order{ID: 3, Fault: orders(t, "stuck@close,for=3s").Faults[0], Struck: 1}
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got Order
	if err := json.Unmarshal(b, &got); err != nil || got != want {
		t.Errorf("%s is read as %+v, %v", b, got, err)
	}
}
