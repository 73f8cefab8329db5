package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/patchbay/patchbay/core/api"
	"github.com/patchbay/patchbay/core/call"
	"github.com/patchbay/patchbay/core/event"
	"github.com/patchbay/patchbay/core/tape"
)

// printCalls prints a table of calls, a line for each.
func printCalls(w io.Writer, colour bool, calls []call.Summary, now time.Time) error {
	styles := []string{styleBold} // of the lines; the table is made without them, or they would count as its width
	var table strings.Builder
	tw := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(tw, "CALL\tSTATE\tSTARTED\tLASTS\tLEGS\tADAPTER\tVENDOR'S ID\tCONVERSATION") // a Builder takes everything
	for _, c := range calls {
		styles = append(styles, map[call.State]string{call.Ending: styleYellow, call.Ended: styleDim}[c.State])
		conversation := c.Conversation[strings.LastIndex(c.Conversation, "/")+1:]
		_, _ = fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\n", c.ID, c.State, c.Started.Local().Format(time.TimeOnly), lasts(c, now),
			c.Legs, printable(c.Adapter), head(printable(c.Key), 40), printable(conversation))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for i, line := range strings.Split(strings.TrimSuffix(table.String(), "\n"), "\n") {
		if _, err := fmt.Fprintln(w, styled(colour, styles[i], line)); err != nil {
			return err
		}
	}
	return nil
}

func lasts(c call.Summary, now time.Time) string {
	if !c.Ended.IsZero() {
		now = c.Ended
	}
	return now.Sub(c.Started).Round(time.Second).String()
}

// printCall prints one call on one screen.
func printCall(w io.Writer, colour bool, i call.Info, now time.Time) error {
	p := &screen{colour: colour}
	state := map[call.State]string{call.Active: styleGreen, call.Ending: styleYellow, call.Ended: styleDim}[i.State]
	p.line("%s  %s  since %s (%s)", p.styled(styleBold, "call "+i.ID), p.styled(state, string(i.State)),
		i.Started.Local().Format(time.DateTime), lasts(i.Summary, now))
	p.field("vendor", fmt.Sprintf("%s on %s", i.Key, i.Adapter), note("account", i.Account), note("tenant", i.Tenant))
	p.field("numbers", strings.Trim(i.From+" → "+i.To, " →"))
	p.field("conversation", i.Conversation)
	p.field("profile", i.Profile, fmt.Sprintf("route %d", i.Route), string(i.Session.Transport))
	if problem := i.Session.Problem; problem != nil {
		p.field("problem", p.styled(styleRed, printable(problem.Text)))
	}
	p.heading("PARTICIPANTS")
	for _, s := range i.Session.Participants {
		who, style := speakerOf(&event.TrackRef{Role: s.Role})
		p.line("  %s %s  %s", p.styled(style, fmt.Sprintf("%-*s", whoWidth, who)), printable(s.Speaker),
			p.styled(styleDim, cmp.Or(printable(s.Name[strings.LastIndex(s.Name, "/")+1:]), "not made yet")))
	}
	p.heading("LEGS")
	for _, l := range i.LegList {
		p.line("  %s  from %s %s", printable(l.Key), l.Started.Local().Format(time.TimeOnly), legEnd(l))
	}
	p.heading("TRACKS")
	for _, t := range i.Tracks {
		p.track(t, i)
	}
	if len(i.Tracks) > 0 {
		p.line("")
		p.line("  %s", p.styled(styleDim, legend()))
	}
	_, err := io.WriteString(w, p.String())
	return err
}

func note(name, value string) string {
	if value == "" {
		return ""
	}
	return name + " " + value
}

func legEnd(l call.LegInfo) string {
	if l.Ended.IsZero() {
		return "live"
	}
	return printable(strings.TrimSuffix(fmt.Sprintf("to %s (%s): %s", l.Ended.Local().Format(time.TimeOnly), l.Reason, l.Text), ": "))
}

// screen gathers lines.
type screen struct {
	strings.Builder
	colour bool
}

func (p *screen) styled(style, text string) string { return styled(p.colour, style, text) }

func (p *screen) line(format string, args ...any) {
	fmt.Fprintf(p, format+"\n", args...)
}

func (p *screen) heading(text string) { p.line("\n%s", p.styled(styleBold, text)) }

// field prints a name and its values, leaving out what is empty.
func (p *screen) field(name string, values ...string) {
	values = slices.DeleteFunc(values, func(v string) bool { return v == "" })
	if len(values) > 0 {
		p.line("  %-13s %s", name, strings.Join(values, " · "))
	}
}

// track prints who speaks on a track and its account.
func (p *screen) track(t call.TrackInfo, i call.Info) {
	who, style := speakerOf(&t.TrackRef)
	heard := "not heard"
	for _, s := range i.Session.Tracks {
		if s.Track.Leg == t.Leg && s.Track.Track == t.Track && s.Track.Speaker == t.Speaker {
			heard = fmt.Sprintf("%s, streams opened: %d", s.State, s.Streams)
			if s.Error != "" {
				heard += ", last error: " + printable(s.Error)
			}
		}
	}
	evidence := printable(t.Evidence)
	if t.Assumed {
		evidence += " (assumed)"
	}
	name := printable(t.Track)
	if len(i.LegList) > 1 {
		name = printable(t.Leg) + "/" + name
	}
	p.line("  %s %s  %s %d Hz  %s  %s", p.styled(style, fmt.Sprintf("%-*s", whoWidth, who)), name, t.Format, t.Rate, heard, p.styled(styleDim, evidence))
	states := ledgerStates(t.Ledger)
	var total int64
	for _, s := range states {
		total += s.samples
	}
	seconds := float64(total) / float64(max(t.Rate, 1))
	p.line("    %7.1f s  %s  %s", seconds, bar(states, total), shares(states, total))
	if odd := oddities(t.Ledger, t.Rate); odd != "" {
		p.line("    %s", p.styled(styleYellow, odd))
	}
}

// ledgerState is one state of a tape's positions.
type ledgerState struct {
	name    string
	glyph   rune
	samples int64
}

func ledgerStates(l tape.Ledger) []ledgerState {
	states := []ledgerState{
		{"recognised", '█', l.Recognised}, {"silent", '░', l.Silent}, {"unrecognised", '▒', l.Unrecognised}, {"withheld", '▁', l.Withheld},
		{"discarded", '✗', 0}, {"in flight", '»', l.InFlight}, {"pending", '·', l.Pending},
	}
	for _, n := range l.Discarded {
		states[4].samples += n
	}
	return states
}

func legend() string {
	var words []string
	for _, s := range ledgerStates(tape.Ledger{}) {
		words = append(words, string(s.glyph)+" "+s.name)
	}
	return strings.Join(words, "  ")
}

// barWidth is the length of a bar in characters.
const barWidth = 28

// bar draws the shares of the states; whatever is there at all gets a character.
func bar(states []ledgerState, total int64) string {
	if total == 0 {
		return strings.Repeat(" ", barWidth)
	}
	cells := make([]int, len(states))
	used := 0
	for i, s := range states {
		if s.samples > 0 {
			cells[i] = max(1, int(s.samples*barWidth/total))
			used += cells[i]
		}
	}
	// The largest share pays for rounding.
	largest := 0
	for i := range states {
		if states[i].samples > states[largest].samples {
			largest = i
		}
	}
	cells[largest] += barWidth - used
	var b strings.Builder
	for i, s := range states {
		b.WriteString(strings.Repeat(string(s.glyph), max(0, cells[i])))
	}
	return b.String()
}

func shares(states []ledgerState, total int64) string {
	var words []string
	for _, s := range states {
		if s.samples == 0 {
			continue
		}
		percent := fmt.Sprintf("%.0f %%", 100*float64(s.samples)/float64(total))
		if s.samples*200 < total {
			percent = "<1 %"
		}
		words = append(words, s.name+" "+percent)
	}
	return cmp.Or(strings.Join(words, ", "), "no audio yet")
}

// oddities says what did not go as it should, in seconds.
func oddities(l tape.Ledger, rate int) string {
	odd := map[string]int64{"lost": l.Lost, "duplicate": l.Duplicate, "late": l.Late, "sent again": l.Replayed, "dropped by the adapter": l.AdapterDropped}
	for reason, n := range l.Discarded {
		odd["discarded for "+reason] = n
	}
	var words []string
	for _, name := range slices.Sorted(maps.Keys(odd)) {
		if n := odd[name]; n > 0 {
			words = append(words, fmt.Sprintf("%s %.2f s", printable(name), float64(n)/float64(max(rate, 1))))
		}
	}
	return strings.Join(words, ", ")
}

// newestLive returns the newest call that has not ended.
func newestLive(list api.CallList) (call.Summary, bool) {
	for _, c := range list.Calls {
		if c.State != call.Ended {
			return c, true
		}
	}
	return call.Summary{}, false
}
