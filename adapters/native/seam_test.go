package native

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	dialogflow "cloud.google.com/go/dialogflow/apiv2beta1"
	pb "cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/patchbay/patchbay/adapters/native/sim"
	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/adapter/adaptertest"
	"github.com/patchbay/patchbay/core/assist"
	"github.com/patchbay/patchbay/core/call"
	"github.com/patchbay/patchbay/core/emulator"
	"github.com/patchbay/patchbay/core/emulator/hear"
	"github.com/patchbay/patchbay/core/plug/host"
	"github.com/patchbay/patchbay/core/plug/host/hosttest"
)

// seamSpeed is how many times faster than real time these tests play.
const seamSpeed = 40

// newSeam is the whole way with a plugin of its own process and real sockets, with stream
// limits of 40 s.
func newSeam(t *testing.T) (r *rig, address string) {
	t.Helper()
	r, plugins := newSeams(t, "native")
	return r, plugins[0].Addr(listenerGRPC)
}

// newSeams is the same with several plugins.
func newSeams(t *testing.T, names ...string) (r *rig, plugins []*hosttest.Instance) {
	t.Helper()
	cfg := emulator.DefaultConfig()
	cfg.Recognizer, cfg.Speed, cfg.Limits.Extended = hear.Coded{}, seamSpeed, 40*time.Second
	cfg.Limits.Ahead, cfg.Limits.SpeedUp = 5*time.Minute, 2
	em, err := emulator.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		if err := em.Serve(ctx, ln); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	pool := assist.NewPool(assist.Options{TimeScale: seamSpeed, Marks: map[assist.Transport]assist.Marks{assist.Extended: {Soft: 15 * time.Second, Hard: 20 * time.Second}}})
	t.Cleanup(func() { _ = pool.Close() })
	calls := call.NewManager(call.Config{Limits: call.DefaultLimits(), Routes: []call.Route{{
		Google:  assist.Google{Project: "local", Location: "global", Endpoint: ln.Addr().String(), Insecure: true},
		Profile: "demo", Relay: []string{assist.AllowCalls},
	}}}, pool, slog.New(slog.DiscardHandler))
	settings, err := json.Marshal(testConfig())
	if err != nil {
		t.Fatal(err)
	}
	bin := hosttest.Build(t, "github.com/patchbay/patchbay/plugins/native")
	for _, name := range names {
		plugins = append(plugins, hosttest.Start(t, host.Config{Name: name, Path: bin, Settings: settings, Listeners: hosttest.Loopback(Config{}.Listeners())}, calls.Sink(name)))
	}
	t.Cleanup(func() {
		stop, done := context.WithTimeout(ctx, adaptertest.Patience)
		defer done()
		calls.Shutdown(stop)
		for _, p := range plugins {
			if err := p.Stop(stop); err != nil {
				t.Error(err)
			}
		}
	})
	return &rig{T: t, em: em, calls: calls}, plugins
}

// settled checks the ledgers of all calls.
func (r *rig) settled() {
	r.Helper()
	for _, c := range r.calls.Calls() {
		for _, tr := range c.Info().Tracks {
			if err := tr.Ledger.Balanced(); err != nil || !tr.Ledger.Settled() || len(tr.Ledger.Discarded) > 0 {
				r.Errorf("call %s, track %s: ledger %+v, %v", c.ID(), tr.Track, tr.Ledger, err)
			}
		}
	}
}

// Google's unmodified client streams for longer than three of Google's (shortened) stream
// limits, and gets every word once.
func TestThroughThePlugin(t *testing.T) {
	r, address := newSeam(t)
	ctx := t.Context()
	var err error
	opts := []option.ClientOption{
		option.WithEndpoint(address), option.WithoutAuthentication(), option.WithTelemetryDisabled(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
		option.WithGRPCDialOption(grpc.WithPerRPCCredentials(bearer(testToken))),
	}
	if r.convs, err = dialogflow.NewConversationsClient(ctx, opts...); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.convs.Close() }()
	if r.parts, err = dialogflow.NewParticipantsClient(ctx, opts...); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.parts.Close() }()
	_, customer, _ := r.conversation("CAseam")
	if _, err := r.parts.GetParticipant(ctx, &pb.GetParticipantRequest{Name: "projects/theirs/conversations/c/participants/p"}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("another project: %v; want PERMISSION_DENIED", err)
	}
	if _, err := r.parts.GetParticipant(ctx, &pb.GetParticipantRequest{Name: customer + "x"}); status.Code(err) != codes.NotFound {
		t.Errorf("an unknown participant: %v; want Google's NOT_FOUND", err)
	}
	st := r.open(1, config(customer))
	st.pause = 100 * time.Millisecond / seamSpeed
	st.say(130 * time.Second)
	if err := st.end(); err != nil {
		t.Fatal(err)
	}
	if got := words(t, texts(st.finals())); got != st.n {
		t.Errorf("the finals hold %d blocks; want %d", got, st.n)
	}
	wantOffsets(t, st)
	r.settled()
	if n := r.calls.Calls()[0].Info().Session.Tracks[0].Streams; n < 4 {
		t.Errorf("Agent Assist had %d streams; want more than three", n)
	}
}

// The simulator's calls arrive whole, whatever protocol it speaks: what it says it sent is
// what the ledger and the emulator count.
func TestSimulator(t *testing.T) {
	r, address := newSeam(t)
	for i, api := range []sim.API{sim.V2, sim.V2Beta1, sim.Bidi, sim.Ingest} {
		o := sim.Options{Address: address, Token: testToken, API: api, Calls: 4, First: i * 4, Duration: 20 * time.Second, Speed: seamSpeed}
		if api == sim.V2Beta1 {
			o.Turn = 7 * time.Second
		}
		report, err := sim.Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		for n, c := range report.Calls {
			if c.Error != "" {
				t.Errorf("%s: %s", api, c.Error)
				continue
			}
			r.account(c, o.First+n)
		}
	}
	r.settled()
}

// A plugin that is killed takes its own streams along and nobody else's, and serves again
// soon after; what its calls had said is settled all the same.
func TestKilledPlugin(t *testing.T) {
	r, plugins := newSeams(t, "one", "other")
	spared := sim.Options{Address: plugins[0].Addr(listenerGRPC), Token: testToken, Calls: 10, Duration: time.Minute, Speed: seamSpeed}
	killed := spared
	killed.Address, killed.First = plugins[1].Addr(listenerGRPC), 10
	var playing sync.WaitGroup
	var kept, lost adapter.SimReport
	playing.Go(func() { kept, _ = sim.Run(t.Context(), spared) })
	playing.Go(func() { lost, _ = sim.Run(t.Context(), killed) })
	for r.calls.Stats().Live < 20 {
		runtime.Gosched()
	}
	p, err := os.FindProcess(plugins[1].Status().PID)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	playing.Wait()
	for n, c := range kept.Calls {
		if c.Error != "" {
			t.Errorf("a call of the plugin that was not killed: %s", c.Error)
			continue
		}
		r.account(c, n)
	}
	failed := 0
	for _, c := range lost.Calls {
		if c.Error != "" {
			failed++
		}
	}
	if failed == 0 {
		t.Error("no call noticed that its plugin was killed")
	}
	killed.Calls, killed.First, killed.Duration = 1, 20, 10*time.Second
	select {
	case <-plugins[1].Ready():
	case <-time.After(adaptertest.Patience):
		t.Fatal("the plugin does not come back")
	}
	again, err := sim.Run(t.Context(), killed)
	if err != nil || again.Calls[0].Error != "" {
		t.Errorf("a call after the restart: %v, %+v", err, again)
	}
	stop, cancel := context.WithTimeout(t.Context(), adaptertest.Patience)
	defer cancel()
	r.calls.Shutdown(stop)
	for _, c := range r.calls.Calls() {
		for _, tr := range c.Info().Tracks {
			if err := tr.Ledger.Balanced(); err != nil || tr.Ledger.Pending+tr.Ledger.InFlight > 0 {
				t.Errorf("call %s, track %s: %+v, %v", c.ID(), tr.Track, tr.Ledger, err)
			}
		}
	}
}

// account holds a simulated call against the ledger and the emulator.
func (r *rig) account(c adapter.SimCall, number int) {
	r.Helper()
	found, ok := r.calls.Find(c.Call)
	if !ok {
		r.Errorf("call %s is unknown", c.Call)
		return
	}
	info := found.Info()
	name := info.Conversation
	if len(info.Tracks) != len(c.Tracks) {
		r.Errorf("call %s has %d tracks; want %d", c.Call, len(info.Tracks), len(c.Tracks))
	}
	for who, sent := range c.Tracks {
		for _, tr := range info.Tracks {
			if tr.Track == string(sent.Track) && tr.Ledger.Received != sent.Samples {
				r.Errorf("call %s, track %s: %d samples; sent %d", c.Call, sent.Track, tr.Ledger.Received, sent.Samples)
			}
		}
		account, _ := r.em.Account().Conversation(name)
		heard := 0 // a busy machine may make a stream late, which is then sent again
		for _, p := range account.Participants {
			for b := range r.em.Blocks(p.Name) {
				if b.Stream == sim.CodedStream(number, sim.Speaker(who)) {
					heard++
				}
			}
		}
		if want := int(sent.Samples / 160); heard != want {
			r.Errorf("call %s, %v: %d blocks were heard; want %d", c.Call, sim.Speaker(who), heard, want)
		}
	}
}
