package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// report is what --json prints.
type report struct {
	Runs    []result  `json:"runs"`
	Summary []summary `json:"summary"`
}

// result is one run of one system.
type result struct {
	System      system             `json:"system"`
	Calls       int                `json:"calls"`
	Round       int                `json:"round"`
	CPU         float64            `json:"cpu_ms_per_call_second"`       // of a call that talks
	Parts       map[string]float64 `json:"parts_cpu_ms_per_call_second"` // by process
	WholeMs     float64            `json:"cpu_ms_per_call"`              // set-up and end of the call included
	RSS         int64              `json:"rss_bytes"`                    // of all processes, while the calls talk
	RSSIdle     int64              `json:"rss_idle_bytes"`               // before the first call
	KBPerCall   float64            `json:"rss_kb_per_call"`              // the difference
	Sent        int64              `json:"blocks_sent"`                  // 20 ms each
	Lost        int64              `json:"blocks_lost"`
	Doubled     int64              `json:"blocks_heard_again"`
	FailedCalls int                `json:"failed_calls"`
	Said        string             `json:"said,omitempty"` // the end of its log, when something went wrong
	LateP50     float64            `json:"late_p50_ms"`    // of a chunk, beyond the most punctual of its stream
	LateP99     float64            `json:"late_p99_ms"`
	Handover    *percentiles       `json:"handover_ms,omitempty"` // by patchbay's own watch; the relay has none
	Idle        float64            `json:"machine_idle"`          // share of the machine's processors
}

// percentiles of a delay, in milliseconds.
type percentiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

// fill computes what the operating system's numbers say.
func (r *result) fill(before, after observation) {
	callMs := after.at.Sub(before.at).Seconds() * float64(r.Calls) / 1000
	r.CPU = (after.cpu() - before.cpu()).Seconds() / callMs
	r.Parts = map[string]float64{}
	for _, p := range after.parts {
		i := slices.IndexFunc(before.parts, func(q part) bool { return q.pid == p.pid })
		if i >= 0 {
			r.Parts[p.name] += (p.cpu - before.parts[i].cpu).Seconds() / callMs
		}
	}
	r.RSS = after.rss()
	idle := float64(after.idle - before.idle)
	r.Idle = idle / max(1, idle+float64(after.busy-before.busy))
}

// quiet is the share of the machine that must be idle for delays to mean anything.
const quiet = 0.2

func (r result) String() string {
	text := fmt.Sprintf("round %d  %-8s %4d calls  %6.2f ms of CPU a call  %5.0f MB  %d blocks lost of %d  machine %2.0f%% idle",
		r.Round, r.System, r.Calls, r.WholeMs, float64(r.RSS)/1e6, r.Lost, r.Sent, 100*r.Idle)
	if r.Lost > 0 || r.FailedCalls > 0 {
		text += fmt.Sprintf("\n%d calls failed; the end of its log:\n%s", r.FailedCalls, r.Said)
	}
	return text
}

// summary is all runs of one system with one load.
type summary struct {
	System      system  `json:"system"`
	Calls       int     `json:"calls"`
	Rounds      int     `json:"rounds"`
	CPU         spread  `json:"cpu_ms_per_call_second"`
	WholeMs     spread  `json:"cpu_ms_per_call"`
	RSS         spread  `json:"rss_mb"`
	KBPerCall   spread  `json:"rss_kb_per_call"`
	Late        *spread `json:"late_p99_ms,omitempty"`     // nil when the machine was too busy for it to mean anything
	Handover    *spread `json:"handover_p99_ms,omitempty"` // likewise; from a chunk's last frame to gRPC
	Lost        int64   `json:"blocks_lost"`
	Sent        int64   `json:"blocks_sent"`
	FailedCalls int     `json:"failed_calls"`
	Idle        spread  `json:"machine_idle"`
	// Growth is the CPU of a call's second divided by that at the lowest load.
	Growth float64 `json:"cpu_ratio_to_lowest_load"`
	// Ratio is the CPU of whole calls divided by that of the first system, round by round:
	// on a machine that is too busy, part of the work comes after the calls have talked.
	Ratio *spread `json:"cpu_ratio_to_first,omitempty"`
}

// spread is a median with the extremes.
type spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

func spreadOf(v []float64) spread {
	s := slices.Sorted(slices.Values(v))
	n := len(s)
	return spread{Median: (s[(n-1)/2] + s[n/2]) / 2, Min: s[0], Max: s[n-1]}
}

func (s spread) format(digits int) string {
	return fmt.Sprintf("%.*f (%.*f–%.*f)", digits, s.Median, digits, s.Min, digits, s.Max)
}

// summarise sorts runs by load and system.
func summarise(runs []result) (out []summary) {
	type key struct {
		calls  int
		system system
	}
	groups := map[key][]result{}
	var keys []key
	for _, r := range runs {
		k := key{r.Calls, r.System}
		if groups[k] == nil {
			keys = append(keys, k)
		}
		groups[k] = append(groups[k], r)
	}
	slices.SortStableFunc(keys, func(a, b key) int { return cmp.Compare(a.calls, b.calls) })
	for _, k := range keys {
		g := groups[k]
		of := func(value func(result) float64) spread {
			var v []float64
			for _, r := range g {
				v = append(v, value(r))
			}
			return spreadOf(v)
		}
		s := summary{
			System: k.system, Calls: k.calls, Rounds: len(g),
			CPU: of(func(r result) float64 { return r.CPU }), WholeMs: of(func(r result) float64 { return r.WholeMs }),
			RSS: of(func(r result) float64 { return float64(r.RSS) / 1e6 }), KBPerCall: of(func(r result) float64 { return r.KBPerCall }),
			Idle: of(func(r result) float64 { return r.Idle }),
		}
		for _, r := range g {
			s.Lost, s.Sent, s.FailedCalls = s.Lost+r.Lost, s.Sent+r.Sent, s.FailedCalls+r.FailedCalls
		}
		if s.Idle.Min >= quiet {
			late := of(func(r result) float64 { return r.LateP99 })
			s.Late = &late
			if !slices.ContainsFunc(g, func(r result) bool { return r.Handover == nil }) {
				handover := of(func(r result) float64 { return r.Handover.P99 })
				s.Handover = &handover
			}
		}
		s.Growth = 1
		if i := slices.IndexFunc(out, func(o summary) bool { return o.System == k.system }); i >= 0 && out[i].CPU.Median > 0 {
			s.Growth = s.CPU.Median / out[i].CPU.Median
		}
		if first := groups[key{k.calls, runs[0].System}]; k.system != runs[0].System && len(first) == len(g) {
			var v []float64
			for i, r := range g {
				v = append(v, r.WholeMs/first[i].WholeMs)
			}
			ratio := spreadOf(v)
			s.Ratio = &ratio
		}
		out = append(out, s)
	}
	return out
}

func printTable(w io.Writer, runs []result) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(t, "calls\tsystem\tCPU ms a call\tof the first's\tms a call-second\tof the lowest load's\tRSS MB\tKB a call\tblocks lost\thandover p99 ms\tlate p99 ms\tidle\t")
	for _, s := range summarise(runs) {
		ratio, handover, late, talking, growth := "", "", "machine too busy", "machine too busy", ""
		if s.Ratio != nil {
			ratio = s.Ratio.format(2)
		}
		if s.Late != nil {
			late, talking, growth = s.Late.format(1), s.CPU.format(2), fmt.Sprintf("%.2f", s.Growth)
		}
		if s.Handover != nil {
			handover = s.Handover.format(1)
		}
		_, _ = fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d of %d\t%s\t%s\t%.0f%%\t\n", s.Calls, s.System, s.WholeMs.format(1), ratio,
			talking, growth, s.RSS.format(0), s.KBPerCall.format(0), s.Lost, s.Sent, handover, late, 100*s.Idle.Median)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, "\nMedian (least–most) of the rounds. A call has two tracks. Handover: from the arrival of a chunk's last frame\nuntil gRPC has taken the chunk, by patchbay's own watch. Late: a 100 ms chunk's arrival at the emulator beyond\nthe most punctual one of its stream, the simulator's own unpunctuality included.")
	return err
}
