package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/patchbay/patchbay/core/event"
)

// A stream that breaks is resumed where it broke: nothing twice, nothing missing.
func TestStreamResumes(t *testing.T) {
	h := newHost(t)
	p := h.dial("CA1")
	path := "/v1/calls/CA1/events"

	first, resp := h.follow(path, "")
	var seen []uint64
	last := ""
	for last == "" {
		m, err := first.Next()
		if err != nil {
			t.Fatalf("the stream ended with the call alive: %v", err)
		}
		var e event.Event
		if err := json.Unmarshal(m.Data, &e); err != nil {
			t.Fatal(err)
		}
		if m.ID != strconv.FormatUint(e.Seq, 10) || m.Event != string(e.Kind) || e.Call != p.call.ID() {
			t.Fatalf("message %+v does not fit its event", m)
		}
		seen = append(seen, e.Seq)
		if e.Kind == event.ConversationReady {
			last = m.ID
		}
	}
	resp.Body.Close()

	p.say("inbound", "amber", "basil", "cedar")
	p.waitKind(event.SuggestionOffered)
	p.hangUp()
	second, _ := h.follow(path, last)
	ended := false
	for {
		m, err := second.Next()
		if err != nil {
			break
		}
		if ended {
			t.Errorf("message %+v after the end", m)
		}
		if ended = m.Event == EndEvent; ended {
			continue
		}
		seq, err := strconv.ParseUint(m.ID, 10, 64)
		if err != nil || seq <= seen[len(seen)-1] {
			t.Errorf("message %+v after seq %d", m, seen[len(seen)-1])
		}
		seen = append(seen, seq)
	}
	if !ended {
		t.Error("the stream ended without an end event")
	}
	// What is in the log for good was seen; interims may have come and gone.
	all := map[uint64]bool{}
	for _, seq := range seen {
		all[seq] = true
	}
	for _, e := range p.call.Events().Since(0, 0) {
		if all[e.Seq] == e.Kind.Debug() { // nobody asked for those
			t.Errorf("event %d (%s) was sent: %v", e.Seq, e.Kind, all[e.Seq])
		}
	}

	// A browser that comes back after the end is told to stay away; one that begins
	// anew sees everything, and after= skips.
	r := h.request(http.MethodGet, path, "")
	r.Header.Set("Last-Event-ID", strconv.FormatUint(p.call.Events().LastSeq(), 10))
	if resp, _ := h.do(r); resp.StatusCode != http.StatusNoContent {
		t.Errorf("resume after the end = %s; want 204", resp.Status)
	}
	skipping, _ := h.follow(path+"?after="+strconv.FormatUint(p.call.Events().LastSeq()-1, 10), "")
	if m, err := skipping.Next(); err != nil || m.Event != string(event.CallEnded) {
		t.Errorf("first message with after = %+v, %v; want the last event", m, err)
	}
}

func TestEventList(t *testing.T) {
	h := newHost(t)
	p := h.dial("CA1")
	p.waitKind(event.ConversationReady)
	var page EventList
	h.get("/v1/calls/CA1/events.json?limit=2", &page)
	if len(page.Events) != 2 || page.Next != page.Events[1].Seq || page.Complete {
		t.Fatalf("first page = %s; want two events of more", pretty(page))
	}
	p.hangUp()
	p.waitKind(event.CallEnded)
	for n := 0; !page.Complete; n++ {
		next := page.Next
		h.get("/v1/calls/CA1/events.json?limit=2&after="+strconv.FormatUint(next, 10), &page)
		if n > 1000 || page.Next < next {
			t.Fatalf("page %d = %s: does not come to an end", n, pretty(page))
		}
	}
	if page.Next != p.call.Events().LastSeq() {
		t.Errorf("the last page ends at %d; want %d", page.Next, p.call.Events().LastSeq())
	}
	var empty EventList
	h.get("/v1/calls/CA1/events.json?after=99999", &empty)
	if empty.Events == nil || len(empty.Events) != 0 || !empty.Complete || empty.Next != 99999 {
		t.Errorf("past the end = %s; want an empty, complete list", pretty(empty))
	}
}

func TestQuietStreamHasHeartbeats(t *testing.T) {
	h := newHost(t, tuned(func(s *Server) { s.heartbeat = time.Millisecond }))
	p := h.dial("CA1")
	p.waitKind(event.ConversationReady)
	_, resp := h.follow("/v1/calls/CA1/events?after=99999", "")
	lines := bufio.NewScanner(resp.Body)
	for comments := 0; comments < 3; {
		if !lines.Scan() {
			t.Fatalf("the stream ended after %d comments: %v", comments, lines.Err())
		}
		if strings.HasPrefix(lines.Text(), ":") {
			comments++
		}
	}
	p.hangUp()
}

func TestStreamsEndWithTheServer(t *testing.T) {
	h := newHost(t)
	p := h.dial("CA1")
	s, _ := h.follow("/v1/calls/CA1/events", "")
	if _, err := s.Next(); err != nil {
		t.Fatalf("the stream ended at once: %v", err)
	}
	h.stop()
	for {
		m, err := s.Next()
		if err != nil {
			break
		}
		if m.Event == EndEvent {
			t.Error("the stream says that the call is over; only the server is")
		}
	}
	if n := h.server.watchers.count(); n != 0 {
		t.Errorf("%d streams are left", n)
	}
	p.hangUp()
}

func TestTooManyStreams(t *testing.T) {
	h := newHost(t, tuned(func(s *Server) { s.watchers.limit = 1 }))
	p := h.dial("CA1")
	s, _ := h.follow("/v1/calls/CA1/events", "")
	resp, body := h.do(h.request(http.MethodGet, "/v1/calls/CA1/events", ""))
	if problemOf(t, resp, body); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("second stream = %s; want 503", resp.Status)
	}
	p.hangUp()
	for err := error(nil); err == nil; { // the first one ends with the call
		_, err = s.Next()
	}
	s, _ = h.follow("/v1/calls/CA1/events", "")
	if _, err := s.Next(); err != nil {
		t.Errorf("a stream after the first = %v; want it served", err)
	}
}

// stuckWriter is a connection whose client reads nothing: writes fail at their deadline.
type stuckWriter struct {
	header   http.Header
	deadline time.Time
}

func (w *stuckWriter) Header() http.Header                { return w.header }
func (w *stuckWriter) WriteHeader(int)                    {}
func (w *stuckWriter) SetWriteDeadline(t time.Time) error { w.deadline = t; return nil }
func (w *stuckWriter) FlushError() error                  { return nil }
func (w *stuckWriter) Write([]byte) (int, error) {
	if time.Until(w.deadline) > time.Minute || w.deadline.IsZero() {
		return 0, errors.New("no deadline near enough")
	}
	return 0, &net.OpError{Op: "write", Err: context.DeadlineExceeded}
}

func TestStuckClientIsDropped(t *testing.T) {
	w := &stuckWriter{header: http.Header{}}
	log := event.NewLog("c")
	log.Append(event.Event{Kind: event.CallStarted})
	s := &stream{w: w, control: http.NewResponseController(w), heartbeat: time.Hour, timeout: StreamWriteTimeout}
	err := s.follow(t.Context(), log, 0)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("follow = %v; want the write's deadline", err)
	}
}

// What is written reads back as the log, whatever words it holds.
func FuzzStream(f *testing.F) {
	f.Add("hello\nworld", "a\r\nb: c")
	f.Add("event: end\n\n", "\u2028\x00")
	f.Add("\xd4 is no letter", "")
	f.Fuzz(func(t *testing.T, text, more string) {
		log := event.NewLog("c")
		for _, s := range []string{text, more} {
			log.Append(event.Event{Kind: event.TranscriptFinal, Transcript: &event.Transcript{Utterance: s, Text: s}})
		}
		log.Close()
		w := &memoryWriter{header: http.Header{}}
		s := &stream{w: w, control: http.NewResponseController(w), heartbeat: time.Hour, timeout: time.Minute}
		if err := s.follow(t.Context(), log, 0); err != nil {
			t.Fatal(err)
		}
		// Each message is id, event, data and an empty line, and no text adds another.
		blocks := bytes.Split(bytes.TrimSuffix(w.body.Bytes(), []byte("\n\n")), []byte("\n\n"))
		if len(blocks) != 1+2+1 {
			t.Fatalf("%d blocks in %q; want retry, two events and the end", len(blocks), w.body.Bytes())
		}
		for i, want := range log.Since(0, 0) {
			lines := bytes.Split(blocks[i+1], []byte("\n"))
			if len(lines) != 3 {
				t.Fatalf("block %q has %d lines", blocks[i+1], len(lines))
			}
			var got event.Event
			if err := json.Unmarshal(bytes.TrimPrefix(lines[2], []byte("data: ")), &got); err != nil {
				t.Fatal(err)
			}
			// JSON has no words for bytes that are no letters: compare what it makes of them.
			if id, text := inJSON(t, want.Transcript.Utterance), inJSON(t, want.Transcript.Text); got.Seq != want.Seq || got.Kind != want.Kind ||
				!got.Time.Equal(want.Time) || got.Transcript.Utterance != id || got.Transcript.Text != text {
				t.Errorf("event = %s; want %s", pretty(got), pretty(want))
			}
		}
	})
}

func inJSON(t *testing.T, s string) (out string) {
	t.Helper()
	data, err := json.Marshal(s)
	if err == nil {
		err = json.Unmarshal(data, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

type memoryWriter struct {
	header http.Header
	body   bytes.Buffer
}

func (w *memoryWriter) Header() http.Header              { return w.header }
func (w *memoryWriter) WriteHeader(int)                  {}
func (w *memoryWriter) SetWriteDeadline(time.Time) error { return nil }
func (w *memoryWriter) FlushError() error                { return nil }
func (w *memoryWriter) Write(p []byte) (int, error)      { return w.body.Write(p) }

// The flight recorder's events come only to whoever asks for them; paging loses
// nothing either way.
func TestDebugEvents(t *testing.T) {
	h := newHost(t)
	p := h.dial("CA1")
	p.say("inbound", "amber", "basil", "cedar")
	p.waitKind(event.SuggestionOffered)
	p.hangUp()
	p.waitOver()
	for _, debug := range []bool{false, true} {
		var got, want []uint64
		decisions := 0
		for after, complete := uint64(0), false; !complete; {
			var page EventList
			h.get("/v1/calls/CA1/events.json?limit=3&after="+strconv.FormatUint(after, 10)+"&debug="+strconv.FormatBool(debug), &page)
			for _, e := range page.Events {
				got = append(got, e.Seq)
				if e.Kind.Debug() {
					decisions++
				}
			}
			if complete = page.Complete; !complete && len(page.Events) == 0 {
				break // it ends below, as something is missing
			}
			after = page.Next
		}
		for _, e := range p.call.Events().Since(0, 0) {
			if debug || !e.Kind.Debug() {
				want = append(want, e.Seq)
			}
		}
		if !slices.Equal(got, want) || decisions > 0 != debug {
			t.Errorf("debug=%v: events %v with %d decisions; want %v", debug, got, decisions, want)
		}
	}
}
