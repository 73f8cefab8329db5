package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// TraceConfig says where the traces of calls go.
type TraceConfig struct {
	Endpoint string  // URL of an OTLP receiver over HTTP, as http://localhost:4318; without a path it gets OTLP's, /v1/traces
	Ratio    float64 // share of the calls that are traced, 0 to 1
	Version  string  // of the program
	Instance string  // of this process among others: the machine's name
	Log      *slog.Logger
}

// Traces carries the spans of calls to an OTLP receiver, in the background. It holds
// a bounded number of spans, waits for nothing, and counts what it drops. The
// exporter also reads OpenTelemetry's own variables for headers and certificates
// (OTEL_EXPORTER_OTLP_HEADERS, OTEL_EXPORTER_OTLP_CERTIFICATE).
type Traces struct {
	tracer   trace.Tracer
	provider *sdktrace.TracerProvider
	queue    *queue
	client   *http.Client
}

// exportTimeout bounds one request to the receiver.
const exportTimeout = 10 * time.Second

// What a span may hold. A call of an hour has some 50 rotations on its own span.
var spanLimits = sdktrace.SpanLimits{
	AttributeValueLengthLimit: 256, AttributeCountLimit: 32, EventCountLimit: 512, AttributePerEventCountLimit: 8,
	LinkCountLimit: 1, AttributePerLinkCountLimit: 1,
}

// NewTraces returns traces that go to cfg.Endpoint. It connects to nothing yet; Close
// ends it.
func NewTraces(cfg TraceConfig) (*Traces, error) {
	endpoint, err := url.Parse(cfg.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	if endpoint.Path == "" || endpoint.Path == "/" {
		endpoint.Path = "/v1/traces" // OTLP specification 1.x, "OTLP/HTTP Request"
	}
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConns: 1, IdleConnTimeout: time.Minute}, Timeout: exportTimeout}
	exporter, err := otlptracehttp.New(context.Background(), otlptracehttp.WithEndpointURL(endpoint.String()), otlptracehttp.WithHTTPClient(client),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: false}), otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
	if err != nil {
		return nil, fmt.Errorf("traces to %s: %w", cfg.Endpoint, err)
	}
	q := newQueue(exporter, cfg.Endpoint, cfg.Log)
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithSpanProcessor(q),
		sdktrace.WithSampler(sdktrace.TraceIDRatioBased(cfg.Ratio)),
		sdktrace.WithRawSpanLimits(spanLimits),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "patchbay"),
			attribute.String("service.version", cfg.Version),
			attribute.String("service.instance.id", cfg.Instance),
		)),
	)
	return &Traces{tracer: provider.Tracer("github.com/patchbay/patchbay"), provider: provider, queue: q, client: client}, nil
}

// Close sends what is left, until ctx ends; the rest is dropped.
func (t *Traces) Close(ctx context.Context) error {
	defer t.client.CloseIdleConnections()
	if err := t.provider.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("traces: %w", err)
	}
	return nil
}

// Metrics are what became of the spans.
func (t *Traces) Metrics() []Metric {
	return []Metric{{
		Name: "patchbay_trace_spans_total", Help: "Spans of calls, by what became of them: sent, or dropped as the receiver does not take them.",
		Kind: Counter, Labels: []string{"result"},
		Read: func(emit func(float64, ...string)) {
			emit(float64(t.queue.sent.Load()), "sent")
			emit(float64(t.queue.dropped.Load()), "dropped")
		},
	}}
}
