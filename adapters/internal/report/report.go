// Package report counts and logs what strangers do to an adapter.
package report

import (
	"log/slog"
	"sync"
	"time"
)

// LogInterval is how often one kind of refusal gets a line.
const LogInterval = 10 * time.Second

// Reporter counts what goes wrong and logs it, each kind at most once per LogInterval,
// so that a flood of bad requests cannot become a flood of lines. It is safe for
// concurrent use.
type Reporter struct {
	log   *slog.Logger
	count func(kind string)

	mu    sync.Mutex
	kinds map[string]*quiet
}

type quiet struct {
	until      time.Time
	suppressed int
}

// New returns a reporter that counts with count (adapter.Env.Count).
func New(log *slog.Logger, count func(string)) *Reporter {
	return &Reporter{log: log, count: count, kinds: map[string]*quiet{}}
}

// Count counts kind without a line.
func (r *Reporter) Count(kind string) { r.count(kind) }

// Warn counts kind and logs it. Arguments must hold no secret and no caller data.
func (r *Reporter) Warn(kind, message string, args ...any) {
	r.count(kind)
	r.mu.Lock()
	q := r.kinds[kind]
	if q == nil {
		q = &quiet{}
		r.kinds[kind] = q
	}
	now := time.Now()
	if now.Before(q.until) {
		q.suppressed++
		r.mu.Unlock()
		return
	}
	more := q.suppressed
	q.until, q.suppressed = now.Add(LogInterval), 0
	r.mu.Unlock()
	args = append(args, "kind", kind)
	if more > 0 {
		args = append(args, "more_since_last_line", more)
	}
	r.log.Warn(message, args...)
}
