package receiver

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// ports hands out pairs of a range, the longest idle first. Its owner locks it.
type ports struct {
	rest time.Duration
	any  bool       // the system chooses
	idle []idlePort // by since
}

type idlePort struct {
	port  int // even
	since time.Time
}

// maxTries bounds how many pairs one stream asks the system for, where other programs
// have ports of the range.
const maxTries = 64

func newPorts(first, last int, rest time.Duration) *ports {
	p := &ports{rest: rest, any: first == 0 && last == 0}
	if p.any {
		return p
	}
	for port := (first + 1) &^ 1; port+1 <= last; port += 2 {
		p.idle = append(p.idle, idlePort{port: port})
	}
	// A stranger should not know where the first call of the day listens.
	rand.Shuffle(len(p.idle), func(i, j int) { p.idle[i], p.idle[j] = p.idle[j], p.idle[i] })
	return p
}

// bind opens a pair that has rested.
func (p *ports) bind(now time.Time, open func(port int) (int, line, error)) (int, line, error) {
	if p.any {
		return open(0)
	}
	var failed error
	for range min(maxTries, len(p.idle)) {
		next := p.idle[0]
		if p.rest > 0 && !next.since.IsZero() && now.Sub(next.since) < p.rest {
			break
		}
		p.idle = p.idle[1:]
		port, line, err := open(next.port)
		if err == nil {
			return port, line, nil
		}
		failed = errors.Join(failed, err)
		p.release(next.port, now)
	}
	if failed != nil {
		return 0, nil, fmt.Errorf("%w: %w", ErrNoPorts, failed)
	}
	return 0, nil, ErrNoPorts
}

// release lets a pair rest.
func (p *ports) release(port int, now time.Time) {
	if !p.any {
		p.idle = append(p.idle, idlePort{port, now})
	}
}
