package report

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestRefusalsAreLoggedSparsely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		counted := 0
		r := New(slog.New(slog.NewTextHandler(&log, nil)), func(string) { counted++ })
		for range 1000 {
			r.Warn("signature", "refused")
		}
		r.Warn("unsigned", "refused")
		r.Count("unsigned")
		time.Sleep(LogInterval)
		r.Warn("signature", "refused")
		if lines := strings.Count(log.String(), "\n"); lines != 3 || counted != 1003 || !strings.Contains(log.String(), "more_since_last_line=999") {
			t.Errorf("%d counted in %d lines; want 1003 in 3:\n%s", counted, lines, &log)
		}
	})
}
