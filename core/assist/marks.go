package assist

import (
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// Marks are the ages at which a stream is rotated, in audio sent or in time since
// it opened, whichever comes first.
type Marks struct {
	Soft time.Duration // at the first final after it, later in a pause
	Hard time.Duration // at once
}

// pauseMark is when a pause is good enough for a cut: half way between the marks.
func (m Marks) pauseMark() time.Duration { return m.Soft + (m.Hard-m.Soft)/2 }

// cutPause is how long a speaker is quiet before a cut may fall there.
const cutPause = 300 * time.Millisecond

// Limit is how long Agent Assist lets a stream live.
type Limit struct {
	Transport Transport
	Model     string // prefix of the speech model; empty matches every model
	Life      time.Duration
	Marks     Marks
}

// Limits is the table of stream lives, the first match counts. Lives: Agent Assist
// "Extended streaming" (3 min) and "Bidirectional API" (30 min, an older edition 15),
// Speech-to-Text "Quotas and limits" (5 min; v2, which Chirp uses, ends at 300 s
// sharp, v1 at 305), pages read in March 2026. The marks leave room for the
// half-close and keep stream starts, which have a quota, few.
var Limits = []Limit{
	{Extended, "", 180 * time.Second, Marks{150 * time.Second, 170 * time.Second}},
	{Streaming, "chirp", 300 * time.Second, Marks{240 * time.Second, 285 * time.Second}},
	{Streaming, "", 305 * time.Second, Marks{240 * time.Second, 290 * time.Second}},
	{Bidi, "", 15 * time.Minute, Marks{13 * time.Minute, 14*time.Minute + 30*time.Second}},
}

// DefaultMarks returns the rotation marks of a transport and speech model.
func DefaultMarks(t Transport, model string) Marks {
	for _, l := range Limits {
		if l.Transport == t && strings.HasPrefix(model, l.Model) {
			return l.Marks
		}
	}
	return Limits[0].Marks
}

func (o *Options) marks(t Transport, model string) Marks {
	if m, ok := o.Marks[t]; ok {
		return m
	}
	return DefaultMarks(t, model)
}

// dice are random numbers for all sessions of a pool.
type dice struct {
	mu  sync.Mutex
	rng *rand.Rand
}

func newDice(seed uint64) *dice { return &dice{rng: rand.New(rand.NewPCG(seed, 0))} }

// throw returns a number from 0 up to 1.
func (d *dice) throw() float64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rng.Float64()
}

// jitter moves the marks forward by a random part of share: streams that began
// together shall not end together.
func (m Marks) jitter(share float64, d *dice) Marks {
	part := share * d.throw()
	return Marks{Soft: m.Soft - time.Duration(part*float64(m.Soft)), Hard: m.Hard - time.Duration(part*float64(m.Hard-m.Soft))}
}
