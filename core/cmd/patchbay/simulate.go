package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// simulateCommand runs the simulator that a plugin's binary brings along.
func simulateCommand(environment) *cobra.Command {
	var pluginDir string
	cmd := &cobra.Command{
		Use:   "simulate [--plugin-dir DIR] ADAPTER [ARGUMENTS]",
		Short: "Play an adapter's vendor: runs the simulator in the plugin's binary",
		Long: `Plays the vendor against a running patchbay, with the simulator that the plugin
brings along. What follows the adapter's name goes to it:

  patchbay simulate twilio --help

--plugin-dir DIR in front of the adapter's name says where the plugins are, if not
beside this program.`,
		DisableFlagParsing:    true,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 && args[0] == "--plugin-dir" {
				pluginDir, args = args[1], args[2:]
			}
			if len(args) == 0 || strings.HasPrefix(args[0], "-") {
				if len(args) > 0 && (args[0] == "--help" || args[0] == "-h") {
					return cmd.Help()
				}
				return usageError{errors.New("simulate: name an adapter; patchbay plugins list shows them")}
			}
			path, err := pluginBinary(pluginDir, args[0])
			if err != nil {
				return err
			}
			if args = args[1:]; len(args) > 0 && args[0] == "--" {
				args = args[1:]
			}
			sim := exec.CommandContext(cmd.Context(), path, append([]string{"simulate"}, args...)...)
			sim.Stdin, sim.Stdout, sim.Stderr = cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr()
			sim.Cancel = func() error { return sim.Process.Signal(os.Interrupt) }
			sim.WaitDelay = 10 * time.Second
			err = sim.Run()
			if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() > 0 {
				return exitCode(exit.ExitCode())
			}
			return err
		},
	}
	return cmd
}

// pluginBinary returns the path of a plugin's binary: name itself when it is a path,
// else patchbay-adapter-NAME in dir, or beside the program when dir is empty.
func pluginBinary(dir, name string) (string, error) {
	if strings.ContainsRune(name, filepath.Separator) {
		return name, nil
	}
	if dir == "" {
		var err error
		if dir, err = programDir(); err != nil {
			return "", err
		}
	}
	path := filepath.Join(dir, pluginPrefix+name+exeSuffix)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("there is no plugin %q: %w; build it with go tool task build, or name its path", name, err)
	}
	return path, nil
}

// programDir returns the folder that this program lies in; plugins lie beside it.
func programDir() (string, error) {
	program, err := os.Executable()
	if err != nil {
		return "", err
	}
	if real, err := filepath.EvalSymlinks(program); err == nil {
		program = real
	}
	return filepath.Dir(program), nil
}
