package main

import (
	"io"
	"strings"
	"unicode"

	"golang.org/x/term"
	"golang.org/x/text/width"
)

// Styles of a terminal (ECMA-48 SGR).
const (
	styleBold    = "\x1b[1m"
	styleDim     = "\x1b[2m"
	styleRed     = "\x1b[31m"
	styleGreen   = "\x1b[32m"
	styleYellow  = "\x1b[33m"
	styleMagenta = "\x1b[35m"
	styleCyan    = "\x1b[36m"
	styleReset   = "\x1b[0m"
	eraseLine    = "\r\x1b[K"
)

// unknownWidth is taken for a terminal that does not say how wide it is.
const unknownWidth = 80

// terminal returns the descriptor of the terminal that w writes to, if it is one
// that understands more than lines (TERM=dumb does not).
func terminal(w io.Writer, lookup func(string) (string, bool)) (fd int, ok bool) {
	file, ok := w.(interface{ Fd() uintptr })
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return 0, false
	}
	kind, _ := lookup("TERM")
	return int(file.Fd()), kind != "dumb"
}

// colourOn reports whether w should get colours: a terminal, unless the user set
// NO_COLOR (no-color.org).
func colourOn(w io.Writer, lookup func(string) (string, bool)) bool {
	no, _ := lookup("NO_COLOR")
	_, ok := terminal(w, lookup)
	return ok && no == ""
}

// columnsOf returns how many cells a line of w has now, or 0 when w is no terminal
// and lines are as long as they are.
func columnsOf(w io.Writer, lookup func(string) (string, bool)) int {
	fd, ok := terminal(w, lookup)
	if !ok {
		return 0
	}
	if columns, _, err := term.GetSize(fd); err == nil && columns > 0 {
		return columns
	}
	return unknownWidth
}

func styled(colour bool, style, text string) string {
	if !colour || style == "" || text == "" {
		return text
	}
	return style + text + styleReset
}

// span is text in one style. The spans of a line stand a space apart.
type span struct{ style, text string }

// flow breaks spans into lines of at most columns cells, between words where it
// can; columns 0 means one line, however long.
func flow(columns int, spans ...span) [][]span {
	var lines [][]span
	var line []span
	used := 0
	for _, s := range spans {
		for word := range strings.FieldsSeq(s.text) {
			for _, piece := range pieces(word, columns) {
				n := cells(piece)
				if columns > 0 && used > 0 && used+1+n > columns {
					lines = append(lines, line)
					line, used = nil, 0
				}
				if last := len(line) - 1; last >= 0 && line[last].style == s.style {
					line[last].text += " " + piece
				} else {
					line = append(line, span{s.style, piece})
				}
				used += n + min(used, 1)
			}
		}
	}
	if len(line) > 0 {
		lines = append(lines, line)
	}
	return lines
}

// hanging writes a prefix of from cells and lines beside it, below each other.
func hanging(colour bool, prefix string, from int, lines [][]span) string {
	var b strings.Builder
	b.WriteString(prefix)
	for i, line := range lines {
		if i > 0 {
			b.WriteString("\n" + strings.Repeat(" ", from))
		}
		for j, s := range line {
			if j > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(styled(colour, s.style, s.text))
		}
	}
	return b.String() + "\n"
}

// narrowest is the width of a column of text below which it is not wrapped: then
// words are better broken anywhere than standing one on a line.
const narrowest = 24

// room is how many cells a line of columns has from a cell on, or 0 when the text
// there is not to be wrapped.
func room(columns, from int) int {
	if columns-from < narrowest {
		return 0
	}
	return columns - from
}

// pieces cuts a word that is wider than a line, such as a sentence of a language
// that writes without spaces.
func pieces(word string, columns int) []string {
	if columns <= 0 || cells(word) <= columns {
		return []string{word}
	}
	var all []string
	for word != "" {
		n := len(fitting(word, columns))
		all, word = append(all, word[:n]), word[n:]
	}
	return all
}

// fitting returns the beginning of s that fits into n cells, but at least a character.
func fitting(s string, n int) string {
	used := 0
	for i, r := range s {
		used += runeCells(r)
		if used > n && i > 0 {
			return s[:i]
		}
	}
	return s
}

// lineCells is how many cells a line of flow takes.
func lineCells(line []span) int {
	n := max(0, len(line)-1)
	for _, s := range line {
		n += cells(s.text)
	}
	return n
}

// cells is how many cells of a terminal s takes.
func cells(s string) int {
	n := 0
	for _, r := range s {
		n += runeCells(r)
	}
	return n
}

func runeCells(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf): // drawn over the one before, or not at all
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	default:
		return 1
	}
}

// printable makes one line of text, without anything that could steer a terminal:
// what comes over the network was said or written by strangers.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r), unicode.IsControl(r), r == unicode.ReplacementChar:
			return ' '
		case unicode.Is(unicode.Bidi_Control, r):
			return -1
		default:
			return r
		}
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

// head and tail shorten text to n cells, from its end or its beginning.
func head(s string, n int) string {
	if cells(s) <= n {
		return s
	}
	return strings.TrimSuffix(fitting(s, n-1), " ") + "…"
}

func tail(s string, n int) string {
	over := cells(s) - n
	if over <= 0 {
		return s
	}
	for i, r := range s {
		if over < 0 {
			return "…" + s[i:]
		}
		over -= runeCells(r)
	}
	return "…"
}

// base is the last element of a name with slashes: the part that people tell apart.
func base(name string) string { return name[strings.LastIndex(name, "/")+1:] }
