package plug

import (
	"io"
	"log/slog"
	"strings"
)

// logTime is how go-plugin's hosts read "@timestamp".
const logTime = "2006-01-02T15:04:05.000000Z07:00"

// newLogger returns a logger that writes a JSON object a line under go-plugin's
// keys. Under slog's own, a host takes every line for debug.
func newLogger(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: pluginKeys}))
}

func pluginKeys(groups []string, a slog.Attr) slog.Attr {
	if len(groups) > 0 {
		return a
	}
	switch a.Key {
	case slog.MessageKey:
		return slog.String("@message", a.Value.String())
	case slog.LevelKey:
		return slog.String("@level", levelName(a.Value))
	case slog.TimeKey:
		return slog.String("@timestamp", a.Value.Time().Format(logTime))
	}
	return a
}

// levelName returns one of go-plugin's words; slog's "INFO+2" is none.
func levelName(v slog.Value) string {
	level, ok := v.Any().(slog.Level)
	if !ok {
		return "info"
	}
	for _, l := range []slog.Level{slog.LevelError, slog.LevelWarn, slog.LevelInfo} {
		if level >= l {
			return strings.ToLower(l.String())
		}
	}
	return "debug"
}
