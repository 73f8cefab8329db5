package host_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/adapter/adaptertest"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/media/probe"
	"github.com/patchbay/patchbay/core/plug/host"
	"github.com/patchbay/patchbay/core/plug/host/hosttest"
)

// backWithin is the promise about a plugin that died.
const backWithin = 2 * time.Second

// await waits until the status of a plugin satisfies ok.
func await(t *testing.T, p *host.Plugin, what string, ok func(host.Status) bool) host.Status {
	t.Helper()
	timeout := time.After(adaptertest.Patience)
	for {
		changed := p.Changed()
		if s := p.Status(); ok(s) {
			return s
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("waited for %s; status %+v", what, p.Status())
		}
	}
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

func minimalConfig(name, bin string) host.Config {
	return host.Config{
		Name: name, Path: bin, Settings: minimalSettings,
		Listeners: map[string]string{"audio": "127.0.0.1:0"},
	}
}

// TestKilledPluginEndsItsOwnLegsAlone kills one of two plugins in mid-call.
func TestKilledPluginEndsItsOwnLegsAlone(t *testing.T) {
	bin := minimalBin(t)
	victimSink, otherSink := adaptertest.NewSink(), adaptertest.NewSink()
	victim := hosttest.Start(t, minimalConfig("victim", bin), victimSink)
	other := hosttest.Start(t, minimalConfig("other", bin), otherSink)
	lostCall := talk(t, victim.Addr("audio"), "lost")
	say(t, lostCall, 10)
	goodCall := talk(t, other.Addr("audio"), "good")
	say(t, goodCall, 10)
	lost, good := victimSink.WaitLeg(t, 0), otherSink.WaitLeg(t, 0)
	lost.WaitFrames(t, 10)
	good.WaitFrames(t, 10)
	before := victim.Status()

	died := time.Now()
	kill(t, before.PID)
	if end := lost.WaitClosed(t); end.Kind != adapter.EndCrash {
		t.Errorf("the leg ended with %q; want %q", end.Kind, adapter.EndCrash)
	}
	noticed := time.Since(died)
	// A caller that comes while no plugin lives waits in the kernel's queue: the host
	// has the socket.
	next := talk(t, victim.Addr("audio"), "next")
	back := time.Since(died)
	t.Logf("noticed after %v, took the next call after %v", noticed, back)
	if back > backWithin {
		t.Errorf("back after %v; want at most %v", back, backWithin)
	}
	say(t, next, 5)
	victimSink.WaitLeg(t, 1).WaitFrames(t, 5)
	after := await(t, victim.Plugin, "readiness", func(s host.Status) bool { return s.State == host.StateReady })
	if after.Restarts != 1 || after.PID == before.PID || after.Addresses["audio"] != before.Addresses["audio"] {
		t.Errorf("status %+v after %+v", after, before)
	}
	if !strings.Contains(after.LastError, "signal: killed") {
		t.Errorf("last error %q; want the signal", after.LastError)
	}

	say(t, goodCall, 5)
	good.WaitFrames(t, 15)
	if _, closed := good.Closed(); closed {
		t.Error("the other plugin's leg was closed too")
	}
	if s := other.Status(); s.Restarts != 0 {
		t.Errorf("the other plugin restarted: %+v", s)
	}
	victimSink.Check(t)
	otherSink.Check(t)
}

// TestNoOrphan kills a host: its plugin must go, and its port be free, at once.
func TestNoOrphan(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), roleVar+"=host",
		"PATCHBAY_TEST_PLUGIN="+minimalBin(t), "PATCHBAY_TEST_SETTINGS="+string(minimalSettings))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	var addr string
	if _, err := fmt.Fscan(bufio.NewReader(out), &pid, &addr); err != nil {
		t.Fatal(err)
	}
	say(t, talk(t, addr, "call"), 5) // with a live call

	died := time.Now()
	kill(t, cmd.Process.Pid)
	_ = cmd.Wait()
	successor, err := host.New(host.Config{Listeners: map[string]string{"audio": addr}}, nil)
	if err != nil {
		t.Fatalf("a successor cannot bind: %v", err)
	}
	t.Logf("bound by a successor after %v", time.Since(died))
	successor.Close()
	deadline := time.NewTimer(adaptertest.Patience)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond) // not our child: nothing else tells of its end
	defer tick.Stop()
	for syscall.Kill(pid, 0) == nil && !zombie(pid) {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("plugin %d outlives its host", pid)
		}
	}
	t.Logf("plugin gone after %v", time.Since(died))
}

// zombie says whether a process has ended and only waits to be reaped.
func zombie(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := bytes.Cut(b, []byte(") "))
	return bytes.HasPrefix(rest, []byte("Z"))
}

func TestSurvivesWhatAPluginWrites(t *testing.T) {
	var out syncBuffer
	c := as(t, "writes badly", "prints")
	c.Log = slog.New(slog.NewTextHandler(&out, nil))
	p := hosttest.Start(t, c, adaptertest.NewSink())
	if err := p.Stop(t.Context()); err != nil {
		t.Errorf("Run = %v", err)
	}
	if s := p.Status(); s.Restarts != 0 || s.State != host.StateStopped {
		t.Errorf("status %+v", s)
	}
	for _, want := range []string{`{\"@message\": 7`, "panic: not really", "cut=true", "no line end"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in the log", want)
		}
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestLegAcrossTheSeam(t *testing.T) {
	sink := adaptertest.NewSink()
	p := hosttest.Start(t, as(t, "actor", "manners"), sink)
	l := sink.WaitLeg(t, 0)
	if end := l.WaitClosed(t); end.Kind != adapter.EndHangup {
		t.Errorf("ended with %q; want the first Close's %q", end.Kind, adapter.EndHangup)
	}
	if n := l.WaitNote(t, adapter.NoteWarning); n.Text != "" {
		t.Errorf("in the plugin: %s", n.Text)
	}
	segments := l.Segments("t")
	if len(segments) != 2 {
		t.Fatalf("%d segments; want 2", len(segments))
	}
	for n, f := range segments[0].Frames {
		if want := probe.AppendBlock(nil, 0, uint32(n)); !bytes.Equal(f.Payload, want) || f.Pos != int64(n*len(want)) {
			t.Errorf("frame %d at %d is not what was written", n, f.Pos)
		}
	}
	var total int
	for _, f := range segments[1].Frames { // 300 000 bytes of 16 bit, cut into frames
		if f.Pos != int64(5+total/2) {
			t.Errorf("a piece at %d; want %d", f.Pos, 5+total/2)
		}
		total += len(f.Payload)
	}
	if len(segments[0].Frames) != 20 || total != 300_000 {
		t.Errorf("%d frames and %d bytes; want 20 and 300000", len(segments[0].Frames), total)
	}
	if err := p.Stop(t.Context()); err != nil { // the actor reports what it could not say in a note
		t.Errorf("Run = %v", err)
	}
	if p.Status().Restarts != 0 || p.Counters()["odd"] != 3 {
		t.Errorf("status %+v, counters %v; want odd 3", p.Status(), p.Counters())
	}
	sink.Check(t)
}

func TestControlsCross(t *testing.T) {
	sink := adaptertest.NewSink()
	hosttest.Start(t, as(t, "actor", "notes"), sink)
	l := sink.WaitLeg(t, 0)
	for _, c := range []adapter.ControlKind{adapter.ControlPause, adapter.ControlResume, adapter.ControlEnd} {
		l.Order(adapter.Control{Kind: c, Reason: "because"})
	}
	if end := l.WaitClosed(t); end.Kind != adapter.EndOrdered || end.Text != "because" {
		t.Errorf("ended with %+v", end)
	}
	var got []string
	for _, n := range l.Notes() {
		got = append(got, n.Text)
	}
	if want := []string{"pause: because", "resume: because", "end: because"}; !slices.Equal(got, want) {
		t.Errorf("orders arrived as %q; want %q", got, want)
	}
}

func TestAttach(t *testing.T) {
	p := hosttest.Start(t, as(t, "actor", "idle"), adaptertest.NewSink())
	stream, err := p.Attach(t.Context(), adapter.AttachRequest{Call: "c", Claims: map[string]string{"suffix": "-2"}})
	if stream != "stream-of-c-2" || err != nil {
		t.Errorf("Attach = %q, %v", stream, err)
	}
	_, err = p.Attach(t.Context(), adapter.AttachRequest{Call: "unknown"})
	if e, ok := errors.AsType[*adapter.Error](err); !ok || e.Kind != adapter.KindVendor || e.Op != "actor.Attach" || e.Call != "unknown" {
		t.Errorf("Attach = %v; want the adapter's own error", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err = p.Attach(ctx, adapter.AttachRequest{Call: "slow"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Attach = %v; want its deadline", err)
	}
	if err = p.Detach(t.Context(), adapter.DetachRequest{}); adapter.KindOf(err) != adapter.KindConfig || !strings.Contains(err.Error(), "cannot detach") {
		t.Errorf("Detach = %v; want that it cannot", err)
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err = p.Attach(t.Context(), adapter.AttachRequest{}); adapter.KindOf(err) != adapter.KindUnavailable {
		t.Errorf("Attach after Stop = %v; want unavailable", err)
	}
}

func TestDrainsBeforeItStops(t *testing.T) {
	sink := adaptertest.NewSink()
	c := as(t, "actor", "wait for drain")
	c.DrainTimeout = adaptertest.Patience
	sink.Admit(1)
	p := hosttest.Start(t, c, sink)
	l := sink.WaitLeg(t, 0)
	if err := p.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if end, _ := l.Closed(); end.Text != "drained" {
		t.Errorf("the leg ended with %+v; want the adapter's own end during the drain", end)
	}
}

func TestStopIsBounded(t *testing.T) {
	for _, script := range []string{"stubborn", "frozen"} {
		t.Run(script, func(t *testing.T) {
			c := as(t, "actor", script)
			c.StopTimeout = 200 * time.Millisecond
			p := hosttest.Start(t, c, adaptertest.NewSink())
			begin := time.Now()
			if err := p.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("the stop took %v", took)
			}
		})
	}
}

func TestFrozenPluginIsReplaced(t *testing.T) {
	c := as(t, "actor", "frozen")
	c.Health = 300 * time.Millisecond
	p := hosttest.Start(t, c, adaptertest.NewSink())
	s := await(t, p.Plugin, "a restart", func(s host.Status) bool { return s.Restarts > 0 })
	if !strings.Contains(s.LastError, "did not answer") {
		t.Errorf("last error %q; want that it did not answer", s.LastError)
	}
}

func TestCrashLoop(t *testing.T) {
	c := as(t, "actor", "crash")
	c.Restart = host.RestartPolicy{First: time.Millisecond, Longest: 2 * time.Millisecond, Limit: 3, Rest: time.Hour}
	p := hosttest.Start(t, c, adaptertest.NewSink())
	s := await(t, p.Plugin, "failure", func(s host.Status) bool { return s.State == host.StateFailed })
	if s.Restarts != 3 {
		t.Errorf("%d restarts; want 3", s.Restarts)
	}
	for _, want := range []string{"exit status 2", "out of cheese"} {
		if !strings.Contains(s.LastError, want) {
			t.Errorf("last error %q; want %q in it", s.LastError, want)
		}
	}
}

func TestRestAfterACrashLoopEnds(t *testing.T) {
	c := as(t, "actor", "gives up")
	c.Restart = host.RestartPolicy{First: time.Millisecond, Longest: time.Millisecond, Limit: 1, Rest: time.Millisecond}
	p := hosttest.Start(t, c, adaptertest.NewSink())
	s := await(t, p.Plugin, "restarts after the rest", func(s host.Status) bool { return s.Restarts > 3 })
	if !strings.Contains(s.LastError, "the vendor is away") {
		t.Errorf("last error %q; want the adapter's", s.LastError)
	}
}

func TestAdapterThatReturnsEarlyLosesItsLegs(t *testing.T) {
	sink := adaptertest.NewSink()
	p := hosttest.Start(t, as(t, "actor", "returns early"), sink)
	if end := sink.WaitLeg(t, 0).WaitClosed(t); end.Kind != adapter.EndCrash {
		t.Errorf("the leg ended with %q; want %q", end.Kind, adapter.EndCrash)
	}
	s := await(t, p.Plugin, "a restart", func(s host.Status) bool { return s.Restarts > 0 })
	if !strings.Contains(s.LastError, "lost interest") {
		t.Errorf("last error %q", s.LastError)
	}
}

// TestFloodIsBounded lets an adapter write while nobody reads: what does not fit is
// dropped in the plugin, named, and every other frame arrives in order.
func TestFloodIsBounded(t *testing.T) {
	sink := &stalledSink{Sink: adaptertest.NewSink(), goOn: make(chan struct{}), enough: make(chan struct{})}
	c := as(t, "actor", "flood")
	c.Health = 300 * time.Millisecond // it tells of drops while the host does not read
	p := hosttest.Start(t, c, sink)
	for begun := time.Now(); p.Status().Dropped == 0; time.Sleep(c.Health) {
		if time.Since(begun) > adaptertest.Patience {
			t.Fatal("nothing is dropped")
		}
	}
	close(sink.goOn)
	select {
	case <-sink.enough:
	case <-time.After(adaptertest.Patience):
		t.Fatal("no drops")
	}
	l := sink.WaitLeg(t, 0)
	l.Order(adapter.Control{Kind: adapter.ControlEnd, Reason: "enough"})
	if err := p.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	var jumped, named, next int64
	for _, f := range l.Segments("t")[0].Frames {
		jumped += f.Pos - next
		next = f.Pos + int64(len(f.Payload))
	}
	for _, n := range l.Notes() {
		if n.Kind == adapter.NoteDropped && n.Track == media.TrackID("t") {
			named += n.Samples
		}
	}
	if jumped == 0 || jumped > named { // drops after the last frame are named by Close
		t.Errorf("Pos jumped over %d samples, %d were named as dropped", jumped, named)
	}
	if got := p.Counters()["seam_dropped_frames"]; int64(got)*probe.BlockSamples != named {
		t.Errorf("counted %d dropped frames; notes name %d samples", got, named)
	}
	sink.Check(t)
}

// stalledSink takes no frame until goOn is closed, and closes enough at the first
// drop that a leg names.
type stalledSink struct {
	*adaptertest.Sink
	goOn   chan struct{}
	once   sync.Once
	enough chan struct{}
}

func (s *stalledSink) Open(ctx context.Context, info adapter.LegInfo) (adapter.Leg, error) {
	l, err := s.Sink.Open(ctx, info)
	if err != nil {
		return nil, err
	}
	return stalledLeg{l, s}, nil
}

type stalledLeg struct {
	adapter.Leg
	sink *stalledSink
}

func (l stalledLeg) Write(f media.Frame) error {
	<-l.sink.goOn
	return l.Leg.Write(f)
}

func (l stalledLeg) Note(n adapter.Note) error {
	l.sink.once.Do(func() { close(l.sink.enough) })
	return l.Leg.Note(n)
}

// TestInheritedSocketsStayOpen connects while no plugin has ever run.
func TestInheritedSocketsStayOpen(t *testing.T) {
	c := minimalConfig("late", minimalBin(t))
	p, err := host.New(c, adaptertest.NewSink())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", p.Status().Addresses["audio"])
	if err != nil {
		t.Fatalf("the host does not listen yet: %v", err)
	}
	_ = conn.Close()
	p.Close()
}
