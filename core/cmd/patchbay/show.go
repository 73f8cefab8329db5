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

// printCalls prints a table of calls, a line for each; a line that is longer than
// columns cells is cut, unless columns is 0. A conversation is named where it has
// another name than the vendor's call.
func printCalls(w io.Writer, colour bool, columns int, calls []call.Summary, now time.Time) error {
	styles := []string{styleBold} // of the lines; the table is made without them, or they would count as its width
	named := slices.ContainsFunc(calls, func(c call.Summary) bool { return base(c.Conversation) != c.Key })
	var table strings.Builder
	tw := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	row := func(words ...string) { _, _ = fmt.Fprintln(tw, strings.Join(words, "\t")) } // a Builder takes everything
	last := ""
	if named {
		last = "CONVERSATION"
	}
	row("CALL", "STATE", "STARTED", "LASTS", "ADAPTER", "VENDOR'S ID", last)
	for _, c := range calls {
		styles = append(styles, map[call.State]string{call.Ending: styleYellow, call.Ended: styleDim}[c.State])
		if last = ""; named {
			last = printable(base(c.Conversation))
		}
		row(c.ID, string(c.State), c.Started.Local().Format(time.TimeOnly), lasts(c, now), printable(c.Adapter), head(printable(c.Key), 40), last)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for i, line := range strings.Split(strings.TrimSuffix(table.String(), "\n"), "\n") {
		if line = strings.TrimRight(line, " "); columns > 0 {
			line = head(line, columns)
		}
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

// printCall prints one call on one screen of columns cells, or on long lines when
// columns is 0.
func printCall(w io.Writer, colour bool, columns int, i call.Info, now time.Time) error {
	p := &screen{colour: colour, columns: columns}
	state := map[call.State]string{call.Active: styleGreen, call.Ending: styleYellow, call.Ended: styleDim}[i.State]
	p.line("%s  %s  since %s (%s)", p.styled(styleBold, "call "+i.ID), p.styled(state, string(i.State)),
		i.Started.Local().Format(time.DateTime), lasts(i.Summary, now))
	p.field("vendor", fmt.Sprintf("%s on %s", i.Key, i.Adapter), note("account", i.Account), note("tenant", i.Tenant))
	p.field("numbers", strings.Trim(i.From+" → "+i.To, " →"))
	p.field("conversation", base(i.Conversation), note("in", strings.TrimSuffix(i.Conversation, "/conversations/"+base(i.Conversation))))
	p.field("also", i.Aliases...)
	p.field("attributes", attributesOf(i)...)
	p.field("profile", i.Profile, fmt.Sprintf("routes[%d]", i.Route), note("transport", string(i.Session.Transport)))
	if problem := i.Session.Problem; problem != nil {
		p.below(fmt.Sprintf("  %-13s ", "problem"), fieldFrom, span{styleRed, problem.Text})
	}
	p.heading("PARTICIPANTS")
	for _, s := range i.Session.Participants {
		who, style := speakerOf(&event.TrackRef{Role: s.Role})
		p.line("  %s %s  %s", p.styled(style, fmt.Sprintf("%-*s", whoWidth, who)), printable(s.Speaker),
			p.styled(styleDim, cmp.Or(printable(base(s.Name)), "not made yet")))
	}
	p.heading("LEGS")
	for _, l := range i.LegList {
		p.below("  ", 4, span{"", l.Key}, span{styleDim, "from " + l.Started.Local().Format(time.TimeOnly) + " " + legEnd(l)})
	}
	p.heading("TRACKS")
	present := map[string]bool{}
	for _, t := range i.Tracks {
		p.track(t, i)
		for _, s := range ledgerStates(t.Ledger) {
			present[s.name] = present[s.name] || s.samples > 0
		}
	}
	if words := legend(present); words != "" {
		p.line("")
		p.line("  %s", p.styled(styleDim, words))
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

// attributesOf are what the vendor told of a call, in the order of their names.
func attributesOf(i call.Info) (out []string) {
	for _, name := range slices.Sorted(maps.Keys(i.Attributes)) {
		out = append(out, name+" "+i.Attributes[name])
	}
	return out
}

func legEnd(l call.LegInfo) string {
	if l.Ended.IsZero() {
		return "live"
	}
	return strings.TrimSuffix(fmt.Sprintf("to %s (%s): %s", l.Ended.Local().Format(time.TimeOnly), l.Reason, l.Text), ": ")
}

// screen gathers lines.
type screen struct {
	strings.Builder
	colour  bool
	columns int // 0: lines are as long as they are
}

func (p *screen) styled(style, text string) string { return styled(p.colour, style, text) }

func (p *screen) line(format string, args ...any) {
	fmt.Fprintf(p, format+"\n", args...)
}

// below prints text beside a prefix, in a column of its own that begins at cell from.
func (p *screen) below(prefix string, from int, text ...span) {
	p.WriteString(hanging(p.colour, prefix, from, flow(room(p.columns, from), plain(text)...)))
}

func (p *screen) heading(text string) { p.line("\n%s", p.styled(styleBold, text)) }

// fieldFrom is the column of a field's values.
const fieldFrom = len("  conversation  ")

// field prints a name and its values, leaving out what is empty. Lines break between
// values only.
func (p *screen) field(name string, values ...string) {
	var lines [][]span
	used, space := 0, room(p.columns, fieldFrom)
	for _, v := range values {
		v = printable(v)
		n := cells(v)
		switch last := len(lines) - 1; {
		case v == "":
			continue
		case last < 0 || space > 0 && used+3+n > space:
			lines, used = append(lines, []span{{"", v}}), n
		default:
			lines[last][0].text += " · " + v
			used += 3 + n
		}
	}
	if len(lines) > 0 {
		p.WriteString(hanging(p.colour, fmt.Sprintf("  %-13s ", name), fieldFrom, lines))
	}
}

// The columns of a track: what is known of it stands beside who speaks, the shares
// of its audio beside the bar.
const (
	aboutFrom  = 2 + whoWidth + 1
	sharesFrom = len("     0.0 s  ") + barWidth + 2
)

// track prints who speaks on a track and its account.
func (p *screen) track(t call.TrackInfo, i call.Info) {
	who, style := speakerOf(&t.TrackRef)
	heard := "not heard"
	for _, s := range i.Session.Tracks {
		if s.Track.Number == t.Number {
			heard = fmt.Sprintf("%s (stream %d)", s.State, s.Streams)
			if s.Error != "" {
				heard += ", last error: " + s.Error
			}
		}
	}
	evidence := t.Evidence
	if t.Assumed {
		evidence += " (assumed)"
	}
	name := t.Track
	if len(i.LegList) > 1 {
		name = t.Leg + "/" + name
	}
	p.below("  "+p.styled(style, fmt.Sprintf("%-*s", whoWidth, who))+" ", aboutFrom,
		span{"", fmt.Sprintf("@%d %s · %s %d Hz · %s", t.Number, name, t.Format, t.Rate, heard)})
	if t.StoredRole != "" {
		stored, _ := speakerOf(&event.TrackRef{Role: t.StoredRole})
		evidence += "; at Agent Assist it stays " + stored
	}
	if evidence != "" {
		p.below(strings.Repeat(" ", aboutFrom), aboutFrom, span{styleDim, evidence})
	}
	states := ledgerStates(t.Ledger)
	var total int64
	for _, s := range states {
		total += s.samples
	}
	seconds := float64(total) / float64(max(t.Rate, 1))
	p.below(fmt.Sprintf("%8.1f s  %s  ", seconds, bar(states, total)), sharesFrom, span{"", shares(states, total)})
	if odd := oddities(t.Ledger, t.Rate); odd != "" {
		p.below(strings.Repeat(" ", aboutFrom), aboutFrom, span{styleYellow, odd})
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

// legend explains the bars by the states that they show.
func legend(present map[string]bool) string {
	var words []string
	for _, s := range ledgerStates(tape.Ledger{}) {
		if present[s.name] {
			words = append(words, string(s.glyph)+" "+s.name)
		}
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
