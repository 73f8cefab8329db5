package main

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestColourOn(t *testing.T) {
	if colourOn(&bytes.Buffer{}, noEnvironment) {
		t.Error("colours for a buffer")
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                  "plain",
		" a \t b\r\nc ":          "a b c",
		"\x1b]0;title\x07x":      "]0;title x",
		"\u009b31mred":           "31mred",
		"gr\u00fc\u00df \u202eb": "gr\u00fc\u00df b",
		"\xff\xfe":               "",
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q) = %q; want %q", in, got, want)
		}
	}
}

func TestHeadAndTail(t *testing.T) {
	for _, tt := range []struct {
		in         string
		n          int
		head, tail string
	}{
		{"", 3, "", ""},
		{"abc", 3, "abc", "abc"},
		{"abcd", 3, "ab…", "…cd"},
		{"切れます", 5, "切れ…", "…ます"},
		{"切れます", 4, "切…", "…す"},
		{"e\u0301e\u0301e\u0301", 3, "e\u0301e\u0301e\u0301", "e\u0301e\u0301e\u0301"},
	} {
		if h, l := head(tt.in, tt.n), tail(tt.in, tt.n); h != tt.head || l != tt.tail {
			t.Errorf("head, tail(%q, %d) = %q, %q; want %q, %q", tt.in, tt.n, h, l, tt.head, tt.tail)
		}
	}
}

// Whatever the text, lines are no wider than they may be and no character is lost.
func FuzzFlow(f *testing.F) {
	f.Add("a bold title", "and text below it", 9)
	f.Add("接続が切れます", "e\u0301\u0301 long-word-without-end", 5)
	f.Add("", " ", 0)
	f.Fuzz(func(t *testing.T, a, b string, columns int) {
		columns = min(max(columns, 0), 200)
		a, b = printable(a), printable(b)
		lines := flow(columns, span{styleBold, a}, span{styleDim, b})
		var text strings.Builder
		for _, line := range lines {
			if n := lineCells(line); columns > 1 && n > columns {
				t.Errorf("flow(%d, %q, %q) has a line of %d cells: %q", columns, a, b, n, line)
			}
			for _, s := range line {
				if s.text == "" || !utf8.ValidString(s.text) {
					t.Errorf("flow(%d, %q, %q) has span %q", columns, a, b, s.text)
				}
				text.WriteString(s.text)
			}
		}
		if columns == 0 && len(lines) > 1 {
			t.Errorf("flow(0, %q, %q) has %d lines; want one", a, b, len(lines))
		}
		squeeze := func(s string) string { return strings.ReplaceAll(s, " ", "") }
		if got, want := squeeze(text.String()), squeeze(a+b); got != want {
			t.Errorf("flow(%d, …) says %q; want %q", columns, got, want)
		}
	})
}
