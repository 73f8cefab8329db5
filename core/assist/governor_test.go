package assist

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func startsOf(limit int) []Quota {
	return []Quota{{QuotaKey{Kind: QuotaStarts, Project: "p"}, limit}}
}

// TestBudgetStaysUnderTheQuota: whoever asks as fast as possible gets no more than
// 90 % in any minute, and nearly 80 % in each.
func TestBudgetStaysUnderTheQuota(t *testing.T) {
	for _, limit := range []int{1, 20, 300, 1200} {
		synctest.Test(t, func(t *testing.T) {
			b, need := newLocalBudget(1), startsOf(limit)
			var at []time.Time
			for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); {
				if _, wait := b.Take(need, 0); wait > 0 {
					time.Sleep(wait)
					continue
				}
				at = append(at, time.Now())
			}
			for i := range at {
				n := 0
				for _, other := range at[i:] {
					if other.Sub(at[i]) < time.Minute {
						n++
					}
				}
				if n > max(1, limit*9/10) {
					t.Fatalf("limit %d: %d starts in a minute from the %d. on", limit, n, i)
				}
			}
			if want := int(5 * refillShare * float64(limit)); len(at) < want {
				t.Errorf("limit %d: %d starts in 5 minutes; want %d at least", limit, len(at), want)
			}
		})
	}
}

// TestBudgetExhausted: a refusal empties the bucket, for longer each time.
func TestBudgetExhausted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, need := newLocalBudget(1), startsOf(300)
		for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 32} {
			b.Exhausted(need)
			b.Exhausted(need) // several were on their way
			_, wait := b.Take(need, 0)
			if wait != want*time.Second {
				t.Fatalf("wait %v; want %v s", wait, want)
			}
			if l := b.Level(need[0]); l.Blocked != wait || l.Left > 0 {
				t.Errorf("level %+v; want nothing left", l)
			}
			time.Sleep(wait)
		}
		time.Sleep(forgetBlocks + time.Second)
		b.Exhausted(need)
		if _, wait := b.Take(need, 0); wait != quotaFirst {
			t.Errorf("wait %v after a good time; want %v", wait, quotaFirst)
		}
	})
}

// TestGovernorRanks: running calls come before new ones, customers before agents,
// one rank in the order of asking; who goes away leaves the others their turn.
func TestGovernorRanks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGovernor(newLocalBudget(1), 1, &Stats{})
		defer g.close()
		need := startsOf(60) // 6 at once, 48 a minute
		for range 6 {
			if err := g.start(t.Context(), need, rankNewAgent); err != nil {
				t.Fatal(err)
			}
		}
		var mu sync.Mutex
		var got []rank
		var all sync.WaitGroup
		gone, leave := context.WithCancel(t.Context())
		all.Go(func() {
			if err := g.start(gone, need, rankCustomer); !errors.Is(err, context.Canceled) {
				t.Errorf("start() = %v; want context.Canceled", err)
			}
		})
		for _, r := range []rank{rankDoubtful, rankNewAgent, rankNewCustomer, rankAgent, rankCustomer, rankPromised, rankCustomer} {
			synctest.Wait()
			all.Go(func() {
				if r == rankPromised {
					g.mu.Lock()
					g.promised[need[0].QuotaKey]++
					g.mu.Unlock()
				}
				if err := g.start(t.Context(), need, r); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				got = append(got, r)
			})
		}
		synctest.Wait()
		leave()
		begin := time.Now()
		all.Wait()
		want := []rank{rankPromised, rankCustomer, rankCustomer, rankAgent, rankNewCustomer, rankNewAgent, rankDoubtful}
		if !slices.Equal(got, want) {
			t.Errorf("served %v; want %v", got, want)
		}
		// 48 a minute, and the doubtful one leaves half of the burst to others.
		if took := time.Since(begin); took < 11*time.Second || took > 13*time.Second {
			t.Errorf("it took %v; want 10 starts of 1.25 s", took)
		}
	})
}

// TestGovernorPromises: a rotation waits while starts are short, the longer the
// younger its stream is, and has its start for sure when it was let go.
func TestGovernorPromises(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGovernor(newLocalBudget(1), 1, &Stats{})
		defer g.close()
		need := startsOf(200) // 20 at once
		for i := range 10 {
			if !g.promise(need, 0) {
				t.Fatalf("no promise %d from a full bucket", i)
			}
		}
		if g.promise(need, 0) {
			t.Error("promised at the soft mark with half of the bucket left")
		}
		for i := range 10 {
			if !g.promise(need, 1-1e-9) {
				t.Fatalf("no promise %d near the hard mark", i)
			}
		}
		if g.promise(need, 1-1e-9) {
			t.Error("promised more than there is")
		}
		if !g.promise(need, 1) {
			t.Error("no promise at the hard mark, when the stream must end")
		}
		g.abandon(need)
		waiting := make(chan error, 1)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { waiting <- g.start(ctx, need, rankCustomer) }()
		synctest.Wait()
		for range 20 {
			begin := time.Now()
			if err := g.start(t.Context(), need, rankPromised); err != nil || time.Since(begin) > 0 {
				t.Fatalf("what was promised came after %v, %v", time.Since(begin), err)
			}
		}
		cancel()
		if err := <-waiting; !errors.Is(err, context.Canceled) {
			t.Errorf("start() = %v; want it to wait until it is cancelled", err)
		}
	})
}

// TestSessionsAreGivenBack: a concurrent quota counts what runs.
func TestSessionsAreGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGovernor(newLocalBudget(1), 1, &Stats{})
		defer g.close()
		need := []Quota{{QuotaKey{Kind: QuotaBidi, Project: "p"}, 10}} // 9 are used
		for range 9 {
			if err := g.start(t.Context(), need, rankCustomer); err != nil {
				t.Fatal(err)
			}
		}
		granted := make(chan error, 1)
		go func() { granted <- g.start(t.Context(), need, rankCustomer) }()
		time.Sleep(time.Hour)
		select {
		case <-granted:
			t.Fatal("a tenth session was granted")
		default:
		}
		before := time.Now()
		g.end(need)
		if err := <-granted; err != nil || time.Since(before) > 0 {
			t.Errorf("start() = %v after %v; want it at once", err, time.Since(before))
		}
	})
}

// TestCanServe counts what runs, what waits and what will rotate.
func TestCanServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool := NewPool(Options{Quotas: Quotas{StreamStarts: 10, ChirpStarts: -1}}) // 1 at once, 8 a minute
		defer func() {
			if err := pool.Close(); err != nil {
				t.Error(err)
			}
		}()
		c := Conversation{Google: Google{Project: "p"}, Profile: "demo", ID: "call-1"}
		need := pool.opts.quotas(c, "")
		if err := pool.CanServe(c); err != nil {
			t.Fatalf("CanServe() = %v; want nil", err)
		}
		var claims []*claim
		for range 7 {
			claims = append(claims, pool.governor.claim(need, 1, time.Time{}))
		}
		if err := pool.CanServe(c); err != nil {
			t.Errorf("CanServe() with 7 that wait = %v; want nil", err)
		}
		claims = append(claims, pool.governor.claim(need, 1, time.Time{}))
		if err := pool.CanServe(c); !errors.Is(err, ErrFull) {
			t.Errorf("CanServe() with 8 that wait = %v; want %v", err, ErrFull)
		}
		for _, k := range claims {
			pool.governor.update(k, 0, time.Now().Add(2*time.Minute)) // they stream
		}
		if err := pool.CanServe(c); err != nil {
			t.Errorf("CanServe() with 8 young streams = %v; want nil", err)
		}
		time.Sleep(61 * time.Second)
		if err := pool.CanServe(c); !errors.Is(err, ErrFull) {
			t.Errorf("CanServe() with 8 streams that end within a minute = %v; want %v", err, ErrFull)
		}
		other := c
		other.Google.QuotaProject = "q"
		if err := pool.CanServe(other); err != nil {
			t.Errorf("CanServe() of another project = %v; want nil", err)
		}
		other = c
		other.Google.Quotas.StreamStarts = -1
		if err := pool.CanServe(other); err != nil {
			t.Errorf("CanServe() without a limit = %v; want nil", err)
		}
		for _, k := range claims {
			pool.governor.drop(k)
		}
		pool.governor.claim(need, 100, time.Now().Add(time.Minute)) // new calls
		if err := pool.CanServe(c); !errors.Is(err, ErrFull) {
			t.Errorf("CanServe() behind 50 new calls = %v; want %v", err, ErrFull)
		}
		time.Sleep(61 * time.Second)
		if err := pool.CanServe(c); err != nil {
			t.Errorf("CanServe() when they never came = %v; want nil", err)
		}
	})
}

// TestQuotaKeys: what is charged together shares a bucket.
func TestQuotaKeys(t *testing.T) {
	key := func(change func(*Conversation), model string) []Quota {
		c := Conversation{Google: Google{Project: "p", Credentials: "k.json"}}
		if change != nil {
			change(&c)
		}
		return new(Options).quotas(c, model)
	}
	plain := key(nil, "telephony")
	if len(plain) != 1 || plain[0].Limit != 300 || plain[0].Kind != QuotaStarts {
		t.Fatalf("quotas %+v; want 300 starts", plain)
	}
	if got := key(func(c *Conversation) { c.Google.Location = "us" }, ""); got[0] != plain[0] {
		t.Errorf("another region: %+v; want the same bucket, the quota is global", got)
	}
	if got := key(func(c *Conversation) { c.Google.Credentials = "l.json" }, ""); got[0] == plain[0] {
		t.Error("other credentials share the bucket")
	}
	charged := func(file string) []Quota {
		return key(func(c *Conversation) { c.Google.QuotaProject, c.Google.Credentials = "payer", file }, "")
	}
	if a, b := charged("k.json"), charged("l.json"); a[0] != b[0] || a[0].Project != "payer" {
		t.Errorf("quota project: %+v, %+v; want one bucket of payer", a, b)
	}
	chirp := key(func(c *Conversation) { c.Google.Location = "us" }, "chirp_3")
	if len(chirp) != 2 || chirp[0] != plain[0] || chirp[1].Limit != 20 || chirp[1].Region != "us" || chirp[1].Model != "chirp_3" {
		t.Errorf("chirp: %+v; want the starts and 20 chirp starts of the region", chirp)
	}
	bidi := key(func(c *Conversation) { c.Transport = Bidi }, "")
	if len(bidi) != 1 || bidi[0].Kind != QuotaBidi || bidi[0].Limit != 50 || bidi[0].Region != GlobalLocation {
		t.Errorf("bidi: %+v; want 50 sessions of the region", bidi)
	}
}

// TestJitter: the marks move forward, at most by the share, and the same with a seed.
func TestJitter(t *testing.T) {
	marks := DefaultMarks(Extended, "")
	a, b := newDice(7), newDice(7)
	seen := map[time.Duration]bool{}
	for range 100 {
		m := marks.jitter(0.1, a)
		if m != marks.jitter(0.1, b) {
			t.Fatal("one seed, two marks")
		}
		if m.Soft > marks.Soft || m.Soft < marks.Soft*9/10 || m.Hard > marks.Hard || m.Hard < m.Soft+(marks.Hard-marks.Soft)/2 {
			t.Fatalf("marks %+v of %+v", m, marks)
		}
		seen[m.Soft] = true
	}
	if len(seen) < 90 {
		t.Errorf("%d soft marks of 100 throws; want them to differ", len(seen))
	}
	if m := marks.jitter(0, a); m != marks {
		t.Errorf("marks %+v without jitter; want %+v", m, marks)
	}
}
