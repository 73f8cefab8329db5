package host

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"
)

// maxAttrs bounds the keys that are taken from a plugin's log line.
const maxAttrs = 32

// stderr turns a plugin's standard error into log lines. go-plugin could do it too,
// but its parser panics on a line whose "@message" is no string; here a plugin may
// write what it likes.
type stderr struct {
	log *slog.Logger

	mu      sync.Mutex
	last    []string // the end of what was written, for start errors
	panicky bool     // a panic's trace is being written
	traced  int      // lines of it
}

// lastWords is how many lines are kept for an error that quotes them.
const (
	lastWords  = 5
	panicLines = 1
)

func (s *stderr) line(b []byte, cut bool) {
	if len(b) == 0 {
		return
	}
	level, msg, attrs, ok := parseLog(b)
	if !ok {
		level, msg, attrs = s.plain(string(b))
	}
	if cut {
		attrs = append(attrs, slog.Bool("cut", true))
	}
	s.keep(msg)
	s.log.LogAttrs(context.Background(), level, msg, attrs...)
}

// keep remembers a line as the last word, and a panic's first lines as the very last.
func (s *stderr) keep(msg string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.panicky {
		if s.traced++; s.traced > panicLines {
			return
		}
	}
	if s.last = append(s.last, msg); len(s.last) > lastWords {
		s.last = s.last[1:]
	}
}

// plain is a line that is no JSON: a library's words, or a dying process's.
func (s *stderr) plain(line string) (slog.Level, string, []slog.Attr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
		s.panicky = true
	}
	level := slog.LevelInfo
	if s.panicky {
		level = slog.LevelError
	}
	return level, line, []slog.Attr{slog.Bool("raw", true)}
}

// words returns the last lines, for an error message.
func (s *stderr) words() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.last)
}

// parseLog reads a line in go-plugin's form. ok is false for anything else.
func parseLog(b []byte) (level slog.Level, msg string, attrs []slog.Attr, ok bool) {
	var raw map[string]any
	if b[0] != '{' || json.Unmarshal(b, &raw) != nil {
		return 0, "", nil, false
	}
	msg, ok = raw["@message"].(string)
	if !ok {
		return 0, "", nil, false
	}
	name, _ := raw["@level"].(string)
	level = levels[strings.ToLower(name)]
	for _, key := range slices.Sorted(maps.Keys(raw)) {
		if strings.HasPrefix(key, "@") || key == "adapter" { // ours already
			continue
		}
		if len(attrs) == maxAttrs {
			break
		}
		attrs = append(attrs, slog.Any(key, raw[key]))
	}
	return level, msg, attrs, true
}

// levels are go-plugin's words; an unknown one is info.
var levels = map[string]slog.Level{
	"trace": slog.LevelDebug, "debug": slog.LevelDebug, "info": slog.LevelInfo,
	"warn": slog.LevelWarn, "error": slog.LevelError,
}

// librarySink logs what go-plugin itself complains of, for debugging: what matters,
// the supervisor says in its own words.
type librarySink struct{ log *slog.Logger }

// Accept implements hclog.SinkAdapter.
func (s librarySink) Accept(_ string, level hclog.Level, msg string, args ...any) {
	if level >= hclog.Warn {
		s.log.Debug("go-plugin: "+msg, args...)
	}
}

func libraryLogger(log *slog.Logger) hclog.Logger {
	l := hclog.NewInterceptLogger(&hclog.LoggerOptions{Level: hclog.Off, Output: discard{}})
	l.RegisterSink(librarySink{log})
	return l
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
