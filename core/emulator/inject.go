package emulator

import (
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// maxFaults bounds the orders that stand at a time.
const maxFaults = 1000

// faults are the standing orders to misbehave and what came of them.
type faults struct {
	real func(time.Duration) time.Duration // Config.real
	log  *slog.Logger

	standing atomic.Pointer[[]*order] // replaced, never changed: streams read it without a lock

	seed atomic.Uint64

	mu     sync.Mutex
	nextID int
	counts map[FaultKind]int
	calls  map[string]int // occasions of unary RPCs, by order, RPC and conversation
	closed bool
	down   time.Time     // RPCs fail until then
	refuse time.Time     // connections fail until then
	outage chan struct{} // closed when the next down begins
	wires  map[*wire]struct{}
}

// order is one fault that stands.
type order struct {
	Fault
	traits
	id     int
	struck int         // times so far; faults.mu is held
	timer  *time.Timer // of a server's fault; nil: none
}

// Order is a fault that stands in a server.
type Order struct {
	ID     int   `json:"id"`
	Fault  Fault `json:"fault"`
	Struck int   `json:"struck"` // times so far
}

func newFaults(cfg Config, log *slog.Logger) *faults {
	f := &faults{
		real: cfg.real, log: log, counts: map[FaultKind]int{}, calls: map[string]int{},
		outage: make(chan struct{}), wires: map[*wire]struct{}{},
	}
	f.standing.Store(&[]*order{})
	return f
}

// Inject orders the faults of a plan, on top of those that stand; a seed of 0
// leaves the seed as it is. They reach running streams too. The ids are for Withdraw.
func (s *Server) Inject(p Plan) (ids []int, err error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	f := s.faults
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, errors.New("emulator: the server is closed")
	}
	list := slices.Clone(*f.standing.Load())
	if len(list)+len(p.Faults) > maxFaults {
		return nil, fmt.Errorf("emulator: at most %d faults stand at a time; withdraw some", maxFaults)
	}
	if p.Seed != 0 {
		f.seed.Store(p.Seed)
	}
	var added []*order
	for _, fault := range p.Faults {
		f.nextID++
		t, _ := fault.Kind.traits()
		added = append(added, &order{Fault: fault, traits: t, id: f.nextID})
		ids = append(ids, f.nextID)
	}
	list = append(list, added...)
	f.standing.Store(&list)
	for _, o := range added {
		if o.scope == onServer {
			f.schedule(o, o.moment(f.seed.Load(), "server"), 0)
		}
	}
	return ids, nil
}

// Withdraw takes orders back by their ids, or all of them when none is given, and
// reports how many there were. What a down or restart among them does, ends.
func (s *Server) Withdraw(ids ...int) int {
	f := s.faults
	f.mu.Lock()
	defer f.mu.Unlock()
	var kept []*order
	old := *f.standing.Load()
	for _, o := range old {
		if len(ids) > 0 && !slices.Contains(ids, o.id) {
			kept = append(kept, o)
			continue
		}
		o.stop()
		switch o.Kind {
		case FaultDown:
			f.down = time.Time{}
		case FaultRestart:
			f.refuse = time.Time{}
		}
	}
	f.standing.Store(&kept)
	return len(old) - len(kept)
}

// Faults lists the orders that stand, oldest first.
func (s *Server) Faults() []Order {
	f := s.faults
	f.mu.Lock()
	defer f.mu.Unlock()
	list := []Order{}
	for _, o := range *f.standing.Load() {
		list = append(list, Order{ID: o.id, Fault: o.Fault, Struck: o.struck})
	}
	return list
}

func (f *faults) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for _, o := range *f.standing.Load() {
		o.stop()
	}
}

func (o *order) stop() {
	if o.timer != nil {
		o.timer.Stop()
	}
}

// tally returns how often each kind struck; nil when none did.
func (f *faults) tally() map[FaultKind]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.counts) == 0 {
		return nil
	}
	return maps.Clone(f.counts)
}

// draw returns a number in [0, 1) that depends on its arguments alone.
func (o *order) draw(seed uint64, occasion string, n int) float64 {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%d/%s/%d", o.id, occasion, n) // a hash never fails
	return rand.New(rand.NewPCG(seed, h.Sum64())).Float64()
}

// lucky draws whether the n-th occasion of a name is one to strike at.
func (o *order) lucky(seed uint64, occasion string, n int) bool {
	return o.Chance == 0 || o.draw(seed, occasion, n) < o.Chance
}

// moment draws when to strike.
func (o *order) moment(seed uint64, occasion string) time.Duration {
	at := o.At.From
	if o.At.To > at {
		at += time.Duration(float64(o.At.To-at) * o.draw(seed, occasion+"/moment", 0))
	}
	return at
}

// strike counts a fault that is about to happen, unless it happened often enough.
func (f *faults) strike(o *order) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.strikeLocked(o)
}

func (f *faults) strikeLocked(o *order) bool {
	if o.Times > 0 && o.struck >= o.Times {
		return false
	}
	o.struck++
	f.counts[o.Kind]++
	return true
}

// err is the error of a fault; nil with code OK.
func (o *order) err(code codes.Code, text string) error {
	if code == codes.OK {
		return nil
	}
	return status.Errorf(code, "%s [fault %s]", text, o.Kind)
}
