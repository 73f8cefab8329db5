package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	dialogflow "cloud.google.com/go/dialogflow/apiv2beta1"
	"go.uber.org/goleak"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/patchbay/patchbay/adapters/twilio/sim"
	"github.com/patchbay/patchbay/core/emulator"
	"github.com/patchbay/patchbay/core/emulator/hear"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a relay in front of an emulator.
type rig struct {
	emulator *emulator.Server
	addr     string // of the relay
	said     *bytes.Buffer
	logged   *bytes.Buffer
	stop     func() // returns when everything has ended
}

func startRig(t *testing.T, change func(*emulator.Config)) *rig {
	t.Helper()
	cfg := emulator.DefaultConfig()
	cfg.Recognizer = hear.Coded{}
	change(&cfg)
	e, err := emulator.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	google, twilio := listen(t), listen(t)
	opts := []option.ClientOption{option.WithEndpoint(google.Addr().String()), option.WithoutAuthentication(), option.WithTelemetryDisabled(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials()))}
	conversations, err := dialogflow.NewConversationsClient(t.Context(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	participants, err := dialogflow.NewParticipantsClient(t.Context(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	k := &rig{emulator: e, addr: twilio.Addr().String(), said: &bytes.Buffer{}, logged: &bytes.Buffer{}}
	parent := "projects/local/locations/global"
	r := &relay{
		parent: parent, profile: parent + "/conversationProfiles/demo", conversations: conversations, participants: participants,
		log: slog.New(slog.NewTextHandler(io.MultiWriter(k.logged, t.Output()), nil)), out: k.said,
	}
	ctx, cancel := context.WithCancel(context.Background())
	var relaying, emulating sync.WaitGroup
	emulatorCtx, stopEmulator := context.WithCancel(context.Background())
	emulating.Go(func() {
		if err := e.Serve(emulatorCtx, google); err != nil {
			t.Error(err)
		}
	})
	relaying.Go(func() {
		if err := r.serve(ctx, twilio); err != nil {
			t.Error(err)
		}
	})
	k.stop = sync.OnceFunc(func() {
		cancel()
		relaying.Wait()
		for _, c := range []io.Closer{conversations, participants} {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
		stopEmulator()
		emulating.Wait()
	})
	t.Cleanup(k.stop)
	return k
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// call plays a call of coded audio, and returns how many blocks were sent and how
// many the emulator heard. The first stream of the simulator's call is inbound.
func (k *rig) call(t *testing.T, d time.Duration, speed float64) (sent, heard int) {
	t.Helper()
	report, err := sim.Run(t.Context(), sim.Options{
		Stream: "ws://" + k.addr + "/stream", Account: "AC00000000000000000000000000000001", Duration: d, Speed: speed,
	})
	if err != nil {
		t.Fatal(err)
	}
	k.stop()
	for _, c := range report.Calls {
		if c.Error != "" {
			t.Errorf("the call failed: %s", c.Error)
		}
		for _, track := range c.Tracks {
			sent += int(track.Frames)
		}
		account, ok := k.emulator.Account().Conversation(c.Call)
		if !ok || !account.Completed {
			t.Fatalf("the conversation %s was not completed", c.Call)
		}
		for _, p := range account.Participants {
			for _, b := range p.Blocks {
				heard += b.Distinct
			}
		}
	}
	return sent, heard
}

// TestRelays shows that the relay is a fair one: where nothing goes wrong, it loses
// nothing, and says who said what.
func TestRelays(t *testing.T) {
	k := startRig(t, func(c *emulator.Config) { c.Speed = 8 })
	sent, heard := k.call(t, 8*time.Second, 8)
	if sent != 800 || heard != sent {
		t.Errorf("%d blocks were sent, %d heard; want 800 and all of them", sent, heard)
	}
	for _, want := range []string{"inbound: blocks 0-49", "outbound: blocks 0-49"} {
		if !strings.Contains(k.said.String(), want) {
			t.Errorf("it did not print %q:\n%s", want, k.said)
		}
	}
}

// TestLosesWhatFollowsALimit shows what patchbay is for: a stream that Agent Assist
// ends takes the rest of the call along.
func TestLosesWhatFollowsALimit(t *testing.T) {
	k := startRig(t, func(c *emulator.Config) { c.Speed, c.Limits.Extended = 8, 4*time.Second })
	sent, heard := k.call(t, 8*time.Second, 8)
	if heard < sent/4 || heard > sent*3/4 {
		t.Errorf("of %d blocks %d were heard; want about half", sent, heard)
	}
	if !strings.Contains(k.logged.String(), "a stream broke") {
		t.Error("it did not say so")
	}
}
