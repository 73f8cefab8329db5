package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of processor time in /proc; Linux shows it to programs as 100 a
// second everywhere.
const tick = 10 * time.Millisecond

// part is what the operating system says of one process.
type part struct {
	pid  int
	name string
	cpu  time.Duration // user and system, since its start
	rss  int64         // bytes
}

// usage is that of a process and its descendants.
type usage struct{ parts []part }

func (u usage) cpu() (d time.Duration) {
	for _, p := range u.parts {
		d += p.cpu
	}
	return d
}

func (u usage) rss() (n int64) {
	for _, p := range u.parts {
		n += p.rss
	}
	return n
}

// usageOf reads the usage of a process and its descendants.
func usageOf(pid int) (usage, error) {
	var u usage
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(files) == 0 {
		return u, fmt.Errorf("processor time and memory come from /proc, which this system has not")
	}
	parents, parts := map[int]int{}, map[int]part{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		p, parent, err := parseStat(b)
		if err != nil {
			return u, fmt.Errorf("%s: %w", file, err)
		}
		parents[p.pid], parts[p.pid] = parent, p
	}
	if _, ok := parts[pid]; !ok {
		return u, fmt.Errorf("process %d has ended", pid)
	}
	for id, p := range parts {
		for a := id; a > 1; a = parents[a] {
			if a == pid {
				u.parts = append(u.parts, p)
				break
			}
		}
	}
	return u, nil
}

// parseStat reads /proc/PID/stat (proc_pid_stat(5)).
func parseStat(b []byte) (p part, parent int, err error) {
	open, shut := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')') // a name may hold anything
	if open < 1 || shut < open {
		return p, 0, fmt.Errorf("no process name in %q", b)
	}
	p.name = string(b[open+1 : shut])
	f := strings.Fields(string(b[shut+1:])) // f[0] is field 3, the state
	if len(f) < 22 {
		return p, 0, fmt.Errorf("%d fields after the name; want 22 or more", len(f))
	}
	var n [5]int64
	for i, text := range []string{strings.TrimSpace(string(b[:open])), f[1], f[11], f[12], f[21]} {
		if n[i], err = strconv.ParseInt(text, 10, 64); err != nil {
			return p, 0, err
		}
	}
	p.pid, p.cpu, p.rss = int(n[0]), time.Duration(n[2]+n[3])*tick, n[4]*int64(os.Getpagesize())
	return p, int(n[1]), nil
}

// observation is a usage at a time, with that of the whole machine.
type observation struct {
	usage
	at         time.Time
	idle, busy int64 // ticks of all processors
}

func observe(pid int) (o observation, err error) {
	if o.usage, err = usageOf(pid); err != nil {
		return o, err
	}
	o.at = time.Now()
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return o, err
	}
	o.idle, o.busy, err = parseMachine(b)
	return o, err
}

// parseMachine reads the first line of /proc/stat (proc_stat(5)).
func parseMachine(b []byte) (idle, busy int64, err error) {
	line, _, _ := strings.Cut(string(b), "\n")
	f := strings.Fields(line)
	if len(f) < 9 || f[0] != "cpu" {
		return 0, 0, fmt.Errorf("/proc/stat begins with %q", line)
	}
	for i, text := range f[1:9] { // user nice system idle iowait irq softirq steal
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("/proc/stat: %w", err)
		}
		if i == 3 || i == 4 {
			idle += n
		} else {
			busy += n
		}
	}
	return idle, busy, nil
}
