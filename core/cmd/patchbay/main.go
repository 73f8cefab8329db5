// Command patchbay connects contact-centre telephony to Google Agent Assist.
//
// It wires the packages of core together and says what they need in which order;
// what a command does lies in the file of its name. The environment is read here
// and nowhere else.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// The exit codes.
const (
	exitFailure = 1 // what was asked for did not work, or was found wrong
	exitUsage   = 2 // the command line makes no sense
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := execute(ctx, environment{
		args: os.Args[1:], stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, lookup: os.LookupEnv,
	})
	stop()
	os.Exit(code)
}

// environment is what the program takes from outside.
type environment struct {
	args   []string
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	lookup func(string) (string, bool)
}

func (e environment) get(name, missing string) string {
	if v, ok := e.lookup(name); ok && v != "" {
		return v
	}
	return missing
}

// execute runs one command line and returns the exit code.
func execute(ctx context.Context, env environment) int {
	root := rootCommand(env)
	root.SetArgs(env.args)
	root.SetIn(env.stdin)
	root.SetOut(env.stdout)
	root.SetErr(env.stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if code, ok := errors.AsType[exitCode](err); ok { // has been said already
		return int(code)
	}
	fmt.Fprintln(env.stderr, "patchbay:", err)
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	return exitFailure
}

// exitCode ends the program with a code, without another word.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// usageError is a command line that makes no sense.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func rootCommand(env environment) *cobra.Command {
	root := &cobra.Command{
		Use:   "patchbay",
		Short: "Connects contact-centre telephony to Google Agent Assist",
		Long: `Patchbay takes a copy of your calls' audio from Twilio and other platforms,
streams it into Google Agent Assist, and brings transcripts and suggestions back.

  patchbay demo                 see a call being heard and helped, on this machine alone
  patchbay run                  the same, waiting for your calls
  patchbay run -c patchbay.yml  for real`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
	})
	root.AddCommand(
		runCommand(env), demoCommand(env), emulatorCommand(env), simulateCommand(env),
		callsCommand(env), pluginsCommand(env), versionCommand(),
	)
	wrapArgs(root)
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages ", fmt.Sprintf(".FlagUsagesWrapped %d ", unknownWidth)))
	return root
}

// wrapArgs makes wrong arguments usage errors.
func wrapArgs(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usageError{fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		wrapArgs(sub)
	}
}
