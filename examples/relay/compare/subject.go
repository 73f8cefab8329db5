package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"time"
)

const hostConfig = `
api: {listen: "%s"}
google: {project: local, location: global, endpoint: "%s", insecure: true, quotas: {stream_starts: -1}} # as the relay: it knows none
%s
limits: {calls: 2000, grace: 500ms}
spool: {dir: "%s", off: %t}
log: {level: warn}
%s
`

// process is a system that runs.
type process struct {
	cmd     *exec.Cmd
	address string // where the vendor connects
	metrics string // URL of its metrics; empty for the relay, which has none
	output  string // file with what it says
	end     context.CancelFunc
	ended   chan struct{}
}

// start starts a system and waits until it takes calls.
func (b *bench) start(ctx context.Context, s system) (*process, error) {
	ctx, end := context.WithCancel(ctx)
	p := &process{end: end, ended: make(chan struct{}), output: b.path(string(s) + ".log")}
	probe, err := b.command(ctx, s, p)
	if err == nil {
		err = p.spawn()
	}
	if err != nil {
		end()
		return nil, err
	}
	if err := p.ready(ctx, probe); err != nil {
		p.stop()
		return nil, p.explain(err)
	}
	return p, nil
}

// command prepares the command line of a system, and returns the URL that answers
// when it is ready.
func (b *bench) command(ctx context.Context, s system, p *process) (probe string, err error) {
	if p.address, err = freeAddress(); err != nil {
		return "", err
	}
	if s == relaySystem {
		p.cmd = exec.CommandContext(ctx, b.relay, "-listen", p.address, "-endpoint", b.counter.addr)
		return "http://" + p.address + "/", nil
	}
	api, err := freeAddress()
	if err != nil {
		return "", err
	}
	file := b.path("patchbay.yml")
	text := fmt.Sprintf(hostConfig, api, b.counter.addr, doors[s].config(p.address), b.path("spool"), b.noSpool, b.extra)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return "", err
	}
	p.metrics = "http://" + api + "/metrics"
	p.cmd = exec.CommandContext(ctx, b.patchbay, "run", "-c", file)
	return "http://" + api + "/readyz", nil
}

// spawn runs the command. stop must follow.
func (p *process) spawn() error {
	out, err := os.Create(p.output)
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }() // the process has its own
	p.cmd.Env = append(os.Environ(), "COMPARE_TOKEN="+authToken, "COMPARE_SECRET="+streamSecret)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(os.Interrupt) }
	p.cmd.WaitDelay = patience
	if err := p.cmd.Start(); err != nil {
		return err
	}
	go func() { // until stop
		_ = p.cmd.Wait() // interrupted, as a rule
		close(p.ended)
	}()
	return nil
}

// ready returns when a URL answers without an error of the server's.
func (p *process) ready(ctx context.Context, url string) error {
	client := &http.Client{Timeout: time.Second}
	defer client.CloseIdleConnections()
	return every(ctx, "ready", func() bool {
		res, err := client.Get(url)
		if err != nil {
			return false
		}
		_ = res.Body.Close()
		return res.StatusCode < http.StatusInternalServerError
	}, p.ended)
}

// handovers returns the histogram of the system's own delay, nothing for the relay.
func (p *process) handovers() ([]bucket, error) {
	if p.metrics == "" {
		return nil, nil
	}
	return handovers(p.metrics)
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop interrupts the process and waits for its end; one that does not end is killed.
func (p *process) stop() {
	p.end()
	<-p.ended
}

// explain adds what the process said.
func (p *process) explain(err error) error {
	return fmt.Errorf("%w\n%s", err, p.said())
}

func (p *process) said() string {
	b, _ := os.ReadFile(p.output) // it may have said nothing
	return string(tail(b))
}

// freeAddress returns an address of this machine that was free a moment ago.
func freeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}
