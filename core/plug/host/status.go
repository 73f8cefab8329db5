package host

import (
	"maps"
	"slices"
	"strconv"
	"time"
)

// State is the state of a plugin.
type State string

// The states. A plugin that failed needs an operator, or a long rest.
const (
	StateStarting   State = "starting"
	StateReady      State = "ready"
	StateRestarting State = "restarting" // died; a pause, then the next start
	StateFailed     State = "failed"
	StateStopping   State = "stopping" // drains, then stops
	StateStopped    State = "stopped"
)

// Status is what a supervisor knows of its plugin.
type Status struct {
	Name      string
	State     State
	Since     time.Time // of State
	PID       int       // of the live process, else 0
	Adapter   string    // the adapter's short name, once known
	Version   string    // of the plugin, once known
	SHA256    string    // of the binary, once known
	Abilities []string
	Addresses map[string]string // by listener, as bound
	Restarts  int               // starts after the first
	LastError string            // why it died or did not start the last time
	Legs      int64             // live, as the plugin last said
	Queued    int64             // frames that wait in the plugin, as it last said
	Dropped   int64             // frames that this process dropped, as it last said
}

// Status returns the plugin's present status.
func (p *Plugin) Status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.status
	s.Abilities, s.Addresses = slices.Clone(s.Abilities), maps.Clone(s.Addresses)
	return s
}

// Changed returns a channel that is closed at the next change of State.
func (p *Plugin) Changed() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.changed
}

// Ready returns a channel that is closed while the plugin is ready. After a death
// there is another one.
func (p *Plugin) Ready() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ready
}

// Counters returns the instance's counters since the host started it: those of the
// adapter's Env.Count, and the seam's own ("seam_…").
func (p *Plugin) Counters() map[string]uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.counters)
}

// maxCounters bounds the kinds that a plugin can make us remember.
const maxCounters = 512

func (p *Plugin) count(kind string, n uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.counters[kind]; !known && len(p.counters) >= maxCounters {
		kind = "seam_other_kinds"
	}
	p.counters[kind] += n
}

// enter changes the state. why is the error behind it, if any.
func (p *Plugin) enter(state State, why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.status.State == StateReady && state != StateReady {
		p.ready = make(chan struct{})
	}
	p.status.State, p.status.Since = state, time.Now()
	if why != nil {
		p.status.LastError = why.Error()
	}
	close(p.changed)
	p.changed = make(chan struct{})
}

// alive notes a process that is ready.
func (p *Plugin) alive(proc *process) {
	p.mu.Lock()
	p.proc = proc
	p.status.PID, _ = strconv.Atoi(proc.program.ID())
	d := proc.about
	p.status.Adapter, p.status.Version, p.status.Abilities, p.status.SHA256 = d.Name, d.Version, d.Abilities, d.SHA256
	p.mu.Unlock()
	p.enter(StateReady, nil)
	p.mu.Lock()
	close(p.ready)
	p.mu.Unlock()
}

// dead notes that there is no process any more.
func (p *Plugin) dead() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.proc = nil
	p.status.PID, p.status.Legs, p.status.Queued, p.status.Dropped = 0, 0, 0, 0
}
