package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/patchbay/patchbay/core/api/sse"
	"github.com/patchbay/patchbay/core/event"
)

// The rhythm of an event stream.
const (
	DefaultHeartbeat   = 15 * time.Second // a comment, when nothing happens
	StreamWriteTimeout = 10 * time.Second // a client that takes nothing for so long is dropped
	retryAfter         = 2 * time.Second  // what a browser waits before it comes back
	streamBatch        = 64               // events that go out with one write
)

// EndEvent is the name of the stream's own last event: the call is over.
const EndEvent = "end"

// EventList is a part of a call's log.
type EventList struct {
	Call     string        `json:"call" doc:"Patchbay's id of the call."`
	Events   []event.Event `json:"events" nullable:"false"`
	Next     uint64        `json:"next" doc:"What to send as after, to go on."`
	Complete bool          `json:"complete" doc:"The call is over and nothing follows."`
}

func (s *Server) addEvents(spec huma.API) {
	huma.Register(spec, operation("list-events", http.MethodGet, "/v1/calls/{id}/events.json", "events", "Read the call's log", "", http.StatusNotFound), s.listEvents)
	op := operation("stream-events", http.MethodGet, "/v1/calls/{id}/events", "events", "Follow the call's log",
		"Server-Sent Events, from the call's start or where the client left off: id is seq, event is kind, data is an Event as JSON. "+
			"Comments keep quiet streams alive. An event named \"end\" says that the call is over; whoever comes back after it gets 204.",
		http.StatusNotFound, http.StatusServiceUnavailable)
	op.Responses = map[string]*huma.Response{
		"200": {Description: "The stream.", Content: map[string]*huma.MediaType{
			"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString, Description: "Each data line is an Event."}},
		}},
		"204": {Description: "The call is over, and the client has seen it all."},
	}
	huma.Register(spec, op, s.streamEvents)
}

type listEventsInput struct {
	CallPath
	After uint64 `query:"after" doc:"Only events with a higher seq."`
	Limit int    `query:"limit" default:"1000" minimum:"1" maximum:"10000"`
	Debug bool   `query:"debug" doc:"The flight recorder's events too: why the host did what it did."`
}

type listEventsOutput struct{ Body EventList }

func (s *Server) listEvents(_ context.Context, in *listEventsInput) (*listEventsOutput, error) {
	c, err := s.find(in.ID)
	if err != nil {
		return nil, err
	}
	out := EventList{Call: c.ID(), Events: []event.Event{}, Next: in.After}
	for len(out.Events) < in.Limit {
		more := c.Events().Since(out.Next, in.Limit-len(out.Events))
		if len(more) == 0 {
			break
		}
		out.Next = more[len(more)-1].Seq
		out.Events = append(out.Events, wanted(more, in.Debug)...)
	}
	out.Complete = complete(c.Events(), out.Next)
	return &listEventsOutput{Body: out}, nil
}

// wanted leaves the debug events out where nobody asked for them.
func wanted(events []event.Event, debug bool) []event.Event {
	if debug {
		return events
	}
	return slices.DeleteFunc(events, func(e event.Event) bool { return e.Kind.Debug() })
}

// complete reports whether the log is closed with nothing after seq.
func complete(log *event.Log, seq uint64) bool {
	now, cancel := context.WithCancel(context.Background())
	cancel() // ask, and do not wait
	_, err := log.Next(now, seq, 1)
	return errors.Is(err, io.EOF)
}

type streamEventsInput struct {
	CallPath
	After       uint64 `query:"after" doc:"Only events with a higher seq."`
	Debug       bool   `query:"debug" doc:"The flight recorder's events too: why the host did what it did."`
	LastEventID uint64 `header:"Last-Event-ID" doc:"The same, as browsers send it when they come back; it goes before after."`
}

func (s *Server) streamEvents(ctx context.Context, in *streamEventsInput) (*huma.StreamResponse, error) {
	c, err := s.find(in.ID)
	if err != nil {
		return nil, err
	}
	after := in.After
	if in.LastEventID > 0 {
		after = in.LastEventID
		if complete(c.Events(), after) {
			return &huma.StreamResponse{Body: func(hc huma.Context) { hc.SetStatus(http.StatusNoContent) }}, nil
		}
	}
	ctx, leave, ok := s.watchers.enter(ctx)
	if !ok {
		return nil, problem(http.StatusServiceUnavailable, "the host serves %d event streams or is shutting down; try again later", s.watchers.limit)
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		defer leave()
		_, w := humago.Unwrap(hc)
		st := &stream{w: w, control: http.NewResponseController(w), heartbeat: s.heartbeat, timeout: s.writeTimeout, debug: in.Debug}
		if err := st.follow(ctx, c.Events(), after); err != nil {
			s.log.Debug("api: an event stream ended early", "call", c.ID(), "err", err)
		}
	}}, nil
}

// stream writes a call's log to one client. It asks the log for more only once the
// client has taken what came before, so a slow client costs no memory.
type stream struct {
	w         http.ResponseWriter
	control   *http.ResponseController
	heartbeat time.Duration
	timeout   time.Duration
	debug     bool   // debug events go out too
	buf       []byte // what was not written yet
}

// follow returns nil once the call is over or ctx ends, else why the client is lost.
func (s *stream) follow(ctx context.Context, log *event.Log, after uint64) error {
	s.w.Header().Set("Content-Type", "text/event-stream")
	s.w.Header().Set("X-Accel-Buffering", "no") // for nginx, which would hold events back
	s.buf = fmt.Appendf(s.buf, "retry: %d\n\n", retryAfter.Milliseconds())
	if err := s.flush(); err != nil {
		return err
	}
	for {
		events, err := s.next(ctx, log, after)
		switch {
		case err == nil:
			after = events[len(events)-1].Seq
			for _, e := range wanted(events, s.debug) {
				if err := s.add(e); err != nil {
					return err
				}
			}
		case errors.Is(err, io.EOF):
			s.buf = sse.Append(s.buf, sse.Message{Event: EndEvent, Data: []byte("{}")})
			return s.flush()
		case ctx.Err() != nil:
			return nil // the client has gone, or the server stops
		default:
			s.buf = append(s.buf, ": still here\n\n"...)
		}
		if err := s.flush(); err != nil {
			return err
		}
	}
}

// next waits for events no longer than the time of a heartbeat.
func (s *stream) next(ctx context.Context, log *event.Log, after uint64) ([]event.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, s.heartbeat)
	defer cancel()
	return log.Next(ctx, after, streamBatch)
}

func (s *stream) add(e event.Event) error {
	data, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("api: event %d: %w", e.Seq, err)
	}
	s.buf = sse.Append(s.buf, sse.Message{ID: strconv.FormatUint(e.Seq, 10), Event: string(e.Kind), Data: data})
	return nil
}

func (s *stream) flush() error {
	if err := s.control.SetWriteDeadline(time.Now().Add(s.timeout)); err != nil {
		return err
	}
	_, err := s.w.Write(s.buf)
	s.buf = s.buf[:0]
	if err != nil {
		return err
	}
	return s.control.Flush()
}
