package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// script is a server that says what it is told to, whatever the client wants: one list
// of messages for each message of the client's.
func script(t *testing.T, answers ...[]string) string {
	t.Helper()
	var up websocket.Upgrader
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		for seq := 1; ; {
			_, b, err := conn.ReadMessage()
			if err != nil {
				return
			}
			var m message
			_ = json.Unmarshal(b, &m)
			if len(answers) == 0 {
				continue
			}
			for _, answer := range answers[0] {
				answer = strings.NewReplacer("SEQ", fmt.Sprint(seq), "ID", m.ID, "CLIENT", fmt.Sprint(m.Seq)).Replace(answer)
				kind := websocket.TextMessage
				if answer == "binary" {
					kind = websocket.BinaryMessage
				}
				if conn.WriteMessage(kind, []byte(answer)) != nil {
					return
				}
				seq++
			}
			answers = answers[1:]
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func say(kind, parameters string) string {
	return `{"version":"2","type":"` + kind + `","id":"ID","seq":SEQ,"clientseq":CLIENT,"parameters":` + parameters + `}`
}

// TestStrict: a server that bends the protocol fails the session, and for that reason.
func TestStrict(t *testing.T) {
	opened := say("opened", `{"media":[{"type":"audio","format":"PCMU","channels":["external","internal"],"rate":8000}]}`)
	for name, tc := range map[string]struct {
		answers []string // to open
		code    int
	}{
		"no JSON":                 {[]string{"hello"}, 400},
		"binary":                  {[]string{"binary"}, 415},
		"another version":         {[]string{strings.Replace(opened, `"version":"2"`, `"version":"1"`, 1)}, 400},
		"another session":         {[]string{strings.Replace(opened, `"id":"ID"`, `"id":"x"`, 1)}, 400},
		"a gap":                   {[]string{strings.Replace(opened, `"seq":SEQ`, `"seq":2`, 1)}, 400},
		"a clientseq ahead":       {[]string{strings.Replace(opened, "CLIENT", "7", 1)}, 400},
		"two media":               {[]string{say("opened", `{"media":[{},{}]}`)}, 400},
		"a medium nobody offered": {[]string{strings.Replace(opened, "PCMU", "OPUS", 1)}, 400},
		"closed before close":     {[]string{say("closed", `{}`)}, 409},
		"a pong for nothing":      {[]string{say("pong", `{}`)}, 409},
		"no entities":             {[]string{say("event", `{"entities":[]}`)}, 400},
		"half an entity":          {[]string{say("event", `{"entities":[{"type":"transcript"}]}`)}, 400},
		"an unknown message":      {[]string{say("sing", `{}`)}, 400},
		"an unknown goodbye":      {[]string{say("disconnect", `{"reason":"tired"}`)}, 400},
		"no answer":               {nil, 408},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(t.Context(), SessionOptions{URL: "wss://x.example/audiohook", Connect: script(t, tc.answers), APIKey: "k",
				OpenTimeout: 200 * time.Millisecond, CloseTimeout: 100 * time.Millisecond})
			if e, ok := errors.AsType[*Error](err); !ok || e.Code != tc.code {
				t.Errorf("Open = %v; want error %d", err, tc.code)
			}
		})
	}
}

// TestNoPong: a server that does not answer pings is given up, with error 408.
func TestNoPong(t *testing.T) {
	opened := say("opened", `{"media":[]}`)
	s, err := Open(t.Context(), SessionOptions{URL: "wss://x.example/audiohook", Connect: script(t, []string{opened}), APIKey: "k",
		FirstPing: 10 * time.Millisecond, PingInterval: 20 * time.Millisecond, CloseTimeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Vanish()
	<-s.Ended()
	if e, ok := errors.AsType[*Error](s.Err()); !ok || e.Code != 408 {
		t.Errorf("the session ended with %v; want error 408", s.Err())
	}
}

// TestNoClosed: nor does the client wait for closed for ever.
func TestNoClosed(t *testing.T) {
	url := script(t, []string{say("opened", `{"media":[]}`)})
	s, err := Open(t.Context(), SessionOptions{URL: "wss://x.example/audiohook", Connect: url, APIKey: "k", CloseTimeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if e, ok := errors.AsType[*Error](s.Close(t.Context(), "end")); !ok || e.Code != 408 {
		t.Errorf("the session ended with %v; want error 408", s.Err())
	}
}

// TestDisconnect: the client closes when it is told to, and waits for closed.
func TestDisconnect(t *testing.T) {
	url := script(t, []string{say("disconnect", `{"reason":"completed","info":"enough"}`)}, []string{say("closed", `{}`)})
	_, err := Open(t.Context(), SessionOptions{URL: "wss://x.example/audiohook", Connect: url, APIKey: "k"})
	if e, ok := errors.AsType[*Error](err); !ok || e.Reason != "completed" || e.Text != "enough" {
		t.Errorf("Open = %v; want the server's disconnect", err)
	}
}
