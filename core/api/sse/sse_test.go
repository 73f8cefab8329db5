package sse

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

func readAll(in []byte) ([]Message, error) {
	r := NewReader(bytes.NewReader(in))
	var all []Message
	for {
		m, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, m)
	}
}

func TestReader(t *testing.T) {
	msg := func(id, event, data string) Message { return Message{ID: id, Event: event, Data: []byte(data)} }
	for _, tc := range []struct {
		name, in string
		want     []Message
	}{
		{"nothing", "", nil},
		{"one", "id: 1\nevent: a\ndata: x\n\n", []Message{msg("1", "a", "x")}},
		{"without spaces", "id:1\nevent:a\ndata:x\n\n", []Message{msg("1", "a", "x")}},
		{"one space is taken, no more", "data:  x\n\n", []Message{msg("", "", " x")}},
		{"line ends of others", "id: 1\r\ndata: x\r\n\r\n", []Message{msg("1", "", "x")}},
		{"several lines of data", "data: x\ndata:\ndata: y\n\n", []Message{msg("", "", "x\n\ny")}},
		{"empty data is data", "data:\n\n", []Message{msg("", "", "")}},
		{"comments", ": hello\n\n:\n\ndata: x\n\n", []Message{msg("", "", "x")}},
		{"without data there is no message", "event: a\n\ndata: x\n\n", []Message{msg("", "", "x")}},
		{"the id lasts", "id: 1\ndata: x\n\nevent: end\ndata: {}\n\n", []Message{msg("1", "", "x"), msg("1", "end", "{}")}},
		{"unknown fields", "retry: 9\nname\ndata: x\n\n", []Message{msg("", "", "x")}},
		{"cut off", "data: x\n\ndata: y\n", []Message{msg("", "", "x")}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := readAll([]byte(tc.in))
			if err != nil || fmt.Sprintf("%q", got) != fmt.Sprintf("%q", tc.want) {
				t.Errorf("messages of %q = %q, %v; want %q", tc.in, got, err, tc.want)
			}
		})
	}
	if _, err := readAll([]byte("data: " + strings.Repeat("x", MaxLine))); err == nil {
		t.Error("a line without end was read")
	}
}

// What was read, written again, reads the same.
func FuzzReader(f *testing.F) {
	f.Add([]byte("id: 1\nevent: a\ndata: x\ndata: y\n\n: c\n\nid\ndata\n\n"))
	f.Add([]byte("data:\r\n\r\nid: \x00\ndata: x\n\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		first, err := readAll(in)
		if err != nil {
			t.Skip("a line is too long")
		}
		var out []byte
		for _, m := range first {
			if m.ID == "" {
				out = append(out, "id\n"...) // no longer the one before
			}
			out = Append(out, m)
		}
		second, err := readAll(out)
		if err != nil || fmt.Sprintf("%q", first) != fmt.Sprintf("%q", second) {
			t.Errorf("messages = %q; written again they read %q, %v", first, second, err)
		}
	})
}
