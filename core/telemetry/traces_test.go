package telemetry

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/patchbay/patchbay/core/event"
)

// receiver is an OTLP receiver over HTTP that keeps what it gets.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	away     bool
	hang     chan struct{} // requests wait for it, when it is set
	resource []*commonpb.KeyValue
	spans    []*tracepb.Span
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if err := r.take(req); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) take(req *http.Request) error {
	r.mu.Lock()
	away, hang := r.away, r.hang
	r.mu.Unlock()
	if hang != nil {
		<-hang
	}
	switch {
	case away:
		return fmt.Errorf("away")
	case req.URL.Path != "/v1/traces" || req.Method != http.MethodPost:
		return fmt.Errorf("%s %s is not OTLP", req.Method, req.URL.Path)
	}
	plain, err := gzip.NewReader(req.Body)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(plain)
	if err != nil {
		return err
	}
	var m coltracepb.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &m); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rs := range m.GetResourceSpans() {
		r.resource = rs.GetResource().GetAttributes()
		for _, ss := range rs.GetScopeSpans() {
			r.spans = append(r.spans, ss.GetSpans()...)
		}
	}
	return nil
}

func (r *receiver) set(away bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.away = away
}

func attributes(list []*commonpb.KeyValue) string {
	all := map[string]string{}
	for _, kv := range list {
		v := kv.GetValue()
		if _, isInt := v.GetValue().(*commonpb.AnyValue_IntValue); isInt {
			all[kv.GetKey()] = fmt.Sprint(v.GetIntValue())
		} else {
			all[kv.GetKey()] = v.GetStringValue()
		}
	}
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&b, " %s=%s", strings.TrimPrefix(k, "patchbay."), all[k])
	}
	return b.String()
}

// String is what was received, a line a span and indented a line an event, children
// under their parent in the order of time.
func (r *receiver) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	slices.SortStableFunc(r.spans, func(x, y *tracepb.Span) int {
		return int(int64(x.GetStartTimeUnixNano()) - int64(y.GetStartTimeUnixNano()))
	})
	r.print(&b, "", nil)
	return b.String()
}

func (r *receiver) print(b *strings.Builder, indent string, parent []byte) {
	for _, s := range r.spans {
		if !bytes.Equal(s.GetParentSpanId(), parent) {
			continue
		}
		length := time.Duration(s.GetEndTimeUnixNano() - s.GetStartTimeUnixNano())
		fmt.Fprintf(b, "%s%s %v%s", indent, s.GetName(), length, attributes(s.GetAttributes()))
		if st := s.GetStatus(); st.GetCode() == tracepb.Status_STATUS_CODE_ERROR {
			fmt.Fprintf(b, " error=%s", st.GetMessage())
		}
		b.WriteByte('\n')
		for _, e := range s.GetEvents() {
			fmt.Fprintf(b, "%s  @%v %s%s\n", indent, time.Duration(e.GetTimeUnixNano()-s.GetStartTimeUnixNano()), e.GetName(), attributes(e.GetAttributes()))
		}
		r.print(b, indent+"  ", s.GetSpanId())
	}
}

func newTestTraces(t testing.TB, endpoint string, ratio float64, log io.Writer) *Traces {
	t.Helper()
	traces, err := NewTraces(TraceConfig{Endpoint: endpoint, Ratio: ratio, Version: "1.2.3", Instance: "node-1", Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return traces
}

func closeTraces(t testing.TB, traces *Traces, limit time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := traces.Close(ctx); err != nil {
		t.Errorf("Close = %v", err)
	}
}

var begin = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return begin.Add(time.Duration(seconds * float64(time.Second))) }

// secrets stand in a call's events and must stay there.
var secrets = []string{"caller-said-this", "+15550001", "Jane Doe", "MZleg", "answer-text"}

// recordedCall is a call as its log has it: a rotation, a broken stream with a
// replay, a pause of the speaker, a failure.
func recordedCall() []event.Event {
	customer := &event.TrackRef{Leg: "MZleg", Track: "inbound", Speaker: "Jane Doe", Role: "end_user"}
	stream := func(s float64, kind event.Kind, e event.Stream) event.Event {
		return event.Event{Time: at(s), Kind: kind, Track: customer, Stream: &e}
	}
	text := func(s float64, kind event.Kind, heard float64) event.Event {
		return event.Event{Time: at(s), Kind: kind, Track: customer, Transcript: &event.Transcript{Utterance: "1-1", Text: "caller-said-this", End: at(heard), EndPos: int64(8000 * heard)}}
	}
	return []event.Event{
		{Time: at(0), Kind: event.CallStarted, State: &event.State{Adapter: "eu"}},
		{Time: at(0), Kind: event.LegJoined, State: &event.State{Adapter: "eu", Leg: "MZleg", Text: "account +15550001"}},
		stream(1, event.StreamOpened, event.Stream{Number: 1}),
		text(2.5, event.TranscriptInterim, 2.25),
		text(4, event.TranscriptFinal, 3),
		{Time: at(5), Kind: event.SuggestionOffered, Track: customer, Suggestion: &event.Suggestion{Feature: event.FeatureFAQ, Title: "answer-text", HeardAt: at(3)}},
		stream(6, event.StreamEnded, event.Stream{Number: 1, ToPos: 40000, Cause: "planned"}),
		stream(6.2, event.StreamOpened, event.Stream{Number: 2, FromPos: 40000}),
		stream(9, event.StreamEnded, event.Stream{Number: 2, FromPos: 40000, ToPos: 64000, Cause: "UNAVAILABLE"}),
		{Time: at(9.5), Kind: event.Decided, Track: customer, Decision: &event.Decision{What: "backs_off", Text: "caller-said-this", Code: "UNAVAILABLE", Stream: 2}},
		{Time: at(10), Kind: event.Warning, Problem: &event.Problem{Code: "no_audio", Text: "+15550001"}},
		stream(14, event.StreamOpened, event.Stream{Number: 3, FromPos: 48000, Replay: 16000}),
		stream(15, event.StreamEnded, event.Stream{Number: 3, FromPos: 48000, ToPos: 80000, Cause: "parked"}),
		stream(50, event.StreamOpened, event.Stream{Number: 4, FromPos: 80000}),
		{Time: at(51), Kind: event.Failure, Track: customer, Problem: &event.Problem{Code: "permission_denied", Text: "answer-text"}},
		{Time: at(52), Kind: event.LegEnded, State: &event.State{Adapter: "eu", Leg: "MZleg", Reason: "hangup", Text: "Jane Doe"}},
		{Time: at(60), Kind: event.CallEnded, State: &event.State{Reason: "failed"}},
		text(61, event.TranscriptFinal, 1), // nothing follows the end
	}
}

const wantTrace = `call 1m0s adapter=eu call=c1 conversation=CA1 reason=failed route=2 tenant=acme error=permission_denied
  @6s rotation cause=planned role=end_user stream=1
  @9.5s decision code=UNAVAILABLE what=backs_off
  @10s warning code=no_audio
  leg 52s adapter=eu leg=1 reason=hangup
  stream 5s cause=planned from_pos=0 replayed_samples=0 role=end_user stream=1 to_pos=40000
    @3s final end_pos=24000 latency_ms=1000
    @4s suggestion feature=faq latency_ms=2000
  stream 2.8s cause=UNAVAILABLE from_pos=40000 replayed_samples=0 role=end_user stream=2 to_pos=64000 error=UNAVAILABLE
  stream 1s cause=parked from_pos=48000 replayed_samples=16000 role=end_user stream=3 to_pos=80000
  stream 10s from_pos=80000 replayed_samples=0 role=end_user stream=4
    @1s failure code=permission_denied
`

func TestTraces(t *testing.T) {
	r := newReceiver(t)
	var log bytes.Buffer
	traces := newTestTraces(t, r.URL, 1, &log)
	observer, err := NewObserver(NewRegistry("1"), traces)
	if err != nil {
		t.Fatal(err)
	}
	tell := observer.Call(CallInfo{ID: "c1", Adapter: "eu", Tenant: "acme", Route: 2, Conversation: "CA1"})
	for _, e := range recordedCall() {
		tell(e)
	}
	closeTraces(t, traces, 10*time.Second)
	got := r.String()
	if got != wantTrace {
		t.Errorf("the receiver got\n%s\nwant\n%s", got, wantTrace)
	}
	if got, want := attributes(r.resource), " service.instance.id=node-1 service.name=patchbay service.version=1.2.3"; got != want {
		t.Errorf("resource =%s; want%s", got, want)
	}
	for _, s := range r.spans {
		raw, err := proto.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range secrets {
			if bytes.Contains(raw, []byte(secret)) {
				t.Errorf("span %s says %q", s.GetName(), secret)
			}
		}
	}
	if log.Len() > 0 {
		t.Errorf("the log says %s", &log)
	}
}

func TestTracesOfAShare(t *testing.T) {
	for _, ratio := range []float64{0, 0.5} {
		r := newReceiver(t)
		traces := newTestTraces(t, r.URL, ratio, io.Discard)
		observer, err := NewObserver(NewRegistry("1"), traces)
		if err != nil {
			t.Fatal(err)
		}
		const calls = 200
		for range calls {
			tell := observer.Call(CallInfo{})
			for _, e := range recordedCall() {
				tell(e)
			}
		}
		closeTraces(t, traces, 10*time.Second)
		perCall := strings.Count(wantTrace, "\n") - strings.Count(wantTrace, "@")
		if got, most := len(r.spans)/perCall, int(ratio*1.5*calls); got > most || got < int(ratio*0.5*calls) || len(r.spans)%perCall != 0 {
			t.Errorf("ratio %v: %d spans of %d calls; want whole calls, about that share", ratio, len(r.spans), calls)
		}
	}
}

// A receiver that is away costs a line in the log; what it missed comes later.
func TestTracesWithoutReceiver(t *testing.T) {
	r := newReceiver(t)
	r.set(true)
	var log bytes.Buffer
	traces := newTestTraces(t, r.URL, 1, &log)
	span := func(n int) {
		for range n {
			_, s := traces.tracer.Start(t.Context(), "x")
			s.End()
		}
	}
	span(3)
	for range 3 {
		if err := traces.queue.ForceFlush(t.Context()); err == nil {
			t.Error("ForceFlush = nil; want the receiver's error")
		}
	}
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, r.URL) || !strings.Contains(got, "body: away") {
		t.Errorf("the log says %q; want one line with the endpoint and why", got)
	}
	r.set(false)
	if err := traces.queue.ForceFlush(t.Context()); err != nil {
		t.Error(err)
	}
	if got := log.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "delivered again") {
		t.Errorf("the log says %q; want that all is well again", got)
	}
	if len(r.spans) != 3 || traces.queue.dropped.Load() != 0 {
		t.Errorf("%d spans came, %d were dropped; want 3 and none", len(r.spans), traces.queue.dropped.Load())
	}

	r.set(true)
	span(2)
	for range maxTries { // then the batch is given up
		_ = traces.queue.ForceFlush(t.Context())
	}
	if got := traces.queue.dropped.Load(); got != 2 {
		t.Errorf("%d spans dropped; want the 2 that were tried often enough", got)
	}
	closeTraces(t, traces, 10*time.Second)
}

// A receiver that answers nothing holds up neither events nor the end for long.
func TestTracesWithStuckReceiver(t *testing.T) {
	r := newReceiver(t)
	hang := make(chan struct{})
	r.mu.Lock()
	r.hang = hang
	r.mu.Unlock()
	defer close(hang)
	var log bytes.Buffer
	traces := newTestTraces(t, r.URL, 1, &log)
	const spans = 3 * maxQueue
	for range spans {
		_, s := traces.tracer.Start(t.Context(), "x")
		s.End()
	}
	if got := traces.queue.dropped.Load(); got != spans-maxQueue {
		t.Errorf("%d spans dropped while the receiver hangs; want all but the %d that fit", got, maxQueue)
	}
	begun := time.Now()
	closeTraces(t, traces, 50*time.Millisecond)
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("Close took %v", took)
	}
	if got := traces.queue.dropped.Load() + traces.queue.sent.Load(); got != spans {
		t.Errorf("%d spans accounted for; want %d", got, spans)
	}
	_, s := traces.tracer.Start(t.Context(), "late")
	s.End()
}
