package host_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/adapter/adaptertest"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/media/probe"
	"github.com/patchbay/patchbay/core/plug"
	"github.com/patchbay/patchbay/core/plug/host"
	"github.com/patchbay/patchbay/core/plug/host/hosttest"
)

// The test binary plays the parts of other programs when this variable says so: its
// own plugins, good and bad, and a host that is killed.
const roleVar = "PATCHBAY_TEST_ROLE"

func TestMain(m *testing.M) {
	role := os.Getenv(roleVar)
	if role == "" {
		goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
			if minimalDir != "" {
				_ = os.RemoveAll(minimalDir)
			}
			os.Exit(code)
		}))
		return
	}
	play, ok := roles[role]
	if !ok {
		fatal(fmt.Errorf("no role %q", role))
	}
	play()
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

var roles = map[string]func(){
	"actor":         serveActor,
	"prints first":  func() { fmt.Println("hello, I am loading"); serveActor() },
	"prints, ends":  func() { fmt.Println("usage: ls [file]") },
	"prints, waits": func() { fmt.Println("ready | or | not | yet"); wait() },
	"fails":         func() { fmt.Fprintln(os.Stderr, "cannot read my own file"); os.Exit(3) },
	"other version": func() { fmt.Println("1|7|unix|/nowhere|grpc|"); wait() },
	"hangs":         wait,
	"writes badly": func() {
		writeBadly()
		serveActor()
	},
	"relaying": func() {
		plug.Serve("actor", actorConfig{Script: "idle"}, newActor, plug.WithRelay())
	},
	"host": runHost,
}

func wait() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	<-ctx.Done()
}

// writeBadly writes what a host must survive.
func writeBadly() {
	for _, line := range []string{
		`{"@message": 7, "@level": "info"}`, `{"@message": {"a": []}}`, `{"@level": 3}`, `{"@message": "m", "@timestamp": 12}`,
		`{"@message": "m", "@level": null, "` + strings.Repeat("k", 100) + `": null}`,
		`{`, `[]`, `null`, `"text"`, "\x00\xff\xfe", strings.Repeat("x", 200_000), "panic: not really", "",
		`{"@message": "` + strings.Repeat("y", 200_000) + `"}`,
	} {
		fmt.Fprintln(os.Stderr, line)
	}
	fmt.Fprint(os.Stderr, "no line end")
}

// actorConfig makes the actor do what a test wants.
type actorConfig struct {
	Script string         `json:"script"`
	Legs   int            `json:"legs,omitempty"`
	Token  adapter.Secret `json:"token,omitempty"`
}

func (c actorConfig) Listeners() []adapter.Listener {
	switch c.Script {
	case "listen":
		return []adapter.Listener{{Name: "audio", Network: "tcp"}}
	case "doors":
		return []adapter.Listener{
			{Name: "door_tcp", Network: adapter.NetworkTCP, AnyOf: "door"},
			{Name: "door_tls", Network: adapter.NetworkTCP, AnyOf: "door"},
		}
	case "packets":
		return []adapter.Listener{
			{Name: "door_udp", Network: adapter.NetworkUDP, AnyOf: "door"},
			{Name: "door_tcp", Network: adapter.NetworkTCP, AnyOf: "door"},
		}
	}
	return nil
}

func (c actorConfig) Validate() error {
	var ps adapter.Problems
	if _, ok := scripts[c.Script]; !ok {
		ps.Add("script", c.Script, "is no script", "choose another")
	}
	return ps.Err()
}

// actor is an adapter without a wire: it plays a script.
type actor struct{ cfg actorConfig }

func newActor(c actorConfig) (*actor, error) { return &actor{c}, nil }

func serveActor() {
	plug.Serve("actor", actorConfig{Script: "idle"}, newActor, plug.WithVersion("1.2.3"))
}

func (a *actor) Run(ctx context.Context, env adapter.Env, sink adapter.Sink) error {
	if err := scripts[a.cfg.Script](ctx, a.cfg, env, sink); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func (a *actor) Attach(ctx context.Context, r adapter.AttachRequest) (string, error) {
	switch r.Call {
	case "unknown":
		return "", &adapter.Error{Op: "actor.Attach", Call: r.Call, Kind: adapter.KindVendor, Err: errors.New("no such call")}
	case "slow":
		<-ctx.Done()
		return "", ctx.Err()
	}
	return "stream-of-" + r.Call + r.Claims["suffix"], nil
}

type script func(context.Context, actorConfig, adapter.Env, adapter.Sink) error

var scripts = map[string]script{
	"idle":    func(context.Context, actorConfig, adapter.Env, adapter.Sink) error { return nil },
	"listen":  func(context.Context, actorConfig, adapter.Env, adapter.Sink) error { return nil },
	"manners": playManners,
	"notes":   playNotes,
	"stubborn": func(context.Context, actorConfig, adapter.Env, adapter.Sink) error {
		select {} // never stops
	},
	"frozen": func(context.Context, actorConfig, adapter.Env, adapter.Sink) error { return freeze() },
	"crash":  func(context.Context, actorConfig, adapter.Env, adapter.Sink) error { panic("out of cheese") },
	"gives up": func(context.Context, actorConfig, adapter.Env, adapter.Sink) error {
		return &adapter.Error{Op: "actor.Run", Kind: adapter.KindUnavailable, Err: errors.New("the vendor is away")}
	},
	"returns early": func(ctx context.Context, _ actorConfig, _ adapter.Env, sink adapter.Sink) error {
		l, err := openLeg(ctx, sink, 0)
		if err != nil {
			return err
		}
		_ = l
		return errors.New("lost interest")
	},
	"prints": func(context.Context, actorConfig, adapter.Env, adapter.Sink) error {
		fmt.Println("this goes nowhere near the handshake")
		return nil
	},
	"relay":   playRelay,
	"packets": playPackets,
	"doors":   playDoors,
	"deaf":    playDeaf,
	"paced":   playPaced,
	"flood":   playFlood,
	"wait for drain": func(ctx context.Context, _ actorConfig, _ adapter.Env, sink adapter.Sink) error {
		l, err := openLeg(ctx, sink, 0)
		if err != nil {
			return err
		}
		for { // the leg ends when the next one is refused
			_, err := openLeg(ctx, sink, 1)
			if r, ok := errors.AsType[*adapter.Refusal](err); ok && r.Reason == adapter.RefusedDraining {
				return l.Close(adapter.EndReason{Kind: adapter.EndHangup, Text: "drained"})
			}
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(time.Millisecond):
			}
		}
	},
}

func openLeg(ctx context.Context, sink adapter.Sink, n int) (adapter.Leg, error) {
	return sink.Open(ctx, adapter.LegInfo{
		CallKey: fmt.Sprint("call-", n), LegKey: "leg",
		Principal: adapter.Principal{Account: "acme", Method: adapter.MethodNone},
	})
}

var voice = adapter.Track{Format: media.Telephony, Speaker: adapter.Speaker{ID: "customer", Role: adapter.RoleEndUser}}

// playManners does what the contract allows but an adapter seldom does.
func playManners(ctx context.Context, _ actorConfig, env adapter.Env, sink adapter.Sink) error {
	l, err := openLeg(ctx, sink, 0)
	if err != nil {
		return err
	}
	var failures []string
	must := func(what string, ok bool) {
		if !ok {
			failures = append(failures, what)
		}
	}
	must("the conversation is known", adapter.ConversationOf(l) != "")
	must("Write before Join fails", l.Write(media.Frame{Track: "t", Arrived: time.Now(), Payload: []byte{1}}) != nil)
	must("Join with a wrong format fails", l.Join("t", adapter.Track{}) != nil)
	must("Join", l.Join("t", voice) == nil)
	// One buffer, used again and scribbled over at once.
	buf := make([]byte, probe.BlockSamples)
	for n := range 20 {
		buf = probe.AppendBlock(buf[:0], 0, uint32(n))
		must("Write", l.Write(media.Frame{Track: "t", Pos: int64(n * len(buf)), Arrived: time.Now(), Payload: buf}) == nil)
		clear(buf)
	}
	linear := voice
	linear.Format = media.Format{Encoding: media.Linear16, Rate: 8000}
	must("second segment", l.Join("t", linear) == nil)
	must("half a sample fails", l.Write(media.Frame{Track: "t", Arrived: time.Now(), Payload: []byte{1}}) != nil)
	must("no sample fails", l.Write(media.Frame{Track: "t", Arrived: time.Now()}) != nil)
	must("a long frame", l.Write(media.Frame{Track: "t", Pos: 5, Arrived: time.Now(), Payload: make([]byte, 300_000)}) == nil)
	for range 3 {
		env.Count("odd")
	}
	must("Note", l.Note(adapter.Note{Kind: adapter.NoteWarning, Text: strings.Join(failures, "; "), At: time.Now()}) == nil)
	if err := l.Close(adapter.EndReason{Kind: adapter.EndHangup}); err != nil {
		return err
	}
	if err := l.Close(adapter.EndReason{Kind: adapter.EndLost}); err != nil {
		return fmt.Errorf("second Close: %w", err)
	}
	if err := l.Write(media.Frame{Track: "t", Payload: buf}); !errors.Is(err, adapter.ErrClosed) {
		return fmt.Errorf("Write after Close: %w", err)
	}
	if _, open := <-l.Control(); open {
		return errors.New("Control is open after Close")
	}
	return nil
}

// playNotes reports every order of the host as a note.
func playNotes(ctx context.Context, _ actorConfig, _ adapter.Env, sink adapter.Sink) error {
	l, err := openLeg(ctx, sink, 0)
	if err != nil {
		return err
	}
	for {
		select {
		case c := <-l.Control():
			if err := l.Note(adapter.Note{Kind: adapter.NoteMetadata, Text: string(c.Kind) + ": " + c.Reason, At: time.Now()}); err != nil {
				return err
			}
			if c.Kind == adapter.ControlEnd {
				return l.Close(adapter.EndReason{Kind: adapter.EndOrdered, Text: c.Reason})
			}
		case <-ctx.Done():
			return l.Close(adapter.EndReason{Kind: adapter.EndShutdown})
		}
	}
}

// playPaced sends a block of 20 ms every 20 ms on each of cfg.Legs legs.
func playPaced(ctx context.Context, cfg actorConfig, _ adapter.Env, sink adapter.Sink) error {
	var legs sync.WaitGroup
	defer legs.Wait()
	for n := range cfg.Legs {
		l, err := openLeg(ctx, sink, n)
		if err != nil {
			return err
		}
		if err := l.Join("t", voice); err != nil {
			return err
		}
		legs.Go(func() {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			block := probe.AppendBlock(nil, uint16(n), 0)
			for pos := int64(0); ; pos += int64(len(block)) {
				select {
				case now := <-tick.C:
					_ = l.Write(media.Frame{Track: "t", Pos: pos, Arrived: now, Payload: block})
				case <-ctx.Done():
					_ = l.Close(adapter.EndReason{Kind: adapter.EndShutdown})
					return
				}
			}
		})
	}
	return nil
}

// playFlood writes as fast as it can until the host ends the leg.
func playFlood(ctx context.Context, _ actorConfig, _ adapter.Env, sink adapter.Sink) error {
	l, err := openLeg(ctx, sink, 0)
	if err != nil {
		return err
	}
	if err := l.Join("t", voice); err != nil {
		return err
	}
	block := probe.AppendBlock(nil, 0, 0)
	for pos := int64(0); ctx.Err() == nil; pos += int64(len(block)) {
		if err := l.Write(media.Frame{Track: "t", Pos: pos, Arrived: time.Now(), Payload: block}); err != nil {
			break
		}
	}
	return l.Close(adapter.EndReason{Kind: adapter.EndOrdered})
}

// runHost is a host program that a test kills: it runs the plugin that its
// environment names, says where it listens, and goes on.
func runHost() {
	var settings json.RawMessage = []byte(os.Getenv("PATCHBAY_TEST_SETTINGS"))
	p, err := host.New(host.Config{
		Name: "orphan", Path: os.Getenv("PATCHBAY_TEST_PLUGIN"), Settings: settings,
		Listeners: map[string]string{"audio": "127.0.0.1:0"},
	}, adaptertest.NewSink())
	if err != nil {
		fatal(err)
	}
	go func() {
		<-p.Ready()
		s := p.Status()
		fmt.Println(s.PID, s.Addresses["audio"])
	}()
	fatal(p.Run(context.Background()))
}

// talk says hello to a minimal adapter and waits for its answer.
func talk(t *testing.T, addr, call string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	greet(t, conn, call)
	return conn
}

// greet says hello on a connection to a minimal adapter.
func greet(t *testing.T, conn net.Conn, call string) {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(adaptertest.Patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, `{"call":%q,"party":"customer","token":%q}`+"\n", call, minimalToken); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 256)
	n, err := conn.Read(answer)
	if err != nil || !strings.Contains(string(answer[:n]), "ready") {
		t.Fatalf("hello answered with %q, %v", answer[:n], err)
	}
}

// say sends blocks of coded audio to a minimal adapter.
func say(t *testing.T, conn net.Conn, blocks int) {
	t.Helper()
	for n := range blocks {
		packet := probe.AppendBlock([]byte{0, probe.BlockSamples}, 0, uint32(n))
		if _, err := conn.Write(packet); err != nil {
			t.Fatal(err)
		}
	}
}

const (
	minimalPkg   = "github.com/patchbay/patchbay/examples/minimal"
	minimalToken = "a token for tests only"
)

var (
	minimalOnce sync.Once
	minimalDir  string
)

// minimalBin returns the plugin binary of examples/minimal, built once for all tests.
func minimalBin(t *testing.T) string {
	t.Helper()
	minimalOnce.Do(func() {
		dir, err := os.MkdirTemp("", "patchbay-test")
		if err != nil {
			t.Fatal(err)
		}
		minimalDir = dir
		hosttest.BuildInto(t, dir, minimalPkg)
	})
	return hosttest.Binary(minimalDir)
}

var minimalSettings = json.RawMessage(`{"accounts":[{"name":"acme","token":"` + minimalToken + `"}]}`)
