package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/call"
	"github.com/patchbay/patchbay/core/event"
)

// The table of the counts: 80 cells wide, with numbers of up to a quarter of an hour.
const (
	countsHeader = "%-8s %-8s %7s %7s %7s %6s %10s %6s %5s\n"
	countsRow    = "%-8s %-8s %7d %7d %7d %6d %10s %6s %5s %s\n"
)

// trackCount is one track's audio by three independent counts, in samples.
type trackCount struct {
	track, role string
	sent        int64 // by the simulator
	ledger      call.TrackInfo
	heard       int64 // by the emulator, replays included
}

// agrees reports whether every sample that was sent is on the tape and was heard
// once, and the ledger adds up.
func (t trackCount) agrees() bool {
	l := t.ledger.Ledger
	return t.sent > 0 && t.sent == l.Received && l.Filled == 0 && t.heard-l.Replayed == t.sent &&
		l.Settled() && l.Balanced() == nil
}

// compare prints the three counts of each track, and reports whether they agree.
func (d *demo) compare(p *printer, c *call.Call, report adapter.SimReport) bool {
	info := c.Info()
	counts := countTracks(info, report, func(participant string) int64 {
		account, _ := d.emulator.Account().Conversation(info.Conversation)
		for _, pa := range account.Participants {
			if pa.Name == participant {
				return pa.Samples
			}
		}
		return 0
	})
	p.printf("\nEvery sample, counted three times:\n\n")
	p.printf(countsHeader, "track", "who", "sent", "ledger", "heard", "filled", "recognised", "silent", "other")
	agree := len(counts) > 0
	for _, t := range counts {
		verdict := p.styled(styleGreen, "agree")
		if !t.agrees() {
			verdict, agree = p.styled(styleRed, "DIFFER"), false
		}
		who, _ := speakerOf(&event.TrackRef{Role: t.role})
		l := t.ledger.Ledger
		p.printf(countsRow, t.track, who, t.sent, l.Received, t.heard-l.Replayed, l.Filled, share(l.Recognised, l.Received),
			share(l.Silent, l.Received), share(l.Received-l.Recognised-l.Silent, l.Received), verdict)
	}
	p.printf("\nSamples: sent by the simulator, taken into the ledger, heard by the emulator,\n" +
		"filled in for gaps. Shares of the ledger: recognised, silent, and anything else.\n")
	if !agree {
		p.printf("\nThe counts differ: audio was lost or doubled on the way.\n")
	}
	return agree
}

// countTracks brings the counts of each track together. A track that only some of
// the counters know is listed too.
func countTracks(info call.Info, report adapter.SimReport, heard func(participant string) int64) []trackCount {
	var counts []trackCount
	for _, t := range info.Tracks {
		tc := trackCount{track: t.Track, role: t.Role, ledger: t}
		for _, s := range info.Session.Tracks {
			if s.Track.Leg == t.Leg && s.Track.Track == t.Track {
				tc.heard = heard(s.Track.Participant)
			}
		}
		counts = append(counts, tc)
	}
	for _, c := range report.Calls {
		for _, s := range c.Tracks {
			i := slices.IndexFunc(counts, func(tc trackCount) bool { return tc.track == string(s.Track) && c.Call == info.Key })
			if i < 0 {
				counts = append(counts, trackCount{track: string(s.Track), sent: s.Samples})
				continue
			}
			counts[i].sent = s.Samples
		}
	}
	return counts
}

func share(n, of int64) string {
	if of == 0 {
		return "-"
	}
	return fmt.Sprintf("%d %%", (100*n+of/2)/of)
}

// print says where the time went.
func (l *latencies) print(p *printer) {
	p.printf("\nWhere the time went, from the arrival of the last sound that a result covers:\n\n")
	for _, row := range []struct {
		name  string
		times []time.Duration
	}{{"interim transcript", l.interim}, {"final transcript", l.final}, {"suggestion", l.suggestion}} {
		if len(row.times) == 0 {
			p.printf("  %-20s none\n", row.name)
			continue
		}
		slices.Sort(row.times)
		p.printf("  %-20s %3d, median %6v, slowest %6v\n", row.name, len(row.times),
			row.times[len(row.times)/2].Round(time.Millisecond), row.times[len(row.times)-1].Round(time.Millisecond))
	}
	p.printf("  %s\n", strings.TrimSpace(fmt.Sprintf("(of which %v are the gathering of a chunk)", chunkTime)))
}

// chunkTime is how much audio is gathered before it is sent.
const chunkTime = 100 * time.Millisecond
