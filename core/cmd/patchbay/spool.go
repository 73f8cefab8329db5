package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/patchbay/patchbay/core/config"
	"github.com/patchbay/patchbay/core/tape/spool"
)

// openSpool returns the spool of the configuration. Without one, or when it cannot be
// had, calls are kept in memory alone: it returns nil, and the log says why.
func openSpool(c config.Spool, log *slog.Logger) *spool.Spool {
	if c.Off {
		return nil
	}
	s, err := trySpool(c, log)
	if err != nil {
		log.Error("calls are kept in memory alone, and a crash would lose what is not recognised yet", "err", err)
		return nil
	}
	return s
}

func trySpool(c config.Spool, log *slog.Logger) (*spool.Spool, error) {
	if c.Dir == "" {
		state, err := stateDir(os.LookupEnv, os.UserHomeDir)
		if err != nil {
			return nil, fmt.Errorf("no folder for the spool: %w; write one to spool.dir", err)
		}
		c.Dir = filepath.Join(state, "spool")
	}
	var (
		key *spool.Key
		err error
	)
	switch {
	case c.Key.Value != "":
		key, err = spool.ParseKey(string(c.Key.Value))
	case c.KeyFile != "":
		key, err = spool.KeyFile(c.KeyFile, c.Dir)
	default:
		key, err = spool.KeyFile(filepath.Clean(c.Dir)+".key", c.Dir)
	}
	if err != nil {
		return nil, err
	}
	return spool.Open(spool.Config{
		Dir: c.Dir, Key: key, MaxTapeBytes: int64(c.MaxTrackBytes), MaxBytes: int64(c.MaxBytes), SyncInterval: c.SyncInterval, Log: log,
	})
}

// stateDir is where this program keeps what must outlive it: the folder that the
// service manager gave it, or the user's (XDG Base Directory Specification 0.8).
func stateDir(lookup func(string) (string, bool), home func() (string, error)) (string, error) {
	if dir, ok := lookup("STATE_DIRECTORY"); ok && filepath.IsAbs(dir) { // systemd.exec(5)
		return dir, nil
	}
	if dir, ok := lookup("XDG_STATE_HOME"); ok && filepath.IsAbs(dir) {
		return filepath.Join(dir, "patchbay"), nil
	}
	dir, err := home()
	if err != nil || !filepath.IsAbs(dir) {
		return "", errors.Join(errors.New("neither STATE_DIRECTORY, XDG_STATE_HOME nor a home is set"), err)
	}
	return filepath.Join(dir, ".local", "state", "patchbay"), nil
}
