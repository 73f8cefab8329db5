package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/config"
	"github.com/patchbay/patchbay/core/tape/spool"
)

// closeSpool ends a spool that never ran.
func closeSpool(t *testing.T, s *spool.Spool) {
	t.Helper()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ended); err != nil {
		t.Error(err)
	}
}

// journalIn leaves a journal in a spool.
func journalIn(t *testing.T, c config.Spool) {
	t.Helper()
	s := openSpool(c, slog.New(slog.DiscardHandler))
	if s == nil {
		t.Fatal("the spool cannot be had")
	}
	if _, err := s.Journal([]byte("{}")); err != nil {
		t.Fatal(err)
	}
	closeSpool(t, s)
}

// A spool that cannot be had is one line that says why; calls go on in memory.
func TestSpoolThatCannotBeHad(t *testing.T) {
	file := func(t *testing.T, name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key := func(digit string) config.Secret {
		return config.Secret{Ref: "env:KEY", Value: adapter.Secret(strings.Repeat(digit, 64))}
	}
	for _, tt := range []struct {
		name    string
		prepare func(t *testing.T, c *config.Spool)
		want    string
	}{
		{"the folder is a file", func(t *testing.T, c *config.Spool) { c.Dir = file(t, "spool", "") }, "not a directory"},
		{"the folder cannot be made", func(t *testing.T, c *config.Spool) {
			c.Dir, c.Key = filepath.Join(file(t, "file", ""), "spool"), key("a")
		}, "not a directory"},
		{"another process has it", func(t *testing.T, c *config.Spool) {
			other := openSpool(*c, slog.New(slog.DiscardHandler))
			t.Cleanup(func() { closeSpool(t, other) })
		}, "another process uses this folder"},
		{"the key is no key", func(t *testing.T, c *config.Spool) { c.Key.Value = "secret" }, "64 hexadecimal digits"},
		{"another key", func(t *testing.T, c *config.Spool) {
			c.Key = key("a")
			journalIn(t, *c)
			c.Key = key("b")
		}, "another key"},
		{"a key file that others can read", func(t *testing.T, c *config.Spool) {
			c.KeyFile = file(t, "key", strings.Repeat("a", 64))
			if err := os.Chmod(c.KeyFile, 0o644); err != nil {
				t.Fatal(err)
			}
		}, "chmod 600"},
		{"a key file in the folder", func(t *testing.T, c *config.Spool) { c.KeyFile = filepath.Join(c.Dir, "key") }, "put it elsewhere"},
		{"another version", func(t *testing.T, c *config.Spool) {
			journalIn(t, *c)
			names, err := filepath.Glob(filepath.Join(c.Dir, "*.journal"))
			if err != nil || len(names) != 1 {
				t.Fatal(names, err)
			}
			data, err := os.ReadFile(names[0])
			if err != nil {
				t.Fatal(err)
			}
			for i := range 12 { // the version is among the first bytes
				changed := bytes.Clone(data)
				changed[i]++
				if err := os.WriteFile(names[0], changed, 0o600); err != nil {
					t.Fatal(err)
				}
				if s, err := trySpool(*c, slog.New(slog.DiscardHandler)); errors.Is(err, spool.ErrVersion) {
					return
				} else if err == nil {
					closeSpool(t, s)
				}
			}
			t.Fatal("no byte is the version")
		}, "another version"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := config.Default().Spool
			c.Dir = filepath.Join(t.TempDir(), "spool")
			tt.prepare(t, &c)
			var logs bytes.Buffer
			s := openSpool(c, slog.New(slog.NewTextHandler(&logs, nil)))
			if s != nil {
				closeSpool(t, s)
				t.Fatal("the spool was opened")
			}
			if !strings.Contains(logs.String(), tt.want) || strings.Count(logs.String(), "\n") != 1 || strings.Contains(logs.String(), "secret") {
				t.Errorf("the log says %q; want one line with %q", &logs, tt.want)
			}
		})
	}
}

func TestStateDir(t *testing.T) {
	home := func() (string, error) { return "/home/op", nil }
	for _, tt := range []struct {
		env  map[string]string
		home func() (string, error)
		want string
	}{
		{map[string]string{"STATE_DIRECTORY": "/var/lib/patchbay", "XDG_STATE_HOME": "/x"}, home, "/var/lib/patchbay"},
		{map[string]string{"XDG_STATE_HOME": "/x"}, home, "/x/patchbay"},
		{map[string]string{"XDG_STATE_HOME": "relative"}, home, "/home/op/.local/state/patchbay"},
		{nil, func() (string, error) { return "", errors.New("no home") }, ""},
	} {
		got, err := stateDir(func(name string) (string, bool) { v, ok := tt.env[name]; return v, ok }, tt.home)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("stateDir(%v) = %q, %v; want %q", tt.env, got, err, tt.want)
		}
	}
}
