package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/patchbay/patchbay/core/plug/host"
)

// exeSuffix ends the names of programs.
var exeSuffix = map[bool]string{true: ".exe"}[runtime.GOOS == "windows"]

func pluginsCommand(environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plugins",
		Short: "Look at the adapter plugins that are installed",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(pluginsListCommand())
	return cmd
}

// pluginLine is what plugins list says of one binary.
type pluginLine struct {
	Name      string          `json:"name"`
	Path      string          `json:"path"`
	Version   string          `json:"version,omitempty"`
	Abilities []string        `json:"abilities,omitempty"`
	Listeners []string        `json:"listeners,omitempty"`
	SHA256    string          `json:"sha256,omitempty"`
	Schema    json.RawMessage `json:"settings_schema,omitempty"`
	Error     string          `json:"error,omitempty"`
}

func pluginsListCommand() *cobra.Command {
	var dir string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Start each plugin once, and show what it says of itself",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dir == "" {
				var err error
				if dir, err = programDir(); err != nil {
					return err
				}
			}
			paths, err := filepath.Glob(filepath.Join(dir, pluginPrefix+"*"))
			if err != nil {
				return err
			}
			lines := []pluginLine{}
			for _, path := range paths {
				if info, err := os.Stat(path); err != nil || info.IsDir() {
					continue
				}
				lines = append(lines, describe(cmd, path))
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(lines)
			}
			if len(lines) == 0 {
				return fmt.Errorf("no plugins in %s; build them with go tool task build, or name another folder with --dir", dir)
			}
			return printPlugins(cmd, lines)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "folder of the plugins (default: beside this program)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, with the schema of the settings")
	return cmd
}

func describe(cmd *cobra.Command, path string) pluginLine {
	name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(path), pluginPrefix), exeSuffix)
	d, err := host.Describe(cmd.Context(), path)
	if err != nil {
		return pluginLine{Name: name, Path: path, Error: err.Error()}
	}
	l := pluginLine{Name: d.Name, Path: path, Version: d.Version, Abilities: d.Abilities, SHA256: d.SHA256, Schema: d.Schema}
	for _, listener := range d.Listeners {
		l.Listeners = append(l.Listeners, listener.Name+"/"+listener.Network)
	}
	return l
}

func printPlugins(cmd *cobra.Command, lines []pluginLine) error {
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "NAME\tVERSION\tLISTENS ON\tCAN\tSHA256")
	failed := false
	for _, l := range lines {
		if l.Error != "" {
			failed = true
			_, _ = fmt.Fprintf(w, "%s\t%s\n", l.Name, l.Error)
			continue
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%.12s…\n", l.Name, l.Version, strings.Join(l.Listeners, " "), strings.Join(l.Abilities, " "), l.SHA256)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if failed {
		return exitCode(exitFailure)
	}
	return nil
}
