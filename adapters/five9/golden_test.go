package five9

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

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	voicepb "github.com/patchbay/patchbay/adapters/five9/proto/five9/voicestream"
	"github.com/patchbay/patchbay/adapters/internal/report"
	"github.com/patchbay/patchbay/core/adapter/adaptertest"
)

var update = flag.Bool("update", false, "write testdata/*/want.txt anew")

// traceLine is a line of a trace: what happens on one stream, or an event.
type traceLine struct {
	Stream  string          `json:"stream"`
	After   string          `json:"after"`   // since the line before; 20ms if empty
	Token   string          `json:"token"`   // in the metadata of the RPC, which this line begins
	Message json.RawMessage `json:"message"` // protojson of a StreamingVoiceRequest
	Audio   []int           `json:"audio"`   // so many bytes in each of so many messages, with the time
	Untimed bool            `json:"untimed"` // without send_time
	End     string          `json:"end"`     // "half-close" or "canceled"
	Event   json.RawMessage `json:"event"`   // call event of subscription main
}

// TestGolden plays each trace and compares what the host hears, and what Five9 is told,
// line by line.
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
	t       *testing.T
	server  *server
	host    *adaptertest.Env
	sink    *adaptertest.Sink
	streams map[string]*stream
	clock   time.Time
	out     strings.Builder
	shown   int
	frames  map[string]int
}

func playTrace(t *testing.T, in []byte) string {
	a, err := New(testConfig())
	if err != nil {
		t.Fatal(err)
	}
	p := &player{t: t, host: adaptertest.NewEnv(t), sink: adaptertest.NewSink(), streams: map[string]*stream{}, frames: map[string]int{},
		clock: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	p.server = &server{Adapter: a, work: t.Context(), env: &environment{sink: p.sink, log: p.host.Log, report: report.New(p.host.Log, p.host.Count)}}
	lines := bufio.NewScanner(bytes.NewReader(in))
	lines.Buffer(nil, 1<<20)
	if !lines.Scan() {
		t.Fatal("the trace is empty")
	}
	var header struct{ Origin, Source string }
	if err := json.Unmarshal(lines.Bytes(), &header); err != nil || header.Origin != "from documentation" || header.Source == "" {
		t.Fatalf("the trace's first line says neither origin nor source: %v", err)
	}
	for n := 2; lines.Scan(); n++ {
		d := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		d.DisallowUnknownFields()
		var l traceLine
		if err := d.Decode(&l); err != nil {
			t.Fatalf("line %d: %v", n, err)
		}
		p.line(n, l)
	}
	for _, name := range slices.Sorted(maps.Keys(p.streams)) {
		p.end(0, name, (&talk{}).gone(status.Error(codes.Canceled, "")))
	}
	p.sink.Check(t)
	return p.out.String()
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
	p.clock = p.clock.Add(after)
	s := p.streams[l.Stream]
	if s == nil && l.Stream != "" {
		c := caller{}
		if l.Token != "" {
			c.tokens = []string{l.Token}
		}
		s = newStream(p.server.Adapter, p.server.env, c)
		p.streams[l.Stream] = s
	}
	switch {
	case l.Event != nil:
		if err := p.server.takeEvent(&p.server.cfg.Subscriptions[0], l.Event); err != nil {
			fmt.Fprintf(&p.out, "%d: the event is of no use: %v\n", n, err)
		}
	case l.Message != nil:
		var m voicepb.StreamingVoiceRequest
		if err := protojson.Unmarshal(l.Message, &m); err != nil {
			p.t.Fatalf("line %d: %v", n, err)
		}
		p.take(n, l.Stream, s, &m)
	case l.Audio != nil:
		for i := 0; i < l.Audio[1] && p.streams[l.Stream] != nil; i++ {
			m := &voicepb.StreamingVoiceRequest{StreamingRequest: &voicepb.StreamingVoiceRequest_AudioContent{AudioContent: bytes.Repeat([]byte{0x11}, l.Audio[0])}}
			if !l.Untimed {
				m.SendTime = timestamppb.New(p.clock)
			}
			p.take(n, l.Stream, s, m)
		}
	case l.End == "half-close":
		p.end(n, l.Stream, (&talk{}).gone(io.EOF))
	case l.End == "canceled":
		p.end(n, l.Stream, (&talk{}).gone(status.Error(codes.Canceled, "")))
	}
	p.show(n)
	now := p.host.Counts()
	for _, kind := range slices.Sorted(maps.Keys(now)) {
		if now[kind] != before[kind] {
			fmt.Fprintf(&p.out, "%d: counted %s\n", n, kind)
		}
	}
}

func (p *player) take(n int, name string, s *stream, m *voicepb.StreamingVoiceRequest) {
	fresh := s.leg == nil
	bye := s.take(p.t.Context(), m, p.clock)
	if fresh && s.leg != nil {
		p.show(n)
		fmt.Fprintf(&p.out, "%d: %s: told %v\n", n, name, start)
	}
	if bye != nil {
		p.end(n, name, bye)
	}
}

// end ends a stream as its RPC would.
func (p *player) end(n int, name string, bye *goodbye) {
	s := p.streams[name]
	s.finish(bye.reason)
	s.over()
	delete(p.streams, name)
	p.show(n)
	if bye.count != "" {
		p.host.Count(bye.count)
	}
	if bye.say != success {
		fmt.Fprintf(&p.out, "%d: %s: told %v %q\n", n, name, bye.say, bye.text)
	}
	fmt.Fprintf(&p.out, "%d: %s: RPC ends with %v\n", n, name, bye.code)
}

// show writes what the host has heard since the last time. Runs of equal frames take
// one line.
func (p *player) show(n int) {
	for _, e := range p.sink.Events()[p.shown:] {
		fmt.Fprintf(&p.out, "%d: %v\n", n, e)
		p.shown++
	}
	for i, leg := range p.sink.Legs() {
		for _, id := range leg.Tracks() {
			for k, segment := range leg.Segments(id) {
				key := fmt.Sprint(i, id, k)
				frames := segment.Frames[p.frames[key]:]
				if len(frames) == 0 {
					continue
				}
				p.frames[key] += len(frames)
				last := frames[len(frames)-1]
				fmt.Fprintf(&p.out, "%d: leg %d: %d frames of %s segment %d, pos %d to %d\n", n, i, len(frames), id, k, frames[0].Pos,
					last.Pos+segment.Track.Format.Samples(len(last.Payload)))
			}
		}
	}
}
