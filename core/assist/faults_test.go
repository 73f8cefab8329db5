package assist

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/patchbay/patchbay/core/emulator"
	"github.com/patchbay/patchbay/core/event"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/tape"
)

// streamFault ends the server's streams: the n-th to be opened, from 1, after a
// number of messages. An error of nil is a clean end by the server.
type streamFault struct {
	mu     sync.Mutex
	opened int
	when   func(stream, messages int) (end bool, err error)
	linger time.Duration // how long the client does not learn of the end, and what it sends is not heard
}

func (f *streamFault) option() grpc.ServerOption {
	return grpc.ChainStreamInterceptor(f.intercept)
}

func (f *streamFault) intercept(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	f.mu.Lock()
	f.opened++
	w := &faultyStream{ServerStream: ss, f: f, stream: f.opened}
	f.mu.Unlock()
	err := handler(srv, w)
	if w.ended {
		time.Sleep(f.linger)
		return w.err
	}
	return err
}

type faultyStream struct {
	grpc.ServerStream
	f        *streamFault
	stream   int
	messages int
	ended    bool
	err      error
}

func (s *faultyStream) RecvMsg(m any) error {
	if end, err := s.f.when(s.stream, s.messages); end {
		if s.ended, s.err = true, err; err == nil {
			return io.EOF // as after a half-close: it finishes what it has
		}
		return err
	}
	s.messages++
	return s.ServerStream.RecvMsg(m)
}

// finals checks that the finals of a voice say each of its blocks once.
func (r *rig) finals(v *voice) {
	r.t.Helper()
	said, utterances := make(map[uint64]int), make(map[string]bool)
	for _, e := range r.events(event.TranscriptFinal) {
		if e.Track.Track != v.track {
			continue
		}
		if id := e.Transcript.Utterance; utterances[id] {
			r.t.Errorf("%s: two finals of utterance %s", v.track, id)
		}
		utterances[e.Transcript.Utterance] = true
		for _, word := range strings.Fields(strings.TrimPrefix(e.Transcript.Text, "blocks ")) {
			from, to, ok := strings.Cut(word, "-")
			if !ok {
				to = from
			}
			a, errA := strconv.ParseUint(from, 10, 32)
			b, errB := strconv.ParseUint(to, 10, 32)
			if errA != nil || errB != nil {
				r.t.Fatalf("final %q is not a list of blocks", e.Transcript.Text)
			}
			for ; a <= b; a++ {
				said[a]++
			}
		}
	}
	for n := range uint64(v.n) {
		if said[n] != 1 {
			r.t.Errorf("%s: block %d is in %d finals; want 1", v.track, n, said[n])
			return
		}
	}
}

// TestUncleanEnds kills streams in the middle of speech with each code that may
// pass: nothing is lost, and no word is final twice.
func TestUncleanEnds(t *testing.T) {
	for _, code := range []codes.Code{codes.OutOfRange, codes.Aborted, codes.Unavailable, codes.Internal, codes.Unknown,
		codes.DeadlineExceeded, codes.Canceled, codes.ResourceExhausted} {
		t.Run(code.String(), func(t *testing.T) {
			fault := &streamFault{when: func(stream, messages int) (bool, error) {
				return stream < 4 && messages == 10+37*stream, status.Error(code, "injected")
			}}
			inBubble(t, rigConfig{server: []grpc.ServerOption{fault.option()}}, func(t *testing.T, r *rig) {
				s, wait := r.run(t.Context(), r.conversation())
				v := newVoice(t, "inbound", "end_user", 1, media.Telephony)
				call(t, s, func(v *voice) { v.speak(t, 30*time.Second) }, v)
				if err := wait(); err != nil {
					t.Fatalf("Run() = %v", err)
				}
				duplicates := r.heard("call-1", v)
				r.finals(v)
				l := v.tape.Ledger()
				if duplicates == 0 || int64(duplicates)*160 > l.Replayed {
					t.Errorf("%d blocks heard twice, %d samples replayed; want some, and no more than replayed", duplicates, l.Replayed)
				}
				causes := r.causes("inbound")
				if want := []string{codeName(status.Error(code, "")), "end"}; causes[0] != want[0] || causes[3] != want[1] {
					t.Errorf("streams ended %v; want %s three times, then the end", causes, want[0])
				}
				replays := 0
				for _, e := range r.events(event.StreamOpened) {
					replays += int(e.Stream.Replay)
				}
				if int64(replays) != l.Replayed || r.pool.Stats().SamplesReplayed.Load() != l.Replayed {
					t.Errorf("events tell of %d replayed samples, the pool of %d, the ledger of %d", replays, r.pool.Stats().SamplesReplayed.Load(), l.Replayed)
				}
			})
		})
	}
}

// TestServerEndsCleanly: the server ends streams by itself, in speech and in silence.
func TestServerEndsCleanly(t *testing.T) {
	fault := &streamFault{linger: 450 * time.Millisecond, when: func(stream, messages int) (bool, error) { return stream < 5 && messages == 23+3*stream, nil }}
	inBubble(t, rigConfig{server: []grpc.ServerOption{fault.option()}}, func(t *testing.T, r *rig) {
		s, wait := r.run(t.Context(), r.conversation())
		v := newVoice(t, "inbound", "end_user", 1, media.Telephony)
		call(t, s, func(v *voice) { v.speak(t, time.Minute) }, v)
		if err := wait(); err != nil {
			t.Fatalf("Run() = %v", err)
		}
		r.heard("call-1", v)
		r.finals(v)
		if causes := r.causes("inbound"); !slices.Equal(causes, []string{"server", "server", "server", "server", "end"}) {
			t.Errorf("streams ended %v; want four times by the server", causes)
		}
	})
}

// TestIdleExtendedStream: the real service may end an extended stream that hears
// no speech. A silent speaker costs few streams and nothing is sent for ever.
func TestIdleExtendedStream(t *testing.T) {
	idle := func(c *emulator.Config) { c.Limits.ExtendedIdle = 5 * time.Second }
	inBubble(t, rigConfig{emulator: idle}, func(t *testing.T, r *rig) {
		s, wait := r.run(t.Context(), r.conversation())
		v := newVoice(t, "inbound", "end_user", 1, media.Telephony)
		call(t, s, func(v *voice) {
			v.speak(t, 10*time.Second)
			v.quiet(t, 30*time.Second)
			v.speak(t, 10*time.Second)
		}, v)
		if err := wait(); err != nil {
			t.Fatalf("Run() = %v", err)
		}
		r.heardOnce("call-1", v)
		r.finals(v)
		opened := r.events(event.StreamOpened)
		if len(opened) != 2 || opened[1].Stream.Replay != 0 || v.tape.Ledger().Replayed != 0 {
			t.Errorf("streams %+v; want a second one when speech returned, and nothing sent again", opened)
		}
	})
}

// TestStuckServer: after the half-close nothing comes. The stream is given up and
// its audio is sent again.
func TestStuckServer(t *testing.T) {
	stuck := make(chan struct{})
	fault := grpc.StreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		if err := handler(srv, ss); err != nil {
			return err
		}
		select {
		case <-stuck:
			return nil
		default:
			close(stuck) // the first: as if its end got lost
			<-ss.Context().Done()
			return status.FromContextError(ss.Context().Err()).Err()
		}
	})
	inBubble(t, rigConfig{server: []grpc.ServerOption{fault}}, func(t *testing.T, r *rig) {
		s, wait := r.run(t.Context(), r.conversation())
		v := newVoice(t, "inbound", "end_user", 1, media.Telephony)
		call(t, s, func(v *voice) { v.speak(t, 13*time.Second) }, v)
		if err := wait(); err != nil {
			t.Fatalf("Run() = %v", err)
		}
		r.heard("call-1", v)
		if causes := r.causes("inbound"); causes[0] != "DEADLINE_EXCEEDED" {
			t.Errorf("streams ended %v; want the first given up", causes)
		}
	})
}

// TestRefusedStream: an error for good is a failure with a fix; after the call its
// audio is discarded, the other track goes on.
func TestRefusedStream(t *testing.T) {
	fault := &streamFault{when: func(stream, messages int) (bool, error) {
		return stream == 1 && messages == 20 || stream > 2, status.Error(codes.PermissionDenied, "no")
	}}
	inBubble(t, rigConfig{server: []grpc.ServerOption{fault.option()}}, func(t *testing.T, r *rig) {
		s, wait := r.run(t.Context(), r.conversation())
		customer := newVoice(t, "inbound", "end_user", 1, media.Telephony)
		agent := newVoice(t, "outbound", "human_agent", 2, media.Telephony)
		s.Add(customer.asTrack())
		customer.speak(t, time.Second) // its stream is the first
		var both sync.WaitGroup
		both.Go(func() { customer.speak(t, 20*time.Second); customer.tape.End() })
		both.Go(func() { agent.speak(t, 20*time.Second); agent.tape.End() })
		s.Add(agent.asTrack())
		both.Wait()
		s.Finish()
		if err := wait(); err != nil {
			t.Fatalf("Run() = %v", err)
		}
		r.heardOnce("call-1", agent)
		l := customer.tape.Ledger()
		if !l.Settled() || l.Balanced() != nil || l.Discarded[DiscardStreamRefused] < 15*8000 {
			t.Errorf("ledger %+v; want most of it discarded as %s", l, DiscardStreamRefused)
		}
		failures := r.events(event.Failure)
		if len(failures) != 1 || failures[0].Track.Track != "inbound" || !strings.Contains(failures[0].Problem.Text, clientRole) {
			t.Errorf("failures %+v; want one of the customer's track that names the role", failures)
		}
		info := s.Info()
		if info.Tracks[0].Error == "" || info.Tracks[1].Error != "" {
			t.Errorf("Info().Tracks = %+v; want an error of the first", info.Tracks)
		}
	})
}

// TestDoubts: errors that are probably for good are believed after a few tries.
func TestDoubts(t *testing.T) {
	for _, code := range []codes.Code{codes.FailedPrecondition, codes.Unauthenticated} {
		for _, last := range []int{2, 1000} {
			t.Run(fmt.Sprintf("%s on %d streams", code, last), func(t *testing.T) {
				fault := &streamFault{when: func(stream, _ int) (bool, error) { return stream <= last, status.Error(code, "injected") }}
				inBubble(t, rigConfig{server: []grpc.ServerOption{fault.option()}}, func(t *testing.T, r *rig) {
					s, wait := r.run(t.Context(), r.conversation())
					v := newVoice(t, "inbound", "end_user", 1, media.Telephony)
					call(t, s, func(v *voice) { v.speak(t, 10*time.Second) }, v)
					if err := wait(); err != nil {
						t.Fatalf("Run() = %v", err)
					}
					failures := len(r.events(event.Failure))
					if last == 2 {
						r.heardOnce("call-1", v)
						if failures != 0 {
							t.Errorf("%d failures; want none", failures)
						}
						return
					}
					// One more after the call, unless the circuit says that it is no use.
					if n := len(r.causes("inbound")); failures != 1 || n < maxDoubts || n > maxDoubts+2 {
						t.Errorf("%d failures after %d streams; want 1 after %d", failures, n, maxDoubts+1)
					}
					if l := v.tape.Ledger(); !l.Settled() || l.Discarded[DiscardStreamRefused] != 10*8000 {
						t.Errorf("ledger %+v; want all of it discarded as %s", l, DiscardStreamRefused)
					}
				})
			})
		}
	}
}

// TestCompletedByAnother: somebody completes the conversation during the call.
func TestCompletedByAnother(t *testing.T) {
	inBubble(t, rigConfig{}, func(t *testing.T, r *rig) {
		s, wait := r.run(t.Context(), r.conversation())
		v := newVoice(t, "inbound", "end_user", 1, media.Telephony)
		call(t, s, func(v *voice) {
			v.speak(t, 8*time.Second)
			r.complete(s.Info().Conversation)
			v.speak(t, 8*time.Second)
		}, v)
		if err := wait(); err != nil {
			t.Fatalf("Run() = %v", err)
		}
		failures := r.events(event.Failure)
		if len(failures) != 1 || failures[0].Problem.Code != codeCompleted {
			t.Errorf("failures %+v; want %s", failures, codeCompleted)
		}
		if l := v.tape.Ledger(); !l.Settled() || l.Discarded[DiscardStreamRefused] == 0 {
			t.Errorf("ledger %+v; want the rest discarded", l)
		}
	})
}

// TestReplayLimit: what brought no result for longer than the limit is not sent
// for ever.
func TestReplayLimit(t *testing.T) {
	fault := &streamFault{when: func(stream, messages int) (bool, error) {
		return stream == 1 && messages == 250, status.Error(codes.Unavailable, "injected")
	}}
	deaf := func(c *emulator.Config) { c.Recognizer = neverFinal }
	inBubble(t, rigConfig{emulator: deaf, server: []grpc.ServerOption{fault.option()}, options: Options{ReplayLimit: 10 * time.Second}}, func(t *testing.T, r *rig) {
		s, wait := r.run(t.Context(), r.conversation())
		v := newVoice(t, "inbound", "end_user", 1, media.Telephony)
		call(t, s, func(v *voice) { v.speak(t, 30*time.Second) }, v)
		if err := wait(); err != nil {
			t.Fatalf("Run() = %v", err)
		}
		l := v.tape.Ledger()
		if l.Balanced() != nil || !l.Settled() || l.Discarded[DiscardReplayLimit] == 0 {
			t.Errorf("ledger %+v; want what is older than the limit discarded", l)
		}
		if e := r.events(event.StreamOpened)[1]; e.Stream.Replay != 10*8000 {
			t.Errorf("the second stream replays %d samples; want 10 s", e.Stream.Replay)
		}
	})
}

// TestStarvingStream: nothing may be sent during a pause that was ordered; the
// stream is closed before the service does it, and goes on afterwards.
func TestStarvingStream(t *testing.T) {
	inBubble(t, rigConfig{}, func(t *testing.T, r *rig) {
		s, wait := r.run(t.Context(), r.conversation())
		v := newVoice(t, "inbound", "end_user", 1, media.Telephony)
		var withheld uint32
		call(t, s, func(v *voice) {
			v.speak(t, 5*time.Second)
			v.tape.Withhold(true)
			before := v.n
			v.speak(t, 60*time.Second)
			withheld, v.n = v.n-before, before
			v.tape.Withhold(false)
			v.speak(t, 5*time.Second)
		}, v)
		if err := wait(); err != nil {
			t.Fatalf("Run() = %v", err)
		}
		r.heardOnce("call-1", v)
		if causes := r.causes("inbound"); !slices.Equal(causes, []string{"parked", "end"}) {
			t.Errorf("streams ended %v; want parked, end", causes)
		}
		if l := v.tape.Ledger(); l.Withheld != 60*8000 || withheld == 0 {
			t.Errorf("withheld %d samples; want 60 s", l.Withheld)
		}
	})
}

// TestAbandon: a cancelled session ends within seconds and leaves nothing open.
func TestAbandon(t *testing.T) {
	inBubble(t, rigConfig{}, func(t *testing.T, r *rig) {
		ctx, cancel := context.WithCancel(t.Context())
		s, wait := r.run(ctx, r.conversation())
		v := newVoice(t, "inbound", "end_user", 1, media.Telephony)
		s.Add(v.asTrack())
		v.speak(t, 7*time.Second)
		cancel()
		begin := time.Now()
		if err := wait(); !errors.Is(err, context.Canceled) {
			t.Errorf("Run() = %v; want context.Canceled", err)
		}
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("Run() took %v after the cancel; want seconds", took)
		}
		if l := v.tape.Ledger(); !l.Settled() || l.Balanced() != nil || v.n == 0 {
			t.Errorf("ledger %+v; want nothing pending", l)
		}
		if account, _ := r.em.Account().Conversation("call-1"); !account.Completed {
			t.Error("the conversation is left open")
		}
	})
}

// TestWrapUpIsBounded: a session whose results never come ends after Finish.
func TestWrapUpIsBounded(t *testing.T) {
	fault := &streamFault{when: func(int, int) (bool, error) { return true, status.Error(codes.Unavailable, "down") }}
	inBubble(t, rigConfig{server: []grpc.ServerOption{fault.option()}, options: Options{Patience: 30 * time.Second}}, func(t *testing.T, r *rig) {
		s, wait := r.run(t.Context(), r.conversation())
		v := newVoice(t, "inbound", "end_user", 1, media.Telephony)
		call(t, s, func(v *voice) { v.speak(t, 20*time.Second) }, v)
		begin := time.Now()
		if err := wait(); !errors.Is(err, errWrapUp) {
			t.Errorf("Run() = %v; want %v", err, errWrapUp)
		}
		if took := time.Since(begin); took > DefaultWrapUp+20*time.Second {
			t.Errorf("the session ended %v after Finish; want it bounded", took)
		}
		l := v.tape.Ledger()
		if !l.Settled() || l.Discarded[DiscardAbandoned] == 0 {
			t.Errorf("ledger %+v; want the rest abandoned", l)
		}
		if n := r.pool.Stats().Ended()["UNAVAILABLE"]; n < 5 || n > 40 {
			t.Errorf("%d attempts, %v; want growing pauses between them", n, maps.Collect(maps.All(r.pool.Stats().Ended())))
		}
	})
}

// slowReader returns one chunk, that at pos, only when it should have stopped.
type slowReader struct {
	*tape.Reader
	pos int64
}

func (r slowReader) Next(ctx context.Context, buf []byte, d time.Duration) (media.Chunk, error) {
	c, err := r.Reader.Next(ctx, buf, d)
	if err == nil && c.Pos == r.pos {
		<-ctx.Done()
	}
	return c, err
}

// TestReadAtTheCut: audio that was read when the cut fell goes to the next stream.
func TestReadAtTheCut(t *testing.T) {
	marks := map[Transport]Marks{Extended: {Soft: time.Hour, Hard: 8 * time.Second}}
	inBubble(t, rigConfig{options: Options{Marks: marks}}, func(t *testing.T, r *rig) {
		s, wait := r.run(t.Context(), r.conversation())
		v := newVoice(t, "inbound", "end_user", 1, media.Telephony)
		track := v.asTrack()
		track.Audio = slowReader{v.tape.Reader(), 7 * 8000}
		s.Add(track)
		v.speak(t, 12*time.Second)
		v.tape.End()
		s.Finish()
		if err := wait(); err != nil {
			t.Fatalf("Run() = %v", err)
		}
		r.heardOnce("call-1", v)
		if e := r.events(event.StreamEnded)[0].Stream; e.Cause != "forced" || e.ToPos != 7*8000 {
			t.Errorf("the first stream ended %s at %d; want forced at 7 s", e.Cause, e.ToPos)
		}
	})
}
