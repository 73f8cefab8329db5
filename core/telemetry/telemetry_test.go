package telemetry

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNewLogger(t *testing.T) {
	text := regexp.MustCompile(`^time=\d\d:\d\d:\d\d\.\d{3} level=WARN msg=full adapter=eu group\.time=x\n$`)
	tests := []struct {
		name, level string
		format      Format
		wantJSON    bool
	}{
		{"JSON where nobody looks", "warn", FormatAuto, true},
		{"JSON", "WARN", FormatJSON, true},
		{"text", "warn", FormatText, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			log, err := NewLogger(&out, tt.level, tt.format)
			if err != nil {
				t.Fatal(err)
			}
			log.Info("below the level")
			log.Warn("full", "adapter", "eu", slog.Group("group", "time", "x"))
			var line struct{ Msg, Adapter string }
			err = json.Unmarshal(out.Bytes(), &line)
			switch {
			case tt.wantJSON && (err != nil || line.Msg != "full" || line.Adapter != "eu"):
				t.Errorf("wrote %q, %v; want one line of JSON", out.String(), err)
			case !tt.wantJSON && !text.MatchString(out.String()):
				t.Errorf("wrote %q; want %v", out.String(), text)
			}
		})
	}
}

func TestNewLoggerToFile(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	log, err := NewLogger(file, "info", FormatAuto)
	if err != nil {
		t.Fatal(err)
	}
	log.Info("started")
	if got, err := os.ReadFile(file.Name()); err != nil || !json.Valid(got) {
		t.Errorf("a file got %q, %v; want JSON", got, err)
	}
}

func TestNewLoggerRefuses(t *testing.T) {
	if _, err := NewLogger(os.Stderr, "loud", FormatAuto); err == nil || !strings.Contains(err.Error(), `"loud"`) {
		t.Errorf("level loud: %v; want an error that names it", err)
	}
	if _, err := NewLogger(os.Stderr, "info", "xml"); err == nil || !strings.Contains(err.Error(), `"xml"`) {
		t.Errorf("format xml: %v; want an error that names it", err)
	}
}

func scrape(h http.Handler) string {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Body.String()
}

func TestMetrics(t *testing.T) {
	reg := NewRegistry("1.2.3")
	calls := 2.0
	err := Register(reg,
		Metric{Name: "patchbay_calls", Help: "Calls now.", Read: func(emit func(float64, ...string)) { emit(calls) }},
		Metric{Name: "patchbay_refused_total", Help: "Calls refused.", Kind: Counter, Labels: []string{"adapter", "reason"},
			Read: func(emit func(float64, ...string)) {
				emit(3, "eu", "full")
				emit(4, "eu", "draining")
			}},
		Metric{Name: "patchbay_wrong", Help: "Too few labels.", Labels: []string{"adapter"},
			Read: func(emit func(float64, ...string)) { emit(1) }},
	)
	if err != nil {
		t.Fatal(err)
	}
	calls = 5
	got := scrape(Handler(reg))
	for _, want := range []string{
		`patchbay_build_info{version="1.2.3"} 1`,
		"# TYPE patchbay_calls gauge\npatchbay_calls 5\n",
		"# TYPE patchbay_refused_total counter\n",
		`patchbay_refused_total{adapter="eu",reason="draining"} 4`,
		`patchbay_refused_total{adapter="eu",reason="full"} 3`,
		"go_goroutines ",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("/metrics has no %q", want)
		}
	}
	if strings.Contains(got, "patchbay_wrong ") {
		t.Error("/metrics shows a metric whose labels are wrong")
	}
}

func TestRegisterRefuses(t *testing.T) {
	read := func(func(float64, ...string)) {}
	tests := []struct {
		name string
		m    Metric
	}{
		{"foreign name", Metric{Name: "calls", Help: "x", Read: read}},
		{"capital letters", Metric{Name: "patchbay_Calls", Help: "x", Read: read}},
		{"counter without _total", Metric{Name: "patchbay_calls", Help: "x", Kind: Counter, Read: read}},
		{"gauge with _total", Metric{Name: "patchbay_calls_total", Help: "x", Read: read}},
		{"no help", Metric{Name: "patchbay_calls", Read: read}},
		{"no Read", Metric{Name: "patchbay_calls", Help: "x"}},
		{"taken", Metric{Name: "patchbay_build_info", Help: "x", Read: read}},
		{"impossible label", Metric{Name: "patchbay_calls", Help: "x", Labels: []string{"a-b c"}, Read: read}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := Register(NewRegistry("1"), tt.m); err == nil {
				t.Error("Register = nil; want an error")
			}
		})
	}
}
