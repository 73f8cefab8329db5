// Package telemetry sets up how patchbay speaks to operators: logs and metrics. It
// holds no global state: a logger and a registry are made in main and handed down.
// Packages keep counters of their own; main turns them into metrics with Register,
// so that none of them needs to know Prometheus.
package telemetry

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/mattn/go-isatty"
)

// Format is how log lines are written.
type Format string

// The formats of log lines.
const (
	FormatAuto Format = "auto" // text on a terminal, else JSON
	FormatText Format = "text"
	FormatJSON Format = "json"
)

// NewLogger returns a logger that writes lines of level ("debug", "info", "warn",
// "error") and above to w.
func NewLogger(w io.Writer, level string, format Format) (*slog.Logger, error) {
	var least slog.Level
	if err := least.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log level %q: want debug, info, warn or error", level)
	}
	if format == FormatAuto {
		format = FormatJSON
		if isTerminal(w) {
			format = FormatText
		}
	}
	switch format {
	case FormatText:
		return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: least, ReplaceAttr: shortTime})), nil
	case FormatJSON:
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: least, ReplaceAttr: readableDuration})), nil
	default:
		return nil, fmt.Errorf("log format %q: want auto, text or json", format)
	}
}

// readableDuration writes durations as "107ms", which slog's JSON would write as a
// bare number of nanoseconds.
func readableDuration(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

// clock is the time of a line on a terminal, where the date is known.
const clock = "15:04:05.000"

func shortTime(groups []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey && len(groups) == 0 {
		a.Value = slog.StringValue(a.Value.Time().Format(clock))
	}
	return a
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(interface{ Fd() uintptr })
	return ok && (isatty.IsTerminal(file.Fd()) || isatty.IsCygwinTerminal(file.Fd()))
}
