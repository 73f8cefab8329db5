package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/media/probe"
)

// simulate runs the simulator as a command and returns its report.
func simulate(t *testing.T, s *standIn, want int, args ...string) adapter.SimReport {
	t.Helper()
	var out, errs bytes.Buffer
	args = append([]string{"--to", s.uri, "--json"}, args...)
	if code := Main(t.Context(), args, &out, &errs); code != want {
		t.Errorf("simulate %s: exit code %d; want %d\n%s", strings.Join(args, " "), code, want, errs.String())
	}
	var r adapter.SimReport
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v in %q\n%s", err, out.String(), errs.String())
	}
	return r
}

// blocks are the coded blocks that a stream got: their stream, and how many of them.
func blocks(st *standInStream) (stream int, n int64) {
	var d probe.Decoder
	stream = -1
	format := media.Telephony
	if st.payload == 8 {
		format.Encoding = media.ALaw
	}
	for _, p := range st.audio() {
		d.Write(format, p.Payload, func(b probe.Block, _ int64) {
			stream = int(b.Stream)
			n++
		})
	}
	return stream, n
}

// tracks are all of a report.
func tracks(r adapter.SimReport) (list []adapter.SimTrack) {
	for _, c := range r.Calls {
		list = append(list, c.Tracks...)
	}
	return list
}

// streams are all that a stand-in got.
func (s *standIn) streams() (list []*standInStream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.dialogs {
		list = append(list, d.streams...)
	}
	return list
}

// TestDialects: each calls, tells its story, and every block of every speaker arrives.
func TestDialects(t *testing.T) {
	for i, d := range dialects {
		transport := []string{"udp", "tcp"}[i%2]
		t.Run(d.name+" "+transport, func(t *testing.T) {
			t.Parallel()
			s := newStandIn(t, transport, nil)
			r := simulate(t, s, 0, "--dialect", d.name, "--duration", "1500ms", "--hold", "700ms", "--hold-for", "100ms")
			var want, got []string
			for _, plan := range d.dialogs {
				for _, st := range plan.streams {
					want = append(want, fmt.Sprint(CodedStream(0, st.who)))
				}
			}
			sent, heard := int64(0), int64(0)
			for _, tr := range tracks(r) {
				sent += tr.Frames
				if tr.Frames < 20 || tr.Samples != tr.Frames*160 || tr.Lost != 0 {
					t.Errorf("track %+v", tr)
				}
			}
			for _, st := range s.streams() {
				stream, n := blocks(st)
				got, heard = append(got, fmt.Sprint(stream)), heard+n
			}
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(got, want) || heard != sent {
				t.Errorf("heard %d blocks of %v; sent %d of %v; %v", heard, got, sent, want, s.methods())
			}
			if m := s.methods(); m[len(m)-1] != "BYE" || slices.Index(m, "BYE") < len(m)-len(d.dialogs) && d.name != "ribbon-transfer" {
				t.Errorf("methods %v", m)
			}
		})
	}
}

// TestBadNetwork counts what it withholds.
func TestBadNetwork(t *testing.T) {
	t.Parallel()
	s := newStandIn(t, "udp", nil)
	r := simulate(t, s, 0, "--duration", "3s", "--loss", "10%", "--reorder", "3", "--duplicate", "0.1", "--plain")
	for _, tr := range tracks(r) {
		i := slices.IndexFunc(s.streams(), func(st *standInStream) bool { return st.label == string(tr.Track) })
		st := s.streams()[i]
		_, n := blocks(st)
		list := st.audio()
		first, last := list[0], list[len(list)-1]
		gone := int64(last.Timestamp-first.Timestamp)/160 + 1 - n
		if n != tr.Frames || gone*160 != tr.Lost || tr.Lost == 0 || st.double == 0 || slices.IsSorted(st.order) {
			t.Errorf("track %+v: heard %d blocks, %d gone, %d twice, in order: %v", tr, n, gone, st.double, slices.IsSorted(st.order))
		}
	}
}

// TestSuites: what is encrypted with each suite can be read with the key that was offered.
func TestSuites(t *testing.T) {
	for _, suite := range Suites() {
		t.Run(suite, func(t *testing.T) {
			t.Parallel()
			s := newStandIn(t, "tcp", nil)
			r := simulate(t, s, 0, "--duration", "400ms", "--srtp", suite)
			for _, st := range s.streams() {
				if _, n := blocks(st); n != tracks(r)[0].Frames || n == 0 {
					t.Errorf("label %s: %d blocks; sent %+v", st.label, n, tracks(r))
				}
			}
		})
	}
}

func TestDigits(t *testing.T) {
	t.Parallel()
	s := newStandIn(t, "udp", nil)
	simulate(t, s, 0, "--duration", "2500ms", "--dtmf", "12#")
	for _, st := range s.streams() {
		if want := map[string]string{"1": "12#", "2": ""}[st.label]; st.dialled() != want {
			t.Errorf("label %s dialled %q; want %q", st.label, st.dialled(), want)
		}
	}
}

// TestConnectionLost: the call goes on over a new connection.
func TestConnectionLost(t *testing.T) {
	t.Parallel()
	s := newStandIn(t, "tcp", nil)
	simulate(t, s, 0, "--duration", "1s", "--lose-after", "300ms", "--refresh", "400ms")
	if want := []string{"INVITE", "INVITE", "UPDATE", "BYE"}; !slices.Equal(s.methods(), want) {
		t.Errorf("methods %v; want %v", s.methods(), want)
	}
}

func TestDigest(t *testing.T) {
	s := newStandIn(t, "udp", nil)
	s.spoil(1, nil)
	t.Setenv("OEM_PASSWORD", "secret")
	simulate(t, s, 0, "--duration", "200ms", "--digest", "sbc:env:OEM_PASSWORD")
	if want := []string{"INVITE", "INVITE", "BYE"}; !slices.Equal(s.methods(), want) {
		t.Errorf("methods %v; want %v", s.methods(), want)
	}
}

// TestOddAnswers: what a strict client would not accept is in the report.
func TestOddAnswers(t *testing.T) {
	replace := func(old, new string) func(string) string {
		return func(s string) string { return strings.ReplaceAll(s, old, new) }
	}
	for _, c := range []struct {
		name string
		odd  func(string) string
		want string
	}{
		{"swapped labels", func(s string) string {
			return strings.NewReplacer("label:1", "label:2", "label:2", "label:1").Replace(s)
		}, `label "1" with "2"`},
		{"no labels", replace("a=label:", "a=x-label:"), `answers label "1" with ""`},
		{"sendonly", replace("recvonly", "sendonly"), `is "sendonly"; want "recvonly"`},
		{"one section", func(s string) string { return s[:strings.LastIndex(s, "m=")] }, "1 m= lines to the offer's 2"},
		{"another payload", replace(" 0 101", " 18 101"), "payload 18"},
		{"no description", func(string) string { return "" }, "no description"},
		{"unreadable", replace("v=0", "x=0"), "unreadable description"},
		{"refused", func(s string) string {
			i := strings.LastIndex(s, "m=audio ")
			return s[:i] + "m=audio 0" + s[strings.Index(s[i:], " RTP")+i:]
		}, "1 of 2 audio streams were refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newStandIn(t, "tcp", nil)
			s.spoil(0, c.odd)
			r := simulate(t, s, 1, "--duration", "200ms")
			if !strings.Contains(r.Calls[0].Error, c.want) {
				t.Errorf("the report says %q; want %q", r.Calls[0].Error, c.want)
			}
		})
	}
}

func TestManyCalls(t *testing.T) {
	t.Parallel()
	s := newStandIn(t, "tcp", nil)
	r := simulate(t, s, 0, "--calls", "20", "--ramp", "300ms", "--duration", "1s", "--connections", "3")
	if len(r.Calls) != 20 || len(tracks(r)) != 40 {
		t.Fatalf("%d calls, %d tracks", len(r.Calls), len(tracks(r)))
	}
	heard := map[int]int64{}
	for _, st := range s.streams() {
		stream, n := blocks(st)
		heard[stream] += n
	}
	for i := range 20 {
		for _, who := range []Speaker{Customer, Agent} {
			if n := heard[int(CodedStream(i, who))]; n != 50 {
				t.Errorf("call %d: %d blocks of the %v; want 50", i, n, who)
			}
		}
	}
}
