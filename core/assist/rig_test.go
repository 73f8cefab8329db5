package assist

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"github.com/patchbay/patchbay/core/emulator"
	"github.com/patchbay/patchbay/core/emulator/hear"
	"github.com/patchbay/patchbay/core/event"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/media/probe"
	"github.com/patchbay/patchbay/core/tape"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is an emulator with a pool that talks to it, in memory, on fake time: use
// it within synctest.Test.
type rig struct {
	t    *testing.T
	em   *emulator.Server
	pool *Pool
	log  *event.Log
}

type rigConfig struct {
	options  Options
	emulator func(*emulator.Config)
	server   []grpc.ServerOption // faults
}

func newRig(t *testing.T, c rigConfig) *rig {
	t.Helper()
	cfg := emulator.DefaultConfig()
	cfg.Recognizer = hear.Coded{} // alone it costs little
	if c.emulator != nil {
		c.emulator(&cfg)
	}
	em, err := emulator.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ln := bufconn.Listen(1 << 20)
	server := em.GRPC(c.server...)
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	if c.options.Jitter == 0 {
		c.options.Jitter = -1
	}
	c.options.Dial = func(ctx context.Context, _ string) (net.Conn, error) { return ln.DialContext(ctx) }
	r := &rig{t: t, em: em, pool: NewPool(c.options), log: event.NewLog("call-1")}
	t.Cleanup(func() {
		if err := r.pool.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
		server.Stop()
		if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Errorf("Serve() = %v", err)
		}
	})
	return r
}

func (r *rig) conversation() Conversation {
	return Conversation{
		Google:  Google{Project: emulator.DefaultProject, Endpoint: "emulator:1", Insecure: true},
		Profile: emulator.DefaultProfile, ID: "call-1", Call: "call-1",
	}
}

// run starts a session; wait returns Run's error.
func (r *rig) run(ctx context.Context, c Conversation) (s *Session, wait func() error) {
	s = r.pool.NewSession(c, r.log.Append, nil)
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return s, func() error { return <-done }
}

// events returns the events of the given kinds, all when none is given.
func (r *rig) events(kinds ...event.Kind) (out []event.Event) {
	for _, e := range r.log.Since(0, 0) {
		if len(kinds) == 0 || slices.Contains(kinds, e.Kind) {
			out = append(out, e)
		}
	}
	return out
}

// causes returns how the streams of a track ended, in order.
func (r *rig) causes(track string) (out []string) {
	for _, e := range r.events(event.StreamEnded) {
		if e.Track.Track == track {
			out = append(out, e.Stream.Cause)
		}
	}
	return out
}

// voice is a speaker whose words are coded blocks.
type voice struct {
	track  string
	role   string
	id     uint16
	tape   *tape.Tape
	writer *tape.Writer
	format media.Format
	n      uint32 // next block
	pos    int64  // within the segment
}

func newVoice(t *testing.T, track, role string, id uint16, f media.Format) *voice {
	t.Helper()
	v := &voice{track: track, role: role, id: id, tape: tape.New(0)}
	v.join(t, f)
	return v
}

func (v *voice) join(t *testing.T, f media.Format) {
	t.Helper()
	w, err := v.tape.Join(f, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	v.writer, v.format, v.pos = w, f, 0
}

func (v *voice) asTrack() Track {
	return Track{Ref: event.TrackRef{Leg: "leg", Track: v.track, Speaker: v.track, Role: v.role}, Audio: v.tape.Reader()}
}

// write puts 20 ms on the tape: the next block, or silence.
func (v *voice) write(t *testing.T, speech bool) {
	t.Helper()
	var payload []byte
	if speech {
		payload = probe.AppendBlock(nil, v.id, v.n)
		v.n++
		payload = media.AppendEncoded(nil, v.format.Encoding, media.AppendLinear(nil, media.MuLaw, payload))
	} else {
		for range v.format.Bytes(probe.BlockSamples) {
			payload = append(payload, v.format.Silence())
		}
	}
	if err := v.writer.Write(media.Frame{Pos: v.pos, Arrived: time.Now(), Payload: payload}); err != nil {
		t.Fatal(err)
	}
	v.pos += probe.BlockSamples
}

// ptime is the length of a block.
const ptime = 20 * time.Millisecond

// speak writes speech in real time, silence for one second after every four.
func (v *voice) speak(t *testing.T, d time.Duration) { v.speakAt(t, d, 1) }

func (v *voice) speakAt(t *testing.T, d time.Duration, speed int) {
	tick := time.NewTicker(ptime / time.Duration(speed))
	defer tick.Stop()
	for at := time.Duration(0); at < d; at += ptime {
		<-tick.C
		v.write(t, at%(5*time.Second) < 4*time.Second)
	}
}

func (v *voice) quiet(t *testing.T, d time.Duration) {
	tick := time.NewTicker(ptime)
	defer tick.Stop()
	for at := time.Duration(0); at < d; at += ptime {
		<-tick.C
		v.write(t, false)
	}
}

// call lets voices speak at the same time, ends their tapes and the session.
func call(t *testing.T, s *Session, speak func(*voice), voices ...*voice) {
	var speaking sync.WaitGroup
	for _, v := range voices {
		s.Add(v.asTrack())
		speaking.Go(func() {
			speak(v)
			v.tape.End()
		})
	}
	speaking.Wait()
	s.Finish()
}

// heardOnce checks that the participant of each voice heard each of its blocks once,
// and that its ledger is settled and balanced.
func (r *rig) heardOnce(conversation string, voices ...*voice) {
	r.t.Helper()
	for _, v := range voices {
		if n := r.heard(conversation, v); n != 0 {
			r.t.Errorf("%s: %d blocks heard twice; want none", v.track, n)
		}
	}
}

// heard checks that each block was heard, and returns how often blocks were heard again.
func (r *rig) heard(conversation string, v *voice) (duplicates int) {
	r.t.Helper()
	l := v.tape.Ledger()
	if err := l.Balanced(); err != nil {
		r.t.Errorf("%s: %v", v.track, err)
	}
	if !l.Settled() || len(l.Discarded) > 0 {
		r.t.Errorf("%s: ledger %+v; want everything settled and nothing discarded", v.track, l)
	}
	want := map[string]string{"end_user": "END_USER", "human_agent": "HUMAN_AGENT"}[v.role]
	account, ok := r.em.Account().Conversation(conversation)
	if !ok {
		r.t.Fatalf("the emulator has no conversation %s", conversation)
	}
	found := false
	for _, p := range account.Participants {
		for b, n := range r.em.Blocks(p.Name) {
			switch {
			case b.Stream != v.id:
				continue
			case p.Role != want:
				r.t.Errorf("%s: block %d was heard from a %s", v.track, b.N, p.Role)
			}
			found = true
			duplicates += n - 1
		}
		for _, b := range p.Blocks {
			if b.Stream == v.id && (b.Distinct != int(v.n) || b.Missing != 0 || b.First != 0) {
				r.t.Errorf("%s: heard %d of %d blocks from %d on, %d missing", v.track, b.Distinct, v.n, b.First, b.Missing)
			}
		}
	}
	if !found && v.n > 0 {
		r.t.Errorf("%s: nobody heard it", v.track)
	}
	return duplicates
}

func inBubble(t *testing.T, c rigConfig, f func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newRig(t, c)) })
}

// complete completes a conversation behind the session's back.
func (r *rig) complete(name string) {
	r.t.Helper()
	c, err := r.pool.client(r.t.Context(), r.conversation().Google)
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := c.conversations.CompleteConversation(r.t.Context(), &dialogflowpb.CompleteConversationRequest{Name: name}); err != nil {
		r.t.Fatal(err)
	}
}

// neverFinal recognises coded blocks and makes one utterance of them.
var neverFinal = hear.Coded{Silence: time.Hour, Utterance: time.Hour}

// codedSpeech is three seconds of mu-law, other blocks for each role.
func codedSpeech(role string) (speech []byte) {
	id := uint16(1)
	if role == forAgent {
		id = 2
	}
	for n := range uint32(150) {
		speech = probe.AppendBlock(speech, id, n)
	}
	return speech
}

// play writes 16-bit samples at 8 kHz in real time.
func (v *voice) play(t *testing.T, samples []int16) {
	tick := time.NewTicker(ptime)
	defer tick.Stop()
	for part := range slices.Chunk(samples, probe.BlockSamples) {
		<-tick.C
		payload := media.AppendEncoded(nil, v.format.Encoding, part)
		if err := v.writer.Write(media.Frame{Pos: v.pos, Arrived: time.Now(), Payload: payload}); err != nil {
			t.Error(err)
		}
		v.pos += int64(len(part))
	}
}
