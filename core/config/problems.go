package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/patchbay/patchbay/core/adapter"
)

// Problem is a mistake and its place in the file.
type Problem struct {
	adapter.Problem
	Line int // 1 is the first; 0 when the mistake has no place
}

// Error is every mistake in a configuration file, in the order of its lines.
type Error struct {
	File     string
	Problems []Problem
}

// Error gives a line to each mistake: "patchbay.yaml:12: routes[0].profile: missing; …".
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		place := e.File
		if p.Line > 0 {
			place = fmt.Sprintf("%s:%d", e.File, p.Line)
		}
		lines[i] = strings.TrimPrefix(place+": ", ": ") + strings.TrimPrefix(p.Problem.Error(), ": ")
	}
	return strings.Join(lines, "\n")
}

// source is where a configuration came from.
type source struct {
	file    string
	secrets Secrets
	lines   map[string]int // line of each key
}

// Locate returns problems as an *Error with file and lines, or nil when there are
// none. A key that is not in the file is placed where it should have been.
func (c *Config) Locate(ps adapter.Problems) error {
	placed := make([]Problem, len(ps))
	for i, p := range ps {
		placed[i] = Problem{p, c.source.line(p.Key)}
	}
	return c.source.error(placed)
}

// error returns problems as an *Error in the order of their lines, nil when there are none.
func (s source) error(problems []Problem) error {
	if len(problems) == 0 {
		return nil
	}
	slices.SortStableFunc(problems, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	return &Error{File: s.file, Problems: problems}
}

// line returns the line of a key or of the nearest key around it, 0 without one.
func (s source) line(key string) int {
	for key != "" {
		if line, ok := s.lines[key]; ok {
			return line
		}
		key = key[:max(0, strings.LastIndexAny(key, ".["))]
	}
	return 0
}

// under returns the key of a child: "routes[0]" and "profile" make "routes[0].profile".
func under(parent, child string) string {
	if strings.ContainsAny(child, ".[]: \"\n") || child == "" {
		return fmt.Sprintf("%s[%q]", parent, child)
	}
	if parent == "" {
		return child
	}
	return parent + "." + child
}

// at returns the key of a list's item.
func at(parent string, i int) string { return fmt.Sprintf("%s[%d]", parent, i) }

// shorten keeps a value that is quoted in a problem on one short line.
func shorten(value string) string {
	const most = 60
	if runes := []rune(value); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return value
}

// unknownKey says what is wrong with a key that nobody knows.
func unknownKey(key string, known []string) (why, do string) {
	if near, ok := nearest(key, known); ok {
		return "unknown key", fmt.Sprintf("did you mean %q?", near)
	}
	if len(known) == 0 {
		return "unknown key", "delete it"
	}
	return "unknown key", "known here: " + strings.Join(known, ", ")
}

// notOneOf says that a value is none of a few words.
func notOneOf(value string, words []string) (why, do string) {
	if near, ok := nearest(value, words); ok {
		return "unknown", fmt.Sprintf("did you mean %q?", near)
	}
	return "unknown", "write " + oneOf(words)
}

func oneOf(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// nearest returns the word that a slip of the keyboard could have turned into the
// given one: at most a third of its letters differ.
func nearest(written string, words []string) (string, bool) {
	best, distance := "", len(written)/3+1
	if len(written) > 40 {
		return "", false
	}
	for _, w := range words {
		if d := editDistance(strings.ToLower(written), strings.ToLower(w)); d < distance {
			best, distance = w, d
		}
	}
	return best, best != ""
}

// editDistance counts the letters to insert, delete, replace or swap with their
// neighbour between two words.
func editDistance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
