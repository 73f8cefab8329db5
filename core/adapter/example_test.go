package adapter_test

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/adapter/adaptertest"
	"github.com/patchbay/patchbay/core/media"
)

// oneCall is an adapter whose vendor sends a single call of one frame.
type oneCall struct{}

// Run implements adapter.Adapter.
func (oneCall) Run(ctx context.Context, _ adapter.Env, sink adapter.Sink) error {
	leg, err := sink.Open(ctx, adapter.LegInfo{
		CallKey: "call-1", LegKey: "customer",
		Principal: adapter.Principal{Account: "acme", Method: adapter.MethodToken},
	})
	if err != nil {
		return nil // refused: a real adapter tells its vendor
	}
	err = leg.Join("inbound", adapter.Track{
		Format:  media.Telephony,
		Speaker: adapter.Speaker{ID: "customer", Role: adapter.RoleEndUser, Evidence: "example"},
	})
	if err != nil {
		return err
	}
	packet := make([]byte, 160) // 20 ms of mu-law, to be used again for the next one
	err = leg.Write(media.Frame{Track: "inbound", Pos: 0, Arrived: time.Now(), Payload: packet})
	if err != nil {
		return err
	}
	<-ctx.Done()
	return leg.Close(adapter.EndReason{Kind: adapter.EndShutdown, Text: "the adapter stops"})
}

// An adapter is tried without a host: a Sink of package adaptertest takes its legs.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	sink := adaptertest.NewSink()
	done := make(chan error)
	go func() {
		done <- oneCall{}.Run(ctx, adapter.Env{Name: "example", Log: slog.New(slog.DiscardHandler)}, sink)
	}()
	for len(sink.Legs()) == 0 || sink.Legs()[0].Frames() == 0 {
		runtime.Gosched() // a test would use Sink.WaitLeg and Leg.WaitFrames
	}
	stop()
	if err := <-done; err != nil {
		fmt.Println(err)
	}
	for _, e := range sink.Events() {
		fmt.Println(e)
	}
	// Output:
	// leg 0: open call=call-1 leg=customer account=acme method=token
	// leg 0: join inbound mulaw/8000 speaker=customer role=end_user (example)
	// leg 0: close shutdown "the adapter stops"
}
