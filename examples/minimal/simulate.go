package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/media/probe"
)

const (
	packetSize     = probe.BlockSamples // bytes: 20 ms of mu-law
	packetDuration = 20 * time.Millisecond
	setUpTimeout   = 10 * time.Second
)

// simulate is `patchbay-adapter-minimal simulate`: calls of two parties whose
// audio numbers itself (package probe), so that what arrives can be counted.
func simulate(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("simulate", flag.ContinueOnError)
	fs.SetOutput(stderr)
	addr := fs.String("addr", "127.0.0.1:9000", "address of the adapter's `audio` listener")
	tokenVar := fs.String("token-env", "MINIMAL_TOKEN", "environment variable that holds the account's token")
	calls := fs.Int("calls", 1, "simultaneous calls")
	first := fs.Int("first", 0, "number of the first call; also that of its coded audio")
	duration := fs.Duration("duration", 10*time.Second, "length of each call")
	speed := fs.Float64("speed", 1, "times real time")
	asJSON := fs.Bool("json", false, "print a report as JSON in the last line")
	if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil || fs.NArg() > 0 || *calls < 1 || *speed <= 0 {
		_, _ = fmt.Fprintln(stderr, "simulate takes flags only, at least one call and a positive speed")
		return 2
	}
	s := simulation{addr: *addr, token: os.Getenv(*tokenVar), packets: int(*duration / packetDuration), pace: time.Duration(float64(packetDuration) / *speed)}
	report := adapter.SimReport{Calls: make([]adapter.SimCall, *calls)}
	var running sync.WaitGroup
	for i := range report.Calls {
		running.Go(func() { report.Calls[i] = s.call(ctx, *first+i) })
	}
	running.Wait()

	code := 0
	for _, c := range report.Calls {
		if c.Error != "" {
			code = 1
			_, _ = fmt.Fprintf(stderr, "%s: %s\n", c.Call, c.Error)
		}
	}
	if *asJSON {
		if err := json.NewEncoder(stdout).Encode(report); err != nil {
			return 1
		}
		return code
	}
	what := "calls"
	if *calls == 1 {
		what = "call"
	}
	_, _ = fmt.Fprintf(stdout, "%d %s of %v sent\n", *calls, what, *duration)
	return code
}

// simulation is what all calls of a run share.
type simulation struct {
	addr, token string
	packets     int
	pace        time.Duration
}

// call plays one call: a leg for each party. The coded stream is twice the call's
// number, plus one for the agent.
func (s simulation) call(ctx context.Context, n int) adapter.SimCall {
	report := adapter.SimCall{Call: fmt.Sprint("sim-", n), Tracks: make([]adapter.SimTrack, 2)}
	errs := make([]error, 2)
	var parties sync.WaitGroup
	for i, party := range []string{"customer", "agent"} {
		parties.Go(func() {
			report.Tracks[i].Track = media.TrackID(party)
			errs[i] = s.leg(ctx, hello{Call: report.Call, Party: party, Token: s.token}, uint16(2*n+i), &report.Tracks[i])
		})
	}
	parties.Wait()
	if err := errors.Join(errs...); err != nil {
		report.Error = err.Error()
	}
	return report
}

// leg sends one party's audio and counts what it sent.
func (s simulation) leg(ctx context.Context, h hello, stream uint16, sent *adapter.SimTrack) error {
	setUp, cancel := context.WithTimeout(ctx, setUpTimeout)
	defer cancel()
	p, err := dial(setUp, s.addr, h)
	if err != nil {
		return err
	}
	defer func() { _ = p.conn.Close() }()
	tick := time.NewTicker(max(s.pace, time.Microsecond))
	defer tick.Stop()
	buf := make([]byte, 0, packetSize)
	for n := range s.packets {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return p.goodbye()
		}
		if err := p.send(probe.AppendBlock(buf, stream, uint32(n))); err != nil {
			return err
		}
		sent.Frames++
		sent.Samples += packetSize
	}
	return p.goodbye()
}
