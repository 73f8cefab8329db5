package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/assist"
	"github.com/patchbay/patchbay/core/call"
	"github.com/patchbay/patchbay/core/emulator"
	"github.com/patchbay/patchbay/core/emulator/recordings"
	"github.com/patchbay/patchbay/core/event"
	"github.com/patchbay/patchbay/core/telemetry"
)

// fastSpeed is the pace of demo --fast. The simulator, the emulator and the limits
// of streams share it.
const fastSpeed = 8

func demoCommand(env environment) *cobra.Command {
	d := demo{env: env}
	var fast bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Play a support call through everything, and watch it being helped",
		Long: `Starts the local Agent Assist emulator, the host and the real Twilio plugin, and
lets the plugin's simulator play a recorded support call over a real WebSocket. You
see who says what and the suggestions as they come. At the end three independent
counts of the audio must agree, or the exit code is 1: what the simulator sent, what
the ledger says, what the emulator heard.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d.speed = 1
			if fast {
				d.speed = fastSpeed
			}
			err := d.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
			if _, said := errors.AsType[exitCode](err); err != nil && !said && cmd.Context().Err() != nil {
				_, _ = fmt.Fprintln(cmd.OutOrStdout(), "Stopped before the end of the call; nothing was compared.")
				return exitCode(exitFailure)
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&d.lang, "lang", "en", "`LANGUAGE` of the call: "+strings.Join(recordings.Names(), ", "))
	f.BoolVar(&fast, "fast", false, fmt.Sprintf("%d times faster than real time", fastSpeed))
	f.BoolVar(&d.keep, "keep", false, "stay up afterwards, and print where to look")
	f.Int64Var(&d.dropChunk, "drop-chunk", 0, "lose chunk `N` of the customer's audio on the way: the counts must notice")
	return cmd
}

// demo is one demonstration.
type demo struct {
	env       environment
	lang      string
	speed     float64
	keep      bool
	dropChunk int64

	begun     time.Time
	recording recordings.Recording
	emulator  *localEmulator
	node      *node
	secrets   localSettings
}

func (d *demo) run(ctx context.Context, out, logs io.Writer) (err error) {
	d.begun = time.Now()
	if d.recording, err = recordings.Open(d.lang); err != nil {
		return usageError{err}
	}
	p := &printer{w: out, colour: colourOn(out, d.env.lookup)}
	p.printf("patchbay %s: starting emulator, host and Twilio plugin …\n", version)
	if d.node, err = d.start(logs); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.emulator.stop()) }()

	hosting, stop := context.WithCancel(ctx)
	hosted := make(chan error, 1)
	go func() { hosted <- d.node.run(hosting) }()
	defer func() {
		stop()
		err = errors.Join(err, <-hosted)
	}()
	ready, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // a host that fails is never ready
		select {
		case err := <-hosted:
			hosted <- err
			cancel()
		case <-ready.Done():
		}
	}()
	if err := d.node.ready(ready); err != nil {
		return ctx.Err() // what failed comes from hosted
	}
	return d.play(ctx, p)
}

// start opens the emulator and the host.
func (d *demo) start(logs io.Writer) (*node, error) {
	log, err := telemetry.NewLogger(logs, "warn", telemetry.FormatText)
	if err != nil {
		return nil, err
	}
	ec := emulator.DefaultConfig()
	ec.Speed, ec.Language, ec.Logger = d.speed, d.recording.Language, log
	if d.emulator, err = startEmulator(ec, "127.0.0.1:0"); err != nil {
		return nil, err
	}
	d.secrets = localSettings{
		api: "127.0.0.1:0", google: d.emulator.addr, twilio: "127.0.0.1:0", public: "http://localhost/twilio",
		token: rand.Text(), secret: rand.Text(), grace: 500 * time.Millisecond,
	}
	if d.keep {
		d.secrets.api = freeAddress(localAPI)
	}
	cfg, err := d.secrets.config()
	if err == nil {
		var n *node
		if n, err = newNode(cfg, assist.Options{TimeScale: d.speed}, log); err == nil {
			return n, nil
		}
	}
	return nil, errors.Join(err, d.emulator.stop())
}

// play makes the call, shows it, and compares the counts.
func (d *demo) play(ctx context.Context, p *printer) error {
	pace := "in real time"
	if d.speed != 1 {
		pace = fmt.Sprintf("at %g times its speed", d.speed)
	}
	status := d.node.plugins[0].Status()
	p.printf("Ready after %v. A recorded support call follows (%s, %s).\n\n",
		time.Since(d.begun).Round(time.Millisecond), d.recording.Language, pace)

	calling, hangUp := context.WithCancel(ctx)
	defer hangUp()
	type result struct {
		report adapter.SimReport
		err    error
	}
	simulated := make(chan result, 1)
	go func() {
		report, err := d.simulate(calling, status.Addresses["http"])
		simulated <- result{report, err}
	}()
	done := make(chan struct{}) // closed when the simulator ended without a call to show
	var sim result
	go func() {
		sim = <-simulated
		close(done)
	}()
	c, err := d.awaitCall(ctx, done)
	var times latencies
	if err == nil {
		err = d.show(ctx, c, p.w, &times)
	}
	if err != nil {
		hangUp()
	}
	<-done
	if err := errors.Join(sim.err, err); err != nil {
		return err
	}
	agree := d.compare(p, c, sim.report)
	times.print(p)
	if d.keep {
		d.stay(ctx, p, c)
	}
	if p.err != nil {
		return p.err
	}
	if !agree {
		return exitCode(exitFailure)
	}
	return nil
}

// simulate runs the plugin's simulator as a process of its own.
func (d *demo) simulate(ctx context.Context, twilio string) (adapter.SimReport, error) {
	var report adapter.SimReport
	binary, err := pluginBinary("", "twilio")
	if err != nil {
		return report, err
	}
	folder, err := os.MkdirTemp("", "patchbay-demo-")
	if err != nil {
		return report, err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	wav := filepath.Join(folder, "call.wav")
	if err := os.WriteFile(wav, d.recording.WAV, 0o600); err != nil {
		return report, err
	}
	sim := exec.CommandContext(ctx, binary, "simulate",
		"--stream", "ws://localhost/twilio/stream", "--connect", "http://"+twilio,
		"--account", localAccount, "--auth-token", "env:SIM_TOKEN", "--secret", "env:SIM_SECRET",
		"--wav", wav, "--speed", strconv.FormatFloat(d.speed, 'g', -1, 64),
		"--drop-chunk", strconv.FormatInt(d.dropChunk, 10), "--json")
	sim.Env = []string{"SIM_TOKEN=" + d.secrets.token, "SIM_SECRET=" + d.secrets.secret}
	var stdout, stderr bytes.Buffer
	sim.Stdout, sim.Stderr = &stdout, &stderr
	sim.Cancel = func() error { return sim.Process.Signal(os.Interrupt) }
	sim.WaitDelay = 5 * time.Second
	if err := sim.Run(); err != nil {
		return report, fmt.Errorf("the simulator failed: %w\n%s", err, stderr.String())
	}
	lines := strings.Split(strings.TrimSpace(stdout.String()), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &report); err != nil {
		return report, fmt.Errorf("the simulator's report makes no sense: %w", err)
	}
	return report, nil
}

// awaitCall returns the call that the simulator makes.
func (d *demo) awaitCall(ctx context.Context, simulatorEnded <-chan struct{}) (*call.Call, error) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if calls := d.node.calls.Calls(); len(calls) > 0 {
			return calls[0], nil
		}
		select {
		case <-tick.C:
		case <-simulatorEnded:
			return nil, errors.New("the call did not reach the host")
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// show prints the call's events until its end.
func (d *demo) show(ctx context.Context, c *call.Call, out io.Writer, times *latencies) error {
	r := newRenderer(out, d.env.lookup)
	defer r.close()
	var seq uint64
	for {
		events, err := c.Events().Next(ctx, seq, 0)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, e := range events {
			r.render(e)
			times.add(e)
			seq = e.Seq
		}
	}
}

// stay keeps everything up until ctx ends.
func (d *demo) stay(ctx context.Context, p *printer, c *call.Call) {
	api := "http://" + d.node.ln.Addr().String()
	p.printf(`
Still up; Ctrl-C ends it.
  the call      %s/v1/calls/%s
  its events    curl -N %s/v1/calls/%s/events
  the API       %s/openapi.json
  metrics       %s/metrics
`, api, c.ID(), api, c.ID(), api, api)
	<-ctx.Done()
}

// printer remembers the first error of writing.
type printer struct {
	w      io.Writer
	colour bool
	err    error
}

func (p *printer) styled(style, text string) string { return styled(p.colour, style, text) }

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

// latencies gathers how long after its audio an event came.
type latencies struct {
	interim, final, suggestion []time.Duration
}

func (l *latencies) add(e event.Event) {
	switch {
	case e.Kind == event.TranscriptInterim:
		l.interim = append(l.interim, e.Time.Sub(e.Transcript.End))
	case e.Kind == event.TranscriptFinal:
		l.final = append(l.final, e.Time.Sub(e.Transcript.End))
	case e.Kind == event.SuggestionOffered && !e.Suggestion.HeardAt.IsZero():
		l.suggestion = append(l.suggestion, e.Time.Sub(e.Suggestion.HeardAt))
	}
}
