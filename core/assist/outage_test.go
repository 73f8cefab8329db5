package assist

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/patchbay/patchbay/core/emulator"
	"github.com/patchbay/patchbay/core/media"
)

// outage makes the server answer nothing but an error for a while.
type outage struct {
	from, to time.Time
	err      error

	mu       sync.Mutex
	attempts int // while it lasted
}

func (o *outage) fails() error {
	now := time.Now()
	if now.Before(o.from) || !now.Before(o.to) {
		return nil
	}
	return o.err
}

func (o *outage) refused() error {
	err := o.fails()
	if err != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.attempts++
	}
	return err
}

func (o *outage) options() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(unaryFault(func(string) error { return o.refused() })),
		grpc.ChainStreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			if err := o.refused(); err != nil {
				return err
			}
			w := &cutStream{ServerStream: ss, o: o}
			if err := handler(srv, w); w.err == nil {
				return err
			}
			return w.err
		}),
	}
}

// cutStream ends when the outage begins.
type cutStream struct {
	grpc.ServerStream
	o   *outage
	err error
}

func (s *cutStream) RecvMsg(m any) error {
	if s.err = s.o.fails(); s.err != nil {
		return s.err
	}
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	if s.err = s.o.fails(); s.err != nil {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// speakInBulk is speak with fewer wake-ups: 100 ms at a time.
func (v *voice) speakInBulk(t *testing.T, d time.Duration) {
	tick := time.NewTicker(5 * ptime)
	defer tick.Stop()
	for at := time.Duration(0); at < d; {
		<-tick.C
		for range 5 {
			v.write(t, at%(5*time.Second) < 4*time.Second)
			at += ptime
		}
	}
}

// outageCalls is how many calls TestOutage holds; the quota is half as many again.
// PATCHBAY_OUTAGE_CALLS=200 is a project's true quota of 300 starts a minute.
func outageCalls(t *testing.T) int {
	n, err := strconv.Atoi(os.Getenv("PATCHBAY_OUTAGE_CALLS"))
	switch {
	case err == nil && n > 0:
		return n
	case testing.Short():
		t.Skip("takes seconds")
	}
	return 12
}

// TestOutage: calls of ten minutes, as many as the quota carries, and Agent Assist is
// down for one minute in the middle. Nothing is lost, the quota is never exceeded,
// and the restarts do not build up.
func TestOutage(t *testing.T) {
	calls := outageCalls(t)
	starts := calls * 3 / 2
	down := &outage{err: status.Error(codes.Unavailable, "down")}
	inBubble(t, rigConfig{
		emulator: func(c *emulator.Config) { c.Limits.StreamStarts = starts },
		options:  Options{Quotas: Quotas{StreamStarts: starts}, Jitter: DefaultJitter, Seed: 1},
		server:   down.options(),
	}, func(t *testing.T, r *rig) {
		begin := time.Now()
		down.from, down.to = begin.Add(5*time.Minute), begin.Add(6*time.Minute)
		var all sync.WaitGroup
		for i := range calls {
			all.Go(func() {
				c := r.conversation()
				c.ID = fmt.Sprintf("call-%d", 1000+i)
				s, wait := r.run(t.Context(), c)
				customer := newVoice(t, "inbound", "end_user", 1, media.Telephony)
				agent := newVoice(t, "outbound", "human_agent", 2, media.Telephony)
				call(t, s, func(v *voice) { v.speakInBulk(t, 10*time.Minute) }, customer, agent)
				if err := wait(); err != nil {
					t.Errorf("%s: Run() = %v", c.ID, err)
				}
				r.heard(c.ID, customer)
				r.heard(c.ID, agent)
			})
		}
		all.Wait()
		st := r.pool.Stats()
		ended := st.Ended()
		t.Logf("%d calls, %d starts a minute: %d streams, ended %v, %d attempts while down, %d starts waited %v on average, %d rotations moved; the last call ended %v after its last word",
			calls, starts, st.StreamsOpened.Load(), ended, down.attempts, st.StartsDelayed.Load(),
			(time.Duration(st.StartDelay.Load()) / time.Duration(max(1, st.StartsDelayed.Load()))).Round(time.Millisecond),
			st.RotationsMoved.Load(), time.Since(begin)-10*time.Minute)
		if n := st.QuotaRefusals.Load() + ended["RESOURCE_EXHAUSTED"]; n != 0 {
			t.Errorf("%d times RESOURCE_EXHAUSTED; want none", n)
		}
		if n := ended["UNAVAILABLE"]; n < int64(2*calls)*9/10 || n > int64(2*calls+starts/5+maxFruitless) {
			t.Errorf("%d streams broke; want one a track and few more", n)
		}
		// A burst, then one probe for all with growing pauses.
		if most := starts/5 + 30; down.attempts > most {
			t.Errorf("%d attempts while it was down; want %d at most", down.attempts, most)
		}
		if got := r.pool.Stats().Circuits(); len(got) != 1 || got[0].State != CircuitClosed {
			t.Errorf("circuits %+v; want one, closed", got)
		}
		if got := r.pool.Stats().Quotas(); len(got) != 1 || got[0].Limit != starts || got[0].Left < 0 || got[0].Left > got[0].Burst {
			t.Errorf("quotas %+v; want one", got)
		}
	})
}
