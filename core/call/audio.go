package call

import (
	"cmp"
	"time"

	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/tape"
)

// Audio is the account of the audio of every call that this process has had, in
// seconds, live calls included. Nothing in it goes back when a call ends. A track
// whose format changes counts by the rate that it began with.
type Audio struct {
	Arrived      float64 // delivered by adapters
	Duplicate    float64 // of it, there already
	Late         float64 // of it, too late for its place
	Lost         float64 // never came: silence is in its place
	Sent         float64 // to Agent Assist, replays included
	Replayed     float64
	Recognised   float64
	Silent       float64
	Unrecognised float64
	Withheld     float64
	Discarded    map[string]float64 // by reason
}

// add adds a track's account.
func (a *Audio) add(l tape.Ledger, rate int) {
	for _, f := range []struct {
		sum     *float64
		samples int64
	}{
		{&a.Arrived, l.Arrived}, {&a.Duplicate, l.Duplicate}, {&a.Late, l.Late}, {&a.Lost, l.Lost},
		{&a.Sent, l.Sent}, {&a.Replayed, l.Replayed}, {&a.Recognised, l.Recognised}, {&a.Silent, l.Silent},
		{&a.Unrecognised, l.Unrecognised}, {&a.Withheld, l.Withheld},
	} {
		*f.sum += float64(f.samples) / float64(rate)
	}
	for reason, samples := range l.Discarded {
		a.Discarded[reason] += float64(samples) / float64(rate)
	}
}

// addTo adds the accounts of the call's tracks.
func (c *Call) addTo(a *Audio) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, tr := range c.order {
		a.add(tr.tape.Ledger(), cmp.Or(tr.rate, media.Telephony.Rate))
	}
}

// settleAccount adds a call that has ended to the account, for good. m.mu is held.
func (m *Manager) settleAccount(c *Call) {
	if m.audio.Discarded == nil {
		m.audio.Discarded = make(map[string]float64)
	}
	c.addTo(&m.audio)
	c.counted = true
}

// Audio returns the account of all calls so far.
func (m *Manager) Audio() Audio {
	m.mu.Lock()
	defer m.mu.Unlock()
	sum := m.audio
	sum.Discarded = make(map[string]float64, len(m.audio.Discarded))
	for reason, seconds := range m.audio.Discarded {
		sum.Discarded[reason] = seconds
	}
	for _, c := range m.all {
		if !c.counted {
			c.addTo(&sum)
		}
	}
	return sum
}

// Lag is how far Agent Assist's readers are behind the tracks of live calls.
type Lag struct {
	Tracks int           // that have audio waiting for longer than a message takes to fill
	Most   time.Duration // of audio waiting on one track
	Sum    time.Duration // over all tracks
	Age    time.Duration // since the oldest waiting audio arrived
}

// behind is how much audio waits at most on a track whose reader keeps up: a message
// that fills, and the one that is being sent.
const behind = 250 * time.Millisecond

// Lag returns how far the readers are behind now.
func (m *Manager) Lag() (lag Lag) {
	now := time.Now()
	for _, c := range m.Calls() {
		c.mu.Lock()
		for _, tr := range c.order {
			waits, since := tr.tape.Lag()
			if waits == 0 {
				continue
			}
			if waits > behind {
				lag.Tracks++
			}
			lag.Sum += waits
			lag.Most = max(lag.Most, waits)
			lag.Age = max(lag.Age, now.Sub(since))
		}
		c.mu.Unlock()
	}
	return lag
}
