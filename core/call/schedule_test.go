package call

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/assist"
	"github.com/patchbay/patchbay/core/emulator"
	"github.com/patchbay/patchbay/core/event"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/media/probe"
)

var (
	schedules = flag.Int("schedules", 60, "how many random schedules TestSchedules runs")
	firstSeed = flag.Uint64("first-seed", 1, "seed of the first schedule; with -schedules 1 it repeats a failure")
	runFor    = flag.Duration("schedules-for", 0, "run schedules for this long, whatever their number")
)

// TestSchedules: whatever happens to random calls under random faults of Agent
// Assist, every block that was spoken is heard by the right participant, in no two
// finals and in order, unless the ledger names its loss; and the ledger adds up.
func TestSchedules(t *testing.T) {
	const batch = 100 // so that many schedules do not all wait at once
	begun := time.Now()
	for next, end := *firstSeed, *firstSeed+uint64(*schedules); next < end || time.Since(begun) < *runFor; next += batch {
		last := next + batch
		if *runFor == 0 {
			last = min(last, end)
		}
		if !t.Run(fmt.Sprintf("seeds=%d-%d", next, last-1), func(t *testing.T) { runSchedules(t, next, last) }) {
			return
		}
	}
}

func runSchedules(t *testing.T, from, to uint64) {
	for seed := from; seed < to; seed++ {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { newSchedule(t, seed).run() })
			if t.Failed() {
				t.Logf("repeat it with: go test ./core/call -run TestSchedules -schedules 1 -first-seed %d", seed)
			}
		})
	}
}

// schedule is one random history.
type schedule struct {
	t      *testing.T
	rng    *rand.Rand
	host   *host
	config func(*Config)
	plan   emulator.Plan
	what   string // for failures

	dir     string // of the host's spool; empty: it has none, and does not crash
	crashes int
}

func newSchedule(t *testing.T, seed uint64) *schedule {
	s := &schedule{t: t, rng: rand.New(rand.NewPCG(seed, 1))}
	transport := pick(s.rng, assist.Extended, assist.Extended, assist.Streaming, assist.Bidi)
	s.config = func(c *Config) {
		c.Routes[0].Transport = transport
		c.Limits.WrapUp = 10 * time.Minute // an outage may end later than the call
	}
	if s.rng.IntN(4) == 0 {
		s.dir = t.TempDir()
		s.host = newSpooledHost(t, s.dir, s.config)
	} else {
		s.host = newHost(t, s.config)
	}
	s.plan.Seed = seed
	for range s.rng.IntN(4) {
		s.plan.Faults = append(s.plan.Faults, randomFault(s.rng))
	}
	var words []string
	for _, f := range s.plan.Faults {
		words = append(words, f.String())
	}
	s.what = fmt.Sprintf("%s, spooled %t, faults [%s]", transport, s.dir != "", strings.Join(words, "; "))
	if _, err := s.host.emulator.Inject(s.plan); err != nil {
		t.Fatal(err)
	}
	return s
}

func pick[T any](rng *rand.Rand, of ...T) T { return of[rng.IntN(len(of))] }

// between returns a random length of time.
func between(rng *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(rng.Int64N(int64(most-least)+1)).Round(20*time.Millisecond)
}

func randomFault(rng *rand.Rand) emulator.Fault {
	f := emulator.Fault{Chance: pick(rng, 0.3, 0.7, 1)}
	moment := emulator.Moment{From: between(rng, 0, 20*time.Second)}
	if rng.IntN(2) == 0 {
		moment.To = moment.From + between(rng, time.Second, time.Minute)
	}
	switch rng.IntN(10) {
	case 0, 1:
		f.Kind, f.At = emulator.FaultStreamEnd, moment
		f.Code = pick(rng, codes.OK, codes.Unavailable, codes.Internal, codes.Aborted, codes.OutOfRange, codes.DeadlineExceeded, codes.Unknown, codes.ResourceExhausted)
		f.Times = 1 + rng.IntN(6)
	case 2:
		f.Kind, f.At, f.Times = emulator.FaultCut, moment, 1+rng.IntN(4)
	case 3:
		f.Kind, f.At, f.For, f.Times = emulator.FaultStuck, moment, between(rng, time.Second, 20*time.Second), 1+rng.IntN(3)
		f.Code = codes.Unavailable
	case 4:
		f.Kind = pick(rng, emulator.FaultDropInterim, emulator.FaultDuplicateFinal, emulator.FaultDuplicateMessage, emulator.FaultUnknownResult, emulator.FaultDropMessage)
	case 5:
		f.Kind = pick(rng, emulator.FaultDelayFinal, emulator.FaultSlowSend, emulator.FaultDelayMessage)
		f.For = between(rng, 100*time.Millisecond, 3*time.Second)
	case 6:
		f.Kind, f.For = pick(rng, emulator.FaultOffsetBeyond, emulator.FaultOffsetBack), between(rng, 100*time.Millisecond, 5*time.Second)
	case 7:
		f.Kind, f.Code, f.Times = pick(rng, emulator.FaultRPCError, emulator.FaultRPCLost), codes.Unavailable, 1+rng.IntN(5)
	case 8:
		f.Kind, f.For = emulator.FaultDown, between(rng, time.Second, 30*time.Second)
		f.At, f.Chance = moment, 0
	case 9:
		f.Kind, f.For = emulator.FaultRestart, between(rng, 100*time.Millisecond, 10*time.Second)
		f.At, f.Chance = moment, 0
	}
	return f
}

func (s *schedule) run() {
	calls := 1 + s.rng.IntN(2)
	if s.dir != "" {
		calls = 1 // a crash is of all calls
	}
	done := make(chan func(), calls)
	for i := range calls {
		rng := rand.New(rand.NewPCG(s.rng.Uint64(), 2)) // of its own: the calls run at once
		go func() { done <- s.call(rng, i) }()
	}
	for range calls {
		(<-done)()
	}
	if s.t.Failed() {
		s.t.Log(s.what, "crashes", s.crashes)
	}
}

// party is one speaker of a call and what was said.
type party struct {
	*speaker
	who    adapter.Speaker
	spoken map[uint32]bool // blocks that must be heard

	tape int64            // position on the track's tape
	at   map[uint32]int64 // of blocks
	gone map[uint32]bool  // blocks that were in memory alone when the host crashed
}

// call plays one call, and returns what checks it.
func (s *schedule) call(rng *rand.Rand, number int) func() {
	key := fmt.Sprint("CA", number)
	l, err := s.host.Sink("test").Open(s.t.Context(), info(key, "leg"))
	if err != nil {
		return func() { s.t.Error(err) }
	}
	parties := []*party{{who: customer}, {who: agent}}
	for i, p := range parties {
		p.spoken, p.at, p.gone = map[uint32]bool{}, map[uint32]int64{}, map[uint32]bool{}
		p.speaker = &speaker{leg: l, track: media.TrackID(p.who.ID), stream: uint16(2*number + i)}
	}
	s.enter(l, parties)
	c, _ := s.host.Find(key)
	for range 1 + rng.IntN(8) {
		if s.dir != "" && s.crashes < 2 && rng.IntN(4) == 0 {
			if rng.IntN(3) > 0 { // Agent Assist is out of reach first
				s.host.cut()
				s.talk(between(rng, time.Second, 20*time.Second), parties, 1+rng.IntN(3), true)
			}
			s.crash(parties)
			c, _ = s.host.Find(key)
			if rng.IntN(3) == 0 { // and nobody comes back
				return func() { s.check(c, parties) }
			}
			time.Sleep(between(rng, 0, 25*time.Second))
			again, err := s.host.Sink("test").Open(s.t.Context(), info(key, "leg"))
			if err != nil {
				return func() { s.t.Error(err) }
			}
			l = again
			s.enter(l, parties)
			if rng.IntN(2) == 0 {
				continue
			}
		}
		switch rng.IntN(12) {
		case 0: // nothing comes
			time.Sleep(between(rng, time.Second, 40*time.Second))
		case 1: // a pause for privacy
			s.must(l.Note(adapter.Note{Kind: adapter.NotePause}))
			s.talk(between(rng, time.Second, 8*time.Second), parties, 3, false)
			s.must(l.Note(adapter.Note{Kind: adapter.NoteResume}))
		case 2: // the leg is lost and comes back
			s.must(l.Close(adapter.EndReason{Kind: adapter.EndLost}))
			time.Sleep(between(rng, 0, 10*time.Second))
			again, err := s.host.Sink("test").Open(s.t.Context(), info(key, "leg"))
			if err != nil {
				return func() { s.t.Error(err) }
			}
			l = again
			s.enter(l, parties)
		default: // somebody speaks
			s.talk(between(rng, 200*time.Millisecond, 20*time.Second), parties, 1+rng.IntN(3), true)
			s.talk(between(rng, 100*time.Millisecond, 3*time.Second), parties, 0, true)
		}
	}
	s.must(l.Close(adapter.EndReason{Kind: pick(rng, adapter.EndHangup, adapter.EndLost)}))
	return func() { s.check(c, parties) }
}

func (s *schedule) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Error(err)
	}
}

// enter joins the parties' tracks to a leg.
func (s *schedule) enter(l adapter.Leg, parties []*party) {
	for _, p := range parties {
		p.leg, p.pos = l, 0
		s.must(l.Join(p.track, adapter.Track{Format: media.Telephony, Speaker: p.who}))
	}
}

// talk sends d of audio in frames of 100 ms: blocks of the parties whose bit is set,
// silence of the others. heard says whether somebody may listen.
func (s *schedule) talk(d time.Duration, parties []*party, who int, heard bool) {
	const frame = 5 // blocks
	for range d / (100 * time.Millisecond) {
		time.Sleep(100 * time.Millisecond)
		for i, p := range parties {
			buf := slices.Repeat([]byte{media.Telephony.Silence()}, frame*probe.BlockSamples)
			if who&(1<<i) != 0 {
				buf = buf[:0]
				for range frame {
					p.at[p.n] = p.tape + int64(len(buf))
					buf = probe.AppendBlock(buf, p.stream, p.n)
					if heard {
						p.spoken[p.n] = true
					}
					p.n++
				}
			}
			s.must(p.leg.Write(media.Frame{Track: p.track, Pos: p.pos, Arrived: time.Now(), Payload: buf}))
			p.pos += frame * probe.BlockSamples
			p.tape += frame * probe.BlockSamples
		}
	}
}

// check waits for the end of a call and holds its three accounts together.
func (s *schedule) check(c *Call, parties []*party) {
	events := untilEnded(s.t, c)
	i := c.Info()
	for _, tr := range i.Tracks {
		if err := tr.Ledger.Balanced(); err != nil || !tr.Ledger.Settled() {
			s.t.Errorf("%s: %+v, %v; want it settled and in balance", tr.Track, tr.Ledger, err)
		}
		p := parties[slices.IndexFunc(parties, func(p *party) bool { return string(p.track) == tr.Track })]
		heard := s.heard(i, p)
		var missing []uint32
		for n := range p.spoken {
			if heard[n] == 0 && !p.gone[n] {
				missing = append(missing, n)
			}
		}
		for n := range heard {
			if !p.spoken[n] {
				s.t.Errorf("%s: block %d was heard, though it was withheld or never spoken", tr.Track, n)
			}
		}
		var discarded int64
		for _, n := range tr.Ledger.Discarded {
			discarded += n
		}
		// A discarded stretch may cut a block at each end.
		if lost := int64(len(missing)) * probe.BlockSamples; lost > 0 && lost > discarded+2*probe.BlockSamples {
			slices.Sort(missing)
			s.t.Errorf("%s: %d blocks were not heard (%d to %d), and the ledger names %d samples: %+v",
				tr.Track, len(missing), missing[0], missing[len(missing)-1], discarded, tr.Ledger)
		}
	}
	if !s.lies() {
		s.checkFinals(events)
	}
	if s.t.Failed() {
		s.explain(events)
	}
}

// explain logs what happened to a call that failed the check.
func (s *schedule) explain(events []event.Event) {
	for _, e := range events {
		switch {
		case e.Kind == event.TranscriptFinal:
			s.t.Logf("%s %s final %q to %d", e.Time.Format("04:05.000"), e.Track.Track, e.Transcript.Text, e.Transcript.EndPos)
		case e.Stream != nil:
			s.t.Logf("%s %s %s %+v", e.Time.Format("04:05.000"), e.Track.Track, e.Kind, *e.Stream)
		case e.Problem != nil:
			s.t.Logf("%s %s", e.Time.Format("04:05.000"), e.Problem.Text)
		}
	}
}

// lies reports whether offsets of finals are false: what they cover is not believed
// then, and may be heard, and final, once more.
func (s *schedule) lies() bool {
	return slices.ContainsFunc(s.plan.Faults, func(f emulator.Fault) bool {
		return f.Kind == emulator.FaultOffsetBeyond || f.Kind == emulator.FaultOffsetBack
	})
}

// heard returns how often the party's participants heard each of its blocks, and
// complains of any other's.
func (s *schedule) heard(i Info, p *party) map[uint32]int {
	out := map[uint32]int{}
	account, _ := s.host.emulator.Account().Conversation(i.Conversation)
	for _, pa := range account.Participants {
		for b, n := range s.host.emulator.Blocks(i.Conversation + "/participants/" + pa.Name[strings.LastIndex(pa.Name, "/")+1:]) {
			mine := pa.Role == map[adapter.Role]string{adapter.RoleEndUser: "END_USER", adapter.RoleHumanAgent: "HUMAN_AGENT"}[p.who.Role]
			if mine && b.Stream != p.stream {
				s.t.Errorf("%s heard block %d of stream %d; its own is %d", pa.Role, b.N, b.Stream, p.stream)
			}
			if b.Stream == p.stream {
				out[b.N] += n
			}
		}
	}
	return out
}

// checkFinals: the finals of a track name its blocks in rising order, none twice.
func (s *schedule) checkFinals(events []event.Event) {
	next := map[string]int{}
	for _, e := range events {
		if e.Kind != event.TranscriptFinal {
			continue
		}
		for _, word := range strings.Fields(e.Transcript.Text) {
			var from, to int
			if n, _ := fmt.Sscanf(word, "%d-%d", &from, &to); n != 2 {
				continue
			}
			if from < next[e.Track.Track] {
				s.t.Errorf("%s: a final says %q, though block %d was final already", e.Track.Track, e.Transcript.Text, next[e.Track.Track]-1)
			}
			next[e.Track.Track] = to + 1
		}
	}
}
