package audiohook

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/patchbay/patchbay/adapters/internal/report"
	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/adapter/adaptertest"
)

var update = flag.Bool("update", false, "write testdata/*/want.txt anew")

// traceHeader is the first line of a trace.
type traceHeader struct {
	Origin, Source string
	Settings       json.RawMessage // over those of the tests
	Session        string          // its id; that of Genesys' example if empty
}

// traceLine is a line of a trace: what happens next on the session.
type traceLine struct {
	After   string           `json:"after"`   // since the line before; 20ms if empty
	Session string           `json:"session"` // another session from here on, the old one lives on
	Message json.RawMessage  `json:"message"`
	Text    *string          `json:"text"`  // a text message that is no JSON
	Audio   []int            `json:"audio"` // so many bytes in each of so many frames
	Order   *adapter.Control `json:"order"` // of the host
	Refuse  string           `json:"refuse"`
	Result  *adapter.Result  `json:"result"`
	Pause   bool             `json:"pause"` // the host pauses the next leg before anybody listens
	Lost    bool             `json:"lost"`  // the connection breaks
}

// TestGolden plays each trace and compares what the host hears, and what Genesys is
// told, line by line.
func TestGolden(t *testing.T) {
	traces, err := filepath.Glob("testdata/*/in.jsonl")
	if err != nil || len(traces) == 0 {
		t.Fatalf("no traces in testdata: %v", err)
	}
	for _, path := range traces {
		t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) {
			in, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := playTrace(t, in)
			wantPath := filepath.Join(filepath.Dir(path), "want.txt")
			if *update {
				if err := os.WriteFile(wantPath, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(wantPath)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("the trace gives\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// player plays a trace.
type player struct {
	t     *testing.T
	a     *Adapter
	host  *adaptertest.Env
	sink  *adaptertest.Sink
	now   *played
	all   []*played
	clock time.Time
	out   strings.Builder
	shown int
	heard map[string]int
}

// played is a session with its desk, as a socket would have them.
type played struct {
	*session
	desk desk
}

func playTrace(t *testing.T, in []byte) string {
	lines := bufio.NewScanner(bytes.NewReader(in))
	lines.Buffer(nil, 1<<20)
	if !lines.Scan() {
		t.Fatal("the trace is empty")
	}
	var header traceHeader
	if err := json.Unmarshal(lines.Bytes(), &header); err != nil || header.Origin != "from documentation" || header.Source == "" {
		t.Fatalf("the trace's first line says neither origin nor source: %v", err)
	}
	cfg := testConfig()
	if header.Settings != nil {
		if err := json.Unmarshal(header.Settings, &cfg); err != nil {
			t.Fatal(err)
		}
	}
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p := &player{t: t, a: a, host: adaptertest.NewEnv(t), sink: adaptertest.NewSink(), heard: map[string]int{}, clock: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	if header.Session == "" {
		header.Session = exampleSession
	}
	p.begin(header.Session)
	for n := 2; lines.Scan(); n++ {
		d := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		d.DisallowUnknownFields()
		var l traceLine
		if err := d.Decode(&l); err != nil {
			t.Fatalf("line %d: %v", n, err)
		}
		p.line(n, l)
	}
	for _, s := range p.all {
		s.finish(adapter.EndReason{Kind: adapter.EndLost, Text: "the trace ended without close"})
	}
	p.show(0)
	p.sink.Check(t)
	return p.out.String()
}

func (p *player) begin(id string) {
	env := &environment{sink: p.sink, log: p.host.Log, report: report.New(p.host.Log, p.host.Count)}
	c := caller{principal: adapter.Principal{Account: testOrganization, Method: adapter.MethodSignature}, organization: testOrganization,
		session: id, correlation: "e160e428-53e2-487c-977d-96989bf5c99d"}
	p.now = &played{session: newSession(p.a, env, c, func(time.Duration) {})}
	p.all = append(p.all, p.now)
}

func (p *player) line(n int, l traceLine) {
	before := p.host.Counts()
	after := 20 * time.Millisecond
	if l.After != "" {
		var err error
		if after, err = time.ParseDuration(l.After); err != nil {
			p.t.Fatalf("line %d: %v", n, err)
		}
	}
	p.pass(n, after)
	if l.Session != "" {
		p.begin(l.Session)
	}
	s := p.now
	switch {
	case l.Message != nil:
		s.take(p.t.Context(), l.Message, p.clock)
	case l.Text != nil:
		s.take(p.t.Context(), []byte(*l.Text), p.clock)
	case l.Audio != nil:
		for range l.Audio[1] {
			frame := make([]byte, l.Audio[0])
			for i := range frame {
				frame[i] = byte(i % 2) // the channels differ
			}
			s.takeAudio(frame, p.clock)
		}
	case l.Refuse != "":
		p.sink.Refuse(&adapter.Refusal{Reason: adapter.RefusalReason(l.Refuse), Text: "the test host refuses"})
	case l.Order != nil:
		s.desk.order(s.session, *l.Order, p.clock)
	case l.Result != nil:
		s.desk.order(s.session, adapter.Control{Kind: adapter.ControlResult, Result: l.Result}, p.clock)
	case l.Lost:
		k := &socket{session: s.session}
		k.lost(io.EOF)
		s.gone()
	}
	p.settle()
	p.show(n)
	now := p.host.Counts()
	for _, kind := range slices.Sorted(maps.Keys(now)) {
		if now[kind] != before[kind] {
			fmt.Fprintf(&p.out, "%d: counted %s\n", n, kind)
		}
	}
}

// pass lets time pass, in which what waits gets its turn.
func (p *player) pass(n int, d time.Duration) {
	until := p.clock.Add(d)
	for {
		next := p.now.desk.next(p.now.session, p.clock)
		if p.clock.Add(next).After(until) {
			p.clock = until
			return
		}
		p.clock = p.clock.Add(next)
		p.now.desk.due(p.now.session, p.clock)
		p.settle()
		p.show(n)
	}
}

// settle does what a socket's second goroutine would do at once.
func (p *player) settle() {
	s := p.now
	for {
		select {
		case o := <-s.opened:
			s.desk.open(s.session, o)
		case <-s.closes:
			s.desk.closes(s.session, p.clock)
		case c, ok := <-s.desk.control:
			if !ok {
				s.desk.control = nil
				continue
			}
			s.desk.order(s.session, c, p.clock)
		default:
			return
		}
	}
}

// show writes what the host has heard since the last time, and what Genesys was told.
// Runs of equal frames take one line.
func (p *player) show(n int) {
	for _, e := range p.sink.Events()[p.shown:] {
		fmt.Fprintf(&p.out, "%d: %v\n", n, e)
		p.shown++
	}
	for i, leg := range p.sink.Legs() {
		for _, id := range leg.Tracks() {
			for k, segment := range leg.Segments(id) {
				key := fmt.Sprint(i, id, k)
				frames := segment.Frames[p.heard[key]:]
				if len(frames) == 0 {
					continue
				}
				p.heard[key] += len(frames)
				last := frames[len(frames)-1]
				fmt.Fprintf(&p.out, "%d: leg %d: %d frames of %s segment %d, pos %d to %d, first %#02x\n", n, i, len(frames), id, k, frames[0].Pos,
					last.Pos+segment.Track.Format.Samples(len(last.Payload)), frames[0].Payload[0])
			}
		}
	}
	for _, s := range p.all {
		for len(s.out.queue) > 0 {
			var m struct {
				serverMessage
				Parameters json.RawMessage `json:"parameters"`
			}
			if err := json.Unmarshal(<-s.out.queue, &m); err != nil {
				p.t.Fatal(err)
			}
			fmt.Fprintf(&p.out, "%d: told %d/%d %s %s\n", n, m.Seq, m.ClientSeq, m.Type, m.Parameters)
		}
	}
}
