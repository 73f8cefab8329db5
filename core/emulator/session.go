package emulator

import (
	"context"
	"errors"
	"io"
	"time"

	pb "cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/patchbay/patchbay/core/emulator/hear"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/media/probe"
)

// handoverGrace is how long a new stream waits for the participant's last one to
// be gone: a cancelled stream may end a moment after the client saw it end.
const handoverGrace = 250 * time.Millisecond

// output is how a session answers, in the shape of its wire. Faults on demand stand
// in front of it (meddler). The message is nil when suggestions come alone.
type output interface {
	recognised(*pb.StreamingRecognitionResult) error
	analysed(m *pb.Message, human, endUser []*pb.SuggestionResult) error
}

// settings are what a stream's first message asks for, with the profile's
// defaults filled in.
type settings struct {
	kind     string // plain, extended or bidi, for logs
	format   media.Format
	language string
	model    string
	wordInfo bool // word times in finals
	activity bool // speech begin and end events
	single   bool // one utterance, then END_OF_SINGLE_UTTERANCE
	hold     bool // messages and suggestions only after half-close
	idle     time.Duration
	limit    time.Duration
	tooLong  codes.Code // of the error at the limit
}

// session is the hearing of one stream, whichever RPC carries it.
type session struct {
	settings
	s        *Server
	p        *participant
	out      *meddler
	listener hear.Listener
	decoder  *probe.Decoder

	busy       chan struct{} // closed at the end
	opened     time.Time
	firstAudio time.Time
	bytes      int64
	chunks     int
	lastEnd    int64     // of the last result: offsets never run backwards
	began      time.Time // of the utterance, on the clock
	heldBack   []*pb.Message
	finals     []*durationpb.Duration
	deaf       bool        // single utterance is over
	quiet      *time.Timer // ends an extended stream without speech; nil: never
	failed     error       // first error of out
}

// begin claims the participant for a stream. end must be called.
func (s *Server) begin(ctx context.Context, p *participant, set settings, out output) (*session, error) {
	ses := &session{settings: set, s: s, p: p, busy: make(chan struct{}), opened: now()}
	grace := time.NewTimer(handoverGrace)
	defer grace.Stop()
	for claimed := false; !claimed; {
		p.conv.mu.Lock()
		busy := p.busy
		if busy == nil || isClosed(busy) || !s.on(RuleOneStream) {
			p.busy, claimed = ses.busy, true
			p.books.opened(set.language)
			ses.out = s.meddler(p, p.books.streams, out, func() time.Duration { return ses.duration(ses.samples()) })
			ses.decoder = p.books.takeDecoder(set.format)
		}
		p.conv.mu.Unlock()
		if claimed {
			break
		}
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		case <-grace.C:
			return nil, s.rule(RuleOneStream, false, codes.FailedPrecondition, "participant %q has a stream already; end it first", p.name)
		}
	}
	ses.listener = s.recognizer.Listen(set.format, set.language)
	if set.idle > 0 {
		ses.quiet = time.NewTimer(s.cfg.real(set.idle))
		ses.quiet.Stop() // runs from the end of an utterance on
	}
	s.log.Info("stream opened", "conversation", p.conv.name, "participant", p.id, "role", p.role.String(), "kind", set.kind,
		"format", set.format.String(), "model", set.model)
	return ses, nil
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// end gives the participant back and logs how the stream ended.
func (ses *session) end(err error) {
	ses.out.timer.Stop()
	if ses.quiet != nil {
		ses.quiet.Stop()
	}
	p := ses.p
	p.conv.mu.Lock()
	p.books.decoder, p.books.format = ses.decoder, ses.format
	close(ses.busy)
	p.conv.mu.Unlock()
	log := ses.s.log.With("conversation", p.conv.name, "participant", p.id, "kind", ses.kind,
		"audio", ses.duration(ses.samples()), "finals", len(ses.finals))
	if err != nil {
		log = log.With("err", err)
	}
	log.Info("stream closed")
}

func (b *books) takeDecoder(f media.Format) *probe.Decoder {
	d := b.decoder
	b.decoder = nil
	if d == nil || b.format != f {
		return &probe.Decoder{}
	}
	return d
}

// input is what the client sent: audio, or the error that ended it.
type input struct {
	audio []byte
	err   error
}

// read calls next in a goroutine of its own until it fails or stop is closed. The
// goroutine ends when the RPC's stream does; Close waits for it.
func (s *Server) read(next func() ([]byte, error), stop <-chan struct{}) <-chan input {
	inputs := make(chan input)
	s.readers.Go(func() {
		for {
			audio, err := next()
			select {
			case inputs <- input{audio, err}:
			case <-stop:
				return
			}
			if err != nil {
				return
			}
		}
	})
	return inputs
}

// run feeds a session with what next returns until the client half-closes (next
// gives io.EOF), a limit is reached or a fault strikes.
func (ses *session) run(ctx context.Context, next func() ([]byte, error)) error {
	s, l := ses.s, ses.s.cfg.Limits
	outage, err := s.faults.unavailable()
	if err != nil {
		return err
	}
	stop := make(chan struct{})
	defer close(stop)
	inputs := s.read(next, stop)
	if ended, err := ses.suffer(ctx, inputs, outage, false); ended {
		return err
	}
	limit := time.NewTimer(s.cfg.real(ses.limit))
	defer limit.Stop()
	gap := time.NewTimer(s.cfg.real(l.AudioGap))
	defer gap.Stop()
	var idle <-chan time.Time
	if ses.quiet != nil {
		idle = ses.quiet.C
	}
	take := func(in input) (ended bool, err error) {
		closing := errors.Is(in.err, io.EOF)
		if in.err != nil && !closing {
			return true, in.err
		}
		if !closing {
			if err := ses.feed(in.audio); err != nil {
				return true, err
			}
			gap.Reset(s.cfg.real(l.AudioGap))
		}
		if ended, err := ses.suffer(ctx, inputs, outage, closing); ended || !closing {
			return ended, err
		}
		return true, ses.finish(ctx, outage)
	}
	reading := inputs // nil while a slow reader pauses
	var held input
	var pause <-chan time.Time
	for {
		var ended bool
		var err error
		select {
		case in := <-reading:
			if o := ses.out.slow(in); o != nil {
				reading, held, pause = nil, in, time.After(s.cfg.real(o.For))
				continue
			}
			ended, err = take(in)
		case <-pause:
			reading, pause = inputs, nil
			ended, err = take(held)
		case <-ses.out.timer.C:
			err = ses.out.flush()
		case <-limit.C:
			err = ses.overdue(true)
		case <-gap.C:
			err = s.rule(RuleTooSlow, false, codes.OutOfRange,
				"no audio for %v; send audio at about real time, silence included", l.AudioGap)
		case <-idle:
			return ses.finish(ctx, outage)
		case <-ses.p.conv.done:
			if err := s.open(ses.p.conv); err != nil {
				return err
			}
			return ses.finish(ctx, outage)
		case <-outage:
			return errDown()
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
		if ended || err != nil {
			return err
		}
	}
}

// overdue is the rule about a stream's length, counted in time and in audio.
func (ses *session) overdue(byClock bool) error {
	over := byClock || ses.duration(ses.samples()) > ses.limit
	if ses.tooLong == codes.Aborted {
		return ses.s.rule(RuleDuration, !over, codes.Aborted, "Max duration of %d minutes reached for stream.", int(ses.limit.Minutes()))
	}
	return ses.s.rule(RuleDuration, !over, ses.tooLong, "Exceeded maximum allowed stream duration of %d seconds.", int(ses.limit.Seconds()))
}

// feed hears one message's audio.
func (ses *session) feed(audio []byte) error {
	s, l := ses.s, ses.s.cfg.Limits
	if len(audio) == 0 {
		return nil
	}
	if err := s.rule(RuleChunkSize, len(audio) <= l.ChunkBytes, codes.InvalidArgument,
		"input_audio has %d bytes; want at most %d", len(audio), l.ChunkBytes); err != nil {
		return err
	}
	if ses.firstAudio.IsZero() {
		ses.firstAudio = now()
	}
	before := ses.samples()
	ses.bytes += int64(len(audio))
	ses.chunks++
	ahead := ses.duration(ses.samples()) - time.Duration(float64(s.cfg.emulated(now().Sub(ses.firstAudio)))*l.SpeedUp)
	if err := firstError(s.rule(RuleTooFast, ahead <= l.Ahead, codes.OutOfRange,
		"audio runs %v ahead of real time; at most %v is taken", ahead.Round(time.Millisecond), l.Ahead), ses.overdue(false)); err != nil {
		return err
	}
	ses.count(audio, ses.samples()-before)
	if !ses.deaf {
		ses.listener.Write(audio, ses.event)
	}
	return ses.failed
}

// count enters received audio in the participant's books.
func (ses *session) count(audio []byte, samples int64) {
	p := ses.p
	p.conv.mu.Lock()
	defer p.conv.mu.Unlock()
	p.books.bytes += int64(len(audio))
	p.books.samples += samples
	ses.decoder.Write(ses.format, audio, func(b probe.Block, _ int64) { p.books.heard(b) })
}

// finish ends the open utterance and sends what was held back or is late.
func (ses *session) finish(ctx context.Context, outage <-chan struct{}) error {
	ses.listener.Close(ses.event)
	for _, m := range ses.heldBack {
		ses.analyse(m)
	}
	ses.heldBack = nil
	if ses.failed != nil {
		return ses.failed
	}
	return ses.out.drain(ctx, outage)
}

func (ses *session) samples() int64 { return ses.format.Samples(int(ses.bytes)) }

func (ses *session) duration(samples int64) time.Duration { return ses.format.Duration(samples) }

// clock returns when a sample arrived, by its distance from the newest one.
func (ses *session) clock(sample int64) time.Time {
	return now().Add(-ses.s.cfg.real(ses.duration(ses.samples() - sample)))
}
