package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"

	"google.golang.org/grpc"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/plug/internal/wire"
	plugv1 "github.com/patchbay/patchbay/core/plug/proto/patchbay/plug/v1"
)

// maxDown is how many orders wait for a plugin that does not read them; then it is
// taken for dead.
const maxDown = 8192

// maxResults is how many results wait for a plugin that does not read them; more wait
// with their legs.
const maxResults = 1024

// Counters of the host's side of the seam, among the plugin's own.
const (
	countFrameErrors   = "seam_frame_errors"   // the host did not take a frame
	countUnknownTracks = "seam_unknown_tracks" // frames of a track that was not joined
)

var errNotReading = errors.New("the plugin does not read what the host says")

// session carries the legs of one plugin process. Its maps belong to the goroutine
// that reads, which therefore never waits for a lock of ours.
type session struct {
	sink   adapter.Sink
	log    *slog.Logger
	count  func(kind string, n uint64)
	stream grpc.BidiStreamingClient[plugv1.Down, plugv1.Up]
	abort  context.CancelCauseFunc // ends the stream

	legs   map[uint64]*leg
	tracks map[uint64]*track
	orders sync.WaitGroup // one goroutine a leg passes the host's orders on

	rpc    plugv1.PluginClient
	relays bool // the plugin relays calls

	down chan *plugv1.Down
	// results are what legs hear that asked for results, orders included, in order. Unlike
	// down, who posts here waits for a plugin that does not read.
	results chan *plugv1.Down
	stop    chan struct{} // closed to half-close the stream
	done    chan struct{} // closed when reading has ended
}

// leg is a leg that the sink admitted.
type leg struct {
	adapter.Leg
	number uint64
	tracks []uint64
	failed bool // the plugin was told that the host takes no more
}

type track struct {
	leg    *leg
	id     media.TrackID
	failed bool
}

// newSession opens the stream, which makes the plugin run its adapter. The session
// lives until ctx ends or run returns.
func newSession(ctx context.Context, rpc plugv1.PluginClient, sink adapter.Sink, log *slog.Logger, count func(string, uint64)) (*session, error) {
	ctx, abort := context.WithCancelCause(ctx)
	stream, err := rpc.Session(ctx)
	if err != nil {
		abort(nil)
		return nil, wire.FromStatus("host.Session", err)
	}
	return &session{
		sink: sink, log: log, count: count, stream: stream, abort: abort,
		legs: map[uint64]*leg{}, tracks: map[uint64]*track{},
		rpc: rpc, down: make(chan *plugv1.Down, maxDown), results: make(chan *plugv1.Down, maxResults), stop: make(chan struct{}), done: make(chan struct{}),
	}, nil
}

// run reads until the stream ends, then closes the legs that are left: as crashed,
// unless the plugin ended the session in order. It returns nil for an orderly end.
func (s *session) run() error {
	var sender sync.WaitGroup
	sender.Go(s.send)
	if s.relays {
		sender.Go(s.relay)
	}
	err := s.read()
	close(s.done)
	s.abort(nil)
	end := adapter.EndReason{Kind: adapter.EndCrash, Text: "the adapter's plugin died"}
	if err == nil {
		end = adapter.EndReason{Kind: adapter.EndShutdown, Text: "the adapter stopped"}
	}
	for _, l := range s.legs {
		_ = l.Close(end)
	}
	s.orders.Wait() // their controls end with Close
	sender.Wait()
	return err
}

// read handles what the plugin says. It waits for nothing but the plugin.
func (s *session) read() error {
	var up wire.Message
	for {
		err := s.stream.RecvMsg(&up)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			if cause := context.Cause(s.stream.Context()); cause != nil && !errors.Is(cause, context.Canceled) {
				return &adapter.Error{Op: "host.Session", Kind: adapter.KindUnavailable, Err: cause}
			}
			return wire.FromStatus("host.Session", err)
		}
		if err := up.Each(s.frames, s.item); err != nil {
			err = fmt.Errorf("the plugin broke the protocol: %w", err)
			s.abort(err)
			return &adapter.Error{Op: "host.Session", Kind: adapter.KindInternal, Err: err}
		}
	}
}

// item handles one item without audio. An error means that the plugin cannot be believed any more.
func (s *session) item(item *plugv1.Item) error {
	switch m := item.GetItem().(type) {
	case *plugv1.Item_Open:
		return s.open(m.Open)
	case *plugv1.Item_Join:
		s.join(m.Join)
	case *plugv1.Item_Note:
		if l := s.legs[m.Note.GetLeg()]; l != nil {
			if err := l.Note(wire.ToNote(m.Note)); err != nil {
				s.refuseMore(l, err)
			}
		}
	case *plugv1.Item_Close:
		s.close(m.Close)
	case *plugv1.Item_Count:
		s.count(m.Count.GetKind(), m.Count.GetN())
	}
	return nil
}

// open admits a leg or passes the refusal on. Sink.Open decides from local
// knowledge, so the reader may wait for it.
func (s *session) open(m *plugv1.Open) error {
	number := m.GetLeg()
	if number == 0 || s.legs[number] != nil {
		return fmt.Errorf("it opened leg %d twice", number)
	}
	info := wire.ToLegInfo(m)
	admitted, err := s.sink.Open(s.stream.Context(), info)
	if err != nil {
		s.post(&plugv1.Down{Item: &plugv1.Down_Refused{Refused: wire.FromRefusal(number, err)}})
		return nil
	}
	l := &leg{Leg: admitted, number: number}
	s.legs[number] = l
	s.post(&plugv1.Down{Item: &plugv1.Down_Admitted{Admitted: &plugv1.Admitted{Leg: number, Conversation: adapter.ConversationOf(admitted)}}})
	post := s.post
	if info.Results != adapter.ResultsNone {
		post = s.postResult
	}
	s.orders.Go(func() { // until Close
		for c := range l.Control() {
			post(&plugv1.Down{Item: &plugv1.Down_Control{Control: wire.FromControl(number, c)}})
		}
	})
	return nil
}

func (s *session) join(m *plugv1.Join) {
	l := s.legs[m.GetLeg()]
	if l == nil {
		return
	}
	id, t := wire.ToTrack(m)
	if err := l.Join(id, t); err != nil {
		if errors.Is(err, adapter.ErrClosed) {
			s.refuseMore(l, err)
			return
		}
		s.log.Warn("the host did not take a track", "track", string(id), "err", err)
		s.fail(l, m.GetTrack(), err)
		return
	}
	if s.tracks[m.GetTrack()] == nil {
		l.tracks = append(l.tracks, m.GetTrack())
	}
	s.tracks[m.GetTrack()] = &track{leg: l, id: id}
}

// frames hands each frame to its leg, in place: no copy, no object.
func (s *session) frames(run *wire.Frames) error {
	for f := (wire.Frame{}); ; {
		if more, err := run.Next(&f); !more {
			return err
		}
		t := s.tracks[f.Track]
		if t == nil {
			s.count(countUnknownTracks, 1)
			continue
		}
		err := t.leg.Write(media.Frame{Track: t.id, Pos: f.Pos, Arrived: wire.Time(f.Arrived), Payload: f.Payload})
		if err != nil {
			s.frameFailed(t, err)
		}
	}
}

func (s *session) frameFailed(t *track, err error) {
	if errors.Is(err, adapter.ErrClosed) {
		s.refuseMore(t.leg, err)
		return
	}
	s.count(countFrameErrors, 1)
	if !t.failed { // once a track
		t.failed = true
		s.log.Warn("the host did not take a frame", "track", string(t.id), "err", err)
	}
}

func (s *session) close(m *plugv1.Close) {
	l := s.legs[m.GetLeg()]
	if l == nil {
		return
	}
	if err := l.Close(wire.ToEnd(m)); err != nil {
		s.log.Warn("closing a leg failed", "err", err)
	}
	for _, number := range l.tracks {
		delete(s.tracks, number)
	}
	delete(s.legs, l.number)
}

// refuseMore tells the plugin, once, that the host takes nothing more of a leg.
func (s *session) refuseMore(l *leg, err error) {
	if !errors.Is(err, adapter.ErrClosed) {
		s.log.Warn("the host did not take a note", "err", err)
		return
	}
	if !l.failed {
		l.failed = true
		s.fail(l, 0, err)
	}
}

func (s *session) fail(l *leg, track uint64, err error) {
	s.post(&plugv1.Down{Item: &plugv1.Down_Failed{Failed: &plugv1.Failed{Leg: l.number, Track: track, Error: wire.FromError(err)}}})
}

// post queues a message to the plugin. It never waits.
func (s *session) post(m *plugv1.Down) {
	select {
	case s.down <- m:
	default:
		s.abort(errNotReading)
	}
}

// postResult queues a message for a leg that asked for results. It waits while the plugin
// does not read; the leg keeps what it can meanwhile.
func (s *session) postResult(m *plugv1.Down) {
	select {
	case s.results <- m:
	case <-s.done:
	}
}

// send passes messages on until the session ends, or half-closes it when told to.
// It is the only one to use the stream's sending half.
func (s *session) send() {
	for {
		var m *plugv1.Down
		select {
		case m = <-s.down:
		case m = <-s.results:
		case <-s.stop:
			_ = s.stream.CloseSend() // the reader learns what comes of it
			return
		case <-s.done:
			return
		}
		if err := s.stream.Send(m); err != nil {
			return // the reader learns why
		}
	}
}
