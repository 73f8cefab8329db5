package telemetry

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Kind is what a metric's values do.
type Kind uint8

// The kinds of metrics.
const (
	Gauge   Kind = iota // goes up and down
	Counter             // only grows; its name ends in _total
)

// Metric is a group of numbers that are read when somebody asks for /metrics.
//
// Names begin with patchbay_, say what is counted and end with the unit: seconds,
// bytes, samples; a counter ends with _total. Labels have few values that the
// configuration or the code knows (adapter, transport, reason), never one of a call:
// no ids, numbers or names of people.
type Metric struct {
	Name   string
	Help   string // one sentence for operators
	Kind   Kind
	Labels []string
	// Read calls emit for each combination of labels, each once, with their values in
	// the order of Labels. It is called from any goroutine and must not wait.
	Read func(emit func(value float64, labels ...string))
}

var (
	metricName = regexp.MustCompile(`^patchbay(_[a-z0-9]+)+$`)
	labelName  = regexp.MustCompile(`^[a-z]+(_[a-z0-9]+)*$`)
)

// check says which rule of Metric is broken.
func (m Metric) check() error {
	switch {
	case !metricName.MatchString(m.Name):
		return fmt.Errorf("metric %q: the name must be patchbay_… in small letters", m.Name)
	case strings.HasSuffix(m.Name, "_total") != (m.Kind == Counter):
		return fmt.Errorf("metric %s: _total ends the names of counters and of nothing else", m.Name)
	case m.Help == "":
		return fmt.Errorf("metric %s: no help", m.Name)
	case m.Read == nil:
		return fmt.Errorf("metric %s: no Read", m.Name)
	}
	for _, label := range m.Labels {
		if !labelName.MatchString(label) {
			return fmt.Errorf("metric %s: the label %q must be in small letters", m.Name, label)
		}
	}
	return nil
}

// NewRegistry returns a registry with the numbers of the Go runtime and of the
// process, and patchbay_build_info with the program's version.
func NewRegistry(version string) *prometheus.Registry {
	reg := prometheus.NewRegistry()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "patchbay_build_info",
		Help:        "Always 1; the label says which version runs.",
		ConstLabels: prometheus.Labels{"version": version},
	})
	info.Set(1)
	reg.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		info,
	)
	return reg
}

// Register adds metrics to a registry. It fails for a name that breaks Metric's
// rules or is taken.
func Register(reg *prometheus.Registry, metrics ...Metric) error {
	for _, m := range metrics {
		if err := m.check(); err != nil {
			return err
		}
		desc := prometheus.NewDesc(m.Name, m.Help, m.Labels, nil)
		if err := reg.Register(reader{m, desc}); err != nil {
			return fmt.Errorf("metric %s: %w", m.Name, err)
		}
	}
	return nil
}

// reader is a Metric as Prometheus wants it.
type reader struct {
	Metric
	desc *prometheus.Desc
}

func (r reader) Describe(out chan<- *prometheus.Desc) { out <- r.desc }

func (r reader) Collect(out chan<- prometheus.Metric) {
	kind := prometheus.GaugeValue
	if r.Kind == Counter {
		kind = prometheus.CounterValue
	}
	r.Read(func(value float64, labels ...string) {
		m, err := prometheus.NewConstMetric(r.desc, kind, value, labels...)
		if err != nil {
			m = prometheus.NewInvalidMetric(r.desc, err) // shows as an error at /metrics
		}
		out <- m
	})
}

// Handler serves a registry at /metrics. A metric that cannot be read leaves the
// others readable.
func Handler(reg *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{
		ErrorHandling:       promhttp.ContinueOnError,
		EnableOpenMetrics:   true,
		MaxRequestsInFlight: 8,
		Registry:            reg,
	})
}
