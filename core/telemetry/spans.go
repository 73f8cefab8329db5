package telemetry

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/patchbay/patchbay/core/event"
)

// callSpans are the spans of one call: the call itself, its legs, and each Agent
// Assist stream. Finals, suggestions and problems are events on them, without words.
// Its owner serialises the calls.
type callSpans struct {
	tracer  trace.Tracer
	info    CallInfo
	call    trace.Span // nil until the first event
	legs    map[string]trace.Span
	nextLeg int
	streams map[track]trace.Span
}

func newCallSpans(tracer trace.Tracer, info CallInfo) *callSpans {
	return &callSpans{tracer: tracer, info: info, legs: map[string]trace.Span{}, streams: map[track]trace.Span{}}
}

func (c *callSpans) event(e event.Event) {
	if c.call == nil {
		c.begin(e.Time)
	}
	if !c.call.IsRecording() {
		return // not sampled, and so are its children
	}
	switch e.Kind {
	case event.LegJoined:
		c.legJoined(e)
	case event.LegEnded:
		c.legEnded(e)
	case event.StreamOpened:
		c.streamOpened(e)
	case event.StreamEnded:
		c.streamEnded(e)
	case event.TranscriptFinal:
		add(c.about(e), "final", e.Time, attribute.Int64("patchbay.end_pos", e.Transcript.EndPos), latency(e.Time, e.Transcript.End))
	case event.SuggestionOffered:
		add(c.about(e), "suggestion", e.Time, attribute.String("patchbay.feature", string(e.Suggestion.Feature)), latency(e.Time, e.Suggestion.HeardAt))
	case event.SuggestionFailed:
		add(c.about(e), "suggestion failed", e.Time, attribute.String("patchbay.feature", string(e.Suggestion.Feature)))
	case event.Warning, event.Failure:
		c.problem(e)
	case event.Decided:
		c.decision(e)
	case event.CallPaused, event.CallResumed, event.CallEnding, event.RoleCorrected, event.ConversationReady, event.ConversationDone:
		add(c.call, string(e.Kind), e.Time)
	case event.CallEnded:
		c.end(e)
	}
}

func (c *callSpans) begin(at time.Time) {
	_, c.call = c.tracer.Start(context.Background(), "call", trace.WithTimestamp(at), trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		attribute.String("patchbay.call", c.info.ID),
		attribute.String("patchbay.adapter", c.info.Adapter),
		attribute.String("patchbay.tenant", c.info.Tenant),
		attribute.Int("patchbay.route", c.info.Route),
		attribute.String("patchbay.conversation", c.info.Conversation),
	))
}

// child begins a span within the call's.
func (c *callSpans) child(name string, at time.Time, kind trace.SpanKind, attrs ...attribute.KeyValue) trace.Span {
	_, span := c.tracer.Start(trace.ContextWithSpan(context.Background(), c.call), name, trace.WithTimestamp(at), trace.WithSpanKind(kind), trace.WithAttributes(attrs...))
	return span
}

// Legs have numbers here: their keys are the vendor's words.
func (c *callSpans) legJoined(e event.Event) {
	c.nextLeg++
	c.legs[e.State.Leg] = c.child("leg", e.Time, trace.SpanKindServer, attribute.Int("patchbay.leg", c.nextLeg), attribute.String("patchbay.adapter", e.State.Adapter))
}

func (c *callSpans) legEnded(e event.Event) {
	if span := c.legs[e.State.Leg]; span != nil {
		span.SetAttributes(attribute.String("patchbay.reason", e.State.Reason))
		span.End(trace.WithTimestamp(e.Time))
		delete(c.legs, e.State.Leg)
	}
}

func (c *callSpans) streamOpened(e event.Event) {
	t, ok := trackOf(e)
	if !ok {
		return
	}
	c.streams[t] = c.child("stream", e.Time, trace.SpanKindClient,
		attribute.String("patchbay.role", e.Track.Role), attribute.Int("patchbay.stream", e.Stream.Number),
		attribute.Int64("patchbay.from_pos", e.Stream.FromPos), attribute.Int64("patchbay.replayed_samples", e.Stream.Replay))
}

func (c *callSpans) streamEnded(e event.Event) {
	t, ok := trackOf(e)
	span := c.streams[t]
	if !ok || span == nil {
		return
	}
	cause := attribute.String("patchbay.cause", e.Stream.Cause)
	span.SetAttributes(cause, attribute.Int64("patchbay.to_pos", e.Stream.ToPos))
	switch {
	case isBroken(e.Stream.Cause):
		span.SetStatus(codes.Error, e.Stream.Cause)
	case isRotation(e.Stream.Cause):
		add(c.call, "rotation", e.Time, cause, attribute.String("patchbay.role", e.Track.Role), attribute.Int("patchbay.stream", e.Stream.Number))
	}
	span.End(trace.WithTimestamp(e.Time))
	delete(c.streams, t)
}

func (c *callSpans) problem(e event.Event) {
	code := attribute.String("patchbay.code", e.Problem.Code)
	add(c.about(e), string(e.Kind), e.Time, code)
	if e.Kind == event.Failure {
		c.call.SetStatus(codes.Error, e.Problem.Code)
	}
}

// decision adds a record of the flight recorder, but for its text.
func (c *callSpans) decision(e event.Event) {
	attrs := []attribute.KeyValue{attribute.String("patchbay.what", e.Decision.What)}
	if e.Decision.Code != "" {
		attrs = append(attrs, attribute.String("patchbay.code", e.Decision.Code))
	}
	if e.Decision.Seconds != 0 {
		attrs = append(attrs, attribute.Float64("patchbay.seconds", e.Decision.Seconds))
	}
	add(c.about(e), "decision", e.Time, attrs...)
}

func (c *callSpans) end(e event.Event) {
	for _, span := range c.streams {
		span.End(trace.WithTimestamp(e.Time))
	}
	for _, span := range c.legs {
		span.End(trace.WithTimestamp(e.Time))
	}
	clear(c.streams)
	clear(c.legs)
	c.call.SetAttributes(attribute.String("patchbay.reason", e.State.Reason))
	c.call.End(trace.WithTimestamp(e.Time))
}

// about returns the span of the stream that an event is about, else the call's.
func (c *callSpans) about(e event.Event) trace.Span {
	if t, ok := trackOf(e); ok {
		if span := c.streams[t]; span != nil {
			return span
		}
	}
	return c.call
}

func add(span trace.Span, name string, at time.Time, attrs ...attribute.KeyValue) {
	span.AddEvent(name, trace.WithTimestamp(at), trace.WithAttributes(attrs...))
}

// latency is the time since the last audio that a result covers; -1 when unknown.
func latency(now, heard time.Time) attribute.KeyValue {
	ms := int64(-1)
	if !heard.IsZero() {
		ms = max(0, now.Sub(heard).Milliseconds())
	}
	return attribute.Int64("patchbay.latency_ms", ms)
}
