package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/patchbay/patchbay/core/emulator"
)

// faultFlags are the ways to make the emulator misbehave from a command line.
type faultFlags struct {
	orders []string
	file   string
	seed   uint64
	admin  string
}

func (ff *faultFlags) register(cmd *cobra.Command) {
	f := cmd.Flags()
	var kinds []string
	for _, k := range emulator.FaultKinds() {
		kinds = append(kinds, string(k))
	}
	f.StringArrayVar(&ff.orders, "fault", nil, "a fault to commit, as stream-end:UNAVAILABLE@20s or drop-final,chance=0.1 (repeatable): "+strings.Join(kinds, ", "))
	f.StringVar(&ff.file, "faults", "", "file with a plan of faults (YAML: seed, faults)")
	f.Uint64Var(&ff.seed, "seed", 0, "of the chances and moments of faults; 0 takes the plan's")
	f.StringVar(&ff.admin, "admin", "", "loopback address of the admin API: /faults, /account; empty: none")
}

// plan joins the file's plan and the flags'.
func (ff *faultFlags) plan() (p emulator.Plan, err error) {
	if ff.file != "" {
		r, err := os.Open(ff.file)
		if err != nil {
			return p, fmt.Errorf("--faults: %w", err)
		}
		p, err = emulator.ReadPlan(r)
		_ = r.Close() // it was only read
		if err != nil {
			return p, fmt.Errorf("--faults %s: %w", ff.file, err)
		}
	}
	for _, text := range ff.orders {
		f, err := emulator.ParseFault(text)
		if err != nil {
			return p, usageError{fmt.Errorf("--fault: %w", err)}
		}
		p.Faults = append(p.Faults, f)
	}
	if ff.seed != 0 {
		p.Seed = ff.seed
	}
	return p, nil
}

// serveAdmin adds the admin API to a running emulator, whose stop then ends both.
func (e *localEmulator) serveAdmin(listen string) (addr string, err error) {
	ln, err := emulator.ListenAdmin(listen)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	var served error
	serving.Go(func() { served = e.ServeAdmin(ctx, ln) })
	stop := e.stop
	e.stop = func() error {
		cancel()
		serving.Wait()
		if err := stop(); err != nil {
			return err
		}
		return served
	}
	return ln.Addr().String(), nil
}
